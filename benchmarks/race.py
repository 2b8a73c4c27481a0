"""python -m benchmarks.race: who draws good digits first? We and other people's DCGANs, in turns on one machine.

  python -m benchmarks.race --out=/tmp/race --pytorch_python=/path/to/its/python
  python -m benchmarks.race --out=/tmp/race            prints the tables, and draws the figure, of a race that is there

All train on MNIST at 64x64x1. Every contender is a process of its own. It trains until its clock is at the next
multiple of --every, draws --samples images, and holds still while the others have their turns, so that all of them
have the same machine. Let it do nothing else: threads of PyTorch that wait for each other suffer most from a busy one.
The clock has the training steps alone: not the start, compiling, or drawing. When the race is over, one judge scores
all images: the features of our MNIST classifier. A race that was stopped is scored as far as it came; to race again,
give another folder.

In --out: race.json with all figures, race.png, and samples/ with the images that were scored (4 kB each).
"""

import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import train_step
from benchmarks.train_step import SETTLE, Contender
from keras_dcgan.datasets import load_images
from keras_dcgan.tools.files import atomic_path, write_text

FLAGS = flags.FLAGS
IMAGES = {"image_size": 64, "channels": 1}
EXAMPLE = {"width": 64, "batch_size": 32, "latent_dim": 128, "shuffle": "epoch", "precision": "float32"}

# From PyTorch's example to the default of `fit` one thing changes at a time: the step (the MXNet tutorial's recipe is
# the example's, but for the scales of batch normalisation), then the recipe with its width, then labels.
CONTENDERS: dict[str, dict[str, Any]] = {
    "pytorch": {"title": "PyTorch's DCGAN example, its best mode"},
    "keras": {"title": "Keras's DCGAN example", "kind": "keras_example", "preset": "tutorial", "overrides": EXAMPLE},
    "keras_method": {
        "title": "the method of Keras's example, networks of PyTorch's", "kind": "keras_io",
        "preset": "tutorial", "overrides": {"width": 64, "shuffle": "epoch", "precision": "auto"},
    },
    "our_step": {
        "title": "our step, the MXNet tutorial's recipe, width 64",
        "preset": "tutorial", "overrides": {"width": 64, "shuffle": "epoch", "precision": "auto"},
    },
    "ours_without_labels": {"title": "ours, without labels", "preset": "quick", "overrides": {"labels": "off"}},
    "ours": {"title": "ours", "preset": "quick", "overrides": {}},
}  # fmt: skip
OURS = ("our_step", "ours_without_labels", "ours")
DEFAULT = ("pytorch", "keras", *OURS)


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_string("out", "runs/race", "folder of the race")
    flags.DEFINE_list("contenders", list(DEFAULT), f"who races: {', '.join(CONTENDERS)}")
    flags.register_validator(
        "contenders", lambda names: names and not set(names) - {*CONTENDERS}, f"known: {', '.join(CONTENDERS)}"
    )
    flags.DEFINE_float("minutes", 10.0, "training time of each contender", lower_bound=0.0)
    flags.DEFINE_float("every", 30.0, "seconds of training between drawings", lower_bound=0.01)
    flags.DEFINE_integer("samples", 2000, "images drawn each time", lower_bound=16, upper_bound=35_000)
    flags.DEFINE_integer("width", 0, "filters beside the image, for everybody; 0: each its own", lower_bound=0)
    flags.DEFINE_list("pytorch_modes", [], "modes of PyTorch that are tried; by default all that suit the machine")
    flags.DEFINE_string("pytorch_python", sys.executable, "Python that has PyTorch")


def main(_) -> None:
    """Races, unless the folder has a race already; then scores what was drawn, and shows it."""
    out = Path(FLAGS.out)
    if not (out / "race.json").exists():
        (out / "samples").mkdir(parents=True, exist_ok=True)
        race(out)
    report = score(out)
    print(table(report))
    draw(out / "race.png", report)


def race(out: Path) -> None:
    """Lets all contenders train in turns; writes their images, and race.json after each turn."""
    contenders = {name: start(name, out) for name in FLAGS.contenders}
    report: dict[str, Any] = {"minutes": FLAGS.minutes, "every": FLAGS.every, "samples": FLAGS.samples}
    report["contenders"] = {
        name: {"title": CONTENDERS[name]["title"], "about": contender.about, "rows": []}
        for name, contender in contenders.items()
    }
    seconds, steps = dict.fromkeys(contenders, 0.0), dict.fromkeys(contenders, 0)
    for i in range(1, max(1, round(60 * FLAGS.minutes / FLAGS.every)) + 1):
        for name, contender in list(contenders.items()):
            time.sleep(SETTLE)
            file = f"samples/{name}-{i:04d}.npy"
            try:
                turn = contender.ask(f"train {max(0.0, i * FLAGS.every - seconds[name])}")
                contender.ask(f"draw {FLAGS.samples} {(out / file).resolve()}")
            except (RuntimeError, OSError) as error:
                print(f"{name}: out of the race: {error}", flush=True)
                del contenders[name]
                continue
            seconds[name] += turn["seconds"]
            steps[name] += turn["steps"]
            row = {"seconds": seconds[name], "steps": steps[name], "file": file}
            report["contenders"][name]["rows"].append(row)
            print(f"{name}: {steps[name]:,} steps in {seconds[name]:.0f} s", flush=True)
            write_text(out / "race.json", json.dumps(report, indent=2) + "\n")
    for contender in contenders.values():
        contender.close()


def start(name: str, out: Path) -> Contender:
    """A contender that is ready to train."""
    width = {"width": FLAGS.width} if FLAGS.width else {}
    if name == "pytorch":
        file = (out / "images.npy").resolve()
        np.save(file, load_images("mnist"))
        settings = {"width": 64, "batch_size": 64, "data": str(file), **IMAGES, **width}
        return train_step.pytorch(settings, FLAGS.pytorch_python, FLAGS.pytorch_modes, steps=0)[0]
    settings = {"kind": "ours", "data": "mnist", "count_flops": False, **CONTENDERS[name]}
    settings["overrides"] = IMAGES | settings["overrides"] | width
    return Contender(name, "benchmarks.contenders", settings)


def score(out: Path) -> dict[str, Any]:
    """Scores the images that have no score yet, and writes race.json after each; returns what it holds."""
    report = json.loads((out / "race.json").read_text(encoding="utf-8"))
    rows = [row for contender in report["contenders"].values() for row in contender["rows"]]
    unscored = [row for row in rows if "coverage" not in row]
    if not unscored:
        return report
    from keras_dcgan.metrics import frechet_distance, precision_recall_density_coverage
    from keras_dcgan.metrics.features import load_extractor
    from keras_dcgan.pipeline import as_generated

    extractor, images = load_extractor("mnist"), load_images("mnist")
    chosen = np.random.default_rng(0).permutation(len(images))[: 2 * report["samples"]]
    reals, others = np.split(extractor(as_generated(images[chosen], **IMAGES)), 2)

    def judge(features: np.ndarray) -> dict[str, float]:
        coverage = precision_recall_density_coverage(reals, features)["coverage"]
        return {"frechet_distance": frechet_distance(reals, features), "coverage": coverage}

    report["real"] = judge(others)
    for row in unscored:
        row |= judge(extractor(np.load(out / row["file"])))
        write_text(out / "race.json", json.dumps(report, indent=2) + "\n")
    return report


def table(report: dict[str, Any]) -> str:
    """The distances over the time, the best of each contender, and how soon ours were as good, as Markdown.

    A fraction is the share of the contender's whole time in which ours drew as well as it ever did.
    """
    contenders = {name: of for name, of in report["contenders"].items() if of["rows"]}
    lines = [
        f"Fréchet distance (coverage) of {report['samples']:,} images; of real ones {show(report['real'])}",
        "",
        "| seconds | " + " | ".join(contenders) + " |",
        "|---" * (1 + len(contenders)) + "|",
    ]
    for turn in itertools.zip_longest(*(of["rows"] for of in contenders.values())):
        seconds = statistics.median(row["seconds"] for row in turn if row)
        lines.append(f"| {seconds:.0f} | " + " | ".join(show(row) if row else "" for row in turn) + " |")
    ours = [name for name in OURS if name in contenders]
    heads = ["contender", "steps", "its best", "after", *(f"{name} is as good after" for name in ours)]
    lines += ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for of in contenders.values():
        best = min(of["rows"], key=lambda row: row["frechet_distance"])
        cells = [of["title"], f"{of['rows'][-1]['steps']:,}", show(best), f"{best['seconds']:.0f} s"]
        for name in ours:
            seconds = time_to_reach(best["frechet_distance"], contenders[name]["rows"])
            cells.append(f"{seconds:.0f} s (1/{of['rows'][-1]['seconds'] / seconds:.1f})" if seconds else "not reached")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def show(row: dict[str, float]) -> str:
    """A score in a cell of the table."""
    return f"{row['frechet_distance']:.3g} ({row['coverage']:.2f})"


def time_to_reach(distance: float, rows: list[dict[str, Any]]) -> float | None:
    """The seconds of the first row that is as good; None if no row is. It may have been so good some time before."""
    return next((row["seconds"] for row in rows if row["frechet_distance"] <= distance), None)


def draw(path: Path, report: dict[str, Any]) -> None:
    """Draws the distances over the minutes, a line for each contender, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, of in report["contenders"].items():
        minutes = [row["seconds"] / 60 for row in of["rows"]]
        distances = [row["frechet_distance"] for row in of["rows"]]
        axes.plot(minutes, distances, marker=".", linestyle="-" if name in OURS else "--", label=of["title"])
    axes.axhline(report["real"]["frechet_distance"], linestyle=":", color="grey", label="real images")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(left=0)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("Fréchet distance to real digits (lower is better)")
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    define_flags()
    app.run(main)
