"""What goes wrong around a run: each fault is a clear message and an exit code, and costs nothing that was finished."""

import json
import shutil
import time

import pytest

from keras_dcgan import generators, runs
from keras_dcgan.config import TrainConfig, from_preset
from tests.training import soak
from tests.training.test_checkpoints import Checkpoints, make


@pytest.fixture(autouse=True)
def needs_mnist(mnist):
    """These train on real digits."""


FLAGS = [*soak.FLAGS, "--measure_every=0", "--sample_every=3", "--checkpoint_every=5"]


def test_a_full_disk_names_the_file_and_leaves_a_sound_checkpoint(command, small_disk):
    done = command("keras_dcgan.fit", *FLAGS, f"--run_dir={small_disk}/run")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "No space left" in last and str(small_disk / "run") in last and "Traceback" not in done.stderr
    checkpoints = Checkpoints(small_disk / "run" / "checkpoints", make())
    steps = checkpoints.steps()
    assert steps and all(checkpoints._problem(step) is None for step in steps)
    assert not list(small_disk.glob("run/checkpoints/*_temp"))
    assert runs.read_config(small_disk / "run" / "config.json").width == 2


def test_a_run_folder_that_vanishes_is_named(tmp_path):
    folder = tmp_path / "run"
    process = soak.start(folder, *FLAGS, "--steps=1000000")
    deadline = time.monotonic() + 120
    while not (folder / "samples" / "latest.png").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    assert process.wait(60) == 1
    errors = folder.with_suffix(".log").read_text()
    assert str(folder) in errors.splitlines()[-1] and "Traceback" not in errors


def test_a_checkpoint_folder_that_cannot_be_made_is_named(command, tmp_path):
    runs.begin(tmp_path / "run", from_preset("quick", {"width": 2, "image_size": 16, "steps": 5}), "CPU")
    (tmp_path / "run" / "checkpoints").write_text("in the way")
    done = command("keras_dcgan.fit", f"--run_dir={tmp_path}/run", "--resume")
    assert done.returncode == 1
    assert "checkpoints" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "checkpoints").read_text() == "in the way"


def test_names_with_spaces_and_signs(command, tmp_path):
    folder = tmp_path / "läufe für 数字" / "run 1"
    done = command("keras_dcgan.fit", *FLAGS, "--steps=4", f"--run_dir={folder}")
    assert done.returncode == 0, done.stderr
    done = command("keras_dcgan.sample", f"--run_dir={folder}", "--count=4", f"--out={folder}/neu ü.png")
    assert done.returncode == 0, done.stderr
    assert (folder / "neu ü.png").stat().st_size > 0


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda about: about["config"].update(speed=9), "unknown setting(s) speed"),
        (lambda about: about["config"].update(width=10**9), "width=1000000000: must be auto or from 1 to 1024"),
        (lambda about: about["config"].pop("width") and about.pop("config"), "not a run's configuration"),
    ],
)
def test_a_strange_configuration_is_refused(command, tmp_path, change, message):
    runs.begin(tmp_path, TrainConfig(), "CPU")
    about = json.loads((tmp_path / "config.json").read_text())
    change(about)
    (tmp_path / "config.json").write_text(json.dumps(about))
    before = sorted(tmp_path.rglob("*"))
    done = command("keras_dcgan.fit", f"--run_dir={tmp_path}", "--resume")
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_keras_file_with_a_lambda_is_not_executed(tmp_path):
    import keras

    latents = keras.Input((5,))
    evil = keras.layers.Lambda(lambda z: keras.ops.reshape(z, (-1, 1, 1, 5)))(latents)
    keras.Model(latents, evil).save(tmp_path / "evil.keras")
    with pytest.raises(ValueError, match=r"evil\.keras: cannot be loaded"):
        generators.load_generator(tmp_path / "evil.keras")
