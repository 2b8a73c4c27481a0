"""What the tests of this room share."""

from pathlib import Path

import numpy as np
import pytest

from tests.datasets import zoo


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty Keras home, so that no test finds what another has left."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def mixed(tmp_path) -> Path:
    """The zoo's folder of good and bad pictures."""
    zoo.make(tmp_path / "mixed")
    return tmp_path / "mixed"


@pytest.fixture
def colours() -> np.ndarray:
    """Ten images of noise, uint8 [10, 16, 16, 3]."""
    return np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8)
