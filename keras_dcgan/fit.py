"""python -m keras_dcgan.fit: trains a DCGAN and leaves pictures, curves and a generator in a run folder."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from absl import flags, logging

from keras_dcgan import cli, cluster, inputs, runs
from keras_dcgan.config import PRESETS, SettingError, TrainConfig, from_preset, read_config
from keras_dcgan.files import DamagedFile
from keras_dcgan.quiet import import_tensorflow

USAGE = """
Trains a DCGAN and writes samples/, losses.png, metrics.png, history.csv and generator.keras to a run folder.

  python -m keras_dcgan.fit                      digits, with what suits this machine
  python -m keras_dcgan.fit --dataset=fashion_mnist --run_dir=runs/fashion
  python -m keras_dcgan.fit --dataset=photos/ --image_size=64 --mirror
  python -m keras_dcgan.fit --run_dir=runs/fashion --resume
  python -m keras_dcgan.fit --preset=tutorial    the seed document's recipe, exactly

Values in brackets are the presets' defaults.
"""

ALONE = cluster.Member()


def define_flags() -> None:
    """The flags of this command alone; those of the configuration come from `TrainConfig`."""
    flags.DEFINE_enum(
        "preset", "auto", ["auto", *PRESETS], "where settings start: tutorial is the seed's recipe, full our own at "
        "its width, quick our own for CPUs; auto takes full on a GPU and quick on a CPU",
    )  # fmt: skip
    flags.DEFINE_string("run_dir", "", "folder for the results, new or empty unless resumed [runs/DATASET]")
    flags.DEFINE_boolean("resume", False, "go on from the newest checkpoint in --run_dir")


def main() -> None:
    """The command: flags to a configuration, then `train`."""
    given = cli.given_settings()
    preset, resume = flags.FLAGS.preset, flags.FLAGS.resume
    with contextlib.ExitStack() as held:
        try:
            if "dataset" in given:
                given["dataset"] = inputs.resolve(given["dataset"])
            folder = Path(flags.FLAGS.run_dir or Path("runs") / Path(given.get("dataset", "mnist")).stem)
            # Whatever may be meant is checked before TensorFlow, which takes seconds, is loaded.
            # Of several workers the chief begins the folder, which the others may find begun, or not yet.
            worker = ALONE
            if _distribute(folder, given, resume) == "multiworker":
                worker = cluster.member()
                if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "2":
                    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # a lost worker is told below, in one line
            if resume:
                configs = {"own": runs.check_resume(folder, preset, given)}
            else:
                if worker.chief:
                    runs.check_new(folder)
                configs = {name: from_preset(name, given) for name in (PRESETS if preset == "auto" else [preset])}
            config = next(iter(configs.values()))
            if Path(inputs.resolve(config.dataset)) in folder.resolve().parents:
                raise ValueError(f"--run_dir={folder}: lies in --dataset, where its pictures would be taken for data")
            data_dir = config.data_dir
            if data_dir and not Path(data_dir).is_dir():
                raise ValueError(f"--data_dir={data_dir}: no such folder")
            if given.get("tensorboard"):
                _require_tensorboard()
            if worker.chief:
                cli.make_folder("run_dir", folder, folder)
                held.enter_context(runs.lock(folder))
        except ValueError as error:
            raise cli.UserError(str(error)) from error
        _run(configs, folder, resume, worker)


def _distribute(folder: Path, given: dict[str, Any], resume: bool) -> str:
    """The run's `--distribute`, before its settings are checked."""
    if "distribute" in given or not (resume and (folder / runs.CONFIG).is_file()):
        return given.get("distribute", "off")
    return read_config(folder / runs.CONFIG).distribute


def _run(configs: dict[str, TrainConfig], folder: Path, resume: bool, worker: cluster.Member = ALONE) -> None:
    """Chooses between the presets by the machine, trains, and turns the way it ended into messages and exit codes."""
    import_tensorflow()
    import tensorflow as tf

    from keras_dcgan import datasets, distribution, training

    gpus = tf.config.list_physical_devices("GPU")
    config = next(iter(configs.values()))
    if len(configs) > 1:
        config = configs["full" if gpus else "quick"]
        machine = "a GPU" if gpus else "no GPU that TensorFlow sees"
        logging.info("Preset: %s, because this machine has %s.", config.preset, machine)
    try:
        outcome = training.train(config, folder, resume)
    except (SettingError, DamagedFile) as error:
        raise cli.UserError(str(error)) from error
    except datasets.DatasetUnavailable as error:
        raise cli.Fault(str(error)) from error
    except tf.errors.ResourceExhaustedError as error:
        raise cli.Fault(
            f"--batch_size={config.batch_size}: memory does not suffice; "
            f"try --batch_size={max(2, config.batch_size // 2)}"
        ) from error
    except distribution.LOST as error:
        if worker.count == 1:
            raise
        raise cli.Fault(
            f"worker {worker.index}: another worker ended or cannot be reached; what it said tells why. Start all of "
            f"them again, with --resume. TensorFlow says: {distribution.reason(error)}"
        ) from error
    again = f"python -m keras_dcgan.fit --run_dir={folder} --resume"
    if outcome.stopped_by:
        name = signal.Signals(outcome.stopped_by).name
        logging.info("%s: stopped at step %d of %d, with everything saved.", name, outcome.step, outcome.total_steps)
        logging.info("Go on with: %s", again)
        sys.exit(128 + outcome.stopped_by)
    if not worker.chief:
        logging.info("Done: %d steps. The chief has written the results.", outcome.step)
        return
    logging.info("Done: %d steps. The generator is in %s. Draw with:", outcome.step, folder / runs.GENERATOR)
    logging.info("python -m keras_dcgan.sample --run_dir=%s --out=grid.png", folder)


def _require_tensorboard() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ValueError("--tensorboard: TensorBoard is not installed; run 'pip install tensorboard'") from None


if __name__ == "__main__":
    define_flags()
    cli.define_config_flags()
    cli.run(main, USAGE, ["preset", "run_dir", "resume"], with_config=True)
