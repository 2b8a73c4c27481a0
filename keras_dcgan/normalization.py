"""Batch normalisation without a scale, as one fused kernel in each direction (Ioffe & Szegedy 2015).

TensorFlow's kernel takes the activations' own precision and float32 statistics; Keras composes it from a dozen
element-wise operations. Synchronised over several devices it takes one all-reduce in each direction; Keras takes three
forward and two backward. Gradients of gradients, which R1 takes, work through it.
"""

import tensorflow as tf


def normalize(x: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch normalisation without a scale (Ioffe & Szegedy 2015): [N, H, W, C], [C] -> the same, mean and variance.

    `x` may be bfloat16; `offset` and the statistics, which are biased, are float32. No gradient goes through those.
    """
    scale = tf.ones_like(offset)

    @tf.custom_gradient
    def forward(x, offset):
        found = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
        )

        @tf.custom_gradient
        def backward(x, d_outputs):
            first = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=d_outputs, x=x, scale=scale, reserve_space_1=found.reserve_space_1,
                reserve_space_2=found.reserve_space_2, reserve_space_3=found.reserve_space_3,
                epsilon=epsilon, is_training=True,
            )  # fmt: skip

            def second(*upstream):
                # TensorFlow knows no gradient of this kernel; what the kernel computes, composed, has one.
                with tf.GradientTape() as tape:
                    tape.watch([x, d_outputs])
                    composed = _composed_gradient(x, d_outputs, epsilon)
                return tape.gradient(composed, [x, d_outputs], output_gradients=upstream)

            return (first.x_backprop, first.offset_backprop), second

        return (found.y, found.batch_mean, found.batch_variance), lambda d_outputs, *_: backward(x, d_outputs)

    outputs, mean, variance = forward(x, offset)
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return outputs, mean, variance * (count - 1) / count  # the kernel's variance is the unbiased one


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


def _composed_gradient(x, d_outputs, epsilon):
    wide, d_wide = tf.cast(x, tf.float32), tf.cast(d_outputs, tf.float32)
    mean, variance = tf.nn.moments(wide, [0, 1, 2])
    inverse = tf.math.rsqrt(variance + epsilon)
    normal = (wide - mean) * inverse
    shared = tf.reduce_mean(d_wide, [0, 1, 2]) + normal * tf.reduce_mean(d_wide * normal, [0, 1, 2])
    return tf.cast(inverse * (d_wide - shared), x.dtype), tf.reduce_sum(d_wide, [0, 1, 2])
