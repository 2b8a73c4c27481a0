"""The export from beginning to end: load the generator, write the files, check them, record what was found."""

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dcgan import __version__, cli, generators, runs
from keras_dcgan.config import TrainConfig, is_path, setting_names
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.networks import count_classes, float32_copy, latent_dim_of, with_labels
from keras_dcgan.tools import files

from . import about, card, folder, onnx_files, pictures, rng, sampler, saved_model, tflite, verify

PARITY_SEED, PARITY_SAMPLES, MOST_PARITY_SAMPLES = 0, 16, 64
METRICS = "metrics.json"  # written beside the generator by keras_dcgan.evaluate
SHEET = "contact_sheet.png"


def export(source: Path, out: Path, formats: list[str], samples: int) -> list[str]:
    """Exports a `.keras` file to the folder `out`, and returns what is wrong with the files that failed their checks.

    Args:
      source: the file; its run's `config.json` beside it is quoted, and `metrics.json` if it belongs to this file.
      out: the folder, which is replaced as a whole.
      formats: keys of `verify.FILES`.
      samples: pictures for the Fréchet distances; 0: they are not measured.

    Raises BadFile if the generator cannot be loaded or `out` cannot be used, and Fault if no file passed; `out` is
    then untouched.
    """
    folder.check_place(out)
    generator = load(source)
    config = runs.read_config(source.parent / runs.CONFIG) if (source.parent / runs.CONFIG).is_file() else None
    classes = generators.name_classes(generator, source)
    record = describe(source, generator, config, classes)
    with folder.built_beside(out) as work:
        reference = draw_reference(generator)
        write_files(generator, work, formats, record["model"])
        np.savez_compressed(work / verify.PARITY, **reference)  # type: ignore[arg-type]  # mypy: allow_pickle
        rows, drawn = verify.check_files(work, formats)
        record["files"] = [{**row, "use": about.TARGETS[row["kind"]]} for row in remove_failed(work, rows)]
        record["signatures"] = about.signatures([row["kind"] for row in record["files"]], bool(classes))
        sheet = {"Keras": reference["images"], **{row["kind"]: drawn[row["kind"]] for row in record["files"]}}
        names = [classes.names[label] for label in reference["labels"]] if classes else []
        pictures.write_contact_sheet(work / SHEET, sheet, names)
        if config and samples:
            add_frechet_distances(record, config, generator, classes, work, samples)
        write_record(record, work)
        cli.check_interrupted()
    print(verify.table(rows))
    if "frechet" in record:
        print(card.describe_frechet(record["frechet"]))
    names = [row["file"] for row in record["files"]]
    print(f"Wrote {out}: {', '.join(names)}, and {card.README}, {SHEET}, {folder.RECORD}")
    return [f"{row['file']} was removed: {'; '.join(row['problems'])}" for row in rows if row["problems"]]


def load(source: Path) -> keras.Model:
    """Loads a `.keras` generator as one that computes in float32, without the casts of a mixed precision."""
    return float32_copy(generators.load_generator(source))


def draw_reference(generator: keras.Model) -> dict[str, np.ndarray]:
    """What every file must draw: latents float32 [N, Z], labels int32 [N] if any, and images float32 [N, S, S, C].

    N is 16, or the number of classes if that is larger, but at most 64.
    """
    classes = count_classes(generator)
    count = min(max(PARITY_SAMPLES, classes), MOST_PARITY_SAMPLES)
    latents = rng.draw_latents(PARITY_SEED, range(count), latent_dim_of(generator))
    labels = None
    if classes:  # in turns, or spread evenly over more classes than samples
        labels = (np.arange(count) * max(1, classes / count)).astype(np.int32) % classes
    images = generator.predict(with_labels(latents, labels), batch_size=count, verbose=0)
    return {"latents": latents, "images": images} | ({"labels": labels} if classes else {})


def describe(
    source: Path, generator: keras.Model, config: TrainConfig | None, classes: Classes | None = None
) -> dict[str, Any]:
    """The record of an export, without its files: where the generator is from, and the metadata of each file."""
    size, channels = generator.output_shape[-2:]
    digest, aspect = files.sha256(source), runs.read_aspect(source.parent)
    settings = without_paths(config) if config else None
    trained_on = settings["dataset"] if settings else None
    version = sampler.FORMAT_WITH_CLASSES if classes else sampler.FORMAT
    return {
        "format": version,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": {"file": source.name, "sha256": digest, "parameters": generator.count_params()},
        "versions": runs.versions(),
        "data": about.data(config),
        "code": about.code(source.parent / runs.CONFIG),
        "limits": about.LIMITS,
        "other_files": about.OTHER_FILES,
        "config": settings,
        "metrics": read_metrics(source.parent / METRICS, digest, config),
        "model": {
            "name": sampler.NAME,
            "format": version,
            "version": __version__,
            "trained_on": trained_on,
            "latent_dim": latent_dim_of(generator),
            "image_size": size,
            "channels": channels,
            **({"aspect": aspect} if aspect != 1 else {}),
            **({"classes": classes.to_json()} if classes else {}),
            "signatures": tflite.SIGNATURES_WITH_LABEL if classes else tflite.SIGNATURES,
            "random_numbers": "threefry2x32-20 with key (seed, index), Box-Muller on 24 bits",
            "generator_sha256": digest,
        },
    }


def without_paths(config: TrainConfig) -> dict[str, Any]:
    """The settings without the paths of this machine, which nobody else should see."""
    settings = {**config.to_dict(), **dict.fromkeys(setting_names("path"), "")}
    if is_path(config.dataset):
        settings["dataset"] = about.trained_on(config)
    return settings


def read_metrics(path: Path, digest: str, config: TrainConfig | None) -> dict[str, Any] | None:
    """The figures of `keras_dcgan.evaluate`, or None if they are of another generator or another data set.

    A run folder holds up to three generators but one `metrics.json`. Raises BadFile if it is damaged.
    """
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise files.BadFile(f"{path}: damaged ({error}); measure again, or remove it") from error
    if not isinstance(metrics, dict) or metrics.get("generator_sha256") != digest:
        return None
    if config and metrics.get("dataset") != config.dataset:
        return None
    return {name: value for name, value in metrics.items() if name not in ("dataset", "generator")}  # they are paths


def write_files(generator: keras.Model, work: Path, formats: list[str], metadata: dict[str, Any]) -> None:
    """Writes the generator to a folder in these formats."""
    if verify.SAVED_MODEL in formats:
        saved_model.write_saved_model(generator, work / verify.FILES[verify.SAVED_MODEL])
    if verify.ONNX in formats:
        signatures = about.signatures([verify.ONNX], bool(count_classes(generator)))[verify.ONNX]
        described = {**metadata, "signatures": signatures, "weights": "float32"}
        onnx_files.write_onnx(generator, work / verify.FILES[verify.ONNX], described)
    kinds = [kind for kind in formats if kind in verify.TFLITE]
    whole = tflite.convert(generator) if kinds else b""
    for kind in kinds:
        model = whole if kind == "float32" else tflite.quantize(whole, kind, count_classes(generator))
        tflite.write_model(work / verify.FILES[kind], model, {**metadata, "weights": kind})


def remove_failed(work: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Removes the files that failed their checks and returns the rows of the others; Fault if there are none."""
    for row in rows:
        if row["problems"] and (work / row["file"]).is_dir():
            shutil.rmtree(work / row["file"])
        elif row["problems"]:
            (work / row["file"]).unlink()
    passed = [row for row in rows if not row["problems"]]
    if not passed:
        print(verify.table(rows))
        raise cli.Fault("no file passed its checks; an earlier export is untouched")
    return passed


def add_frechet_distances(
    record: dict[str, Any],
    config: TrainConfig,
    generator: keras.Model,
    classes: Classes | None,
    work: Path,
    samples: int,
) -> None:
    """Adds to the record and to its files' rows how far quantising moves the pictures from the data set."""
    rows = [row for row in record["files"] if row["kind"] in verify.TFLITE]
    paths = {row["kind"]: work / row["file"] for row in rows}
    if measured := pictures.frechet_distances(config, generator, paths, samples, classes):
        record["frechet"] = measured
        for row in rows:
            row["frechet_distance"] = measured[row["kind"]]


def write_record(record: dict[str, Any], work: Path) -> None:
    """Writes the model card and, last, `export.json` with the checksums of everything else."""
    (work / card.README).write_text(card.render(record, folder.checksums(work)), encoding="utf-8")
    record["sha256"] = folder.checksums(work)
    (work / folder.RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
