"""Files that are whole or not there: every write goes to a temporary name, which is then renamed."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"  # of a folder that one process at a time works in
TEMPORARY = re.compile(r"\..*\.tmp-[a-z0-9_]{8}(\.[^.]*)?")


class BadFile(ValueError):
    """A file or folder that cannot be used; the message names it and says what to do."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], sync: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, and renames it to `path` when the block ends without an error.

    The temporary name keeps the suffix, because writers such as Keras choose the format by it. If the block raises,
    the old file at `path` is untouched. With `sync` the content is on the disk before the rename, so a power cut
    leaves the old file or the new one. That takes some milliseconds; pictures do not need it, they can be drawn again.
    Raises OSError, naming the file, if it cannot be written.

    Examples:
      >>> with atomic_path("notes.txt") as temporary:
      ...     _ = temporary.write_text("all of it")
      >>> Path("notes.txt").read_text()
      'all of it'
    """
    path = Path(path)
    with naming(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.tmp-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            usual_permissions(temporary, 0o666)  # mkstemp makes files that only their owner can read
            if sync:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names `path` in an OSError of the block that names no file, as a write to a full disk raises it.

    Examples:
      >>> with naming("runs/a/history.csv"):
      ...     raise OSError(28, "No space left on device")
      Traceback (most recent call last):
        ...
      OSError: [Errno 28] No space left on device: 'runs/a/history.csv'
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or f"{path}" in str(error):
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), os.fspath(path)) from error


def usual_permissions(path: Path, mode: int) -> None:
    """Gives a file or folder that was made as private the permissions that `mode` and the umask allow."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def lock(path: str | os.PathLike[str], wait: bool = False) -> Iterator[None]:
    """Holds a lock file, made if it is missing, for this process alone.

    The operating system releases the lock when the process ends, however it ends. Raises BlockingIOError if another
    process holds it and `wait` is false.
    """
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits.

    Examples:
      >>> write_text("abc.txt", "abc")
      >>> sha256("abc.txt")
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_temporary(path: Path) -> bool:
    """Whether a path has the name of a file that `atomic_path` had not finished."""
    return TEMPORARY.fullmatch(path.name) is not None


def remove_temporaries(folder: Path) -> None:
    """Removes what killed writers left in a folder; call it only where no other process writes."""
    for path in filter(is_temporary, folder.iterdir() if folder.is_dir() else ()):
        path.unlink(missing_ok=True)
