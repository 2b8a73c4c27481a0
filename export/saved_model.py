"""The generator as a SavedModel: latents to images, and a seed to finished pictures, for any batch size."""

from pathlib import Path

import keras
import tensorflow as tf

from keras_dcgan.networks import count_classes, latent_dim_of, with_labels
from keras_dcgan.tools.terminal import quiet

from . import rng


def write_saved_model(generator: keras.Model, folder: Path) -> None:
    """Writes a SavedModel that `tf.saved_model.load` reads without Keras.

    Signatures:
      serving_default: latents float32 [N, Z] -> images float32 [N, S, S, C] in [-1, 1].
      sample: seed int32 [], count int32 [] -> pictures uint8 [count, S, S, C]; number i is the picture that the
        `.tflite` files draw for [seed, i].

    With classes both take labels too: int32 [N], and int32 [count], or [1] for the same label in all pictures.
    """
    latent_dim = latent_dim_of(generator)
    labels = [tf.TensorSpec((None,), tf.int32, "labels")] if count_classes(generator) else []

    def generate(latents, labels=None):
        return {"images": generator(with_labels(latents, labels), training=False)}

    def sample(seed, count, labels=None):
        latents = rng.draw_latents_graph(seed, tf.range(count), latent_dim)
        labels = None if labels is None else tf.broadcast_to(labels, [count])
        return {"pictures": to_uint8_graph(generator(with_labels(latents, labels), training=False))}

    archive = keras.export.ExportArchive()  # without track(), which would store each weight a second time
    latents = [tf.TensorSpec((None, latent_dim), tf.float32, "latents")]
    archive.add_endpoint("serving_default", generate, latents + labels)
    numbers = [tf.TensorSpec((), tf.int32, name) for name in ("seed", "count")]
    archive.add_endpoint("sample", sample, numbers + labels)
    with quiet():
        archive.write_out(str(folder), verbose=False)


def to_uint8_graph(images: tf.Tensor) -> tf.Tensor:
    """`keras_dcgan.pipeline.to_uint8` as a graph: float32 in [-1, 1] -> uint8, rounded and clipped."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)
