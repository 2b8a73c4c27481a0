"""From a configuration to a trained model: builds the run, watches it, and leaves its results in the run folder."""

import contextlib
import dataclasses
import functools
import json
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_dcgan import callbacks, cluster, distribution, guards, images, inputs, pipeline, runs
from keras_dcgan.checkpoints import Checkpoints
from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.gan import DCGAN, ConstantThenLinear
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.quality import MEASURABLE, SampleQuality
from keras_dcgan.sources import Images

ALARM_SAMPLES = 64


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: the model, the steps it has behind it, and the signal that stopped it early, or None."""

    gan: DCGAN
    step: int
    total_steps: int
    stopped_by: int | None


def train(config: TrainConfig, folder: Path, resume: bool = False) -> Outcome:
    """Trains by a configuration into a run folder, from its start or from its newest sound checkpoint.

    SIGINT and SIGTERM end it after the step in hand, with a checkpoint and the networks saved. The caller holds the
    folder's lock. With `--distribute=multiworker` every worker calls this, on a folder that all of them see; the chief
    alone writes. Raises datasets.DatasetUnavailable where the data set cannot be had, SettingError for settings that
    do not fit the data or the run, DamagedFile for a file of the run that is not what was written,
    FloatingPointError where a loss is not finite (the checkpoints before it stay, and the networks of the newest are
    saved), tf.errors.ResourceExhaustedError where memory does not suffice, OSError where the folder cannot be written.
    """
    folder = Path(folder)
    strategy = distribution.make_strategy(config.distribute)
    worker = cluster.member() if config.distribute == "multiworker" else cluster.Member()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    config = resolve(config, on_gpu)
    if strategy:
        distribution.check_batch(strategy, config.batch_size)
    data, report = inputs.open_images(config, folder if worker.chief and not resume else None)
    if config.shuffle == "once":
        data = inputs.reorder(data, np.random.RandomState(1).permutation(len(data)))  # the seed document's permutation
    steps_per_epoch = -(-len(data) // config.batch_size)
    total_steps = config.steps or config.epochs * steps_per_epoch
    if total_steps % config.steps_per_execution:
        raise SettingError(
            f"--steps_per_execution={config.steps_per_execution}: must divide the run's {total_steps} steps; "
            "give a fitting length as --steps"
        )
    if worker.chief:
        inputs.show(data, report, config, folder, resume)

    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    gan = build(config, total_steps, on_gpu, strategy)
    checkpoints = Checkpoints(folder / "checkpoints", gan)
    start = checkpoints.restore() if resume else 0
    check_length(config, start, total_steps)
    gather = distribution.make_gather(strategy) if worker.count > 1 else None
    if gather:
        _require_agreement(gather, config, start, data.shape)
    if worker.chief and resume:
        runs.go_on(folder, config)
        checkpoints.clear()
    elif worker.chief:
        runs.begin(folder, config, device="GPU" if on_gpu else "CPU")
    logging.info(
        "%s: %d images, step %d to %d of batch %d, width %d, %dx%dx%d, into %s", config.dataset, len(data), start,
        total_steps, config.batch_size, config.width, config.image_size, config.image_size, config.channels, folder,
    )  # fmt: skip
    dataset = pipeline.make_dataset(
        data, config.batch_size, config.image_size, config.channels,
        shuffle=config.shuffle == "epoch", seed=config.seed, first_step=start, mirror=config.mirror,
        shard=(worker.index, worker.count),
    )  # fmt: skip
    stop = guards.StopTogether(total_steps, gather) if gather else guards.StopOnSignal(total_steps)
    watching: list[callbacks.StepCounter] = [stop]
    if worker.chief:
        watching = [
            *watchers(config, folder, data, steps_per_epoch),
            guards.Checkpointing(
                checkpoints.save,
                config.checkpoint_every,
                total_steps,
                lambda: runs.save_networks(folder, gan),
                config.checkpoint_minutes,
            ),
            *([] if sys.stdout.isatty() else [callbacks.TextProgress(total_steps)]),
            stop,
        ]
    if start == total_steps:  # killed between the last checkpoint and the last picture, or done: the end once more
        ended = keras.callbacks.CallbackList(watching, model=gan)
        ended.on_train_begin()
        ended.on_train_end()
    else:
        try:
            with inputs.told(data):
                gan.fit(
                    dataset,
                    epochs=1,  # one long one, so that the progress bar tells the time left of the whole run
                    steps_per_epoch=total_steps - start,
                    callbacks=watching,
                    shuffle=False,  # the data set shuffles itself
                    verbose=1 if sys.stdout.isatty() and worker.chief else 0,
                )
        except FloatingPointError:
            if sound := checkpoints.restore():  # rather the generator of before than none
                runs.save_networks(folder, gan)
                logging.info("The generator of step %d is in %s.", sound, folder / runs.GENERATOR)
            raise
    if not worker.chief:
        gan.refresh_averaged()  # as the chief has done
    if gather:
        gather([0])  # nobody leaves before the chief has written
    return Outcome(gan, int(gan.steps_done.numpy()), total_steps, stop.received)


def check_length(config: TrainConfig, start: int, total_steps: int) -> None:
    """Raises SettingError where a run that stands at step `start` cannot end after `total_steps`."""
    if start > total_steps:
        length = f"--steps={config.steps}" if config.steps else f"--epochs={config.epochs}"
        raise SettingError(f"{length}: a run of {total_steps} steps, but this one is at step {start}; make it longer")
    if (total_steps - start) % config.steps_per_execution:
        raise SettingError(
            f"--steps_per_execution={config.steps_per_execution}: must divide the {total_steps - start} steps that are "
            "left; give another one"
        )


def watchers(
    config: TrainConfig, folder: Path, data: np.ndarray | Images, steps_per_epoch: int
) -> list[callbacks.StepCounter]:
    """The callbacks that show a run."""

    def prepared(count: int) -> np.ndarray:
        some = data[np.arange(count) % len(data)]  # again from the first where there are fewer
        chosen = pipeline.transform(some, config.image_size, config.channels)
        return images.to_uint8(chosen.numpy())

    tensorboard = folder / "tensorboard" if config.tensorboard else None
    latents = runs.draw_latents(config.sample_count, config.latent_dim, config.seed)
    watching: list[callbacks.StepCounter] = [
        callbacks.RunHistory(folder, config.log_every, steps_per_epoch, tensorboard),
        callbacks.SampleGrid(
            folder / "samples", latents, prepared(config.sample_count), config.sample_every, tensorboard
        ),
        guards.CollapseAlarm(
            runs.draw_latents(ALARM_SAMPLES, config.latent_dim, config.seed + 1), prepared(ALARM_SAMPLES)
        ),
    ]
    if config.measure_every and len(data) < MEASURABLE:
        logging.warning("Sample quality is not measured: that takes %d images, and here are %d", MEASURABLE, len(data))
    elif config.measure_every:
        watching.append(
            SampleQuality(
                folder, config.dataset, data, config.image_size, config.channels, config.latent_dim,
                config.measure_every, config.measure_samples, config.seed, tensorboard,
            )
        )  # fmt: skip
    return watching


def resolve(config: TrainConfig, on_gpu: bool) -> TrainConfig:
    """The configuration with `auto` replaced by what it means on this machine; logs what is in force and why."""
    precision, jit_compile = config.precision, config.jit_compile
    reasons = [f"--precision={precision}", f"--jit_compile={jit_compile}"]
    if precision == "auto":
        fast = _computes_in_bfloat16(on_gpu)
        precision = "mixed_bfloat16" if fast else "float32"
        reasons[0] = f"this machine has {'' if fast else 'no '}bfloat16 arithmetic"
    excluded = config.distribute != "off" or (on_gpu and config.deterministic)
    if jit_compile == "on" and excluded:
        other = "--deterministic, on a GPU," if config.distribute == "off" else f"--distribute={config.distribute}"
        raise SettingError(f"--jit_compile=on: {other} excludes XLA; leave one of them out")
    if jit_compile == "auto":
        jit_compile = "on" if on_gpu and not config.deterministic else "off"
        reasons[1] = "a GPU is used" if on_gpu else "oneDNN's convolutions are faster on a CPU"
        if on_gpu and config.deterministic:
            reasons[1] = "--deterministic excludes it"
    if config.distribute != "off":
        jit_compile, reasons[1] = "off", "--distribute excludes it"
    logging.info("Precision: %s, because %s. XLA: %s, because %s.", precision, reasons[0], jit_compile, reasons[1])
    return dataclasses.replace(config, precision=precision, jit_compile=jit_compile)


def _require_agreement(gather: distribution.Gather, config: TrainConfig, start: int, shape: tuple) -> None:
    """Raises SettingError where the workers are not about to do the same: they would train nonsense, or wait."""
    settings = {**config.to_dict(), "data_dir": "", "images": shape}
    told = gather([start, zlib.crc32(json.dumps(settings).encode())])
    if len(set(told[:, 0])) > 1:
        raise SettingError(
            f"--run_dir: workers found checkpoints of the steps {', '.join(map(str, told[:, 0]))}; "
            "give a folder that all of them share"
        )
    if len(set(told[:, 1])) > 1:
        raise SettingError("--distribute=multiworker: the workers' settings or images differ; start all of them alike")


def build(config: TrainConfig, total_steps: int, on_gpu: bool, strategy: tf.distribute.Strategy | None = None) -> DCGAN:
    """The compiled model of a resolved configuration whose run takes `total_steps` steps, on a strategy's devices."""

    def adam(rate: float) -> keras.optimizers.Optimizer:
        schedule = ConstantThenLinear(rate, total_steps, config.decay_fraction) if config.decay_fraction else rate
        optimizer = keras.optimizers.Adam(schedule, config.beta_1, config.beta_2, epsilon=1e-8)
        # float16 gradients underflow without scaling; Keras itself would scale one optimizer of the two.
        return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "mixed_float16" else optimizer

    with strategy.scope() if strategy else contextlib.nullcontext():
        networks = (
            build_generator(config.width, config.image_size, config.channels, config.latent_dim),
            build_discriminator(config.width, config.image_size, config.channels),
        )
        optimizers = adam(config.generator_learning_rate), adam(config.discriminator_learning_rate)
    model = functools.partial(distribution.ReplicatedDCGAN, strategy) if strategy else DCGAN
    gan = model(*networks, seed=config.seed)
    gan.compile(
        *optimizers,
        r1_weight=config.r1_weight,
        r1_every=config.r1_every,
        ema_half_life=config.ema_half_life,
        jit_compile=config.jit_compile == "on",
        steps_per_execution=config.steps_per_execution,
    )
    return gan


def _computes_in_bfloat16(on_gpu: bool) -> bool:
    if on_gpu:
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    try:
        return any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))
    except OSError:
        return False
