"""Silence for libraries that write to stderr from C++ and whose notes are no news to a user."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what libraries write to stderr, progress bars and start-up notes; shown if the block raises."""
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
    """Imports TensorFlow without its notes on oneDNN, which no setting keeps away but the one that turns oneDNN off.

    With TF_CPP_MIN_LOG_LEVEL=0 everything is shown, such as why it cannot run on this processor.
    """
    if "tensorflow" not in sys.modules:
        with contextlib.nullcontext() if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" else quiet():
            import tensorflow  # noqa: F401
