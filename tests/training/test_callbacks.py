import csv
import logging as standard_logging
import math

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.gan import DCGAN
from keras_dcgan.generators import draw_latents
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.tools import draw
from keras_dcgan.training import callbacks, guards
from keras_dcgan.training.recorder import Recorder, TensorBoard


def fit(watchers, steps=10, epochs=1, steps_per_execution=1):
    gan = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1))
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), steps_per_execution=steps_per_execution)
    images = tf.data.Dataset.from_tensors(tf.zeros((4, 16, 16, 1))).repeat()
    gan.fit(images, steps_per_epoch=steps, epochs=epochs, callbacks=watchers, shuffle=False, verbose=0)
    return gan


def sample_grid(folder, **options):
    return callbacks.SampleGrid(folder, draw_latents(4, 5, 0), np.zeros((4, 16, 16, 1), np.uint8), **options)


@pytest.mark.parametrize("steps_per_execution, expected", [(1, [4, 8, 10]), (5, [5, 10])])
def test_sample_grids_are_written_every_so_many_steps_and_at_the_end(tmp_path, steps_per_execution, expected):
    fit([sample_grid(tmp_path, every=4)], 10, steps_per_execution=steps_per_execution)
    names = [f"step_{step:06d}.png" for step in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.png", *names]
    last = cv2.imread(str(tmp_path / names[-1]))
    assert last.shape == (32, 32 + 8 + 32, 3)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "latest.png")), last)


def test_sample_grids_show_the_pictures_in_their_shape(tmp_path):
    fit([sample_grid(tmp_path, every=0, aspect=1.5)])
    assert cv2.imread(str(tmp_path / "latest.png")).shape == (2 * 16, 2 * 24 + 8 + 2 * 24, 3)


def test_steps_are_counted_over_epochs(tmp_path):
    watcher = callbacks.StepCounter()
    fit([watcher], steps=6, epochs=3, steps_per_execution=3)
    assert watcher.step == 18


def test_steps_are_counted_right_if_executions_do_not_fill_an_epoch():
    gan, watcher = fit([], steps=1), callbacks.StepCounter()
    images = np.zeros((12, 16, 16, 1), np.float32)
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), steps_per_execution=2)
    gan.fit(images, batch_size=4, epochs=2, verbose=0, callbacks=[watcher])  # three batches in two executions
    gan.fit(images[:8], batch_size=4, verbose=0, callbacks=[watcher])
    assert watcher.step == int(gan.steps_done) == 1 + 6 + 2


def test_the_values_of_a_step_stay_on_the_device_until_a_callback_reads_them():
    seen = []
    watcher = callbacks.StepCounter()
    watcher.on_steps = lambda before, logs: seen.append(logs["d_loss"])
    shown = callbacks.CallbackList([watcher], DCGAN(build_generator(2, 16), build_discriminator(2, 16)), 10, 4, True)
    bar = next(each for each in shown.callbacks if isinstance(each, keras.callbacks.ProgbarLogger))
    bar.on_train_batch_end = lambda batch, logs: seen.append(logs)
    losses = [tf.constant(float(batch)) for batch in range(6)]
    for batch, loss in enumerate(losses):
        shown.on_train_batch_end(batch, {"d_loss": loss})
    assert all(value is loss for value, loss in zip(seen[::2], losses, strict=True))
    assert seen[1::2] == [{"d_loss": 0.0}, {}, {}, {}, {"d_loss": 4.0}, {}]


def loss_history(folder, tensorboard=None, **options):
    def write_figure(steps, values):
        draw.write_loss_figure(folder / "losses.png", steps, values)

    return callbacks.LossHistory(Recorder(folder / "history.csv", write_figure, tensorboard), **options)


def test_the_history_has_a_row_of_finite_losses_every_so_many_steps(tmp_path):
    fit([loss_history(tmp_path, every=3)], steps=10)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(row["step"]) for row in rows] == [3, 6, 9]
    assert all(math.isfinite(float(row[name])) for row in rows for name in ("d_loss", "g_loss", "d_real", "d_fake"))
    assert (tmp_path / "losses.png").exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    watcher = loss_history(tmp_path, every=1)
    watcher.set_model(fit([]))
    watcher.model.steps_done.assign(0)
    watcher.on_train_begin()
    with pytest.raises(FloatingPointError, match=r"step 1: .*d_loss"):
        watcher.on_train_batch_end(0, {"d_loss": float("nan"), "g_loss": 1.0})


def test_a_checkpoint_of_a_broken_state_is_not_taken():
    saved = []
    watcher = guards.Checkpointing(lambda: saved.append(watcher.step), every=2, total_steps=9, keep=lambda: None)
    watcher.set_model(fit([]))
    watcher.model.steps_done.assign(0)
    watcher.on_train_begin()
    watcher.on_train_batch_end(1, {"d_loss": 1.0})
    with pytest.raises(FloatingPointError, match=r"step 4: d_loss not finite; the checkpoints .* are kept"):
        watcher.on_train_batch_end(3, {"d_loss": float("inf")})
    assert saved == [2]


def test_checkpoints_are_taken_by_steps_and_by_minutes(monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(guards.time, "monotonic", lambda: now[0])
    watcher = guards.Checkpointing(
        lambda: saved.append(watcher.step), every=5, total_steps=99, keep=lambda: None, minutes=2
    )
    watcher.set_model(fit([]))
    watcher.model.steps_done.assign(0)
    watcher.on_train_begin()
    for step in range(12):
        now[0] += 60.0 if step > 5 else 1.0
        watcher.on_train_batch_end(step, {"d_loss": 1.0})
    assert saved == [5, 8, 10, 12]  # by steps and, where two minutes have passed since the last, by time


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = TensorBoard(tmp_path / "tensorboard")
    fit([sample_grid(tmp_path, every=0, tensorboard=events), loss_history(tmp_path, events, every=2)])
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()
    assert {"d_loss", "g_loss", "samples"} <= set(found["tensors"])


def test_the_text_line_has_losses_rate_and_time_left(caplog):
    with caplog.at_level(standard_logging.INFO, logger="absl"):
        fit([callbacks.TextProgress(10)])
    assert "step 10/10" in caplog.text and "steps/s" in caplog.text and "0:00:00 left" in caplog.text
    assert "d_loss" in caplog.text
