from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.gan import DCGAN, ConstantThenLinear
from keras_dcgan.networks import build_discriminator, build_generator

GOLDEN = np.load(Path(__file__).parent / "data" / "golden_w4.npz")


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(2e-4, 0.5, 0.999, 1e-8)


def small_gan(**options) -> DCGAN:
    gan = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1), seed=1)
    gan.compile(adam(), adam(), **options)
    return gan


def reals(count: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, 16, 16, 1)).astype("float32"))


def in_mxnets_order(gan: DCGAN):
    """Each variable with its name in the golden file and the transposition from there."""
    for network, letter in ((gan.generator, "G"), (gan.discriminator, "D")):
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                yield layer.kernel, f"{letter}/{layer.name}_weight", (2, 3, 1, 0)  # either way round: h, w, out, in
            if hasattr(layer, "moving_mean"):
                for variable, name in ((layer.beta, "beta"), (layer.moving_mean, "moving_mean"), (layer.moving_variance, "moving_var")):
                    yield variable, f"{letter}/{layer.name}_{name}", (0,)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_three_steps_agree_with_the_seed_documents_program(jit_compile):
    gan = DCGAN(build_generator(4), build_discriminator(4))
    gan.compile(adam(), adam())
    for variable, name, order in in_mxnets_order(gan):
        variable.assign(GOLDEN[f"init/{name}"].transpose(order))
    outputs = []  # of every discriminator pass: fake, real, fake again

    @tf.function(jit_compile=jit_compile)
    def step(images, latents):
        passes = []
        forward = gan.discriminator.call

        def recorded(*args, **kwargs):
            passes.append(tf.sigmoid(forward(*args, **kwargs)))
            return passes[-1]

        logits = []
        original = gan.discriminator.__call__

        class Recorder:
            trainable_variables = gan.discriminator.trainable_variables

            def __call__(self, x, training):
                logits.append(original(x, training=training))
                return logits[-1]

        return gan.adversarial_step(images, latents)
