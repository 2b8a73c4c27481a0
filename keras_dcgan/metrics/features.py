"""The networks that turn images into features, which the figures are made with.

MNIST, Fashion-MNIST and CIFAR-10 have a small classifier of their own: see `classifiers`. Other images go through
Keras's InceptionV3, or the classifier of CIFAR-10 takes its place, and the name of the features says which. A user may
bring another network.
"""

import functools
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from keras import layers

from keras_dcgan.metrics.classifiers import CHECKSUMS, float32, load_classifier, prepare
from keras_dcgan.tools.files import BadFile

INCEPTION_SIDE = 299
DOWNLOAD_SECONDS = 10
OWN_SIDE = 64  # height and width that a user's network gets if it takes any
MOST_FEATURES = 4096  # of a user's network: the distances need a matrix of this height and width
OWN = "must be a Keras network in a .keras file that turns images float32 [N, H, W, 1 or 3] in 0 ... 255 into features"


class Extractor:
    """Turns images into features.

    Args:
      name: of the features; every figure made with them is labelled with it.
      prepare: uint8 [B, H, W, C] -> the network's input.
      network: its input -> features [B, D], or (features, logits) if it is a classifier.
      batch_size: images that go through the network at a time.

    Examples:
      >>> network = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten()])
      >>> see = Extractor("pixels", lambda images: fit(images, 8, 8, 1), network)
      >>> see(np.zeros((3, 16, 16, 3), np.uint8)).shape
      (3, 64)
    """

    def __init__(
        self, name: str, prepare: Callable[[np.ndarray], np.ndarray], network: keras.Model, batch_size: int = 250
    ):
        self.name, self.prepare, self.network, self.batch_size = name, prepare, network, batch_size
        self.is_classifier = len(network.outputs) == 2
        self._run = tf.function(lambda x: network(x, training=False))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features float32 [N, D] of images uint8 [N, H, W, C] of any size, N > 0, C being 1 or 3.

        Raises ValueError for another dtype or shape, and FloatingPointError if a feature is not finite.
        """
        return self._outputs(images)[0]

    def features_and_classes(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Features as above, and the predicted classes int [N], or None if the network is not a classifier."""
        outputs = self._outputs(images)
        return outputs[0], outputs[1].argmax(axis=1) if self.is_classifier else None

    def _outputs(self, images: np.ndarray) -> list[np.ndarray]:
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3) or not len(images):
            raise ValueError(
                f"images: {images.dtype} {list(images.shape)}; must be uint8 [N, H, W, C], C 1 or 3, N > 0"
            )
        collected = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            padding = [(0, self.batch_size - len(batch)), (0, 0), (0, 0), (0, 0)]  # one shape, one trace
            outputs = self._run(self.prepare(np.pad(batch, padding)))
            outputs = outputs if self.is_classifier else [outputs]
            collected.append([output.numpy()[: len(batch)] for output in outputs])
        whole = [np.concatenate(parts) for parts in zip(*collected, strict=True)]
        if not np.isfinite(whole[0]).all():
            raise FloatingPointError(f"{self.name}: gives features that are not finite")
        return whole


def load_extractor(dataset: str, cheap: bool = False, file: str | Path | None = None) -> Extractor:
    """The extractor for a data set.

    Args:
      dataset: "mnist", "fashion_mnist" and "cifar10" have their own classifier. Anything else has InceptionV3; if its
        weights cannot be downloaded, the features of CIFAR-10's classifier, which then names no classes.
      cheap: for use while training: never InceptionV3, which is slow on a CPU.
      file: a network of the user's instead, for `own_extractor`.

    Raises BadFile if shipped weights are missing or altered, or if the user's file is not such a network.

    Examples:
      >>> see = load_extractor("mnist")
      >>> see.name, see(np.zeros((3, 64, 64, 1), np.uint8)).shape
      ('mnist-classifier', (3, 128))
    """
    if file is not None:
        return own_extractor(Path(file))
    if dataset in CHECKSUMS:
        return classifier_extractor(dataset)
    return (None if cheap else inception_extractor()) or classifier_extractor("cifar10", with_classes=False)


def classifier_extractor(dataset: str, with_classes: bool = True) -> Extractor:
    """The features [N, 128] or, for CIFAR-10, [N, 192] of a shipped classifier, and what it takes images for."""
    network = load_classifier(dataset)
    if not with_classes:
        with float32():
            network = keras.Model(network.inputs, network.outputs[0])
    return Extractor(f"{dataset}-classifier", functools.partial(prepare, dataset), network)


def inception_extractor() -> Extractor | None:
    """InceptionV3's pooled features [N, 2048]; None, with a warning, if its weights cannot be downloaded."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)  # Keras sets none and would wait minutes for a dead host
    try:
        with float32():
            network = keras.applications.InceptionV3(include_top=False, pooling="avg", weights="imagenet")
    except Exception as error:  # Keras raises many kinds for a host that does not answer
        logging.warning(
            "InceptionV3's weights cannot be downloaded (%s); the features of CIFAR-10's classifier take their place.",
            error,
        )
        return None
    finally:
        socket.setdefaulttimeout(before)

    def to_inception(images: np.ndarray) -> tf.Tensor:
        return keras.applications.inception_v3.preprocess_input(fit(images, INCEPTION_SIDE, INCEPTION_SIDE, 3))

    return Extractor("inception-v3", to_inception, network, batch_size=50)


def own_extractor(file: Path) -> Extractor:
    """The features of a user's Keras network, under its file's name.

    The network gets images float32 [N, H, W, C] in 0 ... 255, as `keras.utils.image_dataset_from_directory` gives them;
    H and W are its own, or 64 if it takes any, and C is 1 or 3. Its one output is flattened to [N, D], D at most 4096.
    Nothing in the file is executed or unpickled: Keras's safe mode is on. Raises BadFile for anything else.

    Examples:
      >>> keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten()]).save("pixels.keras")
      >>> own_extractor(Path("pixels.keras"))(np.zeros((3, 16, 16, 3), np.uint8)).shape
      (3, 64)
    """
    if not file.is_file():
        raise BadFile(f"{file}: no such file; {OWN}")
    if file.suffix != ".keras" or not zipfile.is_zipfile(file):  # of other formats safe mode does not keep code out
        raise BadFile(f"{file}: {OWN}")
    with float32():
        try:
            network = keras.saving.load_model(file, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds, some with pages of text that end with the reason
            reason = str(error).split("Exception encountered:")[-1].strip() or repr(error)
            reason = reason.splitlines()[0].split(". ")[0][:200]
            raise BadFile(f"{file}: cannot be loaded: {reason}; use Keras's own layers, without Lambda") from error
        try:
            _, height, width, channels = network.input_shape
            images = layers.Input((height or OWN_SIDE, width or OWN_SIDE, channels))
            features = layers.Flatten(dtype="float32")(network(images, training=False))
            if channels not in (1, 3) or features.shape[-1] is None:
                raise ValueError
        except Exception as error:  # an input or output of another kind fails in its own way
            shapes = f"{getattr(network, 'input_shape', 'unknown')} -> {getattr(network, 'output_shape', 'unknown')}"
            raise BadFile(f"{file}: has the shapes {shapes}; {OWN}") from error
        if features.shape[-1] > MOST_FEATURES:
            count = f"{features.shape[-1]:,} features an image, {MOST_FEATURES:,} at most are possible"
            raise BadFile(f"{file}: gives {count}; end it with a pooling layer")
        return Extractor(
            file.name, functools.partial(fit, height=images.shape[1], width=images.shape[2], channels=channels),
            keras.Model(images, features),
        )  # fmt: skip


def fit(images: np.ndarray, height: int, width: int, channels: int) -> tf.Tensor:
    """Images for a network: uint8 [N, H, W, 1 or 3] -> float32 [N, height, width, channels] in 0 ... 255.

    Shrinking averages, and nothing is rounded to 8 bits again: either would move the distances (Parmar et al. 2022).
    Grey is copied to three channels; colour becomes luma for one.

    Examples:
      >>> x = fit(np.full((2, 28, 28, 1), 255, np.uint8), height=32, width=32, channels=3)
      >>> x.shape, float(tf.reduce_max(x))
      (TensorShape([2, 32, 32, 3]), 255.0)
    """
    x = tf.cast(images, tf.float32)
    if x.shape[-1] > channels:
        x = tf.image.rgb_to_grayscale(x)
    x = tf.image.resize(x, (height, width), antialias=True)
    return tf.repeat(x, channels // x.shape[-1], axis=-1)
