"""python -m benchmarks.train_step: the training step beside its peers, in one run, taking turns.

  python -m benchmarks.train_step --width=128 --peers=pytorch,keras_io --json=step.json --figure=step.png
  python -m benchmarks.train_step --width=32 --peers=pytorch --pytorch_python=/path/to/its/python

Every contender runs in a process of its own and holds still while another one has its turn; machines differ and are
busy, so what counts are the ratios within a round.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import WITHOUT_DATA
from keras_dcgan.tools.files import atomic_path, write_text

FLAGS = flags.FLAGS
DEFAULTS = {"jit_compile": "auto", "layers": "auto", "data": "repeat"}
SETTLE = 0.3  # seconds between turns: threads of the last one spin for a while


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_integer("width", 128, "filters beside the image")
    flags.DEFINE_integer("batch_size", 64, "images per step")
    flags.DEFINE_integer("image_size", 64, "height and width")
    flags.DEFINE_integer("channels", 3, "1 or 3")
    flags.DEFINE_enum(
        "recipe",
        "tutorial",
        ["tutorial", "stable"],
        "the MXNet tutorial's step, or ours with R1 and the moving average",
    )
    flags.DEFINE_list(
        "data", ["repeat"], "one batch, repeated, or a data set's name, fed as in a run; mnist:cpu: not from the GPU"
    )
    flags.DEFINE_list(
        "layers", ["auto"], "layers of our step: auto, as in a run; ours, also where convolutions are left to cuDNN; "
        "keras, Keras's own",
    )  # fmt: skip
    flags.DEFINE_list("precisions", ["float32", "mixed_bfloat16"], "dtype policies of our step")
    flags.DEFINE_list("jit_compile", ["auto"], "XLA modes of our step: auto, on, off")
    flags.DEFINE_list("peers", [], "pytorch, in the best of its modes on this machine; keras_io, Keras's own example")
    flags.DEFINE_list("pytorch_modes", [], "modes of PyTorch that are tried; by default all that suit the machine")
    flags.DEFINE_string("pytorch_python", sys.executable, "Python that has PyTorch")
    flags.DEFINE_integer("rounds", 5, "turns of each contender")
    flags.DEFINE_integer("steps", 0, "steps of a turn; 0: some two seconds of them")
    flags.DEFINE_string("json", "", "file for all figures")
    flags.DEFINE_string("figure", "", "file for a figure")


class Contender:
    """A process that runs steps on demand."""

    def __init__(self, name: str, module: str, settings: dict[str, Any], python: str = sys.executable):
        self.name = name
        self.process = subprocess.Popen(
            [python, "-m", module, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._answer()
        self.turns: list[dict[str, Any]] = []

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        raise RuntimeError(f"{self.name}: ended early, see above")

    def ask(self, request: str) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        assert self.process.stdin
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def ours(kind: str, precision: str, count_flops: bool = False, **choices: str) -> Contender:
    """Our step, or Keras's example on the same networks; the choices are those of `DEFAULTS`."""
    choices = DEFAULTS | choices
    stable = FLAGS.recipe == "stable"
    overrides = {name: FLAGS[name].value for name in ("width", "batch_size", "image_size", "channels")}
    overrides |= {**WITHOUT_DATA, "precision": precision, "jit_compile": choices["jit_compile"], "labels": "off"}
    overrides |= {"r1_weight": 1.0 if stable else 0.0}
    overrides |= {} if choices["data"] == "repeat" else {"dataset": choices["data"].removesuffix(":cpu")}
    settings: dict[str, Any] = {"kind": kind, "preset": "quick" if stable else "tutorial", "overrides": overrides}
    settings |= {"data": choices["data"], "layers": choices["layers"], "count_flops": count_flops}
    words = {"jit_compile": "XLA {}", "layers": "layers: {}", "data": "{}"}
    chosen = [words[name].format(value) for name, value in choices.items() if value != DEFAULTS[name]]
    return Contender(", ".join([f"{kind} {precision}", *chosen]), "benchmarks.contenders", settings)


def pytorch(settings: dict[str, Any], python: str, modes: list[str], steps: int) -> tuple[Contender, dict[str, float]]:
    """PyTorch in its best mode on this machine, and the seconds of a step in each mode.

    Args:
      settings: `width`, `batch_size`, `image_size` and `channels`; `data` is a .npy file of images or "repeat", which
        is what the modes are tried on.
      python: a Python that has PyTorch.
      modes: what is tried; by default all that suit the machine.
      steps: of a turn; 0: some two seconds of them.
    """
    probe = "import torch; print(torch.cuda.is_available())"
    found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    if found.returncode:
        raise SystemExit("error: pytorch: no PyTorch; see requirements-benchmarks.txt and --pytorch_python")

    def start(mode: str, data: str) -> Contender:
        about = settings | {"mode": mode, "data": data}
        return Contender(f"pytorch {mode}", "benchmarks.pytorch_dcgan", about, python)

    default = ["channels_last", "compile", "bfloat16", "bfloat16_compile"]
    graphs = ["cuda_graph", "bfloat16_cuda_graph", "bfloat16_compile_cuda_graph"]
    default += graphs if "True" in found.stdout else ["eager"]
    seconds = {}
    for mode in modes or default:
        try:
            tried = start(mode, "repeat")
            count = turn_length(tried, steps)
            seconds[mode] = min(tried.ask(f"steps {count}")["seconds"] / count for _ in range(3))
        except (RuntimeError, OSError):  # it has ended, and said why
            print(f"pytorch {mode}: failed", flush=True)
            continue
        tried.close()
        print(f"pytorch {mode}: {seconds[mode]:.4f} s a step", flush=True)
    if not seconds:
        raise SystemExit("error: pytorch: no mode works here, see above")
    return start(min(seconds, key=seconds.__getitem__), settings["data"]), seconds


def turn_length(contender: Contender, steps: int) -> int:
    """How many steps make up a turn; by default some two seconds of them."""
    return steps or max(1, round(2.0 / contender.ask("steps 1")["seconds"]))


def main(_) -> None:
    """Runs all contenders in turns and prints the table."""
    contenders: list[Contender] = []
    modes: dict[str, float] = {}
    if "pytorch" in FLAGS.peers:
        settings = {name: FLAGS[name].value for name in ("width", "batch_size", "image_size", "channels")}
        best, modes = pytorch(settings | {"data": "repeat"}, FLAGS.pytorch_python, FLAGS.pytorch_modes, FLAGS.steps)
        contenders.append(best)
    for precision in FLAGS.precisions:
        for choices in itertools.product(FLAGS.jit_compile, FLAGS.layers, FLAGS.data):
            first = not any(c.about.get("flops") for c in contenders)
            contenders.append(ours("ours", precision, first, **dict(zip(DEFAULTS, choices, strict=True))))
        if "keras_io" in FLAGS.peers:
            contenders.append(ours("keras_io", precision))
    counts = {contender.name: turn_length(contender, FLAGS.steps) for contender in contenders}
    for _ in range(FLAGS.rounds):
        for contender in contenders:
            time.sleep(SETTLE)
            count = counts[contender.name]
            turn = contender.ask(f"steps {count}")
            turn["seconds"] /= count
            time.sleep(SETTLE)
            contender.turns.append(contender.ask("peak") | turn)
    report = summarise(contenders) | {"pytorch_modes": modes}
    names = ("width", "batch_size", "image_size", "channels", "recipe")
    report["settings"] = {name: FLAGS[name].value for name in names}
    for contender in contenders:
        contender.close()
    print(table(report))
    if FLAGS.json:
        write_text(FLAGS.json, json.dumps(report, indent=2) + "\n")
    if FLAGS.figure:
        draw(FLAGS.figure, report)


def summarise(contenders: list[Contender]) -> dict[str, Any]:
    """The figures of each contender; ratios are taken within rounds, against the first contender that is ours."""
    reference = next(contender for contender in contenders if contender.name.startswith("ours"))
    flops = reference.about["flops"]
    rows = []
    for contender in contenders:
        seconds = [turn["seconds"] for turn in contender.turns]
        ratios = sorted(turn["seconds"] / base for turn, base in zip(reference.turns, seconds, strict=True))
        peak = max(turn["flops_per_second"] for turn in contender.turns)
        rows.append(
            {
                "name": contender.name,
                "seconds_per_step": statistics.median(seconds),
                "speed": statistics.median(ratios),
                "speed_range": [ratios[0], ratios[-1]],
                "matmul_flops_per_second": peak,
                "share_of_peak": flops / statistics.median(seconds) / peak,
                "peak_memory": max(turn["peak_memory"] for turn in contender.turns),
                "rounds": contender.turns,
                **contender.about,
            }
        )
    return {
        "reference": reference.name,
        "flops_per_step": flops,
        "hlo_flops": reference.about["hlo_flops"],
        "rows": rows,
    }


def table(report: dict[str, Any]) -> str:
    """The figures as Markdown; absolute times only where they mean something, on a GPU."""
    on_gpu = any("device" in row for row in report["rows"])
    lines = [
        f"{report['flops_per_step'] / 1e9:.1f} GFLOP a step, counted from the layers; in XLA's program "
        f"{report['hlo_flops'] / 1e9:.1f}.",
        "",
        f"| step | speed, {report['reference']} = 1 (range over rounds) | share of the matrix product's peak | memory |"
        + (" ms a step | images/s |" if on_gpu else ""),
        "|---|---|---|---|" + ("---|---|" if on_gpu else ""),
    ]
    for row in report["rows"]:
        low, high = row["speed_range"]
        line = (
            f"| {row['name']} | {row['speed']:.2f} ({low:.2f} to {high:.2f}) | {row['share_of_peak']:.0%} "
            f"| {row['peak_memory'] / 2**30:.1f} GiB |"
        )
        if on_gpu:
            rate = report["settings"]["batch_size"] / row["seconds_per_step"]
            line += f" {row['seconds_per_step'] * 1e3:.2f} | {rate:,.0f} |"
        lines.append(line)
    return "\n".join(lines)


def draw(path: str | Path, report: dict[str, Any]) -> None:
    """Draws the speeds with their ranges as PNG."""
    from matplotlib.figure import Figure

    rows = sorted(report["rows"], key=lambda row: row["speed"])
    figure = Figure(figsize=(8, 1 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if row["name"].startswith("ours") else "lightgrey" for row in rows]
    axes.barh([row["name"] for row in rows], [row["speed"] for row in rows], color=colours)
    for i, row in enumerate(rows):
        axes.plot(row["speed_range"], [i, i], color="black", linewidth=1)
    axes.set_xlabel(f"speed of a training step; {report['reference']} = 1")
    axes.set_title(f"width {report['settings']['width']}, batch {report['settings']['batch_size']}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    define_flags()
    app.run(main)
