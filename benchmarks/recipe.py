"""python -m benchmarks.recipe: trains variations of the recipe and measures what each part of it buys.

  python -m benchmarks.recipe --out=/tmp/recipe --rows=default,no_r1 --seeds=0,1 --jobs=2
  python -m benchmarks.recipe --out=/tmp/recipe            prints the table of all runs that are there

Every run is a run folder of its own under --out; one that is finished is not trained again. With --jobs=2 and
--threads=1 two runs share a two-core machine, which is faster than one after the other.
"""

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from absl import app, flags

from keras_dcgan.config import from_preset
from keras_dcgan.tools.files import write_text

FLAGS = flags.FLAGS

# Each row changes something in the preset `quick` without labels and augmentation; `+` joins rows, as in
# labels+augment. Flags set steps, width and data set for all rows.
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "labels": {"labels": "on"},
    "projection": {"labels": "on"},  # and the networks of `benchmarks.conditioning`, as in the next row
    "conditional_bn": {"labels": "on"},
    "augment": {"augment": "color,translation"},
    "translation": {"augment": "translation"},
    "augment_all": {"augment": "color,translation,cutout"},
    "mirror": {"mirror": True},
    "native": {"image_size": 32},
    "paired": {},  # the discriminators of `benchmarks.backbones`: this one, and the next
    "plain": {},
    "half_discriminator": {},  # of `benchmarks.smaller`; so is the next row, after a training at 32 pixels
    "grown": {},
    "transposed": {"upsampling": "transposed"},
    "relativistic": {},  # the loss of `benchmarks.relativistic`
    "no_r1": {"r1_weight": 0.0},
    "r1_every_step": {"r1_every": 1},
    "r1_every_8": {"r1_every": 8},
    "r1_weight_0.01": {"r1_weight": 0.01},
    "r1_weight_0.1": {"r1_weight": 0.1},
    "r1_weight_0.3": {"r1_weight": 0.3},
    "r1_weight_1": {"r1_weight": 1.0},
    "r1_weight_3": {"r1_weight": 3.0},
    "r1_weight_10": {"r1_weight": 10.0},
    "rates_2e-4": {"generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4},
    "rates_4e-4": {"generator_learning_rate": 4e-4, "discriminator_learning_rate": 4e-4},
    "rates_16e-4": {"generator_learning_rate": 1.6e-3, "discriminator_learning_rate": 1.6e-3},
    "batch_16": {"batch_size": 16},
    "batch_64": {"batch_size": 64},
    "beta_2_0.999": {"beta_2": 0.999},
    "half_life_30000": {"ema_half_life": 30_000.0},
    "half_life_5_percent": {"ema_half_life": 1e9},  # at most so much of what was seen, whatever the setting
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "mixed_bfloat16"},  # as `benchmarks.rounding` computes it; so is the next row
    "bfloat16_winograd": {"precision": "mixed_bfloat16"},
    "three_channels": {"channels": 3},
    "tutorial_recipe": {
        "channels": 3, "r1_weight": 0.0, "ema_half_life": 0.0, "beta_2": 0.999, "upsampling": "transposed",
        "shuffle": "once", "precision": "float32",
        "generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4,
    },
}  # fmt: skip


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_string("out", "runs/recipe", "folder of the run folders")
    flags.DEFINE_list("rows", [], f"which variations to train, joined by + or alone: {', '.join(ROWS)}")
    flags.register_validator(
        "rows", lambda rows: not set("+".join(rows).split("+")) - {*ROWS, ""}, f"unknown row; known: {', '.join(ROWS)}"
    )
    flags.DEFINE_list("seeds", ["0"], "seeds of each row")
    flags.DEFINE_list("widths", ["32"], "widths of each row")
    flags.DEFINE_string("dataset", "mnist", "what to train on")
    flags.DEFINE_integer("steps", 0, "length of every run; 0: the preset's")
    flags.DEFINE_integer("samples", 10_000, "generated images that are measured")
    flags.DEFINE_boolean(
        "all_generators", False, "also measure the weights as trained, and their average with their statistics"
    )
    flags.DEFINE_integer("jobs", 1, "runs at once")
    flags.DEFINE_integer("threads", 0, "threads of each run; 0: TensorFlow's choice")
    flags.DEFINE_string("one", "", "trains one row in this process (used by the program itself)")


def main(_) -> int:
    """Trains what is missing, each run in its own process, then prints the table; 1 where a run failed."""
    out = Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    if FLAGS.one:
        run_one(out, json.loads(FLAGS.one))
        return 0
    wanted = [
        {"row": row, "seed": int(seed), "width": int(width), "dataset": FLAGS.dataset, "steps": FLAGS.steps}
        for row in FLAGS.rows
        for width in FLAGS.widths
        for seed in FLAGS.seeds
    ]
    with ThreadPoolExecutor(FLAGS.jobs) as pool:
        done = list(pool.map(lambda run: start(out, run), wanted))
    print(table(out))
    return 0 if all(done) else 1


def start(out: Path, run: dict[str, Any]) -> bool:
    """Trains and measures a run in a process of its own, unless it is done; whether that went well."""
    name = run_name(run)
    if (out / name / "result.json").exists():
        return True
    environment = dict(os.environ)
    if FLAGS.threads:
        environment |= {name: str(FLAGS.threads) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
    command = [sys.executable, "-m", "benchmarks.recipe", f"--out={out}", f"--samples={FLAGS.samples}"]
    command += ["--all_generators"] if FLAGS.all_generators else []
    with (out / f"{name}.log").open("w") as log:
        done = subprocess.run([*command, f"--one={json.dumps(run)}"], stdout=log, stderr=log, env=environment)
    print(f"{name}: {'done' if done.returncode == 0 else 'FAILED, see its .log'}", flush=True)
    return done.returncode == 0


def run_name(run: dict[str, Any]) -> str:
    """The name of a run's folder."""
    steps = f"-{run['steps']}" if run["steps"] else ""
    return f"{Path(run['dataset']).name}-{run['row']}-w{run['width']}{steps}-s{run['seed']}"


def run_one(out: Path, run: dict[str, Any]) -> None:
    """Trains one run and writes its `result.json`: the figures of each generator that the run has."""
    from benchmarks import backbones, conditioning, relativistic, rounding, smaller
    from keras_dcgan import networks
    from keras_dcgan.datasets import source
    from keras_dcgan.metrics import report
    from keras_dcgan.training import distribution, loop

    rows = run["row"].split("+")
    overrides = {name: value for row in rows for name, value in ROWS[row].items()}
    overrides |= {"seed": run["seed"], "width": run["width"], "dataset": run["dataset"]}
    if run["steps"]:
        overrides["steps"] = run["steps"]
    config = from_preset(
        "quick", {"sample_every": 0, "measure_every": 0, "labels": "off", "augment": "off", **overrides}
    )
    builders = conditioning.BUILDERS | backbones.BUILDERS | smaller.BUILDERS
    for row in set(rows) & set(builders):
        loop.build_generator, loop.build_discriminator = builders[row]  # type: ignore[assignment]
    if "relativistic" in rows:
        distribution.DCGAN = relativistic.RelativisticDCGAN  # type: ignore[misc]
    if {"bfloat16", "bfloat16_winograd"} & set(rows):
        rounding.round_as_amx("bfloat16_winograd" in rows)
    if "grown" in rows:
        first = dataclasses.replace(
            config, image_size=32, width=2 * config.width, steps=round(smaller.STEPS * config.steps)
        )
        small, build = loop.train(first, out / f"{run_name(run)}-at-32").gan, loop.build
        loop.build = lambda *options, **more: smaller.grow(small, build(*options, **more))
    gan = loop.train(config, out / run_name(run)).gan
    data = source.open_data(config, with_labels=True)

    def measure(generator) -> dict[str, Any]:
        return report.evaluate(generator, data, FLAGS.samples, seed=0, with_picture=False)[0]

    averaged = gan.averaged is not gan.generator
    figures = {"averaged, recomputed": measure(gan.averaged)} if averaged else {}
    if FLAGS.all_generators or not averaged:
        figures["raw"] = measure(networks.float32_copy(gan.generator))
    if FLAGS.all_generators and averaged:
        for stale, layer in zip(gan.generator.layers, gan.averaged.layers, strict=True):
            if hasattr(layer, "moving_mean"):
                layer.moving_mean.assign(stale.moving_mean)
                layer.moving_variance.assign(stale.moving_variance)
        figures["averaged"] = measure(gan.averaged)
    write_text(out / run_name(run) / "result.json", json.dumps(run | {"figures": figures}, indent=2) + "\n")


def table(out: Path) -> str:
    """All finished runs under a folder as a Markdown table."""
    lines = [
        "| data set | row | width | seed | generator | Fréchet distance (real) | precision | recall "
        "| coverage (real) | classes |",
        "|---" * 10 + "|",
    ]
    for path in sorted(out.glob("*/result.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        for name, found in run["figures"].items():
            fake, real = found["generated"], found["real"]
            distance = found["classes"]["total_variation"] if "classes" in found else float("nan")
            lines.append(
                f"| {Path(run['dataset']).name} | {run['row']} | {run['width']} | {run['seed']} | {name} "
                f"| {fake['frechet_distance']:.1f} ({real['frechet_distance']:.2f}) | {fake['precision']:.2f} "
                f"| {fake['recall']:.2f} | {fake['coverage']:.2f} ({real['coverage']:.2f}) | {distance:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    define_flags()
    app.run(main)
