"""4x4 convolutions of stride 2 on a CPU, by what runs fastest there, and what else the layers compute.

- oneDNN's weight gradient of a deep convolution reaches a fraction of the machine's peak, in bfloat16 from 64 channels
  on, in float32 from 512. As 2x2 convolution of the image cut into 2x2 blocks it is four plain matrix products, which
  come close to it.
- With AVX2 and without AVX512, as most laptops, that gradient is faster as a convolution whose channels are the batch.
- There, and in bfloat16 where AMX is, wide layers are faster by Winograd's algorithm: `winograd.py`.
- A convolution whose kernel covers the whole image is one matrix product.

Gradients of gradients, which R1 takes, work through all of them.
"""

import numpy as np
import tensorflow as tf

from keras_dcgan import winograd
from keras_dcgan.tools.processor import features
from keras_dcgan.winograd import to_blocks

STRIDE = 2
SHIFTED = [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]  # [a, b, c] -> [a, a + b, b + c, c]


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
        outputs = tf.matmul(_rows(blocks), _rows(to_blocks(kernel)))
        return tf.reshape(outputs, [-1, height // 2, images.shape[2] // 2, kernel.shape[3]]), gradient
    return tf.nn.conv2d(images, kernel, STRIDE, "SAME"), gradient


@tf.custom_gradient
def _convolve_transposed(inputs, kernel):
    def gradient(d_outputs):
        return convolve(d_outputs, kernel), kernel_gradient(d_outputs, inputs)

    height, width = inputs.shape[1:3]
    depth, filters = kernel.shape[2:]
    if depth <= 3:  # an image: a 2x2 convolution to its 2x2 blocks
        blocks = tf.reshape(to_blocks(kernel), [2, 2, 4 * depth, filters])
        blocks = tf.transpose(tf.reverse(blocks, [0, 1]), [0, 1, 3, 2])
        padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        images = tf.nn.depth_to_space(tf.nn.conv2d(padded, blocks, 1, "VALID"), 2)
        return images[:, 1:-1, 1:-1], gradient
    shape = [inputs.shape[0] or tf.shape(inputs)[0], STRIDE * height, STRIDE * width, depth]
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


def _rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, x.shape[-1]])


def _is_wide(height: int, width: int, depth: int, dtype: tf.DType) -> bool:
    """Whether Winograd's algorithm is faster for images of this size and depth, by measurement: docs/performance.md."""
    if height % 4 or width % 4:
        return False
    if dtype == tf.bfloat16:
        return depth >= 128 and height * depth >= 4096 and "amx_bf16" in features()
    return depth >= 64 and height * depth >= 2048 and dtype == tf.float32 and lacks_avx512()


def lacks_avx512() -> bool:
    """Whether the processor has AVX2 at most; not known outside Linux."""
    return "avx2" in features() and "avx512f" not in features()
