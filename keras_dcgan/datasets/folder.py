"""A folder of pictures, inspected once: which files can be used, which not and why; remembered for the next start."""

import dataclasses
import hashlib
import os
import stat
import time
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from absl import logging

from keras_dcgan.datasets.decode import SUFFIXES, heif_version, inspect, read_file
from keras_dcgan.datasets.named import cache_folder
from keras_dcgan.tools.files import atomic_path
from keras_dcgan.tools.terminal import progress

REMEMBER_SECONDS = 60
CHUNK = 64  # files that a thread inspects in one go
MEMORY_FORMAT = 3


@dataclasses.dataclass
class Scan:
    """What is known of the N picture files of a folder, in the order of their names.

    Arrays and one list of names, not an object per file: a million files take some 200 MB.
    """

    names: list[str]  # relative to the folder, sorted
    sizes: np.ndarray  # int64 [N], bytes
    times: np.ndarray  # int64 [N], modification time in nanoseconds
    digests: np.ndarray  # uint8 [N, 16], BLAKE2b of the content; zeros: not inspected yet
    shapes: np.ndarray  # int32 [N, 2], width and height as people see them; zeros for a file that cannot be decoded
    colour: np.ndarray  # bool [N]
    reasons: dict[int, str]  # why files cannot be decoded
    others: int = 0  # files of other kinds, hidden ones and linked folders, which are skipped

    def problems(self, min_side: int, outside: Collection[int] = ()) -> dict[int, str]:
        """Every file to skip and why: cannot be decoded, too small, or the same as one before it.

        The files `outside` are not looked at.
        """
        found = dict(self.reasons)
        for index in np.flatnonzero(self.shapes.min(axis=1) < min_side):
            width, height = self.shapes[index]
            found.setdefault(int(index), f"too small: {width} x {height} pixels, min_side={min_side}")
        found = {index: reason for index, reason in found.items() if index not in outside}
        sound = np.array([i for i in range(len(self.names)) if i not in found and i not in outside], np.int64)
        _, first, group = np.unique(
            self.digests[sound].view("V16")[:, 0], return_index=True, return_inverse=True
        ) if len(sound) else (None, sound, sound)  # fmt: skip
        for index, original in zip(sound, sound[first[group]], strict=True):
            if index != original:
                found[int(index)] = f"the same as {self.names[original]}"
        return dict(sorted(found.items()))

    def report(self, kept: np.ndarray, problems: dict[int, str]) -> dict[str, Any]:
        """For `dataset.json`: counts, sizes, colours, a fingerprint, and each skipped file with its reason."""
        shorter = self.shapes[kept].min(axis=1)
        digest = hashlib.blake2b(digest_size=16)
        for index in kept:
            digest.update(os.fsencode(self.names[index]) + b"\0" + self.digests[index].tobytes())
        by_size = kept[np.argsort(shorter, kind="stable")]
        skipped = [{"file": self.names[index], "reason": reason} for index, reason in problems.items()]
        if not len(kept):
            return {"images": 0, "skipped": skipped}
        return {
            "images": len(kept),
            "colour": int(self.colour[kept].sum()),
            "grey": int((~self.colour[kept]).sum()),
            "median_shorter_side": int(np.median(shorter)),
            "aspect": round(float(np.median(self.shapes[kept, 0] / self.shapes[kept, 1])), 3),
            "smallest": "{}x{}".format(*self.shapes[by_size[0]]),
            "largest": "{}x{}".format(*self.shapes[by_size[-1]]),
            "suffixes": dict(Counter(os.path.splitext(self.names[index])[1].lower() for index in kept)),
            "other_files": self.others,
            "fingerprint": digest.hexdigest(),
            "skipped": skipped,
        }  # fmt: skip


def scan(folder: str | Path, memory: str | Path | None = None, threads: int = 0, listed: Scan | None = None) -> Scan:
    """Inspects every picture under a folder: reads and decodes each once, in parallel, with a progress bar.

    Files whose name, size and time are as remembered are not read again. Raises OSError for a folder that cannot be
    read.

    Args:
      folder: searched with all folders in it; names that begin with a dot and linked folders are skipped.
      memory: folder of the file that remembers; by default the cache under the Keras home.
      threads: how many at once; 0: two for each processor, since reading waits for the disk.
      listed: what `list_files` gives, if that is known already; it is filled in.

    Examples:
      >>> from PIL import Image
      >>> Path("photos").mkdir()
      >>> for name in ("a.png", "b.png"):
      ...     Image.new("RGB", (32, 32)).save(f"photos/{name}")
      >>> scan("photos", memory="inspected").problems(min_side=16)
      {1: 'the same as a.png'}
    """
    folder = Path(folder).resolve()
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    memory = Path(memory or cache_folder("inspected")) / f"{folder.name}-{name}.npz"
    found = listed or list_files(folder)
    todo = np.flatnonzero(~_recall(found, memory))
    if len(todo):
        _inspect_files(folder, found, todo, memory, threads)
    return found


def _inspect_files(folder: Path, found: Scan, todo: np.ndarray, memory: Path, threads: int) -> None:
    """Fills in what `found` says of the files with these numbers, and remembers it now and then."""
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]

    def inspect_chunk(chunk: np.ndarray) -> list[tuple[int, bytes, tuple[int, int, bool], str]]:
        return [(int(index), *_inspect_file(folder / found.names[index])) for index in chunk]

    remembered = time.monotonic()
    pool = ThreadPoolExecutor(threads or 2 * (os.cpu_count() or 1))
    try:
        with progress(f"Inspecting {folder.name}", len(todo), "file") as bar:
            for results in pool.map(inspect_chunk, chunks):
                for index, digest, (width, height, colour), reason in results:
                    found.digests[index] = np.frombuffer(digest, np.uint8)
                    found.shapes[index], found.colour[index] = (width, height), colour
                    if reason:
                        found.reasons[index] = reason
                bar.update(len(results))
                if time.monotonic() - remembered > REMEMBER_SECONDS:  # kill -9 runs no finally
                    _remember(found, memory)
                    remembered = time.monotonic()
    finally:  # also when interrupted: what was inspected need not be inspected again
        pool.shutdown(cancel_futures=True)
        _remember(found, memory)


def _inspect_file(path: Path) -> tuple[bytes, tuple[int, int, bool], str]:
    """Digest, (width, height, colour) and, if the file cannot be used, the reason."""
    digest = b"\1" * 16  # of a file that could not even be read
    try:
        data = read_file(path)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        return digest, inspect(data), ""
    except OSError as error:
        return digest, (0, 0, False), f"cannot be read: {error.strerror}"
    except (ValueError, MemoryError) as error:
        return digest, (0, 0, False), str(error) or "takes too much memory"


def list_files(folder: Path) -> Scan:
    """Every picture file under a folder by its name, not yet inspected. Raises OSError if it cannot be read."""
    entries: list[tuple[str, int, int]] = []
    others, pending = 0, [""]
    while pending:
        inside = pending.pop()
        with os.scandir(folder / inside) as listing:
            for entry in listing:
                name = os.path.join(inside, entry.name)
                if entry.name.startswith("."):
                    others += 1
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(name)
                elif not entry.name.lower().endswith(SUFFIXES):
                    others += 1
                else:
                    try:
                        status = entry.stat()
                    except OSError:  # a link to nothing; inspecting it shows why
                        status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                        entries.append((name, status.st_size, status.st_mtime_ns))
                    else:  # a pipe or device, which reading would wait on for ever, or a linked folder
                        others += 1
    entries.sort()
    count = len(entries)
    return Scan(
        [entry[0] for entry in entries],
        np.array([entry[1] for entry in entries], np.int64),
        np.array([entry[2] for entry in entries], np.int64),
        np.zeros((count, 16), np.uint8), np.zeros((count, 2), np.int32), np.zeros(count, bool), {}, others,
    )  # fmt: skip


def _recall(found: Scan, memory: Path) -> np.ndarray:
    """Fills in what is remembered of files that have not changed since; bool [N], which these are."""
    known = np.zeros(len(found.names), bool)
    try:
        with np.load(memory, allow_pickle=False) as stored:
            if str(stored["format"]) != _memory_format():
                return known
            row_of = {name: row for row, name in enumerate(_split(stored["names"]))}
            sizes, times = stored["sizes"], stored["times"]
            digests, shapes, colour = stored["digests"], stored["shapes"], stored["colour"]
            reasons = dict(zip(stored["bad"].tolist(), _split(stored["reasons"]), strict=True))
    except FileNotFoundError:
        return known
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logging.warning("%s: not usable, so every file is inspected again: %s", memory, error)
        return known
    for index, name in enumerate(found.names):
        row = row_of.get(name)
        if row is None or sizes[row] != found.sizes[index] or times[row] != found.times[index]:
            continue
        known[index] = digests[row].any() and "cannot be read" not in reasons.get(row, "")
        if known[index]:
            found.digests[index], found.shapes[index], found.colour[index] = digests[row], shapes[row], colour[row]
            if row in reasons:
                found.reasons[index] = reasons[row]
    return known


def _remember(found: Scan, memory: Path) -> None:
    """Writes what is known atomically; if that fails, warns, and the next start inspects the files again."""
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(memory) as temporary:
            np.savez(
                temporary, format=np.array(_memory_format()), names=_joined(found.names), sizes=found.sizes,
                times=found.times, digests=found.digests, shapes=found.shapes, colour=found.colour,
                bad=np.array(list(found.reasons), np.int64), reasons=_joined(found.reasons.values()),
            )  # fmt: skip
    except OSError as error:
        logging.warning("%s: cannot be written: %s", memory, error.strerror or error)


def _memory_format() -> str:
    return f"{MEMORY_FORMAT}, Pillow {PIL.__version__}, pillow-heif {heif_version()}"  # others may read other files


def _joined(texts: Iterable[str]) -> np.ndarray:
    return np.frombuffer(b"".join(os.fsencode(text) + b"\0" for text in texts), np.uint8)


def _split(joined: np.ndarray) -> list[str]:
    return [os.fsdecode(part) for part in joined.tobytes().split(b"\0")[:-1]]
