import zipfile

import keras
import numpy as np
import pytest

from keras_dcgan.generators import save_network
from keras_dcgan.networks import (
    build_discriminator,
    build_generator,
    count_classes,
    float32_copy,
    latent_dim_of,
    with_labels,
)


def test_the_defaults_are_the_mxnet_tutorials_sizes():
    # 4x4 kernels between 100, 1024, 512, 256, 128 and 3 channels, and one offset per normalised channel
    kernels = 16 * (100 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert sum(w.numpy().size for w in build_generator().trainable_weights) == kernels + 1024 + 512 + 256 + 128
    kernels = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024)
    assert sum(w.numpy().size for w in build_discriminator().trainable_weights) == kernels + 256 + 512 + 1024


@pytest.mark.parametrize("image_size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(image_size, channels):
    generator = build_generator(2, image_size, channels, latent_dim=7)
    images = generator(np.random.default_rng(0).normal(size=(2, 7)).astype("float32"))
    assert images.shape == (2, image_size, image_size, channels)
    assert np.abs(images.numpy()).max() <= 1
    assert build_discriminator(2, image_size, channels)(images).shape == (2, 1)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image_size": 48}, "16, 32, 64, 128, 256"),
        ({"image_size": 8}, "16, 32"),
        ({"channels": 2}, "1 or 3"),
        ({"width": 0}, "at least 1"),
    ],
)  # fmt: skip
def test_wrong_sizes_say_which_are_allowed(build, sizes, message):
    with pytest.raises(ValueError, match=message):
        build(**sizes)


def test_layers_of_the_same_shape_start_different():
    keras.utils.set_random_seed(0)
    weights = [w.numpy() for w in build_generator(4, 64, 1, 4).trainable_weights if len(w.shape) == 4]
    assert all(abs(w.std() - 0.02) < 0.004 for w in weights)
    assert len({w.ravel()[:8].tobytes() for w in weights}) == len(weights)


def test_outputs_stay_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator, discriminator = build_generator(2, 16, 1), build_discriminator(2, 16, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert generator.output.dtype == discriminator.output.dtype == "float32"
    assert generator.get_layer("g2").compute_dtype == "bfloat16"
    assert all(w.dtype == "float32" for w in generator.weights + discriminator.weights)


def test_a_saved_generator_loads_without_our_code(tmp_path):
    generator = build_generator(2, 16, 1)
    save_network(tmp_path / "g.keras", generator)
    with zipfile.ZipFile(tmp_path / "g.keras") as archive:
        assert b"keras_dcgan" not in archive.read("config.json")
    latents = np.ones((3, 100), "float32")
    loaded = keras.saving.load_model(tmp_path / "g.keras")(latents)
    np.testing.assert_allclose(loaded, generator(latents), atol=1e-6)


def test_with_classes_the_label_stands_beside_the_latents():
    generator = build_generator(2, 16, 1, 5, classes=3)
    assert {tensor.name: tensor.dtype for tensor in generator.inputs} == {"latents": "float32", "labels": "int32"}
    assert (latent_dim_of(generator), count_classes(generator)) == (5, 3)
    latents = np.random.default_rng(0).standard_normal((3, 5), np.float32)
    plain = build_generator(2, 16, 1, 8)  # the same network, fed with the one-hot vector by hand
    plain.set_weights(generator.get_weights())
    drawn = generator(with_labels(latents, np.array([2, 0, 1], np.int32)))
    expected = plain(np.concatenate([latents, np.eye(3, dtype=np.float32)[[2, 0, 1]]], axis=1))
    np.testing.assert_array_equal(drawn, expected)
    assert build_discriminator(2, 16, 1, classes=3).output_shape == (None, 3)


def test_without_classes_the_networks_are_the_same_to_the_bit():
    for build in (build_generator, build_discriminator):
        weights = []
        for options in ({}, {"classes": 0}):
            keras.utils.set_random_seed(1)
            network = build(2, 16, 1, **options)
            weights.append(network.get_weights())
            assert not isinstance(network.input, dict)
        for a, b in zip(*weights, strict=True):
            np.testing.assert_array_equal(a, b)
    assert (latent_dim_of(build_generator(2, 16, 1, 5)), count_classes(build_generator(2, 16, 1, 5))) == (5, 0)


def test_many_classes_keep_their_labels_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator = build_generator(2, 16, 1, 5, classes=1000)
    finally:
        keras.config.set_dtype_policy("float32")
    one_hot = keras.Model(generator.input, generator.get_layer("one_hot").output)
    labels = np.array([256, 257, 511, 999], np.int32)
    encoded = one_hot(with_labels(np.zeros((4, 5), np.float32), labels))
    np.testing.assert_array_equal(np.argmax(encoded, axis=1), labels)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_float32_copy_keeps_the_label_and_draws_the_same(policy, upsampling):
    keras.config.set_dtype_policy(policy)
    try:
        generator = build_generator(2, 16, 1, 5, classes=3, upsampling=upsampling)
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = with_labels(np.ones((3, 5), np.float32), np.arange(3, dtype=np.int32))
    copy = float32_copy(generator)
    assert copy.compute_dtype == "float32" and count_classes(copy) == 3
    assert all(type(layer).__module__.startswith("keras.") for layer in copy.layers)
    np.testing.assert_allclose(copy(inputs), generator(inputs), atol=1e-2 if "bf" in policy else 1e-6)
