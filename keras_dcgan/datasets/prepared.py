"""Prepared images: uint8 arrays of the network's size in `.npy` files, any image of which is one read away.

Plain arrays rather than records in sequence, so that the order of a run stays a function of (seed, epoch) and a resumed
run sees the same batches, to the byte.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_dcgan.datasets.arrays import npy_header
from keras_dcgan.datasets.labels import Labels, missing
from keras_dcgan.datasets.stored import ArrayFiles, Images
from keras_dcgan.runs import DATASET_REPORT
from keras_dcgan.tools import storage
from keras_dcgan.tools.files import LOCK, BadFile, atomic_path, is_temporary, lock, write_text
from keras_dcgan.tools.terminal import progress

INDEX = "index.json"
LABELS = "labels.npy"  # int32 [N], -1: in no class; the index has the names
PLAN = "plan.json"  # what is being written; it is there until the index is
FORMAT = "keras_dcgan prepared 1"
LEFT = (LOCK, DATASET_REPORT)  # of a start that refused its data
OTHER = "holds something else; give a new or empty folder"
OTHER_IMAGES = (
    "holds something else: images of other pictures or with other settings, or a damaged index; remove it, or give "
    "another folder"
)
FILE_BYTES = 2**28
BATCH = 256  # images decoded at once; fewer of large ones


def write_prepared(
    images: np.ndarray | Images,
    folder: str | Path,
    about: dict[str, Any],
    title: str,
    labels: Labels | None = None,
    part: tuple[int, int] = (0, 1),
) -> bool:
    """Writes images into a folder of `.npy` files with an index, or resumes where an interrupted call ended.

    Args:
      images: uint8 [N, S, S, C].
      folder: made if it is missing.
      about: JSON values that identify the images; they are kept in the index. "source" may differ between two calls.
      title: for the progress bar.
      labels: of the images; they are kept beside them.
      part: (index, count): writes every count-th file alone, for several machines that share the work and the folder.

    Returns whether the folder is complete: the last part to end writes the index. A second process that wants the same,
    and not a part, waits for the first. Raises BadFile for a folder that holds something else, and OSError if it cannot
    be written.

    Examples:
      >>> write_prepared(np.zeros((5, 16, 16, 1), np.uint8), "photos-16", {"source": "photos"}, "Writing")
      True
      >>> sorted(os.listdir("photos-16"))
      ['.lock', 'images-00000.npy', 'index.json']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    per_file = max(1, FILE_BYTES // int(np.prod(images.shape[1:])))
    plan = {"format": FORMAT, "shape": list(images.shape), "per_file": per_file, **about, "classes": None}
    if labels:
        plan["classes"] = {"from": labels.place, "names": list(labels.names), "fingerprint": labels.fingerprint()}
    parts = part[1]
    with contextlib.ExitStack() as held:
        held.enter_context(lock(folder / LOCK, wait=True))
        if _agrees(_read_json(folder / INDEX), plan):
            return True
        if parts == 1 or not _agrees(_read_json(folder / PLAN), plan):  # else another part may be writing
            _begin(folder, plan, labels)
        if parts > 1:
            held.close()
        _write_files(images, folder, per_file, title, part)
        if parts > 1:
            held.enter_context(lock(folder / LOCK, wait=True))
        return _finish(folder, plan)


def is_prepared(folder: str | Path) -> bool:
    """Whether a folder holds the index of prepared images."""
    return _read_json(Path(folder) / INDEX).get("format") == FORMAT


def open_prepared(folder: str | Path, verify: bool = False) -> tuple[ArrayFiles, dict[str, Any]]:
    """The images of a folder that `write_prepared` made, and its index.

    Sizes are always checked, checksums only with `verify`, which reads everything. Raises BadFile for files that are
    missing, cut or altered.

    Examples:
      >>> _ = write_prepared(np.zeros((5, 16, 16, 1), np.uint8), "photos-16", {"source": "photos"}, "Writing")
      >>> images, index = open_prepared("photos-16", verify=True)
      >>> images.shape, index["source"]
      ((5, 16, 16, 1), 'photos')
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise BadFile(f"{folder}: holds no prepared images; keras_dcgan.prepare writes them")
    index = _read_json(folder / INDEX)
    try:
        if index.get("format") != FORMAT:
            raise ValueError(f"not an index of {FORMAT}")
        count, height, width, channels = (int(side) for side in index["shape"])
        files = [_check_file(folder, entry, (height, width, channels), verify) for entry in index["files"]]
        if sum(entry[2] for entry in files) != count or not count or channels not in (1, 3):
            raise ValueError(f"its files do not add up to {index['shape']}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{folder / INDEX}: {error}") from error
    return ArrayFiles(files, (height, width, channels)), index


def fetch_prepared(url: str, folder: Path) -> Path:
    """Brings prepared images from object storage into a local folder, unless they are there, and returns the folder.

    A second process that wants the same waits for the first. Raises BadFile if the URL holds no prepared images or
    some that do not agree with their index, and OSError if it cannot be read.
    """
    remote = storage.Remote(url)
    names = remote.names()
    if INDEX not in names:
        raise BadFile(f"{url}: holds no prepared images; keras_dcgan.prepare --out={url} writes them")
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / LOCK, wait=True):
        index = remote.read(INDEX)
        if (folder / INDEX).exists() and (folder / INDEX).read_bytes() == index:
            return folder
        for path in folder.iterdir():  # of other images, or of a fetch that was interrupted
            if path.name != LOCK:
                path.unlink()
        remote.fetch(folder, [name for name in names if name != INDEX and "/" not in name])
        try:
            (folder / INDEX).write_bytes(index)
            open_prepared(folder, verify=True)
        except BaseException:  # also a Ctrl-C: the next fetch would take the index for a sign that all was compared
            (folder / INDEX).unlink(missing_ok=True)
            raise
    return folder


def open_labels(folder: str | Path, index: dict[str, Any]) -> Labels:
    """The labels of a folder with this index, their checksum compared.

    Returns Labels with `trouble` if the images were prepared without any. Raises BadFile for a file that is missing,
    cut or altered.
    """
    path, count, about = Path(folder) / LABELS, index["shape"][0], index.get("classes")
    if about is None:
        return missing(count, f"{folder} has no labels. Give its pictures labels, and prepare them again")
    try:
        shape, _, dtype, offset = npy_header(path)
        if shape != (count,) or dtype != np.int32 or path.stat().st_size != offset + 4 * count:
            raise ValueError("is cut or another file")
        labels = Labels(about["from"], tuple(about["names"]), np.fromfile(path, np.int32, offset=offset))
        if labels.fingerprint() != about["fingerprint"]:
            raise ValueError("has a wrong checksum")
        return labels.select(np.arange(count))
    except FileNotFoundError as error:
        raise BadFile(f"{path}: is missing; prepare the data set again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: {error}; prepare the data set again") from error


def fingerprint(index: dict[str, Any]) -> str:
    """What identifies the images of an index: a digest of the checksums of its files."""
    parts = json.dumps([entry["blake2b"] for entry in index["files"]])
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _agrees(found: dict[str, Any], plan: dict[str, Any]) -> bool:
    """Whether an index or a plan is of the same images, wherever they came from."""
    return all(found.get(name) == value for name, value in plan.items() if name != "source")


def check_free(folder: Path) -> None:
    """Raises BadFile for a folder that holds other files than prepared images or what a refused start leaves."""
    names = {path.name for path in folder.iterdir() if not is_temporary(path)} if folder.is_dir() else set()
    if names.difference(LEFT) and not names & {PLAN, INDEX}:
        raise BadFile(f"{folder}: {OTHER}")


def _begin(folder: Path, plan: dict[str, Any], labels: Labels | None) -> None:
    """Makes a folder ready for its files: without what a killed process left, and with the labels and the plan.

    Raises BadFile if it holds something else.
    """
    for path in filter(is_temporary, list(folder.iterdir())):
        path.unlink()
    if any(path.name not in LEFT for path in folder.iterdir()) and not _agrees(_read_json(folder / PLAN), plan):
        ours = (folder / INDEX).exists() or (folder / PLAN).exists()
        raise BadFile(f"{folder}: {OTHER_IMAGES if ours else OTHER}")
    write_text(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    if labels:
        _write_labels(folder / LABELS, labels.numbers)


def _finish(folder: Path, plan: dict[str, Any]) -> bool:
    """Writes the index, in place of the plan, once all files are there; whether it is there."""
    if not (folder / PLAN).exists():  # another part has
        return True
    count, per_file, entries = plan["shape"][0], plan["per_file"], []
    for number, start in enumerate(range(0, count, per_file)):
        path = _file(folder, number)
        if not path.exists():
            return False
        entries.append({"file": path.name, "images": min(per_file, count - start), "blake2b": _digest(path)})
    write_text(folder / INDEX, json.dumps({**plan, "files": entries}, indent=2) + "\n")
    (folder / PLAN).unlink()
    return True


def _write_labels(path: Path, numbers: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, numbers.astype("<i4"), allow_pickle=False)


def _write_files(images: np.ndarray | Images, folder: Path, per_file: int, title: str, part: tuple[int, int]) -> None:
    """Writes those files of a part that are not there yet."""
    starts = list(enumerate(range(0, len(images), per_file)))[part[0] :: part[1]]
    with progress(title, sum(min(per_file, len(images) - start) for _, start in starts)) as bar:
        for number, start in starts:
            stop = min(start + per_file, len(images))
            if _file(folder, number).exists():
                bar.update(stop - start)
            else:
                _write_file(_file(folder, number), images, start, stop, bar)


def _file(folder: Path, number: int) -> Path:
    return folder / f"images-{number:05d}.npy"


def _write_file(path: Path, images: np.ndarray | Images, start: int, stop: int, bar: tqdm) -> None:
    batch = max(1, min(BATCH, 2**26 // int(np.prod(images.shape[1:]))))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (stop - start, *images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(start, stop, batch):
            part = images[first : min(first + batch, stop)]
            file.write(np.ascontiguousarray(part).data)
            bar.update(len(part))
        file.flush()
        os.fsync(file.fileno())  # the index that will vouch for it must not outlive a power cut without it


def _check_file(
    folder: Path, entry: dict[str, Any], image: tuple[int, int, int], verify: bool
) -> tuple[Path, int, int]:
    """Path, offset and number of images of an entry of the index. Raises ValueError if the file does not agree."""
    path = folder / Path(entry["file"]).name  # never outside of the folder
    if not path.is_file():
        raise ValueError(f"{path.name} is missing; prepare the data set again")
    found, fortran, dtype, offset = npy_header(path)
    expected = (entry["images"], *image)
    size = offset + int(np.prod(expected, dtype=object))
    if found != expected or fortran or dtype != np.uint8 or path.stat().st_size != size:
        raise ValueError(f"{path.name} is cut or another file; prepare the data set again")
    if verify and _digest(path) != entry["blake2b"]:
        raise ValueError(f"{path.name} has a wrong checksum; prepare the data set again")
    return path, offset, entry["images"]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, or nothing if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
