"""The classes of a data set: their names, and how many images each has."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST = 1000  # classes; the networks have one input and one logit for each


@dataclasses.dataclass(frozen=True)
class Classes:
    """K classes; label k means the class `names[k]`.

    Attributes:
      names: K different texts.
      counts: how many images of each class there are, at least one. "A random picture" has this mix.

    Examples:
      >>> classes = Classes.of(["cat", "dog"], np.array([0, 1, 0, 0]))
      >>> classes
      Classes(names=('cat', 'dog'), counts=(3, 1))
      >>> classes.label("dog"), classes.draw(6, seed=0).tolist()
      (1, [0, 0, 0, 0, 1, 1])
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, names: Sequence[str], labels: np.ndarray) -> "Classes":
        """The classes of labels int [N] in 0 ... K - 1."""
        return cls(tuple(names), tuple(np.bincount(labels, minlength=len(names)).tolist()))

    @classmethod
    def numbered(cls, count: int) -> "Classes":
        """Classes of which only the number is known: their numbers are their names, and all are as frequent."""
        return cls(tuple(map(str, range(count))), (1,) * count)

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Labels int32 [count] in the data's mix; the same seed gives the same ones on every machine."""
        share = np.array(self.counts) / sum(self.counts)
        return np.random.default_rng(seed).choice(len(self), count, p=share).astype(np.int32)

    def label(self, name: str) -> int:
        """The label of a class by its name or, if no class has that name, its number. Raises ValueError for neither."""
        if name in self.names:
            return self.names.index(name)
        if name.isascii() and name.isdigit() and int(name) < len(self):
            return int(name)
        shown = ", ".join(self.names[:20]) + (", ..." if len(self) > 20 else "")
        raise ValueError(f"{name!r} is not a class; they are {shown}")

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"names": list(self.names), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Classes":
        """The inverse of `to_json`. Raises ValueError for anything else."""
        try:
            names, counts = values["names"], values["counts"]
            sound = len(names) == len(counts) == len(set(names)) > 0
            sound = sound and all(type(name) is str for name in names) and all(type(count) is int for count in counts)
            if not (sound and min(counts) >= 0 and sum(counts) > 0):
                raise ValueError("names and counts do not fit")
            return cls(tuple(names), tuple(counts))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a list of classes: {error!r}") from error
