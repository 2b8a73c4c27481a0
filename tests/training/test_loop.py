"""How a run begins and ends: whole, killed at its very end, stopped by a signal, with a value that is not finite."""

import dataclasses
import itertools
import os
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import config, generators, runs
from keras_dcgan.datasets import named
from keras_dcgan.layers import NearestConv2DTranspose
from keras_dcgan.tools import draw
from keras_dcgan.tools.files import BadFile
from keras_dcgan.training import callbacks, guards, loop, machine, quality, watchers
from tests.training import soak

CONFIG = config.from_preset(
    "quick",
    {
        "width": 2, "image_size": 16, "batch_size": 4, "sample_count": 4, "steps": 6, "checkpoint_every": 2,
        "sample_every": 4, "log_every": 3, "measure_every": 4, "measure_samples": 16, "precision": "float32",
        "r1_weight": 0.0, "labels": "off",
    },
)  # fmt: skip


class Killed(BaseException):
    """Nothing of the program's catches it, as nothing does kill -9."""


@pytest.fixture(autouse=True)
def forty_digits(monkeypatch, digits):
    """These need no data set."""
    monkeypatch.setattr(named, "load_images", lambda *_: digits)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a run that nothing happened to, by name."""
    found: dict[str, str] = {}

    def results() -> dict[str, str]:
        if not found:
            folder = tmp_path_factory.mktemp("whole")
            loop.train(CONFIG, folder)
            found.update(soak.results(folder))
        return found

    return results


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, whole):
    jumps = itertools.cycle([1e9, 4e8, 3e9, 5e8])  # decades, to and fro
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    loop.train(dataclasses.replace(CONFIG, checkpoint_minutes=1000.0), tmp_path)
    assert soak.results(tmp_path) == whole()


def test_a_clock_before_1980_is_an_error_that_costs_no_step(tmp_path, monkeypatch, whole):
    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match=r"generator-best\.keras: .*clock is before 1980.*; set it"),
    ):
        patch.setattr(generators.time, "localtime", lambda: time.gmtime(7.0))  # ZIP archives begin in 1980
        loop.train(CONFIG, tmp_path)
    loop.train(CONFIG, tmp_path, resume=True)
    assert without_checkpoints(soak.results(tmp_path)) == without_checkpoints(whole())


def without_checkpoints(results):
    return {name: digest for name, digest in results.items() if not name.startswith("checkpoints/")}


def at_step(monkeypatch, step, what):
    """Has something happen in the callbacks of a step."""
    monkeypatch.setattr(guards.CollapseAlarm, "on_steps", lambda self, *_: what(self.model) if self.step == step else 0)


@pytest.mark.parametrize(
    "place, name",
    [
        (loop, "save_networks"),
        (callbacks.SampleGrid, "on_train_end"),
        (quality.SampleQuality, "_draw"),
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
        loop.train(CONFIG, tmp_path)
    assert (tmp_path / "checkpoints" / "step-6.json").exists()
    assert loop.train(CONFIG, tmp_path, resume=True).step == 6
    assert soak.results(tmp_path) == whole()


def test_a_stop_saves_first_and_changes_no_result(tmp_path, monkeypatch, capfd, whole):
    written = []
    write = draw.write_loss_figure
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        patch.setattr(
            draw, "write_loss_figure",
            lambda *rest: (written.append(sorted(path.name for path in tmp_path.iterdir())), write(*rest)),
        )  # fmt: skip
        handler = signal.getsignal(signal.SIGTERM)
        outcome = loop.train(CONFIG, tmp_path)
        assert signal.getsignal(signal.SIGTERM) == handler
    assert (outcome.stopped_by, outcome.step) == (signal.SIGTERM, 3)
    assert "SIGTERM: finishing step 3; again to stop at once" in capfd.readouterr().err
    assert "generator.keras" in written[0] and (tmp_path / "checkpoints" / "step-3.json").exists()
    assert not list(tmp_path.glob("samples/*")) and (tmp_path / "metrics.csv").read_text() == ""
    assert loop.train(CONFIG, tmp_path, resume=True).step == 6
    assert without_checkpoints(soak.results(tmp_path)) == without_checkpoints(whole())  # the stop's own is one more


def test_a_run_that_fails_gives_signals_back_to_the_program_around_it(tmp_path, monkeypatch):
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    monkeypatch.setattr(guards, "check_finite", lambda *_: 1 / 0)
    monkeypatch.setattr(callbacks, "check_finite", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.train(CONFIG, tmp_path)
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_resumed_run_draws_what_a_late_stop_skipped(tmp_path, monkeypatch, capfd, whole):
    draw = callbacks.SampleGrid.on_train_end
    with monkeypatch.context() as patch:
        patch.setattr(
            callbacks.SampleGrid, "on_train_end", lambda self, logs: (os.kill(os.getpid(), signal.SIGINT), draw(self))
        )
        assert loop.train(CONFIG, tmp_path).stopped_by == signal.SIGINT
    assert "finishing the files being written" in capfd.readouterr().err
    assert not (tmp_path / "samples" / "step_000006.png").exists()
    assert loop.train(CONFIG, tmp_path, resume=True).stopped_by is None
    assert soak.results(tmp_path) == whole()


@pytest.mark.parametrize("step", [5, 6])  # seen in the losses of the next step, or in nothing but the weights
def test_a_run_that_breaks_in_its_last_steps_leaves_the_last_sound_generator(tmp_path, monkeypatch, step):
    def spoil(gan):
        gan.generator.trainable_variables[0].assign(gan.generator.trainable_variables[0] * np.nan)

    at_step(monkeypatch, step, spoil)
    with pytest.raises(FloatingPointError, match=r"step 6: .* not finite"):
        loop.train(CONFIG, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoints/*.json")) == ["step-2.json", "step-4.json"]
    generator = generators.load_generator(tmp_path / runs.GENERATOR)
    assert np.isfinite(generator(generators.draw_latents(4, 100, 0))).all()


def test_xla_is_refused_beside_what_excludes_it(monkeypatch):
    wants = dataclasses.replace(CONFIG, jit_compile="on", deterministic=True)
    assert machine.choose(wants).jit_compile == "on"
    with pytest.raises(config.SettingError, match="distribute=mirrored excludes XLA"):
        machine.choose(dataclasses.replace(wants, distribute="mirrored"))
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    with pytest.raises(config.SettingError, match="jit_compile=on: deterministic, on a GPU, excludes XLA"):
        machine.choose(wants)
    assert machine.choose(dataclasses.replace(wants, jit_compile="auto")).jit_compile == "off"
    assert machine.choose(dataclasses.replace(wants, jit_compile="auto", deterministic=False)).jit_compile == "on"


@pytest.mark.parametrize(
    ("able", "reason"),
    [
        (True, "because precision=mixed_bfloat16. XLA"),
        (False, "because precision=mixed_bfloat16, but float32 is faster and more exact on this machine. XLA"),
    ],
)
def test_bfloat16_without_arithmetic_for_it_is_taken_with_a_word_of_warning(monkeypatch, caplog, able, reason):
    monkeypatch.setattr(machine, "computes_in_bfloat16", lambda: able)
    caplog.set_level("INFO", logger="absl")
    assert machine.choose(dataclasses.replace(CONFIG, precision="mixed_bfloat16")).precision == "mixed_bfloat16"
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("shape", "changes", "holds"),
    [
        ((40, 16, 16, 1), {}, True),
        ((40, 16, 16, 1), {"jit_compile": "off"}, False),
        ((40, 17, 16, 1), {}, False),  # XLA cannot shrink
        ((2**23 + 1, 16, 16, 1), {}, False),  # more than 2 GiB
    ],
)
def test_a_gpu_holds_the_images_where_it_can(monkeypatch, shape, changes, holds):
    images = np.broadcast_to(np.uint8(0), shape)
    settings = dataclasses.replace(CONFIG, **{"jit_compile": "on", **changes})
    assert not machine.holds(images, settings)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    assert machine.holds(images, settings) == holds


def test_a_run_whose_step_picks_the_images_is_the_same_run(tmp_path, monkeypatch):
    settings = dataclasses.replace(CONFIG, image_size=32, jit_compile="on", labels="off", mirror=True, measure_every=0)
    values = []
    monkeypatch.setattr(callbacks.LossHistory, "on_steps", lambda self, before, logs: values.append(logs))
    plain = loop.train(settings, tmp_path / "plain").gan
    monkeypatch.setattr(machine, "has_gpu", lambda: True)  # TensorFlow puts the images on the CPU
    held = loop.train(settings, tmp_path / "held").gan
    assert plain.load is None and held.load is not None
    assert len(values) == 12 and all(tf.is_tensor(value) for logs in values for value in logs.values())
    for before, after in zip(values[:6], values[6:], strict=True):
        assert float(after["d_loss"]) == pytest.approx(float(before["d_loss"]), abs=1e-3)  # XLA rounds differently


def test_a_resumed_run_without_its_checkpoints_is_refused_and_keeps_everything(tmp_path):
    loop.train(CONFIG, tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    before = soak.results(tmp_path)
    for _ in range(2):  # the folder empty, then gone
        with pytest.raises(BadFile, match=r"checkpoints: holds no checkpoint any more.* new run in another folder"):
            loop.train(CONFIG, tmp_path, resume=True)
        assert soak.results(tmp_path) == before
        (tmp_path / "checkpoints").rmdir() if (tmp_path / "checkpoints").exists() else None


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path, monkeypatch, whole):
    def die(_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, 1, die)
        loop.train(CONFIG, tmp_path)
    assert (tmp_path / "history.csv").exists()
    assert loop.train(CONFIG, tmp_path, resume=True).step == 6
    assert soak.results(tmp_path) == whole()


def test_the_reals_of_a_grid_are_a_random_choice_by_the_seed(tmp_path):
    """Not the first files by name, which in a folder sorted into classes are of one class."""
    folder = tmp_path / "sorted"
    for group, level in (("a", 0), ("b", 255)):
        (folder / group).mkdir(parents=True)
        for i in range(40):
            side = 16 + i  # no two files alike
            draw.write_image(folder / group / f"{i:02d}.png", np.full((side, side, 1), level, np.uint8))
    options = {"width": 2, "image_size": 16, "batch_size": 4, "sample_count": 64, "shuffle": "epoch"}
    chosen = {}
    for seed in (0, 0, 1):
        settings = config.TrainConfig(dataset=str(folder), seed=seed, **options)
        data = loop.open_data(settings, tmp_path / "run", chief=False)
        reals = watchers.choose_reals(data, settings, 64)
        assert 16 < (reals.mean(axis=(1, 2, 3)) > 127).sum() < 48
        assert (chosen.setdefault(seed, reals) == reals).all()
    assert (chosen[0] != chosen[1]).any()


def test_the_tutorials_images_come_in_its_permutation(tmp_path, digits):
    data = loop.open_data(config.TrainConfig(), tmp_path, chief=False)
    np.testing.assert_array_equal(data.images[:], digits[np.random.RandomState(1).permutation(40)])


def test_labels_that_are_asked_for_must_be_there(tmp_path, monkeypatch, digits):
    def unavailable(*_):
        raise named.DatasetUnavailable("get online")

    monkeypatch.setattr(named, "load_images", lambda *_: digits)
    monkeypatch.setattr(named, "load_labels", unavailable)
    for labels in ("auto", "off"):
        assert loop.open_data(config.from_preset("quick", {"labels": labels}), tmp_path / labels).classes is None
    with pytest.raises(config.SettingError, match="labels=on: the labels of mnist are missing"):
        loop.open_data(config.from_preset("quick", {"labels": "on"}), tmp_path / "on")
    assert not (tmp_path / "on").exists()


def test_too_little_memory_names_a_smaller_batch(monkeypatch, tmp_path):
    def fail(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(loop, "fit", fail)
    with pytest.raises(config.SettingError, match="batch_size=4: the memory is too small for it; try batch_size=2"):
        loop.train(CONFIG, tmp_path)


def test_executions_that_do_not_fill_the_run_are_refused(tmp_path):
    with pytest.raises(config.SettingError, match="must divide the run's 10 steps"):
        loop.train(dataclasses.replace(CONFIG, steps=0, steps_per_execution=4), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_settings_reach_the_model(precision):
    keras.config.set_dtype_policy(precision)
    try:
        changes = {"beta_1": 0.25, "r1_weight": 3.0, "upsampling": "nearest", "augment": "off"}
        gan = loop.build(dataclasses.replace(CONFIG, precision=precision, **changes))
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = gan.discriminator_optimizer
    if precision == "mixed_float16":
        optimizer = optimizer.inner_optimizer
    assert gan.r1_weight == 3.0 and gan.jit_compile is False
    assert isinstance(gan.generator.get_layer("g2"), NearestConv2DTranspose)
    assert optimizer.beta_1 == 0.25 and optimizer.epsilon == 1e-8
    assert float(optimizer.learning_rate) == pytest.approx(8e-4)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    latents = generators.draw_latents(2, 100, 0)
    draws = [loop.train(CONFIG, tmp_path / name).gan(latents).numpy() for name in "ab"]
    np.testing.assert_array_equal(*draws)


def test_a_resumed_run_keeps_its_new_length_and_cannot_become_shorter(tmp_path):
    loop.train(CONFIG, tmp_path)
    longer = dataclasses.replace(CONFIG, steps=8, steps_per_execution=2)
    assert loop.train(longer, tmp_path, resume=True).step == 8
    assert runs.check_resume(tmp_path, "auto", {}).steps == 8
    at_once = loop.train(dataclasses.replace(CONFIG, steps=8), tmp_path / "at once")
    assert at_once.step == 8
    for name in (runs.GENERATOR, runs.RAW_GENERATOR, "history.csv"):
        assert soak.digest(tmp_path / name) == soak.digest(tmp_path / "at once" / name), name
    for steps, per_execution, message in ((6, 2, "steps=6: .* is at step 8"), (12, 3, "divide the 4 steps")):
        changed = dataclasses.replace(longer, steps=steps, steps_per_execution=per_execution)
        with pytest.raises(config.SettingError, match=message):
            loop.train(changed, tmp_path, resume=True)
    assert runs.check_resume(tmp_path, "auto", {}).steps == 8
