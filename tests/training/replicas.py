"""python -m tests.training.replicas MODE FOLDER: a tiny run of `loop.train`, on one device or on two, for comparison.

MODE is a `--distribute`. With "mirrored" this machine's CPU is two logical devices; with "multiworker" TF_CONFIG says
which worker this is. It trains several times, on made-up pictures with labels: with Adam into FOLDER/adam, and with
plain gradient descent, whose weights show the gradients themselves, into FOLDER/sgd, in bfloat16 into FOLDER/bfloat16,
and with each device's own statistics into FOLDER/own. Every worker leaves its weights as FOLDER/NAME-INDEX.npz.
"""

import functools
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_dcgan.config import from_preset
from keras_dcgan.datasets import named
from keras_dcgan.optimizers import Adam
from keras_dcgan.training import cluster, distribution, loop

STEPS = 8


def main(mode: str, folder: Path) -> None:
    """Trains and leaves the results."""
    if mode == "mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    pictures = np.random.default_rng(0).integers(0, 256, (200, 28, 28, 1), dtype=np.uint8)
    named.load_images = lambda *_: pictures
    named.load_labels = lambda *_: np.random.default_rng(1).integers(0, 10, 200, dtype=np.uint8)
    distribution.join = functools.cache(distribution.join)  # a process can join its workers once

    def descent(*_, **__) -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(0.1)

    runs = {"adam": (Adam, {}), "sgd": (descent, {}), "bfloat16": (descent, {"precision": "mixed_bfloat16"})}
    if mode != "off":
        runs["own"] = descent, {"synchronized": False}
    # Penalties at every second step; batches that cross the end of an epoch; an average.
    options = {
        "width": 2, "image_size": 16, "latent_dim": 10, "batch_size": 64, "steps": STEPS, "r1_every": 2,
        "log_every": 1, "sample_count": 4, "sample_every": 5, "checkpoint_every": 4, "measure_every": 0,
        "precision": "float32", "deterministic": True, "distribute": mode, "augment": "color,translation,cutout",
    }  # fmt: skip
    index = cluster.member().index if mode == "multiworker" else 0
    for name, (optimizer, changes) in runs.items():
        loop.Adam = optimizer
        gan = loop.train(from_preset("quick", {**options, **changes}), folder / name).gan
        networks = {"generator": gan.generator, "discriminator": gan.discriminator, "averaged": gan.averaged}
        values = {f"{key}/{variable.path}": variable for key in networks for variable in networks[key].variables}
        optimizers = [*gan.generator_optimizer.variables, *gan.discriminator_optimizer.variables]
        values |= {f"optimizer/{i}": variable for i, variable in enumerate(optimizers)}
        np.savez(folder / f"{name}-{index}.npz", **{key: variable.numpy() for key, variable in values.items()})
    # With a time limit for messages TensorFlow keeps two threads for each, and a process may have some 30,000.
    assert len(list(Path("/proc/self/task").glob("*"))) < 500


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
