"""The export from beginning to end: finds the generator, writes the files, checks them, records what was found."""

import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from export import card, folder, pictures, rng, tflite, verify
from export.saved_model import write_saved_model
from keras_dcgan import __version__, runs
from keras_dcgan.config import TrainConfig, is_path, read_config

if TYPE_CHECKING:
    import keras

FORMAT = 1  # of export.json and of the metadata in the files
NAME = "keras-dcgan-generator"
PARITY_SEED, PARITY_SAMPLES = 0, 16
METRICS = "metrics.json"  # of the run folder
SHEET, SHEET_COLUMNS = "contact_sheet.png", 12
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "ai-edge-quantizer", "numpy")


class ExportFailed(Exception):
    """No file of an export passed its checks."""


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
        raise ValueError(
            f"{path}: no such file; " + (f"there is {', '.join(others)}" if others else "is it a run folder?")
        )
    return path


def export(
    source: Path, out: Path, formats: list[str], samples: int, before_replacing: Callable[[], None] = lambda: None
) -> list[str]:
    """Exports a `.keras` file into the folder `out`, and returns what was wrong with files, which are left out.

    Args:
      source: the file; its run's `config.json` beside it is quoted, and `metrics.json` if it is of this file.
      out: the folder, which is replaced in one step.
      formats: keys of `verify.LIMITS`.
      samples: pictures for the Fréchet distances; 0: they are not measured.
      before_replacing: called when all is written but `out` is still as it was; what it raises leaves it so.

    Raises ValueError where there is no generator or `out` cannot be taken, and ExportFailed where no file passed;
    `out` is then as it was.
    """
    folder.check_place(out)
    generator = load(source)
    config = read_config(source.parent / runs.CONFIG) if (source.parent / runs.CONFIG).is_file() else None
    record = describe(source, generator, config)
    with folder.built_beside(out) as work:
        latents = rng.draw_latents(PARITY_SEED, range(PARITY_SAMPLES), generator.input_shape[-1])
        expected = generator.predict(latents, batch_size=PARITY_SAMPLES, verbose=0)
        verify.write_parity(work / verify.PARITY, latents, expected)
        write_files(generator, work, formats, record["model"])
        rows, drawn = check(work, formats)
        passed = [row for row in rows if not row["problems"]]
        failed = [row for row in rows if row["problems"]]
        for row in failed:
            _remove(work / row["file"])
        if not passed:
            print(verify.table(rows))
            raise ExportFailed(f"no file passed its checks; {out} is as it was")
        pictures.write_contact_sheet(
            work / SHEET,
            {name: images[:SHEET_COLUMNS] for name, images in {"Keras": expected, **drawn}.items()
             if name == "Keras" or name in [row["kind"] for row in passed]},
        )  # fmt: skip
        if samples and config:
            add_frechet(record, config, generator, work, passed, samples)
        record["files"] = passed
        (work / card.README).write_text(card.render(record, folder.checksums(work)), encoding="utf-8")
        record["sha256"] = folder.checksums(work)
        (work / folder.RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        before_replacing()
    print(verify.table(rows))
    if "frechet" in record:
        print(card.describe_frechet(record["frechet"]))
    print(f"Wrote {out}: {', '.join(row['file'] for row in passed)}, and {card.README}, {SHEET}, {folder.RECORD}")
    return [f"{row['file']} is left out: {'; '.join(row['problems'])}" for row in failed]


def load(source: Path) -> "keras.Model":
    """Loads a `.keras` generator as one that computes in float32: a mixed policy's casts have no place in the files."""
    from keras_dcgan.networks import float32_copy

    return float32_copy(runs.load_generator(source))


def describe(source: Path, generator: "keras.Model", config: TrainConfig | None) -> dict[str, Any]:
    """The record of an export, before its files: where the generator is from, and the metadata that each file gets."""
    size, channels = generator.output_shape[-2:]
    digest = folder.sha256(source)
    trained_on = config.dataset if config else None
    if trained_on and is_path(trained_on):  # what ships tells no path of the machine that made it
        trained_on = f"pictures in {Path(trained_on).name}"
    versions = {"python": platform.python_version(), "keras_dcgan": __version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": {"file": source.name, "sha256": digest, "parameters": generator.count_params()},
        "versions": versions,
        "config": {**config.to_dict(), "dataset": trained_on, "data_dir": "", "cache_dir": ""} if config else None,
        "metrics": read_metrics(source.parent / METRICS, digest, config),
        "model": {
            "name": NAME,
            "format": FORMAT,
            "version": __version__,
            "trained_on": trained_on,
            "latent_dim": generator.input_shape[-1],
            "image_size": size,
            "channels": channels,
            "signatures": {
                "generate": "latents float32 [1, Z] from N(0, 1) -> images float32 [1, S, S, C], -1 black to 1 white",
                "sample": "seed int32 [2] (seed, index) -> picture uint8 [1, S, S, C], 0 black to 255 white",
                "latents": "seed int32 [2] (seed, index) -> latents float32 [1, Z], those that sample draws from",
            },
            "random_numbers": "threefry2x32-20 with key (seed, index), Box-Muller on 24 bits",
            "generator_sha256": digest,
        },
    }


def read_metrics(path: Path, digest: str, config: TrainConfig | None) -> dict[str, Any] | None:
    """What `keras_dcgan.evaluate` left beside a generator, if it was measured on that very file and its run's data.

    None where it was not: a run folder holds up to three generators, and figures of another are none of this one's.
    Raises ValueError, naming the file, where it is damaged.
    """
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}); measure again, or remove it") from error
    if not isinstance(metrics, dict) or metrics.get("generator_sha256") != digest:
        return None
    if config and metrics.get("dataset") != config.dataset:
        return None
    return {name: value for name, value in metrics.items() if name not in ("dataset", "generator")}  # they are paths


def write_files(generator: "keras.Model", work: Path, formats: list[str], metadata: dict[str, Any]) -> None:
    """Writes the formats asked for into a folder."""
    if verify.SAVED_MODEL in formats:
        write_saved_model(generator, work / verify.SAVED_MODEL)
    kinds = [kind for kind in formats if kind in tflite.FILES]
    whole = tflite.convert(generator) if kinds else b""
    for kind in kinds:
        model = whole if kind == "float32" else tflite.quantize(whole, kind)
        tflite.write_model(work / tflite.FILES[kind], model, {**metadata, "weights": kind})


def check(work: Path, formats: list[str]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Checks the files of a folder: a row of measurements for each format, and by format the images it drew."""
    rows, drawn = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in formats:
            images = Path(scratch) / f"{kind}.npy"
            rows.append(verify.check_file(work, kind, images))
            if images.exists():
                drawn[kind] = np.load(images)
    return rows, drawn


def add_frechet(
    record: dict[str, Any], config: TrainConfig, generator: "keras.Model", work: Path, rows: list[dict[str, Any]],
    samples: int,
) -> None:  # fmt: skip
    """Adds what quantising costs in Fréchet distance to the record and to the files' rows, where it can be told."""
    files = {row["kind"]: work / row["file"] for row in rows if row["kind"] in tflite.FILES}
    measured = pictures.frechet_distances(config, generator, files, samples, logging.info)
    if measured:
        name, distances = measured
        record["frechet"] = {"features": name, "samples": samples, **distances}
        for row in rows:
            if row["kind"] in distances:
                row["frechet_distance"] = distances[row["kind"]]


def check_again(out: Path) -> list[str]:
    """Checks an exported folder once more, prints the table, and returns what is wrong; nothing is changed.

    Needs TensorFlow for the SavedModel alone, which is passed over where there is none. Raises ValueError where `out`
    holds no export.
    """
    try:
        record = json.loads((out / folder.RECORD).read_text(encoding="utf-8"))
        formats, recorded = [row["kind"] for row in record["files"]], dict(record["sha256"])
        if unknown := [kind for kind in formats if kind not in verify.LIMITS]:
            raise ValueError(f"{folder.RECORD} names a format {unknown[0]!r} that is not known here")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"--out={out}: holds no export: {error}") from error
    present = folder.checksums(out)
    wrong = [
        f"{name} {'is not the file that was exported' if name in present else 'is missing'}"
        for name, digest in recorded.items()
        if present.get(name) != digest
    ]
    if verify.PARITY not in present:
        return wrong
    if importlib.util.find_spec("tensorflow") is None:
        formats = [kind for kind in formats if kind != verify.SAVED_MODEL]
    rows, _ = check(out, formats)
    print(verify.table(rows))
    return wrong + [f"{row['file']}: {'; '.join(row['problems'])}" for row in rows if row["problems"]]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
