"""python -m benchmarks.gpu: everything that is to be measured on a GPU, by one command, into one JSON file.

  python -m benchmarks.gpu --out=gpu.json --pytorch_python=torch-env/bin/python --pictures=photos/
  python -m benchmarks.gpu --out=gpu.json --parts=check,step --batch_sizes=512     some of it; other figures stay
  python -m benchmarks.gpu --out=/tmp/tiny.json --smoke                            tiny, to test it on any machine

  check    convolutions, forward and backward, agree with the CPU's; if not, nothing else is measured
  step     the MXNet tutorial's step: float32 (TF32) and bfloat16, with XLA and without, beside PyTorch's best mode
  layers   the same in bfloat16 with XLA: layers as in a run, all of ours, Keras's own
  data     our recipe's step: one repeated batch, MNIST from the GPU's memory, MNIST from the CPU's
  fit      300 steps of `fit --preset=full`: its speed, and how often XLA compiled
  quality  `fit --preset=full` on MNIST to its end, on CIFAR-10 and your --pictures at 128 pixels for a time; `evaluate`

The file is written after each result, so one that was cut off keeps what it has. Each row of `step`, `layers` and
`data` has the peak of the matrix product, measured in the same rounds, and the share of it that the step reached. Run
folders, logs and sample grids lie beside the file, in a folder of its name. A training whose folder is there resumes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from absl import app, flags

from keras_dcgan import runs
from keras_dcgan.tools.files import write_text
from keras_dcgan.tools.terminal import import_tensorflow

FLAGS = flags.FLAGS
LIMITS = {"float32": 3e-3, "bfloat16": 2e-2}  # of the largest error, as a share of the largest value; TF32 has 10 bits
ENDLESS = 10_000_000  # steps
TRAININGS = {  # the flags of each, and its longest time in minutes
    "mnist": ([], 10),  # ends after its ten epochs
    "cifar10": ([f"--steps={ENDLESS}"], 20),
    "pictures": ([f"--steps={ENDLESS}", "--image_size=128"], 10),
}
SMOKE = {
    "width": 4, "image_size": 16, "batch_sizes": ["4"], "rounds": 1, "steps": 2, "samples": 64,
}  # fmt: skip
# XLA's own log line of a compilation. ("Compiled cluster using XLA!" is logged only once in a process.)
COMPILED = re.compile(r"Compiled (\S+) (\d+) times, compile time: (\d+) us")
LOG_COMPILATIONS = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "device_compilation_profiler=1"}
Results = Iterator[tuple[str, dict[str, Any]]]


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_string("out", "gpu.json", "file for all figures; what it has of other parts stays")
    flags.DEFINE_list("parts", list(PARTS), f"what to measure: {', '.join(PARTS)}")
    flags.DEFINE_list("batch_sizes", ["64", "512"], "images per step")
    flags.DEFINE_integer("width", 128, "filters beside the image")
    flags.DEFINE_integer("image_size", 64, "height and width")
    flags.DEFINE_integer("rounds", 5, "turns of each contender")
    flags.DEFINE_integer("steps", 0, "steps of a turn; 0: some two seconds of them")
    flags.DEFINE_string("pytorch_python", sys.executable, "Python that has PyTorch; without it there is no peer")
    flags.DEFINE_list("pytorch_modes", [], "modes of PyTorch that are tried; by default all")
    flags.DEFINE_list("trainings", list(TRAININGS), f"trainings of `quality`: {', '.join(TRAININGS)}")
    flags.DEFINE_float("minutes", 0, "longest time of each; 0: 10 for MNIST, 20 for CIFAR-10, 10 for pictures")
    flags.DEFINE_string("pictures", "", "folder of pictures of 128 pixels or more; empty: none")
    flags.DEFINE_integer("samples", 10_000, "images drawn by `evaluate`")
    flags.DEFINE_boolean("smoke", False, "tiny networks and few steps, also without a GPU")


def main(_) -> int:
    """Measures the parts one after the other; 1 if one of them failed."""
    if unknown := set(FLAGS.parts) - set(PARTS) | set(FLAGS.trainings) - set(TRAININGS):
        raise SystemExit(f"error: {', '.join(unknown)}: must be of {', '.join(PARTS)}, or of {', '.join(TRAININGS)}")
    if FLAGS.smoke:
        for name, value in SMOKE.items():
            FLAGS[name].value = value
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # this process needs little of the memory
    import_tensorflow()
    found = describe_machine()
    if found["device"] == "CPU" and not FLAGS.smoke:
        raise SystemExit("error: TensorFlow sees no GPU, so there is nothing to measure; --smoke tests the program")
    out = Path(FLAGS.out)
    report = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"machine": found}
    if report["machine"] != found:
        raise SystemExit(f"error: --out={out}: was measured on another machine, {report['machine']}; give another file")
    failed = False
    for part in FLAGS.parts:
        report.setdefault(part, {})
        for name, figures in PARTS[part](report[part]):
            report[part][name] = figures
            write_text(out, json.dumps(report, indent=2) + "\n")
            failed |= "failed" in figures
            print(f"{part}, {name}: {figures.get('failed', 'done')}", flush=True)
        if part == "check" and failed:
            return 1
    return int(failed)


def describe_machine() -> dict[str, Any]:
    """The device that TensorFlow computes on, and the libraries."""
    import keras
    import tensorflow as tf

    built = tf.sysconfig.get_build_info()
    libraries = {name: built.get(name) for name in ("cuda_version", "cudnn_version")}
    libraries |= {"tensorflow": tf.__version__, "keras": keras.__version__}
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        return {"device": details["device_name"], "capability": list(details["compute_capability"]), **libraries}
    return {"device": "CPU", **libraries}


def check(_) -> Results:
    """The largest errors of convolutions against the CPU's in float64: forward, by the inputs, by the kernel.

    In bfloat16 only where there is arithmetic for it: without, TensorFlow adds up in bfloat16, which is far off.
    """
    import numpy as np
    import tensorflow as tf

    from keras_dcgan.convolutions import convolve, convolve_transposed
    from keras_dcgan.training.machine import computes_in_bfloat16

    dtypes = LIMITS if computes_in_bfloat16() else ["float32"]
    width, device = FLAGS.width, "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    large, small = (4, 16, 16, width), (4, 8, 8, 2 * width)
    plain = {
        "convolution": (lambda x, kernel: tf.nn.conv2d(x, kernel, 2, "SAME"), large, small),
        "transposed": (lambda x, kernel: tf.nn.conv2d_transpose(x, kernel, large, 2, "SAME"), small, large),
    }
    ours = {"convolution": convolve, "transposed": convolve_transposed}

    def run(operation, values, dtype):
        x, kernel, upstream = (tf.cast(value, dtype) for value in values)
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            outputs = operation(x, kernel)
        return outputs, *tape.gradient(outputs, [x, kernel], upstream)

    errors: dict[str, list[float]] = {}
    for name, (operation, inputs, outputs) in plain.items():
        shapes = inputs, (4, 4, width, 2 * width), outputs
        with tf.device("CPU:0"):
            values = [tf.random.stateless_normal(shape, (0, i), dtype=tf.float64) for i, shape in enumerate(shapes)]
            expected = [result.numpy() for result in run(operation, values, tf.float64)]
        for dtype in dtypes:
            for whose, tried in {"": operation, "our ": ours[name]}.items():
                for xla in (False, True):
                    with tf.device(device):
                        results = tf.function(partial(run, tried), jit_compile=xla, autograph=False)(values, dtype)
                    found = [tf.cast(result, tf.float64).numpy() for result in results]
                    pairs = zip(found, expected, strict=True)
                    largest = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs]
                    errors[f"{whose}{name}, {dtype}{', XLA' * xla}"] = largest
    wrong = [name for name, found in errors.items() if not max(found) < LIMITS[name.split(", ")[1]]]
    yield "convolutions", {"errors": errors} | ({"failed": f"wrong: {'; '.join(wrong)}"} if wrong else {})


def step(_) -> Results:
    """The tutorial's step beside its peers, at each batch size."""
    has_pytorch = subprocess.run([FLAGS.pytorch_python, "-c", "import torch"], capture_output=True).returncode == 0
    peers = ["keras_io", "pytorch"] if has_pytorch else ["keras_io"]
    for size in FLAGS.batch_sizes:
        yield size, train_step(
            size, "--jit_compile=on,off", f"--peers={','.join(peers)}", f"--pytorch_python={FLAGS.pytorch_python}",
            f"--pytorch_modes={','.join(FLAGS.pytorch_modes)}",
        ) | {"pytorch": has_pytorch}  # fmt: skip


def layers(_) -> Results:
    """The step with each choice of layers."""
    for size in FLAGS.batch_sizes:
        yield size, train_step(size, "--precisions=mixed_bfloat16", "--jit_compile=on", "--layers=auto,ours,keras")


def data(_) -> Results:
    """Our recipe's step with and without real data."""
    for size in FLAGS.batch_sizes:
        yield (
            size,
            train_step(
                size,
                "--precisions=mixed_bfloat16",
                "--jit_compile=on",
                "--recipe=stable",
                "--data=repeat,mnist,mnist:cpu",
            ),
        )


def train_step(batch_size: str, *chosen: str) -> dict[str, Any]:
    """The figures of `benchmarks.train_step`."""
    shared = {name: FLAGS[name].value for name in ("width", "image_size", "rounds", "steps")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.json"
        command = [sys.executable, "-m", "benchmarks.train_step", f"--json={path}", f"--batch_size={batch_size}"]
        done = subprocess.run([*command, *(f"--{name}={value}" for name, value in shared.items()), *chosen])
        return json.loads(path.read_text()) if done.returncode == 0 else {"failed": f"exit code {done.returncode}"}


def fit(_) -> Results:
    """A short run: how often XLA compiles in it, and its speed with all that a run does beside its steps."""
    yield "mnist", train("fit", "mnist", [f"--steps={2 if FLAGS.smoke else 300}"], minutes=10)


def quality(earlier: dict[str, Any]) -> Results:
    """The trainings, each to its end or for its time, with the figures of `evaluate` and a sample grid."""
    for name in FLAGS.trainings:
        chosen, minutes = TRAININGS[name]
        dataset = FLAGS.pictures if name == "pictures" else name
        if not dataset:
            yield name, {"skipped": "no --pictures"}
            continue
        if FLAGS.smoke:
            chosen = ["--steps=3"]
        figures = train(name, dataset, chosen, FLAGS.minutes or minutes)
        figures["all_seconds"] = figures["seconds"] + earlier.get(name, {}).get("all_seconds", 0)
        if "failed" not in figures:
            figures |= evaluate(name)
        yield name, figures


def folder_of(name: str) -> Path:
    """Where the run of a training lies, beside the JSON file."""
    return Path(FLAGS.out).with_suffix("") / name


def train(name: str, dataset: str, chosen: list[str], minutes: float) -> dict[str, Any]:
    """Runs `fit --preset=full`, or resumes it, to its end or for so many minutes."""
    run = folder_of(name)
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_suffix(".log")
    command = [sys.executable, "-m", "keras_dcgan.fit", f"--run_dir={run}"]
    if (run / runs.CONFIG).exists():
        command += ["--resume"]
    else:
        command += ["--preset=full", f"--dataset={dataset}", f"--width={FLAGS.width}", *chosen]
        command += ["--image_size=16", "--jit_compile=on"] if FLAGS.smoke else []
    started = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | LOG_COMPILATIONS)
        try:
            process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    compiled = [(function, int(microseconds) / 1e6) for function, _, microseconds in COMPILED.findall(text)]
    rates, steps = re.findall(r"([\d.]+) steps/s", text), re.search(r"(?:Done:|stopped at step) (\d+)", text)
    figures = {
        "seconds": time.monotonic() - started,  # of the whole process
        "steps": int(steps[1]) if steps else None,
        "compilations_of_the_step": sum("one_step_on_data" in function for function, _ in compiled),
        "compilations": compiled,
        "images_on_the_gpu": "The GPU holds all" in text,
        "steps_per_second": float(rates[-1]) if rates else None,  # logged every 5 % of a run
    }
    done = process.returncode in (0, 128 + signal.SIGINT) and (run / runs.GENERATOR).exists()
    return figures if done else figures | {"failed": f"exit code {process.returncode}; see {log}"}


def evaluate(name: str) -> dict[str, Any]:
    """The figures of a run's generator; its sample grid is written beside the run, a row for each class."""
    run = folder_of(name)
    rows = ["--each"] if runs.read_config(run / runs.CONFIG).labels == "on" else []
    for command in (
        ["keras_dcgan.sample", f"--out={run.with_suffix('.png')}", *rows],
        ["keras_dcgan.evaluate", f"--samples={FLAGS.samples}"],
    ):
        done = subprocess.run([sys.executable, "-m", *command, f"--run_dir={run}"])
        if done.returncode:
            return {"failed": f"{command[0]}: exit code {done.returncode}"}
    return {"figures": json.loads((run / "metrics.json").read_text(encoding="utf-8"))}


PARTS = {"check": check, "step": step, "layers": layers, "data": data, "fit": fit, "quality": quality}

if __name__ == "__main__":
    define_flags()
    app.run(main)
