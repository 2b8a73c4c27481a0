"""Files that are whole or not there: every write goes to a temporary name and is then renamed."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = re.compile(r"\..*\.tmp-[a-z0-9_]{8}(\.[^.]*)?")


class DamagedFile(ValueError):
    """A file that is not what this program wrote; the message names it and what to do."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], sync: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path` that becomes `path` when the block ends well.

    The temporary name keeps the suffix, because writers such as Keras and OpenCV choose the format by it. When the
    block raises, what stood at `path` before stands there still. With `sync` the content is on the disk before the
    file has its name, so that a power cut leaves the old file or the new one; it takes some milliseconds, which
    pictures, being drawn by the hundred and drawn again at will, do not wait for. Raises OSError where the folder
    cannot be written.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_temporary(path: Path) -> bool:
    """Whether a path has the name of a file that `atomic_path` had not finished."""
    return TEMPORARY.fullmatch(path.name) is not None


def remove_temporaries(folder: Path) -> None:
    """Removes what killed writers left in a folder; to be called where no other process writes."""
    for path in filter(is_temporary, folder.iterdir() if folder.is_dir() else ()):
        path.unlink(missing_ok=True)
