import socket

import keras
import numpy as np
import pytest
from keras import layers

from keras_dcgan.metrics import features
from keras_dcgan.tools.files import BadFile


@pytest.mark.parametrize("dataset", ["mnist", "photos"])
def test_features_do_not_depend_on_the_precision_of_training(dataset, digits):
    expected = features.load_extractor(dataset, cheap=True)(digits)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = features.load_extractor(dataset, cheap=True)(digits)
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
        features.load_extractor("mnist")(images)


def test_features_do_not_depend_on_how_images_are_batched(mnist):
    extractor = features.load_extractor("mnist")
    np.testing.assert_allclose(extractor(mnist[:300])[250:], extractor(mnist[250:300]), atol=1e-5)


def test_inception_is_given_averages_at_299_pixels_from_minus_one_to_one(monkeypatch):
    def pooled(include_top, pooling, weights):  # in place of the network, whose weights are a download
        assert (include_top, pooling, weights) == (False, "avg", "imagenet")
        images = keras.layers.Input((299, 299, 3))
        return keras.Model(images, keras.layers.GlobalMaxPooling2D()(images))

    monkeypatch.setattr(features.keras.applications, "InceptionV3", pooled)
    extractor = features.load_extractor("photos")
    assert extractor.name == "inception-v3"
    images = np.stack([np.full((32, 32, 1), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(extractor(images), [[-1] * 3, [1] * 3], atol=1e-5)
    stripes = np.zeros((1, 598, 598, 3), np.uint8)
    stripes[:, :, 1::4] = stripes[:, :, 2::4] = 255  # a pixel of 299 lies on a white and a black one
    assert extractor(stripes).max() < 0.6  # 1 without anti-aliasing


def test_without_inceptions_weights_there_is_a_warning_and_a_named_network_in_its_place(monkeypatch, caplog, digits):
    def unreachable(**_):
        raise OSError("no such host")

    monkeypatch.setattr(features.keras.applications, "InceptionV3", unreachable)
    extractor = features.load_extractor("photos")
    assert extractor.name == "cifar10-classifier"
    assert "cannot be downloaded (no such host)" in caplog.text and "CIFAR-10's classifier" in caplog.text
    found, classes = extractor.features_and_classes(digits)
    assert found.shape == (40, 192) and classes is None  # photos are no aeroplanes
    expected, named = features.load_extractor("cifar10").features_and_classes(digits)
    np.testing.assert_array_equal(found, expected)
    assert named.shape == (40,)


def test_while_training_inception_is_not_even_looked_for(monkeypatch, caplog):
    monkeypatch.setattr(features.keras.applications, "InceptionV3", lambda **_: pytest.fail("slow"))
    assert features.load_extractor("photos", cheap=True).name == "cifar10-classifier" and not caplog.text


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


def save(folder, *parts, name="own.keras"):
    """A network of these layers, the first one with its input."""
    keras.Sequential(parts).save(folder / name)
    return folder / name


def test_a_network_of_the_users_gets_images_in_0_to_255_at_its_own_size(tmp_path):
    image = np.arange(16 * 16, dtype=np.uint8).reshape(1, 16, 16, 1)
    extractor = features.load_extractor("mnist", file=save(tmp_path, layers.Input((16, 16, 1)), layers.Identity()))
    assert extractor.name == "own.keras" and not extractor.is_classifier
    found = extractor(image)
    assert found.shape == (1, 256) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], np.arange(256), atol=1e-4)
    colour = extractor(np.concatenate([image, 0 * image, 0 * image], axis=-1))
    np.testing.assert_allclose(colour[0], 0.299 * np.arange(256), atol=0.1)  # luma
    stripes = np.tile(np.array([[0], [255]], np.uint8), (1, 32, 32, 1))
    np.testing.assert_allclose(extractor(stripes), 127.5, atol=20)  # averaged; not 0 or 255


def test_a_network_of_the_users_that_takes_any_size_gets_64_pixels_and_colour(tmp_path):
    own = save(tmp_path, layers.Input((None, None, 3)), layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D())
    network = keras.models.load_model(own)
    grey = np.random.default_rng(0).integers(0, 256, (300, 28, 28, 1), np.uint8)
    found = features.load_extractor("/some/faces", file=str(own))(grey)
    np.testing.assert_allclose(found, np.repeat(grey.mean(axis=(1, 2)), 3, axis=-1) / 255, atol=0.02)
    resized = keras.ops.image.resize(np.repeat(grey, 3, axis=-1).astype(np.float32), (64, 64))
    np.testing.assert_allclose(found, network.predict(resized, verbose=0), atol=1e-4)


def test_a_network_of_the_users_in_bfloat16_gives_float32(tmp_path):
    own = save(tmp_path, layers.Input((8, 8, 1), dtype="bfloat16"), layers.Conv2D(2, 8, dtype="mixed_bfloat16"))
    found = features.load_extractor("mnist", file=own)(np.full((3, 8, 8, 1), 200, np.uint8))
    assert found.shape == (3, 2) and found.dtype == np.float32


class Unknown(layers.Layer):
    """A layer that only the user's own program knows."""

    __module__ = "nowhere"

    def call(self, x):
        return x


@pytest.mark.parametrize(
    "parts, message",
    [
        ([layers.Input((100,)), layers.Dense(3)], r"has the shapes \(None, 100\) -> \(None, 3\); must be a Keras net"),
        ([layers.Input((16, 16, 4)), layers.Flatten()], r"has the shapes \(None, 16, 16, 4\)"),
        ([layers.Input((65, 65, 1)), layers.Identity()], "gives 4,225 features an image, 4,096 at most are"),
        ([layers.Input((8, 8, 1)), layers.Lambda(lambda x: x)], "cannot be loaded: .*Lambda"),
        ([layers.Input((8, 8, 1)), Unknown()], "cannot be loaded: .*Unknown"),
    ],
)  # fmt: skip
def test_another_network_is_refused_in_one_line_that_says_why(tmp_path, parts, message):
    with pytest.raises(BadFile, match=message) as caught:
        features.load_extractor("mnist", file=save(tmp_path, *parts))
    assert str(caught.value).startswith(f"{tmp_path}/own.keras: ") and "\n" not in str(caught.value)


def test_networks_of_two_outputs_or_inputs_are_refused(tmp_path):
    one, other = layers.Input((8, 8, 1)), layers.Input((8, 8, 1))
    for network in (keras.Model(one, [one + 1, one + 2]), keras.Model([one, other], one + other)):
        network.save(tmp_path / "own.keras")
        with pytest.raises(BadFile, match=r"has the shapes .*; must be a Keras network"):
            features.load_extractor("mnist", file=tmp_path / "own.keras")


def test_files_that_hold_no_network_are_refused(tmp_path):
    with pytest.raises(BadFile, match=r"own\.keras: no such file; must be a Keras network"):
        features.load_extractor("mnist", file=tmp_path / "own.keras")
    (tmp_path / "own.keras").write_bytes(b"PK no")
    with pytest.raises(BadFile, match=r"own\.keras: must be a Keras network"):
        features.load_extractor("mnist", file=tmp_path / "own.keras")
    old = save(tmp_path, layers.Input((8, 8, 1)), layers.Flatten(), name="own.h5")  # safe mode does not protect it
    with pytest.raises(BadFile, match=r"own\.h5: must be a Keras network in a \.keras file"):
        features.load_extractor("mnist", file=old)


def test_features_that_are_not_finite_are_a_fault_of_the_network(tmp_path, digits):
    own = save(tmp_path, layers.Input((8, 8, 1)), layers.Rescaling(float("nan")))
    with pytest.raises(FloatingPointError, match=r"own\.keras: gives features that are not finite"):
        features.load_extractor("mnist", file=own)(digits)
