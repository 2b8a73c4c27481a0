"""What people look at to judge an export: the contact sheet, and what quantising costs in Fréchet distance."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from keras_dcgan import images

if TYPE_CHECKING:
    import keras

    from keras_dcgan.config import TrainConfig

LABEL_WIDTH = 150  # pixels
LATENTS_SEED = 11  # of the Fréchet distances; not the one of the contact sheet


def write_contact_sheet(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Draws a labelled row per source, the same latents below each other.

    Args:
      path: the image file.
      rows: label -> images float32 [N, S, S, C] in [-1, 1].
    """
    lines = []
    for label, drawn in rows.items():
        line = images.make_grid(images.to_uint8(drawn), columns=len(drawn))  # (S, N * S, C)
        line = np.repeat(line, 3, axis=-1) if line.shape[-1] == 1 else line
        name = np.full((line.shape[0], LABEL_WIDTH, 3), 255, np.uint8)
        middle = (6, line.shape[0] // 2 + 4)
        cv2.putText(name, label, middle, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        lines += [np.concatenate([name, line], axis=1), np.full((2, LABEL_WIDTH + line.shape[1], 3), 255, np.uint8)]
    images.write_image(path, np.concatenate(lines))


def frechet_distances(
    config: "TrainConfig", generator: "keras.Model", files: dict[str, Path], samples: int, tell: Callable[[str], None]
) -> tuple[str, dict[str, float]] | None:
    """The Fréchet distance to the data set of Keras's samples and of each file's, all from the same latents.

    Args:
      config: of the run; its data set must have a classifier of its own, or there is nothing to tell with.
      generator: latents [N, Z] -> images.
      files: name -> `.tflite` file.
      samples: how many are drawn, and how many reals they are compared with.
      tell: called with a line about what is going on.

    Returns:
      The name of the features, and the distance by name, "keras" and "real" (real against other reals) among them;
      None where the data set or its features cannot be had.
    """
    from keras_dcgan import datasets, features, metrics, quality, runs

    if config.dataset not in features.CHECKSUMS:
        tell(f"Fréchet distance: not measured, {config.dataset} has no classifier here")
        return None
    try:
        data = datasets.load_images(config.dataset, config.data_dir or None)
    except datasets.DatasetUnavailable as error:
        tell(f"Fréchet distance: not measured. {str(error).splitlines()[0]}")
        return None
    extractor = features.load_extractor(config.dataset, cheap=True)
    chosen = data[np.random.default_rng(0).permutation(len(data))[: 2 * samples]]
    reals, others = np.array_split(extractor(quality.as_generated(chosen, config.image_size, config.channels)), 2)
    found = {"real": metrics.frechet_distance(reals, others)}
    latents = runs.draw_latents(samples, generator.input_shape[-1], LATENTS_SEED)
    tell(f"Fréchet distance: drawing {samples} samples with Keras and each file")
    drawn = images.to_uint8(generator.predict(latents, batch_size=100, verbose=0))
    found["keras"] = metrics.frechet_distance(reals, extractor(drawn))
    for name, file in files.items():
        drawn = np.concatenate([images.to_uint8(picture) for picture in draw(file, latents)])
        found[name] = metrics.frechet_distance(reals, extractor(drawn))
    return extractor.name, found


def draw(file: Path, latents: np.ndarray) -> Iterator[np.ndarray]:
    """The images float32 [1, S, S, C] that a `.tflite` file gives for latents [N, Z], one after the other."""
    from ai_edge_litert.interpreter import Interpreter

    generate = Interpreter(str(file), num_threads=2).get_signature_runner("generate")
    for row in latents:
        yield generate(latents=row[np.newaxis])["images"]
