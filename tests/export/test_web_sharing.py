"""The page on a phone: the layout, the walk from picture to picture, what it saves, and the links that it shares."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from export import build
from keras_dcgan.generators import save_network
from keras_dcgan.networks import build_generator
from tests.export.browser import look
from tests.export.helpers import LATENT_DIM, SIZE, lively
from tests.export.test_web import assert_near, in_python

HEIGHT, SAVED = 844, 256  # pixels of the phone's screen, and of a saved picture


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("colour")
    save_network(folder / "generator.keras", lively(build_generator(4, SIZE, 3, LATENT_DIM)))
    assert build.export(folder / "generator.keras", folder / "exported", ["float32"], samples=0) == []
    return folder / "exported" / "generator.tflite"


@pytest.fixture(scope="module")
def page(chromium, on_the_page, tmp_path_factory, colour, saved) -> SimpleNamespace:
    out = shutil.copytree(on_the_page, tmp_path_factory.mktemp("served") / "exported")
    shutil.copy(colour, out / "colour.tflite")
    return look("check_sharing.mjs", chromium, out, saved)


def test_the_grid_and_the_morph_are_in_view_together(page):
    for grid, chosen, morph, play in page.views:
        assert grid["y"] >= 0 and grid["y"] + grid["height"] <= morph["y"]  # nothing covers a picture
        assert chosen["y"] >= 0 and morph["height"] > 80
        assert all(box["y"] + box["height"] <= HEIGHT for box in (morph, play))
    chosen, morph, play = page.low
    assert chosen["y"] >= 0 and chosen["y"] + chosen["height"] <= morph["y"]
    assert all(box["y"] + box["height"] <= 664 for box in (morph, play))
    assert max(page.overflow.values()) <= 0


def test_the_hint_for_the_keyboard_is_only_where_there_is_one(page):
    assert page.hints == {"phone": False, "desktop": True}


def test_play_walks_on_to_the_next_picture_until_it_is_stopped(page):
    assert page.playing == "Stop" and page.stopped == "Play"
    assert page.frames > 1 and page.still
    ends = [name.split(",")[0] for _, name in page.played]
    assert ends != ["picture 5", "picture 29"] and len(ends) == 2


def test_a_link_shows_others_the_same_pixels(page):
    assert page.same == {"grid": True, "morph": True}
    assert all(part in page.link for part in ("file=generator-int8.tflite", "seed=7", "pair=", "way=30"))


def test_a_browser_that_can_share_is_asked_to(page):
    assert len(page.shared) == 1 and "seed=3" in page.shared[0]


def test_the_saved_picture_is_the_one_on_the_screen(page, saved):
    image = np.array(Image.open(saved / page.saved["picture"]).convert("L"))
    assert image.shape == (SAVED, SAVED)
    times = SAVED // SIZE
    shown = np.array(page.morph, np.uint8).reshape(SIZE, SIZE, 4)[..., 0]
    np.testing.assert_array_equal(image, shown.repeat(times, 0).repeat(times, 1))


def read_frames(path: Path, mode: str) -> np.ndarray:
    with Image.open(path) as file:
        assert file.info["loop"] == 0 and file.info["duration"] == 50
        return np.array([np.array(frame.convert(mode)) for frame in ImageSequence.Iterator(file)])


def test_the_saved_animation_goes_from_a_to_b_and_back(page, saved):
    frames = read_frames(saved / page.saved["animation"], "L")
    assert frames.shape == (40, SAVED, SAVED)
    np.testing.assert_array_equal(frames[1:20], frames[:20:-1])
    shown = np.array(page.morph, np.uint8).reshape(SIZE, SIZE, 4)[..., 0]
    times = SAVED // SIZE
    np.testing.assert_array_equal(frames[6][::times, ::times], shown)  # 30 % of the way
    assert len({frame.tobytes() for frame in frames[:21]}) > 10


def test_pictures_in_colour_are_python_s_and_keep_their_colours_in_an_animation(page, colour, saved):
    drawn = np.array(page.colours, np.uint8).reshape(-1, SIZE, SIZE, 4)[..., :3]
    assert_near(drawn, in_python(colour, 3), "float32")
    frame = read_frames(saved / page.saved["colour"], "RGB")[0].astype(float)
    pixels = frame.reshape(SIZE, SAVED // SIZE, SIZE, SAVED // SIZE, 3).mean((1, 3))  # of the dither of each pixel
    assert np.abs(pixels - drawn[0]).mean() < 4


def test_a_failing_draw_is_shown_and_the_next_one_clears_it(page):
    assert page.failed["problem"] == "An error occurred: no memory. Reload the page."
    assert page.recovered["status"].startswith("30 pictures of seed")


def test_without_javascript_the_page_says_so_and_nothing_else(page):
    assert page.without == "This page needs JavaScript. Please turn it on in your browser."


def test_the_page_can_be_installed_as_an_app(page):
    assert page.installed["address"].endswith("/manifest.webmanifest")
    assert [error["errorId"] for error in page.installed["errors"]] == [
        "in-incognito"
    ]  # as all of Playwright's profiles


def test_axe_finds_nothing_at_both_sizes_in_the_dark_and_in_the_light(page):
    assert len(page.accessibility) == 4 and not any(page.accessibility.values()), page.accessibility


def test_only_the_provoked_error_is_in_the_console(page):
    assert all("no memory" in text for kind, text, _ in page.console if kind == "error")
