"""What the tests share: small images, real MNIST, and a way to run a command as a user does."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from absl import flags
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent


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
def command():
    """Runs `python -m MODULE FLAGS ...` in the project's root and returns the finished process, its output as text."""

    def run(module: str, *flags: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", module, *flags], cwd=ROOT, capture_output=True, text=True, timeout=300, **options
        )

    return run


DEFAULTS = {"which": "last", "preset": "auto", "samples": 100, "seed": 0, "run_dir": None}


@pytest.fixture
def given(monkeypatch):
    """Has a command's `main`, called in this process, find the given flags and no others."""

    class Flags(dict):
        def __getattr__(self, name):
            return self.get(name, DEFAULTS.get(name))

        def __getitem__(self, name):
            return SimpleNamespace(present=name in self, value=self.get(name))

    return lambda **values: monkeypatch.setattr(flags, "FLAGS", Flags(values))
