"""What the commands share: flags, paths, and an error that is one line and an exit code."""

import os
import signal
import subprocess
import sys

import pytest
from absl import flags

from keras_dcgan import cli
from tests.conftest import LIMIT, ROOT, run_python

INTERRUPTED = """
import os, signal
from keras_dcgan import cli

def main(given):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt as interrupt:
        {hidden}
    cli.check_interrupted()
    raise SystemExit("went on")

cli.run(main, lambda given: None, "")
"""

FAILING = "from keras_dcgan import cli, config\nfrom keras_dcgan.tools import files\ndef main(given):\n    {problem}\n"
FAILING += "cli.run(main, lambda given: None, '')"


@pytest.mark.parametrize(
    "hidden",
    ["pass", "raise", "raise ImportError('initialization failed') from interrupt", "raise cli.UserError('x')"],
    ids=["swallowed", "itself", "as an error of an import", "as a mistake"],
)
def test_ctrl_c_exits_with_130_even_if_a_library_swallows_it(hidden):
    done = run_python("-c", INTERRUPTED.format(hidden=hidden))
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_the_tests_pass_where_sigint_is_ignored():
    """As under `nohup make test &`: the child of a process that ignores SIGINT ignores it too."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "ctrl_c"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        ("raise cli.UserError('x: no')", 2, "x: no"),
        ("raise config.SettingError('width=0', 'must be larger')", 2, "--width=0: must be larger"),
        ("raise files.BadFile('a.npy: cut')", 2, "a.npy: cut"),
        ("raise cli.Fault('down')", 1, "down"),
        ("raise OSError('full')", 1, "full"),
        ("open('/no/where')", 1, "/no/where: No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(problem, code, message):
    done = run_python("-c", FAILING.format(problem=problem))
    assert (done.returncode, done.stderr) == (code, f"error: {message}\n")


def test_a_defect_of_the_program_shows_its_place():
    done = run_python("-c", FAILING.format(problem="raise RuntimeError('defect')"))
    assert done.returncode == 1 and "Traceback" in done.stderr and "RuntimeError: defect" in done.stderr


def define_flags(given: cli.Given) -> None:
    cli.define_generator(given)
    cli.define_settings(given, ["width", "data_dir", "mirror", "beta_1", "r1_weight"])
    flags.DEFINE_integer("count", 64, "how many", flag_values=given)


def test_flags_have_defaults_and_settings_only_what_was_given():
    given = cli.parse(define_flags, ["--width=3", "--mirror"])
    assert given.count == 64 and given.run_dir is None
    assert cli.given_settings(given) == {"width": 3, "mirror": True}


def test_a_number_that_can_be_auto_has_a_value_for_it():
    flags = ["--width=auto", "--r1_weight=auto"]
    assert cli.given_settings(cli.parse(define_flags, flags)) == {"width": 0, "r1_weight": -1.0}
    assert cli.given_settings(cli.parse(define_flags, ["--r1_weight=0"])) == {"r1_weight": 0.0}
    with pytest.raises(cli.UserError, match=r"^--r1_weight=-1: must be auto or from 0 to 1000000.0$"):
        cli.parse(define_flags, ["--r1_weight=-1"])
    assert cli.given_settings(cli.parse(define_flags, [])) == {}
    for value in ("0", "00", "-0", "Auto", "2.5", ""):
        with pytest.raises(cli.UserError, match=f"^--width={value}: must be auto or from 1 to 1024$"):
            cli.parse(define_flags, [f"--width={value}"])


def test_a_path_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    given = cli.parse(define_flags, ["--run_dir=~/x", "--data_dir=~/y z"])
    assert given.run_dir == "/home/someone/x" and given.data_dir == "/home/someone/y z"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--run_dir=", "--run_dir=: must not be empty"),
        ("--generator=\udcff.keras", "is not UTF-8"),
        ("--generator=s3://bucket/generator.keras", "must be on a disk"),
        ("--cuont=3", "Unknown command line flag 'cuont'. Did you mean: count"),
        ("--count=many", "--count=many: must be a whole number"),
        ("--count=1.5", "--count=1.5: must be a whole number"),
        ("--beta_1=half", "--beta_1=half: must be a number"),
        ("--mirror=2", "--mirror=2: must be true or false"),
        ("--flagfile=/bin/true", "unknown flag --flagfile"),
        ("--undefok=x", "unknown flag --undefok"),
        ("--verbosity=1", "Unknown command line flag 'verbosity'"),
        ("--helpxml", "Unknown command line flag 'helpxml'"),
        ("grid.png", "unexpected argument 'grid.png'"),
    ],
)
def test_a_mistake_in_the_flags_is_named(argument, message):
    with pytest.raises(cli.UserError) as raised:
        cli.parse(define_flags, [argument])
    assert message in str(raised.value) and len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --run_dir=FOLDER or --generator=FILE"),
        (["--run_dir=a", "--generator=b"], "either --run_dir=FOLDER or --generator=FILE"),
        (["--generator=b", "--which=raw"], "--which=raw: goes with --run_dir"),
    ],
)
def test_the_flags_of_a_generator_name_exactly_one(arguments, message):
    with pytest.raises(cli.UserError, match=message):
        cli.generator_file(cli.parse(define_flags, arguments))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_or_stderr_is_no_problem(tmp_path, closed):
    """Without care the next file that is opened would get the closed stream's number, and messages land in it."""
    program = f"""
import sys
from absl import logging
from keras_dcgan import cli

def main(given):
    with open({str(tmp_path / "file")!r}, "w") as file:
        print("to stdout")
        logging.info("to stderr")
        file.write("alone")

cli.run(main, lambda given: None, "")
"""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, program], cwd=ROOT, timeout=LIMIT, env=os.environ
    )
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "alone"


def test_the_package_lists_and_runs_its_commands(command):
    listed = command("keras_dcgan")
    assert listed.returncode == 0 and all(name in listed.stdout for name in ("fit", "sample", "evaluate", "export"))
    assert "--learning" not in listed.stdout
    for name in ("fit", "sample", "evaluate", "prepare", "export"):
        helped = command("keras_dcgan", name, "--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
        assert helped.returncode == 0, helped.stderr
        assert (f"keras_dcgan.{name}" if name != "export" else "-m export") in helped.stdout
        assert "tensorflow" not in helped.stderr, name
    unknown = command("keras_dcgan", "trian")
    assert unknown.returncode == 2 and "'trian' is not a command; they are fit, sample" in unknown.stderr
