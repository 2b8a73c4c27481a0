"""A run folder with a small generator, and what `python -m export` makes of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_dcgan import generators, runs
from keras_dcgan.networks import build_generator
from tests.export.helpers import CLASSES, CONFIG, LATENT_DIM, SIZE, lively

ROOT = Path(__file__).parents[2]
WEB = ROOT / "export/web"


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


@pytest.fixture(scope="session")
def on_the_page(run_dir, tmp_path_factory) -> Path:
    """The generator, without its run, in the two formats that the tests of the page look at."""
    from export import build

    folder = tmp_path_factory.mktemp("on_the_page")
    generator = shutil.copy(run_dir / "generator.keras", folder / "generator.keras")
    assert build.export(generator, folder / "exported", ["float32", "int8"], samples=0) == []
    return folder / "exported"


@pytest.fixture(scope="session")
def run_with_classes(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run_with_classes")
    generator = lively(build_generator(4, SIZE, 1, LATENT_DIM, classes=len(CLASSES)))
    generators.save_network(path / "generator.keras", generator, CLASSES)
    runs.write_config(path / "config.json", CONFIG, {})
    return path


@pytest.fixture(scope="session")
def exported_with_classes(run_with_classes, tmp_path_factory) -> Path:
    """The generator of three classes in every format."""
    from export import build, verify

    out = tmp_path_factory.mktemp("out_with_classes") / "exported"
    assert build.export(run_with_classes / "generator.keras", out, list(verify.FILES), samples=0) == []
    return out


@pytest.fixture
def copied(exported, tmp_path) -> Path:
    """A copy of the export that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "exported"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Its path, with the npm packages that drive it; skips if Chromium is missing or npm cannot fetch the packages."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no node and npm: apt-get install nodejs npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"node {version}: playwright-core needs 20 or later")
    if not all((WEB / "node_modules" / name).is_dir() for name in ("@litertjs/core", "playwright-core", "axe-core")):
        try:
            done = subprocess.run(["npm", "ci"], cwd=WEB, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            pytest.skip("npm ci: no answer in three minutes")
        if done.returncode:
            pytest.skip(f"npm ci: {done.stderr.strip()[-300:]}")
    return path
