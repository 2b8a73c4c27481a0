"""Folders in object storage: s3://, gs:// and whatever else fsspec can open.

Programs read and write local files, so a folder in object storage has a local copy: `fetch` brings it, `send` takes
back what has changed. There are no locks and no renames in object storage; so files that vouch for others, such as the
index of prepared images, are sent last, and a reader never finds one without what it vouches for.
"""

import contextlib
import fnmatch
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from logging import LogRecord, getLogger
from pathlib import Path

from absl import logging

from keras_dcgan.tools.files import LOCK, is_temporary
from keras_dcgan.tools.terminal import progress

SECONDS = 30.0  # between two looks for files to send
VOUCHING = ("*/step-*.json", "index.json", "config.json")


def is_remote(place: str | Path) -> bool:
    """Whether a place is in object storage.

    Examples:
      >>> is_remote("s3://bucket/faces"), is_remote("runs/faces")
      (True, False)
    """
    return "://" in str(place)


class Remote:
    """A folder in object storage.

    All that it does raises OSError, naming the URL, if the store refuses or cannot be reached, or if the package that
    fsspec needs for it is not installed.

    Args:
      url: such as s3://bucket/runs/faces. Credentials are found as fsspec's packages find them: s3fs as Amazon's own
        tools, gcsfs as Google's.

    Examples:
      >>> folder = Path("faces")
      >>> folder.mkdir()
      >>> _ = (folder / "config.json").write_text("{}")
      >>> remote = Remote("memory://bucket/faces")
      >>> remote.send(folder)
      >>> remote.names()
      ['config.json']
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of the files as they are in the store
        with self._naming():
            import fsspec

            for name in ("aiobotocore", "botocore"):  # which say where they found credentials
                getLogger(name).setLevel("WARNING")
            self.store, root = fsspec.core.url_to_fs(self.url)
            self.root = root.rstrip("/")

    def names(self) -> list[str]:
        """The paths of its files, relative to the folder; an empty list if the folder does not exist."""
        with self._naming():
            self.store.invalidate_cache()
            paths = self.store.find(self.root)
        # S3's console makes an empty object for a folder, whose name ends in a slash or is that of the root.
        inside = [path for path in paths if path.startswith(self.root + "/") and not path.endswith("/")]
        names = [path.removeprefix(self.root + "/") for path in inside]
        return [name for name in names if name != LOCK and ".." not in name.split("/")]

    def is_empty(self, but: Iterable[str] = ()) -> bool:
        """Whether it holds no files but these. Tries to write one, so that a store that refuses says so at once."""
        with self._naming():
            self.store.pipe_file(f"{self.root}/{LOCK}", b"")
        return not set(self.names()) - set(but)

    def read(self, name: str) -> bytes:
        """The content of a small file."""
        with self._naming():
            return self.store.cat_file(f"{self.root}/{name}")

    def fetch(self, folder: Path, names: Iterable[str]) -> None:
        """Brings files into a local folder, with a progress bar."""
        names = list(names)
        with self._naming(), progress(f"Fetching {self.url}", len(names), "file") as bar:
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                self.store.get_file(f"{self.root}/{name}", str(folder / name))
                bar.update()
        self._sent = _look(folder)

    def send(self, folder: Path) -> None:
        """Sends the files of a local folder that are new or have changed, and removes those that it no longer has."""
        now = _look(folder)
        changed = [name for name, state in now.items() if self._sent.get(name) != state]
        for name in sorted(changed, key=lambda name: (_vouches(name), name)):
            try:
                with self._naming():
                    self.store.put_file(str(folder / name), f"{self.root}/{name}")
            except OSError:
                if (folder / name).exists():
                    raise
                continue  # an old checkpoint, removed meanwhile
            self._sent[name] = now[name]
        for name in sorted(self._sent.keys() - now.keys(), key=_vouches, reverse=True):
            with self._naming(), contextlib.suppress(FileNotFoundError):
                self.store.rm_file(f"{self.root}/{name}")
            del self._sent[name]

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            raise OSError(f"{self.url}: {error}; run: pip install -r requirements-cloud.txt") from error
        except Exception as error:  # each store has its own
            raise OSError(f"{self.url}: {str(error) or type(error).__name__}") from error


@contextlib.contextmanager
def local_folder(place: str, fetch: bool, skip: str | None = None) -> Iterator[Path]:
    """The folder at a place, to work in: itself, or for one in object storage a local copy.

    The copy begins empty, or with `fetch` as what is there, but for the sub-folder `skip`. What changes in it is sent
    every half minute and at the end. A store that cannot be reached meanwhile is only a warning. If it cannot be
    reached at the end, the copy is kept, and OSError says where. Until then, what is logged or raised names the place,
    not the copy.

    Examples:
      >>> with local_folder("memory://bucket/notes", fetch=False) as folder:
      ...     _ = (folder / "a.txt").write_text("all of it")
      >>> Remote("memory://bucket/notes").read("a.txt")
      b'all of it'
    """
    if not is_remote(place):
        yield Path(place)
        return
    remote = Remote(place)
    names = [name for name in remote.names() if not name.startswith(f"{skip}/")] if fetch else []
    folder = Path(tempfile.mkdtemp(prefix="keras_dcgan-"))
    try:
        remote.fetch(folder, names)
    except BaseException:  # a Ctrl-C too
        shutil.rmtree(folder)
        raise
    ended = threading.Event()
    sender = threading.Thread(target=_keep_sending, args=(remote, folder, ended), daemon=True)
    sender.start()
    try:
        with _renaming(str(folder), remote.url):
            yield folder
    finally:
        try:
            ended.set()
            sender.join()
            remote.send(folder)
        except OSError as error:
            raise OSError(f"{error}. What was not sent is in {folder}") from error
        except KeyboardInterrupt:
            logging.warning("What was not sent is in %s", folder)
            raise
        shutil.rmtree(folder)


@contextlib.contextmanager
def _renaming(old: str, new: str) -> Iterator[None]:
    """Puts another text in place of one in what is logged, and in what is raised."""

    def rename(record: LogRecord) -> bool:
        record.msg, record.args = record.getMessage().replace(old, new), ()
        return True

    handler = logging.get_absl_handler()
    handler.addFilter(rename)
    try:
        yield
    except Exception as error:
        error.args = tuple(part.replace(old, new) if isinstance(part, str) else part for part in error.args)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = os.fsdecode(error.filename).replace(old, new)
        raise
    finally:
        handler.removeFilter(rename)


def _keep_sending(remote: Remote, folder: Path, ended: threading.Event) -> None:
    while not ended.wait(SECONDS):
        try:
            remote.send(folder)
        except OSError as error:
            logging.warning("%s. It goes on, and tries again", error)


def _look(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file that is worth sending."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.endswith("_temp")]  # in which TensorFlow makes a checkpoint
        for path in (Path(place, name) for name in names):
            # A lock says nothing about another machine.
            if path.name != LOCK and not is_temporary(path):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    state = path.stat()
                    found[path.relative_to(folder).as_posix()] = state.st_size, state.st_mtime_ns
    return found


def _vouches(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in VOUCHING)
