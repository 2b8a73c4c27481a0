"""One picture file to one uint8 array of the network's size, whatever its format, colours and orientation."""

import functools
import io
import logging
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile

from keras_dcgan.datasets.square import Target, fit_to_square

# Pillow warns of damaged metadata, which does not matter here, and of large files, for which we have our own limit. The
# filters of `warnings` belong to all threads, so they cannot be set for one picture.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
logging.getLogger("PIL").setLevel(logging.ERROR)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error names the file and the reason

# By how a file begins, not by its name. Formats that any bytes could be (TGA) or that run programs (EPS) are missing.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2",
    ".ppm", ".pgm",
)  # fmt: skip
JPEGS = ("JPEG", "MPO")  # an MPO, as some cameras write, is a JPEG with more of them behind it
MAX_BYTES = 2**29  # a larger file is not a picture
MAX_PIXELS = 2**27  # a file that claims more is not a picture but a decompression bomb
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
QUARTER_TURNS = (5, 6, 7, 8)  # the EXIF orientations that swap width and height
# Pillow scales grey PNGs of 2 and 4 bits to 8, but not the value that they declare transparent.
TRANSPARENT_SCALE = {"L;2": 85, "L;4": 17}


def read_file(path: str | Path) -> bytes:
    """The bytes of a picture file. Raises OSError, and ValueError for one that is too large to be a picture."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"too large: {size:,} bytes")
        return file.readall()


def decode(data: bytes, target: Target) -> np.ndarray:
    """Decodes a picture file (of several frames the first) and makes it the network's size.

    An EXIF rotation is applied, 16-bit values become 8-bit ones, transparent parts show the background.

    Args:
      data: the file.
      target: what it becomes.

    Returns:
      uint8 [S, S, C]. Raises ValueError, saying what is wrong, for what cannot be decoded or is too large.

    Examples:
      >>> file = io.BytesIO()
      >>> Image.new("RGB", (40, 30), "red").save(file, "PNG")
      >>> image = decode(file.getvalue(), Target(image_size=16, channels=3))
      >>> image.shape, image[0, 0]
      ((16, 16, 3), array([255,   0,   0], dtype=uint8))
    """
    return _draw(_open(data), data, target)


def inspect(data: bytes) -> tuple[int, int, bool]:
    """Decodes a picture and checks the checksums that its format has.

    Returns its width and height as people see them, and whether it has colour. Raises ValueError as `decode` does.

    Examples:
      >>> file = io.BytesIO()
      >>> Image.new("RGB", (40, 30), "red").save(file, "PNG")
      >>> inspect(file.getvalue())
      (40, 30, True)
    """
    image = _open(data)
    if image.format == "PNG":  # the only format whose checksums Pillow knows
        try:
            image.verify()
        except Exception as error:  # Pillow raises whatever a damaged file leads it to
            raise ValueError(f"damaged or cut: {error}") from error
        image = _open(data)  # checking has used it up
    width, height = image.size
    thumbnail = _draw(image, data, Target(min(64, max(width, height)), 3, "stretch")).astype(np.int16)
    if image.format != "TIFF" and _orientation(image) in QUARTER_TURNS:  # Pillow has turned a TIFF already
        width, height = height, width
    return width, height, int(np.ptp(thumbnail, axis=-1).max()) > 8  # grey JPEGs are off by a level or two


@functools.cache
def heif_version() -> str | None:
    """The release of pillow-heif, which Pillow needs for HEIC and which is registered here, or None without it."""
    try:
        import pillow_heif  # optional, and only HEIC files need it
    except ImportError:
        return None
    pillow_heif.register_heif_opener(thumbnails=False)
    return pillow_heif.__version__


def _open(data: bytes) -> ImageFile.ImageFile:
    """A picture whose format and size are known, not yet decoded. Raises ValueError for what cannot be one."""
    if not data:
        raise ValueError("empty")
    formats = FORMATS
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and b"avif" not in data[12:64]:
        if not heif_version():
            raise ValueError("HEIC needs the package pillow-heif: pip install pillow-heif")
        formats = ("HEIF",)
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except Image.UnidentifiedImageError:
        raise ValueError("not a picture of a known format, or damaged at its start") from None
    except Image.DecompressionBombError:  # of Pillow's own limit, which is higher than ours
        raise ValueError(f"its header claims more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # plugins raise whatever a damaged file leads them to
        raise ValueError(f"damaged or cut: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"its header claims {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers of unknown range; save it with 8 or 16 bits")
    return image


def _draw(image: ImageFile.ImageFile, data: bytes, target: Target) -> np.ndarray:
    """What an open picture becomes, uint8 [S, S, C]."""
    try:
        pixels = _decode_jpeg(data, image, 2 * target.image_size) if image.format in JPEGS else _to_array(image)
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"damaged or cut: {error}") from error
    if pixels.dtype != np.uint8:
        pixels = _to_eight_bits(pixels, image.info.get("transparency"))
    orientation = _orientation(image)
    if orientation in QUARTER_TURNS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return fit_to_square(pixels, target)


def _decode_jpeg(data: bytes, image: ImageFile.ImageFile, needed: int) -> np.ndarray:
    """The pixels of a JPEG by OpenCV, which is a fifth faster than Pillow: uint8 [H, W] or [H, W, 3] RGB.

    They are decoded at a half, a quarter or an eighth, which is faster still, if `needed` pixels remain on each side.
    """
    factor = next((factor for factor in REDUCED if min(image.size) >= factor * needed), 1)
    flags = REDUCED.get(factor, cv2.IMREAD_ANYCOLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _orientation(image: Image.Image) -> int | None:
    """The orientation in the EXIF or XMP block of a decoded picture, 1 ... 8 if it is sound, or None."""
    if not any(name in image.info for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")):
        return None  # which Pillow takes longer to find out; TIFF files it has rotated already
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged block
        return None


def _to_array(image: ImageFile.ImageFile) -> np.ndarray:
    """Decodes: uint8 [H, W], [H, W, 3] or [H, W, 4] RGBA; of grey with more than 8 bits other integers [H, W]."""
    key, stored = image.info.get("transparency"), image.tile[0].args if image.format == "PNG" and image.tile else None
    if key is not None and stored in TRANSPARENT_SCALE:
        image.info["transparency"] = key * TRANSPARENT_SCALE[stored]
    elif key is not None and stored == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    if image.mode in ("L", "RGB"):
        return np.asarray(image)
    return np.asarray(image.convert("L" if image.mode == "1" else "RGB"))  # palettes, CMYK, LAB


def _to_eight_bits(values: np.ndarray, transparent: int | None) -> np.ndarray:
    """Grey [H, W] of 16 bits, of which one value may be transparent -> uint8 [H, W] or [H, W, 4]."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its values are 32-bit numbers of unknown range; save it with 8 or 16 bits")
    grey = cv2.convertScaleAbs(values.astype(np.uint16), alpha=255 / 65535)
    if transparent is None:
        return grey
    return cv2.merge([grey, grey, grey, np.where(values == transparent, 0, 255).astype(np.uint8)])
