import json
import re
from types import SimpleNamespace

import pytest
import tensorflow as tf

from benchmarks import recipe, scaling
from benchmarks.flops import hlo_flops, step_flops
from keras_dcgan.config import from_preset
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.training import loop
from tests.conftest import run_python


def test_the_operations_of_a_step_are_those_of_xlas_program():
    gan = loop.build(from_preset("tutorial", {"width": 16}))
    step = tf.function(lambda images, latents: gan.adversarial_step(images, latents), jit_compile=True)
    text = step.experimental_get_compiler_ir(tf.zeros((4, 64, 64, 3)), tf.zeros((4, 100)))(stage="hlo")
    # XLA's count has the zeros around the images; they weigh less the wider the networks are.
    assert step_flops(gan.generator, gan.discriminator, 4) == pytest.approx(hlo_flops(text), rel=0.05)


def test_a_step_at_the_tutorials_size_has_577_gigaflop():
    gan = loop.build(from_preset("tutorial", {}))
    assert step_flops(gan.generator, gan.discriminator, 64) == pytest.approx(577e9, rel=0.01)


def test_the_step_is_measured_beside_its_peer(tmp_path):
    command = [
        "-m", "benchmarks.train_step", "--width=4", "--image_size=16", "--batch_size=4", "--rounds=2",
        "--steps=2", "--precisions=float32", "--peers=keras_io", f"--json={tmp_path}/step.json",
        f"--figure={tmp_path}/step.png",
    ]  # fmt: skip
    done = run_python(*command)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "step.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["ours float32", "keras_io float32"]
    for row in report["rows"]:
        assert len(row["rounds"]) == 2 and row["seconds_per_step"] > 0 and row["peak_memory"] > 1e8
        assert row["name"] in done.stdout
    assert report["rows"][0]["speed"] == 1.0
    assert (tmp_path / "step.png").stat().st_size > 1000


def test_a_missing_pytorch_is_one_line():
    command = ["-m", "benchmarks.train_step", "--peers=pytorch", "--pytorch_python=/bin/false"]
    done = run_python(*command)
    assert done.returncode == 1
    assert "no PyTorch" in done.stderr and "Traceback" not in done.stderr


def test_the_recipe_refuses_an_unknown_row_and_reports_a_failed_run(command, monkeypatch, tmp_path):
    done = command("benchmarks.recipe", "--rows=default,no_r2", f"--out={tmp_path}/new")
    assert done.returncode != 0 and "unknown row" in done.stderr and not (tmp_path / "new").exists()
    flags = {"out": tmp_path, "one": "", "rows": ["default"], "widths": ["8"], "seeds": ["0", "1"], "jobs": 1}
    monkeypatch.setattr(recipe, "FLAGS", SimpleNamespace(**flags, dataset="mnist", steps=1))
    for good, code in ((lambda _, run: True, 0), (lambda _, run: run["seed"] == 1, 1)):
        monkeypatch.setattr(recipe, "start", good)
        assert recipe.main([]) == code


def test_the_overhead_of_a_run_names_each_of_its_parts(command, mnist):
    done = command("benchmarks.overhead", "--width=2", "--steps=1", "--rounds=1")
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^\| ([a-z ]+) \|.* ([\d.]+)% \|$", done.stdout, re.MULTILINE))
    assert list(rows) == ["row of the history", "sample grid", "measurement", "checkpoint", "all of it"]
    parts = [float(rows[name]) for name in rows if name != "all of it"]
    assert max(parts) <= float(rows["all of it"]) <= sum(parts) + 0.05  # the rounding
    assert re.search(r"A checkpoint has \d+ MB", done.stdout)


def test_a_step_on_several_devices_has_few_messages(command):
    done = command("benchmarks.scaling", "--messages", "--width=2", "--batch_size=8")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    counts = {mode: tuple(map(int, row)) for mode, *row in rows}
    # A device of the same machine gets the losses without a message. Width 128 has the same layers, so the same number.
    assert counts == {"mirrored": (22, 34, 2), "multiworker": (23, 35, 3)}
    assert scaling.messages_of_a_step(build_generator(2), build_discriminator(2)) == 23
