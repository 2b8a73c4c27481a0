"""The page of export/web/ in a headless Chromium: what it draws, against Python's LiteRT on the same files."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from export import rng
from keras_dcgan.generators import interpolate
from tests.export.browser import WEB, look
from tests.export.helpers import LATENT_DIM, SIZE, runner

PICTURES = 30
# Grey levels, largest and mean: those of the export's own checks, for in int8 a last bit of a latent can move an
# activation by a whole step. Measured with trained generators: 1 and 0.00003 at most, in every format.
TOLERANCE = {"float32": (1, 0.01), "int8": (32, 0.5)}
FILES = {"float32": "generator.tflite", "int8": "generator-int8.tflite"}


@pytest.fixture(scope="module")
def served(on_the_page, tmp_path_factory) -> Path:
    """A tiny grey generator in two formats, and three files that the page must refuse."""
    out = shutil.copytree(on_the_page, tmp_path_factory.mktemp("served") / "exported")
    whole = (out / FILES["int8"]).read_bytes()
    (out / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    (out / "foreign.tflite").write_bytes(whole.replace(b'"keras-dcgan-generator"', b'"some-other-generator!"'))
    (out / "text.tflite").write_text("<!doctype html>")
    return out


@pytest.fixture(scope="module")
def page(chromium, served) -> SimpleNamespace:
    return look("check.mjs", chromium, served, served)


def pictures(rgba: list) -> np.ndarray:
    """Canvases' bytes -> uint8 [..., S, S, 1], after a look at the other channels."""
    values = np.array(rgba, np.uint8).reshape(-1, SIZE, SIZE, 4)
    assert (values[..., 3] == 255).all() and (values[..., :1] == values[..., :3]).all()
    return values[..., :1]


def in_python(path: Path, seed: int) -> np.ndarray:
    """The pictures that the file draws in Python: uint8 [PICTURES, S, S, C]."""
    sample = runner(path, "sample")
    return np.concatenate([sample(seed=np.array([seed, i], np.int32))["picture"] for i in range(PICTURES)])


def assert_near(found: np.ndarray, expected: np.ndarray, kind: str) -> None:
    difference = np.abs(found.astype(int) - expected)
    largest, mean = TOLERANCE[kind]
    assert difference.max() <= largest and difference.mean() <= mean, (difference.max(), difference.mean())


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_page_draws_the_same_pictures_of_a_seed_as_python(page, served, kind):
    expected = in_python(served / FILES[kind], 7)
    assert expected.std() > 20  # pictures, and not a grey that agrees with anything
    assert_near(pictures(page.draws[f"{kind} 7"]), expected, kind)


def test_another_seed_draws_other_pictures(page, served):
    assert_near(pictures(page.draws["int8 8"]), in_python(served / FILES["int8"], 8), "int8")
    assert page.redrawn["status"] == "30 pictures of seed 8." and "seed=8" in page.address
    assert_near(pictures(page.draws["surprise"]), in_python(served / FILES["int8"], page.surprise), "int8")
    assert page.surprise not in (7, 8)
    assert page.refused  # a seed of -1


def test_the_morph_walks_on_the_sphere_from_one_picture_to_the_other(page, served):
    drawn = pictures(page.draws["int8 7"])
    assert_near(pictures(page.morphs["0"]), drawn[3:4], "int8")
    assert_near(pictures(page.morphs["100"]), drawn[8:9], "int8")
    middle = list(interpolate(rng.draw_latents(7, [3, 8], LATENT_DIM), steps=2))[1]
    generate = runner(served / FILES["int8"], "generate")
    expected = np.round((generate(latents=middle[np.newaxis])["images"] + 1) * 127.5)
    assert_near(pictures(page.morphs["50"]), expected, "int8")
    assert page.pressed == ["picture 4, end A of the morph", "picture 9, end B of the morph"]


def test_the_page_shows_time_and_size(page, served):
    megabytes = (served / FILES["int8"]).stat().st_size / 1e6
    assert page.facts["size"] == f"{megabytes:.2f} MB"
    assert 0 <= float(page.facts["speed"].removesuffix(" ms")) < 1000
    assert page.facts["weights"] == "int8" and page.chosen["weights"] == "int8"
    assert page.facts["shape"] == "16 × 16, grey" and page.facts["latents"] == "10"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "generator-float16.tflite is not on this site. These files are there:"),
        ("odd", "?file=../secret is not the name of a .tflite file."),
        ("cut", "cut.tflite is incomplete, or python -m export did not write it."),
        ("foreign", "foreign.tflite is incomplete, or python -m export did not write it."),
        ("text", "text.tflite is not a .tflite file."),
        ("webassembly", "This browser has no WebAssembly"),
        ("silent", "generator-int8.tflite cannot be loaded: the server does not answer"),
        ("part", "A part of the page cannot be loaded. Check the network"),
        ("runtime", "The runtime, LiteRT.js, cannot be loaded."),
        ("offline", "generator-float16.tflite cannot be loaded: there is no network"),
    ],
)
def test_the_page_says_what_is_wrong(page, case, message):
    seen = page.problems[case]
    assert seen["state"] == "failed" and seen["status"] == ""
    assert seen["problem"].startswith(message)
    assert seen.get("accessibility", []) == []


def test_a_missing_file_links_to_those_that_are_there(page):
    names = [link.split("file=")[1] for link in page.problems["missing"]["links"]]
    assert names == list(FILES.values())


def test_a_wrong_part_of_the_address_is_named_and_the_page_draws(page):
    seen = page.problems["seed"]
    assert seen["state"] == "ready" and seen["status"] == "30 pictures of seed 0."
    assert "?seed=x is not a whole number from 0 to 2147483647; the page takes 0." in seen["problem"]
    assert "?pair=4,4 is not two different numbers from 1 to 30; the page takes 1,2." in seen["problem"]


@pytest.mark.parametrize("server", ["hanging", "gone"])
def test_the_page_starts_at_once_without_an_answer_of_the_server(page, server):
    assert page.offline[server]["state"] == "ready", page.offline
    assert page.draws[server] == page.draws["int8 7"]
    assert page.offline[server]["seconds"] < 5  # 0.4 on an idle machine


def test_a_new_export_is_announced_and_seen_after_the_button(page):
    assert page.renewal == ["float32", False, "float32"]  # with the first file, the same again, and the replaced one


def test_no_errors_in_the_console(page):
    """Except the browser's own lines about files that the test withholds."""
    errors = [line for line in page.console if line[0] == "error"]
    assert [text for _, text, _ in errors if not text.startswith("Failed to load resource: ")] == []
    withheld = ("generator-float16.tflite", "litert_wasm_internal.js", "litert_wasm_compat_internal.js", "morph.js")
    online = [address for _, text, address in errors if "ERR_CONNECTION_REFUSED" not in text]
    assert [address for address in online if not address.endswith(withheld)] == []
    # runtime.js turns LiteRT's log lines into debugging lines.
    assert any(kind == "debug" and "XNNPACK" in text for kind, text, _ in page.console)


def test_the_page_passes_axe_and_is_no_wider_than_the_screen(page):
    assert page.accessibility == {"dark": [], "light": []}
    assert max(page.overflow.values()) <= 0


def test_the_lockfile_names_no_registry():
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)
    wanted = json.loads((WEB / "package.json").read_text())
    assert all(v[0].isdigit() for v in {**wanted["dependencies"], **wanted["devDependencies"]}.values())
