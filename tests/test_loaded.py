"""The tests' own way to run a command: what it gives back is what a new process would have given."""

import subprocess
import sys
import time

import pytest

from tests import loaded
from tests.conftest import ROOT, run_python


@pytest.mark.parametrize("arguments", [["-n1", "-r1", "print(6 * 7)"], ["--nonsense"], ["-n1", "-r1", "exit('no')"]])
def test_output_and_exit_code_are_those_of_a_new_process(arguments):
    copy, new = loaded.run("timeit", arguments, ROOT, 60), run_python("-m", "timeit", *arguments)
    assert copy.returncode == new.returncode
    assert copy.stdout.splitlines()[:1] == new.stdout.splitlines()[:1]
    assert copy.stderr == new.stderr
    assert ("42" in new.stdout) == (new.returncode == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the process would still import TensorFlow")
def test_a_command_that_takes_too_long_is_killed_and_its_output_kept(tmp_path):
    work = "print('here', flush=True); time.sleep(6); open('there', 'w')"
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        loaded.run("timeit", ["-n1", "-r1", "-s", "import time", work], tmp_path, 3)
    assert raised.value.output == "here\n" and "timeit" in raised.value.cmd
    time.sleep(5)
    assert not (tmp_path / "there").exists()
