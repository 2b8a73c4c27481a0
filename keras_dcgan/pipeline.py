"""The `tf.data` graph between uint8 images and the batches that the networks see, and the way back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from keras_dcgan.datasets.stored import Images

Loader = Callable[[dict[str, tf.Tensor]], Any]  # what `choose_batches` gives -> images, or (images, labels)


def make_dataset(
    images: "np.ndarray | Images",
    batch_size: int = 64,
    image_size: int = 64,
    channels: int = 3,
    shuffle: bool = True,
    seed: int = 0,
    first_step: int | None = None,
    mirror: bool = False,
    shard: tuple[int, int] = (0, 1),
    labels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of training images, whole-batch transformed and prefetched; `tf.data`'s own tuning is off.

    An array stays in memory as uint8; images on disk are read batch by batch, ahead of time. The order within an
    epoch is a permutation of all images, computed from (seed, epoch) alone, so batch number n of a run is always the
    same images, in any process. The last batch of an epoch is filled up with images from the epoch's start: every
    batch has the same shape, and XLA compiles once.

    Args:
      images: uint8 [N, H, W, C], C being 1 or 3.
      batch_size: images per batch, B.
      image_size: height and width S of the result in pixels.
      channels: 1 or 3. Grey images are copied to three; colour images become luma for one.
      shuffle: a new order each epoch; otherwise the order of `images`.
      seed: seed of the order.
      first_step: with None the dataset is one epoch long, and each further pass over it is the next epoch. With a
        number it is endless and starts at that batch of the run, counted from 0.
      mirror: flip each image left to right with probability 1/2, drawn from (seed, step).
      shard: (i, n) gives the i-th of n equal parts of every batch; n readers together have the whole of it.
      labels: int [N], the class of each image.

    Returns:
      A dataset of float32 [B / n, S, S, C'] in [-1, 1], or, with labels, of such images and the labels of the whole
      batch, int32 [B]. Raises ValueError for images of another dtype or shape.

    Examples:
      >>> dataset = make_dataset(np.zeros((10, 28, 28, 1), np.uint8), batch_size=4, image_size=16, channels=3)
      >>> len(dataset), next(iter(dataset)).shape
      (3, TensorShape([4, 16, 16, 3]))
    """
    load = make_loader(images, image_size, channels)
    return load_batches(choose_batches(len(images), batch_size, shuffle, seed, first_step, mirror, shard, labels), load)


def choose_batches(
    count: int,
    batch_size: int = 64,
    shuffle: bool = True,
    seed: int = 0,
    first_step: int | None = None,
    mirror: bool = False,
    shard: tuple[int, int] = (0, 1),
    labels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Which of `count` images are in each batch of `make_dataset`, for a function of `make_loader`.

    Returns:
      A dataset of dictionaries: "indices", int64 [B / n]; with `mirror` "flips", bool [B / n]; with labels "labels",
      int32 [B].
    """
    if labels is not None and labels.shape != (count,):
        raise ValueError(f"labels: shape {list(labels.shape)}; must be [{count}], one for each image")
    batches = -(-count // batch_size)
    part = batch_size // shard[1]
    own = slice(shard[0] * part, (shard[0] + 1) * part)
    with tf.device("CPU"):
        stored_labels = None if labels is None else tf.constant(labels, tf.int32)

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking for it takes time at the start
    def choose(step):
        epoch, batch = step // batches, step % batches
        indices = (batch * batch_size + tf.range(batch_size, dtype=tf.int64)) % count  # (B,)
        if shuffle:
            order = tf.stack([tf.constant(seed, tf.int64), epoch])
            indices = tf.random.experimental.index_shuffle(indices, seed=order, max_index=count - 1)
        chosen = {"indices": indices[own]}
        if mirror:
            draws = tf.random.stateless_uniform((batch_size, 1, 1, 1), tf.stack([tf.constant(seed, tf.int64), step]))
            chosen["flips"] = draws[own, 0, 0, 0] < 0.5
        return chosen if stored_labels is None else chosen | {"labels": tf.gather(stored_labels, indices)}

    steps = _one_epoch_a_pass(batches) if first_step is None else tf.data.Dataset.counter(first_step)
    return without_tuning(steps.map(choose, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


def without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset without TensorFlow's tuning thread; the datasets made from it have none either.

    That thread sleeps for up to a minute. Sometimes the end of an iterator does not wake it, and waits for it. Without
    it a map makes as many batches at once as there are cores, at most 16, and prefetching still tunes itself.

    Examples:
      >>> without_tuning(tf.data.Dataset.range(3)).batch(2).options().autotune.enabled
      False
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_loader(images: "np.ndarray | Images", image_size: int, channels: int, device: str = "CPU") -> Loader:
    """A function of what `choose_batches` gives: images float32 [B / n, S, S, C'], or (images, labels).

    An array is stored on the `device`, for the function to run there. Images on disk are read on the CPU. Raises
    ValueError for images of another dtype or shape than `make_dataset` takes.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"images: {images.dtype} {list(images.shape)}; must be uint8 [N, H, W, C] with 1 or 3 channels and N > 0"
        )
    read, shape = _reader(images, device), images.shape[1:]

    @tf.autograph.experimental.do_not_convert
    def load(chosen):
        indices = chosen["indices"]
        x = transform(tf.ensure_shape(read(indices), (*indices.shape, *shape)), image_size, channels)
        if "flips" in chosen:
            x = tf.where(chosen["flips"][:, None, None, None], tf.reverse(x, [2]), x)
        return (x, chosen["labels"]) if "labels" in chosen else x

    return load


def load_batches(choices: tf.data.Dataset, load: Loader) -> tf.data.Dataset:
    """What `load` makes of the choices, ahead of time."""
    return choices.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _reader(images: "np.ndarray | Images", device: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of indices int64 [n] that gives uint8 [n, H, W, C], from memory or from disk."""
    if not isinstance(images, np.ndarray):
        return lambda indices: tf.numpy_function(images.read, [indices], tf.uint8, stateful=False)
    with tf.device(device):
        stored = tf.constant(images)
    return lambda indices: tf.gather(stored, indices)


def _one_epoch_a_pass(batches: int) -> tf.data.Dataset:
    """Step numbers of one epoch; each further pass over the dataset gives those of the next epoch."""
    with tf.device("CPU"):
        passes = tf.Variable(0, dtype=tf.int64, trainable=False)
    epochs = tf.data.Dataset.from_tensors(0).map(lambda _: passes.assign_add(1) - 1)
    steps = epochs.flat_map(lambda epoch: tf.data.Dataset.range(epoch * batches, (epoch + 1) * batches))
    return steps.apply(tf.data.experimental.assert_cardinality(batches))


def transform(images: tf.Tensor, image_size: int, channels: int) -> tf.Tensor:
    """Resizes, scales and tiles a batch: uint8 [B, H, W, C] in 0 ... 255 -> float32 [B, S, S, C'] in [-1, 1].

    Enlarging is bilinear with half-pixel centres, as `cv2.resize` does on float images; shrinking widens the kernel by
    the same factor, so that fine detail is averaged and not aliased.

    Examples:
      >>> x = transform(np.full((2, 28, 28, 1), 255, np.uint8), image_size=64, channels=3)
      >>> x.shape, x.dtype, float(tf.reduce_max(x))
      (TensorShape([2, 64, 64, 3]), tf.float32, 1.0)
    """
    height, width, depth = images.shape[1:]
    x = tf.cast(images, tf.float32)
    if depth > channels:
        x = tf.image.rgb_to_grayscale(x)
    if (height, width) != (image_size, image_size):
        shrinks = max(height, width) > image_size
        x = tf.image.resize(x, (image_size, image_size), antialias=shrinks)  # (B, S, S, C)
    x = x / 127.5 - 1.0
    return tf.tile(x, [1, 1, 1, 3]) if x.shape[-1] < channels else x


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Undoes the scaling of `transform`: float [...] in [-1, 1] -> uint8 [...] in 0 ... 255, rounded and clipped.

    Raises FloatingPointError if a value is not finite: as uint8 it would be black and look like a result.

    Examples:
      >>> to_uint8(np.array([-1.0, 0.0, 1.0]))
      array([  0, 128, 255], dtype=uint8)
    """
    images = np.asarray(images, np.float32)
    if not np.isfinite(images).all():
        raise FloatingPointError("the generator draws values that are not finite: its training had failed")
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)


def as_generated(images: np.ndarray, image_size: int, channels: int, batch_size: int = 500) -> np.ndarray:
    """Real images as a generator would draw them: uint8 [N, H, W, C] -> uint8 [N, S, S, C'], by `transform`.

    Examples:
      >>> as_generated(np.zeros((2, 28, 28, 1), np.uint8), image_size=16, channels=3).shape
      (2, 16, 16, 3)
    """
    parts = [
        to_uint8(transform(images[i : i + batch_size], image_size, channels).numpy())
        for i in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)
