"""The page with a generator of classes: the chooser, the text in one handwriting, against the sampler."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from export.sampler import Sampler, random_label
from tests.export.browser import look
from tests.export.helpers import CLASSES, SIZE, TFLITE, with_metadata
from tests.export.test_web import PICTURES, assert_near, pictures

FILE = TFLITE["int8"]  # the page's default


@pytest.fixture(scope="module")
def page(chromium, exported_with_classes, tmp_path_factory) -> SimpleNamespace:
    """The page, with long names of classes in one more file."""
    folder = shutil.copytree(exported_with_classes, tmp_path_factory.mktemp("served") / "exported")
    long = {"names": [f"a class with a very long name, number {i}" for i in range(3)], "counts": [1, 1, 1]}
    with_metadata(folder, folder, classes=long).rename(folder / "long.tflite")
    return look("check_classes.mjs", chromium, folder)


def in_python(exported: Path, labels: list[int | None]) -> np.ndarray:
    draw = Sampler(exported / FILE).draw
    return np.stack([draw(7, index, label) for index, label in enumerate(labels)])


@pytest.mark.parametrize("chosen, label", [("any", None), ("b", 1), ("c", 2)])
def test_the_page_draws_a_class_as_the_sampler_does(page, exported_with_classes, chosen, label):
    expected = in_python(exported_with_classes, [label] * PICTURES)
    assert expected.std() > 20
    assert_near(pictures(page.draws[chosen]), expected, "int8")


@pytest.mark.parametrize("canvas, row", [("hand 0", 0), ("hand 1", 1), ("by address", 1)])
def test_the_page_writes_a_text_in_the_hands_of_the_sampler(page, exported_with_classes, canvas, row):
    made = Sampler(exported_with_classes / FILE)
    rgba = np.array(page.draws[canvas], np.uint8).reshape(SIZE, 3 * SIZE, 4)
    assert_near(rgba[..., :1], made.write(made.labels("cab"), seed=7, row=row), "int8")


def test_the_morph_starts_with_the_class_of_one_picture_and_ends_with_that_of_the_other(page):
    drawn = pictures(page.draws["any"])
    for way, index in (("0", 0), ("100", 1)):
        assert_near(pictures(page.morphs[way]), drawn[index : index + 1], "int8")


def test_the_address_holds_the_class_the_text_and_the_hand(page):
    chosen, written = (dict(parse_qsl(urlsplit(url).query)) for url in (page.address, page.written))
    assert {"seed": "7", "label": "b"}.items() <= chosen.items()
    assert written == chosen | {"text": "cab", "hand": "1"}


def test_a_screen_reader_hears_the_class(page):
    names = [CLASSES.names[random_label(7, index, CLASSES.counts)] for index in range(2)]
    assert page.names[:2] == [
        f"digit {i + 1}, class {name}, end {'AB'[i]} of the morph" for i, name in enumerate(names)
    ]


def test_a_letter_that_is_not_a_class_is_refused(page):
    assert page.refused == "It can write only a b c"


def test_nothing_is_written_without_a_text(page):
    assert page.unwritten is False and page.cleared is True


def test_long_names_fit_a_phone_and_are_not_written(page):
    assert page.long["label"] == "1" and page.long["writes"] is False and page.long["overflow"] <= 0


def test_the_page_passes_axe_fits_a_phone_and_logs_no_error(page):
    assert page.accessibility == {"light": [], "dark": []}
    assert page.overflow <= 0
    assert [line for line in page.console if line[0] == "error"] == []
