"""What the discriminator sees of a picture, changed at random: with few pictures it cannot learn them by heart.

Differentiable augmentation (DiffAugment: Zhao et al. 2020): reals and fakes are changed alike, and the gradient goes
through the change into the generator, which so learns to draw pictures that were never changed.
"""

import tensorflow as tf

DRAWS = 7  # random numbers for each image
LARGEST_SHIFT = 1 / 8  # of the side
HOLE = 1 / 2  # of the side


def augment(images: tf.Tensor, draws: tf.Tensor, policy: str) -> tf.Tensor:
    """Changes every image in its own way: float32 [N, S, S, C] in [-1, 1] -> the same shape, sometimes out of range.

    Args:
      images: float32 [N, S, S, C].
      draws: float32 [N, DRAWS] in [0, 1), the same draws give the same change; see `draw`.
      policy: one of `config.AUGMENTATIONS`, named as in the paper: "color" changes brightness, saturation and contrast,
        "translation" shifts by up to an eighth of the side, "cutout" makes a square of half the side grey.

    Examples:
      >>> images = tf.random.uniform((2, 16, 16, 3), -1, 1)
      >>> bool(tf.reduce_all(augment(images, tf.fill((2, DRAWS), 0.5), "color,translation") == images))  # no change
      True
      >>> augment(images, draw((2, DRAWS), tf.constant([0, 1], tf.int64)), "color,translation,cutout").shape
      TensorShape([2, 16, 16, 3])
    """
    brightness, saturation, contrast, *place = (draws[:, i] for i in range(DRAWS))
    x = images
    if "color" in policy:
        x = change_color(x, brightness - 0.5, 2 * saturation, contrast + 0.5)
    if "translation" in policy:
        reach = int(images.shape[1] * LARGEST_SHIFT + 0.5)
        x = translate(x, *(tf.cast(tf.floor(u * (2 * reach + 1)), tf.int32) - reach for u in place[:2]))
    if "cutout" in policy:
        x = cut_out(x, *place[2:])
    return x


def draw(shape: tuple, seed: tf.Tensor) -> tf.Tensor:
    """Uniform float32 in [0, 1) of a shape, a function of the seed int64 [2] alone.

    Examples:
      >>> draw((3,), tf.constant([0, 1], tf.int64)).numpy().round(3)
      array([0.762, 0.167, 0.268], dtype=float32)
    """
    # Of TensorFlow's random numbers only the integers are the same with and without XLA.
    integers = tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg="philox")
    return tf.cast(tf.bitwise.right_shift(tf.bitcast(integers, tf.uint32), 8), tf.float32) / 2**24


def change_color(images: tf.Tensor, brightness: tf.Tensor, saturation: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    """Adds `brightness`, then scales the distance to each pixel's grey by `saturation`, then to the mean by `contrast`.

    All three are float32 [N].

    Examples:
      >>> images = tf.constant([[[[0.0], [1.0]]]])
      >>> change_color(images, tf.constant([0.5]), tf.constant([1.0]), tf.constant([0.5])).numpy().ravel()
      array([0.75, 1.25], dtype=float32)
    """
    _, height, width, channels = images.shape
    pixels = tf.reshape(images, [-1, height * width, channels])
    # Scaling and mixing the channels is linear: one small matrix for each image.
    own, grey = contrast * saturation, contrast * (1 - saturation)
    mixing = own[:, None, None] * tf.eye(channels) + grey[:, None, None] / channels  # (N, C, C)
    added = (1 - contrast) * tf.reduce_mean(pixels, axis=[1, 2]) + brightness  # the last one does not move the mean
    return tf.reshape(tf.matmul(pixels, mixing) + added[:, None, None], tf.shape(images))


def translate(images: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Shifts each image by whole pixels, int32 [N]; what comes into view repeats the image's border.

    Examples:
      >>> images = tf.reshape(tf.range(9), (1, 3, 3, 1))
      >>> translate(images, down=tf.constant([1]), right=tf.constant([0])).numpy()[0, :, :, 0].tolist()
      [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    """
    across = [0, 2, 1, 3]  # (N, H, W, C) <-> (N, W, H, C)
    columns = tf.transpose(_shift_rows(images, down), across)
    return tf.transpose(_shift_rows(columns, right), across)


def _shift_rows(images: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    height, width, channels = images.shape[1:]
    sources = tf.clip_by_value(tf.range(height) - by[:, None], 0, height - 1)  # (N, H)
    of_batch = height * tf.range(tf.shape(images)[0])[:, None] + sources  # among the rows of all images
    rows = tf.gather(tf.reshape(images, [-1, width * channels]), of_batch)  # whole rows: fast, and so is the gradient
    return tf.reshape(rows, tf.shape(images))


def cut_out(images: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Makes a square of each image grey (0), `HOLE` of the side wide; its centre is at `down` and `right` in [0, 1).

    Examples:
      >>> cut_out(tf.ones((1, 4, 4, 1)), down=tf.constant([0.5]), right=tf.constant([0.0])).numpy()[0, :, :, 0]
      array([[1., 1., 1., 1.],
             [0., 1., 1., 1.],
             [0., 1., 1., 1.],
             [1., 1., 1., 1.]], dtype=float32)
    """
    side = images.shape[1]
    hole = round(side * HOLE)
    pixels = tf.range(side, dtype=tf.float32)

    def outside(centre):
        places = pixels - tf.floor(centre[:, None] * side) + hole // 2  # (N, S), in the square from 0 to hole - 1
        return (places < 0) | (places >= hole)

    keep = outside(down)[:, :, None, None] | outside(right)[:, None, :, None]
    return tf.where(keep, images, 0.0)
