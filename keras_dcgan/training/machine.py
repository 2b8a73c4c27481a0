"""What this machine can do, and what the settings that are "auto" become on it."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from absl import logging

from keras_dcgan.config import SettingError, TrainConfig
from keras_dcgan.tools.processor import features

if TYPE_CHECKING:
    from keras_dcgan.datasets.stored import Images

LARGEST = 2**31  # bytes of images that a GPU holds: little of what it has beside the networks


def choose(config: TrainConfig) -> TrainConfig:
    """The configuration with "auto" replaced by what suits this machine; logs what is in force and why.

    Raises SettingError for an XLA that another setting excludes.
    """
    precision, precision_reason = _choose_precision(config)
    jit_compile, jit_reason = _choose_xla(config)
    logging.info(
        "Precision: %s, because %s. XLA: %s, because %s.", precision, precision_reason, jit_compile, jit_reason
    )
    return dataclasses.replace(config, precision=precision, jit_compile=jit_compile)


def holds(images: "np.ndarray | Images", config: TrainConfig) -> bool:
    """Whether the GPU holds all images, and the step itself picks its batch there, resizes and scales it.

    So it is with XLA, for an array of up to `LARGEST` bytes that need not shrink, for which XLA has no kernel.
    """
    if not isinstance(images, np.ndarray) or not has_gpu() or config.jit_compile != "on":
        return False
    return images.nbytes <= LARGEST and max(images.shape[1:3]) <= config.image_size


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def computes_in_bfloat16() -> bool:
    """Whether the GPU, or without one the processor, has bfloat16 arithmetic."""
    if has_gpu():
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    return bool(features() & {"avx512_bf16", "amx_bf16"})


def _choose_precision(config: TrainConfig) -> tuple[str, str]:
    """The dtype policy, and the reason."""
    if config.precision == "mixed_bfloat16" and not computes_in_bfloat16():
        return config.precision, "precision=mixed_bfloat16, but float32 is faster and more exact on this machine"
    if config.precision != "auto":
        return config.precision, f"precision={config.precision}"
    if computes_in_bfloat16():
        return "mixed_bfloat16", "this machine has bfloat16 arithmetic"
    return "float32", "this machine has no bfloat16 arithmetic"


def _choose_xla(config: TrainConfig) -> tuple[str, str]:
    """ "on" or "off", and the reason."""
    excluding = f"distribute={config.distribute}" if config.distribute != "off" else None
    if has_gpu() and config.deterministic:
        excluding = excluding or "deterministic, on a GPU,"
    if excluding and config.jit_compile == "on":
        raise SettingError("jit_compile=on", f"{excluding} excludes XLA; leave one of them out")
    if excluding:
        return "off", f"{excluding} excludes it"
    if config.jit_compile != "auto":
        return config.jit_compile, f"jit_compile={config.jit_compile}"
    return ("on", "a GPU is used") if has_gpu() else ("off", "oneDNN's convolutions are faster on a CPU")
