"""What the commands share: flags from a dataclass, a readable --help, errors in a line, exit codes.

Exit codes: 0 done, 1 a fault of the machine or of the program, 2 a user's mistake, 130 interrupted.
"""

import dataclasses
import os
import signal
import sys
import textwrap
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from keras_dcgan.config import PRESETS, TrainConfig, describe_limits

_interrupted: list[int] = []  # Ctrl-C, as often as it came


class UserError(Exception):
    """A mistake of the user's: the message is all that is printed, and the exit code is 2."""


class Fault(Exception):
    """Something that the machine or the network could not give: the message is printed, and the exit code is 1."""


def define_config_flags() -> None:
    """Defines one flag per field of `TrainConfig`, unset unless given: presets fill in the rest."""
    define: dict[type, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(TrainConfig):
        if field.name != "preset":
            define[type(field.default)](field.name, None, field.metadata["help"])


def given_settings() -> dict[str, Any]:
    """The values of those configuration flags that the command line gave."""
    names = [field.name for field in dataclasses.fields(TrainConfig) if field.name != "preset"]
    return {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}


def check_source() -> None:
    """Raises UserError unless the flags name one generator: a run folder and which of its own, or a file."""
    given = flags.FLAGS
    if (given.run_dir is None) == (given.generator is None):
        raise UserError("give either --run_dir=FOLDER or --generator=FILE.keras")
    if given.generator and given["which"].present:
        raise UserError(f"--which={given.which}: goes with --run_dir, not with --generator")


def make_folder(flag: str, value: str | Path, folder: Path) -> None:
    """Makes a folder where it is missing. Raises UserError, naming the flag that asks for it, where nobody could."""
    problem = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        problem = "is no folder, or lies in a file"
    except PermissionError:
        problem = "there is no permission to make it"
    if not problem and not os.access(folder, os.W_OK):
        problem = "there is no permission to write in it"
    if problem:
        raise UserError(f"--{flag}={value}: {folder}: {problem}")


def run(main: Callable[[], None], usage: str, own_flags: Sequence[str], with_config: bool = False) -> None:
    """Parses the command line, then calls `main`; turns what it raises into one message and an exit code.

    Args:
      main: the command.
      usage: the first lines of --help.
      own_flags: names of the flags that --help lists before the configuration's.
      with_config: whether the configuration's flags belong to the command.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes; set it to 0 to see them
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # TensorFlow's default on x86-64: the fast convolutions

    def parse(argv: Sequence[str]) -> list[str]:
        if any(argument in ("--help", "-help", "-h", "--helpshort", "--helpfull") for argument in argv[1:]):
            print(_help(usage, own_flags, with_config))
            sys.exit(0)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(" ".join(str(error).split()), 2)
        if len(rest) > 1:
            _fail(f"unexpected argument {rest[1]!r}; flags are written --name=value", 2)
        return rest

    def guarded(_: Sequence[str]) -> None:
        logging.set_verbosity(logging.INFO)
        logging.get_absl_handler().setFormatter(None)  # people read this: no file names and line numbers
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        try:
            main()
        except KeyboardInterrupt:
            _fail("interrupted", 130)
        except Exception as error:
            if _interrupted:  # a library that is interrupted while it is imported fails in its own way
                _fail("interrupted", 130)
            if isinstance(error, UserError):
                _fail(str(error), 2)
            if isinstance(error, (Fault, OSError, FloatingPointError)):
                _fail(str(error), 1)
            raise

    app.run(guarded, flags_parser=parse)


def check_interrupted() -> None:
    """Raises KeyboardInterrupt after a Ctrl-C, also after one that a library has swallowed."""
    if _interrupted:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    _interrupted.append(number)
    signal.default_int_handler(number, frame)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _help(usage: str, own_flags: Sequence[str], with_config: bool) -> str:
    lines = [usage.strip(), ""]
    for name in own_flags:
        default = flags.FLAGS[name].default
        lines += _entry(name, flags.FLAGS[name].help, f" [{default}]" if default not in (None, "") else "")
    groups: dict[str, list[str]] = {}
    for field in dataclasses.fields(TrainConfig) if with_config else ():
        if field.name == "preset":
            continue
        limits = field.metadata
        text = limits["help"]
        if "choices" in limits and "'" not in text:
            text += f" ({', '.join(map(str, limits['choices']))})"
        elif isinstance(field.default, float):
            text += f" ({describe_limits(limits)})"
        values = {preset: changes.get(field.name, field.default) for preset, changes in PRESETS.items()}
        same = len(set(values.values())) == 1
        shown = str(field.default) if same else ", ".join(f"{preset}: {value}" for preset, value in values.items())
        groups.setdefault(limits["group"], []).extend(_entry(field.name, text, f" [{shown}]" if shown else ""))
    for group, entries in groups.items():
        lines += ["", f"{group}:", *entries]
    return "\n".join(lines)


def _entry(name: str, text: str, default: str) -> list[str]:
    wrapped = textwrap.wrap(text + default, 76)
    first = f"  --{name:<28}"
    return [first + wrapped[0]] + [" " * 32 + line for line in wrapped[1:]]
