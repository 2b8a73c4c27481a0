"""A run folder with a small generator, and what `python -m export` makes of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_dcgan import generators, runs
from keras_dcgan.networks import build_generator
from tests.export.helpers import CONFIG, LATENT_DIM, SIZE, lively

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run")
    generators.save_network(path / "generator.keras", lively(build_generator(4, SIZE, 1, LATENT_DIM)))
    runs.write_config(path / "config.json", CONFIG, {})
    return path


@pytest.fixture(scope="session")
def finished(run_dir, tmp_path_factory) -> subprocess.CompletedProcess:
    """The command, run as a user runs it, without the environment variables of the tests."""
    out = tmp_path_factory.mktemp("out") / "exported"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-m", "export", f"--run_dir={run_dir}", f"--out={out}", "--samples=0"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="session")
def exported(finished) -> Path:
    assert finished.returncode == 0, finished.stderr
    return Path(finished.args[-2].removeprefix("--out="))


@pytest.fixture
def copied(exported, tmp_path) -> Path:
    """A copy of the export that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "exported"))
