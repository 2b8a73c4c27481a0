import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export import folder
from keras_dcgan.quiet import quiet

ROOT = Path(__file__).parent.parent


def export(out: Path, content: str) -> None:
    with folder.built_beside(out) as work:
        (work / "model").write_text(content)
        (work / folder.RECORD).write_text("{}")


def test_an_export_takes_the_place_of_the_one_before_as_a_whole(tmp_path):
    out = tmp_path / "deep" / "exported"
    export(out, "one")
    (out / "extra").touch()
    export(out, "two")
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "model"]
    assert (out / "model").read_text() == "two"
    assert os.listdir(out.parent) == ["exported"]
    assert out.stat().st_mode & 0o777 == 0o777 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_failed_export_leaves_the_one_before(tmp_path):
    export(tmp_path / "exported", "one")
    with pytest.raises(RuntimeError), folder.built_beside(tmp_path / "exported") as work:
        (work / "model").write_text("half")
        raise RuntimeError
    assert (tmp_path / "exported" / "model").read_text() == "one"
    assert os.listdir(tmp_path) == ["exported"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_export_leaves_the_one_before_and_the_next_clears_up(tmp_path, number):
    out = tmp_path / "exported"
    export(out, "one")
    program = (
        "import sys, time; from pathlib import Path; from export import folder\n"
        "with folder.built_beside(Path(sys.argv[1])) as work:\n"
        "    (work / 'model').write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, out], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    with pytest.raises(ValueError, match="another export is writing there"):
        export(out, "two")
    process.send_signal(number)
    process.wait()
    process.stdout.close()
    assert (out / "model").read_text() == "one" and (out / folder.RECORD).exists()
    export(out, "two")
    assert (out / "model").read_text() == "two"
    assert os.listdir(tmp_path) == ["exported"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_a_folder_stays_a_link(tmp_path, there):
    disk, link = tmp_path / "disk", tmp_path / "exported"
    disk.mkdir()
    if there:
        (disk / "place").mkdir()
    link.symlink_to(disk / "place")
    for content in ("one", "two"):
        export(link, content)
        assert link.is_symlink() and (disk / "place" / "model").read_text() == content
        assert set(os.listdir(tmp_path)) == {"disk", "exported"} and os.listdir(disk) == ["place"]
    (disk / "place" / folder.RECORD).unlink()
    with pytest.raises(ValueError, match="exported: is there already and is no exported folder"):
        export(link, "three")


def test_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="is there already"):
        export(tmp_path / "a", "one")


def test_left_overs_that_are_links_or_files_are_cleared_and_what_they_point_to_is_not(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "ex[port]"
    photos.mkdir()
    (photos / "me.jpg").touch()
    export(out, "one")
    (tmp_path / ".ex[port].export-link").symlink_to(photos)
    (tmp_path / ".ex[port].export-file").touch()
    (tmp_path / ".ex[port].old").mkdir()  # as one that was killed just before its end left it
    (tmp_path / ".ex[port].old" / "model").touch()
    export(out, "two")
    assert set(os.listdir(tmp_path)) == {"photos", "ex[port]"} and os.listdir(photos) == ["me.jpg"]


def test_a_lock_that_was_removed_while_it_was_awaited_keeps_nobody_out(tmp_path, monkeypatch):
    """The one before ends, removing its lock, when it has been opened already; then a third export begins."""
    import fcntl

    lock, flock, third = tmp_path / ".exported.lock", fcntl.flock, []

    def meanwhile(file, how):
        if not third:
            lock.unlink()
            third.append(lock.open("w"))
            flock(third[0], how)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    with pytest.raises(ValueError, match="another export is writing there"):
        export(tmp_path / "exported", "one")
    third[0].close()
    export(tmp_path / "exported", "one")
    assert os.listdir(tmp_path) == ["exported"]


def test_where_names_cannot_be_swapped_they_are_changed_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(folder.ctypes, "CDLL", lambda *args, **options: object())
    export(tmp_path / "exported", "one")
    export(tmp_path / "exported", "two")
    assert (tmp_path / "exported" / "model").read_text() == "two"
    assert os.listdir(tmp_path) == ["exported"]
    (tmp_path / "exported").rename(tmp_path / ".exported.old")  # as one that was killed between the two renames left it
    with pytest.raises(RuntimeError), folder.built_beside(tmp_path / "exported"):
        raise RuntimeError
    assert (tmp_path / "exported" / "model").read_text() == "two"


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(ValueError, match="is no exported folder"), folder.built_beside(tmp_path / "photos"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is no exported folder"):
        folder.check_place(tmp_path / "file")
    folder.check_place(tmp_path / "missing")


def test_quiet_holds_back_notes_but_not_the_cause_of_a_failure(capfd):
    with quiet():
        os.write(2, b"note\n")
        print("progress", file=sys.stderr)
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError), quiet():
        os.write(2, b"the cause\n")
        raise ValueError
    assert "the cause" in capfd.readouterr().err
