"""Which of several workers this process is, from the environment alone: TensorFlow is not loaded."""

import dataclasses
import json
import os
from collections.abc import Mapping

TF_CONFIG = "TF_CONFIG"
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")


@dataclasses.dataclass(frozen=True)
class Member:
    """One of `count` workers. The chief, whose index is 0, alone writes; `source` says who told: TF_CONFIG or Slurm."""

    index: int = 0
    count: int = 1
    source: str = ""

    @property
    def chief(self) -> bool:
        """Whether this process writes what a run leaves."""
        return self.index == 0


def member(environment: Mapping[str, str] = os.environ) -> Member:
    """This process's place among the workers of `--distribute=multiworker`.

    TF_CONFIG is read where it is set, as TensorFlow's guide writes it: {"cluster": {"worker": ["host:port", ...]},
    "task": {"type": "worker", "index": 0}}, with or without a "chief" job; else the variables of a Slurm job step.
    Raises ValueError, naming the flag, where there is neither or where they make no sense.
    """
    if environment.get(TF_CONFIG):
        return _from_tf_config(environment[TF_CONFIG])
    if all(name in environment for name in SLURM):
        try:
            found = Member(int(environment[SLURM[0]]), int(environment[SLURM[1]]), "Slurm")
        except ValueError:
            raise ValueError(f"--distribute=multiworker: {SLURM[0]} or {SLURM[1]} is no number") from None
        return _checked(found)
    raise ValueError(
        "--distribute=multiworker: neither TF_CONFIG nor a Slurm job step (srun) tells of other workers; "
        "see docs/scaling.md"
    )


def _from_tf_config(text: str) -> Member:
    try:
        told = json.loads(text)
        jobs, task = told["cluster"], told["task"]
        kind, index = task["type"], int(task["index"])
        chiefs, workers = len(jobs.get("chief", [])), len(jobs.get("worker", []))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--distribute=multiworker: TF_CONFIG cannot be read: {error!r}") from None
    if kind not in ("chief", "worker") or set(jobs) - {"chief", "worker"}:
        raise ValueError("--distribute=multiworker: TF_CONFIG may name the jobs 'chief' and 'worker' alone")
    if not 0 <= index < (chiefs if kind == "chief" else workers):
        raise ValueError(f"--distribute=multiworker: TF_CONFIG has no address for its own task, {kind} {index}")
    return _checked(Member(index + (chiefs if kind == "worker" else 0), chiefs + workers, TF_CONFIG))


def _checked(found: Member) -> Member:
    if not 0 <= found.index < found.count:
        raise ValueError(f"--distribute=multiworker: {found.source} says worker {found.index} of {found.count}")
    return found
