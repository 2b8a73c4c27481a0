"""How an export looks: the contact sheet for people, and what quantising costs in Fréchet distance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from absl import logging
from ai_edge_litert.interpreter import Interpreter

from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.named import DatasetUnavailable, load_images
from keras_dcgan.generators import draw_images, draw_latents
from keras_dcgan.metrics.classifiers import CHECKSUMS
from keras_dcgan.metrics.distances import frechet_distance
from keras_dcgan.metrics.features import load_extractor
from keras_dcgan.metrics.report import make_reference
from keras_dcgan.networks import latent_dim_of, with_labels
from keras_dcgan.pipeline import to_uint8
from keras_dcgan.tools import draw, terminal

COLUMNS = 12  # pictures in a row of the contact sheet
LABEL_WIDTH, HEADER_HEIGHT = 150, 18  # pixels
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
# Of the Fréchet distances: hardly the reals by which a run chose its best, and no latents of the contact sheet.
REALS_SEED, LATENTS_SEED, LABELS_SEED = 10, 11, 12


def write_contact_sheet(path: Path, rows: dict[str, np.ndarray], classes: Sequence[str] = ()) -> None:
    """Draws a labelled row for each source, the same latents below each other.

    Args:
      path: the image file.
      rows: label -> images float32 [N, S, S, C] in [-1, 1], of which the first `COLUMNS` are drawn.
      classes: the name of each column's class, which is written above it.

    Examples:
      >>> images = np.zeros((12, 16, 16, 3), np.float32)
      >>> write_contact_sheet(Path("sheet.png"), {"Keras": images, "int8": images})
      >>> cv2.imread("sheet.png").shape  # 150 pixels for the names, and 12 images of 16
      (36, 342, 3)
    """
    size = next(iter(rows.values())).shape[1]
    lines = [_header(classes[:COLUMNS], size, LABEL_WIDTH + COLUMNS * size)] if classes else []
    for label, images in rows.items():
        line = draw.make_grid(to_uint8(images[:COLUMNS]), COLUMNS)  # (S, COLUMNS * S, C)
        line = np.repeat(line, 3, axis=-1) if line.shape[-1] == 1 else line
        name = np.full((line.shape[0], LABEL_WIDTH, 3), 255, np.uint8)
        _write(name, label, 6, line.shape[0] // 2 + 4)
        lines += [np.concatenate([name, line], axis=1), np.full((2, LABEL_WIDTH + line.shape[1], 3), 255, np.uint8)]
    draw.write_image(path, np.concatenate(lines))


def _header(names: Sequence[str], size: int, width: int) -> np.ndarray:
    """A row of class names, uint8 [HEADER_HEIGHT, width, 3], above columns of `size` pixels; long ones are cut."""
    header = np.full((HEADER_HEIGHT, width, 3), 255, np.uint8)
    for column, name in enumerate(names):
        while cv2.getTextSize(name, FONT, FONT_SCALE, 1)[0][0] > size - 4:
            name = name[:-1]
        _write(header, name, LABEL_WIDTH + column * size + 2, HEADER_HEIGHT - 5)
    return header


def _write(image: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(image, text, (x, y), FONT, FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)


def frechet_distances(
    config: TrainConfig,
    generator: keras.Model,
    files: dict[str, Path],
    samples: int,
    classes: Classes | None = None,
) -> dict[str, Any] | None:
    """The Fréchet distances from the data set to Keras's samples and to each file's, all from the same latents.

    Args:
      config: of the run; its data set must have a classifier of its own, because other features are too coarse.
      generator: latents [N, Z] -> images.
      files: name -> `.tflite` file.
      samples: how many are drawn, and how many reals they are compared with.
      classes: of a generator with classes; labels are drawn in their mix.

    Returns:
      The name of the "features", the number of "samples", and distances: "real" (reals against other reals), "keras",
      and one for each name in `files`. None, with a log line, if the data set or its features cannot be had.
    """
    if config.dataset not in CHECKSUMS:
        logging.info("Fréchet distance: not measured, because %s has no classifier here", config.dataset)
        return None
    try:
        data = load_images(config.dataset, config.data_dir or None)
    except DatasetUnavailable as error:
        logging.info("Fréchet distance: not measured. %s", str(error).splitlines()[0])
        return None
    extractor = load_extractor(config.dataset, cheap=True)
    reference = make_reference(extractor, data, config.image_size, config.channels, samples, REALS_SEED)
    samples = reference.samples
    latents = draw_latents(samples, latent_dim_of(generator), LATENTS_SEED)
    labels = classes.draw(samples, LABELS_SEED) if classes else None
    drawn = extractor(draw_images(generator, with_labels(latents, labels)))
    found = {"real": reference.floor, "keras": frechet_distance(reference.features, drawn)}
    with terminal.progress("drawing for the Fréchet distance", len(files) * samples) as progress:
        for name, file in files.items():
            generate = Interpreter(str(file), num_threads=2).get_signature_runner("generate")
            pictures = []
            for i in range(samples):
                label = {} if labels is None else {"label": labels[i : i + 1]}
                pictures.append(to_uint8(generate(latents=latents[i : i + 1], **label)["images"]))
                progress.update(1)
            found[name] = frechet_distance(reference.features, extractor(np.concatenate(pictures)))
    return {"features": extractor.name, "samples": samples, **found}
