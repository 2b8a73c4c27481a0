"""Keras callbacks that a run is watched by: sample grids, loss history, a text line for logs, a last step."""

import csv
import time
from pathlib import Path

import keras
import numpy as np
from absl import logging

from keras_dcgan import images


class StepCounter(keras.callbacks.Callback):
    """Base of callbacks that act every so many steps: keeps `self.step`, the steps done in this run."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self._last_batch = -1

    def on_epoch_begin(self, epoch, logs=None):
        self._last_batch = -1

    def on_train_batch_end(self, batch, logs=None):
        before = self.step
        self.step += batch - self._last_batch  # more than one with steps_per_execution
        self._last_batch = batch
        self.on_steps(before, logs or {})

    def on_steps(self, before: int, logs: dict) -> None:
        """Called after each execution; `before` is the step count before it."""

    def reached(self, before: int, every: int) -> bool:
        """Whether a multiple of `every` lies in the steps just done; never for 0."""
        return every > 0 and self.step // every > before // every


class SampleGrid(StepCounter):
    """Writes `samples/step_000500.png`, fakes beside reals, every so many steps and at the end; `latest.png` too.

    Args:
      folder: where the pictures go.
      latents: float32 [N, Z], the same for every picture.
      reals: uint8 [N, S, S, C], shown on the right.
      every: steps between pictures; 0: only at the end.
      tensorboard: folder of an event file for the same pictures, or None.
    """

    def __init__(
        self, folder: Path, latents: np.ndarray, reals: np.ndarray, every: int, tensorboard: Path | None = None
    ):
        super().__init__()
        self.folder, self.latents, self.reals, self.every = Path(folder), latents, reals, every
        self._written_at = 0
        self._writer = _summary_writer(tensorboard) if tensorboard else None

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.write()

    def on_train_end(self, logs=None):
        self.write()
        if self._writer:
            self._writer.close()

    def write(self) -> None:
        """Draws and writes the picture of this step, once."""
        if self._written_at == self.step:
            return
        self._written_at = self.step
        fakes = images.to_uint8(self.model.generator.predict(self.latents, batch_size=64, verbose=0))
        picture = images.beside(fakes, self.reals)
        for name in (f"step_{self.step:06d}.png", "latest.png"):
            images.write_image(self.folder / name, picture)
        if self._writer:
            import tensorflow as tf

            with self._writer.as_default():
                tf.summary.image("samples", images.make_grid(fakes)[np.newaxis], step=self.step)


class RunHistory(StepCounter):
    """Writes a row of this step's losses to `history.csv` every so many steps, and draws them all as `losses.png`.

    The figure is drawn every `figure_every` steps (the steps of an epoch, say; 0: never) and at the end. With a
    `tensorboard` folder the same values go there as scalars. Raises FloatingPointError at the first row whose losses
    are not finite.
    """

    def __init__(self, folder: Path, every: int = 10, figure_every: int = 0, tensorboard: Path | None = None):
        super().__init__()
        self.folder, self.every, self.figure_every = Path(folder), every, figure_every
        self.rows: list[dict[str, float]] = []
        self._writer = _summary_writer(tensorboard) if tensorboard else None

    def on_train_begin(self, logs=None):
        self._file = (self.folder / "history.csv").open("w", newline="", encoding="utf-8")

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.add_row(logs)
        if self.reached(before, self.figure_every):
            self.draw()

    def add_row(self, logs: dict) -> None:
        """Adds this step's values to the file."""
        row = {"step": self.step, **logs}
        if not np.isfinite(list(logs.values())).all():
            raise FloatingPointError(f"step {self.step}: a loss is not finite: {logs}")
        csv_writer = csv.DictWriter(self._file, row)
        if not self.rows:
            csv_writer.writeheader()
        csv_writer.writerow(row)
        self._file.flush()  # readable while the run goes on, whole rows only
        self.rows.append(row)
        if self._writer:
            import tensorflow as tf

            with self._writer.as_default():
                for name, value in logs.items():
                    tf.summary.scalar(name, value, step=self.step)

    def draw(self) -> None:
        """Writes `losses.png`, once there is a row."""
        if self.rows:
            values = {name: [row[name] for row in self.rows] for name in self.rows[0]}
            images.write_loss_figure(self.folder / "losses.png", values.pop("step"), values)

    def on_train_end(self, logs=None):
        self._file.close()
        self.draw()
        if self._writer:
            self._writer.close()


class TextProgress(StepCounter):
    """A line of losses, rate and time left about every 5 % of the run: what a log file can hold of a progress bar."""

    def __init__(self, total_steps: int):
        super().__init__()
        self.total_steps = total_steps
        self._every = max(1, total_steps // 20)

    def on_train_begin(self, logs=None):
        self._rate_from: tuple[int, float] | None = None

    def on_steps(self, before, logs):
        if self._rate_from is None:  # after the first execution, which traces and compiles
            self._rate_from = (self.step, time.monotonic())
        if self.reached(before, self._every) and self.step > self._rate_from[0]:
            rate = (self.step - self._rate_from[0]) / (time.monotonic() - self._rate_from[1])
            left = (self.total_steps - self.step) / rate
            losses = "  ".join(f"{name} {value:.3f}" for name, value in logs.items())
            logging.info(
                "step %d/%d  %s  %.2f steps/s  %s left", self.step, self.total_steps, losses, rate, _clock(left)
            )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _summary_writer(folder: Path):
    import tensorflow as tf

    return tf.summary.create_file_writer(str(folder))
