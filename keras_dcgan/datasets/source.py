"""The door to this room: opens what a run trains on by its name or path, and reports what is in it."""

import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from keras_dcgan.config import NAMED_DATASETS, SettingError, TrainConfig, is_path, setting_names, written
from keras_dcgan.datasets import arrays, folder, label_files, named, prepared
from keras_dcgan.datasets.data import Data, with_size
from keras_dcgan.datasets.decode import SUFFIXES
from keras_dcgan.datasets.labels import IN_NO_CLASS, Labels
from keras_dcgan.datasets.square import Target
from keras_dcgan.datasets.stored import FittedImages, FolderImages, Images
from keras_dcgan.runs import DATASET_REPORT
from keras_dcgan.tools import storage
from keras_dcgan.tools.files import write_text

LISTED = 3  # files that an error names
COMPARED = 1000  # images of an array by which it is known again, spread over it
TYPICAL = 20  # images: classes with fewer on average are learned only if labels are "on"


def locate(dataset: str) -> str:
    """A data set as a configuration holds it: a known name, a URL, or a real path. Raises SettingError for others.

    Examples:
      >>> locate("mnist"), Path(locate(".")).is_absolute()
      ('mnist', True)
    """
    if dataset in NAMED_DATASETS or storage.is_remote(dataset):
        return dataset
    path = Path(os.path.realpath(os.path.expanduser(dataset)))  # Path raises for `~nobody` and loops
    if not dataset or not path.exists():
        close = difflib.get_close_matches(dataset, NAMED_DATASETS, 1)
        raise SettingError(
            f"dataset={dataset}",
            f"no such folder or file, and none of {', '.join(NAMED_DATASETS)}"
            + (f"; did you mean {close[0]}?" if close else ""),
        )
    return str(path)


def open_data(config: TrainConfig, with_labels: bool = False, report_folder: str | Path | None = None) -> Data:
    """Opens a configuration's data set.

    Args:
      config: `dataset`, and the settings that belong to it; the size that an "auto" becomes is that of `with_size`.
      with_labels: give labels too. If the setting `labels` is "on", images in no class are skipped, and data by path
        that has no usable labels is an error. Otherwise such data, and a named data set whose labels no source has,
        comes without them; with "auto" also data by path whose classes have fewer than `TYPICAL` images on average.
      report_folder: where `dataset.json` goes if too many files of a folder cannot be used; made if it is missing.

    Raises SettingError or BadFile for data that cannot be trained on, DatasetUnavailable for a named data set that no
    source has, and OSError for files that cannot be read.

    Examples:
      >>> np.savez("pets.npz", images=np.zeros((40, 32, 32), np.uint8), y=[0] * 20 + [1] * 20)
      >>> data = open_data(TrainConfig(dataset="./pets.npz", labels="auto"), with_labels=True)
      >>> data.images.shape, data.classes.counts
      ((40, 32, 32, 1), (20, 20))
    """
    path = Path(config.dataset)
    if storage.is_remote(config.dataset):
        path = prepared.fetch_prepared(config.dataset, _copy_of(config))
    if not is_path(config.dataset):
        data = _open_named(config, with_labels)
    elif prepared.is_prepared(path):
        images, index = prepared.open_prepared(path)
        about = {"prepared_from": index.get("source"), "fingerprint": prepared.fingerprint(index), **_shape(images)}
        if isinstance(index.get("aspect"), float):  # of the pictures, before they were stretched
            about["aspect"] = index["aspect"]
        data = _same_size(config, images, **about)
        data = dataclasses.replace(data, found=prepared.open_labels(path, index))
    elif path.is_dir():
        skipping = with_labels and config.labels == "on"
        data = _open_folder(config, path, skipping, Path(report_folder) if report_folder else None)
    else:
        data = _open_array(config)
    by_path = is_path(config.dataset)
    if not with_labels or (config.labels == "auto" and by_path and _has_rare_classes(data)):
        return data
    return data.with_classes(required=config.labels == "on" and by_path)


def make_square(data: Data, config: TrainConfig) -> Data:
    """Data whose images are uint8 [N, S, S, C], of the size and channels of a configuration; the pipeline need not."""
    if isinstance(data.images, FolderImages):
        return data
    return dataclasses.replace(data, images=FittedImages(data.images, target_of(config)))


def target_of(config: TrainConfig) -> Target:
    """What the settings make of every picture."""
    return Target(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Target)})


def identify(data: Data, config: TrainConfig) -> dict[str, Any]:
    """What the index of prepared images records: where they came from, and what was made of them."""
    fingerprint = data.report.get("fingerprint")
    return {"source": data.name, "source_fingerprint": fingerprint, **dataclasses.asdict(target_of(config))}


def describe(data: Data, config: TrainConfig) -> str:
    """One line for people: how many images, their sizes and colours, how many files were skipped, what they become."""
    report = data.report
    parts = [f"{Path(data.name).name}: {report['images']:,} images"]
    if "smallest" in report:
        sizes = f"{report['smallest']} to {report['largest']} pixels"
        parts.append(f"{sizes} (median shorter side {report['median_shorter_side']})")
        parts.append(f"{report['colour']:,} in colour, {report['grey']:,} grey")
        if bad := len(report["skipped"]) - report.get("in_no_class", 0):
            parts.append(f"{bad:,} files skipped, see {DATASET_REPORT}")
    else:
        parts.append(f"{report['stored_as']} each")
    if "in_no_class" in report:
        parts.append(f"{report['in_no_class']:,} more {IN_NO_CLASS}, which are skipped")
    size = config.image_size
    return ", ".join(parts) + f"; to {size}x{size}x{config.channels} ({config.resize_mode})"


def describe_classes(data: Data) -> str:
    """One line for people: the largest classes, or what labels=on would do; an empty text for data without labels."""
    return data.found.describe(learned=data.classes is not None) if data.found else ""


def write_report(report: dict[str, Any], config: TrainConfig, folder: Path) -> None:
    """Writes `dataset.json` to a folder, made if it is missing: what was found, and the settings that decode it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {name: written(name, getattr(config, name)) for name in setting_names("decoding")}
    write_text(folder / DATASET_REPORT, json.dumps(settings | report, indent=2) + "\n")


def check_same(data: Data, path: str | Path) -> None:
    """Raises SettingError if the `dataset.json` at `path` reports other images or labels; warns if it is missing."""
    try:
        before = json.loads(Path(path).read_text(encoding="utf-8"))
        then, count = before.get("fingerprint"), before["images"]
        classes = before.get("classes", {}).get("fingerprint")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        logging.warning("%s: missing or damaged, so nothing shows whether the images are still the same", path)
        return
    if then != data.report.get("fingerprint"):
        raise SettingError(
            "resume",
            f"{data.name} does not hold the images that this run began with ({count} then, {len(data)} now); restore "
            "them, give the place where they are as dataset, or begin a new run",
        )
    if classes != data.report.get("classes", {}).get("fingerprint"):
        raise SettingError(
            "resume",
            f"the labels of {data.name} are not those that this run began with; restore them, or begin a new run",
        )


@contextlib.contextmanager
def reading_errors(data: Data) -> Iterator[None]:
    """Raises the error that ended the reading of an image, which names the file, and not TensorFlow's version of it."""
    try:
        yield
    except Exception:
        failure = getattr(data.images, "failure", None)
        if failure is not None:
            raise failure from None
        raise


def _has_rare_classes(data: Data) -> bool:
    return data.found is not None and len(data) < TYPICAL * len(data.found.names)


def _open_named(config: TrainConfig, with_labels: bool) -> Data:
    data = _same_size(config, named.load_images(config.dataset, config.data_dir or None))
    if not with_labels:
        return data
    try:
        numbers = named.load_labels(config.dataset, config.data_dir or None).astype(np.int32)
    except named.DatasetUnavailable as error:
        logging.warning("No labels, so the classes are skipped. %s", error)
        return data
    found = Labels(f"labels of {config.dataset}", named.CLASS_NAMES[config.dataset], numbers)
    return dataclasses.replace(data, found=found)


def _open_array(config: TrainConfig) -> Data:
    images = arrays.open_array(config.dataset)
    some = np.unique(np.linspace(0, len(images) - 1, COMPARED).astype(np.int64))  # all could be hours of reading
    fingerprint = hashlib.blake2b(f"{images.shape}".encode() + images[some].tobytes(), digest_size=16).hexdigest()
    data = _same_size(config, images, fingerprint=fingerprint, **_shape(images))
    data = dataclasses.replace(data, found=label_files.of_array(Path(config.dataset), len(images)))
    square = images.shape[1] == images.shape[2]  # the pipeline resizes these, and stretches
    return data if square or config.resize_mode == "stretch" else make_square(data, with_size(config, data.report))


def _same_size(config: TrainConfig, images: np.ndarray | Images, **about: Any) -> Data:
    """Data whose images all have one size."""
    stored_as = "x".join(map(str, images.shape[1:]))
    report = {"dataset": config.dataset, **about, "images": len(images), "stored_as": stored_as}
    return Data(config.dataset, images, report)


def _shape(images: np.ndarray | Images) -> dict[str, Any]:
    """What the report of a folder says of its pictures' shapes, for images of one size."""
    height, width = images.shape[1:3]
    return {"median_shorter_side": min(height, width), "aspect": round(width / height, 3)}


def _open_folder(config: TrainConfig, root: Path, skipping: bool, report_folder: Path | None) -> Data:
    """The pictures of a folder; with `skipping` those in no class are skipped, and labels without use are an error."""
    listed = folder.list_files(root)
    if not listed.names:
        raise SettingError(f"dataset={root}", f"no file in it ends in {', '.join(SUFFIXES)} ({listed.others} others)")
    found = label_files.of_folder(root, listed.names)
    outside: dict[int, str] = {}
    if skipping:
        found.check()  # before the pictures are inspected, which may take long
        outside = dict.fromkeys(found.outside.tolist(), IN_NO_CLASS)
    scan = folder.scan(root, config.cache_dir or None, 0, listed)
    problems = scan.problems(config.min_side, outside)
    skipped = dict(sorted((problems | outside).items()))
    kept = np.setdiff1d(np.arange(len(scan.names)), list(skipped))
    report = {"dataset": config.dataset, **scan.report(kept, skipped)}
    if outside:
        report["in_no_class"] = len(outside)
    candidates = len(scan.names) - len(outside)
    if not len(kept) or len(problems) > config.max_bad_share * candidates:
        if report_folder:
            write_report(report, config, report_folder)
        first = [f"{scan.names[index]}: {reason}" for index, reason in list(problems.items())[:LISTED]]
        more = f"; ... all in {report_folder / DATASET_REPORT}" if report_folder and len(problems) > LISTED else ""
        advice = "; remove them, or raise max_bad_share" if len(kept) else ""
        raise SettingError(
            f"max_bad_share={config.max_bad_share}",
            f"{len(problems)} of {candidates} pictures in {root} cannot be used ({'; '.join(first)}{more}){advice}",
        )
    config = with_size(config, report)
    images = FolderImages(root, [scan.names[index] for index in kept], scan.sizes[kept], target_of(config))
    data = Data(config.dataset, images, report, found=found.select(kept))
    return _cached(data, config) if config.cache_dir else data


def _cached(data: Data, config: TrainConfig) -> Data:
    """The same data from a decoded copy under `cache_dir`, made if it is missing."""
    identity = identify(data, config)
    digest = hashlib.blake2b(json.dumps({**identity, "source": None}).encode(), digest_size=8).hexdigest()
    target = Path(config.cache_dir) / f"{Path(config.dataset).name}-{digest}"
    prepared.write_prepared(data.images, target, identity, f"Decoding into {target}")
    return dataclasses.replace(data, images=prepared.open_prepared(target)[0])


def _copy_of(config: TrainConfig) -> Path:
    """The local folder for prepared images that a configuration gives by URL."""
    root = Path(config.cache_dir) if config.cache_dir else named.cache_folder("remote")
    return root / urllib.parse.quote(config.dataset.rstrip("/"), safe="")
