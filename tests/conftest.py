"""What the tests share: small images, real MNIST, and a way to run a command as a user does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# `nohup make test &` and some CI systems start with SIGINT ignored, and children inherit that. The children that these
# tests interrupt must not: a signal that has a handler here has its default effect in them.
signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from hypothesis import settings

from tests import loaded

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent
LIMIT = 300  # seconds for any process that a test starts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts trainings first and the short tests of data sets last, so that no process waits at the end."""
    items.sort(key=lambda item: item.path, reverse=True)  # tests of one file keep their order


@pytest.fixture
def digits() -> np.ndarray:
    """Forty smooth grey pictures, uint8 [40, 28, 28, 1]: blobs at places that depend on the index."""
    y, x = np.mgrid[:28, :28]
    centres = np.random.default_rng(0).uniform(6, 22, (40, 2))
    blobs = [255 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 20) for a, b in centres]
    return np.array(blobs).astype(np.uint8)[..., np.newaxis]


@pytest.fixture(scope="session")
def mnist() -> np.ndarray:
    """Real MNIST, from wherever this machine has it."""
    from keras_dcgan import datasets

    try:
        return datasets.load_images("mnist")
    except datasets.DatasetUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own that holds 300 kB; the test is skipped where it cannot be mounted."""
    disk = tmp_path / "small disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", disk]
    if subprocess.run(mount, capture_output=True, timeout=LIMIT).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", disk], check=True, timeout=LIMIT)


def run_python(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs this Python in the project's root, within `LIMIT`; the finished process has its output as text."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": LIMIT, **options}
    return subprocess.run([sys.executable, *map(str, arguments)], **options)


@pytest.fixture
def command():
    """Runs `python -m MODULE FLAGS ...`, as `run_python` does; with TensorFlow loaded, unless there are options."""

    def run(module: str, *flags: object, **options) -> subprocess.CompletedProcess:
        if options:
            return run_python("-m", module, *flags, **options)
        return loaded.run(module, [str(flag) for flag in flags], ROOT, LIMIT)

    return run
