"""Images on their way to people: float to uint8, grids, PNG files, animations and the loss figure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from keras_dcgan.files import atomic_path

GAP = 8  # grey pixels between two grids
FRAMES_PER_SECOND = 20


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Undoes the pipeline's scaling: float [...] in [-1, 1] -> uint8 [...] in 0 ... 255, rounded and clipped.

    Raises FloatingPointError where a value is not finite: as uint8 it would be black and look like a result.
    """
    images = np.asarray(images, np.float32)
    if not np.isfinite(images).all():
        raise FloatingPointError("the generator draws values that are not finite: its training had failed")
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)


def make_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays images out row by row.

    Args:
      images: uint8 [N, H, W, C], N > 0, of any height and width.
      columns: images in a row; by default the grid is as square as it can be.

    Returns:
      uint8 [rows * H, columns * W, C]; places without an image are black. Raises ValueError for an empty batch.
    """
    count, height, width, channels = images.shape
    if count == 0:
        raise ValueError("a grid needs at least one image")
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = images
    cells = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)  # (rows, H, columns, W, C)
    return cells.reshape(rows * height, columns * width, channels)


def beside(fakes: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """Two grids of as many images, fakes left and reals right: uint8 [N, H, W, C] twice -> uint8 [H', W', C]."""
    left, right = make_grid(fakes), make_grid(reals)
    gap = np.full((left.shape[0], GAP, left.shape[2]), 128, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, C], C being 1 or 3 (RGB), atomically in the format of the file's suffix, such as .png.

    Raises ValueError for a suffix that OpenCV cannot write, and OSError where the file cannot be written.
    """
    try:
        ok, data = cv2.imencode(Path(path).suffix or " ", _to_bgr(image))
    except cv2.error:
        ok = False
    if not ok:
        raise ValueError(f"{path}: no image format is known by this suffix; use .png or .jpg")
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(data.tobytes())


def write_animation(path: str | Path, frames: Iterable[np.ndarray]) -> None:
    """Writes frames of uint8 [H, W, C] atomically as .gif (endless) or .mp4 (MPEG-4 part 2), 20 frames a second.

    Raises ValueError for another suffix, and OSError where the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise ValueError(f"{path}: an animation is written as .gif or .mp4")
    pictures = [cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.shape[-1] == 1 else _to_bgr(frame) for frame in frames]
    with atomic_path(path, sync=False) as temporary:
        if suffix == ".gif":
            animation = cv2.Animation()
            animation.frames = pictures
            animation.durations = [1000 // FRAMES_PER_SECOND] * len(pictures)
            written = cv2.imwriteanimation(str(temporary), animation)
        else:
            height, width = pictures[0].shape[:2]
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(temporary), codec, FRAMES_PER_SECOND, (width, height))
            written = writer.isOpened()
            for picture in pictures:
                writer.write(picture)
            writer.release()
        if not written:
            raise OSError(f"{path}: OpenCV could not write it")


def write_loss_figure(path: str | Path, steps: Sequence[float], values: Mapping[str, Sequence[float]]) -> None:
    """Draws the losses and what the discriminator gives to reals and fakes over the steps, atomically, as PNG."""
    from matplotlib.figure import Figure  # slow to import, and only this needs it; no pyplot, so no screen

    figure = Figure(figsize=(9, 6), layout="constrained")
    losses, scores = figure.subplots(2, 1, sharex=True)
    for axes, names in ((losses, ("d_loss", "g_loss")), (scores, ("d_real", "d_fake"))):
        for name in names:
            axes.plot(steps, values[name], label=name, linewidth=0.8)
        axes.legend(loc="upper right")
        axes.grid(alpha=0.3)
    losses.set_ylabel("loss (nats)")
    losses.set_ylim(bottom=0)
    scores.set_ylabel("mean probability of 'real'")
    scores.set_ylim(0, 1)
    scores.set_xlabel("step")
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, dpi=100)


def write_metrics_figure(
    path: str | Path, steps: Sequence[float], values: Mapping[str, Sequence[float]], floor: float, title: str
) -> None:
    """Draws the Fréchet distance with its floor, and the four shares, over the steps, atomically, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    figure.suptitle(title)
    distance, shares = figure.subplots(2, 1, sharex=True)
    distance.plot(steps, values["frechet_distance"], marker=".", label="samples against real")
    distance.axhline(floor, linestyle="--", color="grey", label="real against real")
    distance.set_yscale("log")
    distance.set_ylabel("Fréchet distance")
    for name in ("precision", "recall", "density", "coverage"):
        shares.plot(steps, values[name], marker=".", label=name)
    shares.set_ylim(bottom=0)
    shares.set_xlabel("step")
    for axes, corner in ((distance, "upper right"), (shares, "lower right")):  # where the curves of a good run are not
        axes.legend(loc=corner)
        axes.grid(alpha=0.3)
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, dpi=100)


def _to_bgr(image: np.ndarray) -> np.ndarray:
    return image if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
