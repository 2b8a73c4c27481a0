import csv
import logging as standard_logging

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.gan import DCGAN
from keras_dcgan.generators import draw_latents, load_generator
from keras_dcgan.metrics.features import load_extractor
from keras_dcgan.metrics.report import make_reference
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.pipeline import as_generated
from keras_dcgan.runs import BEST_GENERATOR
from keras_dcgan.training import guards, quality


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
    assert set(rows[0]) == {"step", "frechet_distance", "precision", "recall", "density", "coverage"}
    assert cv2.imread(str(tmp_path / "metrics.png")).std() > 5
    assert "real against real" in caplog.text and "mnist-classifier" in caplog.text
    distances = [float(row["frechet_distance"]) for row in rows]
    best = load_generator(tmp_path / BEST_GENERATOR)
    if distances[-1] == min(distances):
        np.testing.assert_array_equal(best(np.ones((1, 5))), gan.averaged(np.ones((1, 5))))
    else:
        assert np.any(np.asarray(best(np.ones((1, 5)))) != np.asarray(gan.averaged(np.ones((1, 5)))))


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
