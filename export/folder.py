"""The exported folder as a whole: built beside its place, then renamed to it; its checksums."""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_dcgan.tools import files

RECORD = "export.json"


def check_place(out: Path) -> Path:
    """The folder that an export to `out` writes: `out`, or what it links to, for links may lead to another disk.

    Raises BadFile if it holds something other than an export, which would be lost.
    """
    place = Path(os.path.realpath(out))
    if os.path.lexists(place) and (not place.is_dir() or (any(place.iterdir()) and not (place / RECORD).is_file())):
        raise files.BadFile(f"{out}: this exists and is not an exported folder; give another one")
    return place


@contextlib.contextmanager
def built_beside(out: Path) -> Iterator[Path]:
    """Yields a new folder beside `out`, which replaces `out` when the block ends without an error.

    The old export is renamed to `.NAME.old`, then the new one to `out`. If the block raises, `out` is untouched. If
    the process is killed between the renames, the next export puts the old one back before it starts. Raises BadFile
    as `check_place` does and if another export writes to `out`, and OSError if the disk refuses.
    """
    place = check_place(out)
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.lock(place.with_name(f".{place.name}.lock")))
        except BlockingIOError:
            raise files.BadFile(f"{out}: another export is writing there") from None
        old = _repair(place)
        stack.callback(_repair, place)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.export-", dir=place.parent))
        yield work
        files.usual_permissions(work, 0o777)  # mkdtemp makes folders that only their owner can enter
        if place.exists():
            place.rename(old)
        work.rename(place)


def _repair(place: Path) -> Path:
    """Puts the old export back if no new one replaced it, removes left-over folders, and returns the old one's path."""
    old = place.with_name(f".{place.name}.old")
    if old.exists() and not place.exists():
        old.rename(place)
    for left in [old, *place.parent.glob(f".{glob.escape(place.name)}.export-*")]:
        shutil.rmtree(left, ignore_errors=True)  # does not follow a link
    return old


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder by its path there, except of the record, which lists them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}
