"""One place that writes what a run measures: rows of a CSV file, TensorBoard, a figure."""

import csv
import errno
import io
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_dcgan.tools.files import BadFile, naming, write_text

Columns = dict[str, list[float]]


class TensorBoard:
    """A TensorBoard event file; without a folder nothing is written, and TensorBoard need not be installed.

    Everything is on disk when a method returns: TensorFlow alone keeps it for two minutes, which a kill would lose.
    Raises OSError if the disk is full at the beginning.

    Args:
      folder: where the event file goes, or None.
    """

    def __init__(self, folder: Path | None):
        try:
            self._writer = tf.summary.create_file_writer(str(folder)) if folder else None
        except tf.errors.ResourceExhaustedError as error:  # TensorFlow's name for too little memory, too
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one value for each name."""
        if self._writer:
            with self._writer.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=step)
            self._writer.flush()

    def add_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, C]."""
        if self._writer:
            with self._writer.as_default():
                tf.summary.image(name, image[np.newaxis], step=step)
            self._writer.flush()


class Recorder:
    """A CSV file that gains a row now and then and survives kills, with the same values in TensorBoard and a figure.

    Floats are written in full, so a file that a resumed run continued has the same bytes as one written without a
    break. `rows` holds what is in the file.

    Args:
      path: the CSV file.
      draw: writes the figure, from the steps and the values of each column; None: no figure.
      tensorboard: gets the same values.
      prefix: put before the names there.

    Examples:
      >>> recorder = Recorder(Path("history.csv"))
      >>> recorder.start(["d_loss"])
      >>> recorder.add(10, {"d_loss": 1.2})
      >>> recorder.path.read_text().split()
      ['step,d_loss', '10,1.2']
    """

    def __init__(
        self,
        path: Path,
        draw: Callable[[list[float], Columns], None] | None = None,
        tensorboard: TensorBoard | None = None,
        prefix: str = "",
    ):
        self.path, self.prefix = Path(path), prefix
        self.rows: list[dict[str, float]] = []
        self._draw, self._tensorboard = draw, tensorboard or TensorBoard(None)
        self._drawn = 0  # rows

    def start(self, columns: Collection[str], step: int = 0) -> None:
        """Begins the file with these columns beside "step", or continues it: rows after `step` are removed.

        Raises BadFile, naming the file and the line, if a row up to that step is not as it was written.
        """
        self.rows = read_rows(self.path, columns, step) if step and self.path.exists() else []
        self._drawn = 0
        text = io.StringIO()
        if self.rows:
            rows = csv.writer(text, lineterminator="\n")
            rows.writerows([self.rows[0], *(row.values() for row in self.rows)])
        write_text(self.path, text.getvalue())

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row. Raises OSError, naming the file, if it cannot be written."""
        row = {"step": step, **values}
        with naming(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([row, row.values()] if not self.rows else [row.values()])
        self.rows.append(row)
        self._tensorboard.add_scalars(step, {self.prefix + name: value for name, value in values.items()})

    def draw(self) -> None:
        """Writes the figure, if there are rows that it does not show."""
        if self._draw and len(self.rows) > self._drawn:
            columns = {name: [row[name] for row in self.rows] for name in self.rows[0]}
            self._draw(columns.pop("step"), columns)
            self._drawn = len(self.rows)


def read_rows(path: Path, columns: Collection[str], up_to_step: int) -> list[dict[str, float]]:
    """The rows of a file that `Recorder` wrote, up to a step. Raises BadFile for anything that it does not write."""
    *lines, _ = path.read_bytes().split(b"\n")  # a line without an end was cut by a kill
    rows: list[dict[str, float]] = []
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            (values,) = csv.reader([line.decode("utf-8")], strict=True)
            if not names:
                if values[:1] != ["step"] or sorted(values[1:]) != sorted(columns):
                    raise ValueError(f"the columns are not step, {', '.join(columns)}")
                names = values
                continue
            if len(values) != len(names):
                raise ValueError(f"{len(values)} values for {len(names)} columns")
            step = int(values[0])
            if step > up_to_step:
                break  # written after the checkpoint, and about to be written again
            if step <= (rows[-1]["step"] if rows else 0):
                raise ValueError("the steps do not rise")
            rows.append({"step": step, **dict(zip(names[1:], map(float, values[1:]), strict=True))})
        except (ValueError, csv.Error) as error:
            raise BadFile(
                f"{path}, line {number}: damaged ({error}); restore the file as the run wrote it, or move it away to "
                "resume without its rows"
            ) from error
    return rows
