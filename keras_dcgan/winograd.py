"""4x4 convolutions of stride 2 with 9/16 of the multiplications (Winograd 1980, Lavin & Gray 2016).

Cut into blocks of 2x2 pixels, images and kernel make it a 2x2 convolution of stride 1. In one dimension two outputs of
it, y and z, are four products of three blocks, a, b and c, with the two of the kernel, f and g. Three are enough:

  y = a f + b g = p + q     p = (a - b) f
  z = b f + c g = q + r     q = b (f + g)
                            r = (c - b) g

In two dimensions these are 9 matrix products in place of 16. All else is linear, a function here for each step and one
for its transpose, which are the gradients of each other. So gradients of any order are right, and the gradient of the
kernel takes the tiles of the forward pass.
"""

import numpy as np
import tensorflow as tf

SUMS = [[1, 0], [1, 1], [0, 1]]  # f, f + g, g


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The convolution, padding 1: [N, H, W, A], [4, 4, A, B] -> [N, H/2, W/2, B]; 4 divides H and W.

    Examples:
      >>> images, kernel = tf.random.normal((1, 8, 8, 3)), tf.random.normal((4, 4, 3, 5))
      >>> bool(tf.reduce_max(tf.abs(convolve(images, kernel) - tf.nn.conv2d(images, kernel, 2, "SAME"))) < 1e-4)
      True
    """
    return _join(tf.matmul(_to_tiles(images), _sum_blocks(kernel)), images.shape[1] // 2, images.shape[2] // 2)


def convolve_transposed(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The transpose of `convolve`: [N, H, W, B], [4, 4, A, B] -> [N, 2H, 2W, A]; H and W even."""
    tiles = tf.matmul(_split(inputs), _sum_blocks(kernel), transpose_b=True)
    return _from_tiles(tiles, 2 * inputs.shape[1], 2 * inputs.shape[2])


def to_blocks(kernel: tf.Tensor) -> tf.Tensor:
    """The kernel, cut into its four blocks: [4, 4, A, B] -> [16 A, B].

    Examples:
      >>> to_blocks(tf.reshape(tf.range(16), (4, 4, 1, 1)))[:, 0].numpy().tolist()
      [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    """
    depth, filters = kernel.shape[2:]
    blocks = tf.transpose(tf.reshape(kernel, [2, 2, 2, 2, depth, filters]), [0, 2, 1, 3, 4, 5])
    return tf.reshape(blocks, [16 * depth, filters])


@tf.custom_gradient
def _to_tiles(images: tf.Tensor) -> tf.Tensor:
    """What the kernel is multiplied with: [N, H, W, A] -> [9, N H/4 W/4, 4 A]."""
    height, width, depth = images.shape[1:]
    rows, columns = height // 4 + 1, width // 4 + 1  # pairs of blocks
    padded = tf.pad(images, [[0, 0], [1, 3], [1, 3], [0, 0]])
    pairs = tf.transpose(tf.reshape(padded, [-1, rows, 2, 2, columns, 2, 2 * depth]), [5, 2, 0, 1, 4, 3, 6])
    pairs = tf.reshape(pairs, [2, 2, -1, rows, columns, 4 * depth])  # the columns' blocks of a pair, then the rows'
    a, b, c = pairs[0, ..., :-1, :], pairs[1, ..., :-1, :], pairs[0, ..., 1:, :]
    by_columns = tf.stack([a - b, b, c - b], axis=1)  # (2, 3, N, rows, W/4, 4 A)
    a, b, c = by_columns[0, ..., :-1, :, :], by_columns[1, ..., :-1, :, :], by_columns[0, ..., 1:, :, :]
    tiles = tf.reshape(tf.stack([a - b, b, c - b]), [9, -1, 4 * depth])
    return tiles, lambda d_tiles: _from_tiles(d_tiles, height, width)


def _from_tiles(tiles: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The transpose of `_to_tiles`: [9, N H/4 W/4, 4 A] -> [N, H, W, A]."""

    @tf.custom_gradient
    def from_tiles(tiles):
        depth, rows, columns = tiles.shape[-1] // 4, height // 4, width // 4
        a, b, c = tf.unstack(tf.reshape(tiles, [3, 3, -1, rows, columns, 4 * depth]))
        by_columns = tf.stack([_pad(a, -3, 0, 1) + _pad(c, -3, 1, 0), _pad(b - a - c, -3, 0, 1)], axis=1)
        a, b, c = tf.unstack(by_columns)
        pairs = tf.stack([_pad(a, -2, 0, 1) + _pad(c, -2, 1, 0), _pad(b - a - c, -2, 0, 1)])
        pairs = tf.reshape(pairs, [2, 2, -1, rows + 1, columns + 1, 2, 2 * depth])
        padded = tf.reshape(tf.transpose(pairs, [2, 3, 1, 5, 4, 0, 6]), [-1, height + 4, width + 4, depth])
        return padded[:, 1:-3, 1:-3], _to_tiles

    return from_tiles(tiles)


def _join(products: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The outputs of the products: [9, N H/2 W/2, B] -> [N, H, W, B]."""

    @tf.custom_gradient
    def join(products):
        filters = products.shape[-1]
        by_rows = tf.reshape(products, [3, 3, -1, height // 2, width // 2, filters])
        by_rows = by_rows[:-1] + by_rows[1:]  # y and z
        outputs = by_rows[:, :-1] + by_rows[:, 1:]  # (2, 2, N, H/2, W/2, B)
        return tf.reshape(tf.transpose(outputs, [2, 3, 0, 4, 1, 5]), [-1, height, width, filters]), _split

    return join(products)


@tf.custom_gradient
def _split(outputs: tf.Tensor) -> tf.Tensor:
    """The transpose of `_join`: [N, H, W, B] -> [9, N H/2 W/2, B]."""
    height, width, filters = outputs.shape[1:]
    pairs = tf.transpose(tf.reshape(outputs, [-1, height // 2, 2, width // 2, 2, filters]), [2, 4, 0, 1, 3, 5])
    y, z = pairs[:, 0], pairs[:, 1]
    by_columns = tf.stack([y, y + z, z], axis=1)  # (2, 3, N, H/2, W/2, B)
    y, z = tf.unstack(by_columns)
    products = tf.reshape(tf.stack([y, y + z, z]), [9, -1, filters])
    return products, lambda d_products: _join(d_products, height, width)


def _sum_blocks(kernel: tf.Tensor) -> tf.Tensor:
    """The kernel's side of the products: [4, 4, A, B] -> [9, 4 A, B]."""
    depth, filters = kernel.shape[2:]
    sums = tf.constant(np.kron(SUMS, SUMS), kernel.dtype)  # (9, 4)
    return tf.reshape(tf.matmul(sums, tf.reshape(to_blocks(kernel), [4, -1])), [9, 4 * depth, filters])


def _pad(x: tf.Tensor, axis: int, before: int, after: int) -> tf.Tensor:
    paddings = np.zeros((x.shape.rank, 2), int)
    paddings[axis] = before, after
    return tf.pad(x, paddings)
