"""python -m keras_dcgan.sample: draws pictures from a trained generator."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging

from keras_dcgan import cli
from keras_dcgan.tools import draw
from keras_dcgan.tools.terminal import import_tensorflow, progress

if TYPE_CHECKING:
    import keras

USAGE = """
Draws pictures from a trained generator; the same seed gives the same pictures.

  python -m keras_dcgan.sample --run_dir=runs/mnist --out=grid.png
  python -m keras_dcgan.sample --generator=generator.keras --count=100 --out=folder/
  python -m keras_dcgan.sample --run_dir=runs/mnist --interpolate=morph.gif
"""
IN_MEMORY = 1000  # images drawn at once for a folder
LARGEST_GRID = 10_000
GRIDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
ANIMATIONS = (".gif", ".mp4")
INTERPOLATED = 8  # latent vectors


def define_flags(given: cli.Given) -> None:
    """The flags of this command."""
    cli.define_generator(given)
    flags.DEFINE_integer("count", 64, "how many pictures", lower_bound=1, upper_bound=1_000_000, flag_values=given)
    flags.DEFINE_integer("seed", 0, "seed of the latents", lower_bound=0, flag_values=given)
    cli.define_path(given, "out", "a file such as grid.png for a grid, or a folder (ending in /) for single PNG files")
    cli.define_path(given, "interpolate", f"a .gif or .mp4 file that morphs through {INTERPOLATED} images and back")


def main(given: cli.Given) -> None:
    """Writes what --out and --interpolate ask for."""
    file = cli.generator_file(given)
    check_outputs(given)
    import_tensorflow()
    from keras_dcgan import generators

    generator = generators.load_generator(file)
    latent_dim = generator.input_shape[-1]
    if given.out:
        cli.make_folder("out", given.out, Path(given.out) if is_folder(given.out) else Path(given.out).parent)
    if given.interpolate:
        cli.make_folder("interpolate", given.interpolate, Path(given.interpolate).parent)
    if given.out:
        latents = generators.draw_latents(given.count, latent_dim, given.seed)
        if is_folder(given.out):
            write_pictures(Path(given.out), generator, latents)
        else:
            draw.write_image(given.out, draw.make_grid(generators.draw_images(generator, latents)))
        logging.info("Wrote %s", given.out)
    if given.interpolate:
        latents = generators.draw_latents(INTERPOLATED, latent_dim, given.seed)
        between = np.stack(list(generators.interpolate(latents)))
        draw.write_animation(given.interpolate, generators.draw_images(generator, between))
        logging.info("Wrote %s", given.interpolate)


def check_outputs(given: cli.Given) -> None:
    """Raises UserError for files that cannot be written, before anything is loaded or drawn."""
    if not given.out and not given.interpolate:
        raise cli.UserError("give --out=grid.png, --out=folder/ or --interpolate=morph.gif")
    if given.interpolate and not given.interpolate.lower().endswith(ANIMATIONS):
        raise cli.UserError(f"--interpolate={given.interpolate}: must end in {' or '.join(ANIMATIONS)}")
    if not given.out or is_folder(given.out):
        return
    if given.out.lower().endswith(ANIMATIONS):
        raise cli.UserError(f"--out={given.out}: use .png for a grid; an animation is --interpolate={given.out}")
    if not given.out.lower().endswith(GRIDS):
        raise cli.UserError(f"--out={given.out}: use .png or .jpg for a grid, or end in / for a folder of pictures")
    if given.count > LARGEST_GRID:
        raise cli.UserError(
            f"--count={given.count}: a grid holds {LARGEST_GRID} at most; give a folder, as --out=folder/"
        )


def write_pictures(folder: Path, generator: "keras.Model", latents: np.ndarray) -> None:
    """Draws latents [N, Z] as 000000.png, 000001.png and so on, `IN_MEMORY` at a time."""
    from keras_dcgan.generators import draw_images

    with progress("Drawing", len(latents)) as bar:
        for start in range(0, len(latents), IN_MEMORY):
            for i, image in enumerate(draw_images(generator, latents[start : start + IN_MEMORY]), start):
                draw.write_image(folder / f"{i:06d}.png", image)
                bar.update()


def is_folder(out: str) -> bool:
    """Whether --out names a folder: one that exists, or a new one, which ends in a slash."""
    return out.endswith("/") or Path(out).is_dir()


def command() -> None:
    """The command line."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
