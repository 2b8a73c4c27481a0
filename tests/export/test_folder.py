"""The folder of an export: replaced as a whole, whatever happens to the process that writes it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export import folder
from keras_dcgan.tools.files import BadFile

ROOT = Path(__file__).parents[2]
LOCK = ".exported.lock"


def export(out: Path, content: str) -> None:
    with folder.built_beside(out) as work:
        (work / "model").write_text(content)
        (work / folder.RECORD).write_text("{}")


def test_an_export_replaces_an_earlier_one_as_a_whole(tmp_path):
    out = tmp_path / "deep" / "exported"
    export(out, "one")
    (out / "extra").touch()
    export(out, "two")
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "model"]
    assert (out / "model").read_text() == "two"
    assert set(os.listdir(out.parent)) == {"exported", LOCK}
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_export_leaves_the_earlier_one(tmp_path, error):
    export(tmp_path / "exported", "one")
    with pytest.raises(error), folder.built_beside(tmp_path / "exported") as work:
        (work / "model").write_text("half")
        raise error
    assert (tmp_path / "exported" / "model").read_text() == "one"
    assert set(os.listdir(tmp_path)) == {"exported", LOCK}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_export_leaves_the_earlier_one_and_the_next_export_tidies_up(tmp_path, number):
    out = tmp_path / "exported"
    export(out, "one")
    program = (
        "import sys, time; from pathlib import Path; from export import folder\n"
        "with folder.built_beside(Path(sys.argv[1])) as work:\n"
        "    (work / 'model').write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, out], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout.readline() == "writing\n"
    with pytest.raises(BadFile, match="another export is writing there"):
        export(out, "two")
    process.send_signal(number)
    process.wait(timeout=60)
    process.stdout.close()
    assert (out / "model").read_text() == "one" and (out / folder.RECORD).exists()
    assert len(os.listdir(tmp_path)) == 3  # with the unfinished folder
    export(out, "two")
    assert (out / "model").read_text() == "two"
    assert set(os.listdir(tmp_path)) == {"exported", LOCK}


def test_an_export_killed_between_the_two_renames_is_repaired_by_the_next(tmp_path):
    export(tmp_path / "exported", "one")
    (tmp_path / "exported").rename(tmp_path / ".exported.old")
    (tmp_path / ".exported.export-abc").mkdir()
    with pytest.raises(RuntimeError), folder.built_beside(tmp_path / "exported"):
        assert (tmp_path / "exported" / "model").read_text() == "one"
        raise RuntimeError
    assert (tmp_path / "exported" / "model").read_text() == "one"
    assert set(os.listdir(tmp_path)) == {"exported", LOCK}


def test_an_export_that_fails_between_the_two_renames_puts_the_earlier_one_back(tmp_path, monkeypatch):
    export(tmp_path / "exported", "one")
    rename = Path.rename

    def failing(self, target):
        if ".export-" in self.name:
            raise OSError(28, "No space left on device", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        export(tmp_path / "exported", "two")
    assert (tmp_path / "exported" / "model").read_text() == "one"
    assert set(os.listdir(tmp_path)) == {"exported", LOCK}


def test_an_export_killed_before_it_removed_the_old_one_is_tidied_up_by_the_next(tmp_path):
    export(tmp_path / "exported", "one")
    (tmp_path / ".exported.old").mkdir()
    (tmp_path / ".exported.old" / "model").touch()
    export(tmp_path / "exported", "two")
    assert (tmp_path / "exported" / "model").read_text() == "two"
    assert set(os.listdir(tmp_path)) == {"exported", LOCK}


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
        assert set(os.listdir(tmp_path)) == {"disk", "exported"} and set(os.listdir(disk)) == {"place", ".place.lock"}
    (disk / "place" / folder.RECORD).unlink()
    with pytest.raises(BadFile, match="exported: this exists and is not an exported folder"):
        export(link, "three")


def test_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(BadFile, match="this exists"):
        export(tmp_path / "a", "one")


def test_tidying_up_does_not_follow_links(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "ex[port]"
    photos.mkdir()
    (photos / "me.jpg").touch()
    export(out, "one")
    (tmp_path / ".ex[port].export-link").symlink_to(photos)
    (tmp_path / ".ex[port].export-abc").mkdir()
    (tmp_path / ".ex[port].export-abc" / "link").symlink_to(photos)
    export(out, "two")
    assert not (tmp_path / ".ex[port].export-abc").exists() and os.listdir(photos) == ["me.jpg"]
    assert (out / "model").read_text() == "two"


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(BadFile, match="not an exported folder"), folder.built_beside(tmp_path / "photos"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="not an exported folder"):
        folder.check_place(tmp_path / "file")
    assert folder.check_place(tmp_path / "missing") == tmp_path / "missing"
    assert set(os.listdir(tmp_path)) == {"photos", "file"}
