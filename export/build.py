"""The export from beginning to end: finds the generator, writes the files, checks them, records what was found."""

import datetime
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import card, folder, rng, tflite, verify
from keras_dcgan import __version__, runs
from keras_dcgan.config import TrainConfig, read_config

if TYPE_CHECKING:
    import keras

FORMAT = 1  # of export.json and of the metadata in the files
NAME = "keras-dcgan-generator"
PARITY_SEED, PARITY_SAMPLES = 0, 16
SHEET_COLUMNS = 12
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "ai-edge-quantizer", "numpy")


def find_generator(run_dir: str | Path, which: str | None) -> Path:
    """The `.keras` file of a run folder; the best one where there is one, else the last, unless `which` says.

    Raises ValueError where the one asked for is missing.
    """
    run_dir = Path(run_dir)
    if which is None:
        which = "best" if (run_dir / runs.GENERATORS["best"]).is_file() else "last"
    path = run_dir / runs.GENERATORS[which]
    if not path.is_file():
        others = [f"--which={name}" for name, file in runs.GENERATORS.items() if (run_dir / file).is_file()]
        raise ValueError(f"{path}: no such file; " + (f"there is {', '.join(others)}" if others else "is it a run folder?"))
    return path


def export(source: Path, out: Path, formats: list[str], samples: int) -> list[str]:
    """Exports a `.keras` file into the folder `out`, and returns what was wrong with files, which are left out.

    Args:
      source: the file; a run's `config.json` and `metrics.json` beside it are quoted.
      out: the folder, which is replaced in one step.
      formats: of `verify.LIMITS`, in the order of the table.
      samples: pictures for the Fréchet distances; 0: they are not measured.

    Raises ValueError where there is no generator or `out` cannot be taken, and RuntimeError where no file passed.
    """
    from keras_dcgan.networks import float32_copy

    folder.check_place(out)
    generator = float32_copy(runs.load_generator(source))  # a mixed policy's casts have no place in the files
    config = read_config(source.parent / runs.CONFIG) if (source.parent / runs.CONFIG).is_file() else None
    record = describe(source, generator, config)
    with folder.built_beside(out) as work:
        latents = rng.draw_latents(PARITY_SEED, range(PARITY_SAMPLES), generator.input_shape[-1])
        expected = generator.predict(latents, batch_size=PARITY_SAMPLES, verbose=0)
        verify.write_parity(work / verify.PARITY, latents, expected)
        write_files(generator, work, formats, record["model"])
        rows, drawn = check(work, formats)
        failed = [row for row in rows if row["problems"]]
        for row in failed:
            remove(work / row["file"])
        if len(failed) == len(rows):
            print(verify.table(rows))
            raise RuntimeError(f"no file passed; {out} is as it was")
        passed = [row for row in rows if not row["problems"]]
        write_sheet(work, expected, {row["file"]: drawn[row["kind"]] for row in passed})
        if samples and config:
            add_frechet(record, config, generator, work, passed, samples)
        record["files"] = passed
        finish(work, record)
    print(verify.table(rows))
    print(f"Wrote {out}: {', '.join(row['file'] for row in passed)}, with README.md and contact_sheet.png")
    return [f"{row['file']} is left out: {'; '.join(row['problems'])}" for row in failed]


def write_files(generator: "keras.Model", work: Path, formats: list[str], metadata: dict[str, Any]) -> None:
    """Writes the formats asked for into a folder."""
    if verify.SAVED_MODEL in formats:
        from export.saved_model import write_saved_model

        write_saved_model(generator, work / verify.SAVED_MODEL)
    kinds = [kind for kind in formats if kind in tflite.FILES]
    whole = tflite.convert(generator) if kinds else b""
    for kind in kinds:
        model = whole if kind == "float32" else tflite.quantize(whole, kind)
        tflite.write_model(work / tflite.FILES[kind], model, {**metadata, "weights": kind})


def check(work: Path, formats: list[str]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Checks the files of a folder: a row of measurements for each format, and the images of those that run."""
    rows, drawn = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in formats:
            images = Path(scratch) / f"{kind}.npy"
            rows.append(verify.check_file(work, kind, images))
            if images.exists():
                drawn[kind] = np.load(images)
    return rows, drawn


def verify_folder_names(record: dict[str, Any]) -> list[str]:
    """The formats that an export's record lists."""
    return [row["kind"] for row in record["files"]]


def verify_(out: Path) -> list[str]:
    raise NotImplementedError
