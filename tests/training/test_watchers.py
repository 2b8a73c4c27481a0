"""What a run is watched by, with and without classes."""

import numpy as np
import pytest

from keras_dcgan.config import from_preset
from keras_dcgan.datasets import named
from keras_dcgan.training import loop, watchers
from keras_dcgan.training.recorder import TensorBoard

OPTIONS = {"width": 2, "image_size": 16, "steps": 4, "batch_size": 4, "measure_every": 0, "precision": "float32"}


@pytest.fixture
def labelled(monkeypatch, digits) -> np.ndarray:
    """Forty images, of which number i has the label i % 10 and is as bright as its label says."""
    labels = (np.arange(40) % 10).astype(np.uint8)
    images = np.full((40, 16, 16, 1), 0, np.uint8) + (25 * labels)[:, None, None, None]
    monkeypatch.setattr(named, "load_images", lambda *_: images)
    monkeypatch.setattr(named, "load_labels", lambda *_: labels)
    return labels


def make_grid(tmp_path, **options):
    config = from_preset("quick", OPTIONS | {"labels": "on"} | options)
    data = loop.open_data(config, tmp_path, chief=False)
    return watchers.make_grid_callback(config, tmp_path, data, TensorBoard(None)), data


def test_a_grid_has_a_row_for_each_class_and_the_same_latents_in_each_column(tmp_path, labelled):
    grid, _ = make_grid(tmp_path, sample_count=64)
    assert grid.columns == 6 and len(grid.reals) == 60
    assert grid.inputs["labels"].tolist() == np.arange(10).repeat(6).tolist()
    rows = grid.inputs["latents"].reshape(10, 6, -1)
    assert (rows == rows[0]).all() and (rows[0, 0] != rows[0, 1]).any()
    brightness = grid.reals.mean(axis=(1, 2, 3)).reshape(10, 6)
    np.testing.assert_allclose(brightness, np.arange(10)[:, None].repeat(6, 1) * 25, atol=1)


@pytest.mark.parametrize("log_every, steps", [(10, 500), (1, 50)])
def test_the_losses_of_few_pictures_are_not_drawn_every_epoch(tmp_path, labelled, log_every, steps):
    config = from_preset("quick", OPTIONS | {"log_every": log_every})
    losses = watchers.make(config, tmp_path, loop.open_data(config, tmp_path, chief=False))[0]
    assert losses.figure_every == steps


def test_more_classes_than_pictures_show_as_many_as_fit(tmp_path, labelled):
    grid, _ = make_grid(tmp_path, sample_count=4)
    assert grid.columns == 1 and grid.inputs["labels"].tolist() == [0, 3, 6, 9]


def test_without_labels_a_grid_is_as_before(tmp_path, labelled):
    grid, _ = make_grid(tmp_path, sample_count=4, labels="off")
    assert grid.columns is None and grid.inputs.shape == (4, 100)


def test_other_samples_have_the_datas_mix(tmp_path, labelled):
    _, data = make_grid(tmp_path)
    config = from_preset("quick", OPTIONS)
    drawn = watchers.draw_inputs(data, config, 1000, seed=3)
    assert drawn["latents"].shape == (1000, 100)
    np.testing.assert_allclose(np.bincount(drawn["labels"]) / 1000, 0.1, atol=0.04)


def test_a_run_with_classes_draws_them_and_resumes_bit_for_bit(tmp_path, labelled):
    from keras_dcgan.generators import load_classes, load_generator
    from tests.training import soak

    config = from_preset("quick", OPTIONS | {"steps": 8, "checkpoint_every": 3, "r1_every": 2})
    whole = loop.train(config, tmp_path / "whole").gan
    assert whole.classes.names == tuple("0123456789") and whole.classes.counts == (4,) * 10
    loop.train(from_preset("quick", OPTIONS | {"steps": 3, "checkpoint_every": 3, "r1_every": 2}), tmp_path / "part")
    loop.train(config, tmp_path / "part", resume=True)
    for name in ("generator.keras", "generator-raw.keras", "discriminator.keras", "history.csv"):
        assert soak.digest(tmp_path / "whole" / name) == soak.digest(tmp_path / "part" / name), name
    path = tmp_path / "whole" / "generator.keras"
    assert load_classes(path) == whole.classes
    inputs = {"latents": np.ones((2, 100), np.float32), "labels": np.array([3, 4], np.int32)}
    np.testing.assert_allclose(load_generator(path)(inputs), whole(inputs["latents"], inputs["labels"]), atol=1e-6)
