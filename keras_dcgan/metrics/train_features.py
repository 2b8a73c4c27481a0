"""python -m keras_dcgan.metrics.train_features: trains the small classifiers whose features the figures are made with.

python -m keras_dcgan.metrics.train_features --dataset=mnist --out=keras_dcgan/metrics/weights/mnist.npz
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import app, flags

from keras_dcgan.datasets import DatasetUnavailable, load_images, load_labels
from keras_dcgan.tools.files import atomic_path, sha256
from keras_dcgan.tools.terminal import import_tensorflow

if TYPE_CHECKING:
    import keras

FLAGS = flags.FLAGS
TRAINING = 60_000  # images; the other 10,000 test


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_enum("dataset", "mnist", ["mnist", "fashion_mnist"], "what to train on: the 60,000 training images")
    flags.DEFINE_integer("epochs", 9, "passes over the training images", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "seed of the weights and the order", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_string("out", None, "the .npz file to write")


def main(_: Sequence[str]) -> None:
    """Trains, writes the weights, and prints the accuracy on the test images and the file's SHA-256."""
    import_tensorflow()
    try:
        classifier, accuracy = train(FLAGS.dataset, FLAGS.epochs, FLAGS.seed)
    except DatasetUnavailable as error:
        sys.exit(f"error: {error}")
    weights = {f"{i:02d}": array.astype(np.float16) for i, array in enumerate(classifier.get_weights())}
    out = Path(FLAGS.out).expanduser()
    with atomic_path(out) as temporary:
        np.savez_compressed(temporary, **weights)
    print(f"test accuracy {accuracy:.4f}, {out.stat().st_size:,} bytes, SHA-256 {sha256(out)}")


def train(dataset: str, epochs: int, seed: int) -> tuple["keras.Model", float]:
    """Trains a classifier on shifted training images; returns it and its accuracy on the test images.

    Raises DatasetUnavailable if no source has the data set.
    """
    import keras

    from keras_dcgan.metrics import features

    keras.utils.set_random_seed(seed)
    images, labels = features.to_classifier_input(load_images(dataset)), load_labels(dataset)
    classifier = features.build_classifier()
    augmentation = [keras.layers.RandomTranslation(0.05, 0.05, fill_mode="constant")]
    if dataset == "fashion_mnist":
        augmentation.append(keras.layers.RandomFlip("horizontal"))
    trained = keras.Sequential([*augmentation, keras.Model(classifier.inputs, classifier.outputs[1])])
    steps = epochs * (TRAINING // 128)
    trained.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    trained.fit(images[:TRAINING], labels[:TRAINING], batch_size=128, epochs=epochs, verbose=2)
    _, accuracy = trained.evaluate(images[TRAINING:], labels[TRAINING:], batch_size=500, verbose=0)
    return classifier, accuracy


def make_folder(out: str | None) -> None:
    """Makes the folder of the file --out; now, and not after the training. Raises flags.Error if that is impossible."""
    if not out or not out.endswith(".npz") or Path(out).is_dir():
        raise flags.Error(f"--out={out or ''}: give a file that ends in .npz")
    folder = Path(out).expanduser().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise flags.Error(f"--out={out}: {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise flags.Error(f"--out={out}: {folder}: there is no permission to write in it")


def parse(arguments: Sequence[str]) -> list[str]:
    """Reads the flags. A mistake is one line and exit code 2, as in the commands."""
    try:
        rest = FLAGS(arguments)
        make_folder(FLAGS.out)
        return rest
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=parse)
