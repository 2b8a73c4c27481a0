"""python -m benchmarks.scaling: what training on several devices costs; docs/scaling.md has what it printed.

python -m benchmarks.scaling --measure    steps/s on one device, two logical CPU devices and two local workers
python -m benchmarks.scaling --messages   all-reduces in a step, counted in the graph that TensorFlow runs
python -m benchmarks.scaling --compute    bytes and messages all-reduced in a step, against its time
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

from absl import app, flags

from benchmarks import WITHOUT_DATA

FLAGS = flags.FLAGS
MODES = ("off", "mirrored", "multiworker")

# GB/s in one direction, seconds that a message takes of itself, and seconds on the way. The rates are those of data
# sheets. A message through TensorFlow's gRPC took 1.3 ms on a small machine, and waited for 2 n ways between n workers
# (`benchmarks.networks`); 20 µs are usual for NCCL over NVLink 4 (H100), and not measured here.
LINKS = {"10 GbE": (1.25, 1.3e-3, 50e-6), "25 GbE": (3.125, 1.3e-3, 50e-6), "NVLink": (450.0, 20e-6, 0.0)}
PEAK, SHARE = 989e12, 0.3  # an H100's dense bfloat16 FLOP/s, and the share of it that such networks may reach


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine, as TF_CONFIG has them, where nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def environment(addresses: list[str], index: int) -> dict[str, str]:
    """The environment of one of the workers at these addresses."""
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return {**os.environ, "TF_CONFIG": json.dumps(cluster)}


def joined(mode: str):
    """The workers of a mode, in a process of its own."""
    import tensorflow as tf

    from keras_dcgan.training import distribution

    if mode == "mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    return distribution.join(mode)


def built(mode: str, workers, **settings):
    """The model whose steps are measured and counted."""
    from keras_dcgan.config import from_preset
    from keras_dcgan.training import loop, machine

    given = {"width": FLAGS.width, "batch_size": FLAGS.batch_size, "precision": "float32", "distribute": mode,
             "image_size": 64, **WITHOUT_DATA, **settings}  # fmt: skip
    return loop.build(machine.choose(from_preset("quick", given)), workers)


def fed(workers):
    """This worker's part of endless batches of black images."""
    import numpy as np

    from keras_dcgan import pipeline

    images, shard = np.zeros((1000, 28, 28, 1), np.uint8), (workers.index, workers.count)
    return pipeline.make_dataset(images, FLAGS.batch_size, channels=1, first_step=0, shard=shard)


def measured(mode: str) -> None:
    """Trains a little and prints the steps per second."""
    workers = joined(mode)
    gan, data = built(mode, workers), fed(workers)
    gan.fit(data, steps_per_epoch=4, verbose=0, shuffle=False)  # traces
    start = time.monotonic()
    gan.fit(data, steps_per_epoch=FLAGS.steps, verbose=0, shuffle=False)
    if workers.chief:
        print(f"| {mode} | {FLAGS.steps / (time.monotonic() - start):.2f} |", flush=True)


def counted(mode: str) -> None:
    """Prints how many all-reduces a device takes part in: in a step without R1, with it, and not synchronised."""
    import tensorflow as tf

    workers = joined(mode)
    counts = []
    for settings in ({"r1_weight": 0.0}, {"r1_every": 1}, {"r1_weight": 0.0, "synchronized": False}):
        gan = built(mode, workers, **settings)
        images = tf.TensorSpec((FLAGS.batch_size // workers.count, 64, 64, 1))
        step = tf.function(gan.train_step).get_concrete_function(images).graph.as_graph_def()
        nodes = [*step.node, *(node for function in step.library.function for node in function.node_def)]
        counts.append(sum(node.op.startswith("Collective") for node in nodes) // gan.local_replicas)
    if workers.chief:
        print(f"| {mode} | {' | '.join(map(str, counts))} |", flush=True)


def each_mode(modes: tuple[str, ...], what: str) -> None:
    """Measures or counts each mode in processes of its own."""
    for mode in modes:
        alone = [{**os.environ, "TF_CONFIG": "{}"}]
        addresses = free_addresses(2)
        together = [environment(addresses, index) for index in range(2)]
        processes = []
        for each in together if mode == "multiworker" else alone:
            given = [f"--{name}={FLAGS[name].value}" for name in ("width", "batch_size", "steps")]
            command = [sys.executable, "-m", "benchmarks.scaling", f"--one={mode}", what, *given]
            processes.append(subprocess.Popen(command, env=each, stderr=subprocess.DEVNULL))
        if any([process.wait() for process in processes]):
            sys.exit(f"{mode} failed")


def messages_of_a_step(generator, discriminator, synchronized: bool = True) -> int:
    """The all-reduces of a step without R1 between several machines; `--messages` counts them."""
    layers = [sum(hasattr(layer, "moving_mean") for layer in network.layers) for network in (generator, discriminator)]
    # Each batch normalisation forward and backward: the fakes and the reals pass together, then the fakes again. The
    # gradients of either network, and the losses.
    return synchronized * 2 * (layers[0] + 2 * layers[1]) + 2 + 1


def exchanging(workers: int, weights: int, messages: int, rate: float, delay: float, message: float = 0.0) -> float:
    """Seconds in which so many workers all-reduce what a step sends: computed, not measured.

    Args:
      workers: n; in a ring each sends 2 (n - 1) / n of the bytes, and each message waits 2 n times for the way.
      weights: of both networks, float32.
      messages: all-reduces of a step.
      rate: bytes a second in one direction.
      delay: seconds on the way.
      message: seconds that a message takes of itself.
    """
    return 2 * (workers - 1) / workers * 4 * weights / rate + messages * (message + 2 * workers * delay)


def compute() -> None:
    """Prints, for several widths, what a step of 64 images a device computes and sends."""
    from benchmarks.flops import forward_flops
    from keras_dcgan.networks import build_discriminator, build_generator

    columns = [f"{name}, n = {n}" for name in LINKS for n in (2, 8)]
    print(f"| width | weights | GFLOP an image | step | messages | {' | '.join(columns)} |")
    print("|---" * (5 + len(columns)) + "|")
    for width in (32, 64, 128):
        networks = build_generator(width), build_discriminator(width)
        weights = sum(network.count_params() for network in networks)
        passes = [sum(forward_flops(network)) for network in networks]  # of one image
        # The generator: forward and its two gradients. The discriminator: three passes forward, two with both
        # gradients, one with that of its input. Without R1.
        flop = 3 * passes[0] + 8 * passes[1]
        seconds = 64 * flop / (PEAK * SHARE)
        messages = messages_of_a_step(*networks)
        cells = []
        for rate, message, delay in LINKS.values():
            for n in (2, 8):
                sending = exchanging(n, weights, messages, rate * 1e9, delay, message)
                cells.append(f"{1e3 * sending:.1f} ms, {100 * seconds / (seconds + sending):.0f} %")
        figures = [str(width), f"{weights / 1e6:.1f} M", f"{flop / 1e9:.2f}", f"{1e3 * seconds:.2f} ms", str(messages)]
        print(f"| {' | '.join(figures + cells)} |")


def main(_) -> None:
    """One measurement, all of them, or the computed table."""
    if FLAGS.one:
        return (counted if FLAGS.messages else measured)(FLAGS.one)
    if FLAGS.measure:
        print(f"width {FLAGS.width}, batch {FLAGS.batch_size}\n\n| --distribute | steps/s |\n|---|---|", flush=True)
        each_mode(MODES, "--measure")
    if FLAGS.messages:
        print("| --distribute | a step | a step with R1 | --nosynchronized |\n|---|---|---|---|", flush=True)
        each_mode(MODES[1:], "--messages")
    if FLAGS.compute:
        compute()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    flags.DEFINE_boolean("measure", False, "measure on this machine")
    flags.DEFINE_boolean("messages", False, "count the all-reduces of a step")
    flags.DEFINE_boolean("compute", False, "compute for real networks")
    flags.DEFINE_enum("one", None, MODES, "measure or count one mode, as a process of --measure or --messages")
    flags.DEFINE_integer("width", 32, "filters beside the image")
    flags.DEFINE_integer("batch_size", 64, "images a step, shared by all devices")
    flags.DEFINE_integer("steps", 24, "steps that are timed")
    app.run(main)
