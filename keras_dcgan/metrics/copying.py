"""Whether a generator draws copies of its training pictures, measured on thumbnails."""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np

from keras_dcgan.metrics.distances import blocks, checked, squared_distances

EXPECTED = 0.05  # the share of new real pictures that count as copies
LEFT_OUT = 5000  # training pictures that are left out, one at a time; more would not make the figures steadier
SAME = 0.01  # of the thumbnails' spread: pictures that lie closer together are the same one
# New pictures, also bad ones, stay below 0.08; from 0.4 on copies are the rule. Between, only the eye can tell: 0.12 is
# the figure of a generator whose worst pairs are copies, and of new aeroplanes alone, of which there is little variety.
SOME, MANY = 0.08, 0.4
SIDE = 8  # height and width of a thumbnail, in pixels


class Copies(NamedTuple):
    """How many of M generated images are copies, and which.

    Attributes:
      figures: `copied`, `expected`, `nearer` and `verdict`, as `find_copies` describes them; JSON values.
      suspects: int [M], the generated images, the most suspicious first.
      originals: int [M], the nearest training picture of each suspect.
    """

    figures: dict[str, Any]
    suspects: np.ndarray
    originals: np.ndarray


def thumbnails(images: np.ndarray) -> np.ndarray:
    """What images are compared by: uint8 [N, H, W, C] -> float32 [N, 8 * 8 * C], averages over areas.

    Not features: blur and noise move these further than it is from one picture to the next. With those of CIFAR-10's
    classifier, slightly blurred copies look new, and blurred new pictures look like copies.

    Examples:
      >>> thumbnails(np.zeros((2, 64, 64, 3), np.uint8)).shape
      (2, 192)
    """
    averages = [cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(averages).reshape(len(images), -1)


def find_copies(fakes: np.ndarray, reals: np.ndarray, mirrored: bool = False) -> Copies:
    """Which generated images lie closer to a training picture than new real pictures would (Meehan et al. 2020).

    A copy lies much closer to one training picture than to all others. So each image has a relative distance in [0, 1]:
    that to the nearest training picture, divided by that to the third nearest, as the second may be a version of the
    first (compare Carlini et al. 2023, "Extracting training data from diffusion models"). It does not depend on how
    varied the pictures are around the image: digits 1 lie close together, but are no copies. It is close to 1 for an
    average of many pictures, which is far from each of them.

    No pictures need to be held back to know what to expect. A training picture that is left out, and compared with the
    others, is to them what a new real picture is to all: its relative distance has the same distribution. A picture
    that is there several times counts once, and is left out with its duplicates.

    Args:
      fakes: float [M, D], the `thumbnails` of generated images.
      reals: float [N, D], those of all training pictures, in random order: the first `LEFT_OUT` are left out.
      mirrored: whether the generator was trained on their mirror images too; then an image is as far from a picture as
        from the nearer one of it and its mirror image.

    Returns:
      The copies; their figures are `copied`, the share of fakes with a relative distance below the 5 % quantile of the
      left-out reals (0.05 is `expected` of new real pictures); `nearer`, the probability that a fake's is below a
      left-out real's, where a tie counts half (0.5 is expected); and a `verdict` in words. Raises ValueError for arrays
      that do not fit or are not finite.

    Examples:
      >>> pictures = np.random.default_rng(0).normal(size=(300, 8))
      >>> reals, new = pictures[:200], pictures[200:]
      >>> find_copies(new, reals).figures["verdict"], find_copies(reals[:100], reals).figures["copied"]
      ('no sign of copying', 1.0)
    """
    reals, fakes = checked(reals, fakes, at_least=2, dtype=np.float32)
    references = np.stack([reals, _mirror(reals)] if mirrored else [reals])  # (1 or 2, N, D)
    centre = references.mean(axis=(0, 1))  # |x|^2 - 2 x.y + |y|^2 loses fewer digits near the origin
    references, fakes = references - centre, fakes - centre
    same = SAME**2 * float(np.square(references[0]).sum(axis=1).mean())
    left_out, _ = _relative_distances(references[0, :LEFT_OUT], references, same, leave_out=True)
    found, originals = _relative_distances(fakes, references, same)
    copied = float(np.mean(found < np.quantile(left_out, EXPECTED)))
    suspects = np.argsort(found, kind="stable")
    figures = {
        "copied": copied, "expected": EXPECTED, "nearer": _share_below(found, left_out),
        "verdict": _verdict(copied, len(fakes), len(left_out)),
    }  # fmt: skip
    return Copies(figures, suspects, originals[suspects])


def _mirror(small: np.ndarray) -> np.ndarray:
    """The `thumbnails` of mirror images: [N, D] -> [N, D]."""
    return small.reshape(len(small), SIDE, SIDE, -1)[:, :, ::-1].reshape(small.shape)


def _relative_distances(
    queries: np.ndarray, references: np.ndarray, same: float, leave_out: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The relative distance of each query [N, D] to the references, float32 [N], and the nearest, int [N].

    Args:
      references: float32 [V, M, D], V versions of each; the nearest one counts.
      same: squared distance up to which references are the same picture.
      leave_out: whether to leave out each query, which is a reference, with its duplicates.
    """
    relative, originals = np.ones(len(queries), np.float32), np.empty(len(queries), np.int64)

    def distances(rows: np.ndarray) -> np.ndarray:  # (rows, M)
        return functools.reduce(np.minimum, (squared_distances(rows, version) for version in references))

    for rows in blocks(len(queries), references.shape[1]):
        squared = distances(queries[rows])
        if leave_out:
            squared[squared <= same] = np.inf
        originals[rows] = squared.argmin(axis=1)
        first = squared.min(axis=1)
        squared[distances(references[0, originals[rows]]) <= same] = np.inf  # it and its duplicates
        third = np.partition(squared, 1, axis=1)[:, 1]
        enough = np.isfinite(third)  # with fewer than three different references nothing stands out: 1
        relative[rows][enough] = np.sqrt(first[enough] / third[enough])
    return relative, originals


def _share_below(found: np.ndarray, expected: np.ndarray) -> float:
    """The share of all pairs of the two in which the first is the smaller one; a tie counts half."""
    expected = np.sort(expected)
    above = len(expected) - np.searchsorted(expected, found, "right")
    ties = len(expected) - np.searchsorted(expected, found, "left") - above
    return float(np.mean(above + ties / 2) / len(expected))


def _verdict(copied: float, fakes: int, reals: int) -> str:
    """What `copied` means, when it is measured with so many images; few show more than they should by chance."""
    standard_error = np.sqrt(EXPECTED * (1 - EXPECTED) * (1 / fakes + 1 / reals))
    if copied < max(SOME, EXPECTED + 3 * standard_error):
        return "no sign of copying"
    if copied < MANY:
        return "some samples may be copies of training pictures: look at copies.png"
    return "many samples are copies of training pictures; bring more pictures, or train for fewer steps"
