import io
import os
import subprocess
import sys

import pytest

from keras_dcgan.tools import terminal
from tests.conftest import LIMIT, run_python


class Stream(io.StringIO):
    def __init__(self, is_terminal: bool):
        super().__init__()
        self.isatty = lambda: is_terminal


def shown(monkeypatch, is_terminal: bool) -> str:
    stream = Stream(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.progress("Looking", 30) as bar:
        for _ in range(3):
            bar.update(10)
    return stream.getvalue()


def test_a_terminal_gets_a_bar_with_a_rate(monkeypatch):
    text = shown(monkeypatch, is_terminal=True)
    assert "Looking" in text and "30/30" in text and "image/s" in text


def test_a_log_file_gets_lines_and_none_for_short_work(monkeypatch):
    assert shown(monkeypatch, is_terminal=False) == ""
    monkeypatch.setattr(terminal, "LOG_SECONDS", 0.0)
    lines = shown(monkeypatch, is_terminal=False).splitlines()
    assert any("Looking: 20 of 30" in line and "left" in line for line in lines)


@pytest.mark.parametrize("folder", ["runs/mnist", "runs/a b", "läufe"])
def test_a_printed_command_reads_back_as_it_was_meant(folder):
    printed = terminal.command("keras_dcgan.sample", run_dir=folder, resume=True)
    script = f'set -- {printed}; for each; do echo "$each"; done'
    words = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=LIMIT).stdout.splitlines()
    assert words[1:] == ["-m", "keras_dcgan.sample", f"--run_dir={folder}", "--resume"]


def test_a_printed_command_names_an_interpreter_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    first = terminal.command("x").split()[0]
    assert os.path.samefile(first, sys.executable)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    assert terminal.command("x").split()[0] in ("python", first)


def test_quiet_hides_notes_and_shows_them_with_an_error():
    program = "import os\nfrom keras_dcgan.tools.terminal import quiet\nwith quiet():\n    os.write(2, b'note')\n    {}"
    assert run_python("-c", program.format("pass")).stderr == ""
    assert "note" in run_python("-c", program.format("raise RuntimeError")).stderr


def test_what_importing_tensorflow_makes_is_not_searched_for_garbage():
    program = """
import gc
from keras_dcgan.tools.terminal import import_tensorflow
import_tensorflow()
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""
    assert run_python("-c", program).stdout.split() == ["True", "True"]
