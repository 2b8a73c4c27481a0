import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from keras_dcgan import runs
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.datasets import named, source
from keras_dcgan.datasets.data import choose_size, with_size
from keras_dcgan.datasets.stored import PictureLost
from keras_dcgan.pipeline import make_dataset
from keras_dcgan.tools.files import BadFile
from tests.datasets import zoo

pytestmark = [pytest.mark.usefixtures("keras_home"), pytest.mark.filterwarnings("ignore:::PIL")]


def test_a_data_set_is_a_known_name_or_a_real_path(tmp_path, monkeypatch):
    assert source.locate("mnist") == "mnist"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    assert source.locate("./mnist") == str(tmp_path / "mnist")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source.locate("~/mnist") == str(tmp_path / "mnist")
    for dataset, message in (
        ("mnits", "^dataset=mnits: no such folder or file, and none of mnist, .*; did you mean mnist"),
        ("/no/where", "^dataset=/no/where: no such folder or file"),
        ("", "^dataset=: no such folder"),
        ("~nobody-of-this-name/photos", "^dataset=~nobody-of-this-name/photos: no such folder or file"),
        ("loop", "^dataset=loop: no such folder or file"),
    ):
        with pytest.raises(SettingError, match=message):
            source.locate(dataset)


def test_a_named_data_set_with_and_without_labels(digits, monkeypatch, caplog):
    labels = (np.arange(len(digits)) % 10).astype(np.uint8)
    monkeypatch.setattr(named, "load_images", lambda *_: digits)
    monkeypatch.setattr(named, "load_labels", lambda *_: labels)
    config = TrainConfig()
    data = source.open_data(config)
    assert data.labels is None and data.images is digits and len(data) == len(digits)
    assert source.describe(data, config) == "mnist: 40 images, 28x28x1 each; to 64x64x3 (crop)"
    order = np.random.default_rng(0).permutation(len(digits))
    other = source.open_data(config, with_labels=True).reordered(order)
    np.testing.assert_array_equal(other.images, digits[order])
    np.testing.assert_array_equal(other.labels, labels[order])
    assert other.report["classes"]["counts"] == dict.fromkeys("0123456789", 4)
    assert source.describe_classes(other).startswith("10 classes, by labels of mnist: 0 (4), 1 (4), ")
    assert source.describe_classes(data) == ""

    def unavailable(*_):
        raise named.DatasetUnavailable("get online")

    monkeypatch.setattr(named, "load_labels", unavailable)
    assert source.open_data(config, with_labels=True).labels is None
    assert "the classes are skipped. get online" in caplog.text


def test_a_folder_is_described_and_its_report_written(mixed, tmp_path):
    good, bad = zoo.make(mixed)
    config = TrainConfig(dataset=str(mixed), image_size=16, max_bad_share=0.5)
    data = source.open_data(config)
    assert data.images[:].shape == (len(good), 16, 16, 3) and data.report["images"] == len(data) == len(good)
    line = source.describe(data, config)
    assert line.startswith(f"mixed: {len(good)} images, 30x20 to 1920x1280 pixels (median shorter side 64), ")
    assert line.endswith(f", {len(bad)} files skipped, see dataset.json; to 16x16x3 (crop)")
    source.write_report(data.report, config, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert (report["dataset"], report["resize_mode"], report["max_bad_share"]) == (str(mixed), "crop", 0.5)
    assert len(report["skipped"]) == len(bad)


def test_too_many_bad_files_are_an_error_that_lists_them(mixed, tmp_path):
    bad = zoo.bad_files()
    count = len(bad) + len(zoo.good_files())
    config = TrainConfig(dataset=str(mixed), image_size=16)
    with pytest.raises(
        SettingError, match=rf"^max_bad_share=0.1: {len(bad)} of {count} .*bad/32 bit.tif: .*"
    ) as raised:
        source.open_data(config, report_folder=tmp_path / "run")
    assert len(str(raised.value)) < 600 and str(raised.value).endswith("; remove them, or raise max_bad_share")
    assert len(json.loads((tmp_path / "run" / "dataset.json").read_text())["skipped"]) == len(bad)
    assert runs.check_new(tmp_path / "run")  # the folder can still be trained into


def test_a_folder_without_a_picture_is_an_error(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("a")
    with pytest.raises(SettingError, match=r"no file in it ends in .jpg, .* \(1 others\)"):
        source.open_data(TrainConfig(dataset=str(tmp_path / "none")))
    (tmp_path / "none" / "a.png").write_text("a")
    with pytest.raises(SettingError, match="1 of 1 pictures"):
        source.open_data(TrainConfig(dataset=str(tmp_path / "none"), max_bad_share=1))


def test_arrays_are_opened_and_made_square_unless_the_pipeline_does_it(tmp_path, colours):
    np.save(tmp_path / "colours.npy", colours)
    data = source.open_data(TrainConfig(dataset=str(tmp_path / "colours.npy")))
    np.testing.assert_array_equal(data.images[:], colours)
    assert data.report["images"] == 10 and data.report["stored_as"] == "16x16x3"
    wide = np.zeros((3, 8, 16, 1), np.uint8)
    wide[:, :, 4:12] = 200
    np.save(tmp_path / "wide.npy", wide)
    config = TrainConfig(dataset=str(tmp_path / "wide.npy"), image_size=16, channels=1)

    def images(**settings):
        return source.open_data(dataclasses.replace(config, **settings)).images[:]

    assert (images(resize_mode="crop") == 200).all()
    assert (images(resize_mode="pad", background="grey")[:, :4] == 128).all()
    assert images(resize_mode="stretch").shape == (3, 8, 16, 1)
    np.save(tmp_path / "one.npy", colours[0])
    with pytest.raises(BadFile, match="holds one picture"):
        source.open_data(TrainConfig(dataset=str(tmp_path / "one.npy")))


@pytest.mark.parametrize("side, size", [(20, 32), (40, 32), (41, 64), (300, 64)])
def test_the_size_of_a_folder_is_chosen_by_its_pictures(tmp_path, side, size):
    folder = zoo.numbered(tmp_path / "n", 5, side)
    config = TrainConfig(dataset=str(folder), image_size=0)
    data = source.open_data(config)
    assert data.images.shape == (5, size, size, 3) and data.images[:].shape == data.images.shape
    chosen, reason = choose_size(config, data.report)
    assert chosen == size and reason.startswith(f"the pictures' median shorter side is {side} pixels")
    assert ("image_size=128 shows more detail" in reason) == (side == 300)
    assert with_size(config, data.report) == dataclasses.replace(config, image_size=size)
    cached = dataclasses.replace(config, cache_dir=str(tmp_path / "cache"))
    np.testing.assert_array_equal(source.open_data(cached).images[:], data.images[:])
    same = dataclasses.replace(cached, image_size=size)
    source.open_data(same)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
    assert choose_size(same, data.report) == (size, f"image_size={size}")


@pytest.mark.parametrize("shape, size", [((20, 90, 1), 32), ((90, 40), 32), ((64, 64, 3), 64), ((16, 16, 3), 32)])
@pytest.mark.parametrize("resize_mode", ["crop", "stretch"])
def test_the_size_of_an_array_is_chosen_by_its_shape(tmp_path, shape, size, resize_mode):
    np.save(tmp_path / "a.npy", np.zeros((3, *shape), np.uint8))
    config = TrainConfig(dataset=str(tmp_path / "a.npy"), image_size=0, resize_mode=resize_mode)
    data = source.open_data(config)
    assert choose_size(config, data.report)[0] == size
    assert data.report["aspect"] == round(shape[1] / shape[0], 3)
    if resize_mode == "crop" and shape[0] != shape[1]:
        assert data.images.shape[1:3] == (size, size)


@pytest.mark.parametrize("name, size", [("mnist", 64), ("fashion_mnist", 64), ("cifar10", 32)])
def test_a_named_data_set_has_its_size_and_no_shape(name, size, digits, monkeypatch):
    monkeypatch.setattr(named, "load_images", lambda *_: digits)
    config = TrainConfig(dataset=name, image_size=0)
    data = source.open_data(config)
    assert choose_size(config, data.report)[0] == size and "aspect" not in data.report


def test_a_report_of_refused_pictures_has_no_size_yet(mixed, tmp_path):
    with pytest.raises(SettingError, match="cannot be used"):
        source.open_data(TrainConfig(dataset=str(mixed), image_size=0), report_folder=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "dataset.json").read_text())["image_size"] == "auto"


def test_a_decoded_copy_is_made_once_for_the_same_pictures_and_target(mixed, tmp_path):
    config = TrainConfig(dataset=str(mixed), image_size=16, max_bad_share=0.5, cache_dir=str(tmp_path / "cache"))
    plain = source.open_data(dataclasses.replace(config, cache_dir=""))

    def copies():
        return sorted(path for path in (tmp_path / "cache").iterdir() if path.is_dir())

    data = source.open_data(config)
    np.testing.assert_array_equal(data.images[:], plain.images[:])
    assert data.report == plain.report and len(copies()) == 1
    before = [(path, path.stat().st_mtime_ns) for path in copies()[0].iterdir()]
    source.open_data(dataclasses.replace(config, max_bad_share=0.6, min_side=17))  # keeps the same pictures
    mixed.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(tmp_path / "elsewhere" / "mixed")
    config = dataclasses.replace(config, dataset=str(tmp_path / "elsewhere" / "mixed"))
    source.open_data(config)
    assert [(path, path.stat().st_mtime_ns) for path in copies()[0].iterdir()] == before and len(copies()) == 1
    source.open_data(dataclasses.replace(config, background="black"))
    assert len(copies()) == 2


def test_a_resumed_run_needs_the_same_images(mixed, tmp_path, caplog):
    config = TrainConfig(dataset=str(mixed), image_size=16, max_bad_share=0.5)
    data = source.open_data(config)
    path = tmp_path / "dataset.json"
    source.check_same(data, path)
    assert "dataset.json: missing or damaged" in caplog.text
    source.write_report(data.report, config, tmp_path)
    source.check_same(source.open_data(config), path)
    (mixed / "gif" / "palette.gif").unlink()
    count = len(data)
    with pytest.raises(SettingError, match=rf"^resume: .*does not hold .* \({count} then, {count - 1} now\)"):
        source.check_same(source.open_data(config), path)


@pytest.mark.parametrize("count, changed", [(50, [17]), (5000, range(1, 4999))])
def test_a_resumed_run_needs_the_same_array(tmp_path, count, changed):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), np.uint8)
    config = TrainConfig(dataset=str(tmp_path / "a.npy"), image_size=16, channels=1)
    np.save(config.dataset, images)
    data = source.open_data(config)
    source.write_report(data.report, config, tmp_path)
    source.check_same(source.open_data(config), tmp_path / "dataset.json")
    images[list(changed)] ^= 1
    np.save(config.dataset, images)
    with pytest.raises(SettingError, match="does not hold the images"):
        source.check_same(source.open_data(config), tmp_path / "dataset.json")


def test_a_reading_error_names_the_file_and_not_tensorflow(tmp_path):
    folder = zoo.numbered(tmp_path / "n", 4)
    data = source.open_data(TrainConfig(dataset=str(folder), image_size=16))
    (folder / "002.png").unlink()
    dataset = make_dataset(data.images, 4, 16, 3)
    with pytest.raises(PictureLost, match=r"002\.png: No such file"), source.reading_errors(data):
        next(iter(dataset))
    with pytest.raises(ZeroDivisionError), source.reading_errors(source.open_data(TrainConfig(dataset=str(folder)))):
        _ = 1 / 0


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
def test_batches_from_a_folder_are_those_from_memory(tmp_path, shuffle, mirror):
    config = TrainConfig(dataset=str(zoo.numbered(tmp_path / "n", 10)), image_size=16)
    images = source.open_data(config).images
    options = {"batch_size": 4, "image_size": 16, "channels": 3, "shuffle": shuffle, "seed": 1, "mirror": mirror}
    for first in (0, 5):
        disk, memory = (make_dataset(data, first_step=first, **options).take(7) for data in (images, images[:]))
        for a, b in zip(disk, memory, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_room_loads_neither_tensorflow_nor_keras(tmp_path):
    zoo.numbered(tmp_path / "n", 3)
    code = (
        "import sys\nfrom keras_dcgan.config import TrainConfig\nfrom keras_dcgan.datasets import load_images, source\n"
        "from keras_dcgan import prepare\n"
        "data = source.open_data(TrainConfig(dataset=sys.argv[1], image_size=16))\n"
        "with source.reading_errors(data): data.images[:]\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "n")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.stdout == "set()\n", done.stderr
