"""Keras's convolutions and batch normalisation, computed by what runs fastest: the same mathematics and weights.

Every class has the arguments and, but for `NearestConv2DTranspose`, the weights of the Keras layer that it extends; so
`networks.float32_copy` can put that in its place. The layers are for what `networks` builds: convolutions without bias,
activation, groups and dilation. What is different:

- On a CPU, oneDNN's weight gradient of a deep 4x4 convolution of stride 2 reaches a fraction of the machine's peak, in
  bfloat16 from 64 channels on, in float32 from 512. As 2x2 convolution of the image cut into 2x2 blocks it is four
  plain matrix products, which come close to it.
- With AVX2 and without AVX512, as most laptops, that gradient is faster as a convolution whose channels are the batch,
  and wide layers are faster by Winograd's algorithm: `winograd.py`.
- A convolution whose kernel covers the whole image is one matrix product.
- Batch normalisation runs as TensorFlow's fused kernel in both directions, in the activations' own precision with
  float32 statistics. Keras composes it from a dozen element-wise operations.
- Synchronised over several devices it takes one all-reduce in each direction. Keras takes three forward and two
  backward.

Gradients of gradients, which R1 takes, work through all of them.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_dcgan import winograd
from keras_dcgan.tools.processor import features

STRIDE = 2
SHIFTED = [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]  # adds three numbers to the same, shifted by one
# Each replica is traced by a thread of its own, and they take turns: a plain variable would be seen by all of them.
_batches = contextvars.ContextVar("batches", default=1)


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A 4x4 convolution of stride 2, padding 1: [N, H, W, A], [4, 4, A, B] -> [N, H/2, W/2, B]; H and W even."""
    height, width, depth = images.shape[1:]
    return (winograd.convolve if _is_wide(height, width, depth, images.dtype) else _convolve)(images, kernel)


def convolve_transposed(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The transpose of `convolve`: [N, H, W, B], [4, 4, A, B] -> [N, 2H, 2W, A]."""
    height, width = inputs.shape[1:3]
    wide = _is_wide(STRIDE * height, STRIDE * width, kernel.shape[2], inputs.dtype)
    return (winograd.convolve_transposed if wide else _convolve_transposed)(inputs, kernel)


@tf.custom_gradient
def _convolve(images, kernel):
    def gradient(d_outputs):
        return convolve_transposed(d_outputs, kernel), kernel_gradient(images, d_outputs)

    height, depth = images.shape[1], kernel.shape[2]
    if height == 8 and depth >= 512:  # here the kernel outweighs the images, and oneDNN reorders it at every step
        blocks = tf.concat(_block_windows(images), axis=-1)  # (N, 4, 4, 16 A)
        outputs = tf.matmul(_rows(blocks), _rows(_to_blocks(kernel)))
        return tf.reshape(outputs, [-1, height // 2, images.shape[2] // 2, kernel.shape[3]]), gradient
    return tf.nn.conv2d(images, kernel, STRIDE, "SAME"), gradient


@tf.custom_gradient
def _convolve_transposed(inputs, kernel):
    def gradient(d_outputs):
        return convolve(d_outputs, kernel), kernel_gradient(d_outputs, inputs)

    height, width = inputs.shape[1:3]
    depth, filters = kernel.shape[2:]
    if depth <= 3:  # an image: a 2x2 convolution to its 2x2 blocks
        blocks = tf.reshape(_to_blocks(kernel), [2, 2, 4 * depth, filters])
        blocks = tf.transpose(tf.reverse(blocks, [0, 1]), [0, 1, 3, 2])
        padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        images = tf.nn.depth_to_space(tf.nn.conv2d(padded, blocks, 1, "VALID"), 2)
        return images[:, 1:-1, 1:-1], gradient
    shape = [tf.shape(inputs)[0], STRIDE * height, STRIDE * width, depth]
    return tf.nn.conv2d_transpose(inputs, kernel, shape, STRIDE, "SAME"), gradient


def contract(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution whose kernel is as large as the image: [N, H, W, A], [H, W, A, B] -> [N, 1, 1, B]."""
    rows = tf.reshape(images, [-1, kernel.shape[:3].num_elements()])
    return tf.matmul(rows, _rows(kernel))[:, tf.newaxis, tf.newaxis]


def expand(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The transpose of `contract`: [N, 1, 1, B], [H, W, A, B] -> [N, H, W, A]."""
    return tf.reshape(tf.matmul(_rows(inputs), _rows(kernel), transpose_b=True), [-1, *kernel.shape[:3]])


def widen(kernel: tf.Tensor) -> tf.Tensor:
    """The 4x4 kernel of stride 2 that enlarges to nearest neighbours, then does what a 3x3 kernel does.

    [3, 3, A, B] -> [4, 4, A, B]: four copies of the kernel, each shifted by a pixel, are added.

    Examples:
      >>> widen(tf.ones((3, 3, 1, 1)))[..., 0, 0].numpy().astype(int).tolist()
      [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    """
    shifted = np.kron(SHIFTED, SHIFTED)  # (16, 9): by rows and by columns
    rows = tf.matmul(tf.constant(shifted, kernel.dtype), tf.reshape(kernel, [9, -1]))  # much faster than four additions
    return tf.reshape(rows, [4, 4, *kernel.shape[2:]])


def kernel_gradient(images: tf.Tensor, d_outputs: tf.Tensor) -> tf.Tensor:
    """The gradient of `convolve` by its kernel: [N, H, W, A], [N, H/2, W/2, B] -> [4, 4, A, B]."""
    depth, filters = images.shape[-1], d_outputs.shape[-1]
    if depth >= 32 and lacks_avx512():
        as_images, as_kernel = tf.transpose(images, [3, 1, 2, 0]), tf.transpose(d_outputs, [1, 2, 0, 3])
        by_depth = tf.nn.conv2d(as_images, as_kernel, 1, [[0, 0], [1, 1], [1, 1], [0, 0]], dilations=STRIDE)
        return tf.transpose(by_depth, [1, 2, 0, 3])
    # Few channels make thin matrices, and oneDNN's float32 is fast up to the deepest layer.
    if depth < (512 if images.dtype == tf.float32 else 64):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=images, filter_sizes=[4, 4, depth, filters], out_backprop=d_outputs,
            strides=[1, STRIDE, STRIDE, 1], padding="SAME",
        )  # fmt: skip
    d_rows = _rows(d_outputs)
    products = [tf.matmul(_rows(window), d_rows, transpose_a=True) for window in _block_windows(images)]
    blocks = tf.reshape(tf.stack(products), [2, 2, 2, 2, depth, filters])
    return tf.reshape(tf.transpose(blocks, [0, 2, 1, 3, 4, 5]), [4, 4, depth, filters])


def _block_windows(images: tf.Tensor) -> list[tf.Tensor]:
    """The four [N, H/2, W/2, 4 A] windows, one per place of a 2x2 kernel, of the images cut into 2x2 blocks."""
    height, width, depth = images.shape[1:]
    rows, columns = height // 2, width // 2
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    blocks = tf.reshape(padded, [-1, rows + 1, 2, columns + 1, 2 * depth])
    blocks = tf.reshape(tf.transpose(blocks, [0, 1, 3, 2, 4]), [-1, rows + 1, columns + 1, 4 * depth])
    return [blocks[:, i : i + rows, j : j + columns] for i in (0, 1) for j in (0, 1)]


def _to_blocks(kernel: tf.Tensor) -> tf.Tensor:
    """[4, 4, A, B] -> [16 A, B], in the order of the concatenated `_block_windows`."""
    depth, filters = kernel.shape[2:]
    blocks = tf.transpose(tf.reshape(kernel, [2, 2, 2, 2, depth, filters]), [0, 2, 1, 3, 4, 5])
    return tf.reshape(blocks, [16 * depth, filters])


def _rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, x.shape[-1]])


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

    rows_of_x, rows_of_y = (tf.cast(_rows(each), tf.float32) for each in (x, y))
    return (tf.reduce_sum(rows_of_x, 0), tf.reduce_sum(rows_of_x * rows_of_y, 0)), gradient


@tf.custom_gradient
def moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The sums of x and of its squares in each channel, in float32: [N, H, W, C] -> twice [C]."""
    return sums(x, x), lambda d_sum, d_squares: scale_and_shift(x, 2.0 * d_squares, d_sum)


@contextlib.contextmanager
def several_batches(count: int) -> Iterator[None]:
    """Within it, synchronised layers see `count` batches in each: `normalize_on_replicas`."""
    token = _batches.set(count)
    try:
        yield
    finally:
        _batches.reset(token)


def _composed_gradient(x, d_outputs, epsilon):
    wide, d_wide = tf.cast(x, tf.float32), tf.cast(d_outputs, tf.float32)
    mean, variance = tf.nn.moments(wide, [0, 1, 2])
    inverse = tf.math.rsqrt(variance + epsilon)
    normal = (wide - mean) * inverse
    shared = tf.reduce_mean(d_wide, [0, 1, 2]) + normal * tf.reduce_mean(d_wide * normal, [0, 1, 2])
    return tf.cast(inverse * (d_wide - shared), x.dtype), tf.reduce_sum(d_wide, [0, 1, 2])


def _is_ours(layer: keras.layers.Layer) -> bool:
    """Whether `convolve` or its transpose is what the layer computes, and faster here: not where cuDNN is."""
    fits = layer.kernel_size == (4, 4) and layer.strides == (2, 2) and layer.padding == "same" and not layer.use_bias
    return fits and not has_cudnn()


def _is_wide(height: int, width: int, depth: int, dtype: tf.DType) -> bool:
    """Whether Winograd's algorithm is faster for images of this size and depth, by measurement: docs/performance.md."""
    wide = depth >= 64 and height * depth >= 2048 and height % 4 == width % 4 == 0
    return wide and dtype == tf.float32 and lacks_avx512()


def _is_product(layer: keras.layers.Layer) -> bool:
    """Whether the layer is one matrix product if its input or output has a single pixel."""
    return layer.strides == (1, 1) and layer.padding == "valid" and not layer.use_bias


def has_cudnn() -> bool:
    """Whether convolutions run on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def lacks_avx512() -> bool:
    """Whether the processor has AVX2 at most; not known outside Linux."""
    return "avx2" in features() and "avx512f" not in features()


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
        if self.scale or not training:
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
                moving.assign(moving * self.momentum + found * (1.0 - self.momentum))
        return outputs
