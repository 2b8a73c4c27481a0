"""How a run ends: whole, killed at its very end, stopped by a signal, with losses or weights that are not finite."""

import dataclasses
import itertools
import os
import signal
import time

import numpy as np
import pytest

from keras_dcgan import callbacks, config, datasets, guards, quality, runs, training
from tests import soak

CONFIG = config.from_preset(
    "quick",
    {
        "width": 2, "image_size": 16, "batch_size": 4, "sample_count": 4, "steps": 6, "checkpoint_every": 2,
        "sample_every": 4, "log_every": 3, "measure_every": 4, "measure_samples": 16, "precision": "float32",
        "r1_weight": 0.0,
    },
)  # fmt: skip


class Killed(BaseException):
    """Nothing of the program's catches it, as nothing does kill -9."""


@pytest.fixture(autouse=True)
def forty_digits(monkeypatch, digits):
    """These need no data set."""
    monkeypatch.setattr(datasets, "load_images", lambda *_: digits)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a run that nothing happened to, by name."""
    found: dict[str, str] = {}

    def results() -> dict[str, str]:
        if not found:
            folder = tmp_path_factory.mktemp("whole")
            training.train(CONFIG, folder)
            found.update(soak.results(folder))
        return found

    return results


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, whole):
    jumps = itertools.cycle([1e9, 4e8, 3e9, 5e8])  # decades, to and fro
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    training.train(dataclasses.replace(CONFIG, checkpoint_minutes=1000.0), tmp_path)
    assert soak.results(tmp_path) == whole()


def test_a_clock_before_1980_is_told_and_costs_no_step(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"generator-best\.keras: .* before 1980; set it"):
        patch.setattr(runs.time, "localtime", lambda: time.gmtime(7.0))  # ZIP archives begin in 1980
        training.train(CONFIG, tmp_path)
    training.train(CONFIG, tmp_path, resume=True)
    assert without_checkpoints(soak.results(tmp_path)) == without_checkpoints(whole())


def without_checkpoints(results):
    return {name: digest for name, digest in results.items() if not name.startswith("checkpoints/")}


def at_step(monkeypatch, step, what):
    """Has something happen in the callbacks of a step."""
    monkeypatch.setattr(guards.CollapseAlarm, "on_steps", lambda self, *_: what(self.model) if self.step == step else 0)


@pytest.mark.parametrize(
    "place, name",
    [
        (runs, "save_networks"),
        (callbacks.SampleGrid, "on_train_end"),
        (quality.SampleQuality, "draw"),
    ],
)
def test_a_kill_after_the_last_checkpoint_loses_nothing(tmp_path, monkeypatch, whole, place, name):
    original = getattr(place, name)

    def die(self, *rest):
        if getattr(self, "step", 6) == 6:
            raise Killed
        return original(self, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(place, name, die)
        training.train(CONFIG, tmp_path)
    assert (tmp_path / "checkpoints" / "step-6.json").exists()
    assert training.train(CONFIG, tmp_path, resume=True).step == 6
    assert soak.results(tmp_path) == whole()


def test_a_stop_saves_first_says_so_and_changes_no_result(tmp_path, monkeypatch, capfd, whole):
    written = []
    write = callbacks.images.write_loss_figure
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        patch.setattr(
            callbacks.images, "write_loss_figure",
            lambda *rest: (written.append(sorted(path.name for path in tmp_path.iterdir())), write(*rest)),
        )  # fmt: skip
        handler = signal.getsignal(signal.SIGTERM)
        outcome = training.train(CONFIG, tmp_path)
        assert signal.getsignal(signal.SIGTERM) == handler
    assert (outcome.stopped_by, outcome.step) == (signal.SIGTERM, 3)
    assert "SIGTERM: finishing step 3; again to stop at once" in capfd.readouterr().err
    assert "generator.keras" in written[0] and (tmp_path / "checkpoints" / "step-3.json").exists()
    assert not list(tmp_path.glob("samples/*")) and (tmp_path / "metrics.csv").read_text() == ""
    assert training.train(CONFIG, tmp_path, resume=True).step == 6
    assert without_checkpoints(soak.results(tmp_path)) == without_checkpoints(whole())  # the stop's own is one more


def test_a_stop_in_the_last_pictures_is_made_good(tmp_path, monkeypatch, capfd, whole):
    draw = callbacks.SampleGrid.on_train_end
    with monkeypatch.context() as patch:
        patch.setattr(
            callbacks.SampleGrid, "on_train_end", lambda self, logs: (os.kill(os.getpid(), signal.SIGINT), draw(self))
        )
        assert training.train(CONFIG, tmp_path).stopped_by == signal.SIGINT
    assert "finishing what is being written" in capfd.readouterr().err
    assert not (tmp_path / "samples" / "step_000006.png").exists()
    assert training.train(CONFIG, tmp_path, resume=True).stopped_by is None
    assert soak.results(tmp_path) == whole()


@pytest.mark.parametrize("step", [5, 6])  # seen in the losses of the next step, or in nothing but the weights
def test_a_run_that_breaks_in_its_last_steps_leaves_the_last_sound_generator(tmp_path, monkeypatch, step):
    def spoil(gan):
        gan.generator.trainable_variables[0].assign(gan.generator.trainable_variables[0] * np.nan)

    at_step(monkeypatch, step, spoil)
    with pytest.raises(FloatingPointError, match=r"step 6: .* not finite"):
        training.train(CONFIG, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoints/*.json")) == ["step-2.json", "step-4.json"]
    assert np.isfinite(runs.load_generator(tmp_path)(runs.draw_latents(4, 100, 0))).all()


def test_xla_is_refused_beside_what_excludes_it():
    wants = dataclasses.replace(CONFIG, jit_compile="on", deterministic=True)
    with pytest.raises(config.SettingError, match="--jit_compile=on: --deterministic, on a GPU, excludes XLA"):
        training.resolve(wants, on_gpu=True)
    assert training.resolve(wants, on_gpu=False).jit_compile == "on"
    with pytest.raises(config.SettingError, match="--distribute=mirrored excludes XLA"):
        training.resolve(dataclasses.replace(wants, distribute="mirrored"), on_gpu=False)


def test_a_resumed_run_keeps_its_new_length_and_cannot_become_shorter(tmp_path):
    training.train(CONFIG, tmp_path)
    longer = dataclasses.replace(CONFIG, steps=8, steps_per_execution=2)
    assert training.train(longer, tmp_path, resume=True).step == 8
    assert runs.check_resume(tmp_path, "auto", {}).steps == 8
    at_once = training.train(dataclasses.replace(CONFIG, steps=8), tmp_path / "at once")
    assert at_once.step == 8
    for name in (runs.GENERATOR, runs.RAW_GENERATOR, "history.csv"):
        assert soak.digest(tmp_path / name) == soak.digest(tmp_path / "at once" / name), name
    for steps, per_execution, message in ((6, 2, "--steps=6: .* is at step 8"), (12, 3, "divide the 4 steps")):
        changed = dataclasses.replace(longer, steps=steps, steps_per_execution=per_execution)
        with pytest.raises(config.SettingError, match=message):
            training.train(changed, tmp_path, resume=True)
    assert runs.check_resume(tmp_path, "auto", {}).steps == 8
