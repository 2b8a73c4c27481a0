import json

import numpy as np
import pytest

from keras_dcgan.datasets import prepared
from keras_dcgan.datasets.labels import Labels
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
