"""What suits the data, once they are open: the settings that are "auto" and depend on them."""

import dataclasses

from absl import logging

from keras_dcgan.config import TrainConfig, is_auto
from keras_dcgan.datasets.data import Data, choose_size
from keras_dcgan.datasets.source import TYPICAL

WIDTHS = {16: 64, 32: 64, 64: 32, 128: 16, 256: 16}  # by size: fewer filters beside larger images, which cost more
# A discriminator that sees fewer pictures than this, and each so often, learns them by heart, sooner if it knows their
# classes. What that calls for was measured: docs/recipe.md.
FEW, SHOWN_OFTEN, SHOWN_OFTEN_WITHOUT_CLASSES = 10_000, 30, 300
R1_WEIGHT, R1_WEIGHT_OF_MANY_WITH_CLASSES = 1.0, 0.1


def settle(config: TrainConfig, data: Data) -> TrainConfig:
    """The configuration with "auto" replaced by what suits the data; logs what is in force and why.

    A function of the two alone, so that all workers of a run come to the same.
    """
    labels, labels_reason = _choose_labels(config, data)
    size, size_reason = choose_size(config, data.report)
    width, width_reason = _choose_width(config, size)
    upsampling, upsampling_reason = _choose_upsampling(config, len(data))
    config = dataclasses.replace(config, labels=labels, image_size=size, width=width, upsampling=upsampling)
    shown = config.total_steps(len(data)) * config.batch_size / len(data)
    seen = f"the run shows each of {len(data):,} images {shown:.0f} times"
    seen += "" if labels == "on" else " without classes"
    few = len(data) < FEW and shown >= (SHOWN_OFTEN if labels == "on" else SHOWN_OFTEN_WITHOUT_CLASSES)
    augment, augment_reason = _choose_augmentation(config, few, seen)
    r1_weight, r1_reason = _choose_r1_weight(config, few, seen)
    logging.info(
        "Labels: %s, because %s. Image size: %d, because %s. Width: %d, because %s. Upsampling: %s, because %s. "
        "Augmentation: %s, because %s. R1 weight: %g, because %s.", labels, labels_reason, size, size_reason, width,
        width_reason, upsampling, upsampling_reason, augment, augment_reason, r1_weight, r1_reason,
    )  # fmt: skip
    return dataclasses.replace(config, augment=augment, r1_weight=r1_weight)


def _choose_labels(config: TrainConfig, data: Data) -> tuple[str, str]:
    """Whether the run learns the classes of the data, and the reason."""
    if config.labels != "auto":
        return config.labels, f"labels={config.labels}"
    if data.classes:
        return "on", f"every image is in one of {len(data.classes):,} classes"
    if data.found and data.found.names:
        needed = f"auto needs a class for every image, and {TYPICAL} images a class on average"
        return "off", data.found.problem or needed
    return "off", "the data has no labels"


def _choose_width(config: TrainConfig, size: int) -> tuple[int, str]:
    """The filters beside an image of this size, and the reason."""
    if config.width:
        return config.width, f"width={config.width}"
    return WIDTHS[size], f"that suits {size} pixels"


def _choose_upsampling(config: TrainConfig, images: int) -> tuple[str, str]:
    """How the generator doubles an image, for data of so many, and the reason."""
    if config.upsampling != "auto":
        return config.upsampling, f"upsampling={config.upsampling}"
    few = images < FEW
    return ("nearest" if few else "transposed"), f"{images:,} images are {'few' if few else 'many'}"


def _choose_augmentation(config: TrainConfig, few: bool, seen: str) -> tuple[str, str]:
    """How a run augments its images, and the reason; `seen` says how often it shows how many of them."""
    if config.augment != "auto":
        return config.augment, f"augment={config.augment}"
    return ("color,translation" if few else "off"), seen


def _choose_r1_weight(config: TrainConfig, few: bool, seen: str) -> tuple[float, str]:
    """The weight of R1, and the reason."""
    if not is_auto("r1_weight", config.r1_weight):
        return config.r1_weight, f"r1_weight={config.r1_weight:g}"
    if config.labels == "off":
        return R1_WEIGHT, "the run learns no classes"
    return (R1_WEIGHT if few else R1_WEIGHT_OF_MANY_WITH_CLASSES), seen
