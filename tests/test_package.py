"""The wheel: built, installed in a fresh environment, and used from another folder."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from keras_dcgan import __version__
from tests.conftest import LIMIT, ROOT


def run(*command: object, **options) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=LIMIT, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: setuptools leaves a folder `build` behind."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "keras_dcgan", "export"):
        run("cp", "-r", ROOT / name, copy)
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "wheel", copy, *options, "--wheel-dir", out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment that has the wheel, and this environment's libraries for it."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_the_wheel_puts_only_one_name_into_site_packages(wheel):
    assert wheel.name == f"keras_dcgan-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"keras_dcgan", f"keras_dcgan-{__version__}.dist-info"}
    for name in ("metrics/weights/mnist.npz", "export/__main__.py", "training/loop.py", "datasets/decode.py"):
        assert f"keras_dcgan/{name}" in names, name
    modules = {f"keras_dcgan/{path.relative_to(ROOT / 'keras_dcgan')}" for path in ROOT.glob("keras_dcgan/**/*.py")}
    assert modules <= set(names), "a new folder goes into [tool.setuptools] packages"


def test_the_installed_command_trains_draws_and_exports(python, tmp_path, mnist):
    command = python.parent / "keras-dcgan"
    assert "fit" in run(command)
    environment = {**os.environ, "PYTHONPATH": ""}
    options = {"cwd": tmp_path, "env": environment}
    flags = ["--width=2", "--image_size=16", "--batch_size=4", "--steps=2", "--sample_count=4", "--measure_every=0"]
    run(command, "fit", *flags, "--run_dir=run", **options)
    run(command, "sample", "--run_dir=run", "--count=4", "--out=grid.png", **options)
    assert (tmp_path / "grid.png").stat().st_size > 0
    run(command, "export", "--run_dir=run", "--out=exported", "--formats=float32", "--samples=0", **options)
    drawn = ["-m", "keras_dcgan.export.sampler", "exported/generator.tflite", "--count=4", "--out=phone.png"]
    run(python, *drawn, **options)
    assert (tmp_path / "phone.png").stat().st_size > 0
    place = run(python, "-c", "import keras_dcgan, keras_dcgan.export; print(keras_dcgan.__file__)", **options)
    assert str(python.parent.parent) in place


def test_the_tested_releases_are_within_the_packages_ranges():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = {}
    for text in [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]:
        requirement = Requirement(text)
        ranges[requirement.name] = requirement.specifier
    tested = {}
    for file in (
        "requirements.txt",
        "requirements-cpu.txt",
        "requirements-dev.txt",
        "requirements-export.txt",
        "requirements-onnx.txt",
        "requirements-cloud.txt",
    ):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                requirement = Requirement(line)
                tested[requirement.name] = str(requirement.specifier).removeprefix("==")
    assert {"tensorflow", "pillow", "tqdm", "ai-edge-litert"} <= set(ranges)
    for name, specifier in ranges.items():
        assert tested[name] in specifier, f"{name} {tested[name]} is tested, and pyproject.toml says {specifier}"
