import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.config import SettingError
from keras_dcgan.datasets.source import Data
from keras_dcgan.generators import draw_latents
from keras_dcgan.metrics import features, frechet_distance, report, show
from keras_dcgan.pipeline import as_generated


def all_of(batches: tf.data.Dataset):
    """The batches of a dataset as one."""
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches.as_numpy_iterator())


class Copier:
    """Draws the images that it is given, from the first on, as a generator would."""

    output_shape = (None, 28, 28, 1)  # no network has this size, but the pipeline takes it
    input = None  # not a dictionary: no labels

    def __init__(self, images):
        self.images = images

    def get_layer(self, name):
        return SimpleNamespace(output=keras.Input((5,)), num_tokens=10)

    def predict(self, latents, verbose):
        return self.images[: len(all_of(latents))] / 127.5 - 1.0


class OnDisk:
    """Images that are not an array: read when they are indexed."""

    def __init__(self, images):
        self.images, self.shape, self.ndim, self.dtype = images, images.shape, images.ndim, images.dtype
        self.reads = []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        self.reads.append(len(indices))
        return self.images[indices]


def named(images, labels=None, name="mnist") -> Data:
    return Data(name, images, {}, labels)


def test_the_nearest_reals_of_a_copy_are_its_originals_wherever_they_are(mnist):
    data, samples = mnist[:1000], 100
    unmeasured = report._order(named(data), samples, 0, True)[2 * samples :]  # neither compared with nor in the floor
    _, pictures = report.evaluate(Copier(data[unmeasured]), named(data), samples, seed=0)
    picture = pictures["nearest"]
    bars = np.split(np.arange(picture.shape[1]), np.cumsum([4 * 28, 8] * 3))[1::2]
    assert (picture[:, np.concatenate(bars)] == 128).all()
    picture = np.delete(picture, np.concatenate(bars), axis=1)
    cells = picture.reshape(4, 28, 4, 4, 28).transpose(0, 2, 3, 1, 4).reshape(16, 4, 28, 28)  # (sample, shown, H, W)
    found = cells[:, 0]
    np.testing.assert_array_equal(np.sort(found.sum((1, 2))), np.sort(data[unmeasured[:16]].sum((1, 2, 3))))
    for sample, *neighbours in cells:
        np.testing.assert_array_equal(sample, neighbours[0])
        assert not (neighbours[1] == sample).all()


def test_drawing_the_reals_themselves_is_perfect_and_numbers_repeat(mnist):
    data = named(mnist[:1200], np.repeat(np.arange(10, dtype=np.uint8), 120))
    reference = report._order(data, 500, 3, False)[:500]
    measure = lambda seed: report.evaluate(Copier(data.images[reference]), data, 500, seed, False)  # noqa: E731
    result, pictures = measure(3)
    assert pictures == {} and "copying" not in result
    found = result["generated"]
    assert found["frechet_distance"] < 1e-3 < result["real"]["frechet_distance"]
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert abs(found["kernel_distance"]) < 4 * found["kernel_distance_standard_error"]
    assert measure(3)[0] == result
    assert measure(4)[0]["real"] != result["real"]


def test_figures_do_not_depend_on_how_many_images_are_in_memory(mnist, monkeypatch):
    class Drawer(Copier):
        """An image that depends on its latent alone."""

        def predict(self, latents, verbose):
            return np.clip(mnist[:1] / 127.5 - 1.0 + all_of(latents)[:, :1, np.newaxis, np.newaxis], -1, 1)

    data = named(mnist[:1200], np.zeros(1200, np.uint8))
    whole, whole_pictures = report.evaluate(Drawer(None), data, 400, 0)
    monkeypatch.setattr(report, "CHUNK", 250)
    cut, cut_pictures = report.evaluate(Drawer(None), data, 400, 0)
    assert cut["generated"] == pytest.approx(whole["generated"], rel=1e-5)
    assert cut["copying"]["nearer"] == pytest.approx(whole["copying"]["nearer"], rel=1e-3)
    for name in ("nearest", "copies"):
        np.testing.assert_array_equal(cut_pictures[name], whole_pictures[name])


class Forger(Copier):
    """An image for each latent vector of a seed, in their order, however they are batched."""

    def __init__(self, images, seed=0):
        super().__init__(images)
        self.latents = draw_latents(len(images), 5, seed)

    def predict(self, latents, verbose):
        which = [np.flatnonzero((self.latents == latent).all(axis=1))[0] for latent in all_of(latents)]
        return self.images[which] / 127.5 - 1.0


def test_copies_of_training_pictures_are_counted_and_shown_beside_their_originals(mnist):
    new = mnist[5000:5400].copy()
    places = np.random.default_rng(1).permutation(400)[:200]
    new[places] = mnist[1000:1200]  # half of what it draws are training pictures
    figures, pictures = report.evaluate(Forger(new), named(mnist[:5000]), 400, 0)
    assert figures["copying"]["copied"] == pytest.approx(0.525, abs=0.03)
    assert figures["copying"]["verdict"].startswith("many samples are copies")
    assert figures["copying"]["expected"] == 0.05 and figures["copying"]["nearer"] > 0.7
    for x in range(0, 256, 64):  # four columns of samples and originals, with a bar after each
        np.testing.assert_array_equal(pictures["copies"][:, x : x + 28], pictures["copies"][:, x + 28 : x + 56])
    figures, pictures = report.evaluate(Forger(mnist[5000:5400]), named(mnist[:5000]), 400, 0)
    assert figures["copying"]["copied"] < 0.1 and figures["copying"]["verdict"] == "no sign of copying"
    assert (pictures["copies"][:, :28] != pictures["copies"][:, 28:56]).any()


@pytest.mark.parametrize("samples, first", [(100, "kernel_distance"), (6400, "frechet_distance")])
def test_the_figure_without_a_bias_comes_first_if_there_are_few_samples_for_each_feature(samples, first):
    reals = np.random.default_rng(0).normal(size=(samples, 128))
    found = report._distances(reals, reals[::-1], seed=0)
    assert next(iter(found)) == first and set(found) >= {"kernel_distance", "frechet_distance", "coverage"}
    half = np.random.default_rng(1).normal(size=(samples, 128))
    bias = frechet_distance(reals, half) / 128  # of the variance
    assert bias == pytest.approx(128 / (2 * samples), rel=0.35)


def test_images_on_disk_give_the_same_figures_and_only_some_are_searched(mnist, monkeypatch):
    copier, labels = Copier(mnist[:1000]), np.zeros(1000, np.uint8)
    in_memory, _ = report.evaluate(copier, named(mnist[:1000], labels), 100, 0)
    images = OnDisk(mnist[:1000])
    on_disk, pictures = report.evaluate(copier, named(images, labels), 100, 0)
    assert on_disk == in_memory and pictures and sum(images.reads) == 1000 + 16 * 3 + 16
    monkeypatch.setattr(report, "SEARCHED", 300)
    images = OnDisk(mnist[:1000])
    searched, _ = report.evaluate(copier, named(images, labels), 100, 0)
    assert searched["generated"] == in_memory["generated"] and searched["copying"] != in_memory["copying"]
    assert sum(images.reads) == 300 + 16 * 3 + 16
    assert searched["copying"]["searched"] == 300 and "searched" not in in_memory["copying"]
    assert "only 300 training pictures were searched" in show.as_text(searched)
    assert "were searched" not in show.as_text(in_memory)


def test_the_reals_are_not_those_by_which_a_run_chooses_its_best_generator(mnist, monkeypatch):
    seen = []
    monkeypatch.setattr(OnDisk, "__getitem__", lambda self, indices: (seen.append(indices), self.images[indices])[1])
    images = OnDisk(mnist[:1000])
    reference = report.make_reference(features.load_extractor("mnist"), images, 28, 1, samples=200, seed=0)
    assert not seen and reference.samples == len(reference.features) == 200  # read when asked for
    report.evaluate(Copier(mnist[:1000]), named(images), 200, seed=0, with_picture=False)
    of_run, of_evaluate = seen[0][:200], seen[1]
    assert len(of_run) == len(of_evaluate) == 200 and len(set(of_run) & set(of_evaluate)) < 80  # by chance: 40


def test_a_generator_that_draws_nan_gives_no_figures(mnist):
    broken = Copier(np.full((100, 28, 28, 1), np.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        report.evaluate(broken, named(mnist[:1000]), 100, seed=0)


def test_without_labels_or_a_classifier_there_are_no_classes(digits, monkeypatch):
    figures, _ = report.evaluate(Copier(digits), named(digits), 20, 0)
    assert figures["features"] == "mnist-classifier" and "classes" not in figures
    monkeypatch.setattr(features, "inception_extractor", lambda: None)
    figures, _ = report.evaluate(Copier(digits), named(digits, np.zeros(40, np.uint8), "/some/faces"), 20, 0)
    assert figures["features"] == "cifar10-classifier" and "classes" not in figures


def test_another_extractor_may_make_the_features(digits):
    own = features.load_extractor("photos", cheap=True)
    figures, _ = report.evaluate(Copier(digits), named(digits), 20, 0, extractor=own)
    assert figures["features"] == "cifar10-classifier" and figures["dataset"] == "mnist"


def test_a_small_data_set_gives_fewer_samples_and_a_smaller_one_is_refused(digits):
    assert report.evaluate(Copier(digits), named(digits[:35]), 10_000, 0)[0]["samples"] == 17
    with pytest.raises(SettingError, match="dataset=mnist: holds 31 images; measuring needs 32 or more"):
        report.evaluate(Copier(digits), named(digits[:31]), 16, 0)


def test_progress_counts_every_image(digits, monkeypatch):
    counted = []

    class Bar:
        def __init__(self, title, total):
            self.total = total

        def __enter__(self):
            return self

        def __exit__(self, *_):
            counted.append(self.total)

        def update(self, count):
            self.total -= count

    monkeypatch.setattr(report, "progress", Bar)
    for with_picture in (True, False):
        report.evaluate(Copier(digits), named(digits), 16, 0, with_picture)
    assert counted == [0, 0]


@pytest.mark.parametrize("count, samples, sizes", [(40, 10, (10, 10)), (35, 100, (18, 17)), (1200, 600, (600, 600))])
def test_a_reference_and_its_floor_are_two_random_halves(mnist, count, samples, sizes):
    extractor = features.load_extractor("mnist", cheap=True)
    reference = report.make_reference(extractor, mnist[:count], 32, 3, samples, seed=4)
    chosen = np.random.default_rng(4).permutation(count)[: 2 * samples]
    expected = extractor(as_generated(mnist[chosen], 32, 3))
    assert (len(reference.features), reference.samples) == sizes and reference.extractor is extractor
    np.testing.assert_allclose(reference.features, expected[: sizes[0]], atol=1e-5)
    floor = frechet_distance(expected[: sizes[0]], expected[sizes[0] :])
    assert reference.floor == pytest.approx(floor, rel=1e-4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        reference.floor = 0.0
