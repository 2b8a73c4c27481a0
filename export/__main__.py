"""python -m export: writes a run's generator as SavedModel, `.tflite` and ONNX files, and checks each of them."""

import importlib.util
from pathlib import Path

from absl import flags

from keras_dcgan import cli, runs
from keras_dcgan.tools import terminal

from . import verify

USAGE = """
Writes a trained generator as a SavedModel, as .tflite files for phones, browsers and small computers and, on request,
as ONNX, with a model card, a contact sheet and checksums. It runs each file, compares it with Keras and removes a file
that fails; the exit code is then 1. python -m export.sampler draws from a file.

  python -m export --run_dir=runs/mnist --out=exported/
  python -m export --run_dir=runs/mnist --out=exported/ --formats=float32,int8,onnx
  python -m export --verify_only --out=exported/
"""
PACKAGES = {"ai_edge_litert": "ai-edge-litert", "ai_edge_quantizer": "ai-edge-quantizer"}
ONNX_PACKAGES = {name: name for name in ("onnx", "onnxruntime", "tf2onnx")}
FEWEST_SAMPLES = 200  # a Fréchet distance of fewer is mostly noise


def define_flags(given: cli.Given) -> None:
    """The flags of this command."""
    cli.define_generator(given, default="best if the run has one, else last")
    cli.define_path(given, "out", "the folder to write; it replaces an earlier export there")
    flags.DEFINE_string(
        "formats", ",".join(verify.DEFAULT_FORMATS),
        f"what to write, with commas between them: some of {', '.join(verify.FILES)}", flag_values=given,
    )  # fmt: skip
    flags.DEFINE_integer(
        "samples", 2000, "pictures for the Fréchet distance of each file; 0: do not measure it", lower_bound=0,
        flag_values=given,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "verify_only", False, "check the files in --out again: their checksums and all measurements", flag_values=given
    )


@cli.with_local_run
def main(given: cli.Given) -> None:
    """Exports a generator, or checks an export again."""
    if not given.out:
        raise cli.UserError("give --out=FOLDER, the folder of the exported files")
    if given.verify_only:
        _refuse_other_flags(given)
        _fail_with(verify.check_again(Path(given.out)))
        return
    formats = [name.strip() for name in given.formats.split(",")]
    if unknown := [name for name in formats if name not in verify.FILES]:
        raise cli.UserError(f"--formats={unknown[0]}: must be among {', '.join(verify.FILES)}")
    if 0 < given.samples < FEWEST_SAMPLES:
        raise cli.UserError(f"--samples={given.samples}: must be 0 or at least {FEWEST_SAMPLES}")
    source = cli.generator_file(given, default=_default(given.run_dir))
    packages = PACKAGES | (ONNX_PACKAGES if verify.ONNX in formats else {})
    if missing := [name for module, name in packages.items() if importlib.util.find_spec(module) is None]:
        raise cli.UserError(f"the export needs {' and '.join(missing)}; run: pip install {' '.join(missing)}")

    _import_tensorflow()
    from . import build

    _fail_with(build.export(source, Path(given.out), [name for name in verify.FILES if name in formats], given.samples))


def _default(run_dir: str | None) -> str:
    """The generator of a run folder that is exported unless --which names another."""
    return "best" if run_dir and (Path(run_dir) / runs.GENERATORS["best"]).is_file() else "last"


def _refuse_other_flags(given: cli.Given) -> None:
    for name in ("run_dir", "which", "generator", "formats", "samples"):
        if given[name].present:
            raise cli.UserError(f"--{name}: does not go with --verify_only, which checks the files in --out")


def _import_tensorflow() -> None:
    """Imports TensorFlow for the CPU alone: GPUs round convolutions to TF32, further than a file may be from Keras."""
    terminal.import_tensorflow()
    import tensorflow as tf

    with terminal.quiet():  # looking for GPUs prints notes
        tf.config.set_visible_devices([], "GPU")


def _fail_with(problems: list[str]) -> None:
    if problems:
        raise cli.Fault("; ".join(problems))


def command() -> None:
    """The command line."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
