"""Labels of data by path: they follow the images through every filter and order."""

import dataclasses
import json

import numpy as np
import pytest

from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.datasets import folder, prepared, source
from tests.datasets import zoo

pytestmark = pytest.mark.usefixtures("keras_home")
PETS = {"cats": 6, "dogs": 4, "birds": 3}


@pytest.fixture
def pets(tmp_path):
    """Three sub-folders of unequal size."""
    return zoo.classes(tmp_path / "pets", **PETS)


def config_for(path, **settings):
    return TrainConfig(dataset=str(path), **{"image_size": 16, "labels": "on", **settings})


def open_data(config):
    return source.open_data(config, config.labels == "on")


def class_of(data):
    return [data.classes.names[label] for label in data.labels]


def test_sub_folders_are_classes_if_labels_are_on(pets):
    data = open_data(config_for(pets))
    assert data.classes.names == ("birds", "cats", "dogs") and data.classes.counts == (3, 6, 4)
    assert class_of(data) == [name.split("/")[0] for name in data.images.names]
    assert data.labels.dtype == np.int32
    assert data.report["classes"]["counts"] == dict(sorted(PETS.items())) and data.report["images"] == 13
    assert source.describe_classes(data) == "3 classes, by sub-folders: cats (6), dogs (4), birds (3)"
    order = np.random.default_rng(0).permutation(13)
    other = data.reordered(order)
    np.testing.assert_array_equal(other.labels, data.labels[order])
    np.testing.assert_array_equal(other.images[:], data.images[:][order])


def test_without_labels_only_the_log_line_knows_them(pets):
    data = open_data(config_for(pets, labels="off"))
    assert data.labels is None and data.classes is None and "classes" not in data.report
    assert source.describe_classes(data) == (
        "3 sub-folders; labels=on learns them as classes: cats (6), dogs (4), birds (3)"
    )
    assert source.open_data(config_for(pets, labels="off"), with_labels=True).classes.names == (
        "birds", "cats", "dogs",
    )  # fmt: skip


def test_pictures_in_no_class_are_skipped_and_are_not_bad_files(pets):
    (pets / "above.png").write_bytes((pets / "cats" / "1.png").read_bytes())  # a duplicate that comes earlier
    (pets / "top.png").write_bytes(zoo.encode(zoo.picture("top"), "PNG"))
    (pets / "Broken.png").write_bytes(b"no picture")
    (pets / "cats" / "broken.png").write_bytes(b"no picture")
    config = config_for(pets, max_bad_share=0.08)  # of the 14 in a class one is bad
    data = open_data(config)
    assert len(data) == 13 and data.report["in_no_class"] == 3
    assert [entry for entry in data.report["skipped"] if entry["reason"] == "in no class"] == [
        {"file": name, "reason": "in no class"} for name in ("Broken.png", "above.png", "top.png")
    ]
    assert ", 1 files skipped, see dataset.json, 3 more in no class, which are skipped; to" in source.describe(
        data, config
    )
    off = dataclasses.replace(config, labels="off", max_bad_share=0.5)
    assert len(open_data(off)) == 14 and open_data(off).report["images"] == 14
    assert source.describe_classes(open_data(off)).endswith("; it skips 2 in no class")
    asked = source.open_data(off, with_labels=True)  # nobody requires labels, so all pictures stay
    assert asked.labels is None and len(asked) == 14
    with pytest.raises(SettingError, match=r"^max_bad_share=0.05: 1 of 14 pictures .*cats/broken.png: not a picture"):
        open_data(dataclasses.replace(config, max_bad_share=0.05))


def test_a_class_whose_pictures_are_all_bad_is_skipped_with_a_warning(pets, caplog):
    for path in (pets / "birds").iterdir():
        path.write_bytes(b"no picture")
    (pets / "fish").mkdir()
    (pets / "fish" / "one.png").write_bytes(zoo.encode(zoo.picture("fish"), "PNG"))
    data = open_data(config_for(pets, max_bad_share=0.5))
    assert data.classes.names == ("cats", "dogs", "fish") and data.classes.counts == (6, 4, 1)
    assert "Classes without a usable image, which are skipped: birds" in caplog.text
    assert "Classes of only one image, which the generator may copy: fish" in caplog.text


def test_data_without_classes_is_refused_before_the_pictures_are_inspected(tmp_path, monkeypatch):
    def inspect(*_):
        raise AssertionError("inspected")

    monkeypatch.setattr(folder, "_inspect_files", inspect)
    flat = zoo.numbered(tmp_path / "flat", 3)
    with pytest.raises(SettingError, match=r"^labels=on: .*flat has no labels. They are read from its sub-folders"):
        open_data(config_for(flat))
    one = zoo.classes(tmp_path / "one", cats=3)
    with pytest.raises(SettingError, match=r"^labels=on: there is only one class, cats, by the sub-folders"):
        open_data(config_for(one))


def test_a_thousand_classes(tmp_path):
    many = tmp_path / "many"
    picture = np.zeros((16, 16, 3), np.uint8)
    for i in range(1000):
        (many / str(i)).mkdir(parents=True)
        picture[0, 0] = i // 256, i % 256, 0
        (many / str(i) / "a.ppm").write_bytes(b"P6 16 16 255 " + picture.tobytes())
    data = open_data(config_for(many))
    assert len(data.classes) == 1000 and data.classes.names[999] == "999"
    assert data.labels.tolist() == [int(name.split("/")[0]) for name in data.images.names]
    assert source.describe_classes(data).startswith("1,000 classes, by sub-folders: 0 (1), 1 (1), ")
    assert source.describe_classes(data).endswith(", 9 (1) and 990 more")
    (many / "one more").mkdir()
    (many / "one more" / "b.png").write_bytes(zoo.encode(zoo.picture("more"), "PNG"))
    with pytest.raises(SettingError, match=r"^labels=on: 1,001 classes by the sub-folders, and the networks take up"):
        open_data(config_for(many))


def test_a_label_file_of_some_pictures(pets):
    rows = [("cats/0.png", "tabby"), ("cats/3.png", "tabby"), ("dogs/1.png", "pug"), ("gone.png", "pug")]
    (pets / "labels.csv").write_text("file,label\n" + "".join(f"{file},{label}\n" for file, label in rows))
    data = open_data(config_for(pets))
    assert data.images.names == ["cats/0.png", "cats/3.png", "dogs/1.png"]
    assert class_of(data) == ["tabby", "tabby", "pug"] and data.report["in_no_class"] == 10
    assert data.report["classes"]["labels_of_absent_files"] == 1


def test_a_decoded_copy_is_the_same_with_and_without_labels(pets, tmp_path):
    config = config_for(pets, cache_dir=str(tmp_path / "cache"))
    plain, cached = open_data(dataclasses.replace(config, cache_dir="")), open_data(config)
    np.testing.assert_array_equal(cached.labels, plain.labels)
    np.testing.assert_array_equal(cached.images[:], plain.images[:])
    assert cached.report == plain.report and cached.classes == plain.classes
    open_data(dataclasses.replace(config, labels="off"))
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def test_labels_beside_an_array_go_with_it(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 16, 3), np.uint8)
    labels = np.arange(10) % 3
    np.savez(tmp_path / "a.npz", x=images, y=labels, class_names=np.array(["c", "a", "b"]))
    data = open_data(config_for(tmp_path / "a.npz"))
    assert class_of(data) == ["c", "a", "b"] * 3 + ["c"] and data.images.shape == (10, 16, 16, 3)
    assert source.describe_classes(open_data(config_for(tmp_path / "a.npz", labels="off"))) == (
        "3 labels in y of a.npz; labels=on learns them as classes: c (4), a (3), b (3)"
    )
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(SettingError, match=r"^labels=on: .*a.npy has no labels"):
        open_data(config_for(tmp_path / "a.npy"))


def test_images_in_no_class_of_prepared_data_are_skipped_if_labels_are_on(pets, tmp_path):
    (pets / "above.png").write_bytes(zoo.encode(zoo.picture("above"), "PNG"))
    data = open_data(config_for(pets, labels="off"))
    prepared.write_prepared(data.images, tmp_path / "out", {}, "Writing", data.found)
    with_labels, without = (open_data(config_for(tmp_path / "out", labels=labels)) for labels in ("on", "off"))
    assert len(without) == 14 and without.labels is None
    assert len(with_labels) == 13 and with_labels.report["in_no_class"] == 1
    expected = open_data(config_for(pets))
    np.testing.assert_array_equal(with_labels.images[:], expected.images[:])
    assert class_of(with_labels) == class_of(expected)
    order = np.random.default_rng(0).permutation(13)
    np.testing.assert_array_equal(with_labels.reordered(order).images[3:5], expected.images[:][order][3:5])
    assert "13 images, 16x16x3 each, 1 more in no class" in source.describe(with_labels, config_for(pets))


def test_a_resumed_run_needs_the_same_labels(pets, tmp_path):
    config = config_for(pets)
    source.write_report(open_data(config).report, config, tmp_path / "run")
    path = tmp_path / "run" / "dataset.json"
    source.check_same(open_data(config), path)
    assert json.loads(path.read_text())["classes"]["counts"] == {"birds": 3, "cats": 6, "dogs": 4}
    files = open_data(config).images.names
    table = "file,label\n" + "".join(f"{file},{file.split('/')[0]}\n" for file in files)
    (pets / "labels.csv").write_text(table)
    source.check_same(open_data(config), path)  # the same labels, from another place
    (pets / "labels.csv").write_text(table.replace("0.png,cats", "0.png,dogs"))
    with pytest.raises(SettingError, match=r"^resume: the labels of .*pets are not those that this run began with"):
        source.check_same(open_data(config), path)
    with pytest.raises(SettingError, match=r"^resume: the labels"):
        source.check_same(open_data(dataclasses.replace(config, labels="off")), path)
