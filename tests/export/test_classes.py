"""A generator with classes through the whole export: parity over all classes, format numbers, the sampler, the card."""

import json
import shutil

import cv2
import keras
import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from keras import layers

from export import build, card, folder, pictures, rng, sampler, subpixel, tflite, verify
from export.sampler import Sampler
from keras_dcgan import generators
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.networks import build_generator, with_labels
from keras_dcgan.pipeline import to_uint8
from keras_dcgan.tools.terminal import quiet
from tests.export.helpers import CLASSES, LATENT_DIM, SIZE, TFLITE, keras_images, lively, runner, with_metadata

K = len(CLASSES)


@pytest.mark.parametrize("kind, limit", [("float32", 1e-5), ("float16", 5e-3), ("int8", 0.3), ("int8-full", 0.5)])
def test_each_class_is_that_of_keras(exported_with_classes, run_with_classes, kind, limit):
    latents, labels = rng.draw_latents(5, range(9), LATENT_DIM), [0, 1, 2] * 3
    expected = keras_images(run_with_classes, latents, labels)
    generate = runner(exported_with_classes / TFLITE[kind], "generate")
    drawn = [generate(latents=latents[i : i + 1], label=np.array([labels[i]], np.int32))["images"] for i in range(9)]
    np.testing.assert_allclose(np.concatenate(drawn), expected, atol=limit)
    same_latents = keras_images(run_with_classes, np.repeat(latents[:1], K, axis=0), range(K))
    assert np.abs(same_latents[0] - same_latents[1]).max() > 0.5  # the label matters


def test_the_saved_model_takes_a_label_for_each_picture_or_one_for_all(exported_with_classes, run_with_classes):
    import tensorflow as tf

    saved = tf.saved_model.load(str(exported_with_classes / "saved_model")).signatures
    latents, labels = rng.draw_latents(9, range(4), LATENT_DIM), [2, 0, 1, 1]
    images = saved["serving_default"](latents=tf.constant(latents), labels=tf.constant(labels))["images"]
    np.testing.assert_allclose(images, keras_images(run_with_classes, latents, labels), atol=1e-5)
    for given in (labels, [2]):
        drawn = saved["sample"](seed=tf.constant(9), count=tf.constant(4), labels=tf.constant(given))[
            "pictures"
        ].numpy()
        wanted = to_uint8(keras_images(run_with_classes, latents, given if len(given) == 4 else given * 4))
        assert np.abs(drawn.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("name", TFLITE.values())
def test_the_runtime_behind_kotlin_and_swift_takes_the_label_second(exported_with_classes, name):
    with quiet():
        model = CompiledModel.from_file(str(exported_with_classes / name))
        assert [model.get_signature_index(key) for key in ("generate", "latents", "sample")] == [0, 1, 2]
        inputs, outputs = model.create_input_buffers(2), model.create_output_buffers(2)
        inputs[0].write(np.array([7, 3], np.int32))
        inputs[1].write(np.array([2], np.int32))
        model.run_by_index(2, inputs, outputs)
        drawn = outputs[0].read(SIZE * SIZE, np.uint8)
    np.testing.assert_array_equal(drawn, Sampler(exported_with_classes / name).draw(7, 3, 2).ravel())


def test_a_label_outside_the_classes_gives_the_picture_of_no_class(exported_with_classes, run_with_classes):
    latents = rng.draw_latents(0, [0], LATENT_DIM)
    generate = runner(exported_with_classes / TFLITE["float32"], "generate")
    outside = [generate(latents=latents, label=np.array([label], np.int32))["images"] for label in (-1, K, 2**31 - 1)]
    rewritten = subpixel.rewritten(build.load(run_with_classes / "generator.keras"))
    nothing = rewritten.predict(with_labels(latents, np.array([K], np.int32)), verbose=0)
    for images in outside:
        np.testing.assert_allclose(images, nothing, atol=1e-5)


def test_only_the_operator_of_the_label_runs_outside_xnnpack(exported_with_classes):
    rows = json.loads((exported_with_classes / "export.json").read_text())["files"]
    for row in [row for row in rows if row["kind"] in TFLITE]:
        operators, delegated = row["operators"], row["delegated"]
        assert (
            operators["generate"] == {**delegated["generate"], "ONE_HOT": 1} and "ONE_HOT" not in delegated["generate"]
        )
        assert operators["generate"]["CONCATENATION"] == 1 and delegated["sample"]["CONV_2D"] == 2
        assert "ONE_HOT" not in operators["latents"]
        left_out = {**row, "delegated": {**delegated, "generate": {**delegated["generate"], "CONCATENATION": 0}}}
        assert verify.problems(left_out, verify.LIMITS[row["kind"]]) == ["XNNPACK does not run all of generate"]


def test_the_format_number_and_the_classes_are_in_every_file_and_in_the_record(exported_with_classes, exported):
    for kind, name in TFLITE.items():
        metadata = sampler.read_metadata(exported_with_classes / name)
        assert metadata["format"] == 2 and Classes.from_json(metadata["classes"]) == CLASSES
        assert "label int32 [1]" in metadata["signatures"]["sample"] and metadata["weights"] == kind
        without = sampler.read_metadata(exported / name)
        assert without["format"] == 1 and "classes" not in without and "label" not in without["signatures"]["sample"]
    record = json.loads((exported_with_classes / "export.json").read_text())
    assert record["format"] == 2 and record["model"]["classes"] == CLASSES.to_json()
    assert json.loads((exported / "export.json").read_text())["format"] == 1


@pytest.mark.parametrize("classes, count, most", [(3, 16, 6), (20, 20, 1), (64, 64, 1), (1000, 64, 1)])
def test_the_reference_covers_the_classes(classes, count, most):
    reference = build.draw_reference(build_generator(1, 16, 1, 5, classes=classes))
    labels = reference["labels"]
    assert labels.dtype == np.int32 and len(labels) == len(reference["images"]) == count
    assert np.bincount(labels).max() == most and len(set(labels)) == min(classes, count)
    assert labels.min() == 0 and labels.max() >= classes * 0.98 - 1


def test_parity_is_checked_over_all_classes(exported_with_classes, run_with_classes):
    with np.load(exported_with_classes / verify.PARITY) as parity:
        assert set(parity["labels"]) == set(range(K))
        expected = keras_images(run_with_classes, parity["latents"], parity["labels"])
        np.testing.assert_allclose(parity["images"], expected, atol=1e-5)


def test_a_file_that_draws_one_class_wrongly_fails(exported_with_classes, tmp_path):
    copy = shutil.copytree(exported_with_classes, tmp_path / "exported")
    with np.load(copy / verify.PARITY) as parity:
        other = dict(parity)
    other["labels"] = np.where(other["labels"] == 2, 1, other["labels"]).astype(np.int32)
    np.savez_compressed(copy / verify.PARITY, **other)
    rows, _ = verify.check_files(copy, ["float32", verify.SAVED_MODEL])
    assert ["max difference" in row["problems"][0] for row in rows] == [True, True]


def test_the_contact_sheet_names_the_class_of_each_column(exported_with_classes):
    sheet = cv2.imread(str(exported_with_classes / "contact_sheet.png"))
    assert sheet.shape == (pictures.HEADER_HEIGHT + 7 * (SIZE + 2), pictures.LABEL_WIDTH + 12 * SIZE, 3)
    columns = [sheet[: pictures.HEADER_HEIGHT, pictures.LABEL_WIDTH + SIZE * i :][:, :SIZE] for i in range(12)]
    assert all(column.min() < 128 for column in columns)
    np.testing.assert_array_equal(columns[0], columns[3])  # a, b, c, a
    assert (columns[0] != columns[1]).any()


@pytest.mark.parametrize("name", ["WWWWWWWWWW", "\u732b\u732b\u732b\u732b"])
def test_a_long_name_stays_in_its_column(name):
    header = pictures._header(["", name, ""], 64, pictures.LABEL_WIDTH + 3 * 64)
    inked = np.flatnonzero(header.min(axis=(0, 2)) < 255) - pictures.LABEL_WIDTH
    assert inked.min() >= 64 and inked.max() < 2 * 64


def test_the_card_lists_the_classes_and_complete_calls(exported_with_classes):
    text = (exported_with_classes / "README.md").read_text()
    for part in ("| 0 | a | 5 |", "| 2 | c | 2 |", "label=np.array([2], np.int32)", "writeInt(intArrayOf(2))",
                 "write([Int32(2)])", "label: new Tensor(new Int32Array([2]), [1])", "labels=tf.constant([0, 2])",
                 "16 of 17", "XNNPACK lacks `ONE_HOT`"):  # fmt: skip
        assert part in text
    assert "{" not in text.split("## Files")[0]
    for name, digest in folder.checksums(exported_with_classes).items():
        assert name == "README.md" or f"{digest}  {name}" in text


def test_the_calls_of_the_card_run(exported_with_classes, monkeypatch):
    monkeypatch.chdir(exported_with_classes)
    text = (exported_with_classes / "README.md").read_text()
    python, saved_model, in_onnx = (part.split("```")[0] for part in text.split("```python\n")[1:])
    found: dict = {}
    exec(python, found)
    np.testing.assert_array_equal(found["picture"], Sampler("generator-int8.tflite").draw(7, 0, 2))
    exec(saved_model, found)
    pictures = found["pictures"].numpy()
    assert pictures.shape == (2, SIZE, SIZE, 1) and pictures[0].std() > 20
    exec(in_onnx, found)
    assert np.abs(found["pictures"].astype(int) - pictures).max() <= 1


def test_an_odd_name_does_not_break_the_table_of_the_card():
    rows = card._classes({"names": ["a|b", "<b>x</b>\ny"], "counts": [1, 2]})
    assert rows[-3:-1] == ["| 0 | a\\|b | 1 |", "| 1 | \\<b\\>x\\</b\\> y | 2 |"]


def test_a_generator_of_many_odd_names_is_read_back(tmp_path, exported_with_classes):
    names = [f"{i} {'ü' * 200}" for i in range(1000)]
    file = with_metadata(exported_with_classes, tmp_path, classes={"names": names, "counts": [1] * 1000})
    assert sampler.read_metadata(file)["classes"]["names"] == names


def test_classes_that_the_file_does_not_name_are_numbered(run_with_classes, tmp_path):
    generators.load_generator(run_with_classes / "generator.keras").save(tmp_path / "generator.keras")
    assert build.export(tmp_path / "generator.keras", tmp_path / "out", ["float32"], samples=0) == []
    assert Sampler(tmp_path / "out" / "generator.tflite").names == ["0", "1", "2"]


def test_labels_of_the_frechet_distances_have_the_datas_mix(
    exported_with_classes, run_with_classes, mnist, monkeypatch
):
    drawn = []
    monkeypatch.setattr(pictures, "draw_images", lambda generator, inputs: draw(generator, inputs, drawn))

    def draw(generator, inputs, seen):
        seen.extend(inputs["labels"])
        return generators.draw_images(generator, inputs)

    config = TrainConfig(width=4, image_size=SIZE, channels=1, latent_dim=LATENT_DIM)
    files = {"float32": exported_with_classes / TFLITE["float32"]}
    generator = build.load(run_with_classes / "generator.keras")
    found = pictures.frechet_distances(config, generator, files, 200, CLASSES)
    assert abs(found["float32"] / found["keras"] - 1) < 0.01  # the same labels, or the pictures would differ
    assert np.abs(np.bincount(drawn) / 200 - np.array(CLASSES.counts) / 8).max() < 0.1


def test_the_ranges_of_int8_full_cover_all_classes(run_with_classes, monkeypatch):
    seen = []

    class Calibrator:
        def __init__(self, *arguments, **options): ...

        def calibrate(self, samples, recipe):
            seen.append(samples)

        def get_model_qsvs(self):
            return {}

    monkeypatch.setattr(tflite.calibrator, "Calibrator", Calibrator)
    model = tflite.convert(build.load(run_with_classes / "generator.keras"))
    tflite.measure_ranges(model, None, classes=K)
    tflite.measure_ranges(model, None, classes=100)
    for samples, classes in zip(seen, (K, 100), strict=True):
        for signature in ("generate", "sample"):
            assert {int(given["label"][0]) for given in samples[signature]} == set(range(classes))
    assert len(seen[0]["sample"]) == 64 and len(seen[1]["sample"]) == 100


def test_a_generator_with_the_label_elsewhere_is_returned_as_it_is():
    def elsewhere(order):
        latents, labels = layers.Input((5,), name="latents"), layers.Input((), dtype="int32", name="labels")
        one_hot = layers.CategoryEncoding(K, output_mode="one_hot", name="one_hot")(labels)
        x = layers.Concatenate(name="latents_and_label")(order(latents, one_hot))
        x = layers.Reshape((1, 1, x.shape[-1]))(x)
        for layer in build_generator(1, 16, 1, 5, classes=K).layers[5:]:
            x = type(layer).from_config(layer.get_config())(x)
        return keras.Model({"latents": latents, "labels": labels}, x)

    ours, first, twice = (
        elsewhere(order) for order in (lambda z, y: [z, y], lambda z, y: [y, z], lambda z, y: [z, y, y])
    )
    assert subpixel.rewritten(ours) is not ours
    assert subpixel.rewritten(first) is first and subpixel.rewritten(twice) is twice


@pytest.mark.parametrize("width, image_size, channels", [(4, 16, 1), (3, 32, 3)])
def test_the_rewritten_generator_is_the_same_function(width, image_size, channels):
    generator = lively(build_generator(width, image_size, channels, 7, classes=K))
    inputs = with_labels(rng.draw_latents(0, range(6), 7), np.array([0, 1, 2] * 2, np.int32))
    rewritten = subpixel.rewritten(generator)
    assert rewritten is not generator
    np.testing.assert_allclose(rewritten.predict(inputs, verbose=0), generator.predict(inputs, verbose=0), atol=2e-5)
