"""What the commands share: an error is a line and an exit code, also for a Ctrl-C that a library hides."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from keras_dcgan import cli

def main():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt as interrupt:
        {hidden}
    cli.check_interrupted()
    raise SystemExit("went on")

cli.run(main, "", [])
"""


@pytest.mark.parametrize(
    "hidden",
    ["pass", "raise", "raise ImportError('initialization failed') from interrupt", "raise cli.UserError('x')"],
    ids=["swallowed", "itself", "as an error of an import", "as a mistake"],
)
def test_ctrl_c_is_told_whatever_becomes_of_it(hidden):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(hidden=hidden)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


@pytest.mark.parametrize(
    ("problem", "code", "told"),
    [
        ("cli.UserError('x: no')", 2, "error: x: no\n"),
        ("cli.Fault('down')", 1, "error: down\n"),
        ("OSError('full')", 1, "error: full\n"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(problem, code, told):
    program = f"from keras_dcgan import cli\ndef main():\n    raise {problem}\ncli.run(main, '', [])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, told)


def test_a_defect_of_the_program_shows_where():
    program = "from keras_dcgan import cli\ndef main():\n    raise RuntimeError('defect')\ncli.run(main, '', [])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr and "RuntimeError: defect" in done.stderr
