"""Draws pictures from an exported .tflite file, with numpy and ai-edge-litert only.

  python -m export.sampler generator-int8.tflite --count=64 --seed=7 --out=grid.png

If the generator has classes:

  python -m export.sampler generator-int8.tflite --label=7             # or a name, as --label=sneaker
  python -m export.sampler generator-int8.tflite --write=2026 --count=3

This file needs nothing else of the project: copy it and a .tflite file to a small computer, install
requirements-device.txt there, and run it as python sampler.py. The same seed gives the same pictures everywhere.

One handwriting: --write draws every picture of its row r from the latents of picture r, so only the class differs.
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

NAME = "keras-dcgan-generator"  # in the metadata of our files
FORMAT, FORMAT_WITH_CLASSES = 1, 2  # of files without and with classes; this program reads both
METADATA, METADATA_LIMIT = "metadata.json", 2**20  # bytes; ours has some 1,200, and the names of up to 1,000 classes
WORD = 2**32 - 1
MOST_THREADS = 256  # far more crash the runtime
# What damaged archives and texts raise: cut, encrypted, nested too deep (RuntimeError and its RecursionError).
UNREADABLE = (zipfile.BadZipFile, EOFError, RuntimeError, LookupError, ValueError, TypeError)


class Sampler:
    """A generator in a `.tflite` file that `python -m export` wrote.

    Args:
      path: the file.
      threads: how many the runtime may use.

    `metadata` is the file's own description; `names` are those of the classes, [] if there are none, and `counts` their
    numbers of images in the data. Raises OSError if the file cannot be read, and ValueError, naming the file, if it is
    cut, altered, not one of ours, or newer than this program.

    Examples:
      >>> sampler = Sampler("examples/digits.tflite")
      >>> sampler.draw(seed=7, index=0, label=3).shape
      (64, 64, 1)
      >>> sampler.write(sampler.labels("2026"), seed=7, row=0).shape
      (64, 256, 1)
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.metadata = read_metadata(path)
        classes = self.metadata["classes"] if self.metadata["format"] == FORMAT_WITH_CLASSES else {}
        self.names: list[str] = classes.get("names", [])
        self.counts: list[int] = classes.get("counts", [])
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

    def draw(self, seed: int, index: int, label: int | None = None) -> np.ndarray:
        """Picture number `index` of a seed, both in 0 ... 2^31 - 1: uint8 [S, S, C].

        Draws the class `label`, in 0 ... K - 1, or `random_label` if there are classes and none is given. Raises
        ValueError for another label, and for any label if there are no classes.
        """
        inputs = {"seed": np.array([seed, index], np.int32)}
        if label is None and self.names:
            label = random_label(seed, index, self.counts)
        if label is not None:
            if not 0 <= label < len(self.names):
                raise ValueError(f"label {label}: there are {len(self.names)} classes")
            inputs["label"] = np.array([label], np.int32)
        return self._sample(**inputs)["picture"][0]

    def write(self, labels: Sequence[int], seed: int, row: int) -> np.ndarray:
        """One picture for each label, side by side, all from the latents of picture `row`: uint8 [S, N * S, C]."""
        return np.concatenate([self.draw(seed, row, label) for label in labels], axis=1)

    def label(self, name: str) -> int:
        """The label of a class by its name or, if no class has that name, its number. Raises ValueError for neither."""
        if name in self.names:
            return self.names.index(name)
        if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(self.names):
            return int(name)
        shown = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
        raise ValueError(f"{name!r} is not a class; they are {shown}" if self.names else "the file has no classes")

    def labels(self, text: str) -> list[int]:
        """The labels of a text: of names between commas or, if all names are single characters, of its characters.

        Raises ValueError if one of them is not a class.
        """
        characters = text and "," not in text and all(len(name) == 1 for name in self.names)
        return [self.label(name) for name in (text if characters else text.split(","))]


def random_label(seed: int, index: int, counts: Sequence[int]) -> int:
    """The class of picture `index` of a seed if none is asked for, in the mix of `counts`.

    A random word in 0 ... 2^32 - 1 picks one of sum(counts) images. Nothing is rounded: the page computes the same.

    Examples:
      >>> [random_label(7, index, counts=[3, 1]) for index in range(8)]
      [0, 0, 0, 0, 0, 1, 1, 0]
    """
    place = _mixed(_mixed(seed + 0x9E3779B9) + index) * sum(counts) >> 32
    label = 0
    while place >= counts[label]:
        place -= counts[label]
        label += 1
    return label


def _mixed(number: int) -> int:
    """Mixes the 32 low bits of a number: the last step of MurmurHash3 (Appleby 2011)."""
    word = number & WORD
    word = (word ^ word >> 16) * 0x85EBCA6B & WORD
    word = (word ^ word >> 13) * 0xC2B2AE35 & WORD
    return word ^ word >> 16


def read_metadata(path: str | Path) -> dict[str, Any]:
    """A file's own description, after a check of its length and checksum. Raises as `Sampler` does.

    Examples:
      >>> read_metadata("examples/digits.tflite")["image_size"]
      64
    """
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
        if version > FORMAT_WITH_CLASSES:
            raise ValueError(
                f"{path}: of format {version}; this program reads up to {FORMAT_WITH_CLASSES}; use a newer sampler.py"
            )
        if version == FORMAT_WITH_CLASSES and not _are_classes(metadata.get("classes")):
            raise ValueError(f"{path}: cut, or not a file that python -m export wrote")
        file.seek(0)
        found, left = 0, length
        while left and (part := file.read(min(left, 2**20))):
            found, left = zlib.crc32(part, found), left - len(part)
        if left or found != checksum:
            raise ValueError(f"{path}: damaged; its checksum is wrong")
    return metadata


def _are_classes(classes: Any) -> bool:
    """Whether a value from a file names classes, with how many images each has."""
    if not isinstance(classes, dict):
        return False
    names, counts = classes.get("names"), classes.get("counts")
    if not isinstance(names, list) or not isinstance(counts, list) or not len(names) == len(counts) > 0:
        return False
    sound = all(type(name) is str for name in names) and all(type(count) is int and count >= 0 for count in counts)
    return sound and len(set(names)) == len(names) and sum(counts) > 0


def make_grid(pictures: list[np.ndarray], columns: int = 0) -> np.ndarray:
    """Lays uint8 pictures [H, W, C] out row by row; cells without a picture are black. 0 columns: as many as rows."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    height, width, channels = pictures[0].shape
    grid = np.zeros((math.ceil(len(pictures) / columns) * height, columns * width, channels), np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * height, i % columns * width
        grid[y : y + height, x : x + width] = picture
    return grid


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, C], C being 1 or 3 (RGB), as PNG, atomically.

    Examples:
      >>> write_png("black.png", np.zeros((28, 28, 1), np.uint8))
      >>> Path("black.png").read_bytes()[1:4]
      b'PNG'
    """
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


def _from(low: int, high: int = 2**31 - 1):
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value}: must be from {low} to {high}")
        return value

    parse.__name__ = "number"
    return parse


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export.sampler",
        description="Draws pictures from an exported .tflite file; the same seed gives the same pictures everywhere.",
    )
    parser.add_argument("file", help="generator-int8.tflite or another file that python -m export wrote")
    parser.add_argument("--count", type=_from(1), help="how many pictures, or rows of --write [64, or 1 row]")
    parser.add_argument("--seed", type=_from(0), default=0, help="which pictures [0]")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--label", help="draw this class alone: its name or number [random, in the data's mix]")
    classes.add_argument(
        "--write", metavar="TEXT", help="draw these classes from the same latents: characters, or names between commas"
    )
    parser.add_argument("--out", default="grid.png", help=".png file for a grid, or a folder ending in / [grid.png]")
    parser.add_argument("--threads", type=_from(1, MOST_THREADS), default=1, help="threads of the runtime [1]")
    given = parser.parse_args(arguments)
    given.count = given.count or (64 if given.write is None else 1)
    given.file, given.out = os.path.expanduser(given.file), os.path.expanduser(given.out)  # the shell skips --out=~/x
    if not given.out.endswith("/") and not given.out.lower().endswith(".png"):
        parser.error(f"--out={given.out}: must end in .png, or in / for a folder of single pictures")
    return given


def _asked(flag: str, value: str, read) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"--{flag}={value}: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 a fault of the machine, 2 a user's mistake, 130 interrupted."""
    given = _parse(arguments)
    try:
        sampler = Sampler(given.file, given.threads)
        text = None if given.write is None else _asked("write", given.write, sampler.labels)
        label = None if given.label is None else _asked("label", given.label, sampler.label)
        Path(given.out if given.out.endswith("/") else Path(given.out).parent).mkdir(parents=True, exist_ok=True)
        seconds, pictures = 0.0, []
        for index in range(given.count):
            start = time.perf_counter()
            picture = sampler.write(text, given.seed, index) if text else sampler.draw(given.seed, index, label)
            seconds += time.perf_counter() - start
            if given.out.endswith("/"):
                write_png(Path(given.out) / f"{index:06d}.png", picture)
            else:
                pictures.append(picture)
        drawn = given.count * len(text or "1")
        if pictures:
            write_png(given.out, make_grid(pictures, columns=1 if text else 0))
    except (ValueError, FileNotFoundError, IsADirectoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    print(f"Wrote {given.out}: {drawn} {'picture' if drawn == 1 else 'pictures'}, {1e3 * seconds / drawn:.1f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
