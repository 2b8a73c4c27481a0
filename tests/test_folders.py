"""Looking at a folder of pictures, and training from it."""

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_dcgan import folders, inputs, pictures, runs, training
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.pipeline import make_dataset
from keras_dcgan.sources import PictureLost
from tests import zoo

CONFIG = {
    "width": 2, "image_size": 16, "batch_size": 4, "sample_count": 4, "steps": 12, "shuffle": "epoch",
    "checkpoint_every": 5, "sample_every": 0, "measure_samples": 16, "max_bad_share": 0.5, "mirror": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def mixed(tmp_path):
    zoo.make(tmp_path / "mixed")
    return tmp_path / "mixed"


def numbered(folder: Path, count: int, side: int = 16) -> Path:
    """A folder of PNGs that can be told apart: picture i is grey level i."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((side, side + i, 3), i, np.uint8))
    return folder


def test_every_file_is_judged(tmp_path):
    good, bad = zoo.make(tmp_path / "mixed")
    scan = folders.scan(tmp_path / "mixed")
    problems = {scan.names[index]: reason for index, reason in scan.problems(16).items()}
    assert set(problems) == set(bad)
    for name, reason in bad.items():
        assert reason in problems[name], name
    assert set(scan.names) - set(problems) == good
    assert scan.others == 3  # labels.csv, a hidden file, a hidden folder
    assert "the same as bad/same.png" in problems["png/rgb.png"]
    assert not scan.problems(7) or "bad/tiny.png" not in {scan.names[i] for i in scan.problems(7)}


def test_what_was_looked_at_is_remembered(mixed, monkeypatch):
    looked = []
    look = folders._look
    monkeypatch.setattr(folders, "_look", lambda path: looked.append(path.name) or look(path))
    first = folders.scan(mixed)
    assert len(looked) == len(first.names)
    looked.clear()
    second = folders.scan(mixed)
    assert not looked and second.problems(16) == first.problems(16)
    np.testing.assert_array_equal(first.digests, second.digests)
    (mixed / "png" / "rgba.png").write_bytes(zoo.encode(zoo.picture("new"), "PNG"))
    (mixed / "added.png").write_bytes(zoo.encode(zoo.picture("added"), "PNG"))
    (mixed / "gif" / "palette.gif").unlink()
    third = folders.scan(mixed)
    assert sorted(looked) == ["added.png", "rgba.png"]
    assert "gif/palette.gif" not in third.names


def test_a_damaged_memory_is_replaced(mixed, tmp_path, caplog):
    first = folders.scan(mixed, tmp_path / "memory")
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_bytes(memory.read_bytes()[:500])
    assert folders.scan(mixed, tmp_path / "memory").problems(16) == first.problems(16)
    assert str(memory) in caplog.text
    caplog.clear()
    folders.scan(mixed, tmp_path / "memory")
    assert not caplog.text


def test_an_interrupted_look_goes_on_where_it_was(tmp_path, monkeypatch):
    folder = numbered(tmp_path / "many", 200)
    looked = []
    look = folders._look

    def interrupted(path):
        looked.append(path)
        if len(looked) == 190:
            raise KeyboardInterrupt
        return look(path)

    monkeypatch.setattr(folders, "_look", interrupted)
    monkeypatch.setattr(folders, "REMEMBER_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        folders.scan(folder, threads=1)
    before = len(looked)
    assert not folders.scan(folder, threads=1).problems(1)
    assert len(looked) - before < 200


def test_odd_names_and_odd_files(tmp_path):
    folder = numbered(tmp_path / "odd", 2)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "linked.png").symlink_to(folder / "000.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    os.rename(folder / "001.png", os.fsencode(folder) + b"/\xff\xfe \n.png")
    scan = folders.scan(folder)
    assert {scan.names[i]: reason for i, reason in scan.problems(1).items()} == {
        "gone.png": "cannot be read: No such file or directory",
        "linked.png": "the same as 000.png",
    }
    assert len(scan.names) == 4 and scan.others == 2
    images, report = inputs.open_images(TrainConfig(dataset=str(folder), image_size=16, max_bad_share=1))
    assert images[:].shape == (2, 16, 16, 3) and json.dumps(report)
    assert folders.scan(folder).names == scan.names


def test_too_many_bad_files_are_an_error_that_lists_them(mixed, tmp_path):
    config = TrainConfig(dataset=str(mixed), image_size=16)
    with pytest.raises(SettingError, match=r"--max_bad_share=0.1: 11 of 40 .*bad/bomb.png: .*60000") as raised:
        inputs.open_images(config, tmp_path / "run")
    assert len(str(raised.value)) < 600
    assert len(json.loads((tmp_path / "run" / "dataset.json").read_text())["left_out"]) == 11
    assert runs.check_new(tmp_path / "run")  # the folder can still be trained into


def test_a_folder_without_a_picture_is_an_error(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("a")
    with pytest.raises(SettingError, match=r"no file in it ends in .jpg, .* \(1 others\)"):
        inputs.open_images(TrainConfig(dataset=str(tmp_path / "none")))
    (tmp_path / "none" / "a.png").write_text("a")
    with pytest.raises(SettingError, match="1 of 1 pictures"):
        inputs.open_images(TrainConfig(dataset=str(tmp_path / "none"), max_bad_share=1))


def test_images_are_indexed_like_an_array_and_decoded_as_pictures_are(mixed):
    config = TrainConfig(dataset=str(mixed), image_size=32, fit="pad", max_bad_share=0.5)
    images, report = inputs.open_images(config)
    assert images.shape == (len(images), 32, 32, 3) and report["images"] == len(images) == 29
    for index in (0, 7, 28):
        data = (mixed / images.names[index]).read_bytes()
        np.testing.assert_array_equal(images[np.array([index])][0], pictures.decode(data, 32, 3, "pad"))
    order = np.random.default_rng(0).permutation(29)
    np.testing.assert_array_equal(images.reordered(order)[:], images[:][order])
    np.testing.assert_array_equal(images.reordered(order).reordered(order)[3:5], images[:][order][order][3:5])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
def test_batches_from_a_folder_are_those_from_memory(tmp_path, shuffle, mirror):
    images, _ = inputs.open_images(TrainConfig(dataset=str(numbered(tmp_path / "n", 10)), image_size=16))
    options = {"batch_size": 4, "image_size": 16, "channels": 3, "shuffle": shuffle, "seed": 1, "mirror": mirror}
    for first in (0, 5):
        disk, memory = (make_dataset(data, first_step=first, **options).take(7) for data in (images, images[:]))
        for a, b in zip(disk, memory, strict=True):
            np.testing.assert_array_equal(a, b)


def test_mirroring_flips_about_half_by_seed_and_step():
    images = np.zeros((64, 16, 16, 1), np.uint8)
    images[:, :, 0] = 255
    dataset = make_dataset(images, 64, 16, 1, first_step=0, mirror=True).take(20)
    flipped = np.array([batch.numpy()[:, 0, -1, 0] == 1 for batch in dataset])
    assert 0.45 < flipped.mean() < 0.55
    assert (flipped[0] != flipped[1]).any()
    later = next(iter(make_dataset(images, 64, 16, 1, first_step=7, mirror=True)))
    np.testing.assert_array_equal(later.numpy()[:, 0, -1, 0] == 1, flipped[7])


def weights(folder):
    return [array for layer in runs.load_generator(folder).layers for array in layer.get_weights()]


def test_a_resumed_run_gives_the_same_weights_and_a_changed_folder_is_refused(mixed, tmp_path):
    numbered(mixed / "more", 8)
    config = TrainConfig(dataset=str(mixed), **CONFIG)
    training.train(config, tmp_path / "whole")
    for name in ("dataset.json", "dataset.png", "metrics.csv", "generator.keras"):
        assert (tmp_path / "whole" / name).stat().st_size, name
    assert cv2.imread(str(tmp_path / "whole" / "dataset.png")).shape == (512, 512, 3)
    training.train(dataclasses.replace(config, steps=5), tmp_path / "parts")
    training.train(config, tmp_path / "parts", resume=True)
    for a, b in zip(weights(tmp_path / "whole"), weights(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(a, b)

    # The same from a decoded copy.
    training.train(dataclasses.replace(config, cache_dir=str(tmp_path / "cache")), tmp_path / "cached")
    for a, b in zip(weights(tmp_path / "whole"), weights(tmp_path / "cached"), strict=True):
        np.testing.assert_array_equal(a, b)

    report = (tmp_path / "parts" / "dataset.json").read_bytes()
    away = [path.rename(path.with_suffix(".away")) for path in sorted((mixed / "more").glob("*.png"))]
    for path in away:  # as many bad ones as are not borne
        path.with_suffix(".png").write_bytes(b"")
    with pytest.raises(SettingError, match="cannot be used"):
        training.train(dataclasses.replace(config, max_bad_share=0.1), tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / "dataset.json").read_bytes() == report  # or the run could never go on
    for path in away:
        path.rename(path.with_suffix(".png"))

    (mixed / "gif" / "palette.gif").unlink()
    with pytest.raises(SettingError, match=r"--resume: .*mixed does not hold .* \(37 then, 36 now\)"):
        training.train(config, tmp_path / "parts", resume=True)


@pytest.mark.parametrize("harm", ["vanishes", "grows", "breaks"])
def test_a_file_that_changes_under_the_run_ends_it_by_name(tmp_path, monkeypatch, harm):
    folder = numbered(tmp_path / "n", 12)
    show = inputs.show

    def harmed(*arguments):
        show(*arguments)
        victim = folder / "007.png"
        if harm == "vanishes":
            victim.unlink()
        elif harm == "grows":
            victim.write_bytes(victim.read_bytes() + b"x")
        else:
            victim.write_bytes(b"\0" * victim.stat().st_size)

    monkeypatch.setattr(inputs, "show", harmed)
    config = TrainConfig(dataset=str(folder), **CONFIG | {"sample_count": 1, "measure_every": 0})
    with pytest.raises(PictureLost, match=r"007\.png: .*put it back as it was and go on with --resume"):
        training.train(config, tmp_path / "run")


def test_evaluate_takes_a_folder(tmp_path, monkeypatch):
    from keras_dcgan import evaluate, features
    from keras_dcgan.networks import build_generator

    monkeypatch.setattr(features, "load_extractor", lambda *_: features.random_extractor())
    monkeypatch.setattr(evaluate, "SEARCHED", 50)
    images, _ = inputs.open_images(TrainConfig(dataset=str(numbered(tmp_path / "n", 60)), image_size=16))
    result, picture = evaluate.evaluate(build_generator(2, 16, 3), str(tmp_path / "n"), images, None, 20, seed=0)
    assert result["samples"] == 20 and "classes" not in result
    assert picture.ndim == 3


def test_the_command_with_a_mixed_folder(command, mixed, tmp_path):
    flags = ["--preset=quick", "--width=2", "--image_size=16", "--batch_size=4", "--steps=4"]
    run = tmp_path / "run"
    refused = command("keras_dcgan.fit", f"--dataset={mixed}", *flags, f"--run_dir={run}")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "--max_bad_share=0.1: 11 of 40 pictures" in refused.stderr.splitlines()[-1]
    done = command("keras_dcgan.fit", f"--dataset={mixed}", *flags, f"--run_dir={run}", "--max_bad_share=0.3")
    assert done.returncode == 0, done.stderr
    assert "mixed: 29 images, 30x20 to 1920x1280 pixels (median shorter side 64)" in done.stderr
    assert "11 files left out, see dataset.json; to 16x16x3 by crop" in done.stderr
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["dataset"] == str(mixed) and config["channels"] == 3
    again = command("keras_dcgan.fit", f"--run_dir={run}", "--resume")
    assert again.returncode == 0, again.stderr
    few = command("keras_dcgan.evaluate", f"--run_dir={run}")
    assert few.returncode == 2 and "holds 29 images; to measure takes 32" in few.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--dataset=mnits"],
            "--dataset=mnits: no such folder or file, and none of mnist, fashion_mnist, cifar10; did",
        ),
        (["--dataset=/no/where"], "--dataset=/no/where: no such folder or file"),
        (["--dataset="], "--dataset=: no such folder"),
        (["--dataset=tests", "--fit=cut"], "--fit=cut: must be one of crop, pad, stretch"),
        (["--dataset=tests", "--max_bad_share=2"], "--max_bad_share=2"),
        (["--dataset=tests", "--run_dir=tests/runs"], "lies in --dataset"),
    ],
)
def test_a_mistake_is_told_before_tensorflow_is_loaded(command, tmp_path, flags, message):
    run_dir = [] if "run_dir" in flags[-1] else [f"--run_dir={tmp_path / 'run'}"]
    done = command("keras_dcgan.fit", *flags, *run_dir, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2 and "tensorflow" not in done.stderr
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "run").exists()
