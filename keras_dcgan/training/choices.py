"""What suits the data, once they are open: the settings that are "auto" and depend on them."""

import dataclasses

from absl import logging

from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.data import Data, choose_size
from keras_dcgan.datasets.source import TYPICAL

WIDTHS = {16: 64, 32: 64, 64: 32, 128: 16, 256: 16}  # by size: fewer filters beside larger images, which cost more
# A run that shows each picture so often and learns classes is augmented: a discriminator that knows the class soon
# learns the pictures by heart. Without classes augmentation made runs of this length worse: docs/recipe.md.
SHOWN_OFTEN = 20


def settle(config: TrainConfig, data: Data) -> TrainConfig:
    """The configuration with "auto" replaced by what suits the data; logs what is in force and why.

    A function of the two alone, so that all workers of a run come to the same.
    """
    labels, labels_reason = _choose_labels(config, data)
    size, size_reason = choose_size(config, data.report)
    width, width_reason = _choose_width(config, size)
    config = dataclasses.replace(config, labels=labels, image_size=size, width=width)
    augment, augment_reason = _choose_augmentation(config, len(data))
    logging.info(
        "Labels: %s, because %s. Image size: %d, because %s. Width: %d, because %s. Augmentation: %s, because %s.",
        labels, labels_reason, size, size_reason, width, width_reason, augment, augment_reason,
    )  # fmt: skip
    return dataclasses.replace(config, augment=augment)


def _choose_labels(config: TrainConfig, data: Data) -> tuple[str, str]:
    """Whether the run learns the classes of the data, and the reason."""
    if config.labels != "auto":
        return config.labels, f"labels={config.labels}"
    if data.classes:
        return "on", f"every image is in one of {len(data.classes):,} classes"
    if data.found and data.found.names:
        return "off", f"auto needs a class for every image, and {TYPICAL} images a class on average"
    return "off", "the data has no labels"


def _choose_width(config: TrainConfig, size: int) -> tuple[int, str]:
    """The filters beside an image of this size, and the reason."""
    if config.width:
        return config.width, f"width={config.width}"
    return WIDTHS[size], f"that suits {size} pixels"


def _choose_augmentation(config: TrainConfig, images: int) -> tuple[str, str]:
    """How a run on so many images augments them, and the reason."""
    if config.augment != "auto":
        return config.augment, f"augment={config.augment}"
    steps = config.total_steps(images)
    shown = f"the run shows each picture {steps * config.batch_size / images:.0f} times"
    if config.labels == "off":
        return "off", f"{shown} and learns no classes"
    return ("color,translation" if steps * config.batch_size >= SHOWN_OFTEN * images else "off"), shown
