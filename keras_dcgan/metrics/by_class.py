"""The figures of a generator with classes: whether it draws what was asked for, and how well it draws each class."""

from typing import Any, NamedTuple

import numpy as np

from keras_dcgan.metrics.distances import frechet_distance

PER_FEATURE = 2  # images of a class for each feature; with fewer than one the covariance matrix is singular


class Seen(NamedTuple):
    """N images as an extractor sees them.

    Attributes:
      features: float32 [N, D].
      classes: int [N], what a classifier takes them for; None if the extractor is not a classifier.
      labels: int [N], what they show, or what a generator was asked for; None if nobody knows.
      thumbnails: float32 [N, D'], as `copying.thumbnails` makes them.
    """

    features: np.ndarray
    classes: np.ndarray | None
    labels: np.ndarray | None = None
    thumbnails: np.ndarray = np.zeros((0, 0), np.float32)


def describe_shares(labels: np.ndarray, fakes: np.ndarray, reals: np.ndarray) -> dict[str, Any]:
    """The share of each of ten classes, and the total variation distance to the labels' shares.

    Args:
      labels: int [N], the true classes of all reals.
      fakes, reals: int [M], the classes that the classifier sees; those of the reals show its own error.

    Examples:
      >>> shares = describe_shares(np.arange(10), fakes=np.array([0, 1]), reals=np.arange(10))
      >>> shares["generated"][:3], shares["total_variation"], shares["total_variation_real"]
      ([0.5, 0.5, 0.0], 0.8, 0.0)
    """
    truth, generated, predicted = (
        np.bincount(classes, minlength=10)[:10] / len(classes) for classes in (labels, fakes, reals)
    )
    return {
        "generated": np.round(generated, 4).tolist(),
        "real": np.round(truth, 4).tolist(),
        "total_variation": float(0.5 * np.abs(generated - truth).sum()),
        "total_variation_real": float(0.5 * np.abs(predicted - truth).sum()),
    }


def describe_classes(names: tuple[str, ...], fakes: Seen, reals: Seen, others: Seen) -> dict[str, Any]:
    """What became of each of K classes that a generator was asked for, as JSON values.

    Args:
      names: of the classes.
      fakes, reals, others: with classes and labels in 0 ... K - 1; the others against the reals give the floor.

    Returns:
      `names`; `confusion` [K][K], see `confusion`; `frechet_distance` and `frechet_distance_real` [K], see
      `distances_within`; `images_needed` for these; `worst`, the name of the class with the largest distance, or None.
    """
    distances = distances_within(reals, fakes, len(names))
    measured = [(distance, name) for distance, name in zip(distances, names, strict=True) if distance is not None]
    return {
        "names": list(names),
        "confusion": np.round(confusion(fakes, len(names)), 4).tolist(),
        "frechet_distance": distances,
        "frechet_distance_real": distances_within(reals, others, len(names)),
        "images_needed": images_needed(fakes),
        "worst": max(measured)[1] if measured else None,
    }


def agreement(seen: Seen) -> float:
    """The share of images that the classifier takes for what they should show; of real images, its accuracy.

    Examples:
      >>> agreement(Seen(np.zeros((4, 2)), classes=np.array([0, 1, 1, 1]), labels=np.array([0, 0, 1, 1])))
      0.75
    """
    return float(np.mean(seen.classes == seen.labels))


def confusion(seen: Seen, classes: int) -> np.ndarray:
    """Float64 [K, K]: in row i, what the classifier takes the images of class i for, as shares; 0 if there are none.

    Examples:
      >>> seen = Seen(np.zeros((4, 2)), classes=np.array([0, 1, 1, 1]), labels=np.array([0, 0, 1, 1]))
      >>> confusion(seen, 2).tolist()
      [[0.5, 0.5], [0.0, 1.0]]
    """
    labels, taken_for = (np.eye(classes)[which] for which in (seen.labels, seen.classes))  # (N, K)
    counts = labels.T @ taken_for
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))


def distances_within(reals: Seen, others: Seen, classes: int) -> list[float | None]:
    """The Fréchet distance within each class: from its reals to its others; None if either are below `images_needed`.

    The distance of so few images would say more about their number than about what they show. Also above it the number
    matters: compare a distance with its floor, and not with that of all classes together.
    """
    found: list[float | None] = []
    for label in range(classes):
        both = [seen.features[seen.labels == label] for seen in (reals, others)]
        found.append(frechet_distance(*both) if min(map(len, both)) >= images_needed(reals) else None)
    return found


def images_needed(seen: Seen) -> int:
    """How many images of a class it takes to measure a distance within it: `PER_FEATURE` for each feature."""
    return PER_FEATURE * seen.features.shape[1]


def as_lines(classes: dict[str, Any]) -> list[str]:
    """What `describe_shares` says, and `describe_classes` if it is there, as lines of a table."""
    names = classes.get("names", range(len(classes["real"])))
    lines = [f"{'class':20}{'generated':>12}{'real':>12}"]
    for name, *shares in zip(names, classes["generated"], classes["real"], strict=True):
        lines.append(f"{name:<20}{shares[0]:12.1%}{shares[1]:12.1%}")
    lines.append(f"{'total variation':20}{classes['total_variation']:12.4f}{classes['total_variation_real']:12.4f}")
    if "confusion" not in classes:
        return lines
    lines.append(f"{'frechet distance in':20}{'generated':>12}{'real':>12}{'agreement':>12}")
    distances = zip(classes["frechet_distance"], classes["frechet_distance_real"], strict=True)
    for i, (name, both) in enumerate(zip(names, distances, strict=True)):
        shown = "".join(f"{'-':>12}" if value is None else f"{value:12.4f}" for value in both)
        lines.append(f"{name:<20}{shown}{classes['confusion'][i][i]:12.1%}")
    if classes["worst"] is not None:
        lines.append(f"{'worst class':20}{classes['worst']:>12}")
    if None in classes["frechet_distance"]:
        lines.append(f"-: needs {classes['images_needed']} images of the class on both sides; give more --samples")
    return lines
