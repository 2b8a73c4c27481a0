"""The generator as `.tflite` files: converts it once in float32, then makes the smaller ones from that.

Every file holds three signatures of batch 1, because only fixed shapes let XNNPACK take the convolutions:

  generate: latents float32 [1, Z]       -> images float32 [1, S, S, C] in [-1, 1]
  sample:   seed int32 [2] (seed, index) -> picture uint8 [1, S, S, C]
  latents:  seed int32 [2] (seed, index) -> latents float32 [1, Z]

Convolutions are in the form of `export.subpixel`. The runtime keeps one packed copy of the weights per signature that
convolves, used or not (50 MB in float32 at width 128), so there are two of those and no batched ones. `latents` costs
nothing, and with it a program can walk from one picture of `sample` to another.
"""

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import rng, subpixel
from export.saved_model import to_uint8_graph
from keras_dcgan.quiet import quiet

if TYPE_CHECKING:
    import keras

FILES = {
    "float32": "generator.tflite",
    "float16": "generator-float16.tflite",
    "int8": "generator-int8.tflite",
    "int8-full": "generator-int8-full.tflite",
}
SIGNATURES = ["generate", "sample", "latents"]
METADATA = "metadata.json"  # in the zip archive behind the model
CALIBRATION_SEED, CALIBRATION_SAMPLES = 1, 64
GENERATOR = "generator.*"  # scopes of the generator's operators; the random numbers' constants must keep all their bits
SATURATED = 4.0  # tanh(4) is less than a tenth of a grey level from 1


def convert(generator: "keras.Model") -> bytes:
    """Converts a float32 generator, latents [N, Z] -> images [N, S, S, C], to a float32 model with our signatures."""
    import keras
    import tensorflow as tf

    latent_dim = generator.input_shape[-1]
    generator = subpixel.rewritten(generator)

    def draw(seed):
        return rng.draw_latents_graph(seed[0], seed[1:], latent_dim)

    latents = [tf.TensorSpec((1, latent_dim), tf.float32, "latents")]
    seed = [tf.TensorSpec((2,), tf.int32, "seed")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("generate", lambda latents: {"images": generator(latents, training=False)}, latents)
    archive.add_endpoint(
        "sample", lambda seed: {"picture": to_uint8_graph(generator(draw(seed), training=False))}, seed
    )
    archive.add_endpoint("latents", lambda seed: {"latents": draw(seed)}, seed)
    # From a SavedModel: concrete functions of a Keras model convert without an error to a file that gives NaN.
    with tempfile.TemporaryDirectory() as folder, quiet():
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=SIGNATURES)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def quantize(model: bytes, kind: str) -> bytes:
    """Makes the weights of a float32 model from `convert` smaller; input and output types stay.

    Only the generator is touched, see `GENERATOR`.

    Args:
      kind: "float16"; "int8", int8 weights and int8 arithmetic with activations scaled as they come ("dynamic
        range"); "int8-full", activations in int8 too, by ranges measured on latents like the training ones.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe_manager

    recipe, operation = recipe_manager.RecipeManager(), qtyping.TFLOperationName
    for name in (operation.FULLY_CONNECTED, operation.CONV_2D, operation.CONV_2D_TRANSPOSE):
        if kind == "float16":
            casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
            recipe.add_weight_only_config(GENERATOR, name, 16, algorithm_key=casting)
        elif kind == "int8":
            recipe.add_dynamic_config(GENERATOR, name, 8)
        else:
            recipe.add_static_config(GENERATOR, name, activation_num_bits=8, weight_num_bits=8)
    if kind == "int8-full":  # what only moves numbers moves integers
        for name in (operation.RESHAPE, operation.TRANSPOSE, operation.PAD, operation.STRIDED_SLICE):
            recipe.add_static_config(GENERATOR, name, activation_num_bits=8, weight_num_bits=8)
    with quiet():
        ranges = measure_ranges(model, recipe) if kind == "int8-full" else None
        maker = quantizer.Quantizer(bytearray(model), recipe.get_quantization_recipe())
        made = maker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def measure_ranges(model: bytes, recipe: Any) -> dict[str, Any]:
    """The smallest and largest value of each activation over `CALIBRATION_SAMPLES` latents, for int8-full.

    The quantizer's own calibration averages the extremes of the samples, and what lies beyond is cut off; with the
    true extremes the mean error was half as large. What goes into tanh may be cut where tanh is flat.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    calibration = calibrator.Calibrator(
        model, num_threads=os.cpu_count() or 1, qsv_update_func=qsv_utils.min_max_update
    )
    runner = Interpreter(model_content=model).get_signature_runner("generate")
    latent_dim = int(runner.get_input_details()["latents"]["shape"][1])
    latents = rng.draw_latents(CALIBRATION_SEED, range(CALIBRATION_SAMPLES), latent_dim)
    seeds = [{"seed": np.array([CALIBRATION_SEED, i], np.int32)} for i in range(CALIBRATION_SAMPLES)]
    # Both signatures on the same latents: they share biases, which are scaled by these ranges.
    calibration.calibrate(
        {"generate": [{"latents": row[np.newaxis]} for row in latents], "sample": seeds, "latents": seeds[:1]}, recipe
    )
    ranges = calibration.get_model_qsvs()
    for name, extremes in ranges.items():
        if extremes and subpixel.LAST in name:
            extremes["min"] = np.maximum(extremes["min"], np.float32(-SATURATED))
            extremes["max"] = np.minimum(extremes["max"], np.float32(SATURATED))
    return ranges


def write_model(path: Path, model: bytes, metadata: dict[str, Any]) -> None:
    """Writes a model with `metadata.json` in a zip archive behind it, which runtimes do not look at.

    `unzip -p FILE metadata.json` shows it. To the metadata are added the model's length and CRC-32, by which a cut or
    altered file is told.
    """
    metadata = {**metadata, "model_bytes": len(model), "model_crc32": zlib.crc32(model)}
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo(METADATA)  # of a fixed date: the same model gives the same bytes
        archive.writestr(entry, json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
