"""Runs on folders of pictures: from the files to the weights."""

import contextlib
import dataclasses
import json
import os

import cv2
import numpy as np
import pytest

from keras_dcgan import runs
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.datasets import source
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.stored import PictureLost
from keras_dcgan.generators import draw_images, draw_latents, load_classes, load_generator
from keras_dcgan.metrics import features, report
from keras_dcgan.networks import build_generator, latent_dim_of, with_labels
from keras_dcgan.pipeline import make_dataset
from keras_dcgan.prepare import prepare
from keras_dcgan.training import guards, loop, preview
from tests.datasets import zoo
from tests.training import soak

CONFIG = {
    "width": 2, "image_size": 16, "batch_size": 4, "sample_count": 4, "steps": 12, "shuffle": "epoch",
    "checkpoint_every": 5, "sample_every": 0, "measure_samples": 16, "max_bad_share": 0.5, "mirror": True,
}  # fmt: skip
GOOD, BAD = len(zoo.good_files()), len(zoo.bad_files())


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def mixed(tmp_path):
    zoo.make(tmp_path / "mixed")
    return tmp_path / "mixed"


def weights(folder):
    generator = load_generator(folder / runs.GENERATOR)
    return [array for layer in generator.layers for array in layer.get_weights()]


def assert_same_weights(folder, other):
    for a, b in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_run_and_one_from_a_decoded_copy_give_the_same_weights(mixed, tmp_path):
    config = TrainConfig(dataset=str(mixed), **CONFIG)
    loop.train(config, tmp_path / "whole", resume=False)
    for name in ("dataset.json", "dataset.png", "metrics.csv", "generator.keras"):
        assert (tmp_path / "whole" / name).stat().st_size, name
    assert cv2.imread(str(tmp_path / "whole" / "dataset.png")).shape == (512, 512, 3)
    loop.train(dataclasses.replace(config, steps=5), tmp_path / "parts", resume=False)
    loop.train(config, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    loop.train(dataclasses.replace(config, cache_dir=str(tmp_path / "cache")), tmp_path / "cached", resume=False)
    assert_same_weights(tmp_path / "whole", tmp_path / "cached")


@pytest.fixture
def pets(tmp_path):
    """Three sub-folders of unequal size."""
    return zoo.classes(tmp_path / "pets", cats=9, dogs=5, birds=2)


def test_a_run_on_sub_folders_learns_and_draws_each_class(pets, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    config = TrainConfig(dataset=str(pets), **CONFIG | {"labels": "on", "sample_count": 6})
    loop.train(config, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert report["classes"]["counts"] == {"birds": 2, "cats": 9, "dogs": 5}
    assert "3 classes, by sub-folders: cats (9), dogs (5), birds (2)" in caplog.text
    assert "A row for each class, as the network will see them" in caplog.text
    file = tmp_path / "run" / "generator.keras"
    assert load_classes(file) == Classes(("birds", "cats", "dogs"), (2, 9, 5))
    generator = load_generator(file)
    latents = draw_latents(1, latent_dim_of(generator), 0).repeat(3, axis=0)
    images = draw_images(generator, with_labels(latents, np.arange(3, dtype=np.int32)))
    assert images.shape == (3, 16, 16, 3) and len(np.unique(images.reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize("shuffle", ["epoch", "once"])
def test_a_resumed_run_with_labels_is_the_uninterrupted_one(pets, tmp_path, shuffle):
    config = TrainConfig(dataset=str(pets), **CONFIG | {"labels": "on", "measure_every": 0, "shuffle": shuffle})
    loop.train(config, tmp_path / "whole")
    loop.train(dataclasses.replace(config, steps=7), tmp_path / "parts")  # in the middle of an epoch of four steps
    loop.train(config, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    cached = dataclasses.replace(config, cache_dir=str(tmp_path / "cache"))
    loop.train(cached, tmp_path / "cached")
    assert_same_weights(tmp_path / "whole", tmp_path / "cached")
    prepare(dataclasses.replace(config, labels="off"), tmp_path / "prepared")
    loop.train(dataclasses.replace(config, dataset=str(tmp_path / "prepared")), tmp_path / "from_prepared")
    assert_same_weights(tmp_path / "whole", tmp_path / "from_prepared")


class Killed(BaseException):
    """Nothing of the program's catches it, as nothing does kill -9."""


def test_a_killed_run_with_labels_resumes_to_the_same_bytes(pets, tmp_path, monkeypatch):
    config = TrainConfig(dataset=str(pets), **CONFIG | {"labels": "on", "sample_every": 4})
    loop.train(config, tmp_path / "whole")

    def die(self, *_):
        if self.step == 8:  # the newest checkpoint is of step 5
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(guards.CollapseAlarm, "on_steps", die)
        loop.train(config, tmp_path / "killed")
    assert (tmp_path / "killed" / "checkpoints" / "step-5.json").exists()
    assert loop.train(config, tmp_path / "killed", resume=True).step == 12
    assert soak.results(tmp_path / "killed") == soak.results(tmp_path / "whole")


def test_a_run_does_not_resume_with_other_labels(pets, tmp_path):
    config = TrainConfig(dataset=str(pets), **CONFIG | {"labels": "on", "steps": 2, "measure_every": 0})
    loop.train(config, tmp_path / "run")
    before = (tmp_path / "run" / "dataset.json").read_bytes()
    (pets / "labels.csv").write_text(
        "file,label\n"
        + "".join(f"{path.relative_to(pets)},{'x' if path.stem == '0' else 'y'}\n" for path in pets.rglob("*.png"))
    )
    with pytest.raises(SettingError, match=r"^resume: the labels of .*pets are not those that this run began with"):
        loop.train(dataclasses.replace(config, steps=4), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "dataset.json").read_bytes() == before
    (pets / "labels.csv").unlink()
    loop.train(dataclasses.replace(config, steps=4), tmp_path / "run", resume=True)


def test_the_picture_of_a_data_set_has_a_row_for_each_class(pets, tmp_path):
    config = TrainConfig(dataset=str(pets), image_size=16, labels="on")
    data = loop.open_data(config, tmp_path / "run")
    picture = cv2.imread(str(tmp_path / "run" / "dataset.png"))[::8, ::8, ::-1]  # one pixel of each eight
    assert picture.shape == (3 * 16, 8 * 16, 3)
    cells = picture.reshape(3, 16, 8, 16, 3).swapaxes(1, 2)
    images = [image.tobytes() for image in data.images[:]]
    for row, count in enumerate((2, 8, 5)):  # birds, cats, dogs
        shown = [cell.tobytes() for cell in cells[row][:count]]
        assert len(set(shown)) == count
        assert {data.labels[images.index(cell)] for cell in shown} == {row}
        assert not cells[row][count:].any()
    again = preview.draw_preview(loop.open_data(config, tmp_path / "again"), config)
    np.testing.assert_array_equal(again[::8, ::8], picture)
    other = preview.draw_preview(data, dataclasses.replace(config, seed=1))
    assert (other[::8, ::8] != picture).any()


def test_of_many_classes_the_picture_shows_the_largest(tmp_path):
    labels = np.concatenate([np.repeat(np.arange(20), 2), [3, 17, 19]]).astype(np.int32)
    images = np.zeros((len(labels), 16, 16, 1), np.uint8) + labels[:, None, None, None].astype(np.uint8)
    data = source.Data("many", images, {}, labels, Classes.of(list(map(str, range(20))), labels))
    config = TrainConfig(image_size=16, channels=1)
    rows = preview.draw_preview(data, config)[::128, 0, 0]
    assert rows.tolist() == [*range(14), 17, 19]
    assert preview.describe(data) == "A row for the 16 largest of the classes, as the network will see them"


def test_a_run_does_not_resume_with_other_pictures(mixed, tmp_path):
    zoo.numbered(mixed / "more", 8)
    config = TrainConfig(dataset=str(mixed), **CONFIG | {"steps": 2, "measure_every": 0})
    run = tmp_path / "run"
    loop.train(config, run, resume=False)
    config = dataclasses.replace(config, steps=4)

    before = (run / "dataset.json").read_bytes()
    away = [path.rename(path.with_suffix(".away")) for path in sorted((mixed / "more").glob("*.png"))]
    for path in away:  # more bad ones than are allowed
        path.with_suffix(".png").write_bytes(b"")
    with pytest.raises(SettingError, match="cannot be used"):
        loop.train(dataclasses.replace(config, max_bad_share=0.1), run, resume=True)
    assert (run / "dataset.json").read_bytes() == before  # or the run could never resume
    for path in away:
        path.rename(path.with_suffix(".png"))

    (mixed / "gif" / "palette.gif").unlink()
    with pytest.raises(SettingError, match=rf"^resume: .*mixed does not hold .* \({GOOD + 8} then, {GOOD + 7} now\)"):
        loop.train(config, run, resume=True)


@pytest.mark.parametrize("harm", ["vanishes", "grows", "breaks"])
def test_a_file_that_changes_during_a_run_ends_it_with_the_files_name(tmp_path, monkeypatch, harm):
    folder = zoo.numbered(tmp_path / "n", 12)
    reading_errors = source.reading_errors

    @contextlib.contextmanager
    def harmed(data):
        victim = folder / "007.png"
        content = victim.read_bytes()
        victim.unlink()
        if harm != "vanishes":
            victim.write_bytes(content + b"x" if harm == "grows" else b"\0" * len(content))
        with reading_errors(data):
            yield

    monkeypatch.setattr(source, "reading_errors", harmed)  # begins when everything is ready to train
    config = TrainConfig(dataset=str(folder), **CONFIG | {"sample_count": 1, "measure_every": 0})
    with pytest.raises(PictureLost, match=r"007\.png: .*restore the file and resume the run"):
        loop.train(config, tmp_path / "run", resume=False)


def test_mirroring_flips_about_half_by_seed_and_step():
    images = np.zeros((64, 16, 16, 1), np.uint8)
    images[:, :, 0] = 255
    dataset = make_dataset(images, 64, 16, 1, first_step=0, mirror=True).take(20)
    flipped = np.array([batch.numpy()[:, 0, -1, 0] == 1 for batch in dataset])
    assert 0.45 < flipped.mean() < 0.55
    assert (flipped[0] != flipped[1]).any()
    later = next(iter(make_dataset(images, 64, 16, 1, first_step=7, mirror=True)))
    np.testing.assert_array_equal(later.numpy()[:, 0, -1, 0] == 1, flipped[7])


def test_evaluate_measures_a_generator_against_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "load_extractor", lambda name: features.load_extractor(name, cheap=True))
    monkeypatch.setattr(report, "SEARCHED", 50)
    config = TrainConfig(dataset=str(zoo.numbered(tmp_path / "n", 60)), image_size=16)
    figures, pictures = report.evaluate(build_generator(2, 16, 3), source.open_data(config), 20, seed=0)
    assert figures["samples"] == 20 and "classes" not in figures
    assert [picture.ndim for picture in pictures.values()] == [3, 3]


def test_the_commands_with_a_mixed_folder(command, mixed, tmp_path):
    flags = ["--preset=quick", "--width=2", "--image_size=16", "--batch_size=4", "--steps=4"]
    run = tmp_path / "run"
    refused = command("keras_dcgan.fit", f"--dataset={mixed}", *flags, f"--run_dir={run}")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert f"--max_bad_share=0.1: {BAD} of {GOOD + BAD} pictures" in refused.stderr.splitlines()[-1]
    done = command("keras_dcgan.fit", f"--dataset={mixed}", *flags, f"--run_dir={run}", "--max_bad_share=0.3")
    assert done.returncode == 0, done.stderr
    assert f"mixed: {GOOD} images, 30x20 to 1920x1280 pixels (median shorter side 64)" in done.stderr
    assert f"{BAD} files skipped, see dataset.json; to 16x16x3 (crop)" in done.stderr
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["dataset"] == str(mixed) and config["channels"] == 3
    again = command("keras_dcgan.fit", f"--run_dir={run}", "--resume")
    assert again.returncode == 0, again.stderr


def test_evaluate_refuses_a_folder_of_few_pictures(command, tmp_path):
    few = zoo.numbered(tmp_path / "few", 31)
    generator = tmp_path / "generator.keras"
    build_generator(2, 16, 3).save(generator)
    done = command(
        "keras_dcgan.evaluate", f"--generator={generator}", f"--dataset={few}", f"--out={tmp_path / 'measured'}"
    )
    assert done.returncode == 2 and "holds 31 images; measuring needs 32" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--dataset=mnits"],
            "--dataset=mnits: no such folder or file, and none of mnist, fashion_mnist, cifar10; did",
        ),
        (["--dataset=/no/where"], "--dataset=/no/where: no such folder or file"),
        (["--dataset="], "--dataset=: no such folder"),
        (["--dataset=tests", "--resize_mode=cut"], "--resize_mode=cut: must be one of crop, pad, stretch"),
        (["--dataset=tests", "--max_bad_share=2"], "--max_bad_share=2"),
        (["--dataset=tests", "--run_dir=tests/runs"], "lies in dataset"),
    ],
)
def test_a_mistake_is_reported_before_tensorflow_is_loaded(command, tmp_path, flags, message):
    run_dir = [] if "run_dir" in flags[-1] else [f"--run_dir={tmp_path / 'run'}"]
    done = command("keras_dcgan.fit", *flags, *run_dir, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2 and "tensorflow" not in done.stderr
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "run").exists()
