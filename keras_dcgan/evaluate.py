"""python -m keras_dcgan.evaluate: measures a trained generator against the images that it was trained on."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, runs
from keras_dcgan.config import IMAGE_SIZES, SettingError, TrainConfig
from keras_dcgan.datasets import source
from keras_dcgan.datasets.data import Data
from keras_dcgan.tools import draw, files
from keras_dcgan.tools.terminal import import_tensorflow

SIDE = 64  # pixels up to which the images in nearest.png and copies.png are enlarged
USAGE = """
Measures a generator. Writes to its run folder, or to --out:

  metrics.json   all figures, each beside the one that real images have; the table that is printed
  nearest.png    samples, each with the three real images to its right that are nearest to it
  copies.png     the samples that look most like copies, each with the real image to its right that it is nearest to
  confusion.png  what it draws when it is asked for each class, if it has classes and there is a classifier for them
                 (MNIST, Fashion-MNIST, CIFAR-10)

  python -m keras_dcgan.evaluate --run_dir=runs/mnist
  python -m keras_dcgan.evaluate --generator=generator.keras --dataset=mnist --out=measured/
  python -m keras_dcgan.evaluate --run_dir=runs/faces --features=network.keras
  python -m keras_dcgan.evaluate --run_dir=runs/faces64 --image_size=32 --out=at32/   # beside a run of 32 pixels
"""


def define_flags(given: cli.Given) -> None:
    """The flags of this command."""
    cli.define_generator(given)
    cli.define_path(given, "dataset", "what the generator was trained on, as in fit [the run's]", remote=True)
    cli.define_path(given, "data_dir", "folder of the data set's files [the run's]")
    flags.DEFINE_float(
        "max_bad_share", None, "stop if more than this share of a folder's pictures cannot be used [the run's]",
        flag_values=given,
    )  # fmt: skip
    flags.DEFINE_integer(
        "samples", 10_000, "how many images to draw, and how many real ones to compare with; at most half of the data",
        lower_bound=16, upper_bound=50_000, flag_values=given,
    )  # fmt: skip
    sizes = list(map(str, IMAGE_SIZES))
    flags.DEFINE_enum(
        "image_size", None, sizes, f"compare images of this size ({', '.join(sizes)}), in pixels, so that runs of "
        "several sizes can be compared [the generator's]", flag_values=given,
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "seed of the latents and of the choice of reals", lower_bound=0, flag_values=given)
    cli.define_path(
        given, "features", "a Keras network of yours (.keras) that makes the features: images float32 [N, H, W, C] in "
        "0 ... 255 -> [N, D], C being 1 or 3 [the data set's classifier, or InceptionV3]",
    )  # fmt: skip
    cli.define_path(given, "out", "folder for the results [the run folder]")


@cli.with_local_run
def main(given: cli.Given) -> None:
    """Prints the figures, and writes them, the pictures of samples beside reals, and that of the classes if any."""
    config = read_settings(given)
    file = cli.generator_file(given)
    if given.generator and not (given.dataset and given.out):
        raise cli.UserError("--generator: give --dataset, what it was trained on, and --out, a folder for the results")
    import_tensorflow()
    from keras_dcgan.generators import load_generator, name_classes
    from keras_dcgan.metrics import features, report, show

    generator = load_generator(file)
    classes = name_classes(generator, file)
    extractor = features.load_extractor(config.dataset, file=given.features) if given.features else None
    digest = files.sha256(file)  # the export compares it, to know whose figures these are
    out = Path(given.out or given.run_dir)
    cli.make_folder("out", out, out)
    _, size, _, channels = generator.output_shape
    size = int(given.image_size or size)
    config = dataclasses.replace(config, image_size=size, channels=channels)
    data = open_data(config, given)
    if not (file.parent / runs.CONFIG).exists():
        logging.warning(
            "There is no %s beside %s, so pictures are cropped, on white, and mirrored copies are not looked for.",
            runs.CONFIG, file,
        )  # fmt: skip
    figures, pictures = report.evaluate(
        generator, data, given.samples, given.seed, classes=classes, extractor=extractor, mirrored=config.mirror,
        image_size=size,
    )  # fmt: skip
    figures |= {"generator": str(file), "generator_sha256": digest}
    files.write_text(out / "metrics.json", json.dumps(figures, indent=2) + "\n")
    written = [out / "metrics.json"]
    for name, picture in pictures.items():
        written.append(out / f"{name}.png")
        draw.write_image(written[-1], draw.enlarge(picture, size, SIDE))
    seen = figures.get("classes", {})
    if "confusion" in seen:
        written.append(out / "confusion.png")
        title = f"{file.name}: {figures['generated']['agreement']:.1%} of the samples are what was asked for"
        draw.write_confusion_figure(written[-1], np.array(seen["confusion"]), seen["names"], title)
    print(show.as_text(figures))
    logging.info("Wrote %s and %s", ", ".join(map(str, written[:-1])), written[-1])


def read_settings(given: cli.Given) -> TrainConfig:
    """The settings that say which images a generator was trained on, with those of the flags.

    They are its run's: of `--run_dir` or, if there is one, of the `config.json` beside `--generator`.
    """
    place = given.run_dir or (given.generator and Path(given.generator).parent)
    try:
        config = runs.read_config(Path(place) / runs.CONFIG) if place else TrainConfig()
    except (FileNotFoundError, NotADirectoryError) as error:
        if given.run_dir:
            raise cli.UserError(f"--run_dir={given.run_dir}: holds no run ({runs.CONFIG} is missing)") from error
        config = TrainConfig()
    dataset = config.dataset if given.dataset is None else given.dataset
    others: dict[str, Any] = {name: given[name].value for name in ("data_dir", "max_bad_share") if given[name].present}
    return dataclasses.replace(config, dataset=source.locate(dataset), **others)


def open_data(config: TrainConfig, given: cli.Given) -> Data:
    """The images to compare with. Those that --dataset names need not have the classes that the run learned."""
    try:
        return source.open_data(config, with_labels=True)
    except SettingError as error:
        if given.dataset is None or not str(error).startswith("labels="):
            raise
        return source.open_data(dataclasses.replace(config, labels="off"))


def command() -> None:
    """The command line."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
