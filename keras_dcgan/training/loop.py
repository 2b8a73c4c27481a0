"""A run from its settings to its results: `train` opens the data, then the model, watches the fit, and finishes."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_dcgan import pipeline, runs
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.datasets import source
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.gan import DCGAN
from keras_dcgan.generators import save_networks
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.optimizers import Adam
from keras_dcgan.tools import draw
from keras_dcgan.tools.files import BadFile
from keras_dcgan.training import callbacks, choices, distribution, guards, machine, preview, quality, watchers
from keras_dcgan.training.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that is ready to train, or has trained.

    `start` is the step that it begins with, `total_steps` its last; `gan.steps_done` is where it is.
    """

    config: TrainConfig
    folder: Path
    workers: distribution.Workers
    data: source.Data
    gan: DCGAN
    checkpoints: Checkpoints
    start: int
    total_steps: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: the model, the steps it has done, and the signal that stopped it early, or None."""

    gan: DCGAN
    step: int
    total_steps: int
    stopped_by: int | None


def train(config: TrainConfig, folder: Path, resume: bool = False) -> Outcome:
    """Trains by a configuration into a run folder, from its start or from its newest sound checkpoint.

    SIGINT and SIGTERM end it after the current step, with a checkpoint and the networks saved. The caller holds the
    folder's lock. With `distribute="multiworker"` every worker calls this, on a folder that all of them see; only the
    chief writes.

    Raises DatasetUnavailable if the data set cannot be had, SettingError for settings that do not fit the data, the
    run or the memory, BadFile for a file of the run that is not what was written, FloatingPointError if a loss is not
    finite (the earlier checkpoints stay, and the networks of the newest are saved), WorkerLost if another worker ends,
    OSError if the folder cannot be written.
    """
    folder = Path(folder)
    workers = distribution.join(config.distribute)
    with workers.naming_a_lost_one(), _naming_memory(config):
        config = machine.choose(config)
        workers.check_batch(config.batch_size)
        data = open_data(config, folder, resume, workers.chief)
        config = choices.settle(config, data)
        run = open_run(config, folder, resume, workers, data)
        watching, stop = watch(run)
        try:
            fit(run, watching)
            finish(run)
        finally:
            stop.restore_handlers()
    return Outcome(run.gan, int(run.gan.steps_done.numpy()), run.total_steps, stop.received)


def open_data(config: TrainConfig, folder: Path, resume: bool = False, chief: bool = True) -> source.Data:
    """The images that a run trains on, in its order; writes `dataset.json` and `dataset.png` at its beginning.

    Raises SettingError if a resumed run would continue with other images or labels than it began with.
    """
    data = source.open_data(config, config.labels != "off", report_folder=folder if chief and not resume else None)
    if config.labels == "on" and not data.classes:
        raise SettingError("labels=on", f"the labels of {config.dataset} are missing; get them, or use labels=off")
    if config.shuffle == "once":
        data = data.reordered(np.random.RandomState(1).permutation(len(data)))  # the MXNet tutorial's permutation
    count_steps(config, len(data))  # refuses a length that does not fit before anything is written
    if not chief:
        return data
    config = source.with_size(config, data.report)
    if resume:
        source.check_same(data, folder / runs.DATASET_REPORT)
    logging.info("%s", source.describe(data, config))
    if line := source.describe_classes(data):
        logging.info("%s", line)
    if not resume or not (folder / runs.DATASET_REPORT).exists():
        source.write_report(data.report, config, folder)
        draw.write_image(folder / runs.DATASET_PICTURE, preview.draw_preview(data, config))
        logging.info("%s: %s", preview.describe(data), folder / runs.DATASET_PICTURE)
    return data


def open_run(config: TrainConfig, folder: Path, resume: bool, workers: distribution.Workers, data: source.Data) -> Run:
    """Builds the model, restores the newest checkpoint of a resumed run, and begins or continues the folder."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    gan = build(config, workers, data.classes)
    checkpoints = Checkpoints(folder / runs.CHECKPOINTS, gan, config)
    start = checkpoints.restore() if resume else 0
    if resume and checkpoints.were_deleted() and (folder / runs.HISTORY).exists():
        raise BadFile(
            f"{checkpoints.folder}: holds no checkpoint any more, so this run cannot resume. Its results stay as they "
            "are; begin a new run in another folder"
        )
    total_steps = count_steps(config, len(data))
    check_length(config, start, total_steps)
    workers.require_agreement(config, start, data)
    if workers.chief and resume:
        runs.resume(folder, config)
        checkpoints.clear()
    elif workers.chief:
        runs.begin(folder, config, device="GPU" if machine.has_gpu() else "CPU")
    if workers.chief and not start:
        checkpoints.begin()
    logging.info(
        "%s: %d images, step %d to %d of batch %d, width %d, %dx%dx%d, into %s", config.dataset, len(data), start,
        total_steps, config.batch_size, config.width, config.image_size, config.image_size, config.channels, folder,
    )  # fmt: skip
    return Run(config, folder, workers, data, gan, checkpoints, start, total_steps)


def build(config: TrainConfig, workers: distribution.Workers | None = None, classes: Classes | None = None) -> DCGAN:
    """The compiled model of a configuration without an "auto", on the workers' devices.

    Examples:
      >>> gan = build(TrainConfig(width=1, image_size=16))
      >>> gan.generator.output_shape, gan.discriminator.output_shape
      ((None, 16, 16, 3), (None, 1))
    """
    workers = workers or distribution.Workers()
    sizes = config.image_size, config.channels
    count = len(classes) if classes else 0

    def adam(rate: float) -> keras.optimizers.Optimizer:
        optimizer = Adam(rate, config.beta_1, config.beta_2, epsilon=1e-8)
        # float16 gradients underflow without scaling; Keras itself would scale one optimizer of the two.
        return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "mixed_float16" else optimizer

    with workers.scope():
        generator = build_generator(config.width, *sizes, config.latent_dim, count, config.upsampling)
        discriminator = build_discriminator(config.width, *sizes, count)
        optimizers = adam(config.generator_learning_rate), adam(config.discriminator_learning_rate)
    gan = workers.make_gan(generator, discriminator, config.seed, classes, config.synchronized)
    gan.compile(
        *optimizers,
        r1_weight=config.r1_weight,
        r1_every=config.r1_every,
        ema_half_life=config.ema_half_life,
        augment=config.augment,
        jit_compile=config.jit_compile == "on",
        steps_per_execution=config.steps_per_execution,
    )
    return gan


def watch(run: Run) -> tuple[list[callbacks.StepCounter], guards.StopOnSignal]:
    """The callbacks that show and protect a run, and the one of them that stops it on a signal.

    Their order matters: a checkpoint comes after the rows that it counts, and the stop after everything.
    """
    stop = run.workers.make_stop(run.total_steps, run.config.steps_per_execution)
    if not run.workers.chief:
        return [stop], stop
    config, folder = run.config, run.folder
    saving = guards.Checkpointing(
        run.checkpoints.save,
        config.checkpoint_every,
        run.total_steps,
        lambda: save_networks(folder, run.gan),
        config.checkpoint_minutes,
    )
    progress = [] if sys.stdout.isatty() else [callbacks.TextProgress(run.total_steps)]
    return [*watchers.make(config, folder, run.data), saving, *progress, stop], stop


def fit(run: Run, watching: list[callbacks.StepCounter]) -> None:
    """Trains from the run's step to its last; at its end already, only what comes then is done again."""
    config, start = run.config, run.start
    if start == run.total_steps or quality.has_ended(run.folder, config, len(run.data), start):
        ended = keras.callbacks.CallbackList(watching, model=run.gan)
        ended.on_train_begin()
        ended.on_train_end()
        return
    dataset = feed(run.gan, config, run.data, start, (run.workers.index, run.workers.count))
    steps = run.total_steps - start
    shown = sys.stdout.isatty() and run.workers.chief
    try:
        with source.reading_errors(run.data):
            run.gan.fit(
                dataset,
                epochs=1,  # one long one, so that the progress bar shows the time left of the whole run
                steps_per_epoch=steps,
                callbacks=callbacks.CallbackList(watching, run.gan, steps, config.log_every, shown),
                shuffle=False,  # the dataset shuffles itself
                verbose=int(shown),
            )
    except FloatingPointError:
        if sound := run.checkpoints.restore():  # better an earlier generator than none
            save_networks(run.folder, run.gan)
            logging.info("The generator of step %d is in %s.", sound, run.folder / runs.GENERATOR)
        raise


def feed(
    gan: DCGAN, config: TrainConfig, data: source.Data, first_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """The endless dataset that `gan.fit` takes: batches of images or, if the GPU holds them all, only their indices."""
    images = data.images
    choices = pipeline.choose_batches(
        len(images), config.batch_size, shuffle=config.shuffle == "epoch", seed=config.seed, first_step=first_step,
        mirror=config.mirror, shard=shard, labels=data.labels,
    )  # fmt: skip
    held = machine.holds(images, config)
    load = pipeline.make_loader(images, config.image_size, config.channels, device="GPU:0" if held else "CPU")
    if not held:
        return pipeline.load_batches(choices, load)
    logging.info("The GPU holds all %s images.", f"{len(images):,}")
    gan.load = load
    return choices.prefetch(tf.data.AUTOTUNE)


def finish(run: Run) -> None:
    """Leaves every worker with the chief's statistics, once the chief has written everything."""
    if not run.workers.chief:
        run.gan.refresh_averaged()
    run.workers.wait_for_all()


def count_steps(config: TrainConfig, images: int) -> int:
    """The length of a run on so many images, in steps. Raises SettingError if executions do not fill it."""
    total_steps = config.total_steps(images)
    if total_steps % config.steps_per_execution:
        raise SettingError(
            f"steps_per_execution={config.steps_per_execution}",
            f"must divide the run's {total_steps} steps; give a fitting length as steps",
        )
    return total_steps


def check_length(config: TrainConfig, start: int, total_steps: int) -> None:
    """Raises SettingError if a run that is at step `start` cannot end after `total_steps`."""
    if start > total_steps:
        length = f"steps={config.steps}" if config.steps else f"epochs={config.epochs}"
        raise SettingError(length, f"a run of {total_steps} steps, but this one is at step {start}; make it longer")
    if (total_steps - start) % config.steps_per_execution:
        raise SettingError(
            f"steps_per_execution={config.steps_per_execution}",
            f"must divide the {total_steps - start} steps that are left; give another one",
        )


@contextlib.contextmanager
def _naming_memory(config: TrainConfig) -> Iterator[None]:
    """Raises SettingError, naming a smaller batch, in place of TensorFlow's pages."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        smaller = max(2, config.batch_size // 2)
        raise SettingError(
            f"batch_size={config.batch_size}", f"the memory is too small for it; try batch_size={smaller}"
        ) from error
