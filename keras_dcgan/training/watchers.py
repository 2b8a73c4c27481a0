"""The callbacks that a run is watched by."""

from pathlib import Path

import numpy as np
from absl import logging

from keras_dcgan import pipeline, runs
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.source import Data
from keras_dcgan.generators import draw_latents
from keras_dcgan.metrics.features import load_extractor
from keras_dcgan.metrics.report import MEASURABLE, make_reference
from keras_dcgan.tools import draw
from keras_dcgan.training import callbacks, guards
from keras_dcgan.training.quality import SampleQuality
from keras_dcgan.training.recorder import Recorder, TensorBoard

ALARM_SAMPLES = 64


def make(config: TrainConfig, folder: Path, data: Data) -> list[callbacks.StepCounter]:
    """The callbacks that show a run: losses, samples, an alarm for a collapse, sample quality."""
    tensorboard = TensorBoard(folder / "tensorboard" if config.tensorboard else None)

    def draw_losses(steps, values) -> None:
        draw.write_loss_figure(folder / "losses.png", steps, values)

    latents = draw_latents(config.sample_count, config.latent_dim, config.seed)
    alarm_latents = draw_latents(ALARM_SAMPLES, config.latent_dim, config.seed + 1)
    losses = Recorder(folder / runs.HISTORY, draw_losses, tensorboard)
    watching: list[callbacks.StepCounter] = [
        callbacks.LossHistory(losses, config.log_every, config.steps_per_epoch(len(data))),
        callbacks.SampleGrid(
            folder / "samples", latents, choose_reals(data, config, config.sample_count), config.sample_every,
            tensorboard,
        ),
        guards.CollapseAlarm(alarm_latents, choose_reals(data, config, ALARM_SAMPLES)),
    ]  # fmt: skip
    if config.measure_every and len(data) < MEASURABLE:
        logging.warning("Sample quality is not measured: that takes %d images, and here are %d", MEASURABLE, len(data))
    elif config.measure_every:
        extractor = load_extractor(config.dataset, cheap=True)
        reference = make_reference(
            extractor, data.images, config.image_size, config.channels, config.measure_samples, config.seed
        )
        quality_latents = draw_latents(reference.samples, config.latent_dim, config.seed + 2)
        watching.append(SampleQuality(folder, reference, quality_latents, config.measure_every, tensorboard))
    return watching


def choose_reals(data: Data, config: TrainConfig, count: int) -> np.ndarray:
    """A random choice of images, by the seed, as the networks see them: uint8 [count, S, S, C].

    If there are fewer images than `count`, some come again.
    """
    order = np.random.default_rng(config.seed).permutation(len(data))
    return pipeline.as_generated(data.images[np.resize(order, count)], config.image_size, config.channels)
