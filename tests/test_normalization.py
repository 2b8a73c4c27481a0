import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import normalization
from tests.test_layers import waves


def composed(x, offset, epsilon):
    """Batch normalisation as in the paper, of operations that TensorFlow knows all gradients of."""
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, [0, 1, 2])
    variance = tf.reduce_mean(tf.square(wide - mean), [0, 1, 2])
    return tf.cast((wide - mean) * tf.math.rsqrt(variance + epsilon) + offset, x.dtype), mean, variance


def apart(normalise):
    """What `normalise` makes of two batches, one behind the other."""

    def both(x, offset, epsilon):
        outputs, *statistics = zip(*(normalise(batch, offset, epsilon) for batch in tf.split(x, 2)), strict=True)
        return tf.concat(outputs, 0), *(tf.stack(found) for found in statistics)

    return both


def together(x, offset, epsilon):
    """Two batches on the replicas of a strategy; here the only one. `test_distribution` has two replicas."""
    return normalization.normalize_on_replicas(x, offset, epsilon, 2)


@pytest.mark.parametrize("ours", [apart(normalization.normalize), together], ids=["one device", "replicas"])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_batch_normalisation_is_the_papers_to_second_order(ours, dtype, tolerance):
    x = tf.cast(tf.random.stateless_normal((4, 8, 8, 5), seed=(5, 6)) * 3 + 1, dtype)
    offset = tf.random.stateless_normal((5,), seed=(7, 8))

    @tf.function
    def all_orders(normalise):
        with tf.GradientTape() as outer:
            outer.watch([x, offset])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y, mean, variance = normalise(x, offset, 1e-5)
                total = tf.reduce_sum(tf.square(tf.cast(y, tf.float32)) * waves(x))
            slope = inner.gradient(total, x)
            # Weighted, because the slope is orthogonal to x: of the plain norm half of the gradients would be zero, and
            # a wrong one (Keras's, for `tf.nn.moments` takes the mean for a constant) would pass.
            norm = tf.reduce_sum(tf.square(tf.cast(slope, tf.float32)) * waves(x))
        return [tf.cast(each, tf.float32) for each in (y, mean, variance, slope, *outer.gradient(norm, [x, offset]))]

    for found, expected in zip(all_orders(ours), all_orders(apart(composed)), strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


def test_xla_compiles_no_all_reduce_on_a_cpu():
    """So XLA is off with `--distribute`: what a replica computes has an all-reduce in every batch normalisation."""

    @tf.function(jit_compile=True)
    def reduced():  # by a group of one: XLA waits for all members of a group before it refuses
        return tf.raw_ops.CollectiveReduceV2(
            input=tf.ones(3), group_size=1, group_key=1, instance_key=1, ordering_token=[], merge_op="Add",
            final_op="Id",
        )  # fmt: skip

    with pytest.raises(tf.errors.UnimplementedError, match="Collectives are not yet implemented for CPU devices"):
        reduced()
