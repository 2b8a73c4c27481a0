"""The random numbers inside the exported files: threefry2x32-20 and Box-Muller, in numpy and as a TensorFlow graph.

Picture `index` of `seed` has the key (seed, index). Block j of its latents is the generator's output for the counter
(j, 0). A counter-based generator has no state, so any picture can be drawn alone. It consists of additions, rotations
and exclusive ors of 32-bit words, which give the same result on every device.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Words = tuple[np.ndarray, np.ndarray]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
GROUPS = 5  # of four rounds
_UNIT = np.float32(2**-24)


def threefry2x32(key: Words, counter: Words) -> Words:
    """Two uint32 arrays of random words for a key and a counter of two uint32 arrays each; shapes broadcast.

    Examples:
      >>> zero = np.zeros(1, np.uint32)
      >>> [hex(word[0]) for word in threefry2x32((zero, zero), (zero, zero))]  # as in the authors' test vectors
      ['0x6b200159', '0x99ba4efe']
    """
    keys = (*key, np.uint32(PARITY) ^ key[0] ^ key[1])
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^32; numpy warns of it on scalars
        x, y = counter[0] + keys[0], counter[1] + keys[1]
        for group in range(1, GROUPS + 1):
            for bits in ROTATIONS[(group - 1) % 2]:
                x = x + y
                y = (y << np.uint32(bits) | y >> np.uint32(32 - bits)) ^ x
            x, y = x + keys[group % 3], y + keys[(group + 1) % 3] + np.uint32(group)
    return x, y


def draw_latents(seed: int, indices: Sequence[int] | np.ndarray, latent_dim: int) -> np.ndarray:
    """Latents float32 [len(indices), latent_dim] from N(0, 1), from which the exported files draw.

    Args:
      seed, indices: int32 values; negative ones are taken modulo 2^32.
      latent_dim: Z; the first half (rounded up) are the cosines of Box-Muller, the rest the sines.

    Examples:
      >>> draw_latents(7, [0, 1], latent_dim=2).round(2)
      array([[-0.04, -0.44],
             [ 1.38, -2.19]], dtype=float32)
    """
    blocks = -(-latent_dim // 2)
    key = np.full((1, 1), seed, np.int64).astype(np.uint32), np.asarray(indices, np.int64).astype(np.uint32)[:, None]
    counter = np.arange(blocks, dtype=np.uint32), np.zeros(blocks, np.uint32)
    x, y = threefry2x32(key, counter)  # (N, blocks)
    # 24 bits, because float32 holds no more; adding 1 avoids the logarithm of 0.
    radius = np.sqrt(np.float32(-2) * np.log(((x >> np.uint32(8)) + np.uint32(1)).astype(np.float32) * _UNIT))
    angle = (y >> np.uint32(8)).astype(np.float32) * (_UNIT * np.float32(2 * np.pi))
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :latent_dim]


def threefry2x32_graph(key, counter):
    """`threefry2x32` on int32 tensors that hold the same bits, of operators that LiteRT has.

    LiteRT has no left shift and no logical right shift. A product by 2^k replaces the first, and an arithmetic shift
    without the copied sign bits the second.
    """
    import tensorflow as tf

    def rotated(y, bits):
        sign = tf.bitwise.right_shift(y, 31)  # -1 where the top bit is set
        return (y - sign) * _signed(2**bits) + tf.bitwise.right_shift(y, 32 - bits)

    xor = tf.bitwise.bitwise_xor
    keys = (*key, xor(xor(key[0], key[1]), PARITY))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(1, GROUPS + 1):
        for bits in ROTATIONS[(group - 1) % 2]:
            x = x + y
            y = xor(rotated(y, bits), x)
        x, y = x + keys[group % 3], y + (keys[(group + 1) % 3] + group)
    return x, y


def draw_latents_graph(seed: "tf.Tensor", indices: "tf.Tensor", latent_dim: int) -> "tf.Tensor":
    """`draw_latents` as a graph: an int32 scalar and int32 [N] -> float32 [N, latent_dim]."""
    import tensorflow as tf

    blocks = -(-latent_dim // 2)
    counter = tf.range(blocks)[tf.newaxis], tf.zeros((1, blocks), tf.int32)
    x, y = threefry2x32_graph((tf.reshape(seed, (1, 1)), indices[:, tf.newaxis]), counter)  # (N, blocks)

    def top_bits(word):
        shifted = tf.bitwise.right_shift(word, 8)
        return shifted - tf.bitwise.right_shift(word, 31) * 2**24  # adds 2^24 if the shift copied the sign in

    radius = tf.sqrt(-2.0 * tf.math.log(tf.cast(top_bits(x) + 1, tf.float32) * float(_UNIT)))
    angle = tf.cast(top_bits(y), tf.float32) * float(_UNIT * np.float32(2 * np.pi))
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)[:, :latent_dim]


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value
