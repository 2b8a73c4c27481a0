"""What the tests of the export share: a small generator, and ways to run it."""

from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_dcgan.config import TrainConfig

SIZE, LATENT_DIM = 16, 10
CONFIG = TrainConfig(width=4, image_size=SIZE, channels=1, latent_dim=LATENT_DIM)


def lively(generator: keras.Model, seed: int = 0) -> keras.Model:
    """Gives a generator weights with which its images use the whole range, and its normalisation matters."""
    random = np.random.default_rng(seed)
    for variable in generator.variables:
        value = random.standard_normal(variable.shape)
        if "variance" in variable.path:
            value = np.exp(0.3 * value)
        elif "kernel" in variable.path:
            value *= 4 / np.sqrt(np.prod(variable.shape) / variable.shape[-2])
        else:
            value *= 0.2
        variable.assign(value)
    return generator


def runner(path: Path, signature: str):
    return Interpreter(str(path)).get_signature_runner(signature)
