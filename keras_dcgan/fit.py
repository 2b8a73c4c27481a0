"""python -m keras_dcgan.fit: trains a DCGAN and leaves pictures, curves and a generator in a run folder."""

import contextlib
import importlib.util
import os
import signal
import sys
from pathlib import Path

from absl import flags, logging

from keras_dcgan import cli, runs
from keras_dcgan.config import PRESETS, SettingError, TrainConfig, from_preset, is_path, setting_names
from keras_dcgan.datasets import source
from keras_dcgan.tools import storage, terminal
from keras_dcgan.training import cluster

USAGE = """
Trains a DCGAN and writes samples/, losses.png, metrics.png, history.csv and generator.keras to a run folder.

  python -m keras_dcgan.fit                      digits, with what suits this machine
  python -m keras_dcgan.fit --dataset=fashion_mnist --run_dir=runs/fashion
  python -m keras_dcgan.fit --dataset=photos/ --mirror
  python -m keras_dcgan.fit --run_dir=runs/fashion --resume
  python -m keras_dcgan.fit --preset=tutorial    the MXNet tutorial's recipe, exactly

Values in brackets are the presets' defaults.
"""


def define_flags(given: cli.Given) -> None:
    """The flags of this command: its own, and one for each setting."""
    flags.DEFINE_enum(
        "preset", "auto", ["auto", *PRESETS], "which defaults: 'tutorial' is the MXNet tutorial's recipe, 'full' our "
        "own at its width, 'quick' our own for CPUs; 'auto' is full on a GPU and quick on a CPU", flag_values=given,
    )  # fmt: skip
    cli.define_path(
        given,
        "run_dir",
        "folder for the results, new or empty unless resumed; also in object storage, such as s3://bucket/runs/faces "
        "[runs/DATASET]",
        remote=True,
    )
    flags.DEFINE_boolean("resume", False, "continue from the newest checkpoint in --run_dir", flag_values=given)
    cli.define_settings(given, [name for name in setting_names() if name != "preset"])


def main(given: cli.Given) -> None:
    """The command: everything that can be checked is checked before TensorFlow, which takes seconds, is loaded."""
    settings = cli.given_settings(given)
    settings.pop("preset", None)  # which may be "auto"
    if "dataset" in settings:
        settings["dataset"] = source.locate(settings["dataset"])
    data = Path(settings.get("dataset", "mnist"))
    place = given.run_dir or f"runs/{data.stem if data.is_file() else data.name}"
    with storage.local_folder(place, fetch=given.resume) as folder, contextlib.ExitStack() as held:
        worker = _worker(folder, settings, given.resume)
        configs = _configurations(given.preset, settings, folder, given.resume, worker)
        begins = worker.chief and not given.resume
        if begins and storage.is_remote(place) and not storage.Remote(place).is_empty(runs.LEFT):
            raise SettingError(f"run_dir={place}", "holds files; add --resume to continue a run, or give another place")
        _check(next(iter(configs.values())), folder)
        if worker.chief:
            cli.make_folder("run_dir", folder, folder)
            held.enter_context(runs.lock(folder))
        _train(configs, folder, place, given.resume, worker)


def _worker(folder: Path, settings: dict, resume: bool) -> cluster.Member:
    """Which worker this process is; the only one unless the run is distributed over several."""
    distribute = settings.get("distribute")
    if distribute is None and resume and (folder / runs.CONFIG).is_file():
        distribute = runs.read_config(folder / runs.CONFIG).distribute
    if distribute != "multiworker":
        return cluster.Member()
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "2":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow's pages on a lost worker: one line of ours says it
    return cluster.member()


def _configurations(
    preset: str, settings: dict, folder: Path, resume: bool, worker: cluster.Member
) -> dict[str, TrainConfig]:
    """The run's configuration by preset: several while "auto" waits for TensorFlow to look for a GPU."""
    if resume:
        own = runs.check_resume(folder, preset, settings)
        if is_path(own.dataset) and not storage.is_remote(own.dataset) and not Path(own.dataset).exists():
            raise SettingError(
                f"dataset={own.dataset}",
                "what this run trains on is not there any more; put it back, or add --dataset=… with its new place",
            )
        return {own.preset: own}
    if worker.chief:  # another worker may find the folder with the chief's run in it
        runs.check_new(folder)
    return {name: from_preset(name, settings) for name in (PRESETS if preset == "auto" else [preset])}


def _check(config: TrainConfig, folder: Path) -> None:
    """Raises SettingError, or UserError, for what does not fit this machine's files and packages."""
    if Path(source.locate(config.dataset)) in folder.resolve().parents:
        raise SettingError(f"run_dir={folder}", "lies in dataset, where its pictures would be taken for data")
    if config.data_dir and not Path(config.data_dir).is_dir():
        raise SettingError(f"data_dir={config.data_dir}", "no such folder")
    if config.cache_dir and is_path(config.dataset):
        cli.make_folder("cache_dir", config.cache_dir, Path(config.cache_dir))
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise SettingError("tensorboard", "TensorBoard is not installed; run 'pip install tensorboard'")


def _train(configs: dict[str, TrainConfig], folder: Path, place: str, resume: bool, worker: cluster.Member) -> None:
    """Chooses the preset by the machine, trains, and says how it ended and what to do next.

    The run works in `folder`, and people find it at `place`.
    """
    terminal.import_tensorflow()
    from keras_dcgan.training import loop, machine

    config = next(iter(configs.values()))
    if len(configs) > 1:
        config = configs["full" if machine.has_gpu() else "quick"]
        found = "a GPU" if machine.has_gpu() else "no GPU that TensorFlow sees"
        logging.info("Preset: %s, because this machine has %s.", config.preset, found)
    outcome = loop.train(config, folder, resume)
    if outcome.stopped_by:
        name = signal.Signals(outcome.stopped_by).name
        logging.info("%s: stopped at step %d of %d, with everything saved.", name, outcome.step, outcome.total_steps)
        logging.info("Resume with: %s", terminal.command("keras_dcgan.fit", run_dir=place, resume=True))
        sys.exit(128 + outcome.stopped_by)
    if not worker.chief:
        logging.info("Done: %d steps. The chief has written the results.", outcome.step)
        return
    logging.info(
        "Done: %d steps. The generator is in %s. Draw with:", outcome.step, os.path.join(place, runs.GENERATOR)
    )
    logging.info("%s", terminal.command("keras_dcgan.sample", run_dir=place, out="grid.png"))


def command() -> None:
    """The command line."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
