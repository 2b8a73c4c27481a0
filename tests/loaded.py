"""Commands that start with TensorFlow loaded: a new process takes some four seconds to import it.

A process imports it once, and each command runs in a copy of that process, as `python -m MODULE` does after the import:
with its own arguments, streams, folder and exit code.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import logging  # noqa: F401  (keeps the stderr that it finds when it is imported)

from keras_dcgan.tools import terminal

terminal.import_tensorflow()
# Elsewhere a process that has loaded TensorFlow cannot be copied safely, and each command imports it.
_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_CONTEXT.set_forkserver_preload([__name__, "keras_dcgan.training.loop"])


def run(module: str, arguments: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess:
    """Runs `python -m MODULE ARGUMENTS ...` in a folder; the finished process has its output as text.

    Raises subprocess.TimeoutExpired, after the process is killed, if it takes longer than so many seconds.
    """
    with tempfile.TemporaryDirectory() as made:
        streams = [Path(made, "stdout"), Path(made, "stderr")]
        process = _CONTEXT.Process(target=_become, args=(module, arguments, folder, dict(os.environ), streams))
        process.start()
        process.join(seconds)
        late = process.exitcode is None
        process.kill()
        command, output = [sys.executable, "-m", module, *arguments], [stream.read_text() for stream in streams]
    if late:
        raise subprocess.TimeoutExpired(command, seconds, *output)
    return subprocess.CompletedProcess(command, process.exitcode, *output)


def _become(module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: list[Path]) -> None:
    """Makes this process that of the command."""
    for descriptor, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    sys.path[0] = str(folder)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # as at the end of any process, such as temporary folders; a copy would leave them
