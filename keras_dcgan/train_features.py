"""python -m keras_dcgan.train_features: trains the small classifiers whose features `metrics` is used with.

python -m keras_dcgan.train_features --dataset=mnist --out=keras_dcgan/weights/mnist.npz
"""

import hashlib
import io
from pathlib import Path

import numpy as np
from absl import flags

from keras_dcgan import cli
from keras_dcgan.files import atomic_path
from keras_dcgan.quiet import import_tensorflow

USAGE = __doc__ or ""


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_enum("dataset", "mnist", ["mnist", "fashion_mnist"], "what to train on: the 60,000 training images")
    flags.DEFINE_integer("epochs", 9, "passes over the training images", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "seed of the weights and the order", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_string("out", None, "the .npz file to write")


def main() -> None:
    """Trains on the training images alone, prints the accuracy on the test images and the file's SHA-256."""
    given = flags.FLAGS
    if not given.out:
        raise cli.UserError("--out=FILE.npz: where the weights go")
    if Path(given.out).is_dir():
        raise cli.UserError(f"--out={given.out}: is a folder; give a file in it")
    cli.make_folder("out", given.out, Path(given.out).parent)  # now, and not after the training
    import_tensorflow()
    import keras

    from keras_dcgan import datasets, features

    keras.utils.set_random_seed(given.seed)
    try:
        images = features.to_classifier_input(datasets.load_images(given.dataset))
        labels = datasets.load_labels(given.dataset)
    except datasets.DatasetUnavailable as error:
        raise cli.Fault(str(error)) from error
    classifier = features.build_classifier()
    augmentation = [keras.layers.RandomTranslation(0.05, 0.05, fill_mode="constant")]
    if given.dataset == "fashion_mnist":
        augmentation.append(keras.layers.RandomFlip("horizontal"))
    trained = keras.Sequential([*augmentation, keras.Model(classifier.inputs, classifier.outputs[1])])
    steps = given.epochs * (60_000 // 128)
    trained.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    trained.fit(images[:60_000], labels[:60_000], batch_size=128, epochs=given.epochs, verbose=2)
    _, accuracy = trained.evaluate(images[60_000:], labels[60_000:], batch_size=500, verbose=0)
    buffer = io.BytesIO()
    weights = classifier.get_weights()
    np.savez_compressed(buffer, **{f"{i:02d}": array.astype(np.float16) for i, array in enumerate(weights)})
    with atomic_path(Path(given.out)) as temporary:
        temporary.write_bytes(buffer.getvalue())
    size = len(buffer.getvalue())
    print(f"test accuracy {accuracy:.4f}, {size:,} bytes, SHA-256 {hashlib.sha256(buffer.getvalue()).hexdigest()}")


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, ["dataset", "epochs", "seed", "out"])
