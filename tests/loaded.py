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


class Command:
    """`python -m MODULE ARGUMENTS ...` in a folder, as it runs; its methods are those of subprocess.Popen."""

    def __init__(self, module: str, arguments: list[str], folder: Path, stdout: Path, stderr: Path):
        """Starts it; what it writes is added to two files, or to one."""
        self.args = [sys.executable, "-m", module, *arguments]
        given = module, arguments, folder, dict(os.environ), stdout, stderr
        self._process = _CONTEXT.Process(target=_become, args=given, daemon=True)  # a failed test leaves none behind
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        self._process.join(seconds)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, seconds)
        return self.poll()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run(module: str, arguments: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess:
    """Runs `python -m MODULE ARGUMENTS ...` in a folder; the finished process has its output as text.

    Raises subprocess.TimeoutExpired, after the process is killed, if it takes longer than so many seconds.
    """
    with tempfile.TemporaryDirectory() as made:
        streams = [Path(made, "stdout"), Path(made, "stderr")]
        process = Command(module, arguments, folder, *streams)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            process.kill()
            late.output, late.stderr = (stream.read_text() for stream in streams)
            raise
        return subprocess.CompletedProcess(process.args, process.poll(), *(stream.read_text() for stream in streams))


def _become(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stdout: Path, stderr: Path
) -> None:
    """Makes this process that of the command."""
    for descriptor, stream in ((1, stdout), (2, stderr)):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    sys.path[0] = str(folder)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # as at the end of any process, such as temporary folders; a copy would leave them
