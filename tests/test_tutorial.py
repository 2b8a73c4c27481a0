"""The tutorial is run as a notebook runs it: all cells, from the first to the last, in one session."""

import warnings

import jupytext
import matplotlib
import numpy as np
import pytest

from tests.conftest import ROOT

STEPS = 4


def cells(name: str) -> list[str]:
    """The code of a tutorial, cell by cell."""
    return [cell.source for cell in jupytext.read(ROOT / "docs" / name).cells if cell.cell_type == "code"]


def test_both_languages_have_the_same_cells():
    assert cells("tutorial.zh.md") == cells("tutorial.md") != []


@pytest.fixture
def few_digits(monkeypatch, digits):
    """What the tutorial loads: 200 digits of 10 classes in place of 70,000."""
    images = np.tile(digits, (5, 1, 1, 1))
    monkeypatch.setattr("keras_dcgan.datasets.load_images", lambda name: images)
    monkeypatch.setattr("keras_dcgan.datasets.load_labels", lambda name: (np.arange(len(images)) % 10).astype(np.uint8))


def test_all_cells_run_and_show_what_the_text_says(few_digits, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUTORIAL_STEPS", str(STEPS))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf().axes[0].get_title()) or plt.close("all"))
    names: dict = {}
    with warnings.catch_warnings(action="ignore"):  # of a notebook that defines everything at its top level
        for source in cells("tutorial.md"):
            exec(source, names)
    assert int(names["gan"].steps_done) == STEPS and names["gan"].classes is not None
    assert {"Not trained yet", f"after {STEPS} steps", "Sixteen sevens", "2026"} <= set(shown)
    printed = capsys.readouterr().out
    assert "(64, 64, 64, 3) -1.0 " in printed and "generator.tflite" in printed
    assert all(name in printed for name in ("other real images", "with labels", "broken"))
