"""The exported folder as a whole: built beside its place, then put there in one step; its checksums."""

import contextlib
import ctypes
import errno
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

RECORD = "export.json"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # from <fcntl.h> and <linux/fs.h>


def check_place(out: Path) -> None:
    """Raises ValueError where `out` holds something else than an export, which would be lost."""
    place = _resolve(out)
    if os.path.lexists(place) and (not place.is_dir() or (any(place.iterdir()) and not (place / RECORD).is_file())):
        raise ValueError(f"--out={out}: is there already and is no exported folder; give another one")


@contextlib.contextmanager
def built_beside(out: Path) -> Iterator[Path]:
    """Yields a new folder beside `out` that takes its place when the block ends well.

    When the block raises, or the process is killed at any moment, what stood at `out` stands there whole. A later
    export clears away what a killed one has left. Raises ValueError as `check_place` does, OSError where the disk
    does not allow it.
    """
    check_place(out)
    out = _resolve(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        if _old(out).exists() and not out.exists():
            _old(out).rename(out)
        for left_over in [_old(out), *out.parent.glob(f".{glob.escape(out.name)}.export-*")]:
            _remove(left_over)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.export-", dir=out.parent))
        try:
            yield folder
            umask = os.umask(0)
            os.umask(umask)
            folder.chmod(0o777 & ~umask)  # mkdtemp makes folders that only their owner can enter
            _put(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the unfinished one, or the one before


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Holds the place against a second export, which would clear away this one's work. Raises ValueError if held."""
    import fcntl

    path = out.parent / f".{out.name}.lock"
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"--out={out}: another export is writing there") from None
            # Whoever held it before may have removed it since it was opened: then it keeps nobody out any more.
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _put(folder: Path, out: Path) -> None:
    """Puts `folder` at `out`; what was there is afterwards at `folder`."""
    if not out.exists():
        folder.rename(out)
        return
    # A folder that is not empty cannot be renamed over, but Linux swaps two names in one step.
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        swap = None
    if swap and swap(AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(out), RENAME_EXCHANGE) == 0:
        return
    if swap and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(out))
    out.rename(_old(out))  # whoever is killed here leaves it to the next export to put it back
    folder.rename(out)
    _old(out).rename(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _resolve(out: Path) -> Path:
    """Where `out` is in truth: beside a link to a folder on another disk nothing can be renamed into it."""
    return Path(os.path.realpath(out))


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by its path in it, but for the record that will hold them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
