"""python -m keras_dcgan.fit: trains a DCGAN and leaves pictures, curves and a generator in a run folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, runs
from keras_dcgan.config import PRESETS, TrainConfig, from_preset

if TYPE_CHECKING:
    from keras_dcgan.gan import DCGAN

USAGE = """
Trains a DCGAN and writes samples/, losses.png, history.csv and generator.keras to a run folder.

  python -m keras_dcgan.fit                      digits, with what suits this machine
  python -m keras_dcgan.fit --dataset=fashion_mnist --run_dir=runs/fashion
  python -m keras_dcgan.fit --preset=tutorial    the seed document's recipe, exactly

Values in brackets are the presets' defaults.
"""


def define_flags() -> None:
    """The flags of this command alone; those of the configuration come from `TrainConfig`."""
    flags.DEFINE_enum(
        "preset", "auto", ["auto", *PRESETS], "where settings start: tutorial is the seed's recipe, quick is for CPUs, "
        "auto takes tutorial on a GPU and quick on a CPU",
    )  # fmt: skip
    flags.DEFINE_string("run_dir", "", "folder for the results, new or empty [runs/DATASET]")


def main() -> None:
    """The command: flags to a configuration, then `train`."""
    given = cli.given_settings()
    preset, run_dir = flags.FLAGS.preset, flags.FLAGS.run_dir
    try:
        # Every preset that may be meant is checked before TensorFlow, which takes seconds, is loaded.
        configs = {name: from_preset(name, given) for name in (PRESETS if preset == "auto" else [preset])}
        dataset = next(iter(configs.values())).dataset
        folder = runs.check_new(run_dir or Path("runs") / dataset)
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    data_dir = given.get("data_dir")
    if data_dir and not Path(data_dir).is_dir():
        raise cli.UserError(f"--data_dir={data_dir}: no such folder")

    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if given.get("tensorboard"):
        _require_tensorboard()
    if preset == "auto":
        config = configs["tutorial" if gpus else "quick"]
        logging.info(
            "Preset: %s, because this machine has %s.",
            config.preset,
            "a GPU" if gpus else "no GPU that TensorFlow sees",
        )
    else:
        config = configs[preset]
    train(config, folder, on_gpu=bool(gpus))


def train(config: TrainConfig, folder: Path, on_gpu: bool = False) -> "DCGAN":
    """Trains by a configuration into a new run folder and returns the model.

    Ctrl-C stops after the step in hand and saves what there is, then exits with 130. Raises cli.UserError for settings
    that do not fit the data, cli.Fault where the data set cannot be had, FloatingPointError where a loss is not finite,
    OSError where the folder cannot be written.
    """
    import keras

    from keras_dcgan import callbacks, datasets, images, pipeline

    try:
        data = datasets.load_images(config.dataset, config.data_dir or None)
    except datasets.DatasetUnavailable as error:
        raise cli.Fault(str(error)) from error
    if config.shuffle == "once":
        data = data[np.random.RandomState(1).permutation(len(data))]  # the seed document's own permutation
    steps_per_epoch = -(-len(data) // config.batch_size)
    if not config.steps and steps_per_epoch % config.steps_per_execution:
        # Keras would run over the epoch's end to the next multiple.
        raise cli.UserError(
            f"--steps_per_execution={config.steps_per_execution}: must divide the {steps_per_epoch} steps of an epoch; "
            "or give the run's length as --steps"
        )
    total_steps = config.steps or config.epochs * steps_per_epoch

    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    gan = build(config, total_steps, on_gpu)
    dataset = pipeline.make_dataset(
        data,
        config.batch_size,
        config.image_size,
        config.channels,
        config.shuffle == "epoch",
        config.seed,
        first_step=0,
    )
    reals = images.to_uint8(pipeline.transform(data[: config.sample_count], config.image_size, config.channels).numpy())
    latents = runs.draw_latents(config.sample_count, config.latent_dim, config.seed)
    tensorboard = folder / "tensorboard" if config.tensorboard else None
    watchers = [
        callbacks.SampleGrid(folder / "samples", latents, reals, config.sample_every, tensorboard),
        callbacks.RunHistory(folder, config.log_every, steps_per_epoch, tensorboard),
    ]
    if not sys.stdout.isatty():
        watchers.append(callbacks.TextProgress(total_steps))
    logging.info(
        "%s: %d images, %d steps of %d, width %d, %dx%dx%d, into %s", config.dataset, len(data), total_steps,
        config.batch_size, config.width, config.image_size, config.image_size, config.channels, folder,
    )  # fmt: skip
    runs.begin(folder, config, device="GPU" if on_gpu else "CPU")
    interrupted = False
    try:
        gan.fit(
            dataset,
            # --steps is one long epoch, so that the progress bar tells the time left of the whole run.
            epochs=1 if config.steps else config.epochs,
            steps_per_epoch=config.steps or steps_per_epoch,
            callbacks=watchers,
            shuffle=False,  # the data set shuffles itself
            verbose=1 if sys.stdout.isatty() else 0,
        )
    except KeyboardInterrupt:
        interrupted = True
        for watcher in watchers:
            watcher.on_train_end()
    runs.save_networks(folder, gan.generator, gan.discriminator)
    if interrupted:
        logging.info("Stopped at step %d; the generator so far is in %s", watchers[0].step, folder / runs.GENERATOR)
        sys.exit(130)
    logging.info(
        "Saved %s. Draw with: python -m keras_dcgan.sample --run_dir=%s --out=grid.png", folder / runs.GENERATOR, folder
    )
    return gan


def build(config: TrainConfig, total_steps: int, on_gpu: bool) -> "DCGAN":
    """The compiled model of a configuration whose run takes `total_steps` steps; logs whether XLA is in force."""
    import keras

    from keras_dcgan.gan import DCGAN, ConstantThenLinear
    from keras_dcgan.networks import build_discriminator, build_generator

    def adam(rate: float) -> keras.optimizers.Optimizer:
        schedule = ConstantThenLinear(rate, total_steps, config.decay_fraction) if config.decay_fraction else rate
        optimizer = keras.optimizers.Adam(schedule, config.beta_1, config.beta_2, epsilon=1e-8)
        # float16 gradients underflow without scaling; Keras itself would scale one optimizer of the two.
        return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "mixed_float16" else optimizer

    jit_compile = on_gpu if config.jit_compile == "auto" else config.jit_compile == "on"
    reason = f"--jit_compile={config.jit_compile}"
    if config.jit_compile == "auto":
        reason = "a GPU is used" if on_gpu else "oneDNN's convolutions are faster on a CPU"
    logging.info("XLA: %s, because %s. Precision: %s.", "on" if jit_compile else "off", reason, config.precision)
    gan = DCGAN(
        build_generator(config.width, config.image_size, config.channels, config.latent_dim),
        build_discriminator(config.width, config.image_size, config.channels),
        seed=config.seed,
    )
    gan.compile(
        adam(config.generator_learning_rate),
        adam(config.discriminator_learning_rate),
        r1_weight=config.r1_weight,
        jit_compile=jit_compile,
        steps_per_execution=config.steps_per_execution,
    )
    return gan


def _require_tensorboard() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise cli.UserError("--tensorboard: TensorBoard is not installed; run 'pip install tensorboard'") from None


if __name__ == "__main__":
    define_flags()
    cli.define_config_flags()
    cli.run(main, USAGE, ["preset", "run_dir"], with_config=True)
