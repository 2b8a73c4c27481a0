"""Array files and prepared shards."""

import json

import numpy as np
import pytest

from keras_dcgan import arrays, inputs, prepare, shards, sources
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.idx import write_idx
from keras_dcgan.pipeline import transform
from tests import zoo


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8)


def test_npy_npz_and_idx_files(tmp_path, colours, digits):
    np.save(tmp_path / "colours.npy", colours)
    np.save(tmp_path / "grey.npy", digits[..., 0])
    np.savez(tmp_path / "one.npz", x_train=colours, y_train=np.arange(10, dtype=np.uint8))
    write_idx(tmp_path / "digits-idx3-ubyte", digits[..., 0])
    for name, expected in (
        ("colours.npy", colours), ("grey.npy", digits), ("one.npz", colours), ("digits-idx3-ubyte", digits),
    ):  # fmt: skip
        images, report = inputs.open_images(TrainConfig(dataset=str(tmp_path / name)))
        assert images.shape == expected.shape and report["images"] == len(expected)
        np.testing.assert_array_equal(images[:], expected)
        np.testing.assert_array_equal(images[np.array([3, 3, 0])], expected[[3, 3, 0]])


@pytest.mark.parametrize(
    "name, save, message",
    [
        ("f.npy", lambda path: np.save(path, np.zeros((4, 8, 8, 3))), r"holds float64 \[4, 8, 8, 3\]; save it as"),
        ("c.npy", lambda path: np.save(path, np.zeros((4, 3, 8, 8), np.uint8)), r"in the order \[N, height"),
        ("o.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), "holds object"),
        ("n.npy", lambda path: np.save(path, np.zeros((0, 8, 8), np.uint8)), r"holds uint8 \[0, 8, 8, 1\]"),
        ("r.npy", lambda path: np.save(path, np.zeros((4, 8, 8, 3), np.uint8, order="F")), "Fortran"),
        ("t.npy", lambda path: path.write_text("no array"), "not a .npy file"),
        ("2.npz", lambda path: np.savez(path, a=np.zeros((4, 8, 8), np.uint8), b=np.zeros((4, 8, 8), np.uint8)),
         r"2 arrays of images among a uint8 \[4, 8, 8\], b uint8"),
        ("0.npz", lambda path: np.savez(path, a=np.zeros(4)), r"no arrays of images among a float64 \[4\]"),
        ("p.npz", lambda path: np.savez(path, a=np.array([{}])), "no arrays of images among a .Object arrays"),
        ("t.npz", lambda path: path.write_text("no zip"), "t.npz: "),
        ("t.txt", lambda path: path.write_text("no images"), "a data set is a folder of pictures, or a .npy"),
    ],
)  # fmt: skip
def test_another_content_is_refused_with_what_to_do(tmp_path, name, save, message):
    save(tmp_path / name)
    with pytest.raises(SettingError, match=f"--dataset: .*{message}"):
        inputs.open_images(TrainConfig(dataset=str(tmp_path / name)))


def test_a_cut_npy_file_is_refused_and_one_that_shrinks_is_told(tmp_path, colours):
    path = tmp_path / "a.npy"
    np.save(path, colours)
    images = arrays.open_array(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut: shorter than"):
        arrays.open_array(path)
    with pytest.raises(sources.PictureLost, match="shorter"):
        images[9:]
    assert isinstance(images.failure, sources.PictureLost)


def test_arrays_that_are_no_squares_are_fitted(tmp_path):
    wide = np.zeros((3, 8, 16, 1), np.uint8)
    wide[:, :, 4:12] = 200
    np.save(tmp_path / "wide.npy", wide)
    open_images = lambda **options: inputs.open_images(  # noqa: E731
        TrainConfig(dataset=str(tmp_path / "wide.npy"), image_size=16, channels=1, **options)
    )[0][:]
    assert (open_images(fit="crop") == 200).all()
    assert (open_images(fit="pad", background="grey")[:, :4] == 128).all()
    assert open_images(fit="stretch").shape == (3, 8, 16, 1)  # the pipeline does it


def test_shards_are_read_as_they_were_written(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 4 * 16 * 16 * 3)
    shards.write_shards(colours, tmp_path / "out", {"source": "x"}, "Writing")
    assert len(list((tmp_path / "out").glob("images-*.npy"))) == 3
    images, index = shards.open_shards(tmp_path / "out", verify=True)
    assert index["source"] == "x"
    np.testing.assert_array_equal(images[:], colours)
    np.testing.assert_array_equal(images[np.array([9, 0, 4])], colours[[9, 0, 4]])
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "images-00001.npy"), colours[4:8])


def test_an_interrupted_writing_goes_on(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 4 * 16 * 16 * 3)
    write, written = shards._write_shard, []

    def interrupted(path, *arguments):
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(path, *arguments)

    monkeypatch.setattr(shards, "_write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shards.write_shards(colours, tmp_path, {}, "Writing")
    assert not shards.is_prepared(tmp_path)
    with pytest.raises(ValueError, match="holds something else"):
        shards.write_shards(colours[1:], tmp_path, {}, "Writing")
    (tmp_path / ".images-00001.x.npy").write_bytes(b"left by kill -9")
    (tmp_path / ".plan.tmp-abcdefgh.json").write_bytes(b"this too")
    shards.write_shards(colours, tmp_path, {}, "Writing")
    assert written == ["images-00000.npy", "images-00001.npy", "images-00001.npy", "images-00002.npy"]
    np.testing.assert_array_equal(shards.open_shards(tmp_path)[0][:], colours)
    assert sorted(path.name for path in tmp_path.glob("*")) == [
        ".lock", "images-00000.npy", "images-00001.npy", "images-00002.npy", "index.json",
    ]  # fmt: skip
    shards.write_shards(colours, tmp_path, {}, "Writing")  # is there already
    assert len(written) == 4


@pytest.mark.parametrize("harm", ["cut", "missing", "other shape", "altered", "index", "outside"])
def test_damaged_shards_are_refused_by_name(tmp_path, colours, harm):
    shards.write_shards(colours, tmp_path, {}, "Writing")
    path, index = tmp_path / "images-00000.npy", tmp_path / "index.json"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "missing":
        path.unlink()
    elif harm == "other shape":
        np.save(path, colours[:9])
    elif harm == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        shards.open_shards(tmp_path)  # costs hours to see, so only --check does
    else:
        content = json.loads(index.read_text())
        content["shards"][0]["file"] = "../images-00000.npy" if harm == "outside" else None
        index.write_text(json.dumps(content))
        if harm == "outside":
            path.rename(tmp_path.parent / path.name)
    with pytest.raises(ValueError, match=r"index\.json: "):
        shards.open_shards(tmp_path, verify=True)


def test_prepared_pictures_are_those_of_the_folder(tmp_path):
    zoo.make(tmp_path / "mixed")
    config = TrainConfig(dataset=str(tmp_path / "mixed"), image_size=32, max_bad_share=0.5)
    prepare.prepare(config, tmp_path / "out")
    images, report = inputs.open_images(TrainConfig(dataset=str(tmp_path / "out"), image_size=32))
    np.testing.assert_array_equal(images[:], inputs.open_images(config)[0][:])
    assert report["fingerprint"] and report["prepared_from"] == config.dataset
    assert len(json.loads((tmp_path / "out" / "dataset.json").read_text())["left_out"]) == 11
    with pytest.raises(SettingError, match="is prepared already"):
        prepare.prepare(TrainConfig(dataset=str(tmp_path / "out")), tmp_path / "twice")


def test_a_prepared_array_is_what_the_pipeline_makes_of_it(tmp_path, digits):
    np.save(tmp_path / "d.npy", digits)
    prepare.prepare(TrainConfig(dataset=str(tmp_path / "d.npy"), image_size=64, channels=1), tmp_path / "out")
    images = shards.open_shards(tmp_path / "out")[0][:]
    np.testing.assert_allclose(images, (transform(digits, 64, 1).numpy() + 1) * 127.5, atol=0.51)


def test_the_commands(command, tmp_path, colours):
    np.save(tmp_path / "c.npy", colours)
    out = tmp_path / "out"
    done = command("keras_dcgan.prepare", f"--dataset={tmp_path}/c.npy", f"--out={out}", "--image_size=16")
    assert done.returncode == 0, done.stderr
    assert f"--dataset={out}/" in done.stderr
    assert command("keras_dcgan.prepare", f"--check={out}").returncode == 0
    again = command("keras_dcgan.prepare", f"--dataset={tmp_path}/c.npy", f"--out={out}", "--image_size=32")
    assert again.returncode == 2 and "holds something else" in again.stderr
    path = out / "images-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    bad = command("keras_dcgan.prepare", f"--check={out}")
    assert bad.returncode == 2 and "wrong checksum" in bad.stderr and len(bad.stderr.splitlines()) == 1
    for flags, message in (
        (["--out=x"], "give --dataset"),
        (["--dataset=nowhere", "--out=x"], "--dataset=nowhere: no such folder or file"),
        ([f"--dataset={tmp_path}/c.npy", "--out=x", "--image_size=60"], "--image_size"),
    ):
        mistake = command("keras_dcgan.prepare", *flags)
        assert mistake.returncode == 2 and message in mistake.stderr and len(mistake.stderr.splitlines()) == 1
