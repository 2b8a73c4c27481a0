import hashlib
import json
import os
import shutil

import cv2
import keras
import numpy as np
import pytest

from keras_dcgan import cli, evaluate, pipeline, runs
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.datasets import DatasetUnavailable, named
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.generators import save_network
from keras_dcgan.networks import build_generator
from keras_dcgan.tools.files import BadFile
from tests.datasets import zoo


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    save_network(path, build_generator(2, 16, 1, 5))  # as a run does
    return path


def run(*arguments: str) -> None:
    """The command, in this process."""
    evaluate.main(cli.parse(evaluate.define_flags, arguments))


@pytest.fixture
def few_digits(mnist, monkeypatch) -> np.ndarray:
    """The labels of what `--dataset=mnist` then has: 2,000 digits, because all are looked at for copies."""
    labels = named.load_labels("mnist")[:2000]
    monkeypatch.setattr(named, "load_images", lambda *_: mnist[:2000])
    monkeypatch.setattr(named, "load_labels", lambda *_: labels)
    return labels


def test_every_figure_is_written_with_its_floor(few_digits, generator, tmp_path, caplog, capsys):
    run(f"--generator={generator}", "--dataset=mnist", "--samples=200", f"--out={tmp_path}/new")
    assert f"There is no config.json beside {generator}, so pictures are cropped" in caplog.text
    result = json.loads((tmp_path / "new" / "metrics.json").read_text())
    for side in ("generated", "real"):
        assert set(result[side]) == {
            "frechet_distance", "kernel_distance", "kernel_distance_standard_error",
            "precision", "recall", "density", "coverage",
        }  # fmt: skip
    # An untrained generator is far away, and the floor near 0 and 1.
    assert result["generated"]["frechet_distance"] > 10 * result["real"]["frechet_distance"]
    assert result["generated"]["coverage"] < 0.2 < 0.8 < result["real"]["coverage"]
    assert sum(result["classes"]["generated"]) == pytest.approx(1, abs=1e-3)
    assert result["classes"]["total_variation"] > 0.3 > result["classes"]["total_variation_real"] > 0
    assert result["generator"] == str(generator)
    assert result["generator_sha256"] == hashlib.sha256(generator.read_bytes()).hexdigest()
    assert result["features"] == "mnist-classifier" and result["versions"]["keras"]
    assert cv2.imread(str(tmp_path / "new" / "nearest.png")).shape == (4 * 64, 4 * (4 * 64) + 3 * 32, 3)
    assert cv2.imread(str(tmp_path / "new" / "copies.png")).shape == (4 * 64, 4 * (2 * 64) + 3 * 32, 3)
    assert next(iter(result["generated"])) == "kernel_distance"  # with so few samples
    assert set(result["copying"]) == {"copied", "expected", "nearer", "verdict"} and result["copying"]["copied"] < 0.1
    printed = capsys.readouterr().out
    assert "agreement" not in printed and not (tmp_path / "new" / "confusion.png").exists()
    for name in ("frechet distance", "standard error", "total variation", "mnist-classifier", "no sign of copying"):
        assert name in printed


def test_a_generator_with_classes_is_also_measured_by_class(few_digits, tmp_path, capsys):
    counts = tuple(np.bincount(few_digits).tolist())
    save_network(tmp_path / "a.keras", build_generator(2, 16, 1, 5, classes=10), Classes(tuple("0123456789"), counts))
    run(f"--generator={tmp_path}/a.keras", "--dataset=mnist", "--samples=600", f"--out={tmp_path}/new")
    result = json.loads((tmp_path / "new" / "metrics.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert result["generated"]["agreement"] < 0.3 and result["real"]["agreement"] > 0.9
    assert np.shape(result["classes"]["confusion"]) == (10, 10)
    assert result["classes"]["names"] == list("0123456789")
    assert cv2.imread(str(tmp_path / "new" / "confusion.png")).std() > 5
    assert (tmp_path / "new" / "nearest.png").exists()
    assert "agreement" in capsys.readouterr().out


@pytest.mark.parametrize("mirror", [False, True])
def test_mirrored_copies_are_looked_for_in_runs_that_mirror(generator, tmp_path, mnist, monkeypatch, mirror):
    np.save(tmp_path / "digits.npy", mnist[:300])
    settings = TrainConfig(dataset=str(tmp_path / "digits.npy"), channels=1, mirror=mirror)
    runs.write_config(tmp_path / "config.json", settings, {})
    (tmp_path / "generator.keras").write_bytes(generator.read_bytes())
    copies = pipeline.as_generated(mnist[:150, :, ::-1], 16, 1)
    monkeypatch.setattr("keras_dcgan.metrics.report.draw_images", lambda generator, inputs, *_: copies[: len(inputs)])
    for flags in (
        [f"--run_dir={tmp_path}"],
        [f"--generator={tmp_path}/generator.keras", f"--dataset={tmp_path}/digits.npy", f"--out={tmp_path}"],
    ):
        run(*flags, "--samples=150")
        copied = json.loads((tmp_path / "metrics.json").read_text())["copying"]["copied"]
        assert copied > 0.95 if mirror else copied < 0.3


def test_samples_can_be_compared_at_another_size(tmp_path, mnist, monkeypatch):
    np.save(tmp_path / "digits.npy", mnist[:300])
    save_network(tmp_path / "generator.keras", build_generator(2, 32, 1, 5))
    reals = pipeline.as_generated(mnist[:150], 16, 1)
    coarse = reals.repeat(2, axis=1).repeat(2, axis=2)  # blocks at 32 pixels, and like the reals at 16
    monkeypatch.setattr("keras_dcgan.metrics.report.draw_images", lambda generator, inputs, *_: coarse[: len(inputs)])
    found = []
    for flags in ([], ["--image_size=16"]):
        run(f"--generator={tmp_path}/generator.keras", f"--dataset={tmp_path}/digits.npy", f"--out={tmp_path}", *flags)
        found.append(json.loads((tmp_path / "metrics.json").read_text()))
        size = found[-1]["image_size"]
        times = 64 // size  # enlarged
        assert cv2.imread(str(tmp_path / "copies.png")).shape == (times * 4 * size, times * (8 * size + 3 * 8), 3)
    own, smaller = found
    assert (own["image_size"], smaller["image_size"]) == (32, 16) and own["real"] != smaller["real"]
    assert smaller["generated"]["frechet_distance"] < own["generated"]["frechet_distance"] / 2


def test_a_run_folder_gives_the_data_set_and_takes_the_results(generator, tmp_path, digits):
    np.save(tmp_path / "digits.npy", digits)
    runs.write_config(tmp_path / "config.json", TrainConfig(dataset=str(tmp_path / "digits.npy"), channels=1), {})
    (tmp_path / "generator-best.keras").write_bytes(generator.read_bytes())
    run(f"--run_dir={tmp_path}", "--which=best", "--samples=16")
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["dataset"] == str(tmp_path / "digits.npy") and result["samples"] == 16
    assert result["generator"] == str(tmp_path / "generator-best.keras")
    assert (tmp_path / "nearest.png").exists()


def test_a_run_with_classes_is_compared_with_pictures_without_them(generator, tmp_path):
    photos = zoo.numbered(tmp_path / "photos", 40)
    for i in range(8):
        (photos / f"broken{i}.png").write_bytes(b"no picture")
    (tmp_path / "run").mkdir()
    config = TrainConfig(dataset="mnist", labels="on", image_size=16, channels=1)
    runs.write_config(tmp_path / "run" / "config.json", config, {})
    shutil.copy(generator, tmp_path / "run")
    flags = [f"--run_dir={tmp_path}/run", f"--dataset={photos}", "--samples=16", f"--out={tmp_path}/new"]
    with pytest.raises(SettingError, match=r"^max_bad_share=0.1: 8 of 48 pictures"):
        run(*flags)
    run(*flags, "--max_bad_share=0.2")
    assert json.loads((tmp_path / "new" / "metrics.json").read_text())["dataset"] == str(photos)


def test_a_network_of_the_users_makes_the_features(generator, tmp_path, digits, capsys):
    network = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
    network.save(tmp_path / "own.keras")
    np.save(tmp_path / "digits.npy", digits)
    flags = [f"--generator={generator}", f"--dataset={tmp_path}/digits.npy", f"--out={tmp_path}/out"]
    run(*flags, f"--features={tmp_path}/own.keras", "--samples=20")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["features"] == "own.keras"
    assert "20 samples, own.keras features" in capsys.readouterr().out
    with pytest.raises(BadFile, match=r"generator\.keras: has the shapes \(None, 5\) -> .*; must be a Keras network"):
        run(*flags, f"--features={generator}")


@pytest.mark.parametrize("flags, message", [(["--which=raw"], "--which=raw: goes with"), ([], "is not a folder")])
def test_an_impossible_place_or_choice_is_the_users_mistake(generator, tmp_path, flags, message):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(cli.UserError, match=message):
        run(f"--generator={generator}", "--dataset=mnist", f"--out={tmp_path}/file", *flags)
    assert (tmp_path / "file").read_text() == "in the way"


def test_without_labels_only_the_classes_are_skipped(generator, tmp_path, monkeypatch, mnist, caplog):
    def unavailable(*_):
        raise DatasetUnavailable(named.WHAT_TO_DO["mnist"])

    monkeypatch.setattr(named, "load_images", lambda *_: mnist[:200])
    monkeypatch.setattr(named, "load_labels", unavailable)
    run(f"--generator={generator}", "--dataset=mnist", f"--out={tmp_path}", "--samples=50")
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["generated"]["frechet_distance"] > 0 and "classes" not in result
    assert "the classes are skipped" in caplog.text
    assert "train-labels-idx1-ubyte" in caplog.text and "t10k-labels-idx1-ubyte" in caplog.text


def test_without_the_images_nothing_is_written(generator, tmp_path, monkeypatch):
    def unavailable(*_):
        raise DatasetUnavailable("get online")

    monkeypatch.setattr(named, "load_images", unavailable)
    with pytest.raises(DatasetUnavailable, match="get online"):
        run(f"--generator={generator}", "--dataset=mnist", f"--out={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_too_few_images_are_refused_and_nothing_is_written(generator, tmp_path, digits):
    np.save(tmp_path / "few.npy", digits[:31])
    with pytest.raises(SettingError, match="holds 31 images; measuring needs 32 or more"):
        run(f"--generator={generator}", f"--dataset={tmp_path}/few.npy", f"--out={tmp_path}/out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --run_dir"),
        (["--run_dir=nowhere"], "holds no run"),
        (["--generator=a.keras"], "give --dataset"),
        (["--generator=a.keras", "--dataset=faces", "--out=x"], "--dataset=faces: no such folder or file"),
        (["--generator=a.keras", "--dataset=", "--out=x"], "dataset=: must not be empty"),
        (["--generator=a.keras", "--dataset=mnist", "--out=x"], "a.keras: no such file"),
        (["--generator=a.keras", "--dataset=mnist", "--out="], "out=: must not be empty"),
        (
            ["--generator={generator}", "--dataset=mnist", "--out=x", "--features=b.keras"],
            "b.keras: no such file; must",
        ),
        (["--run_dir="], "run_dir=: must not be empty"),
        (["--run_dir=x", "--samples=3"], "samples"),
        (["--run_dir=x", "--image_size=48"], "image_size=48: value should be one of <16|32|64|128|256>"),
        (["--generator=a.keras", "--dataset=mnist", os.fsdecode(b"--out=\xff")], "UTF-8"),
        (["--generator=a.keras", os.fsdecode(b"--dataset=./\xff"), "--out=x"], "UTF-8"),
    ],
)
def test_a_mistake_is_one_line(command, generator, flags, message):
    done = command("keras_dcgan.evaluate", *(flag.replace("{generator}", str(generator)) for flag in flags))
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_is_no_run_folder(generator):
    with pytest.raises(cli.UserError, match=r"generator\.keras: holds no run"):
        run(f"--run_dir={generator}")
