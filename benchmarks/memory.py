"""python -m benchmarks.memory: the memory of a compiled training step, as XLA plans it; nothing runs.

  python -m benchmarks.memory --batch_size=512
  python -m benchmarks.memory --batch_size=64 --preset=tutorial --precision=float32

This machine's compiler makes the plan. One that has no bfloat16 convolutions, as XLA on a CPU, keeps float32 copies of
what a GPU keeps in bfloat16; a GPU needs workspace for cuDNN instead. The convolutions are those that a GPU runs.
"""

import math
import os
import re
import tempfile
from pathlib import Path

from absl import app, flags

from benchmarks import WITHOUT_DATA

FLAGS = flags.FLAGS
ALLOCATION = re.compile(r"^allocation \d+: size (\d+),(.*)", re.MULTILINE)


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_enum("preset", "full", ["tutorial", "full"], "settings of the step, without labels and augmentation")
    flags.DEFINE_integer("width", 128, "filters beside the image")
    flags.DEFINE_integer("batch_size", 512, "images per step")
    flags.DEFINE_integer("image_size", 64, "height and width")
    flags.DEFINE_integer("channels", 3, "1 or 3")
    flags.DEFINE_string("precision", "mixed_bfloat16", "dtype policy")


def main(_) -> None:
    """Compiles the step and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        # XLA reads this once, when it is first used.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder} --xla_dump_hlo_as_text"
        state = compile_step()
        plans = list(Path(folder).glob("*buffer-assignment.txt"))
        allocations = ALLOCATION.findall(max(plans, key=lambda path: path.stat().st_size).read_text())
    stored = sum(int(size) for size, about in allocations if "parameter" in about)
    total = sum(int(size) for size, _ in allocations)
    rows = state | {"the batch and counters": stored - sum(state.values())}
    rows |= {"activations and gradients": total - stored, "all": total}
    print("| memory of a step | MiB |\n|---|---|")
    for what, size in rows.items():
        print(f"| {what} | {size / 2**20:,.4f} |")


def compile_step() -> dict[str, int]:
    """Has XLA compile the step; returns the bytes of what it keeps from step to step."""
    import keras
    import tensorflow as tf

    from keras_dcgan import layers
    from keras_dcgan.config import from_preset
    from keras_dcgan.training import loop

    layers.has_cudnn = lambda: True
    settings = {name: FLAGS[name].value for name in ("width", "batch_size", "image_size", "channels", "precision")}
    settings |= {**WITHOUT_DATA, "labels": "off", "jit_compile": "on", "r1_weight": float(FLAGS.preset == "full")}
    config = from_preset(FLAGS.preset, settings)
    keras.config.set_dtype_policy(config.precision)
    gan = loop.build(config)
    step = tf.function(gan.train_step, jit_compile=True)
    shape = (config.batch_size, config.image_size, config.image_size, config.channels)
    step.experimental_get_compiler_ir(tf.zeros(shape))(stage="optimized_hlo")

    def count(variables) -> int:
        return sum(math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for variable in variables)

    averaged = gan.averaged.trainable_variables if config.ema_half_life else []
    optimizers = [*gan.generator_optimizer.variables, *gan.discriminator_optimizer.variables]
    return {
        "weights": count([*gan.generator.variables, *gan.discriminator.variables]),
        "Adam's two moments": count(optimizers),
        "the moving average": count(averaged),
    }


if __name__ == "__main__":
    define_flags()
    app.run(main)
