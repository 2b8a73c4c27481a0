import socket
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest

from keras_dcgan.datasets import DatasetUnavailable, load_images, load_labels
from keras_dcgan.metrics import features, train_features
from keras_dcgan.pipeline import as_generated
from keras_dcgan.tools.files import BadFile, sha256


def test_the_classifier_sees_averages_over_areas():
    picture = np.random.default_rng(0).integers(0, 256, (1, 56, 56, 1), np.uint8)
    prepared = features.to_classifier_input(picture)
    expected = picture[0, :, :, 0].reshape(28, 2, 28, 2).mean(axis=(1, 3)) / 255
    assert prepared.shape == (1, 28, 28, 1) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0, :, :, 0], expected, atol=1e-6)
    grey_as_colour = np.repeat(picture, 3, axis=-1)
    np.testing.assert_allclose(features.to_classifier_input(grey_as_colour), prepared, atol=1e-6)


def test_the_mnist_classifier_knows_test_digits_on_both_paths(mnist):
    extractor = features.load_extractor("mnist")
    labels = load_labels("mnist")[60_000:62_000]
    direct, classes = extractor.features_and_classes(mnist[60_000:62_000])
    assert direct.shape == (2000, features.FEATURES) and direct.dtype == np.float32
    assert (classes == labels).mean() >= 0.985  # of the first 2,000; 0.9936 of all 10,000
    _, enlarged = extractor.features_and_classes(as_generated(mnist[60_000:62_000], 64, 3))
    assert (enlarged == labels).mean() >= 0.98


def test_the_fashion_classifier_has_the_accuracy_that_its_comment_states():
    try:
        images, labels = load_images("fashion_mnist"), load_labels("fashion_mnist")
    except DatasetUnavailable as error:
        pytest.skip(str(error))
    extractor = features.load_extractor("fashion_mnist")
    assert extractor.name == "fashion_mnist-classifier"
    assert (extractor.features_and_classes(images[60_000:])[1] == labels[60_000:]).mean() >= 0.90


@pytest.mark.parametrize("load", [lambda: features.load_extractor("mnist"), features.random_extractor])
def test_features_do_not_depend_on_the_precision_of_training(load, digits):
    expected = load()(digits)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = load()(digits)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"  # restored
    finally:
        keras.config.set_dtype_policy(before)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "images", [np.zeros((0, 28, 28, 1), np.uint8), np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 28), np.uint8)]
)
def test_images_of_another_dtype_or_shape_are_refused(images):
    with pytest.raises(ValueError, match="must be uint8"):
        features.random_extractor()(images)


def test_features_do_not_depend_on_how_images_are_batched(mnist):
    extractor = features.load_extractor("mnist")
    np.testing.assert_allclose(extractor(mnist[:300])[250:], extractor(mnist[250:300]), atol=1e-5)


def test_shipped_weights_are_small_and_altered_ones_are_refused(monkeypatch, tmp_path):
    for name in features.CHECKSUMS:
        assert (features.WEIGHTS / f"{name}.npz").stat().st_size < 1_000_000
        features.load_classifier(name)
    data = (features.WEIGHTS / "mnist.npz").read_bytes()
    (tmp_path / "mnist.npz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setattr(features, "WEIGHTS", tmp_path)
    with pytest.raises(BadFile, match="missing or altered"):
        features.load_classifier("mnist")


def test_the_fallback_is_named_as_one_and_separates_noise_from_pictures():
    extractor = features.random_extractor()
    assert "fallback" in extractor.name
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (64, 32, 32, 3), np.uint8)
    smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 4) for picture in noise])
    a, b, c = extractor(noise[:32]), extractor(noise[32:]), extractor(smooth[:32])
    assert a.shape == (32, 256)
    assert np.linalg.norm(a.mean(0) - c.mean(0)) > 3 * np.linalg.norm(a.mean(0) - b.mean(0))
    np.testing.assert_array_equal(features.random_extractor()(noise[:2]), extractor(noise[:2]))


def test_inception_is_given_299_pixels_from_minus_one_to_one(monkeypatch):
    def pooled(include_top, pooling, weights):  # in place of the network, whose weights are a download
        assert (include_top, pooling, weights) == (False, "avg", "imagenet")
        images = keras.layers.Input((299, 299, 3))
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))

    monkeypatch.setattr(features.keras.applications, "InceptionV3", pooled)
    extractor = features.load_extractor("cifar10")
    assert extractor.name == "inception-v3"
    images = np.stack([np.full((32, 32, 1), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(extractor(images), [[-1] * 3, [1] * 3], atol=1e-5)


def test_without_inceptions_weights_there_is_a_warning_and_a_named_fallback(monkeypatch, caplog):
    def unreachable(**_):
        raise OSError("no such host")

    monkeypatch.setattr(features.keras.applications, "InceptionV3", unreachable)
    assert "fallback" in features.load_extractor("cifar10").name
    assert "cannot be downloaded" in caplog.text


@pytest.fixture
def socket_timeout():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(77)
    yield
    socket.setdefaulttimeout(before)


def test_inceptions_download_has_a_timeout_of_its_own(monkeypatch, socket_timeout):
    seen = []

    def unreachable(**_):
        seen.append(socket.getdefaulttimeout())
        raise OSError("no such host")

    monkeypatch.setattr(features.keras.applications, "InceptionV3", unreachable)
    assert features.inception_extractor() is None
    assert seen == [features.DOWNLOAD_SECONDS] and socket.getdefaulttimeout() == 77


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


def test_training_a_classifier_without_its_data_set_is_one_line(monkeypatch):
    def unavailable(*_):
        raise DatasetUnavailable("get online")

    monkeypatch.setattr(train_features, "load_images", unavailable)
    monkeypatch.setattr(train_features, "FLAGS", SimpleNamespace(dataset="mnist", out="x.npz", epochs=1, seed=0))
    with pytest.raises(SystemExit, match="error: get online"):
        train_features.main([])


def test_a_trained_classifier_is_written_as_the_shipped_ones_are(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(train_features, "train", lambda *_: (features.load_classifier("mnist"), 0.5))
    flags = SimpleNamespace(dataset="mnist", out=f"{tmp_path}/x.npz", epochs=1, seed=0)
    monkeypatch.setattr(train_features, "FLAGS", flags)
    train_features.main([])
    assert f"SHA-256 {sha256(tmp_path / 'x.npz')}" in capsys.readouterr().out
    with np.load(tmp_path / "x.npz") as written, np.load(features.WEIGHTS / "mnist.npz") as shipped:
        assert written.files == shipped.files
        for name in shipped.files:
            np.testing.assert_array_equal(written[name], shipped[name], strict=True)
