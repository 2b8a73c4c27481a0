"""One picture file to one uint8 array of the network's size, whatever its format, colours and orientation."""

import cv2
import numpy as np

from keras_dcgan.headers import essential_png, exif_orientation, read_header

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file is told by us, once

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
MAX_PIXELS = 2**27  # a file that claims more is no picture but a decompression bomb
BACKGROUNDS = {"white": 255, "black": 0, "grey": 128}
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


def decode(
    data: bytes, image_size: int, channels: int, fit: str = "crop", background: str = "white", verify: bool = False
) -> np.ndarray:
    """Decodes a JPEG, PNG, WebP, BMP or GIF (its first frame) and brings it to the network's size.

    An EXIF rotation is applied, 16-bit values become 8-bit ones, what is transparent shows the background.

    Args:
      data: the file.
      image_size: height and width S of the result.
      channels: 1 (colour becomes luma) or 3 (RGB; grey is copied).
      fit: "crop" cuts the middle square out, "pad" adds background to the shorter side, "stretch" does neither.
      background: a key of `BACKGROUNDS`.
      verify: whether to check the checksums that the format has; done once, when a file is first looked at.

    Returns:
      uint8 [S, S, C]. Raises ValueError, saying what is wrong, for what cannot be decoded or is too large.
    """
    return bring(_open(data, _reduction(data, image_size), verify), image_size, channels, fit, background)


def bring(image: np.ndarray, image_size: int, channels: int, fit: str, background: str) -> np.ndarray:
    """Brings a picture to the network's size and channels.

    Args:
      image: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA, of uint8 or uint16.
      image_size, channels, fit, background: as in `decode`.

    Returns:
      uint8 [S, S, C], C being 1 or 3 (RGB).
    """
    value = BACKGROUNDS[background]
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    image = _flatten(image, value)
    if fit == "pad":
        longer = max(height, width)
        rows, columns = (max(1, round(side * image_size / longer)) for side in (height, width))
        top, left = (image_size - rows) // 2, (image_size - columns) // 2
        image = cv2.copyMakeBorder(
            resize(image, rows, columns), top, image_size - rows - top, left, image_size - columns - left,
            cv2.BORDER_CONSTANT, value=(value,) * 3,
        )  # fmt: skip
    else:
        image = resize(image, image_size, image_size)
    if image.ndim == 2:
        return np.repeat(image[..., np.newaxis], channels, axis=-1)
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., np.newaxis]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def inspect(data: bytes) -> tuple[int, int, bool]:
    """Decodes a picture to see whether it can be: its stored width and height, and whether it has colour.

    Raises ValueError as `decode` does.
    """
    _, width, height = read_header(data)
    thumbnail = decode(data, min(64, max(width, height)), 3, fit="stretch", verify=True).astype(np.int16)
    return width, height, int(np.ptp(thumbnail, axis=-1).max()) > 8  # grey JPEGs are off by a level or two


def resize(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resizes uint8 [H, W] or [H, W, C]: each axis by averaging over areas where it shrinks, else bilinearly.

    Bilinear means half-pixel centres, as in the pipeline and the seed document.
    """
    height, width = image.shape[:2]
    if rows < height or columns < width:  # OpenCV averages areas only where no axis grows
        image = cv2.resize(image, (min(columns, width), min(rows, height)), interpolation=cv2.INTER_AREA)
    if (rows, columns) == image.shape[:2]:
        return image
    larger = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.rint(larger).astype(np.uint8)


def _reduction(data: bytes, image_size: int) -> int:
    """How many times smaller a JPEG may be decoded, which is faster: so that twice the network's size remains."""
    kind, width, height = read_header(data)
    if width * height > MAX_PIXELS:
        raise ValueError(f"{kind}: its header claims {width} x {height} pixels, more than {MAX_PIXELS:,}")
    if kind != "jpeg":
        return 0
    return next((factor for factor in _REDUCED if min(width, height) >= 2 * factor * image_size), 1)


def _open(data: bytes, reduction: int, verify: bool) -> np.ndarray:
    """The upright picture: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA, of uint8 or uint16; `reduction` 0: no JPEG."""
    if not reduction and data.startswith(b"\x89PNG"):
        data = essential_png(data, verify)
    raw = np.frombuffer(data, np.uint8)
    try:
        if reduction:  # no alpha to lose, and OpenCV applies the rotation itself
            image, orientation = cv2.imdecode(raw, _REDUCED.get(reduction, cv2.IMREAD_ANYCOLOR)), 1
        else:
            image, kinds, blocks = cv2.imdecodeWithMetadata(raw, flags=cv2.IMREAD_UNCHANGED)
            exif = [bytes(b) for k, b in zip(kinds, blocks, strict=True) if k == cv2.IMAGE_METADATA_EXIF]
            orientation = exif_orientation(exif[0]) if exif else 1
    except cv2.error as error:
        raise ValueError(f"damaged: {error.err}") from error
    if image is None:
        raise ValueError("damaged or cut")
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def _flatten(image: np.ndarray, background: int) -> np.ndarray:
    """To uint8 without transparency: uint8 [H, W] or [H, W, 3]."""
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=255 / 65535)
    image = np.ascontiguousarray(image)
    if image.ndim == 2 or image.shape[-1] == 3:
        return image
    alpha = cv2.merge([image[..., 3]] * 3)
    seen = cv2.multiply(np.ascontiguousarray(image[..., :3]), alpha, scale=1 / 255)
    return cv2.add(seen, cv2.convertScaleAbs(255 - alpha, alpha=background / 255))
