import csv
import dataclasses
import logging as standard_logging

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.config import from_preset
from keras_dcgan.datasets import named
from keras_dcgan.gan import DCGAN
from keras_dcgan.generators import draw_latents, load_generator
from keras_dcgan.metrics.features import load_extractor
from keras_dcgan.metrics.report import make_reference
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.pipeline import as_generated
from keras_dcgan.runs import BEST_GENERATOR, GENERATOR
from keras_dcgan.training import callbacks, guards, loop, quality


def make() -> DCGAN:
    gan = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1))
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), ema_half_life=100.0)
    return gan


def test_quality_is_measured_kept_and_drawn(tmp_path, digits, caplog):
    gan = make()
    reference = make_reference(load_extractor("mnist"), digits, 16, 1, samples=20, seed=0)
    watcher = quality.SampleQuality(tmp_path, reference, draw_latents(20, 5, 2), every=4)
    with caplog.at_level(standard_logging.INFO, logger="absl"):
        gan.fit(
            tf.data.Dataset.from_tensors(tf.zeros((4, 16, 16, 1))).repeat(),
            steps_per_epoch=10, callbacks=[watcher], shuffle=False, verbose=0,
        )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["4", "8", "10"]
    assert list(rows[0]) == ["step", *quality.COLUMNS]
    assert cv2.imread(str(tmp_path / "metrics.png")).std() > 5
    assert "real against real" in caplog.text and "mnist-classifier" in caplog.text
    distances = [float(row["kernel_distance"]) for row in rows]  # of 20 reals, so not the Fréchet distance
    best_step = rows[np.argmin(distances)]["step"]
    assert f"is that of step {best_step}:" in caplog.text or "The last generator is the best" in caplog.text
    best = load_generator(tmp_path / BEST_GENERATOR)
    if distances[-1] == min(distances):
        np.testing.assert_array_equal(best(np.ones((1, 5))), gan.averaged(np.ones((1, 5))))
    else:
        assert np.any(np.asarray(best(np.ones((1, 5)))) != np.asarray(gan.averaged(np.ones((1, 5)))))


@pytest.mark.parametrize(
    "values, patience, ended",
    [
        ([3, 2, 1], 1, False),
        ([3, 2, 2], 1, True),  # as good is not better
        ([3, 1, 2], 2, False),
        ([3, 1, 2, 1.5], 2, True),
        ([3, 1, 2, 0.5], 2, False),
        ([3, 4, 5, 6], 0, False),
        ([], 1, False),
    ],
)
def test_a_run_is_exhausted_after_so_many_measurements_without_a_new_best(values, patience, ended):
    rows = [{"step": float(step), "kernel_distance": value} for step, value in enumerate(values)]
    assert quality.is_exhausted(rows, "kernel_distance", patience) == ended


def patient(monkeypatch, distances, **settings):
    """The settings of a small run that finds these kernel distances, one every five steps."""
    pictures, found = np.random.default_rng(0).integers(0, 256, (80, 28, 28, 1), np.uint8), iter(distances)
    monkeypatch.setattr(named, "load_images", lambda *_: pictures)
    monkeypatch.setattr(quality, "kernel_distance", lambda *_: (next(found), 0.1))
    return from_preset("quick", {
        "width": 2, "image_size": 16, "batch_size": 4, "steps": 100, "labels": "off", "sample_every": 0,
        "measure_every": 5, "measure_samples": 32, "precision": "float32", **settings,
    })  # fmt: skip


def test_with_patience_a_run_ends_early_as_at_its_end_and_stays_ended(tmp_path, monkeypatch, caplog):
    config = patient(monkeypatch, [5.0, 1.0, 2.0, 3.0, 4.0], patience=2, checkpoint_every=0)
    with caplog.at_level(standard_logging.INFO, logger="absl"):
        outcome = loop.train(config, tmp_path)
    assert outcome.step == 20 and outcome.stopped_by is None
    assert "Ended early: the last 2 measurements found no smaller kernel distance" in caplog.text
    assert "The best generator by its kernel distance is that of step 10" in caplog.text
    assert (tmp_path / "samples" / "step_000020.png").exists() and (tmp_path / GENERATOR).exists()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    (tmp_path / "samples" / "latest.png").unlink()  # as if it had been killed while it wrote the last files
    again = loop.train(config, tmp_path, resume=True)
    assert again.step == 20 and (tmp_path / "samples" / "latest.png").exists()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    longer = loop.train(dataclasses.replace(config, patience=3), tmp_path, resume=True)
    assert longer.step == 25


@pytest.mark.parametrize("place, name", [(loop, "save_networks"), (callbacks.SampleGrid, "on_train_end")])
def test_a_kill_when_patience_has_run_out_costs_no_network(tmp_path, monkeypatch, place, name):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    config = patient(monkeypatch, [1.0, 2.0], patience=1, checkpoint_every=5)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(place, name, die)
        loop.train(config, tmp_path)
    assert (tmp_path / "checkpoints" / "step-10.json").exists()
    assert (tmp_path / GENERATOR).exists() == (name != "save_networks")
    assert loop.train(config, tmp_path, resume=True).step == 10
    assert (tmp_path / GENERATOR).exists() and (tmp_path / "samples" / "step_000010.png").exists()


@pytest.mark.parametrize("constant, raised", [(True, True), (False, False)])
def test_the_alarm_is_raised_when_the_discriminator_has_won_and_samples_are_alike(digits, caplog, constant, raised):
    gan = make()
    if constant:
        for weight in gan.generator.trainable_variables:
            weight.assign(tf.zeros_like(weight))
    else:
        for weight in gan.generator.trainable_variables:
            weight.assign(weight * 100)  # an untrained generator draws grey, this one black and white
    alarm = guards.CollapseAlarm(draw_latents(16, 5, 0), as_generated(digits, 16, 1), every=10)
    alarm.set_model(gan)
    alarm.on_train_begin()
    alarm.on_epoch_begin(0)
    for batch in range(60):
        alarm.on_train_batch_end(batch, {"d_loss": 0.001})
    assert alarm.raised == raised
    assert caplog.text.count("has collapsed") == int(raised)


def test_the_alarm_is_silent_while_the_loss_is_healthy(digits):
    gan = make()
    alarm = guards.CollapseAlarm(draw_latents(16, 5, 0), as_generated(digits, 16, 1), every=1)
    alarm.set_model(gan)
    alarm.on_train_begin()
    alarm.on_epoch_begin(0)
    for batch, loss in enumerate([0.01, 0.01, 0.6, 0.01, 0.01, 0.6]):
        alarm.on_train_batch_end(batch, {"d_loss": loss})
    assert not alarm.raised
