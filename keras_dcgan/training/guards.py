"""Keras callbacks that protect a run: checkpoints, signals, losses that are not finite, an alarm for a collapse."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from keras_dcgan.generators import draw_images
from keras_dcgan.networks import Inputs
from keras_dcgan.training.callbacks import StepCounter, check_finite, check_weights


class Checkpointing(StepCounter):
    """Calls `save` every so many steps or minutes, after the last step and when a run is stopped; `keep` at the end.

    Put it behind the callbacks that write rows, so that a checkpoint never counts a row that is not on disk. The end
    is saved in the last step and not in `on_train_end`: a process that is killed a little later has everything on disk,
    and a resumed run draws again what the other callbacks draw at the end.

    Args:
      save: writes a checkpoint.
      every: steps between checkpoints; 0: none by steps.
      total_steps: the run's last step.
      keep: writes the networks themselves.
      minutes: between the end of a checkpoint and the next one, beside `every`; 0: none by time.

    Raises FloatingPointError, before it saves, if a loss or a weight is not finite.
    """

    def __init__(
        self, save: Callable[[], object], every: int, total_steps: int, keep: Callable[[], object], minutes: float = 0
    ):
        super().__init__()
        self.save, self.every, self.total_steps, self.keep, self.minutes = save, every, total_steps, keep, minutes
        self._saved_at = self._kept_at = -1
        self._saved_time = 0.0
        self._logs: dict = {}

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._saved_at, self._saved_time = self.step, time.monotonic()
        if self.step >= self.total_steps:  # a resumed run that was killed after its last checkpoint
            self._save()

    def on_steps(self, before, logs):
        self._logs = logs
        due = self.minutes and time.monotonic() - self._saved_time >= 60 * self.minutes
        if due or self.reached(before, self.every) or self.step >= self.total_steps or self.model.stop_training:
            self._save()

    def on_train_end(self, logs=None):
        self._save()

    def _save(self) -> None:
        if self._saved_at != self.step:
            check_finite(self.step, self._logs)  # or bad checkpoints would push out the last good one
            check_weights(self.step, self.model)
            self.save()
            self._saved_at, self._saved_time = self.step, time.monotonic()
        ended = self.step >= self.total_steps or self.model.stop_training or self.model.finished
        if ended and self._kept_at != self.step:
            self.keep()
            self._kept_at = self.step


class StopOnSignal(StepCounter):
    """Ends training after the current step on SIGINT or SIGTERM, or if the model is `finished`.

    A second signal has its usual effect. `received` is the signal's number, or None. Put it behind all other callbacks,
    whose end may take some time.

    Args:
      total_steps: the run's last step.
    """

    def __init__(self, total_steps: int) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_steps(self, before, logs):
        if self.model.finished:
            self.model.stop_training = True

    def _stop(self, number, frame) -> None:
        self.received = number
        self.model.stop_training = True
        self.restore_handlers()
        step = self.step + self.model.steps_per_execution
        what = f"step {step}" if step <= self.total_steps else "the files being written"
        # Not by `logging` or `print`: the signal may have come in the middle of either.
        os.write(2, f"{signal.Signals(number).name}: finishing {what}; again to stop at once\n".encode())

    def restore_handlers(self) -> None:
        """Gives both signals the handlers that they had before training; Keras calls nothing after an exception."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_end(self, logs=None):
        self.restore_handlers()


class CollapseAlarm(StepCounter):
    """Warns, once, when the discriminator has won and the samples no longer differ from each other.

    Args:
      inputs: what the generator draws for a check: latents float32 [N, Z], or with labels.
      reals: uint8 [N, S, S, C]; the samples' spread (the standard deviation over the images, averaged over the pixels)
        is compared with theirs.
      every: steps between checks of the loss; three in a row below `LOSS` lead to a check of the samples.
    """

    LOSS = 0.05  # nats; a healthy run stays above 0.2
    SPREAD = 0.5  # of the reals'

    def __init__(self, inputs: Inputs, reals: np.ndarray, every: int = 50):
        super().__init__()
        self.inputs, self.every = inputs, every
        self.least_spread = self.SPREAD * _spread(reals)
        self.raised = False
        self._low = 0

    def on_steps(self, before, logs):
        if self.raised or not self.reached(before, self.every):
            return
        self._low = self._low + 1 if float(logs["d_loss"]) < self.LOSS else 0
        if self._low < 3:
            return
        spread = _spread(draw_images(self.model.generator, self.inputs))
        if spread < self.least_spread:
            self.raised = True
            logging.warning(
                "step %d: the run has collapsed: the discriminator's loss stays below %s and the samples' spread is "
                "%.0f of 255 levels (less than half the reals'). Try a larger r1_weight, or lower learning rates: "
                "docs/troubleshooting.md.",
                self.step, self.LOSS, spread,
            )  # fmt: skip


def _spread(images: np.ndarray) -> float:
    return float(np.std(images.astype(np.float32), axis=0).mean())
