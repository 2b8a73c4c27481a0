"""python -m benchmarks.startup: how long --help, the first step and the first picture take.

Each is the time of a whole process from its start, beside `import tensorflow` in the same round. The data set must be
in the cache: run `python -m keras_dcgan.fit` once before.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

from keras_dcgan.tools.files import write_text

FLAGS = flags.FLAGS
POLL = 0.005  # seconds


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_integer("width", 32, "filters beside the image")
    flags.DEFINE_integer("rounds", 3, "how often each is measured")
    flags.DEFINE_string("json", "", "file for all figures")


def process(*arguments: str) -> float:
    """Seconds of a whole Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def first_results(width: int) -> dict[str, float]:
    """Seconds until a run has the first row of its history, and its first picture."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        history, picture = run / "history.csv", run / "samples" / "step_000001.png"
        awaited = {
            "first step": lambda: history.exists() and history.read_text().count("\n") > 1,  # below its header
            "first picture": picture.exists,
        }
        command = [
            sys.executable, "-m", "keras_dcgan.fit", "--preset=quick", f"--width={width}", "--steps=1", "--log_every=1",
            "--sample_every=1", "--checkpoint_every=0", f"--run_dir={run}",
        ]  # fmt: skip
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        training = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(seconds) < len(awaited):
            ended = training.poll() is not None
            for what, done in awaited.items():
                if what not in seconds and done():
                    seconds[what] = time.perf_counter() - started
            if ended and len(seconds) < len(awaited):
                raise SystemExit(f"error: the run ended without {', '.join(set(awaited) - set(seconds))}")
            time.sleep(POLL)
        training.wait()
    return seconds


def main(_) -> None:
    """Measures in turns and prints the table."""
    rounds = []
    for _ in range(FLAGS.rounds):
        found = {
            "import tensorflow": process("-c", "import tensorflow"),
            "--help": process("-m", "keras_dcgan.fit", "--help"),
        }
        rounds.append(found | first_results(FLAGS.width))
    print("| what | seconds | times `import tensorflow` (range over rounds) |\n|---|---|---|")
    for what in rounds[0]:
        ratios = sorted(found[what] / found["import tensorflow"] for found in rounds)
        seconds = statistics.median(found[what] for found in rounds)
        print(f"| {what} | {seconds:.2f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")
    if FLAGS.json:
        write_text(FLAGS.json, json.dumps({"width": FLAGS.width, "rounds": rounds}, indent=2) + "\n")


if __name__ == "__main__":
    define_flags()
    app.run(main)
