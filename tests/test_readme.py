"""What the documents tell a reader to run."""

import re
import shutil
import subprocess

import pytest

from keras_dcgan import datasets
from tests.conftest import ROOT


def test_the_python_example_runs(monkeypatch, tmp_path, digits):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(code) == 1
    monkeypatch.setattr(datasets, "load_images", lambda name: digits)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code[0], names)
    assert int(names["gan"].steps_done) == 2
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 3
    assert names["pictures"].shape == (16, 64, 64, 1)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_export_takes_its_folders():
    shown = subprocess.run(
        ["make", "-n", "export", "RUN_DIR=runs/fashion", "EXPORTED=fashion/"], cwd=ROOT, capture_output=True, text=True
    )
    assert "-m export --run_dir=runs/fashion --out=fashion/" in shown.stdout, shown.stderr
