"""python -m keras_dcgan.sample: draws pictures from a trained generator."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging

from keras_dcgan import cli, images, runs

if TYPE_CHECKING:
    import keras

USAGE = """
Draws from a trained generator; the same seed gives the same picture.

  python -m keras_dcgan.sample --run_dir=runs/mnist --out=grid.png
  python -m keras_dcgan.sample --generator=generator.keras --count=100 --out=folder/
  python -m keras_dcgan.sample --run_dir=runs/mnist --interpolate=morph.gif
"""
STEPS_BETWEEN = 24  # frames from one latent to the next
IN_MEMORY = 1000  # pictures drawn at once for a folder
LARGEST_GRID = 10_000


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("run_dir", None, "run folder that holds generator.keras")
    flags.DEFINE_enum("which", "last", list(runs.GENERATORS), "which generator of the run folder")
    flags.DEFINE_string("generator", None, "a .keras file, instead of --run_dir")
    flags.DEFINE_integer("count", 64, "how many pictures", lower_bound=1, upper_bound=1_000_000)
    flags.DEFINE_integer("seed", 0, "seed of the latents", lower_bound=0)
    flags.DEFINE_string("out", None, "an image file for a grid, or a folder (ending in /) for single PNG files")
    flags.DEFINE_string("interpolate", None, "a .gif or .mp4 file: spherical steps through 8 latents and back")


def main() -> None:
    """The command."""
    given = flags.FLAGS
    cli.check_source()
    if not given.out and not given.interpolate:
        raise cli.UserError("give --out=grid.png, --out=folder/ or --interpolate=morph.gif")
    if given.interpolate and Path(given.interpolate).suffix.lower() not in (".gif", ".mp4"):
        raise cli.UserError(f"--interpolate={given.interpolate}: must end in .gif or .mp4")
    try:
        generator = runs.load_generator(given.run_dir or given.generator, given.which)
        if given.out:
            latents = runs.draw_latents(given.count, generator.input_shape[-1], given.seed)
            write_pictures(given.out, generator, latents)
        if given.interpolate:
            latents = np.stack(list(interpolate(runs.draw_latents(8, generator.input_shape[-1], given.seed))))
            frames = images.to_uint8(generator.predict(latents, batch_size=64, verbose=0))
            cli.make_folder("interpolate", given.interpolate, Path(given.interpolate).parent)
            images.write_animation(given.interpolate, frames)
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    for path in filter(None, (given.out, given.interpolate)):
        logging.info("Wrote %s", path)


def write_pictures(out: str, generator: "keras.Model", latents: np.ndarray) -> None:
    """Draws latents [N, Z] as one grid, or as single PNG files where `out` is a folder or ends in a slash."""

    def drawn(some: np.ndarray) -> np.ndarray:
        return images.to_uint8(generator.predict(some, batch_size=64, verbose=0))

    if out.endswith("/") or Path(out).is_dir():
        cli.make_folder("out", out, Path(out))
        for start in range(0, len(latents), IN_MEMORY):
            for i, picture in enumerate(drawn(latents[start : start + IN_MEMORY]), start):
                images.write_image(Path(out) / f"{i:06d}.png", picture)
    elif len(latents) > LARGEST_GRID:
        raise ValueError(
            f"--count={len(latents)}: a grid holds {LARGEST_GRID} at most; give a folder, as --out=folder/"
        )
    else:
        cli.make_folder("out", out, Path(out).parent)
        images.write_image(out, images.make_grid(drawn(latents)))


def interpolate(latents: np.ndarray, steps: int = STEPS_BETWEEN) -> Iterator[np.ndarray]:
    """Walks from each latent [Z] to the next and back to the first, `steps` spherical steps each (White 2016).

    Straight lines between N(0, 1) vectors pass through lengths that the generator never saw; these keep theirs.
    """
    for start, end in zip(latents, np.roll(latents, -1, axis=0), strict=True):
        cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        for t in np.arange(steps) / steps:
            if np.sin(angle) < 1e-6:  # the same direction: the two formulas meet
                yield ((1 - t) * start + t * end).astype(np.float32)
            else:
                yield ((np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)).astype(np.float32)


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, ["run_dir", "which", "generator", "count", "seed", "out", "interpolate"])
