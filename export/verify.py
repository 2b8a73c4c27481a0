"""What an exported file must fulfil, and the checks that find out; needs no TensorFlow but for a SavedModel."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from export.measure import STATEFUL
from export.tflite import FILES

SAVED_MODEL = "saved_model"
PARITY = "parity.npz"  # latents and Keras's images for them: the reference that travels with the files
LATENTS_DIFFERENCE = 2e-6  # numpy's against the file's: a few roundings of values up to 6

CONVOLUTIONS = ("FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV")  # where the time goes


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a file may be from Keras: images in [-1, 1], pictures of `sample` in levels of 0 ... 255.

    The levels are against the same file's `generate` on numpy's latents, so they hold the random numbers and the
    rounding to account, not the quantisation. In int8 a latent's last bit can move an activation by a whole step.
    """

    max_difference: float
    mean_difference: float
    sample_max_levels: float
    sample_mean_levels: float


LIMITS = {
    SAVED_MODEL: Limits(1e-5, 1e-6, 1, 0.01),
    "float32": Limits(1e-5, 1e-6, 1, 0.01),
    "float16": Limits(5e-3, 5e-4, 1, 0.01),
    # Of ten trained generators the farthest pixel was 0.20 (int8) and 0.41 (int8-full) away, on the edge of a stroke,
    # where tanh is steep; the mean 0.0035 and 0.0051 at most.
    "int8": Limits(0.5, 0.02, 32, 0.5),
    "int8-full": Limits(0.8, 0.02, 32, 0.5),
}
TABLE = [  # column, key or function of a row
    ("file", lambda row: row["file"]),
    ("MB", lambda row: f"{row['bytes'] / 1e6:.2f}"),
    ("max diff", lambda row: f"{row['max_difference']:.1e}"),
    ("mean diff", lambda row: f"{row['mean_difference']:.1e}"),
    ("sample levels", lambda row: f"{row['sample_max_levels']:.0f}"),
    ("XNNPACK", lambda row: row["xnnpack"]),
    ("ms 1 thread", lambda row: _number(row, "ms_1_thread")),
    ("ms 2 threads", lambda row: _number(row, "ms_2_threads")),
    ("peak MB", lambda row: f"{row['peak_mb']:.0f}"),
    ("Fréchet", lambda row: _number(row, "frechet_distance")),
    ("verdict", lambda row: "; ".join(row["problems"]) or "ok"),
]


def _number(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.2f}" if key in row else "-"


def check_file(folder: Path, kind: str, images: Path | None = None) -> dict[str, Any]:
    """Measures one file of an exported folder, against its `parity.npz`, in a process of its own.

    Args:
      folder: the exported folder.
      kind: a key of `LIMITS`.
      images: where to leave the file's images as float32 [N, S, S, C], `.npy`, or None.

    Returns:
      The measurements; "problems" lists what is wrong with the file, and is empty where it may be used.
    """
    path = folder / (SAVED_MODEL if kind == SAVED_MODEL else FILES[kind])
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    row: dict[str, Any] = {"file": path.name, "kind": kind, "bytes": size, "problems": []}
    arguments = [path.absolute(), (folder / PARITY).absolute(), *([images] if images else [])]
    done = subprocess.run(
        [sys.executable, "-m", "export.measure", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {**row, "problems": [f"does not run: {reason[:200]}"]}
    row |= json.loads(done.stdout)
    row["problems"] = problems(row, LIMITS[kind])
    row["xnnpack"] = delegated_share(row["operators"], row["delegated"]) if "operators" in row else "-"
    return row


def problems(found: dict[str, Any], limits: Limits) -> list[str]:
    """What of a file's measurements is outside its limits, in words."""
    found_wrong = []
    for name, limit in dataclasses.asdict(limits).items():
        if not found[name] <= limit:  # written so that NaN is outside too
            found_wrong.append(f"{name.replace('_', ' ')} {found[name]:.2g} above {limit:g}")
    if not found.get("latents_difference", 0.0) <= LATENTS_DIFFERENCE:
        found_wrong.append(f"latents differ from numpy's by {found['latents_difference']:.1e}")
    if "operators" in found:
        used = {name for operators in found["operators"].values() for name in operators}
        if foreign := sorted(used - builtin_operators() | used & STATEFUL):
            found_wrong.append(f"operators {', '.join(foreign)}")
        if found["delegated"]["generate"] != found["operators"]["generate"]:
            found_wrong.append("XNNPACK does not take all of generate")
        made, taken = (
            sum(found[name]["sample"].get(operator, 0) for operator in CONVOLUTIONS)
            for name in ("operators", "delegated")
        )
        if taken < made:
            found_wrong.append(f"XNNPACK does not take {made - taken} convolutions of sample")
    return found_wrong


def builtin_operators() -> set[str]:
    """The names of the operators that every LiteRT runtime has."""
    from ai_edge_litert import schema_py_generated as schema

    return {name for name in vars(schema.BuiltinOperator) if name.isupper()} - {"CUSTOM"}


def delegated_share(operators: dict[str, dict[str, int]], delegated: dict[str, dict[str, int]]) -> str:
    """How many operators of `generate` XNNPACK runs, such as '7 of 7'."""
    return f"{sum(delegated['generate'].values())} of {sum(operators['generate'].values())}"


def table(rows: list[dict[str, Any]], markdown: bool = False) -> str:
    """The measurements as text, a line a file."""
    cells = [[name for name, _ in TABLE]]
    for row in rows:
        whole = "peak_mb" in row
        cells.append([show(row) if whole or name in ("file", "MB", "verdict") else "-" for name, show in TABLE])
    widths = [max(len(line[i]) for line in cells) for i in range(len(TABLE))]
    separator = " | " if markdown else "  "
    lines = [separator.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    if markdown:
        lines.insert(1, separator.join("-" * width for width in widths))
        lines = [f"| {line} |" for line in lines]
    return "\n".join(line.rstrip() for line in lines)


def write_parity(path: Path, latents: np.ndarray, images: np.ndarray) -> None:
    """Writes latents float32 [N, Z] and Keras's images float32 [N, S, S, C] for them."""
    np.savez_compressed(path, latents=latents, images=images)
