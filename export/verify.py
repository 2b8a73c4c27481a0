"""What an exported file must fulfil, and the checks for it; each format needs only its own runtime."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_dcgan.tools.files import BadFile

from . import folder

SAVED_MODEL, ONNX = "saved_model", "onnx"
FILES = {  # format -> its file or folder in the exported folder
    SAVED_MODEL: "saved_model",
    "float32": "generator.tflite",
    "float16": "generator-float16.tflite",
    "int8": "generator-int8.tflite",
    "int8-full": "generator-int8-full.tflite",
    ONNX: "onnx",
}
RUNTIMES = {SAVED_MODEL: "tensorflow", ONNX: "onnxruntime"}  # of the formats that LiteRT does not read
TFLITE = [name for name in FILES if name not in RUNTIMES]
DEFAULT_FORMATS = [name for name in FILES if name != ONNX]
PARITY = "parity.npz"  # latents, labels if any, and Keras's images for them: the reference that travels with the files
LATENTS_DIFFERENCE = 2e-6  # between numpy's latents and the file's: a few roundings of values up to 6
CONVOLUTIONS = ("FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV")  # they take nearly all of the time
LABEL_OPERATOR = "ONE_HOT"  # makes a vector of the label, once a picture; the one operator that XNNPACK may leave out
STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}  # weights that are not in the file


# How far a file may be from Keras, by format: images in [-1, 1], then the pictures of `sample` in levels of 0 ... 255.
# The levels compare `sample` with the same file's `generate` on numpy's latents, so they check the random numbers and
# the rounding, not the quantisation; in int8 a latent's last bit can move an activation by a whole step.
MEASURES = ("max_difference", "mean_difference", "sample_max_levels", "sample_mean_levels")
LIMITS = {
    SAVED_MODEL: (1e-5, 1e-6, 1, 0.01),
    "float32": (1e-5, 1e-6, 1, 0.01),
    "float16": (5e-3, 5e-4, 1, 0.01),
    # Measured with ten trained generators: at most 0.20 (int8) and 0.41 (int8-full), on the edge of a stroke, where
    # tanh is steep; in the mean at most 0.0035 and 0.0051.
    "int8": (0.5, 0.02, 32, 0.5),
    "int8-full": (0.8, 0.02, 32, 0.5),
    ONNX: (1e-5, 1e-6, 1, 0.01),
}
COLUMNS = {  # of the table: how a row is shown, or "-" if it lacks the value
    "file": "{file}", "MB": "{mb:.2f}", "max diff": "{max_difference:.1e}", "mean diff": "{mean_difference:.1e}",
    "sample levels": "{sample_max_levels:.0f}", "XNNPACK": "{xnnpack}", "ms 1 thread": "{ms_1_thread:.2f}",
    "ms 2 threads": "{ms_2_threads:.2f}", "peak MB": "{peak_mb:.0f}", "Fréchet": "{frechet_distance:.2f}",
    "verdict": "{verdict}",
}  # fmt: skip


def check_files(exported: Path, formats: list[str]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Measures the files of an exported folder, each in a process of its own, against its `parity.npz`.

    Args:
      exported: the folder.
      formats: keys of `FILES`.

    Returns:
      A row of measurements for each format, of which "problems" lists what is wrong with the file, and by format
      the images float32 [N, S, S, C] that the file drew, if it ran.
    """
    rows, images = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in formats:
            drawn = Path(scratch) / f"{kind}.npy"
            rows.append(check_file(exported, kind, drawn))
            if drawn.exists():
                images[kind] = np.load(drawn)
    return rows, images


def check_file(exported: Path, kind: str, drawn: Path) -> dict[str, Any]:
    """One row of `check_files`; writes the file's images to `drawn`."""
    path = exported / FILES[kind]
    size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    row: dict[str, Any] = {"file": path.name, "kind": kind, "bytes": size}
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.measure", path.absolute(), (exported / PARITY).absolute(), drawn],
        cwd=Path(__file__).parents[len(__package__.split("."))],  # holds the package, in a checkout and installed
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {**row, "problems": [f"does not run: {reason[:200]}"]}
    row |= json.loads(done.stdout)
    if "operators" in row:
        row["xnnpack"] = " of ".join(str(sum(row[name]["generate"].values())) for name in ("delegated", "operators"))
    return {**row, "problems": problems(row, LIMITS[kind])}


def problems(found: dict[str, Any], limits: tuple[float, ...]) -> list[str]:
    """In words, which of a file's measurements are outside its limits."""
    wrong = []
    for name, limit in zip(MEASURES, limits, strict=True):
        if not found[name] <= limit:  # written so that NaN is outside too
            wrong.append(f"{name.replace('_', ' ')} {found[name]:.2g} above {limit:g}")
    if not found.get("latents_difference", 0.0) <= LATENTS_DIFFERENCE:
        wrong.append(f"latents differ from numpy's by {found['latents_difference']:.1e}")
    if "operators" in found:
        operators, delegated = found["operators"], found["delegated"]
        used = {name for names in operators.values() for name in names}
        if refused := sorted(name for name in used if name in STATEFUL or name.startswith("custom ")):
            wrong.append(f"operators {', '.join(refused)}")
        if set(operators["generate"].items()) - set(delegated["generate"].items()) - {(LABEL_OPERATOR, 1)}:
            wrong.append("XNNPACK does not run all of generate")
        if left := sum(operators["sample"].get(name, 0) - delegated["sample"].get(name, 0) for name in CONVOLUTIONS):
            wrong.append(f"XNNPACK does not run {left} convolutions of sample")
    return wrong


def check_again(out: Path) -> list[str]:
    """Checks an exported folder once more, prints the table, and returns what is wrong; changes nothing.

    Skips a format whose runtime of `RUNTIMES` is not installed. Raises BadFile if `out` holds no export.
    """
    try:
        record = json.loads((out / folder.RECORD).read_text(encoding="utf-8"))
        formats, recorded = [row["kind"] for row in record["files"]], dict(record["sha256"])
        if unknown := [kind for kind in formats if kind not in FILES]:
            raise ValueError(f"{folder.RECORD} names an unknown format {unknown[0]!r}")
        if not formats:
            raise ValueError(f"{folder.RECORD} names no files")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFile(f"{out}: holds no export: {error}") from error
    present = folder.checksums(out)
    wrong = [
        f"{name} {'is not the file that was exported' if name in present else 'is missing'}"
        for name, digest in recorded.items()
        if present.get(name) != digest
    ]
    if PARITY in present:
        skipped = [kind for kind in formats if kind in RUNTIMES and importlib.util.find_spec(RUNTIMES[kind]) is None]
        rows, _ = check_files(out, [kind for kind in formats if kind not in skipped])
        print(table(rows))
        for kind in skipped:
            print(f"Not run, because {RUNTIMES[kind]} is not installed: {FILES[kind]}")
        wrong += [f"{row['file']}: {'; '.join(row['problems'])}" for row in rows if row["problems"]]
    return wrong


def table(rows: list[dict[str, Any]], markdown: bool = False) -> str:
    """The measurements as text, one line for each file."""
    lines = [list(COLUMNS), *([_cell(form, row) for form in COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if markdown:
        lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" if markdown else "  ".join(line).rstrip() for line in padded)


def _cell(form: str, row: dict[str, Any]) -> str:
    try:
        return form.format(**row, mb=row["bytes"] / 1e6, verdict="; ".join(row["problems"]) or "ok")
    except KeyError:
        return "-"
