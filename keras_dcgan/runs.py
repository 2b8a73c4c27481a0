"""One run folder on disk: what lies in it, how it is begun, how a generator is saved and loaded."""

import importlib.metadata
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_dcgan.config import TrainConfig, write_config
from keras_dcgan.files import atomic_path

if TYPE_CHECKING:
    import keras

FORMAT = 1  # of the folder; a later one says how to read this one
GENERATOR = "generator.keras"
DISCRIMINATOR = "discriminator.keras"


def check_new(folder: str | Path) -> Path:
    """The path of a folder in which a run can begin: missing or empty. Raises ValueError where it is not."""
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise ValueError(f"--run_dir={folder}: holds a run already; give another folder, or remove this one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--run_dir={folder}: is there already and is no empty folder; give another one")
    return folder


def begin(folder: Path, config: TrainConfig, device: str) -> None:
    """Makes the folder and writes its `config.json`: all settings, versions, device, git commit, command line."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    about = {
        "format": FORMAT,
        "command": sys.argv,
        "device": device,
        "versions": _versions(),
        "git_commit": _git_commit(),
    }
    write_config(folder / "config.json", config, about)


def save_networks(folder: Path, generator: "keras.Model", discriminator: "keras.Model") -> None:
    """Writes both networks atomically as `.keras` files."""
    for network, name in ((generator, GENERATOR), (discriminator, DISCRIMINATOR)):
        with atomic_path(folder / name) as temporary:
            network.save(temporary)


def load_generator(path: str | Path) -> "keras.Model":
    """Loads the generator of a run folder or of a `.keras` file.

    Nothing in the file is executed or unpickled: Keras's safe mode is on. Raises ValueError, naming the file, where it
    is missing, cut, or no generator.
    """
    import keras

    path = Path(path)
    file = path / GENERATOR if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file}: no such file; a run writes it when it ends")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file}: not a .keras file, or cut")
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


def _versions() -> dict[str, str]:
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
