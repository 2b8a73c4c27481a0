import json

import numpy as np
import pytest

from keras_dcgan.datasets import prepared
from keras_dcgan.datasets.labels import Labels
from keras_dcgan.tools import storage
from keras_dcgan.tools.files import BadFile


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """Files of four images of `colours`."""
    monkeypatch.setattr(prepared, "FILE_BYTES", 4 * 16 * 16 * 3)


def test_images_are_read_as_they_were_written(tmp_path, colours):
    prepared.write_prepared(colours, tmp_path / "out", {"source": "x"}, "Writing")
    assert len(list((tmp_path / "out").glob("images-*.npy"))) == 3
    images, index = prepared.open_prepared(tmp_path / "out", verify=True)
    assert index["source"] == "x"
    np.testing.assert_array_equal(images[:], colours)
    np.testing.assert_array_equal(images[np.array([9, 0, 4])], colours[[9, 0, 4]])
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "images-00001.npy"), colours[4:8])


LABELS = Labels("sub-folders", ("größe", "b"), np.array([0, 1, 1, -1, 0, 0, 0, 0, 1, 1], np.int32))


def test_labels_are_kept_with_their_names(tmp_path, colours):
    prepared.write_prepared(colours, tmp_path / "with", {}, "Writing", LABELS)
    labels = prepared.open_labels(tmp_path / "with", prepared.open_prepared(tmp_path / "with")[1])
    assert labels.fingerprint() == LABELS.fingerprint() and labels.place == "sub-folders" and not labels.problem
    other = LABELS.select(np.arange(10)[::-1])
    with pytest.raises(BadFile, match="holds something else"):
        prepared.write_prepared(colours, tmp_path / "with", {}, "Writing", other)
    prepared.write_prepared(colours, tmp_path / "without", {}, "Writing")
    labels = prepared.open_labels(tmp_path / "without", prepared.open_prepared(tmp_path / "without")[1])
    assert labels.problem.endswith("without has no labels. Give its pictures labels, and prepare them again")
    assert len(labels.outside) == 10 and not (tmp_path / "without" / "labels.npy").exists()


@pytest.mark.parametrize("harm", ["cut", "missing", "altered", "other shape", "index"])
def test_damaged_labels_are_refused_by_name(tmp_path, colours, harm):
    prepared.write_prepared(colours, tmp_path, {}, "Writing", LABELS)
    path = tmp_path / "labels.npy"
    index = prepared.open_prepared(tmp_path)[1]
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "missing":
        path.unlink()
    elif harm == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    elif harm == "other shape":
        np.save(path, np.zeros((2, 5), np.int32))
    else:
        index["classes"]["names"] = ["a"]
    with pytest.raises(BadFile, match=r"labels\.npy: .*; prepare the data set again"):
        prepared.open_labels(tmp_path, index)


def test_an_interrupted_writing_resumes(tmp_path, colours, monkeypatch):
    write, written = prepared._write_file, []

    def interrupted(path, *arguments):
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(path, *arguments)

    monkeypatch.setattr(prepared, "_write_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared.write_prepared(colours, tmp_path, {}, "Writing")
    assert not prepared.is_prepared(tmp_path)
    with pytest.raises(BadFile, match="holds something else"):
        prepared.write_prepared(colours[1:], tmp_path, {}, "Writing")
    (tmp_path / ".images-00001.tmp-abcdefgh.npy").write_bytes(b"left by kill -9")
    (tmp_path / ".plan.tmp-abcdefgh.json").write_bytes(b"this too")
    prepared.write_prepared(colours, tmp_path, {}, "Writing")
    assert written == ["images-00000.npy", "images-00001.npy", "images-00001.npy", "images-00002.npy"]
    np.testing.assert_array_equal(prepared.open_prepared(tmp_path)[0][:], colours)
    assert sorted(path.name for path in tmp_path.glob("*")) == [
        ".lock", "images-00000.npy", "images-00001.npy", "images-00002.npy", "index.json",
    ]  # fmt: skip
    prepared.write_prepared(colours, tmp_path, {"source": "moved"}, "Writing")  # is there already
    assert len(written) == 4


@pytest.mark.parametrize("harm", ["cut", "missing", "other shape", "altered", "index", "outside", "list"])
def test_damaged_files_are_refused_by_name(tmp_path, colours, harm):
    prepared.write_prepared(colours, tmp_path, {}, "Writing")
    path, index = tmp_path / "images-00000.npy", tmp_path / "index.json"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "missing":
        path.unlink()
    elif harm == "other shape":
        np.save(path, colours[:3])
    elif harm == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        prepared.open_prepared(tmp_path)  # only --check reads everything, which may take hours
    elif harm == "list":
        index.write_text("[]")
    else:
        content = json.loads(index.read_text())
        content["files"][0]["file"] = "../images-00000.npy" if harm == "outside" else None
        index.write_text(json.dumps(content))
        if harm == "outside":
            path.rename(tmp_path.parent / path.name)
    with pytest.raises(BadFile, match=r"index\.json: "):
        prepared.open_prepared(tmp_path, verify=True)


def test_parts_make_the_whole_whatever_their_order_and_only_the_last_completes_it(colours, tmp_path):
    assert prepared.write_prepared(colours, tmp_path / "whole", {}, "Writing", LABELS)
    for part in (2, 0):
        assert not prepared.write_prepared(colours, tmp_path / "parts", {}, "Writing", LABELS, (part, 3))
        assert not prepared.is_prepared(tmp_path / "parts")
    with pytest.raises(BadFile, match="holds something else"):  # a machine that sees other pictures
        prepared.write_prepared(colours[1:], tmp_path / "parts", {}, "Writing", None, (1, 3))
    assert prepared.write_prepared(colours, tmp_path / "parts", {}, "Writing", LABELS, (1, 3))
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "parts").iterdir()) and len(names) == 6
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name


def test_a_part_leaves_what_another_part_is_writing(colours, tmp_path):
    prepared.write_prepared(colours, tmp_path, {}, "Writing", None, (0, 2))
    half = tmp_path / ".images-00001.tmp-abcdefgh.npy"
    half.write_bytes(b"half")
    prepared.write_prepared(colours, tmp_path, {}, "Writing", None, (0, 2))
    assert half.exists()


def test_prepared_images_are_fetched_once_and_again_when_they_have_changed(colours, tmp_path, monkeypatch):
    pytest.importorskip("fsspec").filesystem("memory").store.clear()
    url, copy = "memory://bucket/photos", tmp_path / "copy"
    prepared.write_prepared(colours, tmp_path / "old", {}, "Writing", LABELS)
    storage.Remote(url).send(tmp_path / "old")
    images, index = prepared.open_prepared(prepared.fetch_prepared(url, copy))
    np.testing.assert_array_equal(images[:], colours)
    assert prepared.open_labels(copy, index).names == LABELS.names
    monkeypatch.setattr(storage.Remote, "fetch", lambda *_: pytest.fail("is here already"))
    prepared.fetch_prepared(url, copy)
    monkeypatch.undo()

    prepared.write_prepared(255 - colours, tmp_path / "new", {}, "Writing")
    storage.Remote(url).send(tmp_path / "new")
    prepared.fetch_prepared(url, copy)
    np.testing.assert_array_equal(prepared.open_prepared(copy)[0][:], 255 - colours)


def test_what_was_fetched_must_agree_with_its_index(colours, tmp_path):
    pytest.importorskip("fsspec").filesystem("memory").store.clear()
    url = "memory://bucket/photos"
    prepared.write_prepared(colours, tmp_path / "old", {}, "Writing")
    remote = storage.Remote(url)
    remote.send(tmp_path / "old")
    whole = remote.read("images-00000.npy")
    remote.store.pipe_file("/bucket/photos/images-00000.npy", whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadFile, match="wrong checksum"):
        prepared.fetch_prepared(url, tmp_path / "copy")
    assert not prepared.is_prepared(tmp_path / "copy")
