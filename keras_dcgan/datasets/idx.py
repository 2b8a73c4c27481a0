"""IDX files, the format of the original MNIST: a magic number, the sizes, then the bytes of a uint8 array."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_dcgan.tools.files import BadFile, atomic_path

MAX_BYTES = 2**34  # no real data set in this format is larger; a header that claims more lies
CHUNK = 2**24


def read_idx(path: str | Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not, into a uint8 array of the shape in its header.

    Never reads more than the header announces, so a decompression bomb is refused for its length. Raises OSError for a
    file that cannot be read, and BadFile for one that is not an IDX file, or is cut or too long.

    Examples:
      >>> write_idx("labels-idx1-ubyte", np.array([3, 1, 4], np.uint8))
      >>> read_idx("labels-idx1-ubyte")
      array([3, 1, 4], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            return _read(stream)  # type: ignore[arg-type]
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(f"{path}: {error}") from error


def _read(stream: BinaryIO) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4:
        raise ValueError("not an IDX file of unsigned bytes")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError("cut within its header")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    expected = math.prod(shape)
    if expected > MAX_BYTES:
        raise ValueError(f"its header claims {list(shape)}, more than {MAX_BYTES} bytes")
    data = bytearray()
    while len(data) < expected and (part := stream.read(min(CHUNK, expected - len(data)))):
        data += part  # memory follows what is there, not what the header claims
    if len(data) < expected:
        raise ValueError(f"cut: {len(data)} of {expected} bytes")
    if stream.read(1):
        raise ValueError(f"longer than the {expected} bytes that its header announces")
    return np.frombuffer(data, np.uint8).reshape(shape)


def write_idx(path: str | Path, array: np.ndarray) -> None:
    """Writes a uint8 array of one to four dimensions atomically, not gzipped.

    Examples:
      >>> write_idx("labels-idx1-ubyte", np.array([3, 1, 4], np.uint8))
      >>> Path("labels-idx1-ubyte").read_bytes().hex(" ")
      '00 00 08 01 00 00 00 03 03 01 04'
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(array))
        file.write(np.ascontiguousarray(array).data)


def idx_sha256(array: np.ndarray) -> str:
    """The SHA-256 that the array's uncompressed IDX file has, in hexadecimal."""
    digest = hashlib.sha256(_header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _header(array: np.ndarray) -> bytes:
    if array.dtype != np.uint8 or not 1 <= array.ndim <= 4:
        raise ValueError(f"{array.dtype} {list(array.shape)}: IDX files here hold uint8 of one to four dimensions")
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
