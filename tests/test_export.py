import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from export import build, card, folder, measure, pictures, rng, tflite, verify
from keras_dcgan import images
from keras_dcgan.config import TrainConfig, write_config
from keras_dcgan.networks import build_generator

LATENT_DIM = 10
TFLITE = list(tflite.FILES.values())


def lively(generator: keras.Model, seed: int = 0) -> keras.Model:
    """A generator whose images use the whole range, with statistics in its normalisation that matter."""
    random = np.random.default_rng(seed)
    for variable in generator.variables:
        value = random.standard_normal(variable.shape)
        if "variance" in variable.path:
            value = np.exp(0.3 * value)
        elif "kernel" in variable.path:
            value *= 4 / np.sqrt(np.prod(variable.shape) / variable.shape[-2])
        else:
            value *= 0.2
        variable.assign(value)
    return generator


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    lively(build_generator(4, 16, 1, LATENT_DIM)).save(path / "generator.keras")
    config = TrainConfig(width=4, image_size=16, channels=1, latent_dim=LATENT_DIM)
    write_config(path / "config.json", config, {})
    return path


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    """The folder that the command makes of it, and the finished process."""
    out = tmp_path_factory.mktemp("out") / "exported"
    done = subprocess.run(
        [sys.executable, "-m", "export", f"--run_dir={run_dir}", f"--out={out}", "--samples=0"],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out, done


def copy(exported, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(exported[0], tmp_path / "exported"))


def runner(path: Path, signature: str):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner(signature)


def test_the_command_writes_everything_and_says_so(exported):
    out, done = exported
    names = {path.name for path in out.iterdir()}
    assert names == {*TFLITE, "saved_model", "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    assert not [path for path in out.parent.iterdir() if path != out]  # no lock, no scratch folder
    lines = done.stdout.splitlines()
    for name in [*TFLITE, "saved_model"]:
        assert [line for line in lines if line.startswith(name) and line.endswith("ok")], name
    assert "15 of 15" in done.stdout
    assert "Assets written" not in done.stderr


def test_the_images_are_those_of_keras(exported, run_dir):
    generator = keras.saving.load_model(run_dir / "generator.keras")
    latents = rng.draw_latents(5, range(8), LATENT_DIM)
    expected = generator.predict(latents, verbose=0)
    assert expected.min() < -0.9 and expected.max() > 0.9  # or the comparison would be worth little
    limits = {"generator.tflite": 1e-5, "generator-float16.tflite": 5e-3, "generator-int8.tflite": 0.3}
    for name, limit in limits.items():
        generate = runner(exported[0] / name, "generate")
        drawn = np.concatenate([generate(latents=row[np.newaxis])["images"] for row in latents])
        assert drawn.dtype == np.float32
        np.testing.assert_allclose(drawn, expected, atol=limit)


def test_a_seed_gives_the_same_picture_in_numpy_in_the_files_and_in_the_saved_model(exported, run_dir):
    import tensorflow as tf

    generator = keras.saving.load_model(run_dir / "generator.keras")
    wanted = images.to_uint8(generator.predict(rng.draw_latents(9, range(5), LATENT_DIM), verbose=0)).astype(int)
    sample = runner(exported[0] / "generator.tflite", "sample")
    drawn = np.concatenate([sample(seed=np.array([9, i], np.int32))["picture"] for i in range(5)])
    assert drawn.dtype == np.uint8 and drawn.shape == (5, 16, 16, 1)
    assert np.abs(drawn - wanted).max() <= 1
    saved = tf.saved_model.load(str(exported[0] / "saved_model")).signatures["sample"]
    together = saved(seed=tf.constant(9), count=tf.constant(5))["pictures"].numpy()
    assert np.abs(together - wanted).max() <= 1
    assert np.abs(wanted[0] - wanted[1]).max() > 50
    draw = runner(exported[0] / "generator-int8.tflite", "latents")  # the quantizer has left its constants alone
    drawn = draw(seed=np.array([9, 2], np.int32))["latents"]
    np.testing.assert_allclose(drawn, rng.draw_latents(9, [2], LATENT_DIM), atol=2e-6)


@pytest.mark.parametrize("name", TFLITE)
def test_the_runtime_behind_kotlin_and_swift_draws_the_same(exported, name):
    """By signature number, as Swift calls it; the card and docs/mobile.md tell these numbers."""
    from ai_edge_litert.compiled_model import CompiledModel

    with tflite.quiet():
        model = CompiledModel.from_file(str(exported[0] / name))
        assert [model.get_signature_index(key) for key in ("generate", "latents", "sample")] == [0, 1, 2]
        inputs, outputs = model.create_input_buffers(2), model.create_output_buffers(2)
        inputs[0].write(np.array([7, 3], np.int32))
        model.run_by_index(2, inputs, outputs)
        drawn = outputs[0].read(16 * 16, np.uint8)
    expected = runner(exported[0] / name, "sample")(seed=np.array([7, 3], np.int32))["picture"].ravel()
    np.testing.assert_array_equal(drawn, expected)


def test_each_file_tells_of_itself_without_tensorflow(exported):
    for kind, name in tflite.FILES.items():
        with zipfile.ZipFile(exported[0] / name) as archive:
            metadata = json.loads(archive.read("metadata.json"))
        assert metadata["name"] == "keras-dcgan-generator" and metadata["weights"] == kind
        assert metadata["latent_dim"] == LATENT_DIM and metadata["image_size"] == 16 and metadata["channels"] == 1
        assert metadata["trained_on"] == "mnist"


def test_record_and_card_hold_the_table_and_the_checksums(exported):
    record = json.loads((exported[0] / "export.json").read_text())
    assert record["sha256"] == folder.checksums(exported[0])
    rows = {row["kind"]: row for row in record["files"]}
    assert list(rows) == ["saved_model", "float32", "float16", "int8", "int8-full"]
    assert rows["int8"]["ms_1_thread"] > 0 and rows["int8"]["peak_mb"] > 10
    assert rows["float32"]["operators"]["generate"] == {
        "FULLY_CONNECTED": 1, "CONV_2D": 2, "PAD": 2, "RESHAPE": 5, "TRANSPOSE": 2, "STRIDED_SLICE": 2, "TANH": 1,
    }  # fmt: skip
    card = (exported[0] / "README.md").read_text()
    for name in TFLITE:
        assert f"{record['sha256'][name]}  {name}" in card
    for text in ("CC BY-SA", "```kotlin", "```swift", "```js", "width 4", "generator-int8.tflite"):
        assert text in card
    assert "{" not in card.split("## Files")[0]  # nothing left to fill in


def test_the_contact_sheet_shows_keras_and_every_file(exported):
    sheet = cv2.imread(str(exported[0] / "contact_sheet.png"))
    assert sheet.shape == (6 * (16 + 2), pictures.LABEL_WIDTH + 12 * 16, 3)
    first, second = sheet[:16, pictures.LABEL_WIDTH :].astype(int), sheet[36:52, pictures.LABEL_WIDTH :]
    assert np.abs(first - second).max() <= 1 and first.std() > 20


def test_verify_only_passes_and_then_tells_what_is_wrong(exported, command, tmp_path):
    out = copy(exported, tmp_path)
    done = command("export", "--verify_only", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok") == 5
    assert json.loads((out / "export.json").read_text()) == json.loads((exported[0] / "export.json").read_text())

    (out / "saved_model" / "saved_model.pb").unlink()
    content = bytearray((out / "generator.tflite").read_bytes())
    middle = content.find(b"TFL3") + len(content) // 2
    content[middle : middle + 400] = bytes(400)  # weights
    (out / "generator.tflite").write_bytes(content)
    done = command("export", "--verify_only", f"--out={out}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    message = done.stderr.splitlines()[-1]
    assert "generator.tflite is not the file that was exported" in message
    assert "saved_model/saved_model.pb is missing" in message
    assert "does not run" in message


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "--out=FOLDER"),
        (["--out=x"], "give either --run_dir"),
        (["--out=x", "--run_dir=a", "--generator=b"], "give either --run_dir"),
        (["--out=x", "--run_dir=a", "--formats=int4"], "--formats=int4: must be of saved_model, float32"),
        (["--out=x", "--run_dir=a", "--formats="], "--formats=: must be of saved_model, float32"),
        (["--out=x", "--generator=a", "--which=best"], "--which: goes with --run_dir"),
        (["--out=x", "--generator=a", "--samples=20"], "--samples=20"),
        (["--out=x", "--run_dir=missing"], "generator.keras: no such file"),
        (["--out=tests", "--generator=missing.keras"], "--out=tests: is there already and is no exported folder"),
        (["--out=x", "--verify_only"], "--out=x: holds no export"),
        (["--out=x", "--verify_only", "--run_dir=a"], "--run_dir: does not go with --verify_only"),
        (["--out=x", "--verify_only", "--which=best"], "--which: does not go with --verify_only"),
        (["--out=x", "--verify_only", "--formats=int8"], "--formats: does not go with --verify_only"),
    ],
)
def test_a_mistake_is_told_in_a_line(command, flags, message):
    done = command("export", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_which_generator_of_a_run_is_taken(tmp_path):
    with pytest.raises(ValueError, match=r"generator\.keras: no such file; is it a run folder"):
        build.find_generator(tmp_path, None)
    (tmp_path / "generator.keras").touch()
    assert build.find_generator(tmp_path, None).name == "generator.keras"
    with pytest.raises(ValueError, match=r"generator-best\.keras: no such file; there is --which=last"):
        build.find_generator(tmp_path, "best")
    for name in ("generator-best.keras", "generator-raw.keras"):
        (tmp_path / name).touch()
    assert build.find_generator(tmp_path, None).name == "generator-best.keras"
    assert build.find_generator(tmp_path, "raw").name == "generator-raw.keras"
    assert build.find_generator(tmp_path, "last").name == "generator.keras"


def test_a_file_that_fails_is_left_out_and_told(run_dir, tmp_path, monkeypatch):
    strict = dataclasses.replace(verify.LIMITS["int8"], mean_difference=1e-9)
    monkeypatch.setitem(verify.LIMITS, "int8", strict)
    wrong = build.export(run_dir / "generator.keras", tmp_path / "out", ["float32", "int8"], samples=0)
    assert len(wrong) == 1 and wrong[0].startswith("generator-int8.tflite is left out: mean difference")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"generator.tflite", "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    assert "int8.tflite" not in (tmp_path / "out" / "README.md").read_text()
    assert [row["kind"] for row in json.loads((tmp_path / "out" / "export.json").read_text())["files"]] == ["float32"]

    before = folder.checksums(tmp_path / "out")
    with pytest.raises(build.ExportFailed, match="no file passed"):
        build.export(run_dir / "generator.keras", tmp_path / "out", ["int8"], samples=0)
    assert folder.checksums(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_generator_without_its_run_as_a_saved_model_alone(run_dir, tmp_path):
    lone = tmp_path / "lone.keras"
    lone.write_bytes((run_dir / "generator.keras").read_bytes())
    assert build.export(lone, tmp_path / "out", ["saved_model"], samples=2000) == []
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"saved_model", "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Not known" in card and "Not measured" in card and "```kotlin" not in card


def quality(record) -> str:
    record = {"frechet": None, **record}
    del record["frechet"]
    return "\n".join(card._quality(record))


def test_figures_are_quoted_of_this_very_generator_alone(run_dir, tmp_path):
    config = TrainConfig(width=4, image_size=16, channels=1, latent_dim=LATENT_DIM)
    last, best = tmp_path / "generator.keras", tmp_path / "generator-best.keras"
    last.write_bytes((run_dir / "generator.keras").read_bytes())
    generator = build.load(last)
    generator.save(best)  # not the same bytes
    metrics = {"dataset": "mnist", "generator_sha256": folder.sha256(last), "frechet_distance": 12.25}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert '"frechet_distance": 12.25' in quality(build.describe(last, generator, config))
    measure_it = "Not measured before the export; `python -m keras_dcgan.evaluate --run_dir=RUN_DIR --which="
    assert quality(build.describe(best, generator, config)).startswith(f"{measure_it}best`")
    fashion = dataclasses.replace(config, dataset="fashion_mnist")  # the run's; it was measured against digits
    assert quality(build.describe(last, generator, fashion)).startswith(f"{measure_it}last`")
    for older in ({"frechet_distance": 1.0}, []):
        (tmp_path / "metrics.json").write_text(json.dumps(older))
        assert build.describe(last, generator, config)["metrics"] is None
    assert "--generator=generator.keras --dataset=NAME" in quality(build.describe(last, generator, None))


def test_what_ships_names_a_folder_of_pictures_without_its_path(run_dir, tmp_path):
    generator = tmp_path / "generator.keras"
    generator.write_bytes((run_dir / "generator.keras").read_bytes())
    config = TrainConfig(width=4, image_size=16, channels=1, latent_dim=LATENT_DIM, dataset="/home/anna/Holiday 7")
    metrics = {"dataset": config.dataset, "generator": str(generator), "generator_sha256": folder.sha256(generator)}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    record = build.describe(generator, build.load(generator), config)
    assert record["model"]["trained_on"] == record["config"]["dataset"] == "pictures in Holiday 7"
    assert record["metrics"] == {"generator_sha256": folder.sha256(generator)}
    for told in (json.dumps(record), "\n".join(card._training(record["config"])), quality(record)):
        assert "/home/anna" not in told and str(tmp_path) not in told
    (tmp_path / "metrics.json").unlink()
    unmeasured = build.describe(generator, build.load(generator), config)
    assert str(tmp_path) not in json.dumps(unmeasured) + quality(unmeasured)


@pytest.mark.parametrize("content", [b"{'a': 1}", b"\xff", b"[" * 100_000, b""])
def test_damaged_metrics_are_told_by_their_name(run_dir, tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics\.json: damaged"):
        build.read_metrics(tmp_path / "metrics.json", "", None)


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"kind": "int4"}]}, {"files": [{"kind": []}]}, {"files": [{}]}, {"files": 3}, {"sha256": 3},
        {"sha256": None},
    ],
)  # fmt: skip
def test_a_strange_record_is_no_export(tmp_path, change):
    (tmp_path / "export.json").write_text(json.dumps({"files": [], "sha256": {}, **change}))
    with pytest.raises(ValueError, match="holds no export"):
        build.check_again(tmp_path)


def test_measuring_nothing_is_told_in_a_line(command):
    done = command("export.measure")
    assert done.returncode == 1 and done.stderr.startswith("usage: ") and done.stderr.count("\n") == 1


def test_ctrl_c_in_an_export_leaves_the_one_before(run_dir, tmp_path):
    out = tmp_path / "exported"
    out.mkdir()
    before = dict.fromkeys(("export.json", "generator.tflite"), "the one before")
    for name, text in before.items():
        (out / name).write_text(text)
    flags = [f"--generator={run_dir}/generator.keras", f"--out={out}", "--formats=float32,int8", "--samples=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "export", *flags], cwd=Path(__file__).parent.parent, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob(".exported.export-*/generator.tflite")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error.splitlines()[-1] == "error: interrupted" and "Traceback" not in error
    assert {path.name: path.read_text() for path in out.iterdir()} == before
    assert os.listdir(tmp_path) == ["exported"]


def test_a_generator_of_mixed_precision_becomes_float32(tmp_path):
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

    tflite.write_model(tmp_path / "a.tflite", tflite.convert(build.load(tmp_path / "mixed.keras")), {})
    found, drawn = measure.measure_tflite(tmp_path / "a.tflite", latents, expected)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert verify.problems(found, verify.LIMITS["float32"]) == []
    assert "CAST" not in found["operators"]["generate"]


GOOD = {
    "max_difference": 0.0, "mean_difference": 0.0, "sample_max_levels": 0.0, "sample_mean_levels": 0.0,
    "latents_difference": 0.0,
    "operators": {"generate": {"TANH": 1}, "sample": {"FULLY_CONNECTED": 1, "CONV_2D": 1, "ADD": 5}},
    "delegated": {"generate": {"TANH": 1}, "sample": {"FULLY_CONNECTED": 1, "CONV_2D": 1}},
}  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"max_difference": 2e-5}, "max difference"),
        ({"mean_difference": float("nan")}, "mean difference nan"),
        ({"sample_max_levels": 2.0}, "sample max levels"),
        ({"latents_difference": 1e-3}, "latents differ"),
        ({"operators": {**GOOD["operators"], "generate": {"TANH": 2}}}, "XNNPACK does not take all"),
        ({"delegated": {**GOOD["delegated"], "sample": {}}}, "2 convolutions of sample"),
        ({"operators": {**GOOD["operators"], "sample": {"CONV_2D": 2, "FlexAdd": 1}}}, "operators FlexAdd"),
        ({"operators": {**GOOD["operators"], "sample": {"CONV_2D": 2, "VAR_HANDLE": 1}}}, "VAR_HANDLE"),
    ],
)
def test_each_limit_is_held(change, message):
    assert verify.problems(GOOD, verify.LIMITS["float32"]) == []
    assert message in "; ".join(verify.problems({**GOOD, **change}, verify.LIMITS["float32"]))


@pytest.mark.parametrize("kind, far, near", [("int8", 0.55, 0.2), ("int8-full", 0.85, 0.41)])
def test_a_pixel_that_quantising_does_not_explain_fails(kind, far, near):
    assert verify.problems({**GOOD, "max_difference": near}, verify.LIMITS[kind]) == []
    assert "max difference" in verify.problems({**GOOD, "max_difference": far}, verify.LIMITS[kind])[0]


def test_what_xnnpack_does_not_take_is_seen(exported, tmp_path):
    content = (exported[0] / "generator.tflite").read_bytes()
    subgraphs = measure.signature_subgraphs(content)
    assert sorted(subgraphs) == ["generate", "latents", "sample"]
    operators, delegated = measure.look_inside(measure.with_first_subgraph(content, subgraphs["sample"]))
    assert "BITWISE_XOR" in operators and "BITWISE_XOR" not in delegated  # XNNPACK has no integer logic
    assert delegated.count("CONV_2D") == operators.count("CONV_2D") == 2
    assert delegated.count("FULLY_CONNECTED") == operators.count("FULLY_CONNECTED") == 1
    operators, delegated = measure.look_inside(measure.with_first_subgraph(content, subgraphs["latents"]))
    assert "CONV_2D" not in operators and "BITWISE_XOR" in operators


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors.*")
def test_the_ranges_of_int8_full_reach_the_extremes(run_dir):
    import tensorflow as tf

    generator = build.load(run_dir / "generator.keras")
    from ai_edge_quantizer import qtyping, recipe_manager

    recipe = recipe_manager.RecipeManager()
    for name in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.CONV_2D):
        recipe.add_static_config(".*", name, 8, 8)
    ranges = tflite.measure_ranges(tflite.convert(generator), recipe)
    first = keras.Model(generator.input, generator.get_layer("gact1").output)
    latents = rng.draw_latents(tflite.CALIBRATION_SEED, range(tflite.CALIBRATION_SAMPLES), LATENT_DIM)
    highest = float(tf.reduce_max(first(latents)))
    found = [float(extremes["max"].item()) for name, extremes in ranges.items() if extremes and "open1_1/Relu" in name]
    assert len(found) == 2  # of generate and of sample
    np.testing.assert_allclose(found, highest, rtol=1e-5)
    last = [extremes for name, extremes in ranges.items() if extremes and "to_pixels_1/convolution" in name]
    assert len(last) == 2
    for extremes in last:  # cut, because this generator goes far beyond
        assert extremes["min"].item() == -4 and extremes["max"].item() == 4


def test_the_cost_of_quantising_in_frechet_distance(exported, run_dir, mnist):
    config = TrainConfig(width=4, image_size=16, channels=1, latent_dim=LATENT_DIM)
    generator, told = build.load(run_dir / "generator.keras"), []
    files = {"float32": exported[0] / "generator.tflite", "int8": exported[0] / "generator-int8.tflite"}
    name, found = pictures.frechet_distances(config, generator, files, 200, told.append)
    assert name == "mnist-classifier" and list(found) == ["real", "keras", "float32", "int8"]
    assert 0 < found["real"] < found["keras"] / 3  # noise is not digits
    assert abs(found["float32"] / found["keras"] - 1) < 0.01 and abs(found["int8"] / found["keras"] - 1) < 0.1
    colour = dataclasses.replace(config, dataset="cifar10")
    assert pictures.frechet_distances(colour, generator, files, 200, told.append) is None
    assert "cifar10 has no classifier" in told[-1]
