"""python -m export.measure: runs one exported file in a process of its own and prints what was measured, as JSON.

  python -m export.measure exported/generator-int8.tflite exported/parity.npz [IMAGES.npy]

Of a `.tflite` file with numpy and ai-edge-litert alone, of a SavedModel folder with TensorFlow alone: a process that
had imported more would not tell what they need. `IMAGES.npy` is written with the images that the file gives.
"""

import json
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from export import rng

SEED, PICTURES = 7, 4  # of `sample` compared with `generate` on numpy's latents
TIMED_SECONDS, TIMED_RUNS = 0.7, 50
STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}  # weights that are not in the file


def measure_tflite(path: Path, latents: np.ndarray, expected: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Runs a `.tflite` file and compares it.

    Args:
      path: the file.
      latents: float32 [N, Z].
      expected: float32 [N, S, S, C], Keras's images for them.

    Returns:
      The measurements as plain JSON values, and the file's images float32 [N, S, S, C].
    """
    from ai_edge_litert.interpreter import Interpreter

    before = peak_mb()
    interpreter = Interpreter(str(path), num_threads=1)
    generate, sample, draw = (interpreter.get_signature_runner(name) for name in ("generate", "sample", "latents"))
    generate(latents=latents[:1])
    sample(seed=np.array([SEED, 0], np.int32))
    found: dict[str, Any] = {"peak_mb": peak_mb(), "peak_mb_before": before}

    images = np.concatenate([generate(latents=row[np.newaxis])["images"] for row in latents])
    found |= difference(images, expected)
    seeds = [np.array([SEED, i], np.int32) for i in range(PICTURES)]
    wanted = rng.draw_latents(SEED, range(PICTURES), latents.shape[1])
    drawn = np.concatenate([draw(seed=seed)["latents"] for seed in seeds])
    found["latents_difference"] = float(np.abs(drawn - wanted).max())
    pictures = np.concatenate([sample(seed=seed)["picture"] for seed in seeds])
    found |= levels(pictures, np.concatenate([generate(latents=row[np.newaxis])["images"] for row in wanted]))

    content = path.read_bytes()
    found["operators"], found["delegated"] = {}, {}
    for name, index in signature_subgraphs(content).items():
        if name in ("generate", "sample"):
            operators, delegated = look_inside(with_first_subgraph(content, index))
            found["operators"][name] = dict(Counter(operators))
            found["delegated"][name] = dict(Counter(delegated))
    for threads in (1, 2):
        timed = Interpreter(str(path), num_threads=threads).get_signature_runner("generate")
        found[f"ms_{threads}_thread{'s' * (threads > 1)}"] = fastest_ms(lambda run=timed: run(latents=latents[:1]))
    return found, images


def measure_saved_model(folder: Path, latents: np.ndarray, expected: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """`measure_tflite` for a SavedModel, which has no operators of a runtime to look at."""
    sys.modules["keras"] = None  # type: ignore[assignment]  # whoever needs it fails here
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    generate, sample = model.signatures["serving_default"], model.signatures["sample"]
    images = generate(latents=tf.constant(latents))["images"].numpy()
    found: dict[str, Any] = {"peak_mb": peak_mb()} | difference(images, expected)
    wanted = rng.draw_latents(SEED, range(PICTURES), latents.shape[1])
    pictures = sample(seed=tf.constant(SEED), count=tf.constant(PICTURES))["pictures"].numpy()
    found |= levels(pictures, generate(latents=tf.constant(wanted))["images"].numpy())
    return found, images


def difference(images: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest and the mean absolute difference; a NaN in the images stays NaN, which passes no threshold."""
    apart = np.abs(images - expected)
    return {"max_difference": float(apart.max()), "mean_difference": float(apart.mean())}


def levels(pictures: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """How far uint8 pictures are from float images [-1, 1], in grey levels."""
    wanted = np.clip(np.rint((images + 1.0) * 127.5), 0, 255)
    apart = np.abs(pictures.astype(np.float32) - wanted)
    return {"sample_max_levels": float(apart.max()), "sample_mean_levels": float(apart.mean())}


def signature_subgraphs(content: bytes) -> dict[str, int]:
    """Which subgraph of a model each signature runs."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    signatures = (model.SignatureDefs(i) for i in range(model.SignatureDefsLength()))
    return {signature.SignatureKey().decode(): signature.SubgraphIndex() for signature in signatures}


def with_first_subgraph(content: bytes, index: int) -> bytes:
    """The model with another subgraph first: the only one that an interpreter tells the operators of."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import number_types

    table = schema.Model.GetRootAs(content)._tab
    subgraphs = number_types.UOffsetTFlags.py_type(table.Offset(8))  # field 2 of Model, behind version and operators
    first = table.Vector(subgraphs)
    other = first + 4 * index
    changed = bytearray(content)
    to_first, to_other = (at + struct.unpack_from("<I", content, at)[0] for at in (first, other))
    struct.pack_into("<I", changed, first, to_other - first)  # each entry counts from where it stands
    struct.pack_into("<I", changed, other, to_first - other)
    return bytes(changed)


def look_inside(content: bytes) -> tuple[list[str], list[str]]:
    """The operators of a model's first subgraph, and those of them that XNNPACK runs.

    With its delegate an interpreter lists one more operator per part that the delegate has taken. What lies between
    the tensors that this reads and those that it writes is what was taken.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    listed = interpreter._get_ops_details()
    operators = [operator for operator in listed if operator["op_name"] != "DELEGATE"]
    makers = {tensor: operator for operator in operators for tensor in operator["outputs"]}
    taken: dict[int, str] = {}
    for part in (operator for operator in listed if operator["op_name"] == "DELEGATE"):
        inputs, waiting = set(part["inputs"]), list(part["outputs"])
        while waiting:
            tensor = waiting.pop()
            if tensor in makers and tensor not in inputs and makers[tensor]["index"] not in taken:
                taken[makers[tensor]["index"]] = makers[tensor]["op_name"]
                waiting.extend(makers[tensor]["inputs"])
    return [operator["op_name"] for operator in operators], list(taken.values())


def fastest_ms(run) -> float:
    """Milliseconds of the fastest of many calls: other programs on the machine only ever add."""
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
    try:  # Linux: getrusage there also counts the parent before the program was started
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m export.measure FILE.tflite|SAVED_MODEL PARITY.npz [IMAGES.npy]")
    target, parity = Path(sys.argv[1]), np.load(sys.argv[2])
    measure = measure_saved_model if target.is_dir() else measure_tflite
    result, drawn = measure(target, parity["latents"], parity["images"])
    if len(sys.argv) > 3:
        np.save(sys.argv[3], drawn)
    print(json.dumps(result))
