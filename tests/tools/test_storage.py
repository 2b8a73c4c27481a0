"""Folders in object storage, with fsspec's store in memory; tests/test_object_storage.py has a server."""

import pytest
from absl import logging

from keras_dcgan.tools import storage
from keras_dcgan.tools.files import BadFile

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def url():
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/run"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_what_is_new_or_changed_is_sent_and_what_is_gone_is_removed(url, tmp_path, monkeypatch):
    write(tmp_path / "here", a="1", b="1", c="1")
    remote = storage.Remote(url)
    remote.send(tmp_path / "here")
    assert remote.names() == ["a", "b", "c"]
    sent = []
    put = remote.store.put_file
    monkeypatch.setattr(remote.store, "put_file", lambda here, there: (sent.append(there), put(here, there)))
    write(tmp_path / "here", b="22")
    (tmp_path / "here" / "c").unlink()
    remote.send(tmp_path / "here")
    assert sent == ["/bucket/run/b"]
    assert remote.names() == ["a", "b"] and remote.read("b") == b"22"


def test_files_that_vouch_for_others_are_sent_last_and_removed_first(url, tmp_path, monkeypatch):
    here = tmp_path / "here"
    write(here, **{"config.json": "{}", "losses.png": "", "index.json": "{}"})
    write(here / "checkpoints", **{"step-5.json": "{}", "step-5.index": "", "step-5.data-00000-of-00001": ""})
    remote, order = storage.Remote(url), []
    put, remove = remote.store.put_file, remote.store.rm_file
    monkeypatch.setattr(remote.store, "put_file", lambda here, there: (order.append(there), put(here, there)))
    monkeypatch.setattr(remote.store, "rm_file", lambda there: (order.append(there), remove(there)))
    remote.send(here)
    names = [path.removeprefix("/bucket/run/") for path in order]
    assert set(names[:3]) == {"losses.png", "checkpoints/step-5.index", "checkpoints/step-5.data-00000-of-00001"}
    assert set(names[3:]) == {"checkpoints/step-5.json", "config.json", "index.json"}
    order.clear()
    for path in (here / "checkpoints").iterdir():
        path.unlink()
    remote.send(here)
    assert order[0] == "/bucket/run/checkpoints/step-5.json" and len(order) == 3


def test_a_folder_is_fetched_as_it_was_sent_and_then_nothing_is_sent_again(url, tmp_path, monkeypatch):
    write(tmp_path / "here", a="1", **{".lock": ""})
    write(tmp_path / "here" / "samples", b="2")
    storage.Remote(url).send(tmp_path / "here")
    remote = storage.Remote(url)
    remote.fetch(tmp_path / "there", remote.names())
    assert {path.name for path in (tmp_path / "there").rglob("*")} == {"a", "samples", "b"}  # no lock
    monkeypatch.setattr(remote.store, "put_file", lambda *_: pytest.fail("was not changed"))
    remote.send(tmp_path / "there")


def test_a_name_that_leads_out_of_the_folder_is_left_out(url):
    remote = storage.Remote(url)
    remote.store.pipe_file("/bucket/run/../../secret", b"")
    remote.store.pipe_file("/bucket/run/a", b"")
    assert remote.names() == ["a"]


def test_objects_that_stand_for_folders_are_not_files(url, monkeypatch):
    remote = storage.Remote(url)
    made_by_the_console = ["/bucket/run", "/bucket/run/", "/bucket/run/samples/", "/bucket/run/samples/latest.png"]
    monkeypatch.setattr(remote.store, "find", lambda _: made_by_the_console)
    assert remote.names() == ["samples/latest.png"]


def test_a_checkpoint_that_is_not_yet_whole_is_not_sent(url, tmp_path):
    write(tmp_path / "step-5_temp", part="")
    write(tmp_path, whole="")
    remote = storage.Remote(url)
    remote.send(tmp_path)
    assert remote.names() == ["whole"]


def test_an_error_without_a_text_has_its_name(url, monkeypatch):
    def refuse(*_):
        raise TimeoutError

    remote = storage.Remote(url)
    monkeypatch.setattr(remote.store, "cat_file", refuse)
    with pytest.raises(OSError, match=r"^memory://bucket/run: TimeoutError$"):
        remote.read("a")


def test_messages_name_the_place_and_not_the_local_copy(url, capfd):
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    with (
        pytest.raises(BadFile, match=r"^memory://bucket/run/config\.json: damaged$"),
        storage.local_folder(url, fetch=False) as folder,
    ):
        logging.info("Wrote %s", folder / "grid.png")
        raise BadFile(f"{folder}/config.json: damaged")
    assert "Wrote memory://bucket/run/grid.png" in capfd.readouterr().err
    with pytest.raises(PermissionError) as denied, storage.local_folder(url, fetch=False) as folder:
        raise PermissionError(13, "no permission", str(folder / "grid.png"))
    assert denied.value.filename == "memory://bucket/run/grid.png"


def test_a_place_is_empty_if_it_holds_nothing_but_what_is_named(url, tmp_path):
    remote = storage.Remote(url)
    assert remote.is_empty()
    write(tmp_path / "here", **{"dataset.json": "{}"})
    remote.send(tmp_path / "here")
    assert not remote.is_empty() and remote.is_empty(but=["dataset.json"]) and not remote.is_empty(but=["dataset.png"])


def test_ctrl_c_while_the_rest_is_sent_says_where_the_rest_is(url, monkeypatch, capfd):
    def interrupt(*_):
        raise KeyboardInterrupt

    logging.use_absl_handler()
    monkeypatch.setattr(fsspec.filesystem("memory"), "put_file", interrupt)
    with pytest.raises(KeyboardInterrupt), storage.local_folder(url, fetch=False) as folder:
        write(folder, result="all of it")
    assert f"What was not sent is in {folder}" in capfd.readouterr().err
    assert (folder / "result").read_text() == "all of it"


def test_a_local_copy_is_sent_while_it_is_worked_on_and_again_when_the_work_fails(url, monkeypatch):
    monkeypatch.setattr(storage, "SECONDS", 0.01)
    remote = storage.Remote(url)
    with pytest.raises(ZeroDivisionError), storage.local_folder(url, fetch=True) as folder:
        write(folder, early="")
        while not remote.names():
            pass
        monkeypatch.setattr(storage, "SECONDS", 1000)
        write(folder, late="")
        _ = 1 / 0
    assert remote.names() == ["early", "late"]
    assert not folder.exists()


def test_what_cannot_be_sent_at_the_end_is_kept(url, monkeypatch):
    def refuse(*_):
        raise PermissionError("no")

    monkeypatch.setattr(fsspec.filesystem("memory"), "put_file", refuse)
    with (
        pytest.raises(OSError, match=r"memory://bucket/run: no\. What was not sent is in /.+") as raised,
        storage.local_folder(url, fetch=False) as folder,
    ):
        write(folder, result="all of it")
    assert str(folder) in str(raised.value) and (folder / "result").read_text() == "all of it"


def test_a_local_place_is_itself(tmp_path):
    with storage.local_folder(f"{tmp_path}", fetch=True) as folder:
        assert folder == tmp_path


def test_a_store_that_needs_another_package_says_so():
    with pytest.raises(OSError, match=r"requirements-cloud\.txt"):
        storage.Remote("abfs://container/run")


def test_a_fetch_that_fails_leaves_nothing_behind(url, monkeypatch, tmp_path):
    def refuse(*_):
        raise TimeoutError("no answer")

    storage.Remote(url).store.pipe_file("/bucket/run/a", b"")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fsspec.filesystem("memory"), "get_file", refuse)
    with pytest.raises(OSError, match="no answer"), storage.local_folder(url, fetch=True):
        pytest.fail("begins without its files")
    assert list(tmp_path.iterdir()) == []
