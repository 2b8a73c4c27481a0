"""Trained generators: saved, loaded, and drawn from."""

import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from keras_dcgan import layers  # noqa: F401  (a network saved as it was built names them)
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.networks import Inputs, count_classes, float32_copy, latent_dim_of
from keras_dcgan.pipeline import to_uint8, without_tuning
from keras_dcgan.runs import DISCRIMINATOR, GENERATOR, RAW_GENERATOR
from keras_dcgan.tools.files import BadFile, atomic_path

if TYPE_CHECKING:
    from keras_dcgan.gan import DCGAN

CLASSES = "classes.json"  # in the ZIP archive of a generator with classes
STEPS_BETWEEN = 24  # frames from one latent vector to the next
AS_FLOATS = 1024  # images in memory as float32 at a time


def save_network(path: Path, network: keras.Model, classes: Classes | None = None) -> None:
    """Writes a network atomically as a `.keras` file that computes in float32, whatever it was trained in.

    The file is a ZIP archive, to which `classes.json` is added if there are classes; Keras does not look at it.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> generator = build_generator(width=1, image_size=16, classes=2)
      >>> save_network(Path("pets.keras"), generator, Classes(names=("cat", "dog"), counts=(30, 20)))
      >>> load_classes("pets.keras")
      Classes(names=('cat', 'dog'), counts=(30, 20))
    """
    if time.localtime().tm_year < 1980:  # a board without a battery starts in 1970, and ZIP archives in 1980
        raise OSError(f"{path}: this machine's clock is before 1980, which the file cannot hold; set it, then --resume")
    with atomic_path(path) as temporary:
        float32_copy(network).save(temporary)
        if classes:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(CLASSES, json.dumps(classes.to_json()))


def save_networks(folder: Path, gan: "DCGAN") -> None:
    """Writes the averaged generator, the discriminator, and the generator as trained if the first is an average."""
    gan.refresh_averaged()
    save_network(folder / GENERATOR, gan.averaged, gan.classes)
    save_network(folder / DISCRIMINATOR, gan.discriminator)
    if gan.averaged is not gan.generator:
        save_network(folder / RAW_GENERATOR, gan.generator, gan.classes)


def load_generator(path: str | Path) -> keras.Model:
    """Loads the generator in a `.keras` file: latents [N, Z], or with labels -> images [N, S, S, C] in [-1, 1].

    Nothing in the file is executed or unpickled: Keras's safe mode is on. Raises BadFile, naming the file, if it is
    missing, cut, or not a generator.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> save_network(Path("generator.keras"), build_generator(width=1, image_size=16))
      >>> load_generator("generator.keras").output_shape
      (None, 16, 16, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise BadFile(f"{path}: not a .keras file, or cut")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds, some with pages of text
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise BadFile(f"{path}: cannot be loaded: {reason}") from error
    inputs = {getattr(tensor, "name", None) for tensor in getattr(model, "inputs", [])}
    parts = {layer.name for layer in getattr(model, "layers", [])}
    known = inputs == {"latents"} or (inputs == {"latents", "labels"} and {"one_hot", "latents_and_label"} <= parts)
    if not known or len(getattr(model, "output_shape", ())) != 4:
        raise BadFile(f"{path}: holds a model, but not a generator (latents [N, Z] -> images [N, S, S, C])")
    return model


def load_classes(path: str | Path) -> Classes | None:
    """The classes that a generator's file names, or None. Raises BadFile if they are damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if CLASSES not in archive.namelist():
                return None
            return Classes.from_json(json.loads(archive.read(CLASSES)))
    except (ValueError, RuntimeError, zipfile.BadZipFile) as error:  # a RuntimeError if it is encrypted
        raise BadFile(f"{path}: its {CLASSES} is damaged: {error}") from error


def name_classes(generator: keras.Model, path: str | Path) -> Classes | None:
    """The classes that a generator, loaded from `path`, draws; None if it takes no labels.

    If its file names none, they are numbers, all as frequent. Raises BadFile if they are damaged or do not fit.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> save_network(Path("generator.keras"), build_generator(width=1, image_size=16, classes=2))
      >>> name_classes(load_generator("generator.keras"), "generator.keras")
      Classes(names=('0', '1'), counts=(1, 1))
    """
    count = count_classes(generator)
    if not count:
        return None
    classes = load_classes(path) or Classes.numbered(count)
    if len(classes) != count:
        raise BadFile(f"{path}: its {CLASSES} names {len(classes)} classes, but the generator draws {count}")
    return classes


def class_mixer(generator: keras.Model) -> keras.Model:
    """A generator with K classes that can also draw what is between them; it shares the layers, and so the weights.

    It takes {"latents": float32 [N, Z], "mix": float32 [N, K]}, in which each row of the mix gives the share of every
    class. A row with a single 1 is that class.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> mixer = class_mixer(build_generator(width=1, image_size=16, classes=2))
      >>> draw_images(mixer, {"latents": draw_latents(1, 100, seed=0), "mix": np.array([[0.5, 0.5]])}).shape
      (1, 16, 16, 3)
    """
    latents = keras.Input((latent_dim_of(generator),), name="latents")
    mix = keras.Input((count_classes(generator),), name="mix")
    names = [layer.name for layer in generator.layers]
    first, *others = generator.layers[names.index("latents_and_label") :]
    x = first([latents, mix])
    for layer in others:
        x = layer(x)
    return keras.Model({"latents": latents, "mix": mix}, x, name="class_mixer")


def draw_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latents float32 [count, latent_dim] from N(0, 1); the same seed gives the same ones on every machine.

    Examples:
      >>> draw_latents(2, 3, seed=0).round(2)
      array([[ 1.12, -1.39, -0.43],
             [-0.8 ,  0.6 , -0.07]], dtype=float32)
    """
    return np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32)


def draw_images(generator: keras.Model, inputs: Inputs, batch_size: int = 64) -> np.ndarray:
    """Draws latents float32 [N, Z], or a dictionary of the generator's inputs, as uint8 [N, S, S, C].

    Raises FloatingPointError if a value is not finite.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> images = draw_images(build_generator(width=1, image_size=16), draw_latents(4, 100, seed=0))
      >>> images.shape, images.dtype
      ((4, 16, 16, 3), dtype('uint8'))
    """

    def draw(part: slice) -> np.ndarray:
        some = tf.data.Dataset.from_tensor_slices(keras.tree.map_structure(lambda values: values[part], inputs))
        return to_uint8(generator.predict(without_tuning(some.batch(batch_size)), verbose=0))

    count = len(keras.tree.flatten(inputs)[0])
    return np.concatenate([draw(slice(i, i + AS_FLOATS)) for i in range(0, count, AS_FLOATS)])


def interpolate(latents: np.ndarray, steps: int = STEPS_BETWEEN) -> Iterator[np.ndarray]:
    """Walks from each latent vector [Z] to the next and back to the first, `steps` spherical steps each (White 2016).

    Straight lines between N(0, 1) vectors pass through lengths that the generator never saw; these keep theirs.

    Examples:
      >>> np.stack(list(interpolate(np.array([[1.0, 0.0], [0.0, 1.0]]), steps=2))).round(2)
      array([[1.  , 0.  ],
             [0.71, 0.71],
             [0.  , 1.  ],
             [0.71, 0.71]], dtype=float32)
    """
    for start, end in zip(latents, np.roll(latents, -1, axis=0), strict=True):
        cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        for t in np.arange(steps) / steps:
            if np.sin(angle) < 1e-6:  # the same direction: the two formulas meet
                yield ((1 - t) * start + t * end).astype(np.float32)
            else:
                yield ((np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)).astype(np.float32)


def interpolate_labels(labels: np.ndarray, classes: int, steps: int = STEPS_BETWEEN) -> np.ndarray:
    """Walks from each label to the next and back to the first, in straight lines between their one-hot vectors.

    Labels int [P] -> the mix float32 [P * steps, classes] that a `class_mixer` takes, in step with `interpolate`.

    Examples:
      >>> interpolate_labels(np.array([0, 1]), classes=2, steps=2).tolist()
      [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]]
    """
    corners = np.eye(classes, dtype=np.float32)[labels]  # (P, K)
    t = (np.arange(steps, dtype=np.float32) / steps)[:, np.newaxis]  # (steps, 1)
    between = (1 - t) * corners[:, np.newaxis] + t * np.roll(corners, -1, axis=0)[:, np.newaxis]  # (P, steps, K)
    return between.reshape(-1, classes)
