"""Reads labels: by the sub-folder of a picture, from a file beside the pictures, or from an array beside the images."""

import csv
import dataclasses
import json
import os
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_dcgan.datasets.labels import Labels, missing

CSV = "labels.csv"
JSON = "dataset.json"  # as stylegan3's dataset_tool writes it
ARRAYS = ("y", "labels")  # in a .npz
NUMBER = re.compile("-?[0-9]{1,18}")


def of_folder(folder: Path, files: Sequence[str]) -> Labels:
    """The labels of picture files: of `labels.csv` or `dataset.json` in their folder, else their sub-folders.

    Args:
      folder: what the names are relative to.
      files: the names of the N files.

    Returns:
      Labels with `trouble` if there are none, or if that file has an error.

    Examples:
      >>> labels = of_folder(Path("pets"), ["cats/1.jpg", "cats/2.jpg", "dogs/1.jpg"])
      >>> labels.names, labels.numbers.tolist()
      (('cats', 'dogs'), [0, 0, 1])
    """
    try:
        for name, read in ((CSV, _read_csv), (JSON, _read_json)):
            if (folder / name).is_file() and (entries := read(folder / name)) is not None:
                return _by_entries(f"labels in {name}", entries, files)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        problem = "is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        return missing(len(files), f"{folder / name}: {problem}", f"labels in {name}")
    tops = [_clean(file.split(os.sep, 1)[0]) if os.sep in file else "" for file in files]
    if not any(tops):
        return missing(
            len(files),
            f"{folder} has no labels. They are read from its sub-folders (one for each class), from {CSV} (with the "
            f"header file,label), or from {JSON} (as stylegan3 writes it)",
        )
    return _by_names("sub-folders", tops)


def of_array(path: Path, count: int) -> Labels:
    """The labels of the `count` images of an array file: `y` or `labels`, int [N], of a `.npz`.

    `class_names` in the same file, str [K], names the classes; without it their numbers do. Returns Labels with
    `trouble` if there are none, or if they do not fit.

    Examples:
      >>> np.savez("pets.npz", images=np.zeros((3, 16, 16), np.uint8), y=[0, 0, 1], class_names=["cat", "dog"])
      >>> labels = of_array(Path("pets.npz"), 3)
      >>> labels.names, labels.numbers.tolist()
      (('cat', 'dog'), [0, 0, 1])
    """
    if path.suffix.lower() != ".npz":
        return missing(count, f"{path} has no labels. They are read from y or labels in a .npz file")
    place = "labels"
    try:
        with np.load(path, allow_pickle=False) as stored:
            name = next((name for name in ARRAYS if name in stored.files), None)
            if name is None:
                return missing(count, f"{path} has no labels; they would be an array y or labels, int [{count}]")
            place = f"labels in {name} of {path.name}"
            values = stored[name]
            names = stored["class_names"] if "class_names" in stored.files else None
            return _by_numbers(place, name, values, names, count)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        return missing(count, f"{path}: {error}", place)


def _read_csv(path: Path) -> list[tuple[str, str]]:
    """The lines (file, label) of a table with this header. Raises ValueError or csv.Error for another content."""
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
        header, *rows = list(csv.reader(file, skipinitialspace=True)) or [[]]
    if not {"file", "label"} <= set(header):
        raise ValueError("must begin with the header file,label")
    columns = header.index("file"), header.index("label")
    entries = [[row[column] for column in columns if column < len(row)] for row in rows]
    if broken := next((entry for entry in entries if "\n" in "".join(entry)), None):
        raise ValueError(f'a quote (") is missing at {",".join(broken).splitlines()[0]}')
    return [(entry[0], entry[1]) for entry in entries if len(entry) == 2]


def _read_json(path: Path) -> list[tuple[str, str]] | None:
    """The pairs of a `dataset.json`, or None if that file is of another kind. Raises ValueError for wrong labels."""
    content: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "labels" not in content:
        return None
    labels = content["labels"]
    if labels is None:  # stylegan3's way to say so; its sub-folders are not classes
        raise ValueError("has no labels (null)")
    for entry in labels if isinstance(labels, list) else [labels]:
        sound = isinstance(entry, list) and len(entry) == 2 and type(entry[0]) is str and type(entry[1]) in (int, str)
        if not sound:
            raise ValueError(f"labels must be a list of [file, number or name], and here is {json.dumps(entry)[:80]}")
    return [(file, str(label)) for file, label in labels]


def _by_entries(place: str, entries: Iterable[tuple[str, str]], files: Sequence[str]) -> Labels:
    """The labels that a file gives to the files. Raises ValueError if it gives two to one."""
    number = {_normal(file): index for index, file in enumerate(files)}
    names, absent = [""] * len(files), []
    for file, text in entries:
        index = number.get(_normal(file), number.get(_normal(file.replace("\\", "/"))))  # Windows separates by \
        label = _clean(text.strip())
        if index is None:
            absent.append(file)
        elif names[index] not in ("", label):
            raise ValueError(f"gives {file} two labels, {names[index]} and {label}")
        else:
            names[index] = label
    return dataclasses.replace(_by_names(place, names), absent=tuple(absent))


def _by_names(place: str, texts: Sequence[str]) -> Labels:
    """Labels of images whose class is given by name, an empty one being none."""
    names = sorted(set(texts) - {""})
    if all(NUMBER.fullmatch(name) for name in names):
        names.sort(key=int)
    label = {"": -1} | {name: index for index, name in enumerate(names)}
    return Labels(place, tuple(names), np.array([label[text] for text in texts], np.int32))


def _by_numbers(place: str, array: str, values: np.ndarray, names: np.ndarray | None, count: int) -> Labels:
    """Labels of images whose class is given by number. Raises ValueError for arrays that do not fit."""
    if not np.issubdtype(values.dtype, np.integer) or values.shape not in ((count,), (count, 1)):
        raise ValueError(f"{array} is {values.dtype} {list(values.shape)}; labels are integers [{count}]")
    used, numbers = np.unique(values.reshape(count), return_inverse=True)
    if used[0] < 0:
        raise ValueError(f"{array} holds {used[0]}; labels begin at 0")
    if names is None:
        return Labels(place, tuple(map(str, used.tolist())), numbers.astype(np.int32))
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"class_names is {names.dtype} {list(names.shape)}; it must be an array of texts")
    texts = [_clean(name) for name in names.tolist()]
    if len(set(texts)) < len(texts) or "" in texts:
        raise ValueError("class_names holds an empty name or the same name twice")
    if used[-1] >= len(texts):
        raise ValueError(f"{array} holds {used[-1]}, and class_names has only {len(texts)} names")
    return Labels(place, tuple(texts), values.reshape(count).astype(np.int32)).select(np.arange(count))


def _clean(name: str) -> str:
    """A class name that fits on a line anywhere: composed Unicode; bytes that are not UTF-8 are written as \\xff."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", re.sub(r"[\x00-\x1f\x7f]", " ", text))


def _normal(file: str) -> str:
    """One spelling of the name of a file, so that the same file is found under it."""
    return unicodedata.normalize("NFC", os.path.normpath(file))
