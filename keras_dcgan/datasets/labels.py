"""The class of each image: what is known of it, what can be learned from it, and how that is said."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from keras_dcgan.config import SettingError
from keras_dcgan.datasets.classes import LARGEST, Classes

IN_NO_CLASS = "in no class"
LISTED = 10  # classes in a line of the log


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of N images, as they were found.

    Attributes:
      place: what holds them, in the plural, such as "sub-folders"; empty if nothing does.
      names: the names of the K classes.
      numbers: int32 [N], in 0 ... K - 1, or -1 for an image in no class.
      empty: names of classes in which no image is left.
      absent: the files that have labels, but are not there.
      trouble: why the labels cannot be read, if they cannot.

    Examples:
      >>> labels = Labels("sub-folders", ("cats", "dogs"), np.array([0, 0, 1, -1], np.int32))
      >>> labels.describe(learned=False)
      '2 sub-folders; labels=on learns them as classes: cats (2), dogs (1); it skips 1 in no class'
    """

    place: str
    names: tuple[str, ...]
    numbers: np.ndarray
    empty: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    trouble: str = ""

    def select(self, kept: np.ndarray) -> "Labels":
        """The labels of the images int [n] of these; a class without any of them becomes one of `empty`."""
        numbers = self.numbers[kept]
        used = np.bincount(numbers[numbers >= 0], minlength=len(self.names)) > 0
        renumbered = np.append(np.cumsum(used) - 1, -1).astype(np.int32)  # the last is what -1 becomes
        names, empty = (tuple(np.array(self.names, object)[those]) for those in (used, ~used))
        return dataclasses.replace(self, names=names, numbers=renumbered[numbers], empty=self.empty + empty)

    @property
    def outside(self) -> np.ndarray:
        """The images in no class, int [n]."""
        return np.flatnonzero(self.numbers < 0)

    @property
    def classes(self) -> Classes:
        """The classes, with the images that are in one."""
        return Classes.of(self.names, self.numbers[self.numbers >= 0])

    @property
    def problem(self) -> str:
        """Why nothing can be learned from them, or an empty text."""
        if self.trouble:
            return self.trouble
        if not self.names:
            return f"no image is in a class by the {self.place}{self._ignored}"
        if len(self.names) == 1:
            return f"there is only one class, {self.names[0]}, by the {self.place}"
        if len(self.names) > LARGEST:
            return f"{len(self.names):,} classes by the {self.place}, and the networks take up to {LARGEST:,}"
        return ""

    def check(self) -> None:
        """Raises SettingError if nothing can be learned from them."""
        if self.problem:
            raise SettingError("labels=on", f"{self.problem}; use labels=off" if self.names else self.problem)

    def warn(self) -> None:
        """Warns of classes with one image or none."""
        if single := [name for name, count in zip(self.names, self.classes.counts, strict=True) if count == 1]:
            logging.warning("Classes of only one image, which the generator may copy: %s", _listed(single))
        if self.empty:
            logging.warning("Classes without a usable image, which are skipped: %s", _listed(self.empty))

    def report(self) -> dict[str, Any]:
        """For `dataset.json`: the classes with their counts, and what identifies the labels."""
        counts = dict(zip(self.names, self.classes.counts, strict=True))
        ignored = {"labels_of_absent_files": len(self.absent)} if self.absent else {}
        return {"from": self.place, "counts": counts, **ignored, "fingerprint": self.fingerprint()}

    def fingerprint(self) -> str:
        """A digest of the names and of every image's label."""
        parts = json.dumps(self.names).encode() + b"\0" + self.numbers.astype("<i4").tobytes()
        return hashlib.blake2b(parts, digest_size=16).hexdigest()

    def describe(self, learned: bool) -> str:
        """One line for people: the classes, what labels=on would do, or why there are none; empty without labels."""
        if not self.place:
            return ""
        if self.problem:
            return f"No classes: {self.problem}"
        largest = sorted(zip(self.names, self.classes.counts, strict=True), key=lambda entry: -entry[1])
        line = _listed([f"{name} ({count:,})" for name, count in largest])
        if learned:
            line = f"{len(self.names):,} classes, by {self.place}: {line}"
        else:
            line = f"{len(self.names):,} {self.place}; labels=on learns them as classes: {line}"
            if len(self.outside):
                line += f"; it skips {len(self.outside):,} {IN_NO_CLASS}"
        return line + self._ignored

    @property
    def _ignored(self) -> str:
        if not self.absent:
            return ""
        return f"; labels of files that are not there: {len(self.absent):,}, such as {self.absent[0]}, ignored"


def missing(count: int, trouble: str, place: str = "") -> Labels:
    """What there is to say of `count` images without readable labels."""
    return Labels(place, (), np.full(count, -1, np.int32), trouble=trouble)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
