"""The generator as ONNX: latents to images, and a seed to latents, for any number of pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_dcgan.networks import count_classes, latent_dim_of, with_labels
from keras_dcgan.tools.terminal import quiet

from . import rng
from .measure import ONNX_GENERATOR, ONNX_LATENTS
from .saved_model import to_uint8_graph

OPSET = 18  # the first with an exclusive or of integers


def write_onnx(generator: keras.Model, folder: Path, metadata: dict[str, Any]) -> None:
    """Writes two ONNX files of standard operators to a new folder; N is free.

    generator.onnx: latents float32 [N, Z] -> images float32 [N, S, S, C] in [-1, 1], and pictures uint8, the same in
      0 ... 255. With classes it takes labels int32 [N] too.
    latents.onnx: seed int32 [], indices int32 [N] -> latents float32 [N, Z]; from those of [i] the `.tflite` files draw
      picture [seed, i]. A graph of its own, because an ONNX file has one signature.

    Both hold the metadata as JSON under the key "keras_dcgan".
    """
    latent_dim = latent_dim_of(generator)

    def generate(latents, labels=None):
        images = generator(with_labels(latents, labels), training=False)
        return {"images": images, "pictures": to_uint8_graph(images)}

    def draw_latents(seed, indices):
        return {"latents": rng.draw_latents_graph(seed, indices, latent_dim)}

    latents = tf.TensorSpec((None, latent_dim), tf.float32, "latents")
    labels = [tf.TensorSpec((None,), tf.int32, "labels")] if count_classes(generator) else []
    seed, indices = tf.TensorSpec((), tf.int32, "seed"), tf.TensorSpec((None,), tf.int32, "indices")
    folder.mkdir()
    _write(folder / ONNX_GENERATOR, generate, [latents, *labels], metadata)
    _write(folder / ONNX_LATENTS, draw_latents, [seed, indices], metadata)


def _write(path: Path, function: Callable, inputs: list[tf.TensorSpec], metadata: dict[str, Any]) -> None:
    import onnx  # an extra of its own
    import tf2onnx

    with quiet():
        model, _ = tf2onnx.convert.from_function(tf.function(function), inputs, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            dimension.dim_param = "N"  # in place of a name that means nothing
    onnx.helper.set_model_props(model, {"keras_dcgan": json.dumps(metadata, ensure_ascii=False)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
