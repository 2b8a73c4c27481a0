"""python -m tests.training.soak --kills=200: kills a run again and again with kill -9, then compares its results.

The tests call `compare` with a few kills. Every kill but the last comes at a random moment of a tiny run: in a
step, in a checkpoint, in a picture, in a measurement. The last one comes after the last checkpoint.
"""

import argparse
import hashlib
import random
import tempfile
import time
import zipfile
from pathlib import Path

from tests import loaded

ROOT = Path(__file__).parents[2]
LIMIT = 600  # seconds for a run that nothing happens to
FLAGS = [
    "--preset=quick", "--width=2", "--image_size=16", "--batch_size=4", "--sample_count=4", "--steps=600",
    "--checkpoint_every=20", "--sample_every=50", "--measure_every=100", "--measure_samples=50", "--log_every=7",
    "--precision=float32", "--deterministic", "--augment=color,translation",
]  # fmt: skip


def compare(folder: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """Runs once without and once with kills; raises AssertionError, naming the file, where the results differ.

    Returns how many kills hit the run, and how many files were compared.
    """
    whole, killed = folder / "whole", folder / "killed"
    assert start(whole).wait(LIMIT) == 0, "the whole run failed"
    chance = random.Random(seed)
    hits = 0
    while True:
        process = start(killed, *["--resume"] * (killed / "config.json").exists())
        if hits < kills:
            # A run that has begun its steps is hit after a random moment; one that starts up, sometimes too. The last
            # kill comes right after the last checkpoint, where the networks and the last picture are yet to be written.
            before, last = last_step(killed), hits == kills - 1
            end = killed / "checkpoints" / "step-600.json"
            deadline = time.monotonic() + LIMIT
            while process.poll() is None and not (
                end.exists() if last else chance.random() < 0.02 or last_step(killed) != before
            ):
                assert time.monotonic() < deadline, f"stands still: see {killed}.log"
                time.sleep(0.005 if last else 0.1)
            time.sleep(chance.uniform(0, 0.2 if last else 0.6))
            process.kill()
        code = process.wait(LIMIT)
        if code == 0:
            break
        assert code == -9, f"exit code {code}: see {killed}.log"
        hits += 1
    expected, found = results(whole), results(killed)
    differing = [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    assert not differing, f"{', '.join(differing)}: missing, left over or different after {hits} kills"
    return {"kills": hits, "files": len(expected)}


def start(folder: Path, *flags: str) -> loaded.Command:
    """Starts the tiny run with more flags; what it writes is added to a file beside its folder."""
    arguments, log = [*FLAGS, f"--run_dir={folder}", *flags], folder.with_suffix(".log")
    return loaded.Command("keras_dcgan.fit", arguments, ROOT, log, log)


def last_step(folder: Path) -> str:
    """The last row of the history, or nothing."""
    history = folder / "history.csv"
    return history.read_text()[-200:].rsplit("\n", 2)[-2:][0] if history.exists() else ""


def results(folder: Path) -> dict[str, str]:
    """The digest of each file of a run, by its name in the folder; of files that describe one start, only the name."""
    found = {}
    for path in folder.rglob("*"):
        of_one_start = path.name in (".lock", "config.json") or "checkpoints" in path.parts
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = "" if of_one_start else digest(path)
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a result; of a .keras file that of the weights, whose archive holds the time of writing."""
    if path.suffix != ".keras":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    import h5py

    found = hashlib.sha256()
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as weights, h5py.File(weights) as file:

        def add(name, item):
            if isinstance(item, h5py.Dataset):
                found.update(name.encode() + item[()].tobytes())

        file.visititems(add)
    return found.hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        total = {"kills": 0, "files": 0, "runs": 0}
        while total["kills"] < given.kills:
            (Path(name) / str(total["runs"])).mkdir()
            done = compare(
                Path(name) / str(total["runs"]), min(10, given.kills - total["kills"]), given.seed + total["runs"]
            )
            total = {
                "kills": total["kills"] + done["kills"],
                "files": total["files"] + done["files"],
                "runs": total["runs"] + 1,
            }
            print(f"{total['kills']} kills survived in {total['runs']} runs, {total['files']} files equal", flush=True)
