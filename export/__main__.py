"""python -m export: a run folder in, SavedModel and `.tflite` files out, each checked before it is announced."""

from pathlib import Path

from absl import flags

from keras_dcgan import cli

USAGE = """
Writes a trained generator as a SavedModel and as .tflite files for phones, browsers and small computers, with a
model card, a contact sheet and checksums. Each file is run and compared with Keras; one that fails is removed, and
the exit code is then 1. Draw from a file with python -m export.sampler.

  python -m export --run_dir=runs/mnist --out=exported/
  python -m export --run_dir=runs/mnist --out=exported/ --formats=float32,int8
  python -m export --verify_only --out=exported/
"""
FORMATS = ["saved_model", "float32", "float16", "int8", "int8-full"]


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("run_dir", None, "run folder that holds the generator")
    flags.DEFINE_string("generator", None, "a .keras file, instead of --run_dir")
    flags.DEFINE_enum(
        "which", None, ["last", "best", "raw"],
        "the generator of a run folder: 'last': at the run's end; 'best': of the smallest Fréchet distance in the "
        "run, taken where there is one; 'raw': without the moving average",
    )  # fmt: skip
    flags.DEFINE_string("out", None, "the folder to write; an export that is there already is replaced as a whole")
    flags.DEFINE_string("formats", ",".join(FORMATS), "what to write, separated by commas")
    flags.DEFINE_integer(
        "samples", 2000, "pictures for the Fréchet distance of each file; 0: not measured", lower_bound=0
    )
    flags.DEFINE_boolean("verify_only", False, "check the files of --out again: checksums and all measurements")


def main() -> None:
    """The command."""
    given = flags.FLAGS
    if not given.out:
        raise cli.UserError("--out=FOLDER: where the files go")
    formats = given.formats.split(",")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise cli.UserError(f"--formats={unknown[0]}: must be of {', '.join(FORMATS)}")
    if given.verify_only:
        for name in ("run_dir", "generator", "which", "formats", "samples"):
            if given[name].present:
                raise cli.UserError(f"--{name}: does not go with --verify_only, which checks what lies in --out")
    elif (given.run_dir is None) == (given.generator is None):
        raise cli.UserError("give either --run_dir=FOLDER or --generator=FILE.keras")
    if given.which and given.generator:
        raise cli.UserError("--which: goes with --run_dir, not with --generator")
    if given.samples and given.samples < 200:
        raise cli.UserError(f"--samples={given.samples}: must be 0 or at least 200; fewer tell nothing")

    from export import build

    try:
        if given.verify_only:
            wrong = build.check_again(Path(given.out))
        else:
            source = build.find_generator(given.run_dir, given.which) if given.run_dir else Path(given.generator)
            chosen = [name for name in FORMATS if name in formats]
            wrong = build.export(source, Path(given.out), chosen, given.samples, cli.check_interrupted)
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    except build.ExportFailed as error:
        raise cli.Fault(str(error)) from error
    if wrong:
        raise cli.Fault("; ".join(wrong))


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, ["run_dir", "generator", "which", "out", "formats", "samples", "verify_only"])
