"""What the commands share: flags, a readable --help, errors in one line, exit codes.

A command is `define_flags(given)`, which defines its flags, and `main(given)`, which finds their values there.
Exit codes: 0 done, 1 a fault of the machine or of the program, 2 a user's mistake, 130 interrupted.
"""

import dataclasses
import functools
import os
import re
import signal
import sys
import textwrap
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging

from keras_dcgan import runs
from keras_dcgan.config import AUTO, PRESETS, SettingError, TrainConfig, describe_limits, setting_names, written
from keras_dcgan.tools import storage
from keras_dcgan.tools.files import BadFile

Given = flags.FlagValues

WRONG_KIND = {  # what Python and absl say of a value of another kind than its flag's -> what people understand
    "invalid literal for int": "must be a whole number",
    "could not convert string to float": "must be a number",
    "Non-boolean argument": "must be true or false",
}
_interrupted: list[int] = []  # the signals of Ctrl-C so far


class UserError(Exception):
    """A mistake of the user's: only the message is printed, and the exit code is 2."""


class Fault(Exception):
    """Something that the machine or the network could not give: the message is printed, and the exit code is 1."""


class _PathParser(flags.ArgumentParser):
    """Paths: "~" is expanded; an empty one and one that TensorFlow could not open are refused.

    So is a place in object storage, unless the flag is `remote`.
    """

    def __init__(self, remote: bool):
        self.remote = remote

    def parse(self, argument: str) -> str:
        if not argument:
            raise ValueError("must not be empty")
        if storage.is_remote(argument) and not self.remote:
            raise ValueError("must be on a disk; only run_dir, dataset and the out of prepare may be in object storage")
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("is not UTF-8, which TensorFlow needs; rename the file or folder") from None
        return os.path.expanduser(argument)


class _NumberOrAuto(flags.ArgumentParser):
    """The value of a setting that is a number or "auto"."""

    def __init__(self, field: dataclasses.Field):
        self.kind: Any = type(field.default)
        self.limits = field.metadata

    def parse(self, argument: str) -> int | float:
        if argument == "auto":
            return AUTO[self.kind]
        try:
            if (number := self.kind(argument)) != AUTO[self.kind]:  # its limits are checked with all other settings'
                return number
        except ValueError:
            pass
        raise ValueError(f"must be {describe_limits(self.limits)}") from None


def define_path(given: Given, name: str, help: str, remote: bool = False) -> None:
    """Defines a flag whose value is a path, or None if it is not given; a `remote` one may be in object storage."""
    flags.DEFINE(_PathParser(remote), name, None, help, given)  # type: ignore[arg-type]


def define_settings(given: Given, names: Sequence[str]) -> None:
    """Defines a flag for each of these settings of `TrainConfig`; unset unless given, for presets fill in the rest."""
    define: dict[type, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(TrainConfig):
        if field.name in names and field.metadata["path"]:
            define_path(given, field.name, field.metadata["help"])
        elif field.name in names and field.metadata["auto"]:
            parser = _NumberOrAuto(field)
            flags.DEFINE(parser, field.name, None, field.metadata["help"], given)  # type: ignore[arg-type]
        elif field.name in names:
            define[type(field.default)](field.name, None, field.metadata["help"], flag_values=given)


def given_settings(given: Given) -> dict[str, Any]:
    """The values of those settings that the command line gave."""
    return {name: given[name].value for name in setting_names() if name in given and given[name].present}


def define_generator(given: Given, default: str = "last") -> None:
    """Defines the flags that name one generator: --run_dir with --which, or --generator."""
    define_path(given, "run_dir", "run folder that holds the generator", remote=True)
    flags.DEFINE_enum(
        "which", None, list(runs.GENERATORS), "which generator of the run folder: 'last': at the run's end; 'best': "
        "the best one measured in the run (metrics.csv); 'raw': without the moving average "
        f"[{default}]", flag_values=given,
    )  # fmt: skip
    define_path(given, "generator", "a .keras file, instead of --run_dir")


def generator_file(given: Given, default: str = "last") -> Path:
    """The `.keras` file that the flags of `define_generator` name.

    Raises UserError unless they name exactly one, and BadFile if the run folder does not have it.
    """
    if (given.run_dir is None) == (given.generator is None):
        raise UserError("give either --run_dir=FOLDER or --generator=FILE.keras")
    if given.generator:
        if given.which:
            raise UserError(f"--which={given.which}: goes with --run_dir, not with --generator")
        return Path(given.generator)
    return runs.generator_path(given.run_dir, given.which or default)


def with_local_run(main: Callable[[Given], None]) -> Callable[[Given], None]:
    """A command for which --run_dir is always a local folder: one in object storage is brought, without checkpoints.

    What the command writes into the folder is sent back.
    """

    @functools.wraps(main)
    def wrapped(given: Given) -> None:
        if not storage.is_remote(given.run_dir or ""):
            return main(given)
        with storage.local_folder(given.run_dir, fetch=True, skip=runs.CHECKPOINTS) as folder:
            given["run_dir"].value = str(folder)
            main(given)

    return wrapped


def make_folder(flag: str, value: str | Path, folder: Path) -> None:
    """Makes a folder if it is missing. Raises UserError, naming the flag that asks for it, if that is impossible."""
    problem = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        problem = "is not a folder, or lies in a file"
    except PermissionError:
        problem = "there is no permission to make it"
    if not problem and not os.access(folder, os.W_OK):
        problem = "there is no permission to write in it"
    if problem:
        raise UserError(f"--{flag}={value}: {folder}: {problem}")


def parse(define_flags: Callable[[Given], None], arguments: Sequence[str]) -> Given:
    """The values of a command's flags. Raises UserError for anything but its own flags, written --name=value."""
    given = flags.FlagValues()
    define_flags(given)
    for argument in arguments:  # absl would read both, though no --help lists them
        if argument.lstrip("-").partition("=")[0] in ("flagfile", "undefok"):
            raise UserError(f"unknown flag {argument.partition('=')[0]}")
    try:
        rest = given(["command", *arguments])
    except flags.Error as error:
        message = " ".join(str(error).removeprefix("flag ").split())
        for of_python, of_ours in WRONG_KIND.items():
            message = re.sub(rf": \(?'?{of_python}.*", f": {of_ours}", message)
        raise UserError(message) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; flags are written --name=value")
    return given


def run(main: Callable[[Given], None], define_flags: Callable[[Given], None], usage: str) -> None:
    """Parses the command line, then calls `main`; turns what it raises into one message and an exit code.

    Args:
      main: the command.
      define_flags: defines its flags, in the order of --help.
      usage: the first lines of --help.
    """
    _open_closed_streams()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides TensorFlow's start-up notes; 0 shows them
    if {"--help", "-help", "-h", "--helpshort", "--helpfull"} & set(sys.argv[1:]):
        given = flags.FlagValues()
        define_flags(given)
        print(_help(usage, given))
        return
    flags.FLAGS.mark_as_parsed()  # absl's own flags keep their defaults; otherwise its logging warns
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)  # people read this: no file names and line numbers
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        main(parse(define_flags, sys.argv[1:]))
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        if _interrupted:  # a library that is interrupted while it is imported fails in its own way
            _fail("interrupted", 130)
        if isinstance(error, SettingError):
            _fail(f"--{error}", 2)
        if isinstance(error, (UserError, BadFile)):
            _fail(str(error), 2)
        if isinstance(error, OSError) and error.strerror and error.filename is not None:
            _fail(f"{os.fsdecode(error.filename)}: {error.strerror}", 1)
        if isinstance(error, (Fault, OSError, FloatingPointError)):
            _fail(str(error), 1)
        raise


def check_interrupted() -> None:
    """Raises KeyboardInterrupt after a Ctrl-C, also after one that a library has swallowed."""
    if _interrupted:
        raise KeyboardInterrupt


def _open_closed_streams() -> None:
    """Gives a process that was started without stdin, stdout or stderr (`>&-`) an empty one in its place.

    Otherwise the next file that is opened would get its number, and messages would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    _interrupted.append(number)
    signal.default_int_handler(number, frame)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _help(usage: str, given: Given) -> str:
    settings = {field.name: field for field in dataclasses.fields(TrainConfig)}
    lines = [usage.strip(), ""]
    groups: dict[str, list[str]] = {}
    for name in given:
        field = settings.get(name)
        if field and given[name].help == field.metadata["help"]:  # the setting, and not another flag of its name
            groups.setdefault(field.metadata["group"], []).extend(_entry(name, _describe(field, "preset" in given)))
        else:
            default = given[name].default
            lines += _entry(name, given[name].help + (f" [{default}]" if default not in (None, "") else ""))
    for group, entries in groups.items():
        lines += ["", f"{group}:", *entries]
    return "\n".join(lines)


def _describe(field: dataclasses.Field, by_preset: bool) -> str:
    """A setting's help with its limits and its default, by preset where they differ if the command has presets."""
    text, limits = field.metadata["help"], field.metadata
    if "choices" in limits and "'" not in text:
        text += f" ({', '.join(map(str, ['auto'] * limits['auto'] + list(limits['choices'])))})"
    elif isinstance(field.default, float):
        text += f" ({describe_limits(limits)})"
    presets = PRESETS if by_preset else {}
    values = {name: written(field.name, changes.get(field.name, field.default)) for name, changes in presets.items()}
    differ = len(set(values.values())) > 1
    shown = ", ".join(f"{name}: {value}" for name, value in values.items()) if differ else str(field.default)
    return f"{text} [{shown}]" if shown else text


def _entry(name: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, 76)
    first = f"  --{name:<28}"
    return [first + wrapped[0]] + [" " * 32 + line for line in wrapped[1:]]
