"""Pictures for people: grids, image files, animations and the figures of a run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from keras_dcgan.tools.files import BadFile, atomic_path

GAP = 8  # grey pixels between two grids
LONGEST = 10  # times as long as the other side a stretched image is at most
ANIMATIONS = (".gif", ".webp", ".mp4")
FRAMES_PER_SECOND = 20
JPEG_SIDE = 65_500  # pixels at most
# Of a run's figures; the widest numbers fit. To find such margins, matplotlib takes as long as to draw all the rest.
MARGINS = {"left": 0.14, "right": 0.985, "bottom": 0.115, "top": 0.945, "hspace": 0.06}
LEAST_SHARE = 0.0005  # of a confusion figure; smaller ones would be written as 0.0


def make_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays images out row by row.

    Args:
      images: uint8 [N, H, W, C], N > 0, of any height and width.
      columns: images in a row; by default the grid is as square as it can be.

    Returns:
      uint8 [rows * H, columns * W, C]; places without an image are black. Raises ValueError for an empty batch.

    Examples:
      >>> make_grid(np.zeros((6, 28, 28, 1), np.uint8), columns=3).shape
      (56, 84, 1)
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


def enlarge(images: np.ndarray, size: int, side: int) -> np.ndarray:
    """Repeats each pixel, so that small images can be seen: uint8 [..., H, W, C] -> [..., k H, k W, C].

    Args:
      images: images of `size` pixels, or a picture of many of them.
      size: their height and width.
      side: what these become at most; larger images stay as they are.

    Examples:
      >>> enlarge(np.zeros((4, 28, 28, 1), np.uint8), size=28, side=64).shape
      (4, 56, 56, 1)
    """
    times = max(1, side // size)
    return images.repeat(times, axis=-3).repeat(times, axis=-2)


def stretch(images: np.ndarray, aspect: float) -> np.ndarray:
    """Gives square images the shape of the pictures that they were made from; no side becomes shorter.

    Args:
      images: uint8 [N, S, S, C].
      aspect: width / height; one side becomes `LONGEST` times as long as the other at most.

    Returns:
      uint8 [N, H, W, C]: W = S * aspect and H = S, or W = S and H = S / aspect, rounded; bicubic.

    Examples:
      >>> stretch(np.zeros((4, 64, 64, 3), np.uint8), aspect=1.5).shape
      (4, 64, 96, 3)
    """
    count, height, width, channels = images.shape
    aspect = min(max(aspect, 1 / LONGEST), LONGEST)
    rows, columns = round(height / min(aspect, 1)), round(width * max(aspect, 1))
    if (rows, columns) == (height, width):
        return images
    stretched = np.empty((count, rows, columns, channels), np.uint8)
    for image, out in zip(images, stretched, strict=True):
        larger = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
        out[:] = np.rint(np.clip(larger, 0, 255)).reshape(out.shape)
    return stretched


def read_aspect(text: str) -> float:
    """Width / height from a text such as "3:2" or "1.5". Raises ValueError, saying what is right, for another one.

    Examples:
      >>> read_aspect("3:2"), read_aspect("1.5")
      (1.5, 1.5)
    """
    width, colon, height = text.partition(":")
    try:
        aspect = float(width) / (float(height) if colon else 1)
    except (ValueError, ZeroDivisionError):
        aspect = math.nan
    if not 1 / LONGEST <= aspect <= LONGEST:
        raise ValueError(f"must be width:height, as 3:2, or a number, as 1.5, from {1 / LONGEST} to {LONGEST}")
    return aspect


def beside(fakes: np.ndarray, reals: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Two grids of as many images, fakes left and reals right: uint8 [N, H, W, C] twice -> uint8 [H', W', C].

    Examples:
      >>> images = np.zeros((4, 28, 28, 1), np.uint8)
      >>> beside(images, images).shape  # twice 56 pixels and the gap
      (56, 120, 1)
    """
    left, right = make_grid(fakes, columns), make_grid(reals, columns)
    gap = np.full((left.shape[0], GAP, left.shape[2]), 128, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, C], C being 1 or 3 (RGB), atomically in the format of the file's suffix, such as .png.

    Raises BadFile for a suffix that Pillow does not write or an image too large for the format, and OSError if the file
    cannot be written.

    Examples:
      >>> write_image("grid.png", np.zeros((56, 84, 3), np.uint8))
      >>> Image.open("grid.png").size
      (84, 56)
    """
    suffix = Path(path).suffix.lower()
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        raise BadFile(f"{path}: {suffix or 'a name without a suffix'} is not an image format; use .png or .jpg")
    with atomic_path(path, sync=False) as temporary:
        _save(_to_pillow(image), path, temporary, quality=95)


def write_animation(path: str | Path, frames: Iterable[np.ndarray]) -> None:
    """Writes frames of uint8 [H, W, C] atomically, 20 frames a second.

    Args:
      path: ends in .gif or .webp, which begin again for ever, or .mp4 (MPEG-4 part 2), which leaves an odd last row or
        column out.
      frames: all of one shape; C is 1 or 3 (RGB).

    Raises BadFile for another suffix, and OSError if the file cannot be written whole.

    Examples:
      >>> write_animation("morph.gif", [np.full((28, 28, 1), level, np.uint8) for level in (0, 128, 255)])
      >>> Image.open("morph.gif").n_frames
      3
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATIONS:
        raise BadFile(f"{path}: an animation is written as {', '.join(ANIMATIONS)}")
    with atomic_path(path, sync=False) as temporary:
        if suffix == ".mp4":
            _write_mp4(temporary, list(frames))
        else:
            first, *others = map(_to_pillow, frames)
            duration = 1000 // FRAMES_PER_SECOND  # milliseconds
            options = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
            _save(first, path, temporary, quality=60, **options)  # the quality is WebP's


def _save(picture: Image.Image, path: str | Path, temporary: Path, **options: Any) -> None:
    if Path(path).suffix.lower() in (".jpg", ".jpeg") and max(picture.size) > JPEG_SIDE:
        raise BadFile(f"{path}: a JPEG has at most {JPEG_SIDE:,} pixels a side; write a .png")
    try:
        picture.save(temporary, **options)
    except ValueError as error:  # a WebP has at most 16,383 pixels a side
        raise BadFile(f"{path}: {error}") from error


def _write_mp4(path: Path, frames: list[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), codec, FRAMES_PER_SECOND, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR if frame.shape[-1] == 1 else cv2.COLOR_RGB2BGR))
    writer.release()
    # OpenCV reports no error, not even for a full disk: only reading the file shows whether it is whole.
    video = cv2.VideoCapture(str(path))
    written = 0
    while video.grab():
        written += 1
    video.release()
    if written != len(frames):
        raise OSError(f"OpenCV wrote {written} of {len(frames)} frames; is the disk full?")


def write_loss_figure(path: str | Path, steps: Sequence[float], values: Mapping[str, Sequence[float]]) -> None:
    """Draws the losses and what the discriminator gives to reals and fakes over the steps, atomically, as PNG."""
    from matplotlib.figure import Figure  # slow to import, and only this needs it; no pyplot, so no screen

    figure = Figure(figsize=(9, 6))
    losses, scores = figure.subplots(2, 1, sharex=True, gridspec_kw=MARGINS)
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

    figure = Figure(figsize=(9, 6))
    distance, shares = figure.subplots(2, 1, sharex=True, gridspec_kw=MARGINS)
    distance.set_title(title, y=1)  # where it would be; matplotlib takes long to find that
    distance.plot(steps, values["frechet_distance"], marker=".", label="samples against real")
    distance.axhline(floor, linestyle="--", color="grey", label="real against real")
    distance.set_yscale("log")
    distance.set_ylabel("Fréchet distance")
    for name in ("precision", "recall", "density", "coverage"):
        shares.plot(steps, values[name], marker=".", label=name)
    shares.set_ylim(bottom=0)
    shares.set_xlabel("step\n(docs/troubleshooting.md shows how the curves should look)")
    for axes, corner in ((distance, "upper right"), (shares, "lower right")):  # where the curves of a good run are not
        axes.legend(loc=corner)
        axes.grid(alpha=0.3)
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, dpi=100)


def write_confusion_figure(path: str | Path, shares: np.ndarray, names: Sequence[str], title: str) -> None:
    """Draws a confusion matrix, atomically, as PNG.

    Args:
      shares: float [K, K] in 0 ... 1; row i is what class i was taken for.
      names: K texts.
      title: stands above it.
    """
    from matplotlib.figure import Figure

    side = 2.5 + 0.6 * len(names)  # inches
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= LEAST_SHARE), strict=True):
        share = shares[row, column]
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center", color=colour, fontsize=8)
    shown = [name.replace("$", r"\$") for name in names]  # matplotlib reads a formula between two of them
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), shown)
    axes.set_xlabel("seen by the classifier (%)")
    axes.set_ylabel("asked for")
    axes.set_title(title, fontsize=10)
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, dpi=100)


def _to_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
