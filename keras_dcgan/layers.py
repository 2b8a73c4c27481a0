"""Keras's convolutions and batch normalisation, computed by what runs fastest: the same mathematics and weights.

Every class has the arguments and, but for `NearestConv2DTranspose`, the weights of the Keras layer that it extends; so
`networks.float32_copy` can put that in its place. What is fast is what `networks` builds: convolutions without bias,
activation, groups and dilation. Where cuDNN is, convolutions are left to it.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_dcgan.convolutions import STRIDE, contract, convolve, convolve_transposed, expand, widen
from keras_dcgan.normalization import normalize, normalize_on_replicas

# Each replica is traced by a thread of its own, and they take turns: a plain variable would be seen by all of them.
_batches = contextvars.ContextVar("batches", default=1)


@keras.saving.register_keras_serializable("keras_dcgan")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`."""

    def call(self, inputs):
        if _is_ours(self):
            return convolve(inputs, tf.convert_to_tensor(self.kernel))
        if _is_product(self) and inputs.shape[1:3] == self.kernel_size:
            return contract(inputs, tf.convert_to_tensor(self.kernel))
        return super().call(inputs)


@keras.saving.register_keras_serializable("keras_dcgan")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`."""

    def call(self, inputs):
        if _is_ours(self):
            return convolve_transposed(inputs, tf.convert_to_tensor(self.kernel))
        if _is_product(self) and inputs.shape[1:3] == (1, 1):
            return expand(inputs, tf.convert_to_tensor(self.kernel))
        return super().call(inputs)


@keras.saving.register_keras_serializable("keras_dcgan")
class NearestConv2DTranspose(Conv2DTranspose):
    """Enlargement to nearest neighbours and a 3x3 convolution (Odena et al. 2016), as one 4x4 transposed convolution.

    It costs what that costs. Its weights are the 3x3 kernel. The four pixels that come of one share it, so they make no
    checkerboard. Keras's `Conv2DTranspose` with the kernel `widened` computes the same.

    Examples:
      >>> layer = NearestConv2DTranspose(2, 4, 2, "same", use_bias=False)
      >>> layer(tf.ones((1, 8, 8, 3))).shape, layer.kernel.shape, layer.widened().shape
      (TensorShape([1, 16, 16, 2]), TensorShape([3, 3, 2, 3]), TensorShape([4, 4, 2, 3]))
    """

    def build(self, input_shape):
        shape = (3, 3, self.filters, input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)

    def widened(self) -> tf.Tensor:
        """The kernel of the transposed convolution: [4, 4, filters, channels]."""
        return widen(tf.convert_to_tensor(self.kernel))

    def call(self, inputs):
        if _is_ours(self):
            return convolve_transposed(inputs, self.widened())
        return keras.ops.conv_transpose(inputs, self.widened(), STRIDE, "same")


@keras.saving.register_keras_serializable("keras_dcgan")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`; faster without a scale, as the networks use it."""

    def call(self, inputs, training=None, mask=None):
        if self.scale or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        offset, epsilon = tf.cast(self.beta, tf.float32), float(self.epsilon)
        if self.synchronized:
            outputs, *own = normalize_on_replicas(inputs, offset, epsilon, _batches.get())  # (batches, C)
            statistics = [tf.unstack(found) for found in own]
        else:
            outputs, *own = normalize(inputs, offset, epsilon)
            statistics = [[found] for found in own]
        for moving, of_batches in zip((self.moving_mean, self.moving_variance), statistics, strict=True):
            for found in of_batches:
                moving.value.assign_add((found - moving) * (1.0 - self.momentum))
        return outputs


@contextlib.contextmanager
def several_batches(count: int) -> Iterator[None]:
    """Within it, synchronised layers see `count` batches in each: `normalize_on_replicas`."""
    token = _batches.set(count)
    try:
        yield
    finally:
        _batches.reset(token)


def has_cudnn() -> bool:
    """Whether convolutions run on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def _is_ours(layer: keras.layers.Layer) -> bool:
    """Whether `convolve` or its transpose is what the layer computes, and faster here: not where cuDNN is."""
    fits = layer.kernel_size == (4, 4) and layer.strides == (2, 2) and layer.padding == "same"
    return fits and _is_plain(layer) and not has_cudnn()


def _is_product(layer: keras.layers.Layer) -> bool:
    """Whether the layer is one matrix product if its input or output has a single pixel."""
    return layer.strides == (1, 1) and layer.padding == "valid" and _is_plain(layer)


def _is_plain(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a convolution and nothing else."""
    one_group = getattr(layer, "groups", 1) == 1  # a transposed convolution has no groups
    linear = layer.activation is keras.activations.linear
    return one_group and linear and not layer.use_bias and layer.dilation_rate == (1, 1)
