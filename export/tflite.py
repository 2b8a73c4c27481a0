"""The generator as `.tflite` files: converts it once in float32, then makes the smaller files from that one.

Every file holds the signatures of `SIGNATURES`, of batch 1, because XNNPACK runs convolutions of fixed shapes only. The
convolutions have the form of `subpixel`. The runtime packs the weights once for each signature that convolves, used or
not (50 MB in float32 at width 128), so there are two of those and none for batches. `latents` costs nothing; with it a
program can walk from one picture of `sample` to another.

If the generator has classes, `generate` and `sample` take a label too. ONE_HOT makes a vector of it; XNNPACK does not
have this operator. A label outside 0 ... K - 1 gives zeros, and so a picture of no class, which training never saw.
"""

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

from keras_dcgan.networks import count_classes, latent_dim_of, with_labels
from keras_dcgan.tools.terminal import quiet

from . import rng, subpixel
from .sampler import METADATA
from .saved_model import to_uint8_graph

SIGNATURES = {
    "generate": "latents float32 [1, Z] from N(0, 1) -> images float32 [1, S, S, C], -1 black to 1 white",
    "sample": "seed int32 [2] (seed, index) -> picture uint8 [1, S, S, C], 0 black to 255 white",
    "latents": "seed int32 [2] (seed, index) -> latents float32 [1, Z], those that sample draws from",
}
SIGNATURES_WITH_LABEL = {
    **SIGNATURES,
    "generate": "latents float32 [1, Z] from N(0, 1), label int32 [1] in 0 ... K - 1 -> images float32 [1, S, S, C], "
    "-1 black to 1 white",
    "sample": "seed int32 [2] (seed, index), label int32 [1] in 0 ... K - 1 -> picture uint8 [1, S, S, C], "
    "0 black to 255 white",
}
CALIBRATION_SEED, CALIBRATION_SAMPLES = 1, 64
GENERATOR = "generator.*"  # its operators' names; the constants of the random numbers must keep all their bits
SATURATED = 4.0  # tanh(4) is less than a tenth of a grey level from 1


def convert(generator: keras.Model) -> bytes:
    """Converts a float32 generator to a float32 model with `SIGNATURES`, or with `SIGNATURES_WITH_LABEL`."""
    latent_dim = latent_dim_of(generator)
    label = [tf.TensorSpec((1,), tf.int32, "label")] if count_classes(generator) else []
    generator = subpixel.rewritten(generator)

    def draw(seed):
        return rng.draw_latents_graph(seed[0], seed[1:], latent_dim)

    def generate(latents, label=None):
        return {"images": generator(with_labels(latents, label), training=False)}

    def sample(seed, label=None):
        return {"picture": to_uint8_graph(generator(with_labels(draw(seed), label), training=False))}

    latents = [tf.TensorSpec((1, latent_dim), tf.float32, "latents")]
    seed = [tf.TensorSpec((2,), tf.int32, "seed")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("generate", generate, latents + label)
    archive.add_endpoint("sample", sample, seed + label)
    archive.add_endpoint("latents", lambda seed: {"latents": draw(seed)}, seed)
    # From a SavedModel: concrete functions of a Keras model convert without an error to a file that gives NaN.
    with tempfile.TemporaryDirectory() as folder, quiet():
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(SIGNATURES))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def quantize(model: bytes, kind: str, classes: int = 0) -> bytes:
    """Makes the weights of a float32 model from `convert` smaller; input and output types stay.

    Changes only the generator, see `GENERATOR`.

    Args:
      kind: "float16"; "int8", int8 weights and int8 arithmetic, with activations scaled at each call ("dynamic
        range"); "int8-full", activations in int8 too, by ranges measured on latents from N(0, 1).
      classes: how many the model has, 0 if it takes no label.
    """
    recipe, operation, scales = recipe_manager.RecipeManager(), qtyping.TFLOperationName, qtyping.QuantGranularity
    for name, operator, scale in (
        (GENERATOR, operation.FULLY_CONNECTED, scales.CHANNELWISE),
        (GENERATOR, operation.CONV_2D, scales.CHANNELWISE),
        (GENERATOR, operation.CONV_2D_TRANSPOSE, scales.CHANNELWISE),
        # This layer has 16 outputs for each channel; a scale for each output would be 2 to 7 % of the file.
        (f"{GENERATOR}{subpixel.FIRST}.*", operation.FULLY_CONNECTED, scales.TENSORWISE),
    ):
        if kind == "float16":
            casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
            recipe.add_weight_only_config(name, operator, 16, algorithm_key=casting)
        elif kind == "int8":
            recipe.add_dynamic_config(name, operator, 8, scale)
        else:
            recipe.add_static_config(name, operator, 8, 8, scale)
    if kind == "int8-full":  # operators that only move numbers can move integers
        for name in (operation.RESHAPE, operation.TRANSPOSE, operation.PAD, operation.STRIDED_SLICE):
            recipe.add_static_config(GENERATOR, name, activation_num_bits=8, weight_num_bits=8)
    with quiet():
        ranges = measure_ranges(model, recipe, classes) if kind == "int8-full" else None
        maker = quantizer.Quantizer(bytearray(model), recipe.get_quantization_recipe())
        made = maker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def measure_ranges(model: bytes, recipe: Any, classes: int = 0) -> dict[str, Any]:
    """The smallest and largest value of each activation over `CALIBRATION_SAMPLES` latents, for int8-full.

    The classes take turns; if there are more of them than samples, there is a sample of each.

    The quantizer's own calibration averages the extremes of the samples and cuts off what lies beyond. With the true
    extremes the mean error was half as large. The input of tanh may be cut where tanh is flat.
    """
    calibration = calibrator.Calibrator(
        model, num_threads=os.cpu_count() or 1, qsv_update_func=qsv_utils.min_max_update
    )
    runner = Interpreter(model_content=model).get_signature_runner("generate")
    latent_dim = int(runner.get_input_details()["latents"]["shape"][1])
    count = max(CALIBRATION_SAMPLES, classes)
    latents = rng.draw_latents(CALIBRATION_SEED, range(count), latent_dim)
    seeds = [{"seed": np.array([CALIBRATION_SEED, i], np.int32)} for i in range(count)]
    labels = [{"label": np.array([i % classes], np.int32)} if classes else {} for i in range(count)]
    # Both signatures on the same latents: they share biases, and these ranges scale them.
    samples = {
        "generate": [{"latents": row[np.newaxis]} | label for row, label in zip(latents, labels, strict=True)],
        "sample": [seed | label for seed, label in zip(seeds, labels, strict=True)],
        "latents": seeds[:1],
    }
    calibration.calibrate(samples, recipe)
    ranges = calibration.get_model_qsvs()
    for name, extremes in ranges.items():
        if extremes and subpixel.LAST in name:
            extremes["min"] = np.maximum(extremes["min"], np.float32(-SATURATED))
            extremes["max"] = np.minimum(extremes["max"], np.float32(SATURATED))
    return ranges


def write_model(path: Path, model: bytes, metadata: dict[str, Any]) -> None:
    """Writes a model with `metadata.json` in a zip archive behind it, which runtimes ignore.

    `unzip -p FILE metadata.json` shows it. The metadata also hold the model's length and CRC-32, so that a reader
    notices a cut or altered file.
    """
    metadata = {**metadata, "model_bytes": len(model), "model_crc32": zlib.crc32(model)}
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo(METADATA)  # has a fixed date: the same model gives the same bytes
        archive.writestr(entry, json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
