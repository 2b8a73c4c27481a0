"""Trained generators: saved, loaded, and drawn from."""

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_dcgan import layers  # noqa: F401  (a network saved as it was built names them)
from keras_dcgan.networks import float32_copy
from keras_dcgan.pipeline import to_uint8
from keras_dcgan.runs import DISCRIMINATOR, GENERATOR, RAW_GENERATOR
from keras_dcgan.tools.files import BadFile, atomic_path

if TYPE_CHECKING:
    from keras_dcgan.gan import DCGAN

STEPS_BETWEEN = 24  # frames from one latent vector to the next


def save_network(path: Path, network: keras.Model) -> None:
    """Writes a network atomically as a `.keras` file that computes in float32, whatever it was trained in."""
    if time.localtime().tm_year < 1980:  # a board without a battery starts in 1970, and ZIP archives in 1980
        raise OSError(f"{path}: this machine's clock is before 1980, which the file cannot hold; set it, then --resume")
    with atomic_path(path) as temporary:
        float32_copy(network).save(temporary)


def save_networks(folder: Path, gan: "DCGAN") -> None:
    """Writes the averaged generator, the discriminator, and the generator as trained if the first is an average."""
    gan.refresh_averaged()
    save_network(folder / GENERATOR, gan.averaged)
    save_network(folder / DISCRIMINATOR, gan.discriminator)
    if gan.averaged is not gan.generator:
        save_network(folder / RAW_GENERATOR, gan.generator)


def load_generator(path: str | Path) -> keras.Model:
    """Loads the generator in a `.keras` file: latents [N, Z] -> images [N, S, S, C] in [-1, 1].

    Nothing in the file is executed or unpickled: Keras's safe mode is on. Raises BadFile, naming the file, if it is
    missing, cut, or not a generator.
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise BadFile(f"{path}: not a .keras file, or cut")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds, some with pages of text
        raise BadFile(f"{path}: cannot be loaded: {str(error).strip().splitlines()[0][:200]}") from error
    inputs, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not (isinstance(inputs, tuple) and len(inputs) == 2 and isinstance(outputs, tuple) and len(outputs) == 4):
        raise BadFile(f"{path}: holds a model, but not a generator (latents [N, Z] -> images [N, S, S, C])")
    return model


def draw_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latents float32 [count, latent_dim] from N(0, 1); the same seed gives the same ones on every machine."""
    return np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32)


def draw_images(generator: keras.Model, latents: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Draws latents float32 [N, Z] as uint8 [N, S, S, C]. Raises FloatingPointError if a value is not finite."""
    return to_uint8(generator.predict(latents, batch_size=batch_size, verbose=0))


def interpolate(latents: np.ndarray, steps: int = STEPS_BETWEEN) -> Iterator[np.ndarray]:
    """Walks from each latent vector [Z] to the next and back to the first, `steps` spherical steps each (White 2016).

    Straight lines between N(0, 1) vectors pass through lengths that the generator never saw; these keep theirs.
    """
    for start, end in zip(latents, np.roll(latents, -1, axis=0), strict=True):
        cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        for t in np.arange(steps) / steps:
            if np.sin(angle) < 1e-6:  # the same direction: the two formulas meet
                yield ((1 - t) * start + t * end).astype(np.float32)
            else:
                yield ((np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)).astype(np.float32)
