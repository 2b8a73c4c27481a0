"""What the tests of the export share: a small generator, and ways to run it."""

from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from export import sampler, tflite, verify
from keras_dcgan import generators
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.networks import with_labels

SIZE, LATENT_DIM = 16, 10
TFLITE = {kind: verify.FILES[kind] for kind in verify.TFLITE}
CLASSES = Classes(("a", "b", "c"), (5, 1, 2))
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


def keras_images(run_dir: Path, latents: np.ndarray, labels) -> np.ndarray:
    """What the generator of a run draws, float32 [N, S, S, C]."""
    generator = generators.load_generator(run_dir / "generator.keras")
    return generator.predict(with_labels(latents, np.array(labels, np.int32)), verbose=0)


def with_metadata(exported: Path, tmp_path: Path, **changes) -> Path:
    """A copy of the float32 file with other metadata."""
    file = exported / TFLITE["float32"]
    metadata = sampler.read_metadata(file)
    model = file.read_bytes()[: metadata["model_bytes"]]
    tflite.write_model(tmp_path / "changed.tflite", model, {**metadata, **changes})
    return tmp_path / "changed.tflite"
