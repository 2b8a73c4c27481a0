"""The ONNX files: what they draw, for any number of pictures; their random numbers; their operators and names."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from export import rng, verify
from export.measure import ONNX_GENERATOR, ONNX_LATENTS
from keras_dcgan.pipeline import to_uint8
from tests.export.helpers import LATENT_DIM, SIZE, TFLITE, keras_images, runner


@pytest.fixture(scope="module")
def folder(exported_with_classes):
    return exported_with_classes / verify.FILES[verify.ONNX]


@pytest.mark.parametrize("count", [1, 5])
def test_images_and_pictures_are_those_of_keras(folder, run_with_classes, count):
    latents, labels = rng.draw_latents(5, range(count), LATENT_DIM), np.arange(count, dtype=np.int32) % 3
    expected = keras_images(run_with_classes, latents, labels)
    given = {"latents": latents, "labels": labels}
    images, pictures = InferenceSession(folder / ONNX_GENERATOR).run(["images", "pictures"], given)
    np.testing.assert_allclose(images, expected, atol=1e-5)
    assert images.std() > 0.2 and pictures.dtype == np.uint8
    assert np.abs(pictures.astype(int) - to_uint8(expected)).max() <= 1


def test_a_seed_and_a_label_give_the_picture_of_the_tflite_file(folder, exported_with_classes):
    indices = np.array([0, 3, 2**31 - 1], np.int32)
    given = {"seed": np.array(-7, np.int32), "indices": indices}
    [latents] = InferenceSession(folder / ONNX_LATENTS).run(["latents"], given)
    np.testing.assert_allclose(latents, rng.draw_latents(-7, indices, LATENT_DIM), atol=verify.LATENTS_DIFFERENCE)
    given = {"latents": latents, "labels": np.array([2, 0, 1], np.int32)}
    [pictures] = InferenceSession(folder / ONNX_GENERATOR).run(["pictures"], given)
    sample = runner(exported_with_classes / TFLITE["float32"], "sample")
    for picture, index, label in zip(pictures, indices, given["labels"], strict=True):
        wanted = sample(seed=np.array([-7, index], np.int32), label=np.array([label], np.int32))["picture"][0]
        assert np.abs(picture.astype(int) - wanted).max() <= 1


def test_the_files_hold_standard_operators_a_free_batch_and_their_description(folder):
    for name in (ONNX_GENERATOR, ONNX_LATENTS):
        model = onnx.load(folder / name)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        described = json.loads({entry.key: entry.value for entry in model.metadata_props}["keras_dcgan"])
        assert described["classes"]["names"] == ["a", "b", "c"]
        assert set(described["signatures"]) == {ONNX_GENERATOR, ONNX_LATENTS}
    inputs = {value.name: (value.type, value.shape) for value in InferenceSession(folder / ONNX_GENERATOR).get_inputs()}
    assert inputs == {"latents": ("tensor(float)", ["N", LATENT_DIM]), "labels": ("tensor(int32)", ["N"])}
    outputs = {value.name: value.shape for value in InferenceSession(folder / ONNX_GENERATOR).get_outputs()}
    assert outputs == {name: ["N", SIZE, SIZE, 1] for name in ("images", "pictures")}


def test_files_that_draw_something_else_fail(exported_with_classes, tmp_path):
    copy = shutil.copytree(exported_with_classes, tmp_path / "exported")
    assert verify.check_file(copy, verify.ONNX, tmp_path / "drawn.npy")["problems"] == []
    path = copy / verify.FILES[verify.ONNX] / ONNX_LATENTS
    model = onnx.load(path)
    [word] = [node for node in model.graph.node if node.op_type == "Cos"]
    word.op_type = "Sin"
    onnx.save(model, path)
    problems = "; ".join(verify.check_file(copy, verify.ONNX, tmp_path / "drawn.npy")["problems"])
    assert "latents differ" in problems and "sample max levels" in problems
