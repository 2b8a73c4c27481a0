import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import convolutions, layers

PAIRS = [
    pytest.param("Conv2D", (16, 3), 8, id="few channels"),
    pytest.param("Conv2D", (8, 64), 16, id="more channels"),
    pytest.param("Conv2D", (8, 512), 4, id="small images, large kernel: by matrix products"),
    pytest.param("Conv2D", (32, 64), 4, id="wide"),
    pytest.param("Conv2DTranspose", (4, 8), 64, id="transposed"),
    pytest.param("Conv2DTranspose", (4, 8), 256, id="transposed and deep"),
    pytest.param("Conv2DTranspose", (8, 8), 3, id="to an image in colour"),
    pytest.param("Conv2DTranspose", (8, 8), 1, id="to a grey image"),
]


def both(name, inputs, filters, strides=2, padding="same"):
    """Our layer and Keras's with the same weights."""
    options = {
        "kernel_size": 4, "strides": strides, "padding": padding, "use_bias": False, "kernel_initializer": "normal",
    }  # fmt: skip
    ours, theirs = getattr(layers, name)(filters, **options), getattr(keras.layers, name)(filters, **options)
    ours.build(inputs.shape), theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def waves(x):
    """Weights of that shape, all different."""
    return tf.reshape(tf.sin(tf.range(tf.size(x), dtype=tf.float32) / 7), x.shape)


def orders(layer, x, **call):
    """The output, its gradients, and those of the gradient at the input, which is what R1 takes."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = layer(x, **call)
            y = tf.cast(y, tf.float32)
            total = tf.reduce_sum(y * waves(y))
        slope = inner.gradient(total, x)
        squared = tf.reduce_sum(tf.square(slope))
    weights = layer.trainable_variables[0].value
    return [y, slope, outer.gradient(total, weights), outer.gradient(squared, weights), outer.gradient(squared, x)]


def assert_equal(found, expected):
    """Pairs of tensors are equal but for rounding."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max(), rtol=1e-4)


@pytest.mark.parametrize("lacks_avx512", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name, shape, filters", PAIRS)
def test_a_convolution_is_keras_own_to_second_order(monkeypatch, name, shape, filters, compiled, lacks_avx512):
    monkeypatch.setattr(convolutions, "lacks_avx512", lambda: lacks_avx512)
    size, depth = shape
    x = tf.random.stateless_normal((3, size, size, depth), seed=(1, 2))
    ours, theirs = both(name, x, filters)
    run = tf.function(orders) if compiled else orders
    assert_equal(run(ours, x)[:4], run(theirs, x)[:4])


@pytest.mark.parametrize("name, shape", [("Conv2D", (3, 4, 4, 8)), ("Conv2DTranspose", (3, 1, 1, 8))])
def test_a_kernel_as_large_as_the_image_is_one_matrix_product(name, shape):
    x = tf.random.stateless_normal(shape, seed=(1, 2))
    ours, theirs = both(name, x, 5, strides=1, padding="valid")
    graph = tf.function(orders).get_concrete_function(ours, x).graph
    assert not [operation.type for operation in graph.get_operations() if "Conv" in operation.type]
    assert_equal(orders(ours, x)[:4], orders(theirs, x)[:4])


@pytest.mark.parametrize("name, shape", [("Conv2D", (3, 7, 6, 8)), ("Conv2DTranspose", (3, 2, 3, 8))])
def test_a_kernel_smaller_than_the_image_is_keras_convolution(name, shape):
    x = tf.random.stateless_normal(shape, seed=(1, 2))
    ours, theirs = both(name, x, 5, strides=1, padding="valid")
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


@pytest.mark.parametrize("filters", [3, 8])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_nearest_neighbours_and_a_3x3_convolution_are_those_of_keras(monkeypatch, filters, on_gpu):
    monkeypatch.setattr(layers, "has_cudnn", lambda: on_gpu)
    x = tf.random.stateless_normal((3, 6, 5, 4), seed=(1, 2))
    ours = layers.NearestConv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer="normal")
    theirs = keras.Sequential(
        [keras.layers.UpSampling2D(2, interpolation="nearest"), keras.layers.Conv2D(filters, 3, 1, "same")]
    )
    ours.build(x.shape), theirs.build(x.shape)
    kernel = ours.kernel.numpy()
    assert kernel.shape == (3, 3, filters, 4)
    theirs.set_weights([kernel[::-1, ::-1].transpose(0, 1, 3, 2), np.zeros(filters)])
    assert_equal(orders(ours, x)[:2], orders(theirs, x)[:2])


@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 1e-1)])
def test_batch_normalisation_is_keras_own_to_second_order(policy, tolerance):
    x = tf.random.stateless_normal((4, 8, 8, 5), seed=(3, 4)) * 3 + 1
    options = {"momentum": 0.9, "epsilon": 1e-5, "scale": False}
    ours, theirs = layers.BatchNormalization(**options, dtype=policy), keras.layers.BatchNormalization(**options)
    found, expected = orders(ours, x, training=True), orders(theirs, x, training=True)
    for ours_is, is_right in zip(found, expected, strict=True):
        if is_right is not None:
            np.testing.assert_allclose(ours_is, is_right, atol=tolerance * np.abs(is_right).max())
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-2 if tolerance > 1e-4 else 1e-5)
    np.testing.assert_allclose(ours(x), theirs(x), atol=3 * tolerance)


def test_frozen_batch_normalisation_is_keras_own():
    x = waves(tf.zeros((8, 4, 4, 3))) + 3
    found = []
    for layer in (layers.BatchNormalization(scale=False), keras.layers.BatchNormalization(scale=False)):
        layer.build(x.shape)
        layer.trainable = False
        found.append((layer(x, training=True), layer.moving_mean))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("option", [{"activation": "relu"}, {"groups": 2}, {"use_bias": True}])
def test_what_is_not_a_plain_convolution_is_keras_own(option):
    x = waves(tf.zeros((2, 8, 8, 4)))
    options = {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False, **option}
    ours, theirs = layers.Conv2D(6, **options), keras.layers.Conv2D(6, **options)
    ours.build(x.shape), theirs.build(x.shape)
    theirs.set_weights([*map(waves, ours.weights)])
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)
