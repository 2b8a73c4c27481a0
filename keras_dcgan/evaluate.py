"""python -m keras_dcgan.evaluate: measures a trained generator against the images that it was trained on."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, inputs, runs
from keras_dcgan.config import SettingError, TrainConfig, read_config
from keras_dcgan.files import write_text

if TYPE_CHECKING:
    from keras_dcgan.sources import Images

USAGE = """
Measures a generator: writes metrics.json and nearest.png to its run folder, or to --out.

  python -m keras_dcgan.evaluate --run_dir=runs/mnist
  python -m keras_dcgan.evaluate --generator=generator.keras --dataset=mnist --out=measured/
"""
SHOWN = 16  # samples in nearest.png, each with NEIGHBOURS real images
NEIGHBOURS = 3
DRAWN_AT_ONCE = 100
SEARCHED = 50_000  # images on disk that the nearest reals are sought among
CHUNK = 1000  # images held as pictures at a time; at 256 pixels all of them would not fit


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("run_dir", None, "run folder")
    flags.DEFINE_enum("which", "last", list(runs.GENERATORS), "which generator of the run folder")
    flags.DEFINE_string("generator", None, "a .keras file, instead of --run_dir")
    flags.DEFINE_string("dataset", None, "what it was trained on [the run's]")
    flags.DEFINE_string("data_dir", None, "folder of the data set's files [the run's]")
    flags.DEFINE_integer("samples", 10_000, "how many images to draw, and how many reals to compare with",
                         lower_bound=16, upper_bound=50_000)  # fmt: skip
    flags.DEFINE_integer("seed", 0, "seed of the latents and of the choice of reals", lower_bound=0)
    flags.DEFINE_string("out", None, "folder for the results [the run folder]")


def main() -> None:
    """The command."""
    given = flags.FLAGS
    cli.check_source()
    if given.generator and not (given.dataset and given.out):
        raise cli.UserError("--generator: give --dataset, what it was trained on, and --out, a folder for the results")
    try:
        given_dataset = inputs.resolve(given.dataset) if given.dataset else None
        config = read_config(Path(given.run_dir) / runs.CONFIG) if given.run_dir else None
        source = Path(given.generator or Path(given.run_dir) / runs.GENERATORS[given.which])
        generator = runs.load_generator(source)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        config = config or TrainConfig()
        size, channels = generator.output_shape[2:]
        config = dataclasses.replace(
            config, dataset=given_dataset or config.dataset, data_dir=given.data_dir or config.data_dir,
            image_size=size, channels=channels,
        )  # fmt: skip
        dataset = inputs.resolve(config.dataset)
    except FileNotFoundError as error:
        raise cli.UserError(f"--run_dir={given.run_dir}: holds no run ({runs.CONFIG} is missing)") from error
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    out = Path(given.out or given.run_dir)
    cli.make_folder("out", out, out)

    from keras_dcgan import datasets

    try:
        data, _ = inputs.open_images(config)
    except SettingError as error:
        raise cli.UserError(str(error)) from error
    except datasets.DatasetUnavailable as error:
        raise cli.Fault(str(error)) from error
    labels = inputs.open_labels(config)
    from keras_dcgan.quality import MEASURABLE

    if len(data) < MEASURABLE:
        raise cli.UserError(f"--dataset={dataset}: holds {len(data)} images; to measure takes {MEASURABLE}")
    try:
        result, picture = evaluate(generator, dataset, data, labels, given.samples, given.seed)
    except ValueError as error:  # such as altered weights of the classifier
        raise cli.Fault(str(error)) from error
    result |= {"generator": str(source), "generator_sha256": digest}  # by which the export knows whose figures they are
    write_text(out / "metrics.json", json.dumps(result, indent=2) + "\n")

    from keras_dcgan import images

    if picture is not None:
        images.write_image(out / "nearest.png", picture)
    print(report(result))
    logging.info("Wrote %s and %s", out / "metrics.json", out / "nearest.png")


def evaluate(
    generator,
    dataset: str,
    data: "np.ndarray | Images",
    labels: np.ndarray | None,
    samples: int,
    seed: int,
    with_picture: bool = True,
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Every figure of a generator, the same figures of reals against reals, and the picture of nearest reals.

    Args:
      generator: latents [N, Z] -> images [N, S, S, C] in [-1, 1].
      dataset: its name, which decides the features.
      data: uint8 [N, H, W, C], what the generator was trained on, in memory or on disk.
      labels: uint8 [N] where the images have some.
      samples: how many images are drawn; as many reals are chosen to compare with, and as many others for the floor
        (fewer of each where the data set has not twice as many).
      seed: seed of the latents and of the choice.
      with_picture: whether to look for the nearest reals, for which all of `data`, or `SEARCHED` of what is on disk,
        goes through the extractor.

    Returns:
      The figures as JSON values, and uint8 [H', W', C], some samples, each with the nearest of all reals to its right,
      or None. Raises FloatingPointError where an image drawn is not finite.
    """
    from keras_dcgan import features, metrics
    from keras_dcgan.quality import as_generated

    _, size, _, channels = generator.output_shape
    extractor = features.load_extractor(dataset)
    samples = min(samples, len(data) // 2)
    order = np.random.default_rng(seed).permutation(len(data))
    if not isinstance(data, np.ndarray):
        order = order[: max(SEARCHED, 2 * samples)]
    latents = runs.draw_latents(samples, generator.input_shape[-1], seed)
    shown = _draw(generator, latents[:DRAWN_AT_ONCE])[:SHOWN]
    advance = _bar(samples + (len(order) if with_picture else 2 * samples))

    def measure(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        found, classes = [], []
        for part in pictures:
            part_features, part_classes = extractor.features_and_classes(part)
            found.append(part_features)
            if part_classes is not None:
                classes.append(part_classes)
            advance(len(part))
        return np.concatenate(found), np.concatenate(classes) if classes else None

    def real(chosen: np.ndarray) -> Iterable[np.ndarray]:
        return (as_generated(data[part], size, channels) for part in _parts(chosen))

    fake_features, fake_classes = measure(_draw(generator, part) for part in _parts(latents))
    reference, _ = measure(real(order[:samples]))
    others, other_classes = measure(real(order[samples : 2 * samples]))

    def figures(found: np.ndarray) -> dict[str, float]:
        kernel, error = metrics.kernel_distance(reference, found, seed=seed)
        return {
            "frechet_distance": metrics.frechet_distance(reference, found),
            "kernel_distance": kernel,
            "kernel_distance_standard_error": error,
            **metrics.precision_recall_density_coverage(reference, found),
        }

    result: dict[str, Any] = {
        "dataset": dataset, "features": extractor.name, "samples": samples, "seed": seed,
        "generated": figures(fake_features), "real": figures(others), "versions": runs.versions(),
    }  # fmt: skip
    if fake_classes is not None and other_classes is not None and labels is not None:
        generated, truth, predicted = (
            np.bincount(found, minlength=10)[:10] / len(found) for found in (fake_classes, labels, other_classes)
        )
        result["classes"] = {
            "generated": np.round(generated, 4).tolist(),
            "real": np.round(truth, 4).tolist(),
            "total_variation": float(0.5 * np.abs(generated - truth).sum()),
            "total_variation_real": float(0.5 * np.abs(predicted - truth).sum()),
        }
    if not with_picture:
        return result, None
    found = [reference, others]
    if 2 * samples < len(order):
        found.append(measure(real(order[2 * samples :]))[0])
    neighbours = order[metrics.nearest(fake_features[:SHOWN], np.concatenate(found), NEIGHBOURS)]  # (SHOWN, NEIGHBOURS)
    return result, nearest_picture(shown, [as_generated(data[indices], size, channels) for indices in neighbours])


def nearest_picture(samples: np.ndarray, neighbours: list[np.ndarray]) -> np.ndarray:
    """Lays samples uint8 [N, S, S, C] out in four columns, each with its neighbours [K, S, S, C] to its right.

    Grey bars divide the columns: what follows a bar, or the edge, is a sample.
    """
    from keras_dcgan import images

    rows = [np.concatenate([sample[np.newaxis], near]) for sample, near in zip(samples, neighbours, strict=True)]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % 4)
    columns = [images.make_grid(np.concatenate(rows[i::4]), columns=len(rows[0])) for i in range(4)]
    bar = np.full((columns[0].shape[0], images.GAP, columns[0].shape[2]), 128, np.uint8)
    return np.concatenate([part for column in columns for part in (column, bar)][:-1], axis=1)


def report(result: dict[str, Any]) -> str:
    """The figures as a table for people."""
    lines = [
        f"{result['dataset']}, {result['samples']} samples, {result['features']} features",
        f"{'':20}{'generated':>12}{'real':>12}",
    ]
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        generated, real = result["generated"][name], result["real"][name]
        lines.append(f"{name.replace('_', ' '):20}{generated:12.4f}{real:12.4f}")
        if name == "kernel_distance":
            errors = [result[side]["kernel_distance_standard_error"] for side in ("generated", "real")]
            lines.append(f"{'  standard error':20}{errors[0]:12.4f}{errors[1]:12.4f}")
    if "classes" in result:
        lines.append(f"{'class':20}{'generated':>12}{'real':>12}")
        for i, (generated, real) in enumerate(
            zip(result["classes"]["generated"], result["classes"]["real"], strict=True)
        ):
            lines.append(f"{i:<20}{generated:12.1%}{real:12.1%}")
        classes = result["classes"]
        lines.append(f"{'total variation':20}{classes['total_variation']:12.4f}{classes['total_variation_real']:12.4f}")
    return "\n".join(lines)


def _draw(generator, latents: np.ndarray) -> np.ndarray:
    from keras_dcgan import images

    return images.to_uint8(generator.predict(latents, batch_size=DRAWN_AT_ONCE, verbose=0))


def _parts(array: np.ndarray) -> Iterable[np.ndarray]:
    return (array[start : start + CHUNK] for start in range(0, len(array), CHUNK))


def _bar(total: int) -> Callable[[int], None]:
    """A progress bar, to be told how many images more are done; silent in a log file."""
    import keras

    if not sys.stdout.isatty():
        return lambda count: None
    bar = keras.utils.Progbar(total, unit_name="image")
    return lambda count: bar.add(count)


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, ["run_dir", "which", "generator", "dataset", "data_dir", "samples", "seed", "out"])
