"""The small classifiers that are shipped with the package: their layers close to the end are the features.

`train_features` made them, on the training images of the data set alone.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers

from keras_dcgan.tools.files import BadFile, sha256

WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = {  # SHA-256 of the shipped weights
    "mnist": "8123924e6dcb662a3992b7455ad1795beda56dd8a1065a0f57eeceaf5eac68aa",  # test accuracy 0.9936
    "fashion_mnist": "a5181dbac3b8ff53e0e5728906291f0d2a5c0229c02c3b6db0e6fd42a1c9fdb2",  # 0.9072
    "cifar10": "ecf2b7f143856deaf1762b1d340b0fc6fe2eb69736f50f9c0b4b787ff6279a26",  # 0.9278
}


def load_classifier(dataset: str) -> keras.Model:
    """The shipped classifier, in float32. Raises BadFile if its file is missing or altered.

    Examples:
      >>> classifier = load_classifier("mnist")
      >>> classifier.input_shape, classifier.output_shape
      ((None, 28, 28, 1), [(None, 128), (None, 10)])
    """
    path = WEIGHTS / f"{dataset}.npz"
    if not path.is_file() or sha256(path) != CHECKSUMS[dataset]:
        raise BadFile(f"{path}: missing or altered; get it again from the repository")
    with np.load(path, allow_pickle=False) as arrays:
        weights = [arrays[name].astype(np.float32) for name in sorted(arrays.files)]
    with float32():
        classifier = build_classifier(dataset)
    classifier.set_weights(weights)
    return classifier


def build_classifier(dataset: str) -> keras.Model:
    """A classifier: what `prepare` gives -> features float32 [N, D] and logits float32 [N, 10]; D is 128 or 192."""
    return _build_for_colour() if dataset == "cifar10" else _build_for_grey()


def prepare(dataset: str, images: np.ndarray) -> np.ndarray:
    """What a data set's classifier sees: uint8 [N, H, W, C] -> float32 in [0, 1], [N, 28, 28, 1] or [N, 32, 32, 3].

    Larger images are averaged over areas, in float32: nothing is rounded to 8 bits again, which would move the
    distances (Parmar et al. 2022). For a grey classifier colour is averaged over the channels, for one of colour grey
    is copied to three.

    Examples:
      >>> x = prepare("mnist", np.full((2, 64, 64, 3), 255, np.uint8))
      >>> x.shape, float(x.max())
      ((2, 28, 28, 1), 1.0)
    """
    side, channels = (32, 3) if dataset == "cifar10" else (28, 1)
    x = images.astype(np.float32) if channels == 3 else images.mean(axis=-1, keepdims=True, dtype=np.float32)
    x = np.repeat(x, channels // x.shape[-1], axis=-1)
    if x.shape[1:3] != (side, side):
        x = np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in x])
    return x.reshape(-1, side, side, channels) / np.float32(255)


def _build_for_grey() -> keras.Model:
    images = layers.Input((28, 28, 1))
    x = images
    for filters in (24, 48, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)  # 14, 7, 3
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    features = layers.Dense(128, activation="relu", name="features")(x)
    logits = layers.Dense(10, name="logits")(layers.Dropout(0.4)(features))
    return keras.Model(images, [features, logits])


def _build_for_colour() -> keras.Model:
    """A residual network of eight layers (after Page 2018, "How to train your ResNet")."""

    def convolve(x, filters: int, halve: bool = False):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(x) if halve else x
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    images = layers.Input((32, 32, 3))
    x = convolve(layers.Rescaling(4.0, -2.0)(images), 32)  # CIFAR-10's standard deviation is about a quarter
    for filters in (64, 128, 192):  # 16, 8, 4
        x = convolve(x, filters, halve=True)
        x = layers.Add()([x, convolve(convolve(x, filters), filters)])
    features = layers.GlobalMaxPooling2D(dtype="float32", name="features")(x)
    logits = layers.Dense(10, use_bias=False, dtype="float32", name="logits")(features)
    return keras.Model(images, [features, logits])


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """Networks built in this block compute in float32: figures must not depend on the policy that training sets."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
