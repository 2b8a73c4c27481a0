from types import SimpleNamespace

import numpy as np
import pytest

from keras_dcgan.datasets import DatasetUnavailable, load_images, load_labels
from keras_dcgan.metrics import classifiers, features, train_features
from keras_dcgan.pipeline import as_generated
from keras_dcgan.tools.files import BadFile, sha256

PICTURE = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)


def test_a_grey_classifier_sees_averages_over_areas_and_channels():
    picture = PICTURE[:, :56, :56, :1]
    prepared = classifiers.prepare("mnist", picture)
    expected = picture[0, :, :, 0].reshape(28, 2, 28, 2).mean(axis=(1, 3)) / 255
    assert prepared.shape == (1, 28, 28, 1) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0, :, :, 0], expected, atol=1e-6)
    np.testing.assert_allclose(classifiers.prepare("mnist", np.repeat(picture, 3, axis=-1)), prepared, atol=1e-6)


def test_a_classifier_of_colour_sees_averages_over_areas_and_grey_in_three_channels():
    prepared = classifiers.prepare("cifar10", PICTURE)
    expected = PICTURE[0].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) / 255
    assert prepared.shape == (1, 32, 32, 3) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0], expected, atol=1e-6)
    grey = classifiers.prepare("cifar10", PICTURE[..., :1])
    np.testing.assert_allclose(grey, np.repeat(prepared[..., :1], 3, axis=-1), atol=1e-6)


def test_the_mnist_classifier_knows_test_digits_on_both_paths(mnist):
    extractor = features.load_extractor("mnist")
    labels = load_labels("mnist")[60_000:62_000]
    direct, classes = extractor.features_and_classes(mnist[60_000:62_000])
    assert direct.shape == (2000, 128) and direct.dtype == np.float32
    assert (classes == labels).mean() >= 0.985  # of the first 2,000; 0.9936 of all 10,000
    _, enlarged = extractor.features_and_classes(as_generated(mnist[60_000:62_000], 64, 3))
    assert (enlarged == labels).mean() >= 0.98


@pytest.mark.parametrize("dataset, accuracy", [("fashion_mnist", 0.90), ("cifar10", 0.92)])
def test_a_classifier_has_the_accuracy_that_its_comment_states(dataset, accuracy):
    try:
        images, labels = load_images(dataset)[-10_000:], load_labels(dataset)[-10_000:]
    except DatasetUnavailable as error:
        pytest.skip(str(error))
    extractor = features.load_extractor(dataset)
    assert extractor.name == f"{dataset}-classifier"
    assert (extractor.features_and_classes(images)[1] == labels).mean() >= accuracy


def test_shipped_weights_are_small_and_altered_ones_are_refused(monkeypatch, tmp_path):
    for name in classifiers.CHECKSUMS:
        classifiers.load_classifier(name)
    assert sum(file.stat().st_size for file in classifiers.WEIGHTS.iterdir()) < 3_000_000
    data = (classifiers.WEIGHTS / "mnist.npz").read_bytes()
    (tmp_path / "mnist.npz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setattr(classifiers, "WEIGHTS", tmp_path)
    with pytest.raises(BadFile, match="missing or altered"):
        classifiers.load_classifier("mnist")
    with pytest.raises(BadFile, match=r"cifar10\.npz: missing or altered"):
        features.load_extractor("photos", cheap=True)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--seed=5000000000", "--out=x.npz"], "--seed=5000000000"),
        ([], "--out=: give a file that ends in .npz"),
        (["--out={folder}"], "--out={folder}: give a file that ends in .npz"),
        (["--out={folder}/file/x.npz"], "--out={folder}/file/x.npz: {folder}/file: "),
    ],
)
def test_training_a_classifier_refuses_wrong_flags_in_one_line(command, tmp_path, flags, message):
    (tmp_path / "file").touch()
    done = command("keras_dcgan.metrics.train_features", *(flag.format(folder=tmp_path) for flag in flags))
    assert done.returncode == 2
    assert message.format(folder=tmp_path) in done.stderr and len(done.stderr.splitlines()) == 1


def test_training_a_classifier_makes_the_folder_first(tmp_path):
    train_features.make_folder(f"{tmp_path}/new/x.npz")
    assert (tmp_path / "new").is_dir()


def test_an_unknown_home_is_a_folder_of_that_name_as_in_the_commands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    train_features.make_folder("~nobody-here/x.npz")
    assert (tmp_path / "~nobody-here").is_dir()


@pytest.fixture
def flags(monkeypatch, tmp_path):
    given = SimpleNamespace(dataset="mnist", out=f"{tmp_path}/x.npz", epochs=1, seed=0, precision="float32")
    monkeypatch.setattr(train_features, "FLAGS", given)


def test_training_a_classifier_without_its_data_set_is_one_line(monkeypatch, flags):
    def unavailable(*_):
        raise DatasetUnavailable("get online")

    monkeypatch.setattr(train_features, "load_images", unavailable)
    with pytest.raises(SystemExit, match="error: get online"):
        train_features.main([])


def test_a_trained_classifier_is_written_as_the_shipped_ones_are(monkeypatch, tmp_path, capsys, flags):
    monkeypatch.setattr(train_features, "train", lambda *_: (classifiers.load_classifier("mnist"), 0.5))
    train_features.main([])
    assert f"SHA-256 {sha256(tmp_path / 'x.npz')}" in capsys.readouterr().out
    with np.load(tmp_path / "x.npz") as written, np.load(classifiers.WEIGHTS / "mnist.npz") as shipped:
        assert written.files == shipped.files
        for name in shipped.files:
            np.testing.assert_array_equal(written[name], shipped[name], strict=True)
