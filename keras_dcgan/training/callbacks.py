"""Keras callbacks that show a run: sample grids, losses, progress. `guards` has those that protect it."""

import time
from pathlib import Path

import keras
import numpy as np
from absl import logging

from keras_dcgan.generators import draw_images
from keras_dcgan.networks import Inputs
from keras_dcgan.tools import draw
from keras_dcgan.training.recorder import Recorder, TensorBoard

WHAT_TO_DO = (
    "the checkpoints and generators before it are kept. Try lower learning rates, a larger r1_weight, or "
    "precision=float32"
)


class CallbackList(keras.callbacks.CallbackList):
    """The callbacks of a run of one epoch, which get the values of a step as they are: tensors.

    Keras's own list makes numbers of all values after each step. A GPU would then have to end every step before it gets
    the next one.

    Args:
      callbacks: those of the run.
      model: what is trained.
      steps: the length of the epoch.
      every: steps between the values that the progress bar gets.
      shown: whether there is a progress bar.
    """

    def __init__(
        self, callbacks: "list[StepCounter]", model: keras.Model, steps: int, every: int = 10, shown: bool = False
    ):
        super().__init__(
            callbacks, add_history=True, add_progbar=shown, model=model, verbose=int(shown), epochs=1, steps=steps
        )
        self.every, self._due = every, 0

    def on_train_batch_end(self, batch, logs=None):
        logs = logs or {}
        for callback in self.callbacks:
            if isinstance(callback, keras.callbacks.ProgbarLogger):
                due = batch >= self._due
                callback.on_train_batch_end(batch, {name: float(value) for name, value in logs.items()} if due else {})
                self._due = batch + self.every if due else self._due
            else:
                callback.on_train_batch_end(batch, logs)


class StepCounter(keras.callbacks.Callback):
    """Base of callbacks that act every so many steps: keeps `self.step`, the steps done since the run began.

    A resumed run counts on from the model's `steps_done`. The count is kept here and read from the model once an epoch,
    because reading a variable at each step would make a GPU wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self._last_batch = -1

    def on_train_begin(self, logs=None):
        self.step = int(self.model.steps_done.numpy())

    def on_epoch_begin(self, epoch, logs=None):
        self.step = int(self.model.steps_done.numpy())  # an epoch need not be a multiple of steps_per_execution
        self._last_batch = -1

    def on_train_batch_end(self, batch, logs=None):
        before = self.step
        self.step += batch - self._last_batch  # more than one with steps_per_execution
        self._last_batch = batch
        self.on_steps(before, logs or {})

    def on_steps(self, before: int, logs: dict) -> None:
        """Called after each execution; `before` is the step count before it."""

    @property
    def interrupted(self) -> bool:
        """Whether training is about to stop, or has stopped, before the run was at its end."""
        return self.model.stop_training and not self.model.finished

    def reached(self, before: int, every: int) -> bool:
        """Whether a multiple of `every` lies in the steps just done; never for 0."""
        return every > 0 and self.step // every > before // every


def check_finite(step: int, logs: dict) -> None:
    """Raises FloatingPointError, saying where and what to try, if a value is not finite."""
    bad = [name for name, value in logs.items() if not np.isfinite(float(value))]
    if bad:
        raise FloatingPointError(f"step {step}: {', '.join(bad)} not finite; {WHAT_TO_DO}")


def check_weights(step: int, model: keras.Model) -> None:
    """Raises FloatingPointError if a weight is not finite: its last update may have broken it after the losses."""
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise FloatingPointError(f"step {step}: the weights {weight.path} are not finite; {WHAT_TO_DO}")


class SampleGrid(StepCounter):
    """Writes `samples/step_000500.png`, fakes beside reals, every so many steps and at the end; `latest.png` too.

    A run that is stopped gets no picture: it is not at its end, and would have one more than a run without the stop.

    Args:
      folder: where the pictures go, made if it is missing; its parent must exist.
      inputs: what the generator draws, the same for every picture: latents float32 [N, Z], or with labels.
      reals: uint8 [N, S, S, C], shown on the right.
      every: steps between pictures; 0: only at the end.
      columns: images in a row; by default the grid is as square as it can be.
      tensorboard: gets the fakes.
      aspect: width / height in which both are shown; see `draw.stretch`.

    Examples:
      >>> from keras_dcgan.config import TrainConfig
      >>> from keras_dcgan.training.loop import build
      >>> gan = build(TrainConfig(width=1, image_size=16))
      >>> gan.run_eagerly = True  # for a single step this is quicker
      >>> latents, reals = np.zeros((4, 100), np.float32), np.zeros((4, 16, 16, 3), np.uint8)
      >>> grid = SampleGrid(Path("samples"), latents, reals, every=1)
      >>> history = gan.fit(np.zeros((2, 16, 16, 3), np.float32), callbacks=[grid], verbose=0)
      >>> sorted(path.name for path in Path("samples").iterdir())
      ['latest.png', 'step_000001.png']
    """

    def __init__(
        self,
        folder: Path,
        inputs: Inputs,
        reals: np.ndarray,
        every: int,
        columns: int | None = None,
        tensorboard: TensorBoard | None = None,
        aspect: float = 1.0,
    ):
        super().__init__()
        self.folder, self.inputs, self.reals, self.every, self.columns = Path(folder), inputs, reals, every, columns
        self.aspect = aspect
        self._tensorboard = tensorboard or TensorBoard(None)
        self._written_at = -1

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.folder.mkdir(exist_ok=True)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.write()

    def on_train_end(self, logs=None):
        if not self.interrupted:
            self.write()

    def write(self) -> None:
        """Draws and writes the picture of this step, once."""
        if self._written_at == self.step:
            return
        self._written_at = self.step
        self.model.refresh_averaged()
        fakes = draw.stretch(draw_images(self.model.averaged, self.inputs), self.aspect)
        picture = draw.beside(fakes, draw.stretch(self.reals, self.aspect), self.columns)
        for name in (f"step_{self.step:06d}.png", "latest.png"):
            draw.write_image(self.folder / name, picture)
        self._tensorboard.add_image(self.step, "samples", draw.make_grid(fakes, self.columns))


class LossHistory(StepCounter):
    """Records the losses of a step every so many steps: `history.csv` and `losses.png`.

    Raises FloatingPointError at the first row whose losses are not finite.

    Args:
      recorder: of the file and the figure.
      every: steps between rows.
      figure_every: steps between drawings of the figure, such as the steps of an epoch; 0: only at the end.
    """

    def __init__(self, recorder: Recorder, every: int = 10, figure_every: int = 0):
        super().__init__()
        self.recorder, self.every, self.figure_every = recorder, every, figure_every

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.recorder.start([metric.name for metric in self.model.metrics], self.step)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            values = {name: float(value) for name, value in logs.items()}
            check_finite(self.step, values)
            self.recorder.add(self.step, values)
        if self.reached(before, self.figure_every):
            self.recorder.draw()

    def on_train_end(self, logs=None):
        self.recorder.draw()


class TextProgress(StepCounter):
    """Logs losses, rate and time left about every 5 % of the run: a progress bar for log files."""

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
