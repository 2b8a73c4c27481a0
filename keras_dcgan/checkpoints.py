"""Checkpoints of a run: everything that training depends on, verified before it is believed."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from absl import logging

from keras_dcgan.files import DamagedFile, write_text

if TYPE_CHECKING:
    from keras_dcgan.gan import DCGAN


class Checkpoints:
    """The last few checkpoints of a run, in a folder of their own.

    A checkpoint is TensorFlow's own (networks, both optimizers, the average, and the step, which with the seed is
    all that random numbers depend on) and `step-N.json`, which holds the SHA-256 of its files and is written last:
    without it there is none.

    Args:
      folder: where they lie; made when the first is written.
      gan: the compiled model, whose optimizers are built.
      keep: how many are kept.
    """

    def __init__(self, folder: Path, gan: "DCGAN", keep: int = 3):
        self.folder, self.gan, self.keep = Path(folder), gan, keep
        self._checkpoint = tf.train.Checkpoint(gan=gan)

    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, first to last; whether they are sound is not looked at."""
        names = [path.stem.removeprefix("step-") for path in self.folder.glob("step-*.json")]
        return sorted(int(name) for name in names if name.isdigit())

    def save(self) -> None:
        """Writes a checkpoint of this step, then removes the oldest ones. Raises OSError where that fails."""
        step = int(self.gan.steps_done.numpy())
        self.folder.mkdir(exist_ok=True)
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.WARNING)  # TensorFlow tells how long its sharding took
        try:
            self._checkpoint.write(str(self.folder / f"step-{step}"))
        except tf.errors.OpError as error:  # TensorFlow's names for a full disk, a missing permission and so on
            self._remove(step)
            reason = (error.message or str(error)).split(";")[-1].split("[")[0].strip()
            raise OSError(f"{self.folder}: the checkpoint of step {step} cannot be written: {reason}") from error
        finally:
            logging.set_verbosity(verbosity)
        digests = {}
        for path in self._files(step):
            with path.open("rb") as file:
                os.fsync(file.fileno())  # a power cut must not leave the digests without what they vouch for
            digests[path.name] = _sha256(path)
        write_text(self.folder / f"step-{step}.json", json.dumps({"step": step, "sha256": digests}, indent=2) + "\n")
        for old in self.steps()[: -self.keep]:
            self._remove(old)

    def restore(self) -> int:
        """Brings back the newest sound checkpoint and returns its step; 0, changing nothing, where there is none.

        Raises DamagedFile where there are some and none is sound, or where it is of other networks than these.
        """
        steps = self.steps()
        for step in reversed(steps):
            if problem := self._problem(step):
                if step == steps[0]:
                    raise DamagedFile(
                        f"{self.folder}: no checkpoint is sound; that of step {step}: {problem}. Put them back, or "
                        "remove them all to begin again"
                    )
                logging.warning("checkpoint of step %d: %s; the one before it is used", step, problem)
                continue
            try:
                self._checkpoint.read(str(self.folder / f"step-{step}")).assert_consumed()
            except (ValueError, AssertionError, tf.errors.OpError) as error:
                raise DamagedFile(
                    f"{self.folder / f'step-{step}'}: the checkpoint of step {step} holds other networks than "
                    "config.json tells of; put config.json back as the run wrote it"
                ) from error
            return step
        return 0

    def clear(self) -> None:
        """Removes what a killed writer left: files of a checkpoint without its `.json`, and TensorFlow's own."""
        steps = set(self.steps())
        for path in self.folder.glob("step-*"):
            found = re.fullmatch(r"step-(\d+)(_temp|\.index|\.data-.*)", path.name)
            if found and int(found[1]) not in steps:
                self._remove(int(found[1]))

    def _problem(self, step: int) -> str | None:
        """What is wrong with a checkpoint, by its checksums, or None."""
        try:
            digests = json.loads((self.folder / f"step-{step}.json").read_text())["sha256"]
            if set(digests) != {path.name for path in self._files(step)} or not digests:
                return "a file is missing"
            changed = [name for name, digest in digests.items() if _sha256(self.folder / name) != digest]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return f"step-{step}.json cannot be read ({error})"
        return f"{changed[0]} was cut or altered" if changed else None

    def _files(self, step: int) -> list[Path]:
        return sorted(self.folder.glob(f"step-{step}.index")) + sorted(self.folder.glob(f"step-{step}.data-*"))

    def _remove(self, step: int) -> None:
        for path in [self.folder / f"step-{step}.json", *self._files(step)]:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / f"step-{step}_temp", ignore_errors=True)  # TensorFlow's, of a write that failed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
