import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.optimizers import Adam


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"weight_decay": 0.1}, {"clipnorm": 0.5}])
def test_weights_and_state_become_those_of_kerass_adam(options, jit_compile):
    random = np.random.default_rng(0)
    start = [random.standard_normal(shape, np.float32) for shape in ((3, 4), (5,))]
    results = []
    for kind in (keras.optimizers.Adam, Adam):
        variables = [keras.Variable(value) for value in start]
        optimizer = kind(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), 0.5, 0.99, 1e-8, **options)
        optimizer.build(variables)

        update = tf.function(optimizer.apply, jit_compile=jit_compile)  # of the variables that it was built with
        for scale in (1.0, 1e-4, 10.0, 0.0, 1.0):
            update([tf.constant(np.float32(scale) * np.sin(5 * value)) for value in start])
        results.append([variable.numpy() for variable in variables + optimizer.variables])
    for keras_value, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, keras_value, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_weights_of_other_precisions_are_updated_as_keras_does(dtype):
    weights = []
    for kind in (keras.optimizers.Adam, Adam):
        weight = keras.Variable([1.0, -2.0], dtype=dtype)
        optimizer = kind(0.5)
        for gradient in ([3.0, 0.1], [-1.0, 2.0]):
            optimizer.apply([tf.constant(gradient, dtype)], [weight])
        weights.append(tf.cast(weight.value, tf.float64).numpy())
    np.testing.assert_array_equal(*weights)


def test_a_checkpoint_of_kerass_adam_continues(tmp_path):
    weight = keras.Variable([1.0, 2.0])
    before, after = keras.optimizers.Adam(), Adam()
    for optimizer in (before, after):
        optimizer.build([weight])
    before.apply([tf.constant([1.0, -1.0])], [weight])
    path = tf.train.Checkpoint(optimizer=before).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(optimizer=after).restore(path).assert_consumed()
    assert int(after.iterations) == 1
    np.testing.assert_allclose(after._momentums[0], [0.1, -0.1], rtol=1e-6)


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(Adam(0.25), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(loaded) is Adam and float(loaded.learning_rate) == 0.25
