"""One run folder on disk: what lies in it, its lock, how it is begun, how a generator is saved and loaded."""

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dcgan.config import TrainConfig, read_config, write_config
from keras_dcgan.files import atomic_path, is_temporary, remove_temporaries
from keras_dcgan.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

    from keras_dcgan.gan import DCGAN

GENERATOR = "generator.keras"
RAW_GENERATOR = "generator-raw.keras"  # the weights as trained, where generator.keras holds their average
BEST_GENERATOR = "generator-best.keras"  # the smallest Fréchet distance measured in the run
DISCRIMINATOR = "discriminator.keras"
GENERATORS = {"last": GENERATOR, "best": BEST_GENERATOR, "raw": RAW_GENERATOR}
CONFIG = "config.json"
LOCK = ".lock"
DATASET_REPORT = "dataset.json"  # what was found in the data set; written before the run begins
DATASET_PICTURE = "dataset.png"

# What a resumed run may change: how long it is, what it writes, how it is executed; nothing that changes the results,
# as XLA does, which rounds otherwise.
RESUMABLE = {
    "data_dir", "cache_dir", "epochs", "steps", "distribute", "steps_per_execution", "sample_every", "log_every",
    "checkpoint_every", "checkpoint_minutes", "tensorboard",
}  # fmt: skip


def check_new(folder: str | Path) -> Path:
    """The path of a folder in which a run can begin: missing or empty. Raises ValueError where it is not."""
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise ValueError(
            f"--run_dir={folder}: holds a run already; add --resume to go on with it (make fit FLAGS=--resume), "
            "or give another folder"
        )
    left = (LOCK, DATASET_REPORT, DATASET_PICTURE)  # by a start that was refused for its data, or killed
    if folder.exists() and (
        not folder.is_dir() or any(path.name not in left and not is_temporary(path) for path in folder.iterdir())
    ):
        raise ValueError(f"--run_dir={folder}: is there already and is no empty folder; give another one")
    return folder


def check_resume(folder: str | Path, preset: str, given: dict[str, Any]) -> TrainConfig:
    """The configuration with which a run goes on: its own, with those of the given settings that may change.

    Args:
      folder: the run folder.
      preset: a preset's name, or "auto" where none was asked for.
      given: the settings on the command line.

    Raises ValueError, naming the setting, for one that would change the results, and where there is no run.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"--resume: {folder} holds no run; leave --resume out to begin one")
    own = read_config(folder / CONFIG)
    if preset not in ("auto", own.preset):
        raise ValueError(f"--preset={preset}: this run began from {own.preset}; begin a new run")
    if "epochs" in given and given.get("steps"):
        raise ValueError("--epochs and --steps: give one of them, not both")
    given = {name: value for name, value in given.items() if value != "auto"}  # it was decided when the run began
    for name, value in given.items():
        before = getattr(own, name)
        if value == before and not (name == "epochs" and own.steps):
            continue
        if name not in RESUMABLE:
            raise ValueError(
                f"--{name}={value}: this run has {before}; it would change the results, so begin a new run"
            )
        if name in ("epochs", "steps") and own.decay_fraction:
            length = f"--steps={own.steps}" if own.steps else f"--epochs={own.epochs}"
            raise ValueError(
                f"--{name}={value}: this run has {length}, and its learning rates fall with its length; begin a new run"
            )
    if "epochs" in given:
        given = {**given, "steps": 0}
    return dataclasses.replace(own, **given)


@contextlib.contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Holds a run folder, which is made where it is missing, for this process alone.

    The operating system lets go of the lock when the process ends, however it ends. Raises ValueError where another
    process holds it, and OSError where the folder cannot be made or written.
    """
    import fcntl

    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--run_dir={folder}: another process is training here") from None
        yield


def begin(folder: Path, config: TrainConfig, device: str) -> None:
    """Makes the folder and writes its `config.json`: all settings, versions, device, git commit, command line.

    Nothing is written before that file: a folder without it is as good as new to the next start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    about = {
        "command": sys.argv,
        "device": device,
        "versions": versions(),
        "git_commit": _git_commit(),
    }
    write_config(folder / CONFIG, config, about)


def go_on(folder: Path, config: TrainConfig) -> None:
    """Writes the settings that a resumed run has now to its `config.json`, and clears away what a kill has left."""
    for place in (folder, folder / "samples", folder / "checkpoints"):
        remove_temporaries(place)
    if read_config(folder / CONFIG) != config:
        about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        del about["format"], about["config"]
        write_config(folder / CONFIG, config, about)


def save_network(path: Path, network: "keras.Model") -> None:
    """Writes a network atomically as a `.keras` file that computes in float32, whatever it was trained in."""
    from keras_dcgan.networks import float32_copy

    if time.localtime().tm_year < 1980:  # a board without a battery begins in 1970
        raise OSError(f"{path}: cannot hold the time of this machine's clock, before 1980; set it, then --resume")
    with atomic_path(path) as temporary:
        float32_copy(network).save(temporary)


def save_networks(folder: Path, gan: "DCGAN") -> None:
    """Writes the generator that samples, the discriminator and, where the first is an average, the one as trained."""
    gan.refresh_averaged()
    save_network(folder / GENERATOR, gan.averaged)
    save_network(folder / DISCRIMINATOR, gan.discriminator)
    if gan.averaged is not gan.generator:
        save_network(folder / RAW_GENERATOR, gan.generator)


def load_generator(path: str | Path, which: str = "last") -> "keras.Model":
    """Loads a generator of a run folder ("last", "best" or "raw": `GENERATORS`), or the one in a `.keras` file.

    Nothing in the file is executed or unpickled: Keras's safe mode is on. Raises ValueError, naming the file, where it
    is missing, cut, or no generator.
    """
    path = Path(path)
    file = path / GENERATORS[which] if path.is_dir() else path
    if not file.is_file():
        there = [f"--which={name}" for name, other in GENERATORS.items() if (path / other).is_file()]
        why = f"; here is {' and '.join(there)}" if there else "; a run writes it when it ends"
        raise ValueError(f"{file}: no such file{why}")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file}: not a .keras file, or cut")
    import_tensorflow()
    import keras

    from keras_dcgan import layers  # noqa: F401  (a network saved as it was built names them)

    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds, some with pages of text
        raise ValueError(f"{file}: cannot be loaded: {str(error).strip().splitlines()[0][:200]}") from error
    inputs, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not (isinstance(inputs, tuple) and len(inputs) == 2 and isinstance(outputs, tuple) and len(outputs) == 4):
        raise ValueError(f"{file}: holds a model, but no generator (latents [N, Z] -> images [N, S, S, C])")
    return model


def draw_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latents float32 [count, latent_dim] from N(0, 1); the same seed gives the same ones on every machine."""
    return np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32)


def versions() -> dict[str, str]:
    """The releases of Python and of the libraries that results depend on."""
    packages = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "opencv-python-headless")
    found: dict[str, str] = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
