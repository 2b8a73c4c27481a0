import pytest

from keras_dcgan.files import atomic_path, is_temporary, remove_temporaries, write_text


def test_a_failed_write_leaves_what_was_there(tmp_path):
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


def test_what_a_killed_writer_leaves_is_known_and_removed(tmp_path):
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
