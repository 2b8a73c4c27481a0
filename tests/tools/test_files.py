import errno
import os
import threading

import pytest

from keras_dcgan.tools.files import (
    atomic_path,
    is_temporary,
    lock,
    naming,
    remove_temporaries,
    sha256,
    write_text,
)
from tests.conftest import run_python


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_writer_left_is_recognised_and_removed(tmp_path):
    kept = [".lock", "a.keras", ".hidden.keras", ".a.tmp-notours.keras", "b.tmp-abcd1234.csv"]
    for name in kept:
        (tmp_path / name).touch()
    for name in ("generator-best.keras", "step_000500.png", "plain"):
        with atomic_path(tmp_path / name) as temporary:
            left = temporary.with_name(temporary.name)
            temporary.touch()
        assert is_temporary(left)
        left.touch()
        (tmp_path / name).unlink()
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("os.fsync", lambda _: done.append((tmp_path / "a").exists()))
    write_text(tmp_path / "a", "text")
    with atomic_path(tmp_path / "picture", sync=False):
        pass
    assert done == [False]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "a.csv") as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("too much")
    assert raised.value.errno == errno.ENOSPC
    assert str(raised.value).endswith(f"No space left on device: '{tmp_path / 'a.csv'}'")
    assert not list(tmp_path.iterdir())


def test_an_error_that_names_its_file_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), naming(tmp_path / "a.csv"):
        (tmp_path / "elsewhere").read_text()


def test_a_lock_is_held_by_one_process_until_it_ends(tmp_path):
    path = tmp_path / ".lock"
    program = "import sys; from keras_dcgan.tools import files\nwith files.lock(sys.argv[1]): print('held')"
    with lock(path):
        with pytest.raises(BlockingIOError), lock(path):
            pass
        refused = run_python("-c", program, path)
        assert refused.returncode == 1 and "BlockingIOError" in refused.stderr
    assert run_python("-c", program, path).stdout == "held\n"


def test_a_lock_can_be_waited_for(tmp_path):
    path, order = tmp_path / ".lock", []

    def wait():
        with lock(path, wait=True):
            order.append("second")

    with lock(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_the_sha256_of_a_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
