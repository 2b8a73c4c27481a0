"""The terminal: progress bars, and silence for libraries that write notes to stderr from C++."""

import contextlib
import gc
import io
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

LOG_SECONDS = 10.0  # between two lines of progress in a log file


def progress(title: str, total: int, unit: str = "image") -> tqdm:
    """A progress bar for long work outside `fit`, with a rate and the time left; call `update(count)` on it.

    On a terminal it is one line that moves. In a log file it is a new line every ten seconds, and none for short work.
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=title, unit=unit)
    line = "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left\n"
    return tqdm(
        total=total, desc=title, unit=unit, bar_format=line, mininterval=LOG_SECONDS, maxinterval=LOG_SECONDS,
        delay=LOG_SECONDS,
    )  # fmt: skip


def command(module: str, **flags: object) -> str:
    """A command line that runs here as it stands.

    It names "python" if that is this interpreter, as in an activated environment, else the interpreter's path.

    Examples:
      >>> command("keras_dcgan.sample", run_dir="runs/a b").partition(" -m ")[2]
      "keras_dcgan.sample --run_dir='runs/a b'"
    """
    python = Path(sys.executable)
    found = shutil.which("python")
    if found and Path(found).parent == python.parent:
        python = Path("python")
    elif python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    options = (
        f"--{name}={shlex.quote(str(value))}" if value is not True else f"--{name}" for name, value in flags.items()
    )
    return " ".join([shlex.quote(str(python)), "-m", module, *options])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what libraries write to stderr, such as start-up notes; it is shown if the block raises."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with contextlib.redirect_stderr(io.TextIOWrapper(os.fdopen(os.dup(2), "wb"), write_through=True)):
                yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def import_tensorflow() -> None:
    """Imports TensorFlow without its notes on oneDNN; the only setting that silences them also turns oneDNN off.

    With TF_CPP_MIN_LOG_LEVEL=0 everything is shown, such as why TensorFlow cannot run on this processor.

    The import makes a million objects that stay. Looking for garbage among them would take half a second here, and as
    much again until a run's first step; so the collector is off for the import, and leaves them alone after it.
    """
    if "tensorflow" in sys.modules:
        return
    gc.disable()
    try:
        with contextlib.nullcontext() if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" else quiet():
            import tensorflow  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
