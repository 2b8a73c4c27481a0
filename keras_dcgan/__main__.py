"""keras-dcgan COMMAND, or python -m keras_dcgan COMMAND: runs a command; without one, lists them."""

import importlib
import importlib.util
import sys

COMMANDS = {
    "fit": "train on a data set",
    "sample": "draw pictures from a trained generator",
    "evaluate": "measure how good its pictures are",
    "prepare": "decode a folder of pictures once, for slow disks",
    "export": "write the generator as SavedModel and .tflite files, each checked against Keras",
}
USAGE = "\n".join(
    [
        "Keras DCGAN. Commands; each has --help:",
        "",
        *(f"  keras-dcgan {name:10}{what}" for name, what in COMMANDS.items()),
        "",
        "In a checkout: python -m keras_dcgan.fit and so on, and python -m export. To draw from a .tflite file without",
        "TensorFlow: python -m export.sampler, or python -m keras_dcgan.export.sampler where the package is installed.",
    ]
)


def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(USAGE)
        return
    if name not in COMMANDS:
        print(f"error: {name!r} is not a command; they are {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    _module(name).command()


def _module(name: str):
    if name != "export":
        return importlib.import_module(f"keras_dcgan.{name}")
    # The folder export/ of a checkout is the package keras_dcgan.export of an installation.
    installed = importlib.util.find_spec("keras_dcgan.export") is not None
    return importlib.import_module("keras_dcgan.export.__main__" if installed else "export.__main__")


if __name__ == "__main__":
    main()
