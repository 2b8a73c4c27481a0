"""Checkpoints of a run: everything that training depends on, verified before it is used."""

import json
import os
import re
import shutil
from pathlib import Path

import tensorflow as tf
from absl import logging

from keras_dcgan.config import TrainConfig
from keras_dcgan.gan import DCGAN
from keras_dcgan.runs import CONFIG, changes_results
from keras_dcgan.tools.files import BadFile, sha256, write_text

NONE_YET = "none-yet"  # a file that is there until the first checkpoint: "none yet" is not "deleted"


class Checkpoints:
    """The last few checkpoints of a run, in a folder of their own.

    A checkpoint is TensorFlow's own (networks, both optimizers, the average, and the step, which with the seed is
    all that random numbers depend on) and `step-N.json`, which holds the run's settings and the SHA-256 of the
    checkpoint's files. It is written last: without it there is no checkpoint.

    Args:
      folder: where they are.
      gan: the compiled model, whose optimizers are built.
      config: the run's settings.
      keep: how many are kept.

    Examples:
      >>> from keras_dcgan.training.loop import build
      >>> config = TrainConfig(width=1, image_size=16)
      >>> checkpoints = Checkpoints(Path("checkpoints"), build(config), config)
      >>> checkpoints.save()
      >>> checkpoints.steps()
      [0]
    """

    def __init__(self, folder: Path, gan: DCGAN, config: TrainConfig, keep: int = 3):
        self.folder, self.gan, self.config, self.keep = Path(folder), gan, config, keep
        self._checkpoint = tf.train.Checkpoint(gan=gan)

    def begin(self) -> None:
        """Makes the folder and marks it as one that has no checkpoint yet."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / NONE_YET).touch()

    def were_deleted(self) -> bool:
        """Whether there is no checkpoint although the run had one."""
        return not self.steps() and not (self.folder / NONE_YET).exists()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, first to last, sound or not."""
        names = [path.stem.removeprefix("step-") for path in self.folder.glob("step-*.json")]
        return sorted(int(name) for name in names if name.isdigit())

    def save(self) -> None:
        """Writes a checkpoint of this step, then removes the oldest ones. Raises OSError if that fails."""
        step = int(self.gan.steps_done.numpy())
        self.folder.mkdir(exist_ok=True)
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.WARNING)  # hides TensorFlow's note on the time that sharding took
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
            digests[path.name] = sha256(path)
        about = {"step": step, "sha256": digests, "settings": self.config.to_dict()}
        write_text(self.folder / f"step-{step}.json", json.dumps(about, indent=2) + "\n")
        (self.folder / NONE_YET).unlink(missing_ok=True)
        for old in self.steps()[: -self.keep]:
            self._remove(old)

    def restore(self) -> int:
        """Restores the newest sound checkpoint and returns its step; 0, changing nothing, if there is none.

        Raises BadFile if there are some but none is sound, or if it was made with other settings or networks.
        """
        steps = self.steps()
        for step in reversed(steps):
            if problem := self._problem(step):
                if step == steps[0]:
                    raise BadFile(
                        f"{self.folder}: no checkpoint is sound; that of step {step}: {problem}. Restore them from a "
                        "copy, or begin a new run in another folder"
                    )
                logging.warning("checkpoint of step %d: %s; using the one before it", step, problem)
                continue
            self._check_settings(step)
            try:
                self._checkpoint.read(str(self.folder / f"step-{step}")).assert_consumed()
            except (ValueError, AssertionError, tf.errors.OpError) as error:
                raise BadFile(
                    f"{self.folder / f'step-{step}'}: this checkpoint holds other networks than those of {CONFIG}; "
                    f"restore {CONFIG} as the run wrote it"
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
            about = json.loads((self.folder / f"step-{step}.json").read_text())
            digests, _ = about["sha256"], dict(about["settings"])
            if set(digests) != {path.name for path in self._files(step)} or not digests:
                return "a file is missing"
            changed = [name for name, digest in digests.items() if sha256(self.folder / name) != digest]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return f"step-{step}.json cannot be read ({error})"
        return f"{changed[0]} was cut or altered" if changed else None

    def _check_settings(self, step: int) -> None:
        """Raises BadFile if config.json was changed by hand in a setting that decides the results."""
        trained = json.loads((self.folder / f"step-{step}.json").read_text())["settings"]
        for name, value in self.config.to_dict().items():
            if changes_results(name, trained.get(name), value):
                raise BadFile(
                    f"{self.folder.parent / CONFIG}: says {name}={value}, but this run was trained with "
                    f"{name}={trained.get(name)}; put that back, or begin a new run"
                )

    def _files(self, step: int) -> list[Path]:
        return sorted(self.folder.glob(f"step-{step}.index")) + sorted(self.folder.glob(f"step-{step}.data-*"))

    def _remove(self, step: int) -> None:
        for path in [self.folder / f"step-{step}.json", *self._files(step)]:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / f"step-{step}_temp", ignore_errors=True)  # TensorFlow's, of a write that failed
