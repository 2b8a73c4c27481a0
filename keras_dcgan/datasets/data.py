"""What a run trains on: images, what was found in them, their labels and classes."""

import dataclasses
from typing import Any

import numpy as np

from keras_dcgan.config import IMAGE_SIZES, TrainConfig
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.labels import Labels
from keras_dcgan.datasets.stored import Images

NAMED_SIZES = {  # for image_size "auto", and why
    "mnist": (64, "it is the MXNet tutorial's"),
    "fashion_mnist": (64, "it is the MXNet tutorial's"),
    "cifar10": (32, "its images have it"),
}
SMALL = 40  # pixels: pictures with a shorter side up to this are trained on at 32, others at 64
LARGE = 128  # pixels: pictures with such a shorter side have more details than 64 pixels show


@dataclasses.dataclass(frozen=True)
class Data:
    """An open data set of N images.

    Attributes:
      name: a known name, or a path.
      images: uint8 [N, H, W, C], in memory or read when indexed.
      report: what was found in it, as `dataset.json` has it.
      labels: int32 [N], or None if the data set has none or nobody asked for them.
      classes: what the labels mean.
      found: the labels in the data, whether or not anybody asked for them; None if nothing is known of them.

    Examples:
      >>> data = Data("mine", np.zeros((3, 16, 16, 1), np.uint8), report={}, labels=np.array([0, 1, 2]))
      >>> len(data), data.reordered(np.array([2, 0])).labels
      (3, array([2, 0]))
    """

    name: str
    images: np.ndarray | Images
    report: dict[str, Any]
    labels: np.ndarray | None = None
    classes: Classes | None = None
    found: Labels | None = None

    def __len__(self) -> int:
        return len(self.images)

    def reordered(self, order: np.ndarray) -> "Data":
        """The same data, or some of it, in another order, int [n]: number i is what number order[i] is now.

        An array is copied; of images on disk only the order changes.
        """
        images = self.images[order] if isinstance(self.images, np.ndarray) else self.images.reordered(order)
        labels = None if self.labels is None else self.labels[order]
        return dataclasses.replace(self, images=images, labels=labels, found=self.found and self.found.select(order))

    def with_classes(self, required: bool) -> "Data":
        """The data with the labels that were found in it, and the classes in the report.

        Images in no class are skipped if labels are `required`. If they are not, and some image is in no class or
        nothing can be learned from the labels, the data stays without. Raises SettingError for required labels from
        which nothing can be learned.
        """
        found = self.found
        if found is None:
            return self
        if required:
            found.check()
        elif found.problem or len(found.outside):
            return self
        data, report = self, dict(self.report)
        if outside := len(found.outside):  # of a folder they are skipped already
            inside = np.flatnonzero(found.numbers >= 0)
            data, found = self.reordered(inside), found.select(inside)
            report |= {"images": len(inside), "in_no_class": outside}
        found.warn()
        report["classes"] = found.report()
        return dataclasses.replace(data, report=report, labels=found.numbers, classes=found.classes)


def choose_size(config: TrainConfig, report: dict[str, Any]) -> tuple[int, str]:
    """Height and width that the networks see, in pixels, and the reason: the setting, or what suits the data.

    Args:
      config: `image_size`, 0 meaning "auto", and the data set.
      report: what was found in the data, as in `Data`.

    Examples:
      >>> choose_size(TrainConfig(dataset="cifar10", image_size=0), {})
      (32, 'its images have it')
    """
    if config.image_size:
        return config.image_size, f"image_size={config.image_size}"
    if config.dataset in NAMED_SIZES:
        return NAMED_SIZES[config.dataset]
    side = report["median_shorter_side"]
    if "prepared_from" in report and side in IMAGE_SIZES:
        return side, "the images were prepared at it"
    reason = f"the pictures' median shorter side is {side} pixels"
    if side <= SMALL:
        return 32, reason
    if side >= LARGE:
        reason += "; image_size=128 shows more detail, and at the same width a run takes about five times as long"
    return 64, reason


def with_size(config: TrainConfig, report: dict[str, Any]) -> TrainConfig:
    """A configuration with the size that `choose_size` gives."""
    return dataclasses.replace(config, image_size=choose_size(config, report)[0])
