"""Draws pictures from an exported .tflite file, with numpy and ai-edge-litert only.

  python -m export.sampler generator-int8.tflite --count=64 --seed=7 --out=grid.png

This file needs nothing else of the project: copy it and a .tflite file to a small computer, install
requirements-device.txt there, and run it as python sampler.py. The same seed gives the same pictures everywhere.
"""

import argparse
import contextlib
import json
import math
import os
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NAME, FORMAT = "keras-dcgan-generator", 1  # in the metadata of our files; the newest format that this program reads
METADATA, METADATA_LIMIT = "metadata.json", 64 * 2**10  # bytes; ours has some 1,200
# What damaged archives and texts raise: cut, encrypted, nested too deep (RuntimeError and its RecursionError).
UNREADABLE = (zipfile.BadZipFile, EOFError, RuntimeError, LookupError, ValueError, TypeError)


class Sampler:
    """A generator in a `.tflite` file that `python -m export` wrote.

    Args:
      path: the file.
      threads: how many the runtime may use.

    `metadata` is the file's own description. Raises OSError if the file cannot be read, and ValueError, naming the
    file, if it is cut, altered, not one of ours, or newer than this program.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.metadata = read_metadata(path)
        from ai_edge_litert.interpreter import Interpreter

        with _without_start_up_notes():
            try:
                self._sample = Interpreter(str(path), num_threads=threads).get_signature_runner("sample")
                picture = self.draw(0, 0)  # packs the weights, and shows whether the file runs
                if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
                    raise ValueError(f"its pictures are {picture.dtype} {list(picture.shape)}")
            except (RuntimeError, ValueError, LookupError) as error:
                reason = (str(error).splitlines() or ["no reason given"])[0]
                raise ValueError(f"{path}: the runtime cannot run it: {reason}") from error

    def draw(self, seed: int, index: int) -> np.ndarray:
        """Picture number `index` of a seed, both in 0 ... 2^31 - 1: uint8 [S, S, C]."""
        return self._sample(seed=np.array([seed, index], np.int32))["picture"][0]


def read_metadata(path: str | Path) -> dict[str, Any]:
    """A file's own description, after a check of its length and checksum. Raises as `Sampler` does."""
    with open(path, "rb") as file:
        start = file.read(8)
        if start[4:] != b"TFL3":
            raise ValueError(f"{path}: not a .tflite file")
        try:
            with zipfile.ZipFile(file) as archive:
                entry = archive.getinfo(METADATA)
                ours = entry.compress_type == zipfile.ZIP_STORED and entry.file_size <= METADATA_LIMIT
                metadata = json.loads(archive.read(entry)) if ours else {}
            name, version, length, checksum = (
                metadata[key] for key in ("name", "format", "model_bytes", "model_crc32")
            )
        except UNREADABLE:
            raise ValueError(f"{path}: cut, or not a file that python -m export wrote") from None
        if name != NAME:
            raise ValueError(f"{path}: holds {str(name)[:40]!r}, not a generator of Keras DCGAN")
        size = os.fstat(file.fileno()).st_size
        if [type(value) for value in (version, length, checksum)] != [int] * 3 or not 0 < length <= size:
            raise ValueError(f"{path}: cut, or not a file that python -m export wrote")
        if version > FORMAT:
            raise ValueError(f"{path}: of format {version}; this program reads up to {FORMAT}; use a newer sampler.py")
        file.seek(0)
        found, left = 0, length
        while left and (part := file.read(min(left, 2**20))):
            found, left = zlib.crc32(part, found), left - len(part)
        if left or found != checksum:
            raise ValueError(f"{path}: damaged; its checksum is wrong")
    return metadata


def make_grid(pictures: list[np.ndarray]) -> np.ndarray:
    """Lays uint8 pictures [S, S, C] out row by row, as square as can be; cells without a picture are black."""
    columns = math.ceil(math.sqrt(len(pictures)))
    size, _, channels = pictures[0].shape
    grid = np.zeros((math.ceil(len(pictures) / columns) * size, columns * size, channels), np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * size, i % columns * size
        grid[y : y + size, x : x + size] = picture
    return grid


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, C], C being 1 or 3 (RGB), as PNG, atomically."""
    height, width, channels = image.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter; 0: none
    rows[:, 1:] = image.reshape(height, -1)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b"")
    temporary = Path(f"{path}.{os.getpid()}.part")
    try:
        temporary.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _without_start_up_notes() -> Iterator[None]:
    """Keeps the runtime's "Created XNNPACK delegate" off stderr; its errors come as exceptions."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _at_least(low: int):
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value < 2**31:
            raise argparse.ArgumentTypeError(f"{value}: must be from {low} to {2**31 - 1}")
        return value

    parse.__name__ = "number"
    return parse


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export.sampler",
        description="Draws pictures from an exported .tflite file; the same seed gives the same pictures everywhere.",
    )
    parser.add_argument("file", help="generator-int8.tflite or another file that python -m export wrote")
    parser.add_argument("--count", type=_at_least(1), default=64, help="how many pictures [64]")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="which pictures [0]")
    parser.add_argument("--out", default="grid.png", help=".png file for a grid, or a folder ending in / [grid.png]")
    parser.add_argument("--threads", type=_at_least(1), default=1, help="threads of the runtime [1]")
    given = parser.parse_args(arguments)
    given.file, given.out = os.path.expanduser(given.file), os.path.expanduser(given.out)  # the shell skips --out=~/x
    if not given.out.endswith("/") and not given.out.lower().endswith(".png"):
        parser.error(f"--out={given.out}: must end in .png, or in / for a folder of single pictures")
    return given


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 a fault of the machine, 2 a user's mistake, 130 interrupted."""
    given = _parse(arguments)
    try:
        sampler = Sampler(given.file, given.threads)
        Path(given.out if given.out.endswith("/") else Path(given.out).parent).mkdir(parents=True, exist_ok=True)
        start, pictures = time.perf_counter(), []
        for index in range(given.count):
            picture = sampler.draw(given.seed, index)
            if given.out.endswith("/"):
                write_png(Path(given.out) / f"{index:06d}.png", picture)
            else:
                pictures.append(picture)
        milliseconds = 1e3 * (time.perf_counter() - start) / given.count
        if pictures:
            write_png(given.out, make_grid(pictures))
    except (ValueError, FileNotFoundError, IsADirectoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    print(f"Wrote {given.out}: {given.count} pictures, {milliseconds:.1f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
