"""bfloat16 with the rounding of AMX, on any processor, with Winograd's algorithm and without, for `benchmarks.recipe`.

AMX multiplies bfloat16 numbers, adds the products in float32, and rounds the sum.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_dcgan import convolutions


def round_as_amx(winograd: bool) -> None:
    """Has this process compute so; with Winograd's algorithm in each layer of at least 16 channels, or in none."""
    products = (tf, "matmul"), (tf.nn, "conv2d"), (tf.nn, "conv2d_transpose"), (tf.raw_ops, "Conv2DBackpropFilter")
    for module, name in products:
        setattr(module, name, in_float32(getattr(module, name)))
    convolutions.features = lambda: frozenset({"avx512f"})
    convolutions._is_wide = lambda height, width, depth, _: winograd and depth >= 16 and height % 4 == width % 4 == 0


def in_float32(product: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The function, with bfloat16 arguments cast to float32, and its result cast back if there were any.

    Examples:
      >>> x = tf.constant([[1.0, 2**-7]], tf.bfloat16)
      >>> in_float32(tf.matmul)(x, x, transpose_b=True)  # 1 + 2**-14
      <tf.Tensor: shape=(1, 1), dtype=bfloat16, numpy=array([[1]], dtype=bfloat16)>
    """

    def call(*arguments, **options):
        given = [*arguments, *options.values()]
        if not any(_is_bfloat16(each) for each in given):
            return product(*arguments, **options)
        cast = {name: _cast(value) for name, value in options.items()}
        return tf.cast(product(*map(_cast, arguments), **cast), tf.bfloat16)

    return call


def _is_bfloat16(value) -> bool:
    return getattr(value, "dtype", None) == tf.bfloat16


def _cast(value):
    return tf.cast(value, tf.float32) if _is_bfloat16(value) else value
