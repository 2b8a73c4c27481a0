"""The networks that turn images into features, which the figures are made with.

MNIST and Fashion-MNIST have a small classifier of their own, shipped with the package; `train_features` made it.
Other images go through Keras's InceptionV3. If its weights cannot be downloaded, a fixed random network takes its
place, and its name says so.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
from absl import logging
from keras import layers

from keras_dcgan.tools.files import BadFile, sha256

FEATURES = 128
SIDE = 28  # height and width of what the classifiers see, in pixels
WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = {  # SHA-256 of the shipped weights
    "mnist": "8123924e6dcb662a3992b7455ad1795beda56dd8a1065a0f57eeceaf5eac68aa",  # test accuracy 0.9936
    "fashion_mnist": "a5181dbac3b8ff53e0e5728906291f0d2a5c0229c02c3b6db0e6fd42a1c9fdb2",  # 0.9072
}
INCEPTION_SIDE = 299
DOWNLOAD_SECONDS = 10


class Extractor:
    """Turns images into features.

    Args:
      name: of the features; every figure made with them is labelled with it.
      prepare: uint8 [B, H, W, C] -> the network's input.
      network: its input -> features [B, D], or (features, logits) if it is a classifier.
      batch_size: images that go through the network at a time.
    """

    def __init__(
        self, name: str, prepare: Callable[[np.ndarray], np.ndarray], network: keras.Model, batch_size: int = 250
    ):
        self.name, self.prepare, self.network, self.batch_size = name, prepare, network, batch_size
        self.is_classifier = len(network.outputs) == 2
        self._run = tf.function(lambda x: network(x, training=False))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features float32 [N, D] of images uint8 [N, H, W, C] of any size, N > 0, C being 1 or 3.

        Raises ValueError for another dtype or shape.
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
        return [np.concatenate(parts) for parts in zip(*collected, strict=True)]


def load_extractor(dataset: str, cheap: bool = False) -> Extractor:
    """The extractor for a data set.

    Args:
      dataset: "mnist" and "fashion_mnist" have their own classifier. Anything else has InceptionV3, or a random
        network if InceptionV3's weights cannot be downloaded.
      cheap: for use while training: never InceptionV3, which is slow on a CPU.

    Raises BadFile if shipped weights are missing or altered.
    """
    if dataset in ("mnist", "fashion_mnist"):
        return Extractor(f"{dataset}-classifier", to_classifier_input, load_classifier(dataset))
    return random_extractor() if cheap else (inception_extractor() or random_extractor())


def to_classifier_input(images: np.ndarray) -> np.ndarray:
    """Prepares images for a classifier: uint8 [N, H, W, C] -> float32 [N, 28, 28, 1] in [0, 1].

    Colour is averaged over the channels; larger images are averaged over areas (64 -> 28 for the default networks).
    Real images must be resized as generated ones are: 28 -> 64 -> 28.
    """
    grey = images.mean(axis=-1, dtype=np.float32)
    if grey.shape[1:] != (SIDE, SIDE):
        grey = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in grey])
    return grey[..., np.newaxis] / np.float32(255)


def build_classifier() -> keras.Model:
    """A small classifier: float32 [N, 28, 28, 1] in [0, 1] -> features [N, 128] and logits [N, 10]."""
    images = layers.Input((SIDE, SIDE, 1))
    x = images
    for filters in (24, 48, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)  # 14, 7, 3
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    features = layers.Dense(FEATURES, activation="relu", name="features")(x)
    logits = layers.Dense(10, name="logits")(layers.Dropout(0.4)(features))
    return keras.Model(images, [features, logits])


def load_classifier(dataset: str) -> keras.Model:
    """The shipped classifier. Raises BadFile if its file is missing or altered."""
    path = WEIGHTS / f"{dataset}.npz"
    if not path.is_file() or sha256(path) != CHECKSUMS[dataset]:
        raise BadFile(f"{path}: missing or altered; get it again from the repository")
    with np.load(path, allow_pickle=False) as arrays:
        weights = [arrays[name].astype(np.float32) for name in sorted(arrays.files)]
    with _float32():
        classifier = build_classifier()
    classifier.set_weights(weights)
    return classifier


def inception_extractor() -> Extractor | None:
    """InceptionV3's pooled features [N, 2048]; None, with a warning, if its weights cannot be downloaded."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)  # Keras sets none and would wait minutes for a dead host
    try:
        with _float32():
            network = keras.applications.InceptionV3(include_top=False, pooling="avg", weights="imagenet")
    except Exception as error:  # Keras raises many kinds for a host that does not answer
        logging.warning("InceptionV3's weights cannot be downloaded (%s); figures use random features instead.", error)
        return None
    finally:
        socket.setdefaulttimeout(before)

    def prepare(images: np.ndarray) -> np.ndarray:
        x = tf.image.resize(tf.cast(_three_channels(images), tf.float32), (INCEPTION_SIDE, INCEPTION_SIDE))
        return keras.applications.inception_v3.preprocess_input(x)

    return Extractor("inception-v3", prepare, network, batch_size=50)


def random_extractor() -> Extractor:
    """Features [N, 256] of a fixed random convolutional network at 32x32 (random embeddings: Naeem et al. 2020)."""
    with _float32():
        return Extractor("random-network (fallback)", to_random_network_input, build_random_network())


def build_random_network() -> keras.Model:
    """Float32 [N, 32, 32, 3] in [-1, 1] -> features [N, 256]; the weights are numpy's, the same on every machine."""
    generator = np.random.default_rng(0)
    images = layers.Input((32, 32, 3))
    x = images
    kernels = []
    for filters in (64, 128, 128):
        scale = np.sqrt(2 / (9 * x.shape[-1]))  # keeps the variance from layer to layer (He et al. 2015)
        kernels.append(scale * generator.standard_normal((3, 3, x.shape[-1], filters), np.float32))
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.AveragePooling2D(2)(layers.LeakyReLU(0.2)(x))  # 16, 8, 4
    x = layers.Flatten()(x)
    kernels.append(generator.standard_normal((x.shape[-1], 256), np.float32) / np.sqrt(x.shape[-1]))
    features = layers.Dense(256, use_bias=False)(x)
    network = keras.Model(images, features)
    network.set_weights(kernels)
    return network


def to_random_network_input(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] -> float32 [N, 32, 32, 3] in [-1, 1], by area; grey is copied to three channels."""
    images = _three_channels(images)
    if images.shape[1:3] != (32, 32):
        images = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in images])
    return images.astype(np.float32) / 127.5 - 1


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Networks built in this block compute in float32: figures must not depend on the policy that training sets."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _three_channels(images: np.ndarray) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
