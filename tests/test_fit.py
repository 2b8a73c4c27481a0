"""The command `fit` as its users run it: a process, its messages, its exit code and what it leaves on disk."""

import csv
import importlib.util
import json
import os
import shlex
import subprocess
import sys

import cv2
import pytest

from keras_dcgan import cli, fit
from keras_dcgan.config import PRESETS, SettingError
from tests.conftest import LIMIT, ROOT, run_python
from tests.datasets import zoo

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
    picture = cv2.imread(str(folder / "samples" / "latest.png"), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (32, 32 + 8 + 32) and picture[:, 40:].max() > 200  # fakes, a gap, real digits

    refused = command("keras_dcgan.fit", *TINY, "--steps=1", f"--run_dir={folder}")
    assert refused.returncode == 2
    assert "already holds a run" in refused.stderr and "Traceback" not in refused.stderr
    assert (folder / "generator.keras").exists()


def test_help_is_grouped_and_does_not_load_tensorflow(command):
    done = command("keras_dcgan.fit", "--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    for text in ("Recipe:", "Machine:", "--width", "--r1_weight", "quick: auto", "tutorial"):
        assert text in " ".join(done.stdout.split())
    assert "tensorflow" not in done.stderr  # the list of imports


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--widht=32"], "Did you mean: width"),
        (["--width=0"], "--width=0: must be auto or from 1"),
        (["--width=2000"], "--width=2000: must be auto or from 1"),
        (["--width=wide"], "--width=wide: must be auto or from 1"),
        (["--image_size=60"], "--image_size=60: must be auto or one of 16, 32"),
        (["--preset=best"], "--preset"),
        (["--epochs=2", "--steps=5"], "--epochs: give epochs or steps, not both"),
        (["--data_dir="], "--data_dir=: must not be empty"),
        (["--flagfile=/bin/true"], "unknown flag --flagfile"),
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


def test_a_run_folder_that_cannot_be_made_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(cli.UserError, match=r"--run_dir=.*file/run: is not a folder, or lies in a file"):
        fit.main(cli.parse(fit.define_flags, [f"--run_dir={tmp_path}/file/run"]))


def test_a_cache_that_cannot_be_made_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("in the way")
    flags = [f"--dataset={zoo.numbered(tmp_path / 'small', 4)}", f"--cache_dir={tmp_path}/file"]
    with pytest.raises(cli.UserError, match=r"--cache_dir=.*/file: is not a folder, or lies in a file"):
        fit.main(cli.parse(fit.define_flags, [*flags, f"--run_dir={tmp_path}/run"]))


def test_missing_tensorboard_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match="pip install tensorboard"):
        fit.main(cli.parse(fit.define_flags, ["--tensorboard", f"--run_dir={tmp_path}/run"]))


@pytest.mark.parametrize("name, folder", [("faces.v1/", "faces.v1"), ("digits.small.npy", "digits.small")])
def test_a_run_has_the_name_of_its_data(monkeypatch, tmp_path, name, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    (tmp_path / "runs" / folder).mkdir(parents=True)
    (tmp_path / "runs" / folder / "config.json").touch()
    with pytest.raises(SettingError, match=f"^run_dir=runs/{folder}: this folder already holds a run"):
        fit.main(cli.parse(fit.define_flags, [f"--dataset={name}"]))


def test_the_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(SettingError, match=f"run_dir={tmp_path}/taken: this exists"):
        fit.main(cli.parse(fit.define_flags, ["--run_dir=~/taken"]))


def test_sizes_that_the_program_chooses_are_recorded_and_stay(command, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    folder, pictures = tmp_path / "run", zoo.numbered(tmp_path / "small", 40, side=20)
    flags = ["--batch_size=4", "--sample_count=4", "--measure_every=0", f"--run_dir={folder}"]
    first = command("keras_dcgan.fit", f"--dataset={pictures}/", *flags, "--preset=quick", "--steps=2")
    assert first.returncode == 0, first.stderr
    assert (
        "Labels: off, because the data has no labels. Image size: 32, because the pictures' median shorter side is 20 "
        "pixels. Width: 64, because that suits 32 pixels. Upsampling: nearest, because 40 images are few. "
        "Augmentation: off, because the run shows each of 40 images 0 times without classes. R1 weight: 1, because the "
        "run learns no classes." in first.stderr.splitlines()
    )
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["image_size"], config["width"], config["preset"]) == (32, 64, "quick")
    assert json.loads((folder / "dataset.json").read_text())["image_size"] == 32
    assert cv2.imread(str(folder / "samples" / "latest.png")).shape == (64, 64 + 8 + 64, 3)
    again = ["--resume", "--preset=auto", "--image_size=auto", "--width=auto", "--steps=4", f"--run_dir={folder}"]
    moved = pictures.rename(tmp_path / "moved")
    gone = command("keras_dcgan.fit", *again)
    assert gone.returncode == 2 and f"--dataset={pictures}: what this run trains on is not there any" in gone.stderr
    again.append(f"--dataset={moved}")
    resumed = command("keras_dcgan.fit", *again)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((folder / "config.json").read_text())["config"] == config | {"steps": 4, "dataset": str(moved)}
    other = command("keras_dcgan.fit", "--resume", "--width=32", f"--run_dir={folder}")
    assert other.returncode == 2 and "--width=32: this run has 64" in other.stderr


def test_the_preset_that_auto_becomes_is_recorded(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(fit, "_train", lambda configs, *_: seen.append(configs))
    fit.main(cli.parse(fit.define_flags, ["--preset=auto", f"--run_dir={tmp_path}/run"]))
    assert {name: config.preset for name, config in seen[0].items()} == {name: name for name in PRESETS}


def test_a_config_edited_by_hand_is_noticed(command, tmp_path):
    folder = tmp_path / "run"
    first = command("keras_dcgan.fit", *TINY, "--steps=2", "--measure_every=0", f"--run_dir={folder}")
    assert first.returncode == 0, first.stderr
    about = json.loads((folder / "config.json").read_text())
    about["config"]["r1_weight"] = 7.0
    (folder / "config.json").write_text(json.dumps(about))
    done = command("keras_dcgan.fit", "--resume", "--steps=4", f"--run_dir={folder}")
    assert done.returncode == 2
    assert "config.json: says r1_weight=7.0, but this run was trained with r1_weight=" in done.stderr.splitlines()[-1]


def test_a_run_without_stdout_and_stderr_trains(tmp_path):
    """Such a run used to end in an AttributeError, and leave a folder that counted as a run."""
    flags = [*TINY, "--steps=2", "--measure_every=0", f"--run_dir={tmp_path}/run"]
    done = subprocess.run(
        ["sh", "-c", '"$0" -m keras_dcgan.fit "$@" >&- 2>&-', sys.executable, *flags], cwd=ROOT, timeout=LIMIT
    )
    assert done.returncode == 0
    assert (tmp_path / "run" / "generator.keras").stat().st_size > 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX shell")
def test_the_printed_commands_run_as_they_stand(tmp_path):
    """Without an activated environment there may be no "python" on the path at all."""
    folder = tmp_path / "a run"
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    flags = [*TINY, "--steps=2", "--measure_every=0", f"--run_dir={folder}"]
    first = run_python("-m", "keras_dcgan.fit", *flags, env=environment)
    assert first.returncode == 0, first.stderr
    printed = first.stderr.splitlines()[-1]
    again = subprocess.run(
        printed.replace("grid.png", shlex.quote(f"{tmp_path}/grid.png")), shell=True, cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert again.returncode == 0, printed + again.stderr
    assert (tmp_path / "grid.png").stat().st_size > 0
