import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import layers

PAIRS = [
    pytest.param("Conv2D", (16, 3), 8, id="few channels"),
    pytest.param("Conv2D", (8, 64), 16, id="kernel gradient by matrix products"),
    pytest.param("Conv2D", (8, 512), 4, id="small images, large kernel"),
    pytest.param("Conv2DTranspose", (4, 8), 64, id="transposed"),
    pytest.param("Conv2DTranspose", (8, 8), 3, id="to an image in colour"),
    pytest.param("Conv2DTranspose", (8, 8), 1, id="to a grey image"),
]


def both(name, inputs, filters):
    """Our layer and Keras's with the same weights."""
    options = {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False, "kernel_initializer": "normal"}
    ours, theirs = getattr(layers, name)(filters, **options), getattr(keras.layers, name)(filters, **options)
    ours.build(inputs.shape), theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def orders(layer, x, **call):
    """The output, its gradients, and those of the gradient at the input, which is what R1 takes."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = layer(x, **call)
            y = tf.cast(y, tf.float32)
            total = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float32) / 7), y.shape))
        slope = inner.gradient(total, x)
        squared = tf.reduce_sum(tf.square(slope))
    weights = layer.trainable_variables[0].value
    return [y, slope, outer.gradient(total, weights), outer.gradient(squared, weights), outer.gradient(squared, x)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name, shape, filters", PAIRS)
def test_a_convolution_is_keras_own_to_second_order(name, shape, filters, compiled):
    size, depth = shape
    x = tf.random.stateless_normal((3, size, size, depth), seed=(1, 2))
    ours, theirs = both(name, x, filters)
    run = tf.function(orders) if compiled else orders
    for found, expected in zip(run(ours, x)[:4], run(theirs, x)[:4], strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), rtol=1e-4)


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
