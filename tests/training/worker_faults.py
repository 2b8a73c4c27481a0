"""python -m tests.training.worker_faults: what faults do to a run of two workers, what they say, and what is lost.

  sudo python -m tests.training.worker_faults

The workers have a network of their own, `benchmarks.networks`, with a delay of one millisecond. After every fault the
run is resumed, if it has ended early, and its results are compared with those of a run without a fault.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app

from benchmarks.networks import Link, Network, need_root
from tests.training import soak

FIT = [*soak.FLAGS, "--measure_every=0", "--steps=400", "--distribute=multiworker"]
LIMIT = 900  # seconds for what has to end
NAMES = "chief", "worker"
Workers = list[subprocess.Popen]
Before = dict[str, Sequence[str]]


def kill_worker(network: Network, workers: Workers, folder: Path) -> None:
    """Worker 1 gets SIGKILL."""
    workers[1].kill()


def kill_chief_in_a_write(network: Network, workers: Workers, folder: Path) -> None:
    """The chief gets SIGKILL when the first file of a checkpoint is there, and the last one is not."""
    known = set((folder / "checkpoints").iterdir())
    while not set((folder / "checkpoints").iterdir()) - known:
        time.sleep(0.0005)
    workers[0].kill()


def cut_for_five_seconds(network: Network, workers: Workers, folder: Path) -> None:
    """The cable of worker 1 is cut, and mended after five seconds."""
    network.cut = {1}
    time.sleep(5)
    network.cut = set()


def cut_for_ever(network: Network, workers: Workers, folder: Path) -> None:
    """The cable of worker 1 is cut."""
    network.cut = {1}


def slow_down(network: Network, workers: Workers, folder: Path) -> None:
    """Worker 1 stands still for nine tenths of twenty seconds."""
    for _ in range(20):
        workers[1].send_signal(signal.SIGSTOP)
        time.sleep(0.9)
        workers[1].send_signal(signal.SIGCONT)
        time.sleep(0.1)


def take_the_folder_away(network: Network, workers: Workers, folder: Path) -> None:
    """The run folder has another name; it gets its own back when the workers have ended."""
    folder.rename(folder.with_name("away"))


FAULTS = {
    "a worker is killed": kill_worker,
    "the chief is killed while it writes a checkpoint": kill_chief_in_a_write,
    "a worker's cable is cut for 5 s": cut_for_five_seconds,
    "a worker's cable is cut for ever": cut_for_ever,
    "a worker has a tenth of its speed for 20 s": slow_down,
    "the shared folder is gone": take_the_folder_away,
}


def measure_faults(folder: Path) -> None:
    """Prints what each fault of a run of two workers does, and whether the run, resumed, gives the same bytes.

    At last a worker comes back with other data, and with an older program.
    """
    data, other = folder / "data.npy", folder / "other.npy"
    for seed, path in enumerate((data, other)):
        np.save(path, np.random.default_rng(seed).integers(0, 256, (300, 16, 16, 1), np.uint8))
    older = folder / "older"
    shutil.copytree(soak.ROOT / "keras_dcgan", older / "keras_dcgan")
    about = older / "keras_dcgan" / "__init__.py"
    about.write_text(about.read_text().replace('__version__ = "', '__version__ = "0.0.'))

    def start(run: Path, resume: bool = False, home: Path = soak.ROOT, before: Before | None = None) -> Workers:
        """Starts both workers; `before` has what their commands begin with, by "chief" and "worker"."""
        workers = []
        for index, name in enumerate(NAMES):
            command = [sys.executable, "-m", "keras_dcgan.fit", *FIT, f"--run_dir={run}", f"--dataset={data}"]
            command = [*(before or {}).get(name, ()), *command, *["--resume"] * resume]
            with (folder / f"{name}.log").open("a" if before else "w") as log:
                workers.append(network.start(index, command, stdout=log, stderr=log, cwd=home if index else soak.ROOT))
        return workers

    def begin(run: Path, before: Before | None = None) -> Workers:
        """Starts a run, and returns when it is under way."""
        workers = start(run, before=before)
        while not (run / "checkpoints" / "step-40.json").exists():
            assert all(worker.poll() is None for worker in workers), f"a worker ended: see {folder}"
            time.sleep(0.05)
        return workers

    def wait(workers: Workers) -> list[float]:
        """Seconds until each has ended."""
        began, seconds = time.monotonic(), dict[int, float]()
        while len(seconds) < len(workers) and time.monotonic() < began + LIMIT:
            ended = {index: time.monotonic() - began for index, each in enumerate(workers) if each.poll() is not None}
            seconds = ended | seconds
            time.sleep(0.02)
        for worker in workers:
            worker.kill()  # nothing, if it has ended
        return [seconds.get(index, math.inf) for index in range(len(workers))]

    def results(run: Path) -> list[str]:
        return [soak.digest(run / name) for name in ("history.csv", "generator.keras", "samples/latest.png")]

    def tell(fault: str, workers: Workers, seconds: list[float], run: Path) -> None:
        """Prints the rows of a fault, and resumes the run if it has not come to its end."""
        said = [(folder / f"{name}.log").read_text(errors="replace").splitlines() for name in NAMES]
        if any(worker.returncode for worker in workers):
            wait(start(run, resume=True))
        same = "yes" if results(run) == expected else "NO"
        for name, worker, after, lines in zip(NAMES, workers, seconds, said, strict=True):
            words = next((line for line in reversed(lines) if line.startswith("error: ")), "")
            print(f"| {fault} | {name} | {worker.returncode} | {after:.1f} s | {words} | {same} |", flush=True)

    print("| fault | who | exit code | ended after | what it says | the same bytes |\n|---|---|---|---|---|---|")
    with Network(2, Link(delay=1e-3)) as network:
        whole = folder / "whole"
        wait(start(whole))
        expected = results(whole)
        for number, (fault, act) in enumerate(FAULTS.items()):
            run = folder / f"{number}"
            workers = begin(run)
            act(network, workers, run)
            seconds = wait(workers)
            network.cut = set()
            if not run.exists():
                (folder / "away").rename(run)
            tell(fault, workers, seconds, run)
        run = folder / "restarted"
        again = f'until "$@" $(test -f {run}/config.json && echo --resume); do sleep 1; done'
        workers = begin(run, {name: ["sh", "-c", again, "sh"] for name in NAMES})
        subprocess.run(["pkill", "-KILL", "-P", str(workers[1].pid)], check=True)
        tell("a worker is killed, and whoever ends is started again", workers, wait(workers), run)
        other_data = ["sh", "-c", f'mount --bind {other} {data} && exec "$@"', "sh"]  # nobody else sees it
        changes: dict[str, dict[str, Any]] = {
            "a worker comes back with other data": {"before": {"worker": other_data}},
            "a worker comes back with an older program": {"home": older},
        }
        for fault, changed in changes.items():
            run = folder / fault
            workers = begin(run)
            workers[1].kill()
            wait(workers)
            workers = start(run, resume=True, **changed)
            tell(fault, workers, wait(workers), run)


def main(_) -> None:
    """Prints the table."""
    need_root()
    with tempfile.TemporaryDirectory() as folder:
        measure_faults(Path(folder))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
