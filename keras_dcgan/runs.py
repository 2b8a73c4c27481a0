"""One run folder on disk: the names of its files, its lock, its configuration, how a run begins and resumes."""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from absl import logging

from keras_dcgan.config import SettingError, TrainConfig, is_auto, is_path, setting_names
from keras_dcgan.tools import files

GENERATOR = "generator.keras"
RAW_GENERATOR = "generator-raw.keras"  # the weights as trained, where generator.keras holds their average
BEST_GENERATOR = "generator-best.keras"  # the best one measured in the run
DISCRIMINATOR = "discriminator.keras"
GENERATORS = {"last": GENERATOR, "best": BEST_GENERATOR, "raw": RAW_GENERATOR}
CONFIG = "config.json"
DATASET_REPORT = "dataset.json"  # what was found in the data set; written before the run begins
DATASET_PICTURE = "dataset.png"
LEFT = (files.LOCK, DATASET_REPORT, DATASET_PICTURE)  # by a start that refused its data, or was killed
CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
FORMAT = 1  # of config.json
PACKAGES = (
    "tensorflow", "tensorflow-cpu", "keras", "numpy", "opencv-python-headless", "pillow", "ai-edge-litert",
    "ai-edge-quantizer",
)  # fmt: skip


def check_new(folder: str | Path) -> Path:
    """The path of a folder in which a run can begin: missing or empty. Raises SettingError if it is not."""
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise SettingError(
            f"run_dir={folder}",
            "this folder already holds a run; add --resume to continue it (make fit FLAGS=--resume), or give another "
            "folder",
        )
    if folder.exists() and (
        not folder.is_dir() or any(path.name not in LEFT and not files.is_temporary(path) for path in folder.iterdir())
    ):
        raise SettingError(f"run_dir={folder}", "this exists and is not an empty folder; give another one")
    return folder


def check_resume(folder: str | Path, preset: str, given: dict[str, Any]) -> TrainConfig:
    """The configuration with which a run resumes: its own, with those of the given settings that may change.

    Args:
      folder: the run folder.
      preset: a preset's name, or "auto" if none was asked for.
      given: the settings on the command line.

    Raises SettingError, naming the setting, for one that would change the results, and if there is no run.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise SettingError("resume", f"{folder} holds no run; leave --resume out to begin one")
    own = read_config(folder / CONFIG)
    if preset not in ("auto", own.preset):
        raise SettingError(f"preset={preset}", f"this run began with {own.preset}; begin a new run")
    if "epochs" in given and given.get("steps"):
        raise SettingError("epochs", "give epochs or steps, not both")
    given = {name: value for name, value in given.items() if not is_auto(name, value)}  # decided when the run began
    for name, value in given.items():
        before = getattr(own, name)
        if changes_results(name, before, value):
            raise SettingError(
                f"{name}={value}", f"this run has {before}; another value would change its results, so begin a new run"
            )
        if name == "dataset" and value != before and not (folder / DATASET_REPORT).is_file():
            raise SettingError(
                f"dataset={value}",
                f"{folder / DATASET_REPORT} is missing, so nothing shows whether these are the images of {before}; put "
                "them there",
            )
    if own.jit_compile == "on" and given.get("distribute", "off") != "off":
        raise SettingError(
            f"distribute={given['distribute']}",
            "this run began with XLA, which several devices exclude; resume it on one device, or begin a new run",
        )
    if not own.synchronized and given.get("distribute", own.distribute) != own.distribute:
        raise SettingError(
            f"distribute={given['distribute']}",
            f"this run began with {own.distribute} and without synchronized, where each device normalises its own part "
            "of a batch; other devices would change its results, so begin a new run",
        )
    if "epochs" in given:
        given = {**given, "steps": 0}
    return dataclasses.replace(own, **given)


def changes_results(name: str, before: Any, value: Any) -> bool:
    """Whether another value of a setting may change the results of a run.

    Data may move to another path: `source.check_same` compares what is there.

    Examples:
      >>> changes_results("seed", 0, 1), changes_results("steps", 10, 20)
      (True, False)
    """
    if name == "dataset" and is_path(before) and is_path(value):
        return False
    return value != before and name not in setting_names("resumable")


@contextlib.contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Holds a run folder, made if it is missing, for this process alone.

    Raises SettingError if another process holds it, and OSError if the folder cannot be made or written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        held = contextlib.ExitStack()
        held.enter_context(files.lock(Path(folder) / files.LOCK))
    except BlockingIOError:
        raise SettingError(f"run_dir={folder}", "another process is training in this folder") from None
    with held:
        yield


def begin(folder: Path, config: TrainConfig, device: str) -> None:
    """Makes the folder and writes its `config.json`: all settings, versions, device, git commit, command line.

    Only the files of `LEFT` may be there before it: the next start takes a folder without it for a new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_temporaries(folder)
    about = {"command": sys.argv, "device": device, "versions": versions(), "git_commit": _git_commit()}
    write_config(folder / CONFIG, config, about)


def resume(folder: Path, config: TrainConfig) -> None:
    """Writes the settings that a resumed run has now to its `config.json`, and removes what a killed process left."""
    for place in (folder, folder / "samples", folder / CHECKPOINTS):
        files.remove_temporaries(place)
    if read_config(folder / CONFIG) != config:
        about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        del about["format"], about["config"]
        write_config(folder / CONFIG, config, about)


def write_config(path: str | Path, config: TrainConfig, about: dict[str, Any]) -> None:
    """Writes `config.json` atomically: the settings under "config", beside what `about` says of the run."""
    files.write_text(path, json.dumps({"format": FORMAT, "config": config.to_dict(), **about}, indent=2) + "\n")


def read_config(path: str | Path) -> TrainConfig:
    """Reads the settings of a `config.json`, which must have all of them.

    Raises OSError, or BadFile naming the file and what is wrong.

    Examples:
      >>> write_config("config.json", TrainConfig(width=32), {"device": "CPU"})
      >>> read_config("config.json").width
      32
    """
    try:
        about = json.loads(Path(path).read_text(encoding="utf-8"))
        if type(about.get("format")) is not int or about["format"] != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, and this program reads {FORMAT}")
        values = about["config"]
        if missing := [name for name in setting_names() if name not in values]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return TrainConfig.from_dict(values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise files.BadFile(f"{path}: not a run's configuration: {error}") from error


def read_aspect(folder: str | Path) -> float:
    """Width / height in which people see a run's images: the shape of its pictures if they were stretched, else 1.

    Also 1, with a warning, if the run's `dataset.json` is damaged.

    Examples:
      >>> files.write_text("dataset.json", '{"resize_mode": "stretch", "aspect": 1.5}')
      >>> read_aspect(".")
      1.5
    """
    path = Path(folder) / DATASET_REPORT
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        aspect = float(report.get("aspect", 1)) if report["resize_mode"] == "stretch" else 1.0
        if not 0 <= aspect < math.inf:
            raise ValueError(f"its aspect is {aspect}")
        return aspect
    except FileNotFoundError:  # a generator alone
        return 1.0
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logging.warning("%s: cannot be read (%s), so nothing shows which shape the pictures had", path, error)
        return 1.0


def generator_path(folder: str | Path, which: str) -> Path:
    """The file of a run's generator, a key of `GENERATORS`. Raises BadFile, naming the others, if it is missing.

    Examples:
      >>> Path("generator-best.keras").touch()
      >>> generator_path(".", "best")
      PosixPath('generator-best.keras')
    """
    path = Path(folder) / GENERATORS[which]
    if not path.is_file():
        there = [f"--which={name}" for name, other in GENERATORS.items() if (Path(folder) / other).is_file()]
        raise files.BadFile(
            f"{path}: no such file; " + (f"there is {' and '.join(there)}" if there else "a run writes it when it ends")
        )
    return path


def versions() -> dict[str, str]:
    """The releases of Python and of the libraries that results depend on."""
    found: dict[str, str] = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def source_code() -> dict[str, str | None]:
    """The "commit" of this code and the "url" that its checkout is from, without user names; None if not known.

    The commit ends in "-dirty" if the code was changed after it.
    """
    url = urlsplit(_git("config", "--get", "remote.origin.url") or "")
    public = f"https://{url.hostname}{url.path}" if url.scheme == "https" and url.hostname else None
    return {"commit": _git_commit(), "url": public}


def _git_commit() -> str | None:
    return _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(*arguments: str) -> str | None:
    """What git prints in this file's checkout; None if it is in none, or only in somebody else's."""
    if Path(__file__).parts[-3:-2] == ("site-packages",):
        return None
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
