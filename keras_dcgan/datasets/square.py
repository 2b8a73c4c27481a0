"""An image of any size to a square one of the network's size and channels."""

import dataclasses

import cv2
import numpy as np

from keras_dcgan.config import BACKGROUNDS


@dataclasses.dataclass(frozen=True)
class Target:
    """What every picture becomes: uint8 [S, S, C].

    Attributes:
      image_size: S, in pixels.
      channels: C, 1 (colour becomes luma) or 3 (RGB; grey is copied).
      resize_mode: how to make pictures square: "crop" the middle, "pad" with background, or "stretch".
      background: a key of `config.BACKGROUNDS`: behind transparent pictures and beside padded ones.
    """

    image_size: int
    channels: int
    resize_mode: str = "crop"
    background: str = "white"


def fit_to_square(image: np.ndarray, target: Target) -> np.ndarray:
    """Makes a picture square, of the network's size and channels.

    Args:
      image: uint8 [H, W], [H, W, 3] RGB or [H, W, 4] RGBA.
      target: what it becomes.

    Returns:
      uint8 [S, S, C].

    Examples:
      >>> image = fit_to_square(np.zeros((20, 40), np.uint8), Target(image_size=8, channels=3, resize_mode="pad"))
      >>> image.shape, image[:, 0, 0].tolist()  # white bars above and below
      ((8, 8, 3), [255, 255, 0, 0, 0, 0, 255, 255])
    """
    size, value = target.image_size, BACKGROUNDS[target.background]
    height, width = image.shape[:2]
    if target.resize_mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    image = _flatten(np.ascontiguousarray(image), value)
    rows = columns = size
    if target.resize_mode == "pad":
        rows, columns = (max(1, round(side * size / max(height, width))) for side in (height, width))
    image = resize(image, rows, columns)
    if (rows, columns) != (size, size):
        top, left = (size - rows) // 2, (size - columns) // 2
        image = cv2.copyMakeBorder(
            image, top, size - rows - top, left, size - columns - left, cv2.BORDER_CONSTANT, value=(value,) * 3
        )
    if image.ndim == 2:
        return np.repeat(image[..., np.newaxis], target.channels, axis=-1)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis] if target.channels == 1 else image


def resize(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resizes uint8 [H, W] or [H, W, C]: each axis by averaging over areas where it shrinks, else bilinearly.

    Bilinear means half-pixel centres, as in the pipeline and the MXNet tutorial.

    Examples:
      >>> resize(np.array([[0, 100, 50, 150]], np.uint8), rows=1, columns=2)
      array([[ 50, 100]], dtype=uint8)
    """
    height, width = image.shape[:2]
    if rows < height or columns < width:  # OpenCV averages areas only where no axis grows
        image = cv2.resize(image, (min(columns, width), min(rows, height)), interpolation=cv2.INTER_AREA)
    if (rows, columns) == image.shape[:2]:
        return image
    larger = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.rint(larger).astype(np.uint8)


def _flatten(image: np.ndarray, background: int) -> np.ndarray:
    """Puts RGBA on the background: uint8 [H, W, 4] -> [H, W, 3]; other images stay as they are."""
    if image.ndim == 2 or image.shape[-1] == 3:
        return image
    alpha = cv2.merge([image[..., 3]] * 3)
    seen = cv2.multiply(np.ascontiguousarray(image[..., :3]), alpha, scale=1 / 255)
    return cv2.add(seen, cv2.convertScaleAbs(255 - alpha, alpha=background / 255))
