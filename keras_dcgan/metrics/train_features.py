"""python -m keras_dcgan.metrics.train_features: trains the small classifiers whose features the figures are made with.

python -m keras_dcgan.metrics.train_features --dataset=mnist --out=keras_dcgan/metrics/weights/mnist.npz
python -m keras_dcgan.metrics.train_features --dataset=cifar10 --epochs=28 --precision=mixed_bfloat16 --out=...
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
TRAINING = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}  # images; the other 10,000 test


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_enum("dataset", "mnist", list(TRAINING), "what to train on: its training images")
    flags.DEFINE_integer("epochs", 9, "passes over the training images", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "seed of the weights and the order", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "Keras dtype policy")
    flags.DEFINE_string("out", None, "the .npz file to write")


def main(_: Sequence[str]) -> None:
    """Trains, writes the weights, and prints the accuracy on the test images and the file's SHA-256."""
    import_tensorflow()
    try:
        classifier, accuracy = train(FLAGS.dataset, FLAGS.epochs, FLAGS.seed, FLAGS.precision)
    except DatasetUnavailable as error:
        sys.exit(f"error: {error}")
    weights = {f"{i:02d}": array.astype(np.float16) for i, array in enumerate(classifier.get_weights())}
    out = Path(os.path.expanduser(FLAGS.out))
    with atomic_path(out) as temporary:
        np.savez_compressed(temporary, **weights)
    print(f"test accuracy {accuracy:.4f}, {out.stat().st_size:,} bytes, SHA-256 {sha256(out)}")


def train(dataset: str, epochs: int, seed: int, precision: str = "float32") -> tuple["keras.Model", float]:
    """Trains a classifier on shifted training images; returns it and its accuracy on the test images.

    Raises DatasetUnavailable if no source has the data set.
    """
    import keras
    from keras import layers
    from keras.optimizers.schedules import CosineDecay

    from keras_dcgan.metrics import classifiers

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    images, labels = classifiers.prepare(dataset, load_images(dataset)), load_labels(dataset)
    training = TRAINING[dataset]
    classifier = classifiers.build_classifier(dataset)
    augmentation = [layers.RandomTranslation(0.05, 0.05, fill_mode="constant")]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    if dataset == "cifar10":
        batch_size, steps = 256, epochs * (training // 256)
        augmentation = [
            layers.RandomTranslation(0.125, 0.125, fill_mode="nearest", interpolation="nearest"),
            layers.RandomErasing((1.0, 1.0), scale=(0.02, 0.1), fill_value=0.5, value_range=(0, 1)),
        ]
        rate = CosineDecay(0.0, 4 * steps // 5, warmup_target=0.3, warmup_steps=steps // 5)
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-3)
        optimizer.exclude_from_weight_decay(var_names=["beta", "gamma"])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    else:
        batch_size, steps = 128, epochs * (training // 128)
        optimizer = keras.optimizers.Adam(CosineDecay(2e-3, steps))
    if dataset != "mnist":
        augmentation.append(layers.RandomFlip("horizontal"))
    trained = keras.Sequential([*augmentation, keras.Model(classifier.inputs, classifier.outputs[1])])
    trained.compile(optimizer, loss, metrics=["accuracy"])
    one_hot = keras.utils.to_categorical(labels, 10)
    trained.fit(images[:training], one_hot[:training], batch_size=batch_size, epochs=epochs, verbose=2)
    _, accuracy = trained.evaluate(images[training:], one_hot[training:], batch_size=500, verbose=0)
    return classifier, accuracy


def make_folder(out: str | None) -> None:
    """Makes the folder of the file --out; now, and not after the training. Raises flags.Error if that is impossible."""
    if not out or not out.endswith(".npz") or Path(out).is_dir():
        raise flags.Error(f"--out={out or ''}: give a file that ends in .npz")
    folder = Path(os.path.expanduser(out)).parent
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
