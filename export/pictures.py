"""How an export looks: the contact sheet for people, and what quantising costs in Fréchet distance."""

from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from absl import logging
from ai_edge_litert.interpreter import Interpreter

from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.named import DatasetUnavailable, load_images
from keras_dcgan.generators import draw_images, draw_latents
from keras_dcgan.metrics.distances import frechet_distance
from keras_dcgan.metrics.features import CHECKSUMS, load_extractor
from keras_dcgan.metrics.report import make_reference
from keras_dcgan.pipeline import to_uint8
from keras_dcgan.tools import draw, terminal

COLUMNS = 12  # pictures in a row of the contact sheet
LABEL_WIDTH = 150  # pixels
REALS_SEED, LATENTS_SEED = 0, 11  # of the Fréchet distances; other latents than those of the contact sheet


def write_contact_sheet(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Draws a labelled row for each source, the same latents below each other.

    Args:
      path: the image file.
      rows: label -> images float32 [N, S, S, C] in [-1, 1], of which the first `COLUMNS` are drawn.
    """
    lines = []
    for label, images in rows.items():
        line = draw.make_grid(to_uint8(images[:COLUMNS]), COLUMNS)  # (S, COLUMNS * S, C)
        line = np.repeat(line, 3, axis=-1) if line.shape[-1] == 1 else line
        name = np.full((line.shape[0], LABEL_WIDTH, 3), 255, np.uint8)
        middle = (6, line.shape[0] // 2 + 4)
        cv2.putText(name, label, middle, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        lines += [np.concatenate([name, line], axis=1), np.full((2, LABEL_WIDTH + line.shape[1], 3), 255, np.uint8)]
    draw.write_image(path, np.concatenate(lines))


def frechet_distances(
    config: TrainConfig, generator: keras.Model, files: dict[str, Path], samples: int
) -> dict[str, Any] | None:
    """The Fréchet distances from the data set to Keras's samples and to each file's, all from the same latents.

    Args:
      config: of the run; its data set must have a classifier of its own, because other features are too coarse.
      generator: latents [N, Z] -> images.
      files: name -> `.tflite` file.
      samples: how many are drawn, and how many reals they are compared with.

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
    latents = draw_latents(samples, generator.input_shape[-1], LATENTS_SEED)
    drawn = extractor(draw_images(generator, latents))
    found = {"real": reference.floor, "keras": frechet_distance(reference.features, drawn)}
    with terminal.progress("drawing for the Fréchet distance", len(files) * samples) as progress:
        for name, file in files.items():
            generate = Interpreter(str(file), num_threads=2).get_signature_runner("generate")
            pictures = []
            for row in latents:
                pictures.append(to_uint8(generate(latents=row[np.newaxis])["images"]))
                progress.update(1)
            found[name] = frechet_distance(reference.features, extractor(np.concatenate(pictures)))
    return {"features": extractor.name, "samples": samples, **found}
