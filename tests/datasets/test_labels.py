import json
import os
import unicodedata

import numpy as np
import pytest

from keras_dcgan.config import SettingError
from keras_dcgan.datasets import label_files, labels


def found(folder, files):
    """The label of each file by name ("": in no class), and all class names in order."""
    read = label_files.of_folder(folder, files)
    assert not read.trouble
    assert read.numbers.dtype == np.int32 and len(read.numbers) == len(files)
    return [read.names[number] if number >= 0 else "" for number in read.numbers], list(read.names)


def test_the_sub_folder_directly_under_the_folder_is_the_class(tmp_path):
    files = ["a.png", "cats/1.png", "cats/old/2.png", "dogs/1.png"]
    assert found(tmp_path, files) == (["", "cats", "cats", "dogs"], ["cats", "dogs"])
    assert label_files.of_folder(tmp_path, files).classes.counts == (2, 1)


def test_numbers_are_in_the_order_of_numbers_and_names_in_that_of_the_alphabet(tmp_path):
    assert found(tmp_path, ["10/a.png", "9/a.png", "100/a.png"])[1] == ["9", "10", "100"]
    assert found(tmp_path, ["10/a.png", "9/a.png", "b/a.png"])[1] == ["10", "9", "b"]


def test_odd_names(tmp_path):
    decomposed = unicodedata.normalize("NFD", "größe")  # as a Mac writes it
    files = [f"{decomposed}/1.png", "größe/2.png", "two words/1.png", "数字/1.png", "-/1.png", "a\nb/1.png"]
    names = ["größe", "größe", "two words", "数字", "-", "a b"]
    assert found(tmp_path, files) == (names, sorted(set(names)))
    assert found(tmp_path, [os.fsdecode(b"\xff\xfe/1.png"), "b/1.png"])[1] == ["\\xff\\xfe", "b"]


def test_a_table_beside_the_pictures_is_used_instead_of_the_sub_folders(tmp_path):
    files = ["1.png", "x/größe 2.png", "x/3.png", "x/4.png", "y/5.png"]
    (tmp_path / "labels.csv").write_text(
        '\ufefffile,note,label\n1.png,,cat\nx/größe 2.png,,"dog, small"\n./x/3.png,, cat \nx\\4.png,,\n\n'
        "gone.png,,bird\n",
        encoding="utf-8",
    )
    assert found(tmp_path, files) == (["cat", "dog, small", "cat", "", ""], ["cat", "dog, small"])
    assert label_files.of_folder(tmp_path, files).absent == ("gone.png",)


def test_a_dataset_json_of_stylegan3(tmp_path):
    files = ["00000/img0.png", "00000/img1.png", "00001/img2.png"]
    entries = [["00000/img0.png", 10], ["00001/img2.png", 9], ["00002/gone.png", 3]]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": entries}))
    assert found(tmp_path, files) == (["10", "", "9"], ["9", "10"])
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [[name, "a"] for name in files]}))
    assert found(tmp_path, files) == (["a"] * 3, ["a"])
    (tmp_path / "dataset.json").write_text(json.dumps({"images": 3}))  # of another program: not a list of labels
    assert found(tmp_path, files)[1] == ["00000", "00001"]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": entries}))
    (tmp_path / "labels.csv").write_text("file,label\n00000/img1.png,b\n")  # the table is looked for first
    assert found(tmp_path, files) == (["", "b", ""], ["b"])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("labels.csv", b"a,b\n", "labels.csv: must begin with the header file,label"),
        ("labels.csv", b"", "must begin with the header"),
        ("labels.csv", "file,label\n1.png,größe\n".encode("latin-1"), "is not text in UTF-8"),
        ("labels.csv", b"file,label\nx/1.png,a\n./x/1.png,b\n", "gives ./x/1.png two labels, a and b"),
        ("labels.csv", b"file,label\n" + b"x" * 200_000, "field larger than"),
        ("labels.csv", b'file,label\nx/1.png,"a\ny/1.png,b\n', 'a quote \\("\\) is missing at x/1.png'),
        ("labels.csv", b'file,label\n,"a\ny/1.png,b\n', 'a quote \\("\\) is missing at ,a'),
        ("labels.csv", b'file,label\n"x/1.png,a\ny/1.png,b\n', 'a quote \\("\\) is missing at x/1.png,a'),
        ("dataset.json", b'{"labels": null}', r"dataset.json: has no labels \(null\)"),
        ("dataset.json", b'{"labels": [["x/1.png", [0, 1]]]}', r'here is \["x/1.png", \[0, 1\]\]'),
        ("dataset.json", b'{"labels": {"x/1.png": 1}}', "must be a list of"),
        ("dataset.json", b'{"labels": [["x/1.png", true]]}', "must be a list of"),
        ("dataset.json", b'{"labels": [', "dataset.json: Expecting value"),
        ("dataset.json", b"[" * 100_000, "dataset.json: .*recursion"),
    ],
)
def test_a_label_file_with_an_error_is_reported_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    read = label_files.of_folder(tmp_path, ["x/1.png", "y/1.png"])
    with pytest.raises(SettingError, match=f"^labels=on: {tmp_path}/.*{message}"):
        read.check()
    assert read.describe(learned=False).startswith(f"No classes: {tmp_path}/")


def test_what_cannot_be_learned_is_refused_with_the_reason(tmp_path, monkeypatch):
    def problem(files):
        return label_files.of_folder(tmp_path, files).problem

    assert "no labels. They are read from its sub-folders (one for each class), from labels.csv" in problem(["1.png"])
    assert label_files.of_folder(tmp_path, ["1.png"]).describe(learned=False) == ""
    assert problem(["x/1.png", "2.png"]) == "there is only one class, x, by the sub-folders"
    with pytest.raises(SettingError, match=r"only one class, x, by the sub-folders; use labels=off$"):
        label_files.of_folder(tmp_path, ["x/1.png", "2.png"]).check()
    assert problem([f"{i}/1.png" for i in range(1000)]) == ""
    assert problem([f"{i}/1.png" for i in range(1001)]) == (
        "1,001 classes by the sub-folders, and the networks take up to 1,000"
    )
    (tmp_path / "labels.csv").write_text("file,label\n2.png,a\n3.png,b\n")
    assert problem(["1.png"]) == (
        "no image is in a class by the labels in labels.csv; labels of files that are not there: 2, such as 2.png, "
        "ignored"
    )


def test_a_choice_of_images_keeps_only_its_classes(caplog):
    all_of_them = labels.Labels("sub-folders", ("a", "b", "c"), np.array([0, 1, 2, -1, 2], np.int32))
    some = all_of_them.select(np.array([4, 3, 0]))
    assert some.names == ("a", "c") and some.empty == ("b",) and some.numbers.tolist() == [1, -1, 0]
    assert some.outside.tolist() == [1] and some.numbers.dtype == np.int32
    some.warn()
    assert "Classes of only one image, which the generator may copy: a, c" in caplog.text
    assert "Classes without a usable image, which are skipped: b" in caplog.text
    assert some.fingerprint() != all_of_them.fingerprint() == all_of_them.select(np.arange(5)).fingerprint()


def test_the_lines_for_the_log(tmp_path):
    files = [f"{name}/{i}.png" for name, count in (("birds", 2), ("cats", 12), ("dogs", 8)) for i in range(count)]
    assert label_files.of_folder(tmp_path, files).describe(learned=False) == (
        "3 sub-folders; labels=on learns them as classes: cats (12), dogs (8), birds (2)"
    )
    assert (
        label_files.of_folder(tmp_path, [*files, "a.png"]).describe(learned=False).endswith("; it skips 1 in no class")
    )
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{file},{i}\n" for i, file in enumerate(files)))
    (tmp_path / "labels.csv").open("a").write("gone.png,1\n")
    assert label_files.of_folder(tmp_path, files).describe(learned=True) == (
        "22 classes, by labels in labels.csv: 0 (1), 1 (1), 2 (1), 3 (1), 4 (1), 5 (1), 6 (1), 7 (1), 8 (1), 9 (1) and "
        "12 more; labels of files that are not there: 1, such as gone.png, ignored"
    )


def test_labels_beside_the_images_of_an_array_file(tmp_path, colours):
    y = np.array([7, 3, 3, 7, 7, 7, 3, 3, 3, 3], np.uint8)
    for arrays, names in (
        ({"y": y}, ("3", "7")),
        ({"labels": y.astype(np.int64)[:, None]}, ("3", "7")),
        ({"y": y, "class_names": np.array(list("abcdefgz"))}, ("d", "z")),
    ):
        np.savez(tmp_path / "a.npz", images=colours, **arrays)
        read = label_files.of_array(tmp_path / "a.npz", 10)
        assert (read.problem, read.names, read.classes.counts) == ("", names, (6, 4))
        assert [read.names[number] for number in read.numbers] == [names[int(value == 7)] for value in y]
    assert read.empty == ("a", "b", "c", "e", "f", "g")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({}, r"has no labels; they would be an array y or labels, int \[10\]"),
        ({"y": np.zeros(9, int)}, r"y is int64 \[9\]; labels are integers \[10\]"),
        ({"labels": np.zeros(10)}, r"labels is float64 \[10\]"),
        ({"y": np.full(10, -1)}, "y holds -1; labels begin at 0"),
        ({"y": np.array([{}] * 10)}, "Object arrays cannot be loaded"),
        ({"y": np.arange(10), "class_names": np.array(["a", "b"])}, "holds 9, and class_names has only 2 names"),
        ({"y": np.arange(10), "class_names": np.arange(10)}, r"class_names is int64 \[10\]; it must be"),
        ({"y": np.zeros(10, int), "class_names": np.array(["a", "a"])}, "the same name twice"),
        ({"y": np.zeros(10, int)}, "there is only one class, 0, by the labels in y of a.npz"),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(tmp_path, colours, arrays, message):
    np.savez(tmp_path / "a.npz", images=colours, **arrays)
    with pytest.raises(SettingError, match=f"^labels=on: .*{message}"):
        label_files.of_array(tmp_path / "a.npz", 10).check()


def test_other_array_files_have_no_labels(tmp_path):
    with pytest.raises(SettingError, match=r"a.npy has no labels. They are read from y or labels in a .npz file"):
        label_files.of_array(tmp_path / "a.npy", 10).check()
