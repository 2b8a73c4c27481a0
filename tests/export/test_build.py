"""The export as a function: the files draw what Keras draws, and the record says where they come from."""

import dataclasses
import json
import os

import cv2
import keras
import numpy as np
import pytest

from export import build, folder, pictures, rng, verify
from keras_dcgan import cli, generators
from keras_dcgan.pipeline import to_uint8
from keras_dcgan.tools.files import BadFile, sha256
from tests.export.helpers import CONFIG, LATENT_DIM, runner


def test_the_images_are_those_of_keras(exported, run_dir):
    generator = generators.load_generator(run_dir / "generator.keras")
    latents = rng.draw_latents(5, range(8), LATENT_DIM)
    expected = generator.predict(latents, verbose=0)
    assert expected.min() < -0.9 and expected.max() > 0.9  # or the comparison would show little
    limits = {"generator.tflite": 1e-5, "generator-float16.tflite": 5e-3, "generator-int8.tflite": 0.3}
    for name, limit in limits.items():
        generate = runner(exported / name, "generate")
        drawn = np.concatenate([generate(latents=row[np.newaxis])["images"] for row in latents])
        assert drawn.dtype == np.float32
        np.testing.assert_allclose(drawn, expected, atol=limit)


def test_a_seed_gives_the_same_picture_in_numpy_in_the_files_and_in_the_saved_model(exported, run_dir):
    import tensorflow as tf

    generator = generators.load_generator(run_dir / "generator.keras")
    wanted = to_uint8(generator.predict(rng.draw_latents(9, range(5), LATENT_DIM), verbose=0)).astype(int)
    sample = runner(exported / "generator.tflite", "sample")
    drawn = np.concatenate([sample(seed=np.array([9, i], np.int32))["picture"] for i in range(5)])
    assert drawn.dtype == np.uint8 and drawn.shape == (5, 16, 16, 1)
    assert np.abs(drawn - wanted).max() <= 1
    saved = tf.saved_model.load(str(exported / "saved_model")).signatures["sample"]
    together = saved(seed=tf.constant(9), count=tf.constant(5))["pictures"].numpy()
    assert np.abs(together - wanted).max() <= 1
    assert np.abs(wanted[0] - wanted[1]).max() > 50
    draw = runner(exported / "generator-int8.tflite", "latents")  # the quantizer leaves its constants alone
    drawn = draw(seed=np.array([9, 2], np.int32))["latents"]
    np.testing.assert_allclose(drawn, rng.draw_latents(9, [2], LATENT_DIM), atol=2e-6)


def test_the_record_holds_the_measurements_and_the_checksums(exported):
    record = json.loads((exported / "export.json").read_text())
    assert record["sha256"] == folder.checksums(exported)
    rows = {row["kind"]: row for row in record["files"]}
    assert list(rows) == ["saved_model", "float32", "float16", "int8", "int8-full"]
    assert rows["int8"]["ms_1_thread"] > 0 and rows["int8"]["peak_mb"] > 10
    assert rows["float32"]["operators"]["generate"] == {
        "FULLY_CONNECTED": 1, "CONV_2D": 2, "PAD": 2, "RESHAPE": 5, "TRANSPOSE": 2, "STRIDED_SLICE": 2, "TANH": 1,
    }  # fmt: skip
    assert rows["float32"]["xnnpack"] == "15 of 15" and "python" in record["versions"]


def test_a_file_that_fails_is_removed_and_named(run_dir, tmp_path, monkeypatch):
    largest, _, *levels = verify.LIMITS["int8"]
    monkeypatch.setitem(verify.LIMITS, "int8", (largest, 1e-9, *levels))
    wrong = build.export(run_dir / "generator.keras", tmp_path / "out", ["float32", "int8"], samples=0)
    assert len(wrong) == 1 and wrong[0].startswith("generator-int8.tflite was removed: mean difference")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"generator.tflite", "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    assert "int8.tflite" not in (tmp_path / "out" / "README.md").read_text()
    assert [row["kind"] for row in json.loads((tmp_path / "out" / "export.json").read_text())["files"]] == ["float32"]

    before = folder.checksums(tmp_path / "out")
    with pytest.raises(cli.Fault, match="no file passed"):
        build.export(run_dir / "generator.keras", tmp_path / "out", ["int8"], samples=0)
    assert folder.checksums(tmp_path / "out") == before
    assert set(os.listdir(tmp_path)) == {"out", ".out.lock"}


def test_a_generator_without_its_run_as_a_saved_model_alone(run_dir, tmp_path):
    alone = tmp_path / "alone.keras"
    alone.write_bytes((run_dir / "generator.keras").read_bytes())
    assert build.export(alone, tmp_path / "out", ["saved_model"], samples=2000) == []
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"saved_model", "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "Recipe: not known" in card and "Data: not known" in card and "Not measured" in card and "```kotlin" not in card
    )


def test_figures_of_another_generator_or_data_set_are_not_quoted(run_dir, tmp_path):
    last, best = tmp_path / "generator.keras", tmp_path / "generator-best.keras"
    last.write_bytes((run_dir / "generator.keras").read_bytes())
    generator = build.load(last)
    generator.save(best)  # not the same bytes
    metrics = {"dataset": "mnist", "generator_sha256": sha256(last), "frechet_distance": 12.25}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert build.describe(last, generator, CONFIG)["metrics"]["frechet_distance"] == 12.25
    assert build.describe(best, generator, CONFIG)["metrics"] is None
    fashion = dataclasses.replace(CONFIG, dataset="fashion_mnist")
    assert build.describe(last, generator, fashion)["metrics"] is None
    for older in ({"frechet_distance": 1.0}, []):
        (tmp_path / "metrics.json").write_text(json.dumps(older))
        assert build.describe(last, generator, CONFIG)["metrics"] is None


@pytest.mark.parametrize("content", [b"{'a': 1}", b"\xff", b"[" * 100_000, b""])
def test_damaged_metrics_are_named(tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(BadFile, match=r"metrics\.json: damaged"):
        build.read_metrics(tmp_path / "metrics.json", "", None)


def test_the_record_holds_no_path_of_this_machine(run_dir, tmp_path):
    generator = tmp_path / "generator.keras"
    generator.write_bytes((run_dir / "generator.keras").read_bytes())
    config = dataclasses.replace(
        CONFIG, dataset="/home/anna/Holiday 7/", data_dir="/home/anna/data", cache_dir="/home/anna/cache"
    )
    metrics = {"dataset": config.dataset, "generator": str(generator), "generator_sha256": sha256(generator)}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    record = build.describe(generator, build.load(generator), config)
    assert record["model"]["trained_on"] == record["config"]["dataset"] == "pictures in Holiday 7"
    assert record["metrics"] == {"generator_sha256": sha256(generator)}
    assert "/home/anna" not in json.dumps(record) and str(tmp_path) not in json.dumps(record)
    assert record["config"]["width"] == 4


def test_the_contact_sheet_shows_keras_and_every_file(exported):
    sheet = cv2.imread(str(exported / "contact_sheet.png"))
    assert sheet.shape == (6 * (16 + 2), pictures.LABEL_WIDTH + 12 * 16, 3)
    first, second = sheet[:16, pictures.LABEL_WIDTH :].astype(int), sheet[36:52, pictures.LABEL_WIDTH :]
    assert np.abs(first - second).max() <= 1 and first.std() > 20


def test_the_frechet_distances_show_what_quantising_costs(exported, run_dir, mnist, monkeypatch):
    generator, logged = build.load(run_dir / "generator.keras"), []
    files = {"float32": exported / "generator.tflite", "int8": exported / "generator-int8.tflite"}
    found = pictures.frechet_distances(CONFIG, generator, files, 200)
    assert list(found) == ["features", "samples", "real", "keras", "float32", "int8"]
    assert found["features"] == "mnist-classifier" and found["samples"] == 200
    assert 0 < found["real"] < found["keras"] / 3  # noise is not digits
    assert abs(found["float32"] / found["keras"] - 1) < 0.01 and abs(found["int8"] / found["keras"] - 1) < 0.1
    monkeypatch.setattr(pictures, "load_images", lambda *_: mnist[:301])
    assert pictures.frechet_distances(CONFIG, generator, files, 200)["samples"] == 150  # as many as the reals
    monkeypatch.setattr(pictures.logging, "info", lambda text, *values: logged.append(text % values))
    photos = dataclasses.replace(CONFIG, dataset="/some/photos")
    assert pictures.frechet_distances(photos, generator, files, 200) is None
    assert "/some/photos has no classifier" in logged[-1]


def test_a_generator_of_mixed_precision_is_loaded_as_float32(tmp_path):
    from keras_dcgan.networks import build_generator
    from tests.export.helpers import lively

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = lively(build_generator(4, 16, 3, LATENT_DIM))
        mixed.save(tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    plain = build_generator(4, 16, 3, LATENT_DIM)
    plain.set_weights(mixed.get_weights())
    latents = rng.draw_latents(0, range(4), LATENT_DIM)
    expected = plain.predict(latents, verbose=0)
    assert np.abs(mixed.predict(latents, verbose=0) - expected).max() > 1e-4  # bfloat16 was in use
    loaded = build.load(tmp_path / "mixed.keras")
    np.testing.assert_allclose(loaded.predict(latents, verbose=0), expected, atol=1e-5)
    assert "bfloat16" not in loaded.to_json()
