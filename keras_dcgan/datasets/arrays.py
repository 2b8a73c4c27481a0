"""Images in one array file: `.npy`, `.npz` and IDX. Nothing is unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_dcgan.datasets.idx import MAX_BYTES, read_idx
from keras_dcgan.datasets.stored import ArrayFiles, Images
from keras_dcgan.tools.files import BadFile

HOW_TO_CONVERT = (
    "save it as numpy.save('images.npy', array) with uint8 values 0 ... 255 in the order [N, height, width, channels], "
    "channels being 1 or 3"
)


def open_array(path: str | Path) -> np.ndarray | Images:
    """The images of an array file: uint8 [N, H, W] or [N, H, W, C], C being 1 or 3, as [N, H, W, C].

    A `.npy` file stays on disk and may be of any size; `.npz` and IDX files (gzipped or not) are read into memory.
    Raises OSError for a file that cannot be read, and BadFile, saying what to do, for another content.

    Examples:
      >>> np.save("images.npy", np.zeros((5, 28, 28), np.uint8))
      >>> images = open_array("images.npy")
      >>> images.shape, images[:2].shape
      ((5, 28, 28, 1), (2, 28, 28, 1))
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _open_npy(path)
    if path.suffix.lower() == ".npz":
        images = _read_npz(path)
    else:
        try:
            images = read_idx(path)
        except BadFile as error:
            raise BadFile(f"{error}; a data set is a folder of pictures, or a .npy, .npz or IDX file") from error
    return images.reshape(_image_shape(path, images.shape, images.dtype))


def npy_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether in Fortran's order, dtype and the offset of the data of a `.npy` file. Raises BadFile."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if any(side < 0 for side in shape):
                raise ValueError(f"its header claims {list(shape)}")
            return shape, fortran, dtype, file.tell()
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise BadFile(f"{path}: not a .npy file: {error}") from error


def _open_npy(path: Path) -> ArrayFiles:
    shape, fortran, dtype, offset = npy_header(path)
    count, *image = _image_shape(path, shape, dtype)
    if fortran:
        raise BadFile(f"{path}: is in Fortran's order; {HOW_TO_CONVERT}, after numpy.ascontiguousarray")
    if path.stat().st_size < offset + int(np.prod(shape, dtype=object)):
        raise BadFile(f"{path}: cut: shorter than the {list(shape)} that its header announces")
    height, width, channels = image
    return ArrayFiles([(path, offset, count)], (height, width, channels))


def _read_npz(path: Path) -> np.ndarray:
    """The only array of images among those of the file."""
    try:
        with zipfile.ZipFile(path) as file:
            if sum(entry.file_size for entry in file.infolist()) > MAX_BYTES:
                raise ValueError(f"unpacks to more than {MAX_BYTES} bytes; {HOW_TO_CONVERT}")
        found, listing = [], []
        with np.load(path, allow_pickle=False) as stored:
            for name in stored.files:
                try:
                    array = stored[name]
                except ValueError as error:  # an array of Python objects, which would have to be unpickled
                    listing.append(f"{name} ({error})")
                    continue
                listing.append(f"{name} {array.dtype} {list(array.shape)}")
                if array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3))):
                    found.append(array)
        if len(found) != 1:
            raise ValueError(
                f"{len(found) or 'no'} arrays of images among {', '.join(listing) or 'none'}; {HOW_TO_CONVERT}"
            )
        return found[0]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise BadFile(f"{path}: {error}") from error


def _image_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, int, int, int]:
    """The shape [N, H, W, C] of an array of images. Raises BadFile if its shape or dtype is another."""
    if len(shape) == 3 and shape[-1] in (1, 3):  # no picture is that narrow
        raise BadFile(f"{path}: holds one picture {list(shape)} or an unusual order; use [N, height, width, channels]")
    full = (*shape, 1) if len(shape) == 3 else shape
    if dtype != np.uint8 or len(full) != 4 or full[-1] not in (1, 3) or 0 in full:
        raise BadFile(f"{path}: holds {dtype} {list(shape)}; {HOW_TO_CONVERT}")
    count, height, width, channels = full
    return count, height, width, channels
