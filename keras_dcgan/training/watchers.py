"""The callbacks that a run is watched by."""

from pathlib import Path

import numpy as np
from absl import logging

from keras_dcgan import pipeline, runs
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.data import Data
from keras_dcgan.generators import draw_latents
from keras_dcgan.metrics.features import load_extractor
from keras_dcgan.metrics.report import MEASURABLE, make_reference
from keras_dcgan.networks import Inputs, with_labels
from keras_dcgan.tools import draw
from keras_dcgan.training import callbacks, guards
from keras_dcgan.training.quality import SampleQuality
from keras_dcgan.training.recorder import Recorder, TensorBoard

ALARM_SAMPLES = 64
# At least, before the losses are drawn again: a figure takes time, and few pictures make short epochs.
NEW_ROWS = 50


def make(config: TrainConfig, folder: Path, data: Data) -> list[callbacks.StepCounter]:
    """The callbacks that show a run: losses, samples, an alarm for a collapse, sample quality."""
    tensorboard = TensorBoard(folder / "tensorboard" if config.tensorboard else None)

    def draw_losses(steps, values) -> None:
        draw.write_loss_figure(folder / "losses.png", steps, values)

    losses = Recorder(folder / runs.HISTORY, draw_losses, tensorboard)
    alarm_inputs = draw_inputs(data, config, ALARM_SAMPLES, config.seed + 1)
    figure_every = max(config.steps_per_epoch(len(data)), NEW_ROWS * config.log_every)
    watching: list[callbacks.StepCounter] = [
        callbacks.LossHistory(losses, config.log_every, figure_every),
        make_grid_callback(config, folder, data, tensorboard),
        guards.CollapseAlarm(alarm_inputs, choose_reals(data, config, ALARM_SAMPLES)),
    ]
    if config.measure_every and len(data) < MEASURABLE:
        logging.warning("Sample quality is not measured: that takes %d images, and here are %d", MEASURABLE, len(data))
    elif config.measure_every:
        extractor = load_extractor(config.dataset, cheap=True)
        reference = make_reference(
            extractor, data.images, config.image_size, config.channels, config.measure_samples, config.seed
        )
        quality_inputs = draw_inputs(data, config, reference.samples, config.seed + 2)
        quality = SampleQuality(folder, reference, quality_inputs, config.measure_every, config.patience, tensorboard)
        watching.append(quality)
    return watching


def make_grid_callback(config: TrainConfig, folder: Path, data: Data, tensorboard: TensorBoard) -> callbacks.SampleGrid:
    """The sample grids: with classes a row for each, and in each column the same latent vector.

    Pictures that were stretched to squares are shown in their own shape.
    """
    inputs = draw_latents(config.sample_count, config.latent_dim, config.seed)
    chosen = shuffled_indices(data, config)
    columns = None
    if data.classes and data.labels is not None:
        columns = max(1, round(config.sample_count / len(data.classes)))
        rows = min(len(data.classes), config.sample_count)
        shown = np.linspace(0, len(data.classes) - 1, rows).astype(np.int32)  # all of them, if there are not too many
        inputs = with_labels(np.tile(inputs[:columns], (rows, 1)), shown.repeat(columns))
        chosen = np.concatenate([np.resize(chosen[data.labels[chosen] == label], columns) for label in shown])
    else:
        chosen = np.resize(chosen, config.sample_count)
    reals = pipeline.as_generated(data.images[chosen], config.image_size, config.channels)
    aspect = data.report.get("aspect", 1.0) if config.resize_mode == "stretch" else 1.0
    return callbacks.SampleGrid(folder / "samples", inputs, reals, config.sample_every, columns, tensorboard, aspect)


def draw_inputs(data: Data, config: TrainConfig, count: int, seed: int) -> Inputs:
    """What a generator of this data draws for `count` random pictures: latents, and labels in the data's mix."""
    latents = draw_latents(count, config.latent_dim, seed)
    return with_labels(latents, data.classes.draw(count, seed) if data.classes else None)


def choose_reals(data: Data, config: TrainConfig, count: int) -> np.ndarray:
    """A random choice of images, by the seed, as the networks see them: uint8 [count, S, S, C].

    If there are fewer images than `count`, some come again.
    """
    chosen = np.resize(shuffled_indices(data, config), count)
    return pipeline.as_generated(data.images[chosen], config.image_size, config.channels)


def shuffled_indices(data: Data, config: TrainConfig) -> np.ndarray:
    """The indices of all images in a random order, by the seed: int [N]."""
    return np.random.default_rng(config.seed).permutation(len(data))
