"""A training in a process of its own, run on demand: what `benchmarks.train_step` and `benchmarks.race` compare.

The process reads lines from its standard input: `steps N` runs N steps, `train S` trains for S seconds, `draw N PATH`
writes N generated images to a .npy file, `peak` measures a matrix product. It answers each with one line of JSON on
its standard output, after a first one that says that it is ready.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def resident_memory() -> int:
    """The largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(
    run: Callable[[int], None],
    peak: Callable[[], float],
    draw: Callable[[int], np.ndarray],
    introduction: dict[str, Any],
    memory: Callable[[], int] = resident_memory,
) -> None:
    """Answers requests until the input ends.

    `run` does N steps and waits for the last, `peak` gives FLOP/s, `draw` gives uint8 [N, S, S, C], `memory` the bytes
    that were taken at most.
    """
    answer({"ready": True} | introduction)
    for line in sys.stdin:
        command, _, arguments = line.rstrip("\n").partition(" ")
        number, _, path = arguments.partition(" ")
        started = time.perf_counter()
        about: dict[str, Any] = {}
        if command == "peak":
            about["flops_per_second"] = peak()
        elif command == "draw":
            np.save(path, draw(int(number)))
        elif command == "train":
            steps = 0
            while not steps or time.perf_counter() - started < float(number):
                run(1)
                steps += 1
            about["steps"] = steps
        else:
            run(int(number))
        seconds = time.perf_counter() - started
        answer(about | {"seconds": seconds, "peak_memory": memory()})


def answer(message: dict[str, Any]) -> None:
    """Writes a line of JSON with a mark that no library's notes have."""
    print("@" + json.dumps(message), flush=True)


def main() -> None:
    """Builds the contender that the JSON of the only argument describes, warms it up, and serves."""
    settings = json.loads(sys.argv[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # all contenders share the GPU's memory
    import keras
    import tensorflow as tf

    from benchmarks.flops import hlo_flops, step_flops
    from keras_dcgan import convolutions, layers, networks
    from keras_dcgan.config import from_preset
    from keras_dcgan.generators import draw_images, draw_latents
    from keras_dcgan.networks import float32_copy, with_labels
    from keras_dcgan.training import choices, loop, machine

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    config = machine.choose(from_preset(settings["preset"], settings["overrides"]))
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(config.precision)
    shape = (config.batch_size, config.image_size, config.image_size, config.channels)
    data, classes = None, None
    if settings["data"] != "repeat":
        data = loop.open_data(config, Path(), chief=False)
        config, classes = choices.settle(config, data), data.classes
    if settings.get("layers") == "ours" and on_gpu:  # those of a server's processor, whatever this one is
        layers.has_cudnn = lambda: False
        convolutions.features = lambda: frozenset({"avx512f"})  # type: ignore[assignment]
    elif settings.get("layers") == "keras":
        for name in ("Conv2D", "Conv2DTranspose", "BatchNormalization"):
            setattr(networks, name, getattr(keras.layers, name))
    gan = loop.build(config, classes=classes)
    if settings["kind"] == "keras_io":
        gan = keras_io(plain(gan.generator), plain(gan.discriminator), config.jit_compile == "on", 2e-4, 0.5)
    elif settings["kind"] == "keras_example":
        gan = keras_io(*example_networks(config.width), config.jit_compile == "on", 1e-4)
    if data:
        if settings["kind"] != "ours" or settings["data"].endswith(":cpu"):
            machine.holds = lambda *_: False
        dataset = loop.feed(gan, config, data)
    else:
        dataset = tf.data.Dataset.from_tensors(tf.random.stateless_uniform(shape, (0, 1), -1.0, 1.0)).repeat()
    gan.make_train_function()
    iterator = iter(dataset)

    def run(steps: int) -> None:
        for _ in range(steps):
            logs = gan.train_function(iterator)
        float(logs["g_loss"])  # waits for a GPU

    def draw(count: int) -> np.ndarray:
        if settings["kind"] == "ours":
            gan.refresh_averaged()  # as a run does before it draws
        generator = float32_copy(gan.averaged if settings["kind"] == "ours" else gan.generator)
        labels = classes.draw(count, seed=0) if classes else None
        return draw_images(generator, with_labels(draw_latents(count, gan.latent_dim, seed=0), labels))

    def peak() -> float:
        size, products = (8192, 20) if on_gpu else (2048, 1)  # one product of a GPU is too short to be timed
        dtype = tf.bfloat16 if config.precision == "mixed_bfloat16" else tf.float32
        a, b = (tf.cast(tf.random.stateless_normal((size, size), (0, i)), dtype) for i in range(2))
        multiply = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, b)[:1]))
        multiply().numpy()
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            for _ in range(products):
                product = multiply()
            product.numpy()
            seconds.append(time.perf_counter() - started)
        return products * 2 * size**3 / min(seconds)

    started = time.perf_counter()
    run(5 if config.r1_weight else 2)
    about = {
        "precision": config.precision,
        "xla": config.jit_compile == "on",
        "first_steps": time.perf_counter() - started,
    }
    if settings["kind"] == "ours":
        r1_every = config.r1_every if config.r1_weight else 0
        about["flops"] = step_flops(gan.generator, gan.discriminator, config.batch_size, r1_every)
        if settings["count_flops"]:
            step = tf.function(lambda images, latents: gan.adversarial_step(images, latents), jit_compile=True)
            latents = tf.zeros((config.batch_size, config.latent_dim))
            about["hlo_flops"] = hlo_flops(step.experimental_get_compiler_ir(tf.zeros(shape), latents)(stage="hlo"))
    if not on_gpu:
        return serve(run, peak, draw, about)
    gpu = tf.config.list_physical_devices("GPU")[0]
    about["device"] = tf.config.experimental.get_device_details(gpu)["device_name"]
    serve(run, peak, draw, about, lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"])


def plain(network: Any) -> Any:
    """A network of ours as Keras's own layers."""
    import keras

    def clone(layer):
        return getattr(keras.layers, type(layer).__name__).from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=clone)


def example_networks(width: int = 64) -> tuple[Any, Any]:
    """The networks of Keras's own DCGAN example for 64 pixels; as written at width 64, but for grey images.

    The example's images are in [0, 1]. Here they are in [-1, 1] outside of the networks, and the rescaling is inside.
    The discriminator gives logits, of which the example's loss takes the sigmoid.
    """
    import keras
    from keras import layers

    generator = [layers.Dense(8 * 8 * 2 * width), layers.Reshape((8, 8, 2 * width))]
    for filters in (2 * width, 4 * width, 8 * width):
        generator += [layers.Conv2DTranspose(filters, 4, 2, "same"), layers.LeakyReLU(negative_slope=0.2)]
    generator += [layers.Conv2D(1, 5, padding="same", activation="sigmoid"), layers.Rescaling(2.0, -1.0)]
    discriminator = [layers.Rescaling(0.5, 0.5)]
    for filters in (width, 2 * width, 2 * width):
        discriminator += [layers.Conv2D(filters, 4, 2, "same"), layers.LeakyReLU(negative_slope=0.2)]
    discriminator += [layers.Flatten(), layers.Dropout(0.2), layers.Dense(1)]
    return (
        keras.Sequential([layers.Input((128,)), *generator]),
        keras.Sequential([layers.Input((64, 64, 1)), *discriminator]),
    )


def keras_io(generator: Any, discriminator: Any, jit_compile: bool, rate: float, beta_1: float = 0.9) -> Any:
    """Networks trained as Keras's own DCGAN example trains its own: fakes and reals in one batch.

    https://keras.io/examples/generative/dcgan_overriding_train_step
    """
    import keras
    import tensorflow as tf

    class Example(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = generator, discriminator
            self.latent_dim = generator.input_shape[-1]
            self.seed_generator = keras.random.SeedGenerator(0)
            self.built = True

        def train_step(self, real_images):
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            batch_size = tf.shape(real_images)[0]
            latents = keras.random.normal((batch_size, self.latent_dim), seed=self.seed_generator)
            combined = tf.concat([self.generator(latents), real_images], axis=0)
            labels = tf.concat([tf.ones((batch_size, 1)), tf.zeros((batch_size, 1))], axis=0)
            labels += 0.05 * tf.random.uniform(tf.shape(labels))
            with tf.GradientTape() as tape:
                d_loss = loss(labels, self.discriminator(combined, training=True))
            weights = self.discriminator.trainable_weights
            self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
            latents = keras.random.normal((batch_size, self.latent_dim), seed=self.seed_generator)
            with tf.GradientTape() as tape:
                fakes = self.generator(latents, training=True)
                g_loss = loss(tf.zeros((batch_size, 1)), self.discriminator(fakes, training=True))
            weights = self.generator.trainable_weights
            self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    example = Example()
    example.g_optimizer, example.d_optimizer = (keras.optimizers.Adam(rate, beta_1) for _ in range(2))
    example.compile(optimizer=example.g_optimizer, jit_compile=jit_compile)
    example.g_optimizer.build(example.generator.trainable_variables)
    example.d_optimizer.build(example.discriminator.trainable_variables)
    return example


if __name__ == "__main__":
    main()
