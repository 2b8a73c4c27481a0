"""Killing, stopping and resuming the command, as processes."""

import dataclasses
import signal
import time

import pytest

from keras_dcgan import runs
from keras_dcgan.config import SettingError, from_preset
from keras_dcgan.generators import load_generator
from tests.training import soak


@pytest.fixture(autouse=True)
def needs_mnist(mnist):
    """These train on real digits."""


def test_kill_minus_9_at_random_moments_changes_nothing(tmp_path):
    done = soak.compare(tmp_path, kills=4)
    assert done["kills"] == 4 and done["files"] >= 20


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_everything_saved(command, tmp_path, number, code):
    folder = tmp_path / "run"
    process = soak.start(folder, "--steps=1000000", "--sample_every=5")
    deadline = time.monotonic() + 120
    while not (folder / "samples" / "step_000010.png").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    other = command("keras_dcgan.fit", f"--run_dir={folder}", "--resume")
    assert other.returncode == 2 and "another process is training in this folder" in other.stderr
    process.send_signal(number)
    returned, errors = process.wait(60), folder.with_suffix(".log").read_text()
    assert returned == code, errors
    assert "stopped at step" in errors and "--resume" in errors and "Traceback" not in errors
    assert load_generator(folder / runs.GENERATOR).output_shape == (None, 16, 16, 1)
    assert "finishing step" in errors and (folder / "losses.png").exists()
    steps = [int(path.stem[5:]) for path in (folder / "samples").glob("step_*.png")]
    assert all(step % 5 == 0 for step in steps)  # none of the stop's own
    stopped = int(errors.split("stopped at step ")[1].split()[0])
    assert (folder / "checkpoints" / f"step-{stopped}.json").exists()


def begun(folder):
    config = from_preset("quick", {"width": 2, "steps": 20})
    runs.begin(folder, config, "CPU")
    return config


def test_a_resumed_run_keeps_its_own_settings(tmp_path):
    config = begun(tmp_path)
    assert runs.check_resume(tmp_path, "auto", {}) == config
    assert runs.check_resume(tmp_path, "quick", {"width": 2, "steps": 20}) == config
    assert runs.check_resume(tmp_path, "auto", {"sample_every": 7}).sample_every == 7


def test_an_auto_was_decided_when_the_run_began(tmp_path):
    config = dataclasses.replace(begun(tmp_path), image_size=64, precision="float32", labels="on", augment="off")
    runs.resume(tmp_path, config)
    given = {"image_size": 0, "width": 0, "labels": "auto", "precision": "auto", "augment": "auto"}
    assert runs.check_resume(tmp_path, "auto", given) == config
    assert runs.check_resume(tmp_path, "auto", {"cache_dir": "auto"}).cache_dir == "auto"  # a folder of this name
    with pytest.raises(SettingError, match=r"^image_size=32: this run has 64; another value would change"):
        runs.check_resume(tmp_path, "auto", {"image_size": 32})


@pytest.mark.parametrize(
    "given",
    [
        {"width": 4}, {"seed": 1}, {"dataset": "cifar10"}, {"r1_weight": 2.0}, {"jit_compile": "on"},
    ],
)  # fmt: skip
def test_a_setting_that_would_change_the_results_is_refused_by_name(tmp_path, given):
    begun(tmp_path)
    with pytest.raises(SettingError, match=f"^{next(iter(given))}=.*begin a new run"):
        runs.check_resume(tmp_path, "auto", given)


def test_the_data_may_have_moved_but_not_become_others(tmp_path):
    config = dataclasses.replace(begun(tmp_path), dataset="/old/photos")
    runs.resume(tmp_path, config)
    with pytest.raises(SettingError, match=r"^dataset=/new/photos: .*dataset\.json is missing"):
        runs.check_resume(tmp_path, "auto", {"dataset": "/new/photos"})
    (tmp_path / "dataset.json").touch()
    assert runs.check_resume(tmp_path, "auto", {"dataset": "/new/photos"}).dataset == "/new/photos"
    with pytest.raises(SettingError, match=r"^dataset=mnist: this run has /old/photos"):
        runs.check_resume(tmp_path, "auto", {"dataset": "mnist"})


def test_devices_that_normalise_their_own_parts_stay_the_same(tmp_path):
    config = dataclasses.replace(begun(tmp_path), distribute="mirrored", synchronized=False)
    runs.resume(tmp_path, config)
    assert runs.check_resume(tmp_path, "auto", {"distribute": "mirrored"}) == config
    with pytest.raises(SettingError, match=r"^distribute=off: this run began with mirrored and without synchronized"):
        runs.check_resume(tmp_path, "auto", {"distribute": "off"})


def test_two_lengths_are_refused_when_resuming_too(tmp_path):
    begun(tmp_path)
    with pytest.raises(ValueError, match="epochs: give epochs or steps, not both"):
        runs.check_resume(tmp_path, "auto", {"epochs": 2, "steps": 20})


def test_another_preset_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        runs.check_resume(tmp_path, "auto", {})
    begun(tmp_path)
    with pytest.raises(ValueError, match="began with quick"):
        runs.check_resume(tmp_path, "tutorial", {})


def test_a_run_can_be_made_longer(tmp_path):
    begun(tmp_path)
    assert runs.check_resume(tmp_path, "auto", {"epochs": 3}).epochs == 3
    assert runs.check_resume(tmp_path, "auto", {"steps": 3000}).steps == 3000
    runs.resume(tmp_path, runs.check_resume(tmp_path, "auto", {"epochs": 3}))
    assert runs.check_resume(tmp_path, "auto", {}).steps == 0
