import os

import numpy as np
import pytest

from keras_dcgan.datasets import folder
from tests.datasets import zoo

pytestmark = [pytest.mark.usefixtures("keras_home"), pytest.mark.filterwarnings("ignore:::PIL")]


def test_every_file_is_judged(tmp_path):
    good, bad = zoo.make(tmp_path / "mixed")
    scan = folder.scan(tmp_path / "mixed")
    problems = {scan.names[index]: reason for index, reason in scan.problems(16).items()}
    assert set(problems) == set(bad)
    for name, reason in bad.items():
        assert reason in problems[name], name
    assert set(scan.names) - set(problems) == good
    assert scan.others == 3  # labels.csv, a hidden file, a hidden folder
    assert "the same as bad/same.png" in problems["png/rgb.png"]
    assert "bad/tiny.png" not in {scan.names[i] for i in scan.problems(7)}


def test_the_report_counts_what_is_kept_and_names_what_is_skipped(mixed):
    scan = folder.scan(mixed)
    problems = scan.problems(16)
    kept = np.setdiff1d(np.arange(len(scan.names)), list(problems))
    report = scan.report(kept, problems)
    assert report["images"] == len(kept) == report["colour"] + report["grey"]
    assert (report["smallest"], report["largest"], report["median_shorter_side"]) == ("30x20", "1920x1280", 64)
    assert report["suffixes"][".png"] > 10 and len(report["fingerprint"]) == 32
    assert {"file": "bad/empty.png", "reason": "empty"} in report["skipped"]
    assert scan.report(kept[1:], problems)["fingerprint"] != report["fingerprint"]


def test_the_shape_is_the_one_that_people_see(tmp_path):
    """A phone stores an upright picture lying on its side, and says so in its EXIF block."""
    for name, kind in (("a.jpg", "JPEG"), ("b.png", "PNG"), ("c.tif", "TIFF")):
        lying = zoo.picture(name, 80, 40)
        (tmp_path / name).write_bytes(zoo.encode(lying, kind, exif=zoo.exif(6)))
    (tmp_path / "d.jpg").write_bytes(zoo.encode(zoo.picture("d", 80, 40), "JPEG", exif=zoo.exif(3)))
    scan = folder.scan(tmp_path)
    assert scan.shapes.tolist() == [[40, 80]] * 3 + [[80, 40]]
    assert scan.report(np.arange(3), {})["aspect"] == 0.5
    assert scan.report(np.arange(4), {})["aspect"] == 0.5  # the median
    assert scan.report(np.array([0, 3]), {})["aspect"] == 1.25


@pytest.fixture
def inspected(monkeypatch) -> list[str]:
    """The names of the files that are inspected."""
    names: list[str] = []
    inspect_file = folder._inspect_file
    monkeypatch.setattr(folder, "_inspect_file", lambda path: names.append(path.name) or inspect_file(path))
    return names


def test_results_are_remembered_until_a_file_changes(mixed, inspected):
    first = folder.scan(mixed)
    assert len(inspected) == len(first.names)
    inspected.clear()
    second = folder.scan(mixed)
    assert not inspected and second.problems(16) == first.problems(16)
    np.testing.assert_array_equal(first.digests, second.digests)
    (mixed / "png" / "rgba.png").write_bytes(zoo.encode(zoo.picture("new"), "PNG"))
    (mixed / "added.png").write_bytes(zoo.encode(zoo.picture("added"), "PNG"))
    (mixed / "gif" / "palette.gif").unlink()
    third = folder.scan(mixed)
    assert sorted(inspected) == ["added.png", "rgba.png"]
    assert "gif/palette.gif" not in third.names


def test_another_release_of_the_libraries_inspects_again(tmp_path, inspected, monkeypatch):
    pictures = zoo.numbered(tmp_path / "n", 3)
    folder.scan(pictures)
    monkeypatch.setattr(folder, "heif_version", lambda: "installed just now")
    folder.scan(pictures)
    assert len(inspected) == 6


def test_a_damaged_memory_is_replaced(mixed, tmp_path, caplog):
    first = folder.scan(mixed, tmp_path / "memory")
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_bytes(memory.read_bytes()[:500])
    assert folder.scan(mixed, tmp_path / "memory").problems(16) == first.problems(16)
    assert str(memory) in caplog.text
    caplog.clear()
    folder.scan(mixed, tmp_path / "memory")
    assert not caplog.text


def test_an_interrupted_inspection_resumes(tmp_path, monkeypatch):
    pictures = zoo.numbered(tmp_path / "many", 200)
    names = []
    inspect_file = folder._inspect_file

    def interrupted(path):
        names.append(path)
        if len(names) == 190:
            raise KeyboardInterrupt
        return inspect_file(path)

    monkeypatch.setattr(folder, "_inspect_file", interrupted)
    monkeypatch.setattr(folder, "REMEMBER_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        folder.scan(pictures, threads=1)
    before = len(names)
    assert not folder.scan(pictures, threads=1).problems(1)
    assert len(names) - before < 200


def test_odd_names_links_and_pipes(tmp_path):
    odd = zoo.numbered(tmp_path / "odd", 2)
    (odd / "gone.png").symlink_to(odd / "nowhere.png")
    (odd / "linked.png").symlink_to(odd / "000.png")
    (odd / "loop").symlink_to(odd)
    os.mkfifo(odd / "pipe.png")
    os.rename(odd / "001.png", os.fsencode(odd) + b"/\xff\xfe \n.png")
    scan = folder.scan(odd)
    assert {scan.names[i]: reason for i, reason in scan.problems(1).items()} == {
        "gone.png": "cannot be read: No such file or directory",
        "linked.png": "the same as 000.png",
    }
    assert len(scan.names) == 4 and scan.others == 2
    assert folder.scan(odd).names == scan.names
