"""Prepared images: uint8 arrays of the network's size in `.npy` shards, any image of which is one read away.

Plain arrays rather than records in sequence, so that the order of a run stays a function of (seed, epoch) and a resumed
run goes on with the same bytes.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_dcgan.arrays import npy_header
from keras_dcgan.files import atomic_path, is_temporary, write_text
from keras_dcgan.progress import Progress
from keras_dcgan.sources import ArrayFiles, Images

INDEX = "index.json"
PLAN = "plan.json"  # what is being written; there until the index is
LOCK = ".lock"
FORMAT = "keras_dcgan shards 1"
SHARD_BYTES = 2**28
BATCH = 256  # images decoded at once; fewer of large ones


def write_shards(images: np.ndarray | Images, folder: str | Path, about: dict[str, Any], title: str) -> None:
    """Writes images into a folder of shards with an index, or goes on where an interrupted writing of them ended.

    Args:
      images: uint8 [N, S, S, C].
      folder: made where it is missing.
      about: JSON values that identify the images; they are kept in the index.
      title: for the progress bar.

    A second process that wants the same waits for the first. Raises ValueError for a folder that holds something else,
    OSError where it cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_shards(images, folder, about, title)


def _write_shards(images: np.ndarray | Images, folder: Path, about: dict[str, Any], title: str) -> None:
    length = int(np.prod(images.shape[1:]))
    per_shard = max(1, SHARD_BYTES // length)
    plan = {"format": FORMAT, "shape": list(images.shape), "per_shard": per_shard, **about}
    done = _read_json(folder / INDEX)
    if done and all(done.get(name) == value for name, value in plan.items()):
        return
    for left in [path for path in folder.iterdir() if path.name.startswith(".images-") or is_temporary(path)]:
        left.unlink()  # by a process that was killed
    known = (LOCK, "dataset.json")  # the latter by a start that was refused for its data
    if any(path.name not in known for path in folder.iterdir()) and _read_json(folder / PLAN) != plan:
        raise ValueError(f"{folder}: holds something else; give a new or empty folder")
    write_text(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    progress = Progress(title, len(images))
    shards = []
    for number, start in enumerate(range(0, len(images), per_shard)):
        stop = min(start + per_shard, len(images))
        path = folder / f"images-{number:05d}.npy"
        if not path.exists():
            _write_shard(path, images, start, stop, max(1, min(BATCH, 2**26 // length)), progress)
        else:
            progress.add(stop - start)
        shards.append({"file": path.name, "images": stop - start, "blake2b": _digest(path)})
    write_text(folder / INDEX, json.dumps({**plan, "shards": shards}, indent=2) + "\n")
    (folder / PLAN).unlink()


def is_prepared(folder: str | Path) -> bool:
    """Whether a folder holds the index of prepared images."""
    index = _read_json(Path(folder) / INDEX)
    return isinstance(index, dict) and index.get("format") == FORMAT


def open_shards(folder: str | Path, verify: bool = False) -> tuple[ArrayFiles, dict[str, Any]]:
    """The images of a folder that `write_shards` made, and its index.

    Sizes are checked always, checksums with `verify`, which reads everything. Raises ValueError, naming the file, for
    what is missing, cut or altered.
    """
    folder = Path(folder)
    index = _read_json(folder / INDEX)
    try:
        if index is None or index["format"] != FORMAT:
            raise ValueError(f"not an index of {FORMAT}")
        count, *shape = (int(side) for side in index["shape"])
        height, width, channels = shape
        files = []
        for entry in index["shards"]:
            path = folder / Path(entry["file"]).name  # never outside of the folder
            if not path.is_file():
                raise ValueError(f"{path.name} is missing; prepare the data set again")
            found, fortran, dtype, offset = npy_header(path)
            expected = (entry["images"], height, width, channels)
            size = offset + int(np.prod(expected, dtype=object))
            if found != expected or fortran or dtype != np.uint8 or path.stat().st_size != size:
                raise ValueError(f"{path.name} is cut or another file; prepare the data set again")
            if verify and _digest(path) != entry["blake2b"]:
                raise ValueError(f"{path.name} has a wrong checksum; prepare the data set again")
            files.append((path, offset, entry["images"]))
        if sum(entry[2] for entry in files) != count or not count or channels not in (1, 3):
            raise ValueError(f"its shards do not add up to {index['shape']}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX}: {error}") from error
    return ArrayFiles(files, (height, width, channels)), index


def fingerprint(index: dict[str, Any]) -> str:
    """What identifies the images of an index: a digest of the checksums of its shards."""
    parts = json.dumps([shard["blake2b"] for shard in index["shards"]])
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _write_shard(
    path: Path, images: np.ndarray | Images, start: int, stop: int, batch: int, progress: Progress
) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (stop - start, *images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(start, stop, batch):
            part = images[first : min(first + batch, stop)]
            file.write(np.ascontiguousarray(part).data)
            progress.add(len(part))
        file.flush()
        os.fsync(file.fileno())  # the index that will vouch for it must not outlive a power cut without it


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
