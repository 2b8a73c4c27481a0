import cv2
import keras
import numpy as np
import pytest

from keras_dcgan import cli, datasets, features, quality, train_features


def test_pixels_reach_the_classifier_by_area():
    picture = np.random.default_rng(0).integers(0, 256, (1, 56, 56, 1), np.uint8)
    prepared = features.to_classifier_input(picture)
    expected = picture[0, :, :, 0].reshape(28, 2, 28, 2).mean(axis=(1, 3)) / 255
    assert prepared.shape == (1, 28, 28, 1) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[0, :, :, 0], expected, atol=1e-6)
    grey_as_colour = np.repeat(picture, 3, axis=-1)
    np.testing.assert_allclose(features.to_classifier_input(grey_as_colour), prepared, atol=1e-6)


def test_the_mnist_classifier_knows_test_digits_on_both_paths(mnist):
    extractor = features.load_extractor("mnist")
    labels = datasets.load_labels("mnist")[60_000:62_000]
    direct, classes = extractor.features_and_classes(mnist[60_000:62_000])
    assert direct.shape == (2000, features.FEATURES) and direct.dtype == np.float32
    assert (classes == labels).mean() >= 0.985  # of the first 2,000; 0.9936 of all 10,000
    _, enlarged = extractor.features_and_classes(quality.as_generated(mnist[60_000:62_000], 64, 3))
    assert (enlarged == labels).mean() >= 0.98


def test_the_fashion_classifier_is_as_good_as_is_said():
    try:
        images, labels = datasets.load_images("fashion_mnist"), datasets.load_labels("fashion_mnist")
    except datasets.DatasetUnavailable as error:
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
        assert keras.config.dtype_policy().name == "mixed_bfloat16"  # given back
    finally:
        keras.config.set_dtype_policy(before)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "images", [np.zeros((0, 28, 28, 1), np.uint8), np.zeros((2, 28, 28, 1)), np.zeros((2, 28, 28), np.uint8)]
)
def test_images_of_another_kind_are_refused(images):
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
    with pytest.raises(ValueError, match="missing or altered"):
        features.load_classifier("mnist")


def test_the_fallback_says_so_and_tells_noise_from_pictures():
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
    def pooled(include_top, pooling, weights):  # in the place of the network, whose weights are a download
        assert (include_top, pooling, weights) == (False, "avg", "imagenet")
        images = keras.layers.Input((299, 299, 3))
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))

    monkeypatch.setattr(features.keras.applications, "InceptionV3", pooled)
    extractor = features.load_extractor("cifar10")
    assert extractor.name == "inception-v3"
    images = np.stack([np.full((32, 32, 1), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(extractor(images), [[-1] * 3, [1] * 3], atol=1e-5)


def test_without_inceptions_weights_there_is_a_message_and_a_named_fallback(monkeypatch, caplog):
    def unreachable(**_):
        raise OSError("no such host")

    monkeypatch.setattr(features.keras.applications, "InceptionV3", unreachable)
    assert "fallback" in features.load_extractor("cifar10").name
    assert "cannot be had" in caplog.text


def test_training_them_says_what_is_missing_before_it_begins(given, tmp_path, monkeypatch, command):
    def unavailable(*_):
        raise datasets.DatasetUnavailable("get online")

    (tmp_path / "file").touch()
    for out, message in (("file/x.npz", "is no folder"), ("", "is a folder")):
        given(dataset="mnist", out=f"{tmp_path}/{out}", epochs=1)
        with pytest.raises(cli.UserError, match=f"--out=.*{message}"):
            train_features.main()
    monkeypatch.setattr(datasets, "load_images", unavailable)
    given(dataset="mnist", out=f"{tmp_path}/new/x.npz", epochs=1)
    with pytest.raises(cli.Fault, match="get online"):
        train_features.main()
    assert (tmp_path / "new").is_dir()
    done = command("keras_dcgan.train_features", "--seed=5000000000", "--out=x.npz")
    assert done.returncode == 2 and "--seed=5000000000" in done.stderr and len(done.stderr.splitlines()) == 1
