"""Conversion and quantisation: the runtime behind Kotlin and Swift, the metadata, the ranges of int8-full."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, recipe_manager

from export import build, rng, tflite
from keras_dcgan.tools.terminal import quiet
from tests.export.helpers import LATENT_DIM, TFLITE, runner


@pytest.mark.parametrize("name", TFLITE.values())
def test_the_runtime_behind_kotlin_and_swift_draws_the_same(exported, name):
    """By the signature's number, as Swift calls it; docs/mobile.md and the model card name these numbers."""
    with quiet():
        model = CompiledModel.from_file(str(exported / name))
        assert [model.get_signature_index(key) for key in ("generate", "latents", "sample")] == [0, 1, 2]
        inputs, outputs = model.create_input_buffers(2), model.create_output_buffers(2)
        inputs[0].write(np.array([7, 3], np.int32))
        model.run_by_index(2, inputs, outputs)
        drawn = outputs[0].read(16 * 16, np.uint8)
    expected = runner(exported / name, "sample")(seed=np.array([7, 3], np.int32))["picture"].ravel()
    np.testing.assert_array_equal(drawn, expected)


def test_each_file_carries_its_metadata(exported):
    for kind, name in TFLITE.items():
        with zipfile.ZipFile(exported / name) as archive:
            metadata = json.loads(archive.read("metadata.json"))
        assert metadata["name"] == "keras-dcgan-generator" and metadata["weights"] == kind
        assert metadata["latent_dim"] == LATENT_DIM and metadata["image_size"] == 16 and metadata["channels"] == 1
        assert metadata["trained_on"] == "mnist" and list(metadata["signatures"]) == ["generate", "sample", "latents"]


@pytest.mark.parametrize("kind", ["int8", "int8-full"])
def test_the_layer_that_opens_the_latents_has_one_scale_and_each_other_one_for_each_filter(exported, kind):
    scales = {}
    for tensor in Interpreter(str(exported / TFLITE[kind])).get_tensor_details():
        if tensor["dtype"] == np.int8 and len(tensor["shape"]) in (2, 4) and "quantization_parameters" in tensor:
            kept = len(tensor["quantization_parameters"]["scales"])
            scales.setdefault((*map(int, tensor["shape"]),), set()).add(kept)
    depths = [8, 4]  # channels of the generator's layers before the last, which draws one channel
    assert scales[16 * depths[0], LATENT_DIM] == {1}
    assert scales[4 * depths[1], 2, 2, depths[0]] == {4 * depths[1]}
    assert scales[4, 2, 2, depths[1]] == {4}


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors.*")
def test_the_ranges_of_int8_full_reach_the_extremes(run_dir):
    generator = build.load(run_dir / "generator.keras")
    recipe = recipe_manager.RecipeManager()
    for name in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.CONV_2D):
        recipe.add_static_config(".*", name, 8, 8)
    ranges = tflite.measure_ranges(tflite.convert(generator), recipe)
    convolution, normalization = generator.get_layer("g1"), generator.get_layer("gbn1")
    scale = 1 / np.sqrt(normalization.moving_variance.numpy() + normalization.epsilon)
    largest = np.abs(convolution.kernel.numpy()).max(axis=(0, 1, 3)) * scale  # weight of each filter: it becomes 1
    first = keras.Model(generator.input, generator.get_layer("gact1").output / largest)
    latents = rng.draw_latents(tflite.CALIBRATION_SEED, range(tflite.CALIBRATION_SAMPLES), LATENT_DIM)
    highest = float(tf.reduce_max(first(latents)))
    found = [float(extremes["max"].item()) for name, extremes in ranges.items() if extremes and "open1_1/Relu" in name]
    assert len(found) == 2  # of generate and of sample
    np.testing.assert_allclose(found, highest, rtol=1e-5)
    last = [extremes for name, extremes in ranges.items() if extremes and "to_pixels_1/convolution" in name]
    assert len(last) == 2
    for extremes in last:  # cut, because this generator goes far beyond
        assert extremes["min"].item() == -4 and extremes["max"].item() == 4
