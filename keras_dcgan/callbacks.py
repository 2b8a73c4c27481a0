"""Keras callbacks that show a run: sample grids, loss history, tables, progress. `guards` has those that protect it."""

import time
from pathlib import Path

import keras
import numpy as np
from absl import logging

from keras_dcgan import images
from keras_dcgan.tables import Table


class StepCounter(keras.callbacks.Callback):
    """Base of callbacks that act every so many steps: keeps `self.step`, the steps done since the run began.

    A resumed run goes on counting from the model's `steps_done`. Counting is done here and not read from the model,
    because reading a variable each step would make a GPU wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self._last_batch = -1

    def on_train_begin(self, logs=None):
        self.step = int(self.model.steps_done.numpy())

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


def check_finite(step: int, logs: dict) -> None:
    """Raises FloatingPointError, saying where and what to try, where a value is not finite."""
    bad = [name for name, value in logs.items() if not np.isfinite(float(value))]
    if bad:
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)} not finite; the checkpoints and generators before it are kept. "
            "Try lower learning rates, a larger --r1_weight, or --precision=float32"
        )


def check_weights(step: int, model: keras.Model) -> None:
    """Raises FloatingPointError where a weight is not finite: its last update may have broken it after the losses."""
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise FloatingPointError(
                f"step {step}: the weights {weight.path} are not finite; the checkpoints and generators before it are "
                "kept. Try lower learning rates, a larger --r1_weight, or --precision=float32"
            )


class SampleGrid(StepCounter):
    """Writes `samples/step_000500.png`, fakes beside reals, every so many steps and at the end; `latest.png` too.

    A run that is stopped gets no picture: it is not at its end, and would have one more than a run left alone.

    Args:
      folder: where the pictures go, made where it is missing; its parent must be there.
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
        self._written_at = -1
        self._writer = summary_writer(tensorboard) if tensorboard else None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.folder.mkdir(exist_ok=True)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.write()

    def on_train_end(self, logs=None):
        if not self.model.stop_training:
            self.write()
        if self._writer:
            self._writer.close()

    def write(self) -> None:
        """Draws and writes the picture of this step, once."""
        if self._written_at == self.step:
            return
        self._written_at = self.step
        self.model.refresh_averaged()
        fakes = images.to_uint8(self.model.averaged.predict(self.latents, batch_size=64, verbose=0))
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
        self._writer = summary_writer(tensorboard) if tensorboard else None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.table = Table(self.folder / "history.csv", [metric.name for metric in self.model.metrics], self.step)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.add_row({name: float(value) for name, value in logs.items()})
        if self.reached(before, self.figure_every):
            self.draw()

    def add_row(self, values: dict[str, float]) -> None:
        """Adds this step's values to the file."""
        check_finite(self.step, values)
        self.table.add({"step": self.step, **values})
        if self._writer:
            import tensorflow as tf

            with self._writer.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=self.step)

    def draw(self) -> None:
        """Writes `losses.png`, once there is a row."""
        if values := self.table.columns():
            images.write_loss_figure(self.folder / "losses.png", values.pop("step"), values)

    def on_train_end(self, logs=None):
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
        super().on_train_begin(logs)
        self._rate_from: tuple[int, float] | None = None

    def on_steps(self, before, logs):
        if self._rate_from is None:  # after the first execution, which traces and compiles
            self._rate_from = (self.step, time.monotonic())
        if self.reached(before, self._every) and self.step > self._rate_from[0]:
            rate = (self.step - self._rate_from[0]) / (time.monotonic() - self._rate_from[1])
            left = _clock((self.total_steps - self.step) / rate)
            losses = "  ".join(f"{name} {float(value):.3f}" for name, value in logs.items())
            logging.info("step %d/%d  %s  %.2f steps/s  %s left", self.step, self.total_steps, losses, rate, left)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def summary_writer(folder: Path):
    """TensorBoard's event file in a folder."""
    import tensorflow as tf

    return tf.summary.create_file_writer(str(folder))
