"""The command `fit` as its users run it: a process, its messages, its exit code and what it leaves on disk."""

import csv
import json
import os
import sys

import cv2
import numpy as np
import pytest

from keras_dcgan import cli, datasets, fit, runs, training
from keras_dcgan.config import SettingError, TrainConfig, from_preset
from keras_dcgan.files import DamagedFile

TINY = ["--width=2", "--image_size=16", "--channels=1", "--batch_size=4", "--sample_count=4"]


@pytest.fixture(autouse=True)
def needs_mnist(mnist):
    """These train on real digits."""


def test_a_short_run_leaves_what_it_promises(command, tmp_path):
    folder = tmp_path / "run"
    done = command(
        "keras_dcgan.fit", "--preset=tutorial", *TINY, "--steps=20", "--sample_every=10", f"--run_dir={folder}"
    )
    assert done.returncode == 0, done.stderr
    for name in ("config.json", "generator.keras", "discriminator.keras", "history.csv", "losses.png"):
        assert (folder / name).stat().st_size > 0, name
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        "latest.png", "step_000010.png", "step_000020.png",
    ]  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["config"]["width"] == 2
    assert [row["step"] for row in csv.DictReader((folder / "history.csv").open())] == ["10", "20"]
    assert "XLA: off, because" in done.stderr and "steps/s" in done.stderr
    assert "oneDNN custom operations" not in done.stderr and "InitializeLog" not in done.stderr
    # The reals of the first picture are the seed document's first batch: RandomState(1)'s permutation.
    picture = cv2.imread(str(folder / "samples" / "latest.png"), cv2.IMREAD_GRAYSCALE)
    first = datasets.load_images("mnist")[np.random.RandomState(1).permutation(70000)[0]]
    shown = picture[:16, 32 + 8 : 32 + 8 + 16]
    assert np.abs(shown.astype(int) - cv2.resize(first, (16, 16), interpolation=cv2.INTER_AREA)).mean() < 16

    refused = command("keras_dcgan.fit", *TINY, "--steps=1", f"--run_dir={folder}")
    assert refused.returncode == 2
    assert "holds a run already" in refused.stderr and "Traceback" not in refused.stderr
    assert (folder / "generator.keras").exists()


def test_the_same_seed_gives_the_same_weights(tmp_path):
    config = TrainConfig(width=2, image_size=16, channels=1, batch_size=4, sample_count=4, steps=5, shuffle="epoch")
    latents = runs.draw_latents(2, 100, 0)
    draws = [training.train(config, tmp_path / name).gan(latents).numpy() for name in "ab"]
    np.testing.assert_array_equal(*draws)


def test_help_is_grouped_and_does_not_load_tensorflow(command):
    done = command("keras_dcgan.fit", "--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    for text in ("Recipe:", "Machine:", "--width", "--r1_weight", "quick: 32", "tutorial"):
        assert text in " ".join(done.stdout.split())
    assert "tensorflow" not in done.stderr  # the list of imports


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--widht=32"], "Did you mean: width"),
        (["--width=0"], "--width=0: must be from 1"),
        (["--width=wide"], "--width"),
        (["--image_size=60"], "--image_size=60: must be one of 16, 32"),
        (["--preset=best"], "--preset"),
        (["--epochs=2", "--steps=5"], "give one of them"),
        (["--data_dir=/nowhere"], "no such folder"),
        (["mnist"], "unexpected argument"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_loaded(command, tmp_path, flags, message):
    done = command(
        "keras_dcgan.fit", f"--run_dir={tmp_path / 'run'}", *flags, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert len(lines) == 1 and message in lines[0]
    assert "tensorflow" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_is_the_users_mistake(given, tmp_path):
    (tmp_path / "file").write_text("in the way")
    given(run_dir=f"{tmp_path}/file/run")
    with pytest.raises(cli.UserError, match=r"--run_dir=.*file/run: is no folder, or lies in a file"):
        fit.main()


@pytest.mark.parametrize("error", [SettingError("--steps=1: too short"), DamagedFile("history.csv, line 3: damaged")])
def test_what_the_run_refuses_is_the_users_mistake(monkeypatch, tmp_path, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(training, "train", refuse)
    with pytest.raises(cli.UserError, match=str(error)):
        fit._run({"tutorial": TrainConfig()}, tmp_path, True)


def test_executions_that_do_not_fill_an_epoch_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must divide the run's 1094 steps"):
        training.train(TrainConfig(steps_per_execution=4), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_tensorboard_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        fit._require_tensorboard()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_configuration_reaches_the_model(precision):
    import keras

    keras.config.set_dtype_policy(precision)
    try:
        overrides = {"width": 2, "image_size": 16, "precision": precision, "beta_1": 0.25, "decay_fraction": 0.5}
        config = from_preset("quick", overrides)
        gan = training.build(config, total_steps=100, on_gpu=False)
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = gan.discriminator_optimizer
    if precision == "mixed_float16":
        optimizer = optimizer.inner_optimizer
    assert gan.r1_weight == config.r1_weight > 0 and gan.jit_compile is False
    assert optimizer.beta_1 == 0.25 and optimizer.epsilon == 1e-8
    assert float(optimizer._learning_rate(100)) == 0 < float(optimizer._learning_rate(0))
