"""python -m benchmarks.input_pipeline: images per second out of the input pipeline, beside what training consumes.

  python -m benchmarks.input_pipeline --json=pipeline.json --figure=pipeline.png
  python -m benchmarks.input_pipeline --rows=folder,cache --dataset=photos/ --width=128

Each row is measured in a process of its own, so that its peak memory is its own. "Inspecting" is what happens to every
file before the first start. The first epoch reads files that the system does not hold in memory (as far as it lets go
of them), the later ones files that it may. "Training" is only the step, on one batch that is there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import WITHOUT_DATA
from keras_dcgan.config import TrainConfig, from_preset
from keras_dcgan.tools.files import atomic_path, write_text

FLAGS = flags.FLAGS
ROWS = {
    "tensorflow": "only TensorFlow, nothing read",
    "mnist": "MNIST, in memory",
    "folder": "a folder of pictures",
    "cache": "the same with --cache_dir",
    "memory": "the same, decoded in memory",
    "training": "only the training step",
}


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_list("rows", list(ROWS), f"what to measure: {', '.join(ROWS)}")
    flags.DEFINE_string("dataset", "", "folder of pictures; by default JPEGs are made")
    flags.DEFINE_integer("files", 5000, "how many JPEGs are made")
    flags.DEFINE_integer("side", 256, "their height and width in pixels")
    flags.DEFINE_integer("width", 32, "width of the networks of the training step")
    flags.DEFINE_integer("image_size", 64, "pixels that the networks see")
    flags.DEFINE_integer("channels", 3, "1 or 3")
    flags.DEFINE_integer("batch_size", 64, "images per step")
    flags.DEFINE_float("seconds", 20.0, "longest measurement of an epoch")
    flags.DEFINE_string("json", "", "file for the figures")
    flags.DEFINE_string("figure", "", "PNG file for a bar chart")
    flags.DEFINE_string("one", "", "measures one row in this process (used by the program itself)")


def main(_) -> None:
    """Measures each row in a process of its own, then prints the table."""
    if FLAGS.one:
        print(json.dumps(measure(FLAGS.one, configuration(FLAGS.dataset, FLAGS.cache_dir))))
        return
    with tempfile.TemporaryDirectory(prefix="input_pipeline.") as temporary:
        folder = FLAGS.dataset
        if not folder and {"folder", "cache", "memory"} & set(FLAGS.rows):
            folder = make_jpegs(Path(temporary) / "jpegs", FLAGS.files, FLAGS.side)
        rows = {row: start(row, str(folder), temporary) for row in FLAGS.rows}
    results = {"settings": FLAGS.flag_values_dict() | {"cores": os.cpu_count()}, "rows": rows}
    print(table(rows))
    if FLAGS.json:
        write_text(FLAGS.json, json.dumps(results, indent=2, default=str) + "\n")
    if FLAGS.figure:
        draw(FLAGS.figure, rows)


def start(row: str, folder: str, temporary: str) -> dict[str, float]:
    """Measures a row in a process of its own, which remembers no earlier inspection."""
    names = ("width", "image_size", "channels", "batch_size", "seconds")
    command = [sys.executable, "-m", "benchmarks.input_pipeline", f"--one={row}", f"--dataset={folder}"]
    command += [f"--{name}={FLAGS[name].value}" for name in names] + [f"--cache_dir={temporary}/{row}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def configuration(folder: str, cache: str) -> TrainConfig:
    """The configuration that is measured: the preset `quick` with this program's flags."""
    return from_preset("quick", {
        "dataset": str(Path(folder).absolute()) if folder else "mnist", "cache_dir": cache, "width": FLAGS.width,
        "image_size": FLAGS.image_size, "channels": FLAGS.channels, "batch_size": FLAGS.batch_size,
        **WITHOUT_DATA,
    })  # fmt: skip


def measure(row: str, config: TrainConfig) -> dict[str, float]:
    """Images per second of a row, and the peak memory of this process in MB."""
    import dataclasses

    from keras_dcgan import pipeline
    from keras_dcgan.datasets import folder, source

    figures: dict[str, float] = {}
    if row == "training":
        figures["training"] = train(config)
    elif row != "tensorflow":
        if row == "mnist":
            config = dataclasses.replace(config, dataset="mnist", cache_dir="")
        else:
            forget(Path(config.dataset))
            begin = time.monotonic()
            scan = folder.scan(config.dataset, config.cache_dir)
            figures["inspecting"] = len(scan.names) / (time.monotonic() - begin)
            forget(Path(config.dataset))
            if row != "cache":
                config = dataclasses.replace(config, cache_dir="")
                folder.scan = lambda *_: scan  # type: ignore[assignment]
        begin = time.monotonic()
        data = source.open_data(config).images
        if row == "cache":
            figures["making the cache"] = len(data) / (time.monotonic() - begin)
            forget(Path(config.cache_dir))
        elif row == "memory":
            data = data[:]
        dataset = pipeline.make_dataset(
            data, config.batch_size, config.image_size, config.channels, seed=config.seed, mirror=True
        )
        figures["first epoch"], figures["later epochs"] = (drain(dataset, config.batch_size) for _ in range(2))
    status = Path("/proc/self/status").read_text()
    figures["peak memory, MB"] = int(status.split("VmHWM:")[1].split()[0]) / 1000
    return figures


def drain(dataset, batch_size: int) -> float:
    """Images per second of one pass over a data set, or of as much of it as the time allows."""
    images, begin = 0, time.monotonic()
    for _ in dataset:
        images += batch_size
        if time.monotonic() - begin > FLAGS.seconds:
            break
    return images / (time.monotonic() - begin)


def train(config: TrainConfig) -> float:
    """Images per second that the training step consumes when its batch is there already."""
    import keras
    import tensorflow as tf

    from keras_dcgan.training import loop, machine

    config = machine.choose(config)
    keras.config.set_dtype_policy(config.precision)
    gan = loop.build(config)
    size = (config.batch_size, config.image_size, config.image_size, config.channels)
    batch = tf.random.uniform(size, -1, 1)
    steps = 8
    speeds: list[float] = []
    while len(speeds) < 2 or sum(speeds) < FLAGS.seconds:
        begin = time.monotonic()
        gan.fit(tf.data.Dataset.from_tensors(batch).repeat(steps), shuffle=False, verbose=0)
        speeds.append(time.monotonic() - begin)
    return steps * config.batch_size / float(np.median(speeds[1:]))  # the first one compiles


def make_jpegs(folder: Path, count: int, side: int) -> Path:
    """Writes JPEGs of quality 90 that take as many bytes as photographs do: blurred noise of several scales."""
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        image = np.zeros((side, side, 3), np.float32)
        for cells in (4, 16, 64, side):
            noise = rng.standard_normal((cells, cells, 3), np.float32) * (40 / cells**0.4)
            image += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
        levels = cv2.convertScaleAbs(np.maximum(image + 128, 0))  # which ends at 255
        cv2.imwrite(str(folder / f"{i:07d}.jpg"), levels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


def forget(folder: Path) -> None:
    """Asks the system to let go of the files under a folder, so that they are read from the disk again."""
    for directory, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(directory, name), os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def table(rows: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table; speeds in images per second."""
    columns = ["inspecting", "making the cache", "first epoch", "later epochs", "training", "peak memory, MB"]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, figures in rows.items():
        cells = [f"{figures[column]:,.0f}" if column in figures else "" for column in columns]
        lines.append(f"| {ROWS[row]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: str, rows: dict[str, dict[str, Any]]) -> None:
    """Draws the speeds as bars on a logarithmic scale, what training consumes as a line, atomically, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    bars = {
        f"{ROWS[row]}: {name}": found[name] for row, found in rows.items() for name in
        ("inspecting", "making the cache", "first epoch", "later epochs") if name in found
    }  # fmt: skip
    axes.barh(list(bars), list(bars.values()))
    if "training" in rows:
        axes.axvline(rows["training"]["training"], color="tab:red", label="training consumes")
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.15))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=100)
    axes.set_xlabel("images per second")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_string("cache_dir", "", "folder of the decoded copy (used by the program itself)")
    app.run(main)
