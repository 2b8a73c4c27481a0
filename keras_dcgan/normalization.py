"""Batch normalisation without a scale, as one fused kernel in each direction (Ioffe & Szegedy 2015).

TensorFlow's kernel takes the activations' own precision and float32 statistics; Keras composes it from a dozen
element-wise operations. Synchronised over several devices it takes one all-reduce in each direction; Keras takes three
forward and two backward. Gradients of gradients, which R1 takes, work through it.
"""

import tensorflow as tf


def normalize(x: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch normalisation without a scale (Ioffe & Szegedy 2015): [N, H, W, C], [C] -> the same, mean and variance.

    `x` may be bfloat16; `offset` and the statistics, which are biased, are float32. No gradient goes through those. The
    outputs have gradients to second order.
    """
    scale = tf.ones_like(offset)
    found = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    share = x.shape[-1] / tf.cast(tf.size(x), tf.float32)  # of one pixel
    mean, variance = found.batch_mean, found.batch_variance * (1.0 - share)  # the kernel's is the unbiased one

    @tf.custom_gradient
    def backward(x, d_outputs):
        first = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=d_outputs, x=x, scale=scale, reserve_space_1=found.reserve_space_1,
            reserve_space_2=found.reserve_space_2, reserve_space_3=found.reserve_space_3,
            epsilon=epsilon, is_training=True,
        )  # fmt: skip

        def second(upstream, offset_upstream):  # TensorFlow knows no gradient of this kernel
            by_x = _second_gradient(x, d_outputs, upstream, mean, tf.math.rsqrt(variance + epsilon))
            return by_x, backward(x, upstream)[0] + tf.cast(offset_upstream, x.dtype)

        return (first.x_backprop, first.offset_backprop), second

    @tf.custom_gradient
    def forward(x, offset):
        return found.y, lambda d_outputs: backward(x, d_outputs)

    return forward(x, offset), mean, variance


def normalize_on_replicas(
    x: tf.Tensor, offset: tf.Tensor, epsilon: float, batches: int = 1
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`normalize` over what all replicas of a strategy hold, each as much, in one all-reduce forward and one backward.

    `x` is `batches` batches, one behind the other. Each has its own statistics: mean and variance are [batches, C].
    """
    replicas, parts = tf.distribute.get_replica_context(), tf.split(x, batches)
    count = tf.cast(tf.size(parts[0]) // x.shape[-1] * replicas.num_replicas_in_sync, tf.float32)
    own = tf.stack([tf.stack(moments(part)) for part in parts])  # (batches, 2, C)
    mean, mean_square = tf.unstack(replicas.all_reduce(tf.distribute.ReduceOp.SUM, own) / count, axis=1)
    variance = tf.maximum(mean_square - tf.square(mean), 0.0)
    scale = tf.math.rsqrt(variance + epsilon)
    each = zip(parts, tf.unstack(scale), tf.unstack(offset - mean * scale), strict=True)
    return tf.concat([scale_and_shift(*part) for part in each], 0), mean, variance


@tf.custom_gradient
def scale_and_shift(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """x * scale + shift, channel by channel: [N, H, W, C], [C], [C] -> [N, H, W, C], in the precision of `x`."""
    zeros = tf.zeros_like(scale)

    def gradient(d_outputs):
        d_shift, d_scale = sums(d_outputs, x)
        return scale_and_shift(d_outputs, scale, zeros), d_scale, d_shift

    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=shift, mean=zeros, variance=tf.ones_like(scale), epsilon=0.0, is_training=False
    )
    return outputs.y, gradient


@tf.custom_gradient
def sums(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The sums of x and of x * y in each channel, in float32: twice [N, H, W, C] -> twice [C]."""

    def gradient(d_sum, d_product):
        return scale_and_shift(y, d_product, d_sum), scale_and_shift(x, d_product, tf.zeros_like(d_sum))

    rows_of_x, rows_of_y = (tf.cast(tf.reshape(each, [-1, each.shape[-1]]), tf.float32) for each in (x, y))
    return (tf.reduce_sum(rows_of_x, 0), tf.reduce_sum(rows_of_x * rows_of_y, 0)), gradient


@tf.custom_gradient
def moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The sums of x and of its squares in each channel, in float32: [N, H, W, C] -> twice [C]."""
    return sums(x, x), lambda d_sum, d_squares: scale_and_shift(x, 2.0 * d_squares, d_sum)


def _second_gradient(x, d_outputs, upstream, mean, inverse):
    """The gradient by `x` of the sum of upstream * n, n being the gradient of normalisation by `x`.

    With x' = (x - mean) * inverse, d the gradient of the outputs and all means over batch and pixels, n is
    inverse * (d - mean(d) - x' mean(d x')).
    """
    d, u = (tf.cast(each, tf.float32) for each in (d_outputs, upstream))
    normal = (tf.cast(x, tf.float32) - mean) * inverse
    means = [tf.reduce_mean(each, [0, 1, 2]) for each in (d, u, d * normal, u * normal, d * u)]
    d_mean, u_mean, d_slope, u_slope, product = means
    shared = product - d_mean * u_mean - 3.0 * d_slope * u_slope
    found = d_slope * (u - u_mean) + u_slope * (d - d_mean) + shared * normal
    return tf.cast(-tf.square(inverse) * found, x.dtype)
