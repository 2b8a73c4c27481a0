"""What the settings that are "auto" become once the data are open."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from keras_dcgan import runs
from keras_dcgan.config import TrainConfig, from_preset
from keras_dcgan.datasets import named
from keras_dcgan.datasets.data import Data
from keras_dcgan.generators import load_generator
from keras_dcgan.networks import build_generator
from keras_dcgan.training import choices, loop
from tests.datasets import zoo
from tests.training import soak


def opened(count: int = 100, side: int = 200, **report) -> Data:
    """Data of so many images, of which only the number and the report count."""
    images = np.zeros((count, 1, 1, 1), np.uint8)
    return Data("/some/folder", images, {"images": count, "median_shorter_side": side, **report})


@pytest.mark.parametrize("size, width", [(16, 64), (32, 64), (64, 32), (128, 16), (256, 16)])
def test_larger_images_have_narrower_networks(size, width, caplog):
    caplog.set_level("INFO", logger="absl")
    config = TrainConfig(dataset="/some/folder", image_size=size, width=0)
    assert choices.settle(config, opened()) == dataclasses.replace(config, width=width)
    assert (
        f"Labels: off, because labels=off. Image size: {size}, because image_size={size}. "
        f"Width: {width}, because that suits {size} pixels." in caplog.text
    )
    chosen = dataclasses.replace(config, width=7)
    assert choices.settle(chosen, opened()) == chosen


@pytest.mark.parametrize("images, upsampling", [(9_999, "nearest"), (10_000, "transposed")])
def test_few_images_are_enlarged_to_nearest_neighbours(images, upsampling, caplog):
    caplog.set_level("INFO", logger="absl")
    config = from_preset("quick", {"dataset": "/some/folder"})
    assert choices.settle(config, opened(images)).upsampling == upsampling
    assert f"Upsampling: {upsampling}, because {images:,} images are " in caplog.text
    chosen = dataclasses.replace(config, upsampling="transposed")
    assert choices.settle(chosen, opened(images)).upsampling == "transposed"


@pytest.mark.parametrize(
    "report, size, width",
    [({"side": 40}, 32, 64), ({"side": 41}, 64, 32), ({"side": 16, "prepared_from": None}, 16, 64)],
)
def test_the_width_suits_the_size_that_was_chosen(report, size, width):
    settled = choices.settle(from_preset("quick", {"dataset": "/some/folder"}), opened(**report))
    assert (settled.image_size, settled.width) == (size, width)
    assert choices.settle(settled, opened(**report)) == settled  # so a resumed run keeps it


def test_large_pictures_could_show_more(caplog):
    caplog.set_level("INFO", logger="absl")
    assert choices.settle(from_preset("quick", {"dataset": "/some/folder"}), opened(side=128)).image_size == 64
    assert "128 pixels; image_size=128 shows more detail, and at the same width a run takes about" in caplog.text


@pytest.mark.parametrize(
    "labels, steps, epochs, images, augment",
    [
        ("on", 100, 1, 213, "color,translation"), ("on", 100, 1, 214, "off"),
        ("on", 0, 30, 64, "color,translation"), ("on", 0, 29, 64, "off"),
        ("off", 100, 1, 21, "color,translation"), ("off", 100, 1, 22, "off"),
    ],
)  # fmt: skip
def test_few_pictures_that_are_shown_often_are_augmented(labels, steps, epochs, images, augment, caplog):
    caplog.set_level("INFO", logger="absl")
    config = TrainConfig(steps=steps, epochs=epochs, batch_size=64, augment="auto", labels=labels)
    assert choices.settle(config, opened(images)).augment == augment
    assert f"Augmentation: {augment}, because the run shows each of " in caplog.text
    set_by_hand = dataclasses.replace(config, augment="translation")
    assert choices.settle(set_by_hand, opened(images)).augment == "translation"


def test_a_resumed_run_of_chosen_sizes_is_the_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(choices.WIDTHS, 32, 2)
    options = {"batch_size": 4, "sample_count": 4, "measure_every": 0, "checkpoint_every": 2, "steps": 6, "width": 0}
    config = TrainConfig(dataset=str(zoo.numbered(tmp_path / "n", 12)), image_size=0, augment="auto", **options)
    loop.train(config, tmp_path / "whole")
    recorded = runs.read_config(tmp_path / "whole" / "config.json")
    assert (recorded.image_size, recorded.width, recorded.augment) == (32, 2, "off")
    loop.train(dataclasses.replace(config, steps=4, cache_dir=str(tmp_path / "cache")), tmp_path / "parts")
    given = {"steps": 6, "image_size": 0, "width": 0, "augment": "auto"}
    loop.train(runs.check_resume(tmp_path / "parts", "auto", given), tmp_path / "parts", resume=True)
    for name in ("generator.keras", "history.csv", "samples/latest.png"):
        assert soak.digest(tmp_path / "whole" / name) == soak.digest(tmp_path / "parts" / name), name
    assert load_generator(tmp_path / "parts" / runs.GENERATOR).output_shape == (None, 32, 32, 3)


@pytest.mark.parametrize(
    "pictures, labels, reason",
    [
        ({"cats": 20, "dogs": 20}, "on", "every image is in one of 2 classes"),
        ({"cats": 30, "dogs": 10}, "on", "every image is in one of 2 classes"),
        ({"cats": 20, "dogs": 19}, "off", "auto needs a class for every image, and 20 images a class on average"),
        ({"cats": 20, "dogs": 20, ".": 1}, "off", "auto needs a class for every image, and 20 images a class"),
        ({"cats": 40}, "off", "there is only one class, cats, by the sub-folders"),
        ({".": 40}, "off", "the data has no labels"),
    ],
)
def test_classes_of_enough_pictures_are_learned(tmp_path, monkeypatch, caplog, pictures, labels, reason):
    caplog.set_level("INFO", logger="absl")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for side, (name, count) in enumerate(pictures.items(), 16):  # no two pictures are the same
        zoo.numbered(tmp_path / "pictures" / name, count, side)
    config = from_preset("quick", {"dataset": str(tmp_path / "pictures")})
    data = loop.open_data(config, tmp_path / "run", chief=False)
    settled = choices.settle(config, data)
    assert settled.labels == labels
    assert f"Labels: {labels}, because {reason}" in caplog.text
    assert (data.labels is not None) == (labels == "on")
    assert choices.settle(settled, loop.open_data(settled, tmp_path / "run", chief=False)) == settled


@pytest.mark.parametrize("preset, labels", [("tutorial", "off"), ("quick", "on"), ("full", "on")])
def test_named_data_sets_have_classes_but_not_in_the_tutorial(preset, labels, monkeypatch, digits, tmp_path):
    monkeypatch.setattr(named, "load_images", lambda *_: digits)
    monkeypatch.setattr(named, "load_labels", lambda *_: (np.arange(len(digits)) % 10).astype(np.uint8))
    config = from_preset(preset)
    data = loop.open_data(config, tmp_path, chief=False)
    assert choices.settle(config, data).labels == labels and (data.labels is not None) == (labels == "on")


@pytest.mark.parametrize("images, weight", [(213, 1.0), (214, 0.1)])
def test_r1_is_weaker_for_classes_of_many_pictures(images, weight, caplog):
    caplog.set_level("INFO", logger="absl")
    config = from_preset("quick", {"steps": 200, "dataset": "/some/folder", "labels": "on"})
    assert choices.settle(dataclasses.replace(config, labels="off"), opened(images)).r1_weight == 1.0
    assert choices.settle(config, opened(images)).r1_weight == weight
    assert f"R1 weight: {weight:g}, because the run shows each of {images} images 30 times" in caplog.text
    assert choices.settle(dataclasses.replace(config, r1_weight=0.0), opened(images)).r1_weight == 0.0


def circles(folder, count: int = 30):
    """A folder of pictures of 60x40 pixels with a white circle each, at places that depend on the number."""
    folder.mkdir()
    for i, (x, y) in enumerate(np.random.default_rng(0).uniform((14, 14), (46, 26), (count, 2))):
        large = np.zeros((160, 240, 3), np.uint8)
        cv2.circle(large, (int(4 * x), int(4 * y)), 48, (255, 255, 255), -1)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(large, (60, 40), interpolation=cv2.INTER_AREA))
    return folder


@pytest.mark.parametrize("mode, width", [("stretch", 48), ("crop", 32)])
def test_people_see_stretched_pictures_in_their_shape(command, tmp_path, monkeypatch, mode, width):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    options = {"batch_size": 4, "sample_count": 4, "measure_every": 0, "steps": 1, "width": 2, "image_size": 32}
    config = TrainConfig(dataset=str(circles(tmp_path / "circles")), resize_mode=mode, **options)
    loop.train(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "dataset.json").read_text())["aspect"] == 1.5
    grid = cv2.imread(str(tmp_path / "run" / "samples" / "latest.png"))
    assert grid.shape == (64, 2 * width + 8 + 2 * width, 3)
    if mode == "stretch":
        for top in (0, 32):
            for left in (2 * width + 8, 3 * width + 8):
                y, x = np.nonzero(grid[top : top + 32, left : left + width, 0] > 127)
                assert np.ptp(x) / np.ptp(y) == pytest.approx(1, rel=0.08) and x.std() / y.std() == pytest.approx(
                    1, rel=0.05
                )
    flags = ["--count=4", f"--out={tmp_path}/grid.png"]
    done = command("keras_dcgan.sample", f"--run_dir={tmp_path}/run", *flags, f"--interpolate={tmp_path}/a.gif")
    assert done.returncode == 0, done.stderr
    assert cv2.imread(f"{tmp_path}/grid.png").shape == (64, 2 * width, 3)
    assert cv2.VideoCapture(f"{tmp_path}/a.gif").read()[1].shape == (32, width, 3)


def test_rows_of_classes_are_stretched_too(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name in ("a", "b"):
        circles(tmp_path / name)
    (tmp_path / "both").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).rename(tmp_path / "both" / name)
    for path in (tmp_path / "both" / "b").iterdir():  # no two files alike
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    options = {"batch_size": 4, "sample_count": 6, "measure_every": 0, "steps": 1, "width": 2, "image_size": 16}
    config = TrainConfig(dataset=str(tmp_path / "both"), labels="on", resize_mode="stretch", **options)
    loop.train(config, tmp_path / "run")
    grid = cv2.imread(str(tmp_path / "run" / "samples" / "latest.png"))
    assert grid.shape == (2 * 16, 3 * 24 + 8 + 3 * 24, 3)
    reals = grid[:, 3 * 24 + 8 :]
    assert reals[:16].mean() < 120 < reals[16:].mean()  # dark pictures with a bright circle, and the opposite


def test_every_size_that_can_be_chosen_has_a_generator():
    for size, width in choices.WIDTHS.items():
        assert build_generator(width, size, 1, 5).output_shape == (None, size, size, 1)
