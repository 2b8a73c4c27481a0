"""Keras callbacks that protect a run: checkpoints, signals, losses that are not finite, an alarm for a collapse."""

import os
import signal
import time
from collections.abc import Callable

import numpy as np
from absl import logging

from keras_dcgan import images
from keras_dcgan.callbacks import StepCounter, check_finite, check_weights


class Checkpointing(StepCounter):
    """Calls `save` every so many steps or minutes, after the last one and where a run is stopped; `keep` at the end.

    Put it behind the callbacks that write tables, so that a checkpoint never knows of a row that is not on disk. The
    end is saved in the last step already and not in `on_train_end`: whoever ends the process a little later finds
    everything there, and what the other callbacks draw at the end is drawn again by a resumed run.

    Args:
      save: writes a checkpoint.
      every: steps between checkpoints; 0: none by steps.
      total_steps: the run's last step.
      keep: writes the networks themselves.
      minutes: between the end of a checkpoint and the next one, beside `every`; 0: none by time.

    Raises FloatingPointError where a loss or a weight is not finite, before it saves.
    """

    def __init__(
        self, save: Callable[[], None], every: int, total_steps: int, keep: Callable[[], None], minutes: float = 0
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
            check_finite(self.step, self._logs)  # or the last good checkpoint would be pushed out by bad ones
            check_weights(self.step, self.model)
            self.save()
            self._saved_at, self._saved_time = self.step, time.monotonic()
        if (self.step >= self.total_steps or self.model.stop_training) and self._kept_at != self.step:
            self.keep()
            self._kept_at = self.step


class StopOnSignal(StepCounter):
    """Ends training after the step in hand on SIGINT or SIGTERM; a second signal acts as if this were not here.

    `received` is the signal's number, or None. Put it behind all others, which may take their time at the end.

    Args:
      total_steps: the run's last step.
    """

    def __init__(self, total_steps: int) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.received: int | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def _stop(self, number, frame) -> None:
        self.received = number
        self.model.stop_training = True
        self._give_back()
        step = self.step + self.model.steps_per_execution
        what = f"step {step}" if step <= self.total_steps else "what is being written"
        # Not by `logging` or `print`: the signal may have come in the middle of either.
        os.write(2, f"{signal.Signals(number).name}: finishing {what}; again to stop at once\n".encode())

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_end(self, logs=None):
        self._give_back()


class StopTogether(StopOnSignal):
    """The same for several workers: a signal to any of them ends all at the same step, within `every` steps.

    Args:
      total_steps: the run's last step.
      gather: takes a list of integers and returns every worker's; called in all workers at the same steps.
      every: steps between looks at what the others received.
    """

    def __init__(self, total_steps: int, gather: Callable[[list[int]], np.ndarray], every: int = 10) -> None:
        super().__init__(total_steps)
        self.gather, self.every = gather, every

    def _stop(self, number, frame) -> None:
        self.received = number
        self._give_back()

    def on_steps(self, before, logs):
        if self.reached(before, self.every) and (number := int(self.gather([self.received or 0]).max())):
            self.received = number
            self.model.stop_training = True


class CollapseAlarm(StepCounter):
    """Says so, once, when the discriminator has won and the samples no longer differ from each other.

    Args:
      latents: float32 [N, Z] for the samples that are looked at.
      reals: uint8 [N, S, S, C] whose spread (the standard deviation over the images, averaged over the pixels) is
        what the samples' spread is compared with.
      every: steps between looks at the loss; three in a row below `LOSS` make it look at samples.
    """

    LOSS = 0.05  # nats; a healthy run stays above 0.2
    SPREAD = 0.5  # of the reals'

    def __init__(self, latents: np.ndarray, reals: np.ndarray, every: int = 50):
        super().__init__()
        self.latents, self.every = latents, every
        self.least_spread = self.SPREAD * _spread(reals)
        self.raised = False
        self._low = 0

    def on_steps(self, before, logs):
        if self.raised or not self.reached(before, self.every):
            return
        self._low = self._low + 1 if float(logs["d_loss"]) < self.LOSS else 0
        if self._low < 3:
            return
        spread = _spread(images.to_uint8(self.model.generator.predict(self.latents, batch_size=64, verbose=0)))
        if spread < self.least_spread:
            self.raised = True
            logging.warning(
                "step %d: the run has collapsed: the discriminator's loss stays below %s and the samples' spread is "
                "%.0f of 255 levels (less than half the reals'). Try a larger --r1_weight, or lower learning rates.",
                self.step, self.LOSS, spread,
            )  # fmt: skip


def _spread(pictures: np.ndarray) -> float:
    return float(np.std(pictures.astype(np.float32), axis=0).mean())
