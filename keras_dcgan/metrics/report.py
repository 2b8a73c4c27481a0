"""Everything that `evaluate` says of a generator: its figures, the same figures of real images, and pictures."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from keras_dcgan import runs
from keras_dcgan.config import SettingError
from keras_dcgan.generators import draw_images, draw_latents
from keras_dcgan.metrics import by_class
from keras_dcgan.metrics.by_class import Seen
from keras_dcgan.metrics.copying import find_copies, thumbnails
from keras_dcgan.metrics.distances import (
    frechet_distance,
    kernel_distance,
    nearest,
    precision_recall_density_coverage,
)
from keras_dcgan.metrics.features import Extractor, load_extractor
from keras_dcgan.metrics.show import nearest_picture
from keras_dcgan.networks import count_classes, latent_dim_of, with_labels
from keras_dcgan.pipeline import as_generated
from keras_dcgan.tools.terminal import progress

if TYPE_CHECKING:
    import keras
    from tqdm import tqdm

    from keras_dcgan.datasets.classes import Classes
    from keras_dcgan.datasets.data import Data
    from keras_dcgan.datasets.stored import Images

MEASURABLE = 32  # the smallest number of images: the measures compare two halves of them
SHOWN = 16  # samples in a picture; among the nearest reals each has NEIGHBOURS of them
NEIGHBOURS = 3
DRAWN_AT_ONCE = 100  # batch size of the generator
SEARCHED = 50_000  # for images on disk: how many are searched for the nearest reals and for copies
CHUNK = 1000  # images in memory at a time; at 256 pixels a whole data set would not fit
# N samples of D features from the same distribution have a Fréchet distance of about D / (2 N) of its variance: 1 % for
# 50 samples a feature. With fewer, the kernel distance, which has no such bias, comes first.
SAMPLES_PER_FEATURE = 50


@dataclasses.dataclass(frozen=True)
class Reference:
    """Randomly chosen real images, to compare generated ones with, after the resizing that the networks see.

    They are read, and their features made, when a figure is first asked for: a run takes its first step before that.

    Args:
      extractor: makes the features; generated images must go through it too.
      images: uint8 [N, H, W, C], in memory or on disk.
      image_size, channels: of the generator's images.
      chosen: the indices of the images. The first half is the reference, the others give the floor.
    """

    extractor: Extractor
    images: "np.ndarray | Images"
    image_size: int
    channels: int
    chosen: np.ndarray

    @property
    def samples(self) -> int:
        """How many generated images to compare with: as many as the features, or one less."""
        return len(self.chosen) // 2

    @property
    def features(self) -> np.ndarray:
        """Of the reference, float32 [M, D]."""
        return self._halves[0]

    @functools.cached_property
    def floor(self) -> float:
        """Fréchet distance of these reals to `samples` other reals: no generator gets far below it."""
        return frechet_distance(*self._halves)

    @functools.cached_property
    def _halves(self) -> list[np.ndarray]:
        parts = np.array_split(self.chosen, -(-len(self.chosen) // CHUNK))
        seen = [self.extractor(as_generated(self.images[part], self.image_size, self.channels)) for part in parts]
        return np.array_split(np.concatenate(seen), 2)


def make_reference(
    extractor: Extractor, images: "np.ndarray | Images", image_size: int, channels: int, samples: int, seed: int
) -> Reference:
    """A random choice of real images.

    Args:
      extractor: as `features.load_extractor` gives it.
      images: uint8 [N, H, W, C], N at least `MEASURABLE`, in memory or on disk.
      image_size, channels: of the generator's images.
      samples: size of the reference; as many other images give the floor. Smaller if N is below 2 * samples.
      seed: seed of the choice.

    Examples:
      >>> images = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), np.uint8)
      >>> reference = make_reference(load_extractor("mnist"), images, image_size=16, channels=1, samples=20, seed=0)
      >>> reference.features.shape, reference.floor > 0
      ((20, 128), True)
    """
    chosen = np.random.default_rng(seed).permutation(len(images))[: 2 * samples]
    return Reference(extractor, images, image_size, channels, chosen)


def evaluate(
    generator: "keras.Model",
    data: "Data",
    samples: int,
    seed: int,
    with_picture: bool = True,
    classes: "Classes | None" = None,
    extractor: Extractor | None = None,
    mirrored: bool = False,
    image_size: int | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Every figure of a generator, the same figures of reals against reals, and pictures of samples beside reals.

    Args:
      generator: latents [N, Z], or with labels -> images [N, S, S, C] in [-1, 1].
      data: what the generator was trained on; labels give the shares of the classes.
      samples: how many images to draw, how many reals to compare with, and how many other reals give the floor. At
        most half of the data.
      seed: seed of the latents and of the choice of reals.
      with_picture: whether to search for the nearest reals and for copies. This takes all images through the
        extractor, or `SEARCHED` of them if they are on disk.
      classes: what the labels of a generator with classes mean; by default the data's. The samples have their mix.
      extractor: makes the features; by default the one for the data's name.
      mirrored: whether the generator was trained on the images' mirror images too: copies of these count as copies.
      image_size: height and width of the images to compare, in pixels; by default the generator's. Figures of two
        generators can be compared only at one size.

    Returns:
      The figures as JSON values, and the pictures uint8 [H', W', C] from `nearest_picture` by name: "nearest", the
      first samples, and "copies", those that `find_copies` suspects most. With a classifier for the data set the
      figures include the classes; if the generator draws these classes, also whether it draws what was asked for.
      Raises SettingError for fewer images than `MEASURABLE`, FloatingPointError if an image that the generator draws,
      or a feature, is not finite, and ValueError if it has classes that nobody names.

    Examples:
      >>> from keras_dcgan.datasets.data import Data
      >>> from keras_dcgan.networks import build_generator
      >>> data = Data("mnist", np.zeros((40, 28, 28, 1), np.uint8), report={})
      >>> figures, pictures = evaluate(build_generator(width=1, image_size=16), data, samples=20, seed=0)
      >>> figures["features"], figures["samples"], sorted(pictures)
      ('mnist-classifier', 20, ['copies', 'nearest'])
    """
    if len(data) < MEASURABLE:
        raise SettingError(f"dataset={data.name}", f"holds {len(data)} images; measuring needs {MEASURABLE} or more")
    extractor = extractor or load_extractor(data.name)
    _, size, _, channels = generator.output_shape
    size = image_size or size
    samples = min(samples, len(data) // 2)
    latents = draw_latents(samples, latent_dim_of(generator), seed)
    classes = classes or data.classes
    asked = _draw_labels(generator, classes, samples, seed)
    order = _order(data, samples, seed, with_picture)

    def generate(indices: np.ndarray) -> np.ndarray:
        labels = None if asked is None else asked[indices]
        images = draw_images(generator, with_labels(latents[indices], labels), DRAWN_AT_ONCE)
        return as_generated(images, size, channels)

    def read(indices: np.ndarray) -> np.ndarray:
        return as_generated(data.images[indices], size, channels)

    with progress("Measuring", samples + len(order)) as bar:
        fakes = _see(extractor, generate, np.arange(samples), asked, bar)
        groups = [group for group in np.split(order, [samples, 2 * samples]) if len(group)]
        reals, others, *further = [_see(extractor, read, group, data.labels, bar) for group in groups]
    figures = {
        "dataset": data.name, "features": extractor.name, "samples": samples, "image_size": size,
        "seed": seed,
        "generated": _distances(reals.features, fakes.features, seed),
        "real": _distances(reals.features, others.features, seed),
        "versions": runs.versions(),
    }  # fmt: skip
    if data.labels is not None and fakes.classes is not None and others.classes is not None:
        figures["classes"] = by_class.describe_shares(data.labels, fakes.classes, others.classes)
        if asked is not None and classes is not None:
            _add_classes(figures, classes, data, fakes, reals, others)
    if not with_picture:
        return figures, {}
    candidates = (reals, others, *further)  # in the order of `order`
    copies = find_copies(fakes.thumbnails, np.concatenate([seen.thumbnails for seen in candidates]), mirrored)
    figures["copying"] = copies.figures | ({"searched": len(order)} if len(order) < len(data) else {})
    found = nearest(fakes.features[:SHOWN], np.concatenate([seen.features for seen in candidates]), NEIGHBOURS)
    first = generate(np.arange(samples)[:DRAWN_AT_ONCE])[:SHOWN]
    suspects, originals = generate(copies.suspects[:SHOWN]), order[copies.originals[:SHOWN, np.newaxis]]
    return figures, {
        "nearest": nearest_picture(first, [read(indices) for indices in order[found]]),
        "copies": nearest_picture(suspects, [read(indices) for indices in originals]),
    }


def _draw_labels(generator: "keras.Model", classes: "Classes | None", samples: int, seed: int) -> np.ndarray | None:
    """What to ask a generator for, in the mix of its classes: int32 [samples]; None if it takes no labels."""
    count = count_classes(generator)
    if not count:
        return None
    if not classes or len(classes) != count:
        raise ValueError(f"the generator draws {count} classes; say with `classes` what they are")
    return classes.draw(samples, seed)


def _add_classes(
    figures: dict[str, Any], classes: "Classes", data: "Data", fakes: Seen, reals: Seen, others: Seen
) -> None:
    """Adds what became of each class to the figures, if the classifier knows the classes."""
    if not data.classes or classes.names != data.classes.names:
        logging.warning("The generator's classes are not those of %s, so agreement is not measured.", data.name)
        return
    figures["generated"]["agreement"] = by_class.agreement(fakes)
    figures["real"]["agreement"] = by_class.agreement(reals)
    figures["classes"] |= by_class.describe_classes(classes.names, fakes, reals, others)


def _order(data: "Data", samples: int, seed: int, with_picture: bool) -> np.ndarray:
    """Indices of the reals to look at: first the reference, then as many for the floor, then more to search among."""
    order = np.random.default_rng([seed, 1]).permutation(len(data))  # not the reals by which a run chose its best
    if not with_picture:
        return order[: 2 * samples]
    return order if isinstance(data.images, np.ndarray) else order[: max(SEARCHED, 2 * samples)]


def _see(
    extractor: Extractor,
    make: Callable[[np.ndarray], np.ndarray],
    indices: np.ndarray,
    labels: np.ndarray | None,
    bar: "tqdm",
) -> Seen:
    """Takes images through the extractor, `CHUNK` at a time.

    Args:
      make: gives uint8 [n, S, S, C] for n of the indices.
      indices: int [N], which images.
      labels: int [M], of all images, or None.
    """
    features, classes, small = [], [], []
    for start in range(0, len(indices), CHUNK):
        images = make(indices[start : start + CHUNK])
        part_features, part_classes = extractor.features_and_classes(images)
        features.append(part_features)
        small.append(thumbnails(images))
        if part_classes is not None:
            classes.append(part_classes)
        bar.update(len(part_features))
    return Seen(
        np.concatenate(features),
        np.concatenate(classes) if classes else None,
        None if labels is None else labels[indices],
        np.concatenate(small),
    )


def _distances(reals: np.ndarray, others: np.ndarray, seed: int) -> dict[str, float]:
    """All measures between two sets of features [N, D] and [M, D], the one to look at first."""
    frechet = {"frechet_distance": frechet_distance(reals, others)}
    distance, error = kernel_distance(reals, others, seed=seed)
    kernel = {"kernel_distance": distance, "kernel_distance_standard_error": error}
    few = min(len(reals), len(others)) < SAMPLES_PER_FEATURE * reals.shape[1]
    both = kernel | frechet if few else frechet | kernel
    return both | precision_recall_density_coverage(reals, others)
