"""One training step in a process of its own, run on demand: what `benchmarks.train_step` compares.

The process reads lines from its standard input: `steps N` runs N steps, `peak` measures a matrix product. It answers
each with one line of JSON on its standard output, after a first one that says that it is ready.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(run: Callable[[int], None], peak: Callable[[], float], about: dict[str, Any]) -> None:
    """Answers requests until the input ends. `run` does N steps and waits for the last; `peak` gives FLOP/s."""
    answer({"ready": True} | about)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "peak":
            answer({"flops_per_second": peak()})
            continue
        started = time.perf_counter()
        run(int(arguments[0]))
        seconds = time.perf_counter() - started
        answer({"seconds": seconds, "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


def answer(message: dict[str, Any]) -> None:
    """Writes a line of JSON with a mark that no library's notes have."""
    print("@" + json.dumps(message), flush=True)


def main() -> None:
    """Builds the contender that the JSON of the only argument describes, warms it up, and serves."""
    settings = json.loads(sys.argv[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    from benchmarks.flops import hlo_flops, step_flops
    from keras_dcgan import pipeline
    from keras_dcgan.config import from_preset
    from keras_dcgan.datasets import load_images
    from keras_dcgan.training import loop, machine

    overrides = {key: settings[key] for key in ("width", "batch_size", "image_size", "channels", "precision")}
    overrides |= {"augment": "off", "r1_weight": 1.0 if settings["recipe"] == "stable" else 0.0}
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    config = from_preset("quick" if settings["recipe"] == "stable" else "tutorial", overrides | {"steps": 100_000})
    config = machine.choose(from_preset(config.preset, overrides | {"jit_compile": settings["jit_compile"]}))
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(config.precision)
    gan = loop.build(config)
    if settings["kind"] == "keras_io":
        gan = keras_io(gan, config.jit_compile == "on")
    shape = (config.batch_size, config.image_size, config.image_size, config.channels)
    if settings["data"] == "repeat":
        images = tf.random.stateless_uniform(shape, (0, 1), -1.0, 1.0)
        dataset = tf.data.Dataset.from_tensors(images).repeat()
    else:
        dataset = pipeline.make_dataset(
            load_images(settings["data"]), config.batch_size, config.image_size, config.channels, first_step=0
        )
    gan.make_train_function()
    iterator = iter(dataset)

    def run(steps: int) -> None:
        for _ in range(steps):
            logs = gan.train_function(iterator)
        float(logs["g_loss"])  # waits for a GPU

    def peak() -> float:
        size = 8192 if on_gpu else 2048
        dtype = tf.bfloat16 if config.precision == "mixed_bfloat16" else tf.float32
        a, b = (tf.cast(tf.random.stateless_normal((size, size), (0, i)), dtype) for i in range(2))
        multiply = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, b)[:1]))
        multiply().numpy()
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            multiply().numpy()
            seconds.append(time.perf_counter() - started)
        return 2 * size**3 / min(seconds)

    started = time.perf_counter()
    run(5 if settings["recipe"] == "stable" else 2)
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
    if on_gpu:
        about["device"] = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])[
            "device_name"
        ]
    serve(run, peak, about)


def keras_io(gan: Any, jit_compile: bool) -> Any:
    """The same networks trained as Keras's own DCGAN example trains: Keras's layers, fakes and reals in one batch.

    https://keras.io/examples/generative/dcgan_overriding_train_step
    """
    import keras
    import tensorflow as tf

    def plain(network: keras.Model) -> keras.Model:
        def clone(layer):
            return getattr(keras.layers, type(layer).__name__).from_config(layer.get_config())

        return keras.models.clone_model(network, clone_function=clone)

    class Example(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = plain(gan.generator), plain(gan.discriminator)
            self.latent_dim = gan.latent_dim
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
    example.compile(optimizer=keras.optimizers.Adam(2e-4, 0.5), jit_compile=jit_compile)
    example.g_optimizer, example.d_optimizer = keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5)
    example.g_optimizer.build(example.generator.trainable_variables)
    example.d_optimizer.build(example.discriminator.trainable_variables)
    return example


if __name__ == "__main__":
    main()
