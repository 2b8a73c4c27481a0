"""bfloat16 with the rounding of AMX, on any processor, with Winograd's algorithm and without, for `benchmarks.recipe`.

AMX multiplies bfloat16 numbers, adds the products in float32, and rounds the sum.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_dcgan import convolutions

PRODUCTS = (tf, "matmul"), (tf.nn, "conv2d"), (tf.nn, "conv2d_transpose"), (tf.raw_ops, "Conv2DBackpropFilter")


def round_as_amx(winograd: bool) -> None:
    """From now on this process rounds so, with Winograd's algorithm in layers of at least 16 channels, or in none."""

    def is_wide(height: int, width: int, depth: int, dtype: tf.DType) -> bool:
        return winograd and dtype == tf.bfloat16 and depth >= 16 and height % 4 == width % 4 == 0

    for module, name in PRODUCTS:
        setattr(module, name, in_float32(getattr(module, name)))
    convolutions.lacks_avx512, convolutions._is_wide = lambda: False, is_wide


def in_float32(product: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The function, with bfloat16 arguments cast to float32, and its result cast back if there were any."""

    def call(*arguments, **options):
        given = arguments, options
        if not any(map(_is_bfloat16, tf.nest.flatten(given))):
            return product(*arguments, **options)
        arguments, options = tf.nest.map_structure(_cast, given)
        return tf.cast(product(*arguments, **options), tf.bfloat16)

    return call


def _is_bfloat16(value) -> bool:
    return getattr(value, "dtype", None) == tf.bfloat16


def _cast(value):
    return tf.cast(value, tf.float32) if _is_bfloat16(value) else value
