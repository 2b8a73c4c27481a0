"""What a run trains on: opens a data set by its name or path, tells what is in it, and shows sixteen of its images."""

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from keras_dcgan import arrays, folders, shards
from keras_dcgan.config import CHOICES_OF_DATASET, SettingError, TrainConfig, is_path
from keras_dcgan.files import write_text
from keras_dcgan.pictures import SUFFIXES
from keras_dcgan.runs import DATASET_PICTURE, DATASET_REPORT
from keras_dcgan.sources import FittedImages, FolderImages, Images

SHOWN = 16
SHOWN_SIDE = 128  # pixels at least of an image in the picture, so that small ones can be seen
NAMED = 3  # files that an error names


def resolve(dataset: str) -> str:
    """A data set as a configuration holds it: a known name, or its real path. Raises ValueError for neither."""
    if dataset in CHOICES_OF_DATASET:
        return dataset
    path = Path(dataset).expanduser().resolve()
    if not dataset or not path.exists():
        close = difflib.get_close_matches(dataset, CHOICES_OF_DATASET, 1)
        raise ValueError(
            f"--dataset={dataset}: no such folder or file, and none of {', '.join(CHOICES_OF_DATASET)}"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    return str(path)


def open_images(config: TrainConfig, folder: str | Path | None = None) -> tuple[np.ndarray | Images, dict[str, Any]]:
    """The images of a configuration's data set, and what there is to tell of them.

    Args:
      config: `dataset` and what belongs to it.
      folder: the run folder, made where it is missing, where the report is written if the images are refused for what
        it says.

    Returns:
      uint8 [N, H, W, C], in memory or read when indexed, and the report. Raises SettingError for data that cannot be
      trained on, datasets.DatasetUnavailable for a named data set that cannot be had, OSError for what cannot be read.
    """
    images: np.ndarray | Images
    report: dict[str, Any] = {"dataset": config.dataset}
    try:
        if not is_path(config.dataset):
            from keras_dcgan import datasets

            images = datasets.load_images(config.dataset, config.data_dir or None)
        elif shards.is_prepared(config.dataset):
            images, index = shards.open_shards(config.dataset)
            report |= {"prepared_from": index.get("source"), "fingerprint": shards.fingerprint(index)}
        elif Path(config.dataset).is_dir():
            images, found = _open_folder(config, Path(folder) if folder else None)
            report |= found
        else:
            images = arrays.open_array(config.dataset)
            ends = np.stack([images[:1], images[-1:]]).tobytes()  # all of it could be hours of reading
            report["fingerprint"] = hashlib.blake2b(f"{images.shape}".encode() + ends, digest_size=16).hexdigest()
            if images.shape[1] != images.shape[2] and config.fit != "stretch":  # squares are left to the pipeline
                images = fitted(images, config)
    except ValueError as error:
        raise error if isinstance(error, SettingError) else SettingError(f"--dataset: {error}") from error
    if "images" not in report:  # all of one size
        report |= {"images": len(images), "stored_as": "x".join(map(str, images.shape[1:]))}
    return images, report


def open_labels(config: TrainConfig) -> np.ndarray | None:
    """The labels that go with a named data set, uint8 [N], or None: training takes none, so they may not be there."""
    from keras_dcgan import datasets

    if is_path(config.dataset):
        return None
    try:
        return datasets.load_labels(config.dataset, config.data_dir or None)
    except datasets.DatasetUnavailable as error:
        logging.warning("No labels, so the classes are left out. %s", error)
        return None


def _open_folder(config: TrainConfig, folder: Path | None) -> tuple[Images, dict[str, Any]]:
    root = Path(config.dataset)
    scan = folders.scan(root, Path(config.cache_dir) if config.cache_dir else None)
    if not scan.names:
        raise SettingError(f"--dataset={root}: no file in it ends in {', '.join(SUFFIXES)} ({scan.others} others)")
    problems = scan.problems(config.min_side)
    kept = np.setdiff1d(np.arange(len(scan.names)), list(problems))
    report = scan.report(kept, problems)
    if not len(kept) or len(problems) > config.max_bad_share * len(scan.names):
        if folder:
            write_report({"dataset": str(root), **report}, config, folder)
        first = [f"{scan.names[index]}: {reason}" for index, reason in list(problems.items())[:NAMED]]
        more = f"; ... all in {folder / DATASET_REPORT}" if folder and len(problems) > NAMED else ""
        raise SettingError(
            f"--max_bad_share={config.max_bad_share}: {len(problems)} of {len(scan.names)} pictures in {root} cannot "
            f"be used ({'; '.join(first)}{more})"
        )
    images: Images = FolderImages(
        root, [scan.names[index] for index in kept], scan.sizes[kept], config.image_size, config.channels, config.fit,
        config.background,
    )  # fmt: skip
    if config.cache_dir:
        images = _cached(images, config, report["fingerprint"])
    return images, report


def _cached(images: Images, config: TrainConfig, fingerprint: Any) -> Images:
    """A decoded copy under `--cache_dir`, made where it is missing."""
    settings = f"{fingerprint} {images.shape} {config.fit} {config.background}"
    name = f"{Path(config.dataset).name}-{hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()}"
    target = Path(config.cache_dir) / name
    shards.write_shards(images, target, about(config, fingerprint), f"Decoding into {target}")
    return shards.open_shards(target)[0]


def about(config: TrainConfig, fingerprint: str | None) -> dict[str, Any]:
    """What the index of prepared images tells of where they came from."""
    return {
        "source": config.dataset, "source_fingerprint": fingerprint, "fit": config.fit, "background": config.background,
    }  # fmt: skip


def fitted(images: np.ndarray | Images, config: TrainConfig) -> Images:
    """Images of any size as uint8 [N, S, S, C], the size and channels of a configuration."""
    if isinstance(images, FolderImages):
        return images
    return FittedImages(images, config.image_size, config.channels, config.fit, config.background)


def reorder(images: np.ndarray | Images, order: np.ndarray) -> np.ndarray | Images:
    """Images in another order, int [N]: a copy of an array, and nothing but the order of what is on disk."""
    return images[order] if isinstance(images, np.ndarray) else images.reordered(order)


def show(
    images: np.ndarray | Images, report: dict[str, Any], config: TrainConfig, folder: Path, resume: bool = False
) -> None:
    """Writes `dataset.json` and `dataset.png`, sixteen images as the network will see them, and logs a line or two.

    Raises SettingError where a resumed run would go on with other images than it began with.
    """
    from keras_dcgan import images as drawing
    from keras_dcgan import pipeline

    path = Path(folder) / DATASET_REPORT
    if resume:
        _check_same(report, path)
    logging.info("%s", describe(report, config))
    if resume and path.exists():
        return
    write_report(report, config, folder)
    chosen = np.sort(np.random.default_rng(config.seed).choice(len(images), min(SHOWN, len(images)), replace=False))
    seen = drawing.to_uint8(pipeline.transform(images[chosen], config.image_size, config.channels).numpy())
    scale = max(1, SHOWN_SIDE // config.image_size)
    drawing.write_image(Path(folder) / DATASET_PICTURE, drawing.make_grid(seen.repeat(scale, 1).repeat(scale, 2)))
    logging.info("Sixteen of them as the network will see them: %s", Path(folder) / DATASET_PICTURE)


def write_report(report: dict[str, Any], config: TrainConfig, folder: str | Path) -> None:
    """Writes `dataset.json`: what was found, and what becomes of it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(config, name) for name in ("image_size", "channels", "fit", "background", "min_side")}
    write_text(Path(folder) / DATASET_REPORT, json.dumps(report | settings, indent=2) + "\n")


def _check_same(report: dict[str, Any], path: Path) -> None:
    """Raises SettingError where the report of the run's beginning tells of other images than this one."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        then, count = before.get("fingerprint"), before["images"]
    except (OSError, ValueError, KeyError, AttributeError):
        logging.warning("%s: missing or damaged, so whether the images are still the same is not known", path)
        return
    if then != report.get("fingerprint"):
        raise SettingError(
            f"--resume: {report['dataset']} does not hold the images any more that this run began with ({count} then, "
            f"{report['images']} now); put them back as they were, or begin a new run"
        )


def describe(report: dict[str, Any], config: TrainConfig) -> str:
    """One line for people: how many images, of what sizes and colours, what was left out, what becomes of them."""
    parts = [f"{Path(report['dataset']).name}: {report['images']:,} images"]
    if "smallest" in report:
        parts.append(
            f"{report['smallest']} to {report['largest']} pixels (median shorter side {report['median_shorter_side']})"
        )
        parts.append(f"{report['colour']:,} in colour, {report['grey']:,} grey")
        if report["left_out"]:
            parts.append(f"{len(report['left_out']):,} files left out, see {DATASET_REPORT}")
    else:
        parts.append(f"{report['stored_as']} each")
    size = config.image_size
    return ", ".join(parts) + f"; to {size}x{size}x{config.channels} by {config.fit}"


@contextlib.contextmanager
def told(images: np.ndarray | Images) -> Iterator[None]:
    """Raises what went wrong in reading images, naming the file, in place of what TensorFlow makes of it."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError:
        failure = getattr(images, "failure", None)
        if failure is not None:
            raise failure from None
        raise
