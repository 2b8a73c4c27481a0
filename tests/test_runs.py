import json
import subprocess
from pathlib import Path

import pytest

from keras_dcgan import runs
from keras_dcgan.config import SettingError, TrainConfig, setting_names
from keras_dcgan.tools.files import BadFile


def test_a_new_or_an_empty_folder_is_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    assert runs.check_new(tmp_path / "new") == tmp_path / "new"
    assert runs.check_new(tmp_path / "empty") == tmp_path / "empty"


def test_a_folder_with_a_run_or_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match="not an empty folder"):
        runs.check_new(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SettingError, match=r"already holds a run; add --resume .*make fit FLAGS=--resume"):
        runs.check_new(tmp_path)


def test_a_start_killed_before_its_configuration_leaves_a_new_folder(tmp_path, monkeypatch):
    def die():
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_git_commit", die)
    with pytest.raises(KeyboardInterrupt), runs.lock(tmp_path):
        runs.begin(tmp_path, TrainConfig(), "CPU")
    (tmp_path / ".config.tmp-abcd1234.json").touch()
    runs.check_new(tmp_path)
    monkeypatch.undo()
    runs.begin(tmp_path, TrainConfig(), "CPU")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "config.json"]


@pytest.mark.parametrize(
    "remote, url",
    [
        ("https://anna:secret@example.org/dcgan.git?a=secret", "https://example.org/dcgan.git"),
        ("/home/anna/dcgan", None),
        ("git@example.org:anna/dcgan", None),
        (None, None),
    ],
)
def test_the_address_of_the_code_holds_no_secret_and_no_path(monkeypatch, remote, url):
    monkeypatch.setattr(runs, "_git", lambda command, *_: remote if command == "config" else "abc1")
    assert runs.source_code() == {"commit": "abc1", "url": url}


def test_a_commit_says_whether_the_code_was_changed_after_it(tmp_path, monkeypatch):
    def git(*arguments):
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    (tmp_path / "code.py").write_text("1")
    for arguments in (["init"], ["add", "code.py"], ["commit", "-m", "first"], ["tag", "v1"]):
        git(*arguments)
    commit = git("rev-parse", "HEAD")
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "code.py"))
    assert runs.source_code()["commit"] == commit
    (tmp_path / "notes.txt").touch()  # not known to git
    assert runs.source_code()["commit"] == commit
    (tmp_path / "code.py").write_text("2")
    assert runs.source_code()["commit"] == f"{commit}-dirty"


def test_an_installed_package_does_not_take_the_commit_of_the_checkout_around_it(monkeypatch):
    there = Path(runs.__file__).parent
    monkeypatch.setattr(runs, "__file__", str(there / "venv/site-packages/keras_dcgan/runs.py"))
    assert runs.source_code() == {"commit": None, "url": None}


def test_a_run_that_began_with_xla_stays_on_one_device(tmp_path):
    runs.begin(tmp_path, TrainConfig(jit_compile="on"), "GPU")
    with pytest.raises(SettingError, match=r"^distribute=mirrored: this run began with XLA.*resume it on one device"):
        runs.check_resume(tmp_path, "auto", {"distribute": "mirrored"})
    assert runs.check_resume(tmp_path, "auto", {"distribute": "off"}).jit_compile == "on"


def test_a_resumed_run_writes_its_new_settings_and_removes_what_a_kill_left(tmp_path):
    runs.begin(tmp_path, TrainConfig(steps=10), "CPU")
    before = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "samples").mkdir()
    for left in (".generator.tmp-abcd1234.keras", "samples/.latest.tmp-abcd1234.png"):
        (tmp_path / left).touch()
    runs.resume(tmp_path, TrainConfig(steps=100))
    after = json.loads((tmp_path / "config.json").read_text())
    assert after == before | {"config": before["config"] | {"steps": 100}}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "samples"]


def test_begin_records_settings_versions_and_command(tmp_path):
    config = TrainConfig(width=5)
    runs.begin(tmp_path / "run", config, "CPU")
    assert runs.read_config(tmp_path / "run" / "config.json") == config
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["versions"]["keras"] and about["versions"]["python"] and about["command"] and about["device"] == "CPU"


def test_a_configuration_is_read_as_it_was_written(tmp_path):
    config = TrainConfig(seed=7)
    runs.write_config(tmp_path / "config.json", config, {"device": "CPU"})
    assert runs.read_config(tmp_path / "config.json") == config
    assert json.loads((tmp_path / "config.json").read_text())["device"] == "CPU"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "config": {"widht": 3}}', '{"config": {}}', "\xff"])
def test_a_bad_configuration_is_refused_by_name(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BadFile, match=r"config\.json: not a run's configuration"):
        runs.read_config(path)


def about(**changes):
    return {"format": runs.FORMAT, "config": TrainConfig().to_dict(), **changes}


@pytest.mark.parametrize("name", setting_names())
def test_a_missing_setting_does_not_become_the_default(tmp_path, name):
    damaged = about()
    del damaged["config"][name]
    (tmp_path / "config.json").write_text(json.dumps(damaged))
    with pytest.raises(BadFile, match=f"lacks {name}"):
        runs.read_config(tmp_path / "config.json")


@pytest.mark.parametrize("number", [0, runs.FORMAT + 1, "1", None, True, 1.0])
def test_an_unknown_format_is_refused(tmp_path, number):
    (tmp_path / "config.json").write_text(json.dumps(about(format=number)))
    with pytest.raises(BadFile, match=r"its format is .*, and this program reads 1"):
        runs.read_config(tmp_path / "config.json")


def test_a_run_folder_belongs_to_one_process(tmp_path):
    with runs.lock(tmp_path), pytest.raises(SettingError, match="another process is training"), runs.lock(tmp_path):
        pass
    with runs.lock(tmp_path):
        pass


def test_the_shape_of_the_pictures_counts_if_they_were_stretched(tmp_path, caplog):
    assert runs.read_aspect(tmp_path) == 1  # a generator alone
    for report, aspect in (
        ({"resize_mode": "stretch", "aspect": 1.5}, 1.5),
        ({"resize_mode": "stretch"}, 1),  # a named data set
        ({"resize_mode": "crop", "aspect": 1.5}, 1),
    ):
        (tmp_path / runs.DATASET_REPORT).write_text(json.dumps(report))
        assert runs.read_aspect(tmp_path) == aspect
    assert not caplog.text


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"resize_mode": "stretch", "aspect": NaN}', '{"resize_mode": "stretch", "aspect": []}']
)
def test_a_damaged_report_leaves_the_pictures_square(tmp_path, caplog, text):
    (tmp_path / runs.DATASET_REPORT).write_text(text)
    assert runs.read_aspect(tmp_path) == 1
    assert "dataset.json: cannot be read" in caplog.text and len(caplog.records) == 1


def test_a_missing_generator_names_the_others(tmp_path):
    with pytest.raises(BadFile, match=r"generator\.keras: no such file; a run writes it when it ends"):
        runs.generator_path(tmp_path, "last")
    (tmp_path / runs.BEST_GENERATOR).touch()
    with pytest.raises(BadFile, match=r"no such file; there is --which=best"):
        runs.generator_path(tmp_path, "last")
    assert runs.generator_path(tmp_path, "best") == tmp_path / runs.BEST_GENERATOR
