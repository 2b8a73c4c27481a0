"""python -m keras_dcgan.evaluate: measures a trained generator against the images that it was trained on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, runs
from keras_dcgan.config import CHOICES_OF_DATASET, read_config
from keras_dcgan.files import write_text

USAGE = """
Measures a generator: writes metrics.json and nearest.png to its run folder, or to --out.

  python -m keras_dcgan.evaluate --run_dir=runs/mnist
  python -m keras_dcgan.evaluate --generator=generator.keras --dataset=mnist --out=measured/
"""
SHOWN = 16  # samples in nearest.png, each with NEIGHBOURS real images
NEIGHBOURS = 3


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
    if (given.run_dir is None) == (given.generator is None):
        raise cli.UserError("give either --run_dir=FOLDER or --generator=FILE.keras")
    if given.generator and not (given.dataset and given.out):
        raise cli.UserError("--generator: give --dataset, what it was trained on, and --out, a folder for the results")
    if given.dataset and given.dataset not in CHOICES_OF_DATASET:
        raise cli.UserError(f"--dataset={given.dataset}: must be one of {', '.join(CHOICES_OF_DATASET)}")
    try:
        config = read_config(Path(given.run_dir) / runs.CONFIG) if given.run_dir else None
        generator = runs.load_generator(given.run_dir or given.generator, given.which)
        dataset = given.dataset or (config.dataset if config else "")
        data_dir = given.data_dir or (config.data_dir if config else "")
    except FileNotFoundError as error:
        raise cli.UserError(f"--run_dir={given.run_dir}: holds no run ({runs.CONFIG} is missing)") from error
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    out = Path(given.out or given.run_dir)
    out.mkdir(parents=True, exist_ok=True)

    from keras_dcgan import datasets

    try:
        data = datasets.load_images(dataset, data_dir or None)
        labels = datasets.load_labels(dataset, data_dir or None)
    except datasets.DatasetUnavailable as error:
        raise cli.Fault(str(error)) from error
    result, picture = evaluate(generator, dataset, data, labels, given.samples, given.seed)
    result["generator"] = str(given.generator or Path(given.run_dir) / runs.GENERATORS[given.which])
    write_text(out / "metrics.json", json.dumps(result, indent=2) + "\n")

    from keras_dcgan import images

    images.write_image(out / "nearest.png", picture)
    print(report(result))
    logging.info("Wrote %s and %s", out / "metrics.json", out / "nearest.png")


def evaluate(
    generator, dataset: str, data: np.ndarray, labels: np.ndarray, samples: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Every figure of a generator, the same figures of reals against reals, and the picture of nearest reals.

    Args:
      generator: latents [N, Z] -> images [N, S, S, C] in [-1, 1].
      dataset: its name, which decides the features.
      data, labels: uint8 [N, H, W, C] and [N], what the generator was trained on.
      samples: how many images are drawn; as many reals are chosen to compare with, and as many others for the floor
        (fewer of each where the data set has not twice as many).
      seed: seed of the latents and of the choice.

    Returns:
      The figures as JSON values, and uint8 [H', W', C]: some samples, each with its nearest reals to the right.
    """
    from keras_dcgan import features, images, metrics
    from keras_dcgan.quality import as_generated

    _, size, _, channels = generator.output_shape
    extractor = features.load_extractor(dataset)
    samples = min(samples, len(data) // 2)
    chosen = np.random.default_rng(seed).permutation(len(data))[: 2 * samples]
    reals = as_generated(data[chosen], size, channels)
    fakes = _draw(generator, samples, seed)
    with_bar = _bar(len(reals) + len(fakes))
    real_features, _ = extractor.features_and_classes(reals, with_bar(0))
    fake_features, classes = extractor.features_and_classes(fakes, with_bar(len(reals)))
    reference, others = real_features[:samples], real_features[samples:]

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
    if classes is not None:
        shares = [np.bincount(found, minlength=10)[:10] / len(found) for found in (classes, labels)]
        result["classes"] = {
            "generated": np.round(shares[0], 4).tolist(),
            "real": np.round(shares[1], 4).tolist(),
            "total_variation": float(0.5 * np.abs(shares[0] - shares[1]).sum()),
        }
    rows = []
    for i in range(min(SHOWN, samples)):
        distances = np.sum((reference - fake_features[i]) ** 2, axis=1)
        rows.append(np.concatenate([fakes[i : i + 1], reals[np.argsort(distances)[:NEIGHBOURS]]]))
    return result, images.make_grid(np.concatenate(rows), columns=4 * (1 + NEIGHBOURS))


def report(result: dict[str, Any]) -> str:
    """The figures as a table for people."""
    lines = [
        f"{result['dataset']}, {result['samples']} samples, {result['features']} features",
        f"{'':20}{'generated':>12}{'real':>12}",
    ]
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        generated, real = result["generated"][name], result["real"][name]
        lines.append(f"{name.replace('_', ' '):20}{generated:12.4f}{real:12.4f}")
    if "classes" in result:
        lines.append(f"{'class':20}{'generated':>12}{'real':>12}")
        for i, (generated, real) in enumerate(
            zip(result["classes"]["generated"], result["classes"]["real"], strict=True)
        ):
            lines.append(f"{i:<20}{generated:12.1%}{real:12.1%}")
        lines.append(f"{'total variation':20}{result['classes']['total_variation']:12.4f}")
    return "\n".join(lines)


def _draw(generator, count: int, seed: int) -> np.ndarray:
    from keras_dcgan import images

    latents = runs.draw_latents(count, generator.input_shape[-1], seed)
    return images.to_uint8(generator.predict(latents, batch_size=100, verbose=0))


def _bar(total: int) -> Callable[[int], Callable[[int], None] | None]:
    """A progress bar over several passes: `_bar(total)(done_before)` is told the count of one; none in a log file."""
    import keras

    if not sys.stdout.isatty():
        return lambda before: None
    bar = keras.utils.Progbar(total, unit_name="image")
    return lambda before: lambda count: bar.update(before + count)


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, ["run_dir", "which", "generator", "dataset", "data_dir", "samples", "seed", "out"])
