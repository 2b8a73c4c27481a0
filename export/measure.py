"""python -m export.measure: runs one exported file in a process of its own and prints measurements as JSON.

  python -m export.measure exported/generator-int8.tflite exported/parity.npz [IMAGES.npy]

It imports only numpy and ai-edge-litert for a `.tflite` file, TensorFlow for a SavedModel, and onnxruntime for a folder
with ONNX files: so it shows that the files need nothing else. IMAGES.npy receives the images that the file draws.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from . import rng

ONNX_GENERATOR, ONNX_LATENTS = "generator.onnx", "latents.onnx"
SEED, PICTURES = 7, 4  # pictures of `sample` that are compared with `generate` on numpy's latents
TIMED_SECONDS, TIMED_RUNS = 0.7, 50


def measure_tflite(
    path: Path, latents: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Runs a `.tflite` file and compares it.

    Args:
      path: the file.
      latents: float32 [N, Z].
      expected: float32 [N, S, S, C], Keras's images for them.
      labels: int32 [N], of a file with classes; `sample` is then compared on all of them.

    Returns:
      The measurements as plain JSON values, and the file's images float32 [N, S, S, C].
    """
    from ai_edge_litert.interpreter import Interpreter

    before = peak_mb()
    interpreter = Interpreter(str(path), num_threads=1)
    generate, sample, draw = (interpreter.get_signature_runner(name) for name in ("generate", "sample", "latents"))
    seeds = [np.array([SEED, i], np.int32) for i in range(PICTURES if labels is None else len(labels))]
    given = [{} if labels is None else {"label": labels[i : i + 1]} for i in range(len(latents))]
    generate(latents=latents[:1], **given[0])
    sample(seed=seeds[0], **given[0])
    found: dict[str, Any] = {"peak_mb": peak_mb(), "peak_mb_before": before}

    def images_of(latents: np.ndarray) -> np.ndarray:
        rows = [generate(latents=latents[i : i + 1], **given[i])["images"] for i in range(len(latents))]
        return np.concatenate(rows)

    images = images_of(latents)
    wanted = rng.draw_latents(SEED, range(len(seeds)), latents.shape[1])
    drawn = np.concatenate([draw(seed=seed)["latents"] for seed in seeds])
    pictures = np.concatenate([sample(seed=seed, **given[i])["picture"] for i, seed in enumerate(seeds)])
    found |= difference(images, expected) | {"latents_difference": float(np.abs(drawn - wanted).max())}
    found |= levels(pictures, images_of(wanted))
    found["operators"], found["delegated"] = count_operators(path, interpreter)
    for threads in (1, 2):
        timed = Interpreter(str(path), num_threads=threads).get_signature_runner("generate")
        time_of = fastest_ms(lambda run=timed: run(latents=latents[:1], **given[0]))
        found[f"ms_{threads}_thread{'s' * (threads > 1)}"] = time_of
    return found, images


def measure_saved_model(
    folder: Path, latents: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """`measure_tflite` for a SavedModel, which has no operators of LiteRT to count."""
    sys.modules["keras"] = None  # type: ignore[assignment]  # a file that needs Keras fails here
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # the reference is from a CPU
    model = tf.saved_model.load(str(folder))
    generate, sample = model.signatures["serving_default"], model.signatures["sample"]
    given = {} if labels is None else {"labels": tf.constant(labels)}
    count = PICTURES if labels is None else len(labels)
    images = generate(latents=tf.constant(latents), **given)["images"].numpy()
    found: dict[str, Any] = {"peak_mb": peak_mb()} | difference(images, expected)
    wanted = rng.draw_latents(SEED, range(count), latents.shape[1])
    pictures = sample(seed=tf.constant(SEED), count=tf.constant(count), **given)["pictures"].numpy()
    found |= levels(pictures, generate(latents=tf.constant(wanted), **given)["images"].numpy())
    return found, images


def measure_onnx(
    folder: Path, latents: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """`measure_tflite` for ONNX files; `sample` is what the two of them draw together."""
    import onnxruntime

    def session(name: str, threads: int = 1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])

    generate, draw = session(ONNX_GENERATOR), session(ONNX_LATENTS)
    given = {} if labels is None else {"labels": labels}
    indices = np.arange(PICTURES if labels is None else len(labels), dtype=np.int32)
    [images] = generate.run(["images"], {"latents": latents, **given})
    [drawn] = draw.run(["latents"], {"seed": np.array(SEED, np.int32), "indices": indices})
    [pictures] = generate.run(["pictures"], {"latents": drawn, **given})
    found: dict[str, Any] = {"peak_mb": peak_mb()} | difference(images, expected)
    wanted = rng.draw_latents(SEED, indices, latents.shape[1])
    found |= {"latents_difference": float(np.abs(drawn - wanted).max())}
    found |= levels(pictures, generate.run(["images"], {"latents": wanted, **given})[0])
    one = {"latents": latents[:1]} | {name: values[:1] for name, values in given.items()}
    for threads in (1, 2):
        timed = session(ONNX_GENERATOR, threads)
        found[f"ms_{threads}_thread{'s' * (threads > 1)}"] = fastest_ms(lambda run=timed: run.run(["images"], one))
    return found, images


def difference(images: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest and the mean absolute difference; NaN in the images gives NaN, which passes no limit."""
    apart = np.abs(images - expected)
    return {"max_difference": float(apart.max()), "mean_difference": float(apart.mean())}


def levels(pictures: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """How far uint8 pictures are from float images in [-1, 1], in grey levels."""
    wanted = np.clip(np.rint((images + 1.0) * 127.5), 0, 255)
    apart = np.abs(pictures.astype(np.float32) - wanted)
    return {"sample_max_levels": float(apart.max()), "sample_mean_levels": float(apart.mean())}


def count_operators(path: Path, interpreter) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """Counts the operators of each signature by name: all of them, and those that a delegate (XNNPACK) runs.

    The interpreter must have run every signature. A tensor between two operators of a delegate never gets memory in
    the interpreter, so `get_tensor` refuses it: an operator that reads or writes such a tensor runs in the delegate.
    An operator that LiteRT itself does not have is named "custom NAME".
    """
    from ai_edge_litert.tools import flatbuffer_utils

    def without_memory(tensor: int, subgraph: int) -> bool:
        try:
            interpreter.get_tensor(tensor, subgraph)
        except ValueError as error:
            return "data is null" in str(error)
        return False

    model = flatbuffer_utils.read_model(path)
    operators, delegated = {}, {}
    for signature in model.signatureDefs:
        key, index = signature.signatureKey.decode(), signature.subgraphIndex
        listed = []
        for operator in model.subgraphs[index].operators:
            custom = model.operatorCodes[operator.opcodeIndex].customCode
            name = (
                f"custom {custom.decode()}" if custom else flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            )
            tensors = (int(tensor) for tensor in (*operator.outputs, *operator.inputs) if tensor >= 0)  # -1: not given
            listed.append((name, any(without_memory(tensor, index) for tensor in tensors)))
        operators[key] = dict(Counter(name for name, _ in listed))
        delegated[key] = dict(Counter(name for name, inside in listed if inside))
    return operators, delegated


def fastest_ms(run) -> float:
    """Milliseconds of the fastest of many calls: other programs on the machine can only add time."""
    run()
    times: list[float] = []
    until = time.perf_counter() + TIMED_SECONDS
    while len(times) < 5 or (len(times) < TIMED_RUNS and time.perf_counter() < until):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    try:  # on Linux getrusage also counts the parent process before it started this program
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(f"usage: python -m {__package__}.measure FILE.tflite|SAVED_MODEL|ONNX PARITY.npz [IMAGES.npy]")
    target, parity = Path(sys.argv[1]), np.load(sys.argv[2])
    of_folder = measure_onnx if (target / ONNX_GENERATOR).exists() else measure_saved_model
    measure = of_folder if target.is_dir() else measure_tflite
    result, drawn = measure(target, parity["latents"], parity["images"], parity.get("labels"))
    if len(sys.argv) > 3:
        np.save(sys.argv[3], drawn)
    print(json.dumps(result))
