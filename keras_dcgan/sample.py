"""python -m keras_dcgan.sample: draws pictures from a trained generator."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, film, runs
from keras_dcgan.tools import draw
from keras_dcgan.tools.terminal import import_tensorflow, progress

if TYPE_CHECKING:
    import keras

    from keras_dcgan.datasets.classes import Classes

USAGE = """
Draws pictures from a trained generator; the same seed gives the same pictures.

  python -m keras_dcgan.sample --run_dir=runs/mnist --out=grid.png
  python -m keras_dcgan.sample --generator=generator.keras --count=100 --out=folder/
  python -m keras_dcgan.sample --run_dir=runs/mnist --interpolate=morph.gif
  python -m keras_dcgan.sample --run_dir=runs/mnist --film=training.mp4

A generator that was trained with classes draws what you ask for:

  python -m keras_dcgan.sample --run_dir=runs/mnist --label=7 --out=sevens.png
  python -m keras_dcgan.sample --run_dir=runs/mnist --labels=2,0,2,6 --same_latents --out=2026.png
  python -m keras_dcgan.sample --run_dir=runs/mnist --each --out=classes.png
"""
IN_MEMORY = 1000  # images drawn at once for a folder
LARGEST_GRID = 10_000
LARGEST_FOLDER = 1_000_000
GRIDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
INTERPOLATED = 8  # latent vectors
LARGEST_WALK = 100  # classes of an animation; each takes 24 frames, and all are in memory
COLUMNS = 8  # of --each
LONGEST_NAME = 40  # characters of a class's name in the name of a file


class Chosen(NamedTuple):
    """What to draw: latents float32 [N, Z], labels int32 [N] if the generator takes them, columns of the grid or None.

    Without columns the grid is as square as it can be.
    """

    latents: np.ndarray
    labels: np.ndarray | None = None
    columns: int | None = None


def define_flags(given: cli.Given) -> None:
    """The flags of this command."""
    cli.define_generator(given)
    flags.DEFINE_integer(
        "count", 64, "how many pictures; with --labels how many rows, by default one",
        lower_bound=1, upper_bound=LARGEST_FOLDER, flag_values=given,
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "seed of the latents and of random labels", lower_bound=0, flag_values=given)
    flags.DEFINE_string("label", None, "a class, by name or number: all pictures are of it", flag_values=given)
    flags.DEFINE_string(
        "labels", None, "classes with commas between them, as 2,0,2,6: a row with one picture of each",
        flag_values=given,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "each", False, f"a row of {COLUMNS} pictures for every class, or of --count / classes", flag_values=given
    )
    flags.DEFINE_boolean(
        "same_latents", False, "one latent vector for a whole row of --labels (on digits: one handwriting), or for a "
        "whole column of --each", flag_values=given,
    )  # fmt: skip
    flags.DEFINE_string(
        "aspect", None, "width to height of each picture, as 3:2 or 1.5; 1: square, as the generator draws them "
        "[the data's after --resize_mode=stretch, else 1]", flag_values=given,
    )  # fmt: skip
    cli.define_path(given, "out", "a file such as grid.png for a grid, or a folder (ending in /) for single PNG files")
    cli.define_path(
        given, "interpolate", f"a .gif, .webp or .mp4 file that morphs through {INTERPOLATED} images and back, or "
        "through the classes of --labels or --each",
    )  # fmt: skip
    cli.define_path(given, "film", "a .gif, .webp or .mp4 file of the sample grids that the run in --run_dir wrote")


@cli.with_local_run
def main(given: cli.Given) -> None:
    """Writes what --out, --interpolate and --film ask for."""
    check_outputs(given)
    check_classes(given)
    if given.out or given.interpolate:
        write_drawn(given)
    if given.film:
        cli.make_folder("film", given.film, Path(given.film).parent)
        logging.info("Wrote %s, of %d grids", given.film, film.write_film(given.run_dir, given.film))


def write_drawn(given: cli.Given) -> None:
    """Writes what --out and --interpolate ask for."""
    file = cli.generator_file(given)
    aspect = read_aspect(given, file)
    import_tensorflow()
    from keras_dcgan import generators
    from keras_dcgan.networks import latent_dim_of

    generator = generators.load_generator(file)
    classes = generators.name_classes(generator, file)
    asked, latent_dim = read_labels(given, classes), latent_dim_of(generator)
    chosen = choose(given, latent_dim, classes, asked) if given.out else None
    stations = choose_stations(given, latent_dim, classes, asked) if given.interpolate else None
    if chosen:
        cli.make_folder("out", given.out, Path(given.out) if is_folder(given.out) else Path(given.out).parent)
    if stations:
        cli.make_folder("interpolate", given.interpolate, Path(given.interpolate).parent)
    if chosen:
        write_pictures(given.out, generator, chosen, classes, aspect)
        logging.info("Wrote %s", given.out)
    if stations:
        write_morph(given.interpolate, generator, stations, aspect)
        logging.info("Wrote %s", given.interpolate)


def check_outputs(given: cli.Given) -> None:
    """Raises UserError, or SettingError, for files that cannot be written, before anything is loaded or drawn."""
    if not given.out and not given.interpolate and not given.film:
        raise cli.UserError("give --out=grid.png, --out=folder/, --interpolate=morph.gif or --film=training.mp4")
    for flag in ("interpolate", "film"):
        if (path := given[flag].value) and not path.lower().endswith(draw.ANIMATIONS):
            raise cli.UserError(f"--{flag}={path}: must end in {', '.join(draw.ANIMATIONS)}")
    if given.film and not given.run_dir:
        raise cli.UserError(f"--film={given.film}: goes with --run_dir, not with --generator")
    others = [name for name in given if given[name].present and name not in ("film", "run_dir", "out", "interpolate")]
    if given.film and others and not given.out and not given.interpolate:
        raise cli.UserError(f"--film={given.film}: shows what the run wrote; leave out --{' and --'.join(others)}")
    if given.film:
        film.list_grids(given.run_dir)
    if not given.out or is_folder(given.out):
        return
    if not given.out.lower().endswith(GRIDS):
        if given.out.lower().endswith(draw.ANIMATIONS):
            raise cli.UserError(f"--out={given.out}: use .png for a grid; an animation is --interpolate={given.out}")
        raise cli.UserError(f"--out={given.out}: use .png or .jpg for a grid, or end in / for a folder of pictures")
    if given.count > LARGEST_GRID:
        raise cli.UserError(
            f"--count={given.count}: a grid holds {LARGEST_GRID} at most; give a folder, as --out=folder/"
        )


def check_classes(given: cli.Given) -> None:
    """Raises UserError for flags of classes that exclude each other."""
    if (given.label is not None) + (given.labels is not None) + given.each > 1:
        raise cli.UserError("give only one of --label, --labels and --each")
    if given.same_latents and given.labels is None and not given.each:
        raise cli.UserError("--same_latents: goes with --labels or --each")


def read_aspect(given: cli.Given, file: Path) -> float:
    """Width / height of what is written: that of --aspect, of the run of the generator's file, or 1.

    Raises UserError for an impossible one.
    """
    if given.aspect is None:
        return runs.read_aspect(file.parent)
    try:
        return draw.read_aspect(given.aspect)
    except ValueError as error:
        raise cli.UserError(f"--aspect={given.aspect}: {error}") from error


def read_labels(given: cli.Given, classes: "Classes | None") -> np.ndarray | None:
    """The labels int32 [P] that the flags name, in their order; None if they name none.

    Raises UserError for a class that the generator does not have, and if it has none at all.
    """
    flag = next((name for name in ("label", "labels", "each") if given[name].value not in (None, False)), None)
    if not flag:
        return None
    text = str(given[flag].value)
    written = "--each" if given.each else f"--{flag}={text}"
    if not classes:
        raise cli.UserError(f"{written}: this generator was trained without classes")
    if given.each:
        return np.arange(len(classes), dtype=np.int32)
    try:
        names = [name.strip() for name in text.split(",")] if flag == "labels" else [text]
        return np.array([classes.label(name) for name in names], np.int32)
    except ValueError as error:
        raise cli.UserError(f"{written}: {error}") from error


def choose(given: cli.Given, latent_dim: int, classes: "Classes | None", asked: np.ndarray | None) -> Chosen:
    """What --out shows. `asked` is what `read_labels` gave. Raises UserError for more pictures than it can hold."""
    from keras_dcgan.generators import draw_latents

    def draw_some(count: int) -> np.ndarray:
        return draw_latents(count, latent_dim, given.seed)

    if asked is None:
        return Chosen(draw_some(given.count), classes.draw(given.count, given.seed) if classes else None)
    if given.label is not None:
        return Chosen(draw_some(given.count), asked.repeat(given.count))
    rows, columns = lay_out(given, len(asked))
    labels = asked.repeat(columns) if given.each else np.tile(asked, rows)
    if not given.same_latents:
        latents = draw_some(rows * columns)
    elif given.each:
        latents = np.tile(draw_some(columns), (rows, 1))
    else:
        latents = draw_some(rows).repeat(columns, axis=0)
    return Chosen(latents, labels, columns)


def lay_out(given: cli.Given, asked: int) -> tuple[int, int]:
    """Rows and columns for --each, with this many classes, or for --labels. Raises UserError if they are too many."""
    counted = given["count"].present
    if given.each:
        rows, columns = asked, max(1, given.count // asked) if counted else COLUMNS
    else:
        rows, columns = given.count if counted else 1, asked
    most = LARGEST_FOLDER if is_folder(given.out) else LARGEST_GRID
    if rows * columns > most:
        raise cli.UserError(f"--out={given.out}: holds {most} pictures at most; these are {rows} rows of {columns}")
    return rows, columns


def choose_stations(given: cli.Given, latent_dim: int, classes: "Classes | None", asked: np.ndarray | None) -> Chosen:
    """What --interpolate passes through. `asked` is what `read_labels` gave. Raises UserError for too many classes."""
    from keras_dcgan.generators import draw_latents

    if asked is None:
        labels = classes.draw(INTERPOLATED, given.seed) if classes else None
    else:
        labels = asked.repeat(INTERPOLATED) if len(asked) == 1 else asked
    count = INTERPOLATED if labels is None else len(labels)
    if count > LARGEST_WALK:
        raise cli.UserError(f"--interpolate={given.interpolate}: holds {LARGEST_WALK} classes at most, not {count}")
    latents = draw_latents(1 if given.same_latents else count, latent_dim, given.seed)
    return Chosen(np.resize(latents, (count, latent_dim)), labels)


def write_pictures(
    out: str, generator: "keras.Model", chosen: Chosen, classes: "Classes | None", aspect: float
) -> None:
    """Draws what was chosen as a grid, or in a folder as 000000.png, or 000000_sneaker.png if there are classes.

    Their width is `aspect` times their height.
    """
    from keras_dcgan.generators import draw_images
    from keras_dcgan.networks import with_labels

    latents, labels, columns = chosen
    if not is_folder(out):
        images = draw.stretch(draw_images(generator, with_labels(latents, labels)), aspect)
        draw.write_image(out, draw.make_grid(images, columns))
        return
    with progress("Drawing", len(latents)) as bar:
        for start in range(0, len(latents), IN_MEMORY):
            part = slice(start, start + IN_MEMORY)
            inputs = with_labels(latents[part], None if labels is None else labels[part])
            for i, image in enumerate(draw.stretch(draw_images(generator, inputs), aspect), start):
                name = "" if classes is None or labels is None else f"_{safe_name(classes.names[labels[i]])}"
                draw.write_image(Path(out) / f"{i:06d}{name}.png", image)
                bar.update()


def write_morph(path: str, generator: "keras.Model", stations: Chosen, aspect: float) -> None:
    """Draws an animation that passes through the latents, and through the labels if there are any, and back."""
    from keras_dcgan import generators
    from keras_dcgan.networks import count_classes

    latents = np.stack(list(generators.interpolate(stations.latents)))
    if stations.labels is None:
        frames = generators.draw_images(generator, latents)
    else:
        mix = generators.interpolate_labels(stations.labels, count_classes(generator))
        frames = generators.draw_images(generators.class_mixer(generator), {"latents": latents, "mix": mix})
    draw.write_animation(path, draw.stretch(frames, aspect))


def safe_name(name: str) -> str:
    """A class's name as every file system takes it: letters, digits, dots, - and _, the rest as -."""
    return re.sub(r"[^\w.-]+", "-", name)[:LONGEST_NAME]


def is_folder(out: str) -> bool:
    """Whether --out names a folder: one that exists, or a new one, which ends in a slash."""
    return out.endswith("/") or Path(out).is_dir()


def command() -> None:
    """The command line."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
