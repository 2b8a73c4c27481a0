import json
import zipfile

import keras
import numpy as np
import pytest

from keras_dcgan import runs
from keras_dcgan.config import TrainConfig, read_config
from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator


def test_a_new_or_an_empty_folder_is_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    assert runs.check_new(tmp_path / "new") == tmp_path / "new"
    assert runs.check_new(tmp_path / "empty") == tmp_path / "empty"


def test_a_folder_with_a_run_or_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="no empty folder"):
        runs.check_new(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a run already; add --resume .*make fit FLAGS=--resume"):
        runs.check_new(tmp_path)


def test_a_start_that_was_killed_before_its_configuration_leaves_a_new_folder(tmp_path, monkeypatch):
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


def test_a_resumed_run_writes_its_settings_back_and_clears_what_a_kill_left(tmp_path):
    runs.begin(tmp_path, TrainConfig(steps=10), "CPU")
    before = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "samples").mkdir()
    for left in (".generator.tmp-abcd1234.keras", "samples/.latest.tmp-abcd1234.png"):
        (tmp_path / left).touch()
    runs.go_on(tmp_path, TrainConfig(steps=100))
    after = json.loads((tmp_path / "config.json").read_text())
    assert after == before | {"config": before["config"] | {"steps": 100}}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "samples"]


def test_begin_records_settings_versions_and_command(tmp_path):
    config = TrainConfig(width=5)
    runs.begin(tmp_path / "run", config, "CPU")
    assert read_config(tmp_path / "run" / "config.json") == config
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["versions"]["keras"] and about["versions"]["python"] and about["command"] and about["device"] == "CPU"


def test_a_saved_generator_draws_the_same(tmp_path):
    generator = build_generator(2, 16, 1, 5)
    gan = DCGAN(generator, build_discriminator(2, 16, 1))
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    runs.save_networks(tmp_path, gan)
    latents = runs.draw_latents(3, 5, seed=0)
    for path in (tmp_path, tmp_path / runs.GENERATOR):
        np.testing.assert_allclose(runs.load_generator(path)(latents), generator(latents), atol=1e-6)


def test_latents_depend_on_the_seed_alone():
    np.testing.assert_array_equal(runs.draw_latents(3, 5, 1), runs.draw_latents(3, 5, 1))
    assert np.any(runs.draw_latents(3, 5, 1) != runs.draw_latents(3, 5, 2))


def test_what_is_no_generator_is_refused_by_name(tmp_path):
    missing, text, other = tmp_path / "a.keras", tmp_path / "b.keras", tmp_path / "c.keras"
    text.write_text("hello")
    build_discriminator(2, 16, 1).save(other)
    zipped = tmp_path / "d.keras"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../evil.txt", "hello")
    for path, message in (
        (missing, "no such file"),
        (text, "not a .keras"),
        (other, "no generator"),
        (zipped, "cannot"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            runs.load_generator(path)
        assert path.name in str(caught.value)
    assert not (tmp_path.parent / "evil.txt").exists()
