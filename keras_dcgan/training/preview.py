"""The picture `dataset.png`: some of the images that a run trains on, as the networks will see them."""

import numpy as np

from keras_dcgan import pipeline
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.data import Data
from keras_dcgan.tools import draw
from keras_dcgan.training.watchers import choose_reals, shuffled_indices

SHOWN = 16  # images, or rows with a class each
COLUMNS = 8  # images of a class
SIDE = 128  # pixels up to which small images are enlarged


def draw_preview(data: Data, config: TrainConfig) -> np.ndarray:
    """Sixteen images, or a row for each class in the order of the labels: uint8 [H, W, C].

    The seed chooses the images. Of more than sixteen classes the largest are shown; a class of few images leaves the
    end of its row black.
    """
    if data.classes is None:
        images, columns = choose_reals(data, config, SHOWN), None
    else:
        images, columns = _choose_of_each_class(data, config), COLUMNS
    return draw.make_grid(draw.enlarge(images, config.image_size, SIDE), columns)


def describe(data: Data) -> str:
    """What `draw_preview` shows, for the log."""
    if data.classes is None:
        return "Some of them as the network will see them"
    which = f"the {SHOWN} largest of the classes" if len(data.classes) > SHOWN else "each class"
    return f"A row for {which}, as the network will see them"


def shown_classes(data: Data) -> np.ndarray:
    """The labels of the classes that have a row, in order: int [R]."""
    return np.sort(np.argsort(-np.array(data.classes.counts if data.classes else ()), kind="stable")[:SHOWN])


def _choose_of_each_class(data: Data, config: TrainConfig) -> np.ndarray:
    """Images of each class that has a row: uint8 [R * COLUMNS, S, S, C]."""
    shuffled = shuffled_indices(data, config)
    labels = np.asarray(data.labels)[shuffled]
    size = config.image_size
    shown = shown_classes(data)
    images = np.zeros((len(shown), COLUMNS, size, size, config.channels), np.uint8)
    for row, label in enumerate(shown):
        chosen = shuffled[labels == label][:COLUMNS]
        images[row, : len(chosen)] = pipeline.as_generated(data.images[chosen], size, config.channels)
    return images.reshape(-1, *images.shape[2:])
