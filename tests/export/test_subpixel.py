"""The rewritten generator that is converted, compared with Keras's own layers."""

import keras
import numpy as np
import pytest
from keras import layers

from export import rng, subpixel
from keras_dcgan.networks import build_generator, float32_copy
from tests.export.helpers import lively


@pytest.mark.parametrize("width, image_size, channels", [(4, 16, 1), (3, 32, 3), (1, 64, 1)])
def test_the_rewritten_generator_is_the_same_function(width, image_size, channels):
    generator = lively(build_generator(width, image_size, channels, 7))
    latents = rng.draw_latents(0, range(5), 7)
    expected = generator.predict(latents, verbose=0)
    assert expected.min() < -0.9 and expected.max() > 0.9
    for given in (generator, float32_copy(generator)):  # of our layers, and of Keras's
        found = subpixel.rewritten(given)
        kinds = {type(layer) for layer in found.layers}
        assert layers.Conv2D in kinds and not {kind for kind in kinds if issubclass(kind, layers.Conv2DTranspose)}
        np.testing.assert_allclose(found.predict(latents, verbose=0), expected, atol=2e-5)


def test_the_scale_of_a_normalisation_becomes_part_of_the_weights():
    plain = build_generator(2, 16, 1, 5)

    def with_scale(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, "scale": True} if "scale" in config else config)

    scaled = lively(keras.models.clone_model(plain, clone_function=with_scale), seed=1)
    latents = rng.draw_latents(0, range(3), 5)
    assert subpixel.rewritten(scaled) is not scaled
    np.testing.assert_allclose(
        subpixel.rewritten(scaled).predict(latents, verbose=0), scaled.predict(latents, verbose=0), atol=2e-5
    )


def test_the_filters_of_the_first_layer_become_equally_large_but_for_those_of_almost_nothing():
    generator = lively(build_generator(4, 16, 1, 7))  # eight filters
    convolution, normalization = generator.get_layer("g1"), generator.get_layer("gbn1")
    kernel, variance = convolution.kernel.numpy(), normalization.moving_variance.numpy()
    kernel[:, :, 0], kernel[:, :, 1] = 0, kernel[:, :, 1] / 1000
    variance[:2] = 1  # or normalisation would enlarge them again
    convolution.kernel.assign(kernel)
    normalization.moving_variance.assign(variance)
    found = subpixel.rewritten(generator)
    weights = found.get_layer(subpixel.FIRST).get_weights()[0]  # (7, 16 * 8)
    largest = np.abs(weights).reshape(7, 16, 8).max(axis=(0, 1))
    assert largest[0] == 0 and 0 < largest[1] < 0.02
    np.testing.assert_allclose(largest[2:], 1, rtol=1e-6)
    latents = rng.draw_latents(0, range(5), 7)
    expected = generator.predict(latents, verbose=0)
    np.testing.assert_allclose(found.predict(latents, verbose=0), expected, atol=2e-5)


def test_a_generator_of_one_layer_is_rewritten_too():
    latents = layers.Input((7,), name="latents")
    x = layers.Reshape((1, 1, 7))(latents)
    x = layers.Conv2DTranspose(1, 4, use_bias=False)(x)
    generator = keras.Model(latents, layers.Activation("tanh", name="images")(x))
    found = subpixel.rewritten(generator)
    assert found.get_layer(subpixel.LAST)
    given = rng.draw_latents(0, range(3), 7)
    np.testing.assert_allclose(found.predict(given, verbose=0), generator.predict(given, verbose=0), atol=2e-5)


def changed(name: str, **settings):
    def change(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, **settings} if layer.name == name else config)

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("g2", use_bias=True),
        changed("g3", kernel_size=(2, 2)),
        changed("g2", dilation_rate=(1, 1), output_padding=(0, 0)),
        changed("gact1", negative_slope=0.2),
        changed("gact2", max_value=6.0),
        changed("gact2", threshold=0.5),
        changed("g1", activation="relu"),
        changed("gbn2", axis=1),
        changed("images", activation="sigmoid"),
    ],
)
def test_a_generator_of_other_layers_is_returned_as_it_is(change):
    generator = keras.models.clone_model(build_generator(2, 16, 1, 5), clone_function=change)
    assert subpixel.rewritten(generator) is generator


def test_a_generator_of_another_wiring_is_returned_as_it_is():
    generator = build_generator(2, 16, 1, 5)
    doubled = keras.Model(generator.input, layers.Add()([generator.output, generator.output]))
    dense = keras.Sequential([layers.Input((5,)), layers.Dense(16), layers.Reshape((4, 4, 1))])
    assert subpixel.rewritten(doubled) is doubled and subpixel.rewritten(dense) is dense
