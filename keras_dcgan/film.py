"""The film of a training: the sample grids that a run has written, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from keras_dcgan.config import SettingError
from keras_dcgan.tools import draw
from keras_dcgan.tools.files import naming

SECONDS = 10  # a film of many grids; few of them stand for `LONGEST` each
LONGEST = 0.5
LAST = 2  # seconds for the last grid
MOST = SECONDS * draw.FRAMES_PER_SECOND  # grids; of more, as many are left out evenly


def write_film(run_dir: str | Path, path: str | Path) -> int:
    """Writes the grids in `run_dir/samples` as a film, without the real images beside them, and returns how many.

    The film lasts up to 12 seconds, the last grid for 2 of them. Raises SettingError if the run has written no grid,
    BadFile for a name that ends in none of `draw.ANIMATIONS`, and OSError if a file cannot be read or written.

    Examples:
      >>> Path("runs/mnist/samples").mkdir(parents=True)
      >>> for step in (100, 200):
      ...     draw.write_image(f"runs/mnist/samples/step_{step:06d}.png", np.zeros((32, 72, 1), np.uint8))
      >>> write_film("runs/mnist", "training.gif")
      2
    """
    grids = list_grids(run_dir)
    shown = [grids[i] for i in np.linspace(0, len(grids) - 1, min(len(grids), MOST)).astype(int)]
    draw.write_animation(path, _frames(shown))
    return len(shown)


def list_grids(run_dir: str | Path) -> list[Path]:
    """The sample grids of a run, by step. Raises SettingError if it has written none."""
    grids = sorted(Path(run_dir).glob("samples/step_*.png"), key=lambda grid: (len(grid.name), grid.name))
    if not grids:
        raise SettingError(f"run_dir={run_dir}", "holds no sample grids; a run writes them every sample_every steps")
    return grids


def _frames(grids: list[Path]) -> Iterator[np.ndarray]:
    """Each grid as uint8 [H, W, C], as often as it is shown."""
    shown = max(1, int(draw.FRAMES_PER_SECOND * min(LONGEST, SECONDS / len(grids))))
    for number, grid in enumerate(grids, 1):
        with naming(grid):
            both = np.atleast_3d(np.asarray(Image.open(grid)))
        fakes = both[:, : (both.shape[1] - draw.GAP) // 2]
        yield from [fakes] * (shown if number < len(grids) else LAST * draw.FRAMES_PER_SECOND)
