import dataclasses
import json

import numpy as np
import pytest

from keras_dcgan import cli, prepare
from keras_dcgan.config import SettingError, TrainConfig, setting_names
from keras_dcgan.datasets import prepared, source
from keras_dcgan.datasets.data import choose_size
from keras_dcgan.pipeline import transform
from keras_dcgan.tools.files import BadFile
from tests.datasets import zoo


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


def run(*flags: str) -> None:
    prepare.main(cli.parse(prepare.define_flags, flags))


@pytest.fixture
def array(tmp_path):
    """A file of ten images of noise, 16x16 in colour."""
    np.save(tmp_path / "c.npy", np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8))
    return tmp_path / "c.npy"


def test_prepared_pictures_are_those_of_the_folder(tmp_path):
    zoo.make(tmp_path / "mixed")
    config = TrainConfig(dataset=str(tmp_path / "mixed"), image_size=32, max_bad_share=0.5)
    prepare.prepare(config, tmp_path / "out")
    data = source.open_data(TrainConfig(dataset=str(tmp_path / "out"), image_size=32))
    np.testing.assert_array_equal(data.images[:], source.open_data(config).images[:])
    assert data.report["fingerprint"] and data.report["prepared_from"] == config.dataset
    report = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert len(report["skipped"]) == len(zoo.bad_files())
    assert {name: report[name] for name in setting_names("decoding")} == {
        name: getattr(config, name) for name in setting_names("decoding")
    }
    with pytest.raises(SettingError, match="is prepared already"):
        prepare.prepare(TrainConfig(dataset=str(tmp_path / "out")), tmp_path / "twice")


def test_what_another_folder_holds_is_kept_also_if_the_data_are_refused(tmp_path):
    zoo.make(tmp_path / "mixed")
    (tmp_path / "mixed" / "dataset.json").write_text('{"labels": []}')
    for out in ("mixed", "other"):
        (tmp_path / out).mkdir(exist_ok=True)
        (tmp_path / out / "notes.txt").write_text("mine")
        with pytest.raises(BadFile, match=f"{out}: holds something else; give a new or empty folder"):
            run(f"--dataset={tmp_path}/mixed", f"--out={tmp_path}/{out}")
    assert (tmp_path / "mixed" / "dataset.json").read_text() == '{"labels": []}'
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]
    with pytest.raises(SettingError, match="max_bad_share"):
        run(f"--dataset={tmp_path}/mixed", f"--out={tmp_path}/new")
    run(f"--dataset={tmp_path}/mixed", f"--out={tmp_path}/new", "--max_bad_share=0.5")  # after a refused start
    report = (tmp_path / "new" / "dataset.json").read_bytes()
    with pytest.raises(SettingError, match="max_bad_share"):
        run(f"--dataset={tmp_path}/mixed", f"--out={tmp_path}/new")
    assert (tmp_path / "new" / "dataset.json").read_bytes() == report


def test_the_command_for_grey_images_trains_them_as_grey(tmp_path, array, caplog):
    caplog.set_level("INFO", logger="absl")
    run(f"--dataset={array}", f"--out={tmp_path}/out", "--image_size=16", "--channels=1")
    assert f"--dataset={tmp_path}/out/ --image_size=16 --channels=1" in caplog.text


def test_labels_are_prepared_too_and_checked(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    pets = zoo.classes(tmp_path / "pets", cats=5, dogs=3)
    out = tmp_path / "out"
    run(f"--dataset={pets}/", f"--out={out}", "--image_size=16")
    assert "2 classes, by sub-folders: cats (5), dogs (3)" in caplog.text
    config = TrainConfig(dataset=str(pets), image_size=16, labels="on")
    direct = source.open_data(config, with_labels=True)
    data = source.open_data(dataclasses.replace(config, dataset=str(out)), with_labels=True)
    np.testing.assert_array_equal(data.labels, direct.labels)
    assert data.classes == direct.classes and data.report["classes"] == direct.report["classes"]
    assert json.loads((out / "dataset.json").read_text())["classes"]["counts"] == {"cats": 5, "dogs": 3}
    run(f"--check={out}")
    path = out / "labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(BadFile, match=r"labels\.npy: has a wrong checksum"):
        run(f"--check={out}")


def test_the_labels_of_an_array_are_prepared_too(tmp_path, digits):
    np.savez(tmp_path / "d.npz", images=digits, y=np.arange(40) % 4)
    prepare.prepare(TrainConfig(dataset=str(tmp_path / "d.npz"), image_size=64, channels=1), tmp_path / "out")
    config = TrainConfig(dataset=str(tmp_path / "out"), image_size=64, channels=1, labels="on")
    data = source.open_data(config, with_labels=True)
    np.testing.assert_array_equal(data.labels, np.arange(40) % 4)
    assert source.describe_classes(data) == "4 classes, by labels in y of d.npz: 0 (10), 1 (10), 2 (10), 3 (10)"


def test_a_prepared_array_is_what_the_pipeline_makes_of_it(tmp_path, digits):
    np.save(tmp_path / "d.npy", digits)
    prepare.prepare(TrainConfig(dataset=str(tmp_path / "d.npy"), image_size=64, channels=1), tmp_path / "out")
    images = prepared.open_prepared(tmp_path / "out")[0][:]
    np.testing.assert_allclose(images, (transform(digits, 64, 1).numpy() + 1) * 127.5, atol=0.51)


def test_the_flags_are_the_settings_that_decide_what_is_decoded(tmp_path, array, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = ["--image_size=32", "--channels=1", "--resize_mode=pad", "--background=grey", "--min_side=20"]
    run("--dataset=~/c.npy", "--out=~/out", *settings, "--max_bad_share=0.5")
    images, index = prepared.open_prepared(tmp_path / "out")
    assert images.shape == (10, 32, 32, 1) and (index["resize_mode"], index["background"]) == ("pad", "grey")
    assert not (tmp_path / "~").exists()


def test_the_size_can_be_chosen_by_the_pictures(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    small, large = zoo.numbered(tmp_path / "small", 3, side=40), zoo.numbered(tmp_path / "large", 3, side=41)
    for folder, size in ((small, 32), (large, 64)):
        out = tmp_path / f"out{size}"
        run(f"--dataset={folder}/", f"--out={out}", "--image_size=auto")
        assert prepared.open_prepared(out)[0].shape == (3, size, size, 3)
        report = json.loads((out / "dataset.json").read_text())
        assert report["image_size"] == json.loads((out / "index.json").read_text())["image_size"] == size
    assert "Image size: 32, because the pictures' median shorter side is 40 pixels." in caplog.text
    assert "to 64x64x3 (crop)" in caplog.text and f"--dataset={out}/ --image_size=64" in caplog.text
    caplog.clear()
    run(f"--dataset={small}/", f"--out={tmp_path}/out")
    assert prepared.open_prepared(tmp_path / "out")[0].shape == (3, 64, 64, 3) and "because" not in caplog.text
    config = TrainConfig(dataset=str(tmp_path / "out32"), image_size=0)
    data = source.open_data(config)
    assert choose_size(config, data.report) == (32, "the images were prepared at it")


def test_stretched_pictures_keep_the_shape_in_which_they_are_shown(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    wide = np.zeros((3, 20, 30, 1), np.uint8)
    np.save(tmp_path / "wide.npy", wide)
    run(f"--dataset={tmp_path}/wide.npy", f"--out={tmp_path}/out", "--resize_mode=stretch", "--image_size=16")
    assert f"--dataset={tmp_path}/out/ --image_size=16 --resize_mode=stretch" in caplog.text
    assert source.open_data(TrainConfig(dataset=f"{tmp_path}/out", image_size=16)).report["aspect"] == 1.5
    run(f"--dataset={tmp_path}/wide.npy", f"--out={tmp_path}/cropped", "--image_size=16")
    assert source.open_data(TrainConfig(dataset=f"{tmp_path}/cropped", image_size=16)).report["aspect"] == 1


def test_check_goes_alone(tmp_path, array, caplog):
    out = tmp_path / "out"
    run(f"--dataset={array}", f"--out={out}", "--image_size=16")
    with pytest.raises(cli.UserError, match=r"^--check: goes alone, without --out and --image_size$"):
        run(f"--check={out}", "--image_size=16", f"--out={out}")
    caplog.set_level("INFO", logger="absl")
    run(f"--check={out}")
    assert "10 images, every checksum is right" in caplog.text


def test_the_command(command, tmp_path, array):
    out = tmp_path / "out"
    done = command("keras_dcgan.prepare", f"--dataset={array}", f"--out={out}", "--image_size=16")
    assert done.returncode == 0, done.stderr
    assert f"-m keras_dcgan.fit --dataset={out}/ --image_size=16" in done.stderr
    again = command("keras_dcgan.prepare", f"--dataset={array}", f"--out={out}", "--image_size=32")
    assert again.returncode == 2 and "images of other pictures or with other settings" in again.stderr
    path = out / "images-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    bad = command("keras_dcgan.prepare", f"--check={out}")
    assert bad.returncode == 2 and "wrong checksum" in bad.stderr and len(bad.stderr.splitlines()) == 1
    for flags, message in (
        (["--out=x"], "give --dataset"),
        (["--dataset=nowhere", "--out=x"], "--dataset=nowhere: no such folder or file"),
        ([f"--dataset={array}", "--out=x", "--image_size=60"], "--image_size=60: must be auto or one of"),
        (["--check="], "check"),
        (["--check=nowhere"], "nowhere: holds no prepared images; "),
        ([f"--dataset={array}", f"--out={array}"], f"--out={array}: {array}: is not a folder, or lies in a file"),
    ):
        mistake = command("keras_dcgan.prepare", *flags)
        assert mistake.returncode == 2 and message in mistake.stderr and len(mistake.stderr.splitlines()) == 1


def test_two_machines_share_the_work(command, tmp_path, digits):
    np.save(tmp_path / "digits.npy", digits)
    flags = (f"--dataset={tmp_path}/digits.npy", f"--out={tmp_path}/out", "--image_size=16")
    done = command("keras_dcgan.prepare", *flags, "--part=2/2")
    assert done.returncode == 0 and "The last part to end completes" in done.stderr
    done = command("keras_dcgan.prepare", *flags, "--part=1/2")
    assert done.returncode == 0 and "Train with:" in done.stderr
    assert len(prepared.open_prepared(tmp_path / "out", verify=True)[0]) == len(digits)
    for part in ("0/2", "3/2", "2", "a/b"):
        done = command("keras_dcgan.prepare", *flags, f"--part={part}")
        assert done.returncode == 2 and "must be such as 2/4" in done.stderr and done.stderr.count("\n") == 1
