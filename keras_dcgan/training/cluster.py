"""Which of several workers this process is, from the environment alone: TensorFlow is not loaded."""

import dataclasses
import json
import os
from collections.abc import Mapping

from keras_dcgan.config import SettingError

MULTIWORKER = "distribute=multiworker"
TF_CONFIG = "TF_CONFIG"
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")


@dataclasses.dataclass(frozen=True)
class Member:
    """One of `count` workers; by default the only one. `source` says where that stands: TF_CONFIG or Slurm."""

    index: int = 0
    count: int = 1
    source: str = ""

    @property
    def chief(self) -> bool:
        """Whether this process, the one with index 0, writes the results; no other does."""
        return self.index == 0


def member(environment: Mapping[str, str] = os.environ) -> Member:
    """This process's place among the workers of `distribute=multiworker`.

    TF_CONFIG is read where it is set, as TensorFlow's guide writes it: {"cluster": {"worker": ["host:port", ...]},
    "task": {"type": "worker", "index": 0}}, with or without a "chief" job; else the variables of a Slurm job step.
    Raises SettingError if there is neither, or if they make no sense.

    Examples:
      >>> workers = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
      >>> member({"TF_CONFIG": workers})
      Member(index=1, count=2, source='TF_CONFIG')
    """
    if environment.get(TF_CONFIG):
        return _from_tf_config(environment[TF_CONFIG])
    if all(name in environment for name in SLURM):
        try:
            found = Member(int(environment[SLURM[0]]), int(environment[SLURM[1]]), "Slurm")
        except ValueError:
            raise SettingError(MULTIWORKER, f"{SLURM[0]} or {SLURM[1]} is not a number") from None
        return _checked(found)
    raise SettingError(
        MULTIWORKER, "neither TF_CONFIG nor a Slurm job step (srun) names the other workers; see docs/scaling.md"
    )


def _from_tf_config(text: str) -> Member:
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        chiefs, workers = len(jobs.get("chief", [])), len(jobs.get("worker", []))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(MULTIWORKER, f"TF_CONFIG cannot be read: {error!r}") from None
    if kind not in ("chief", "worker") or set(jobs) - {"chief", "worker"}:
        raise SettingError(MULTIWORKER, "TF_CONFIG may name only the jobs 'chief' and 'worker'")
    if not 0 <= index < (chiefs if kind == "chief" else workers):
        raise SettingError(MULTIWORKER, f"TF_CONFIG has no address for its own task, {kind} {index}")
    return _checked(Member(index + (chiefs if kind == "worker" else 0), chiefs + workers, TF_CONFIG))


def _checked(found: Member) -> Member:
    if not 0 <= found.index < found.count:
        raise SettingError(MULTIWORKER, f"{found.source} says worker {found.index} of {found.count}")
    return found
