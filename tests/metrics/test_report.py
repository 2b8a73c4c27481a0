import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_dcgan.config import SettingError
from keras_dcgan.datasets import named as named_sets
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.source import Data
from keras_dcgan.metrics import features, frechet_distance, report
from keras_dcgan.networks import build_generator
from keras_dcgan.pipeline import as_generated


class Copier:
    """Draws the images that it is given, from the first on, as a generator would."""

    output_shape = (None, 28, 28, 1)  # no network has this size, but the pipeline takes it
    input = None  # not a dictionary: no labels

    def __init__(self, images):
        self.images = images

    def get_layer(self, name):
        return SimpleNamespace(output=keras.Input((5,)), num_tokens=10)

    def predict(self, latents, batch_size, verbose):
        return self.images[: len(latents)] / 127.5 - 1.0


class Artist(Copier):
    """Asked for a class, it draws an image of the class, another one each time; or of any class if it is careless."""

    def __init__(self, data, careless=False):
        super().__init__(data.images)
        self.input, self.labels, self.careless = {"latents": None, "labels": None}, data.labels, careless
        self.drawn, self.asked = [], []

    def predict(self, inputs, batch_size, verbose):
        indices = []
        for label in inputs["labels"]:
            sheet = np.arange(len(self.labels)) if self.careless else np.flatnonzero(self.labels == label)
            indices.append(sheet[len(self.drawn + indices) % len(sheet)])
        self.drawn += indices
        self.asked += list(inputs["labels"])
        return self.images[indices] / 127.5 - 1.0


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
    unmeasured = np.random.default_rng(0).permutation(1000)[2 * samples :]  # neither compared with nor in the floor
    _, picture = report.evaluate(Copier(data[unmeasured]), named(data), samples, seed=0)
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
    reference = np.random.default_rng(3).permutation(1200)[:500]
    measure = lambda seed: report.evaluate(Copier(data.images[reference]), data, 500, seed, False)  # noqa: E731
    result, picture = measure(3)
    assert picture is None
    found = result["generated"]
    assert found["frechet_distance"] < 1e-3 < result["real"]["frechet_distance"]
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert abs(found["kernel_distance"]) < 4 * found["kernel_distance_standard_error"]
    assert measure(3)[0] == result
    assert measure(4)[0]["real"] != result["real"]


def test_figures_do_not_depend_on_how_many_images_are_in_memory(mnist, monkeypatch):
    class Drawer(Copier):
        """An image that depends on its latent alone."""

        def predict(self, latents, batch_size, verbose):
            return np.clip(mnist[:1] / 127.5 - 1.0 + latents[:, :1, np.newaxis, np.newaxis], -1, 1)

    data = named(mnist[:1200], np.zeros(1200, np.uint8))
    whole, whole_picture = report.evaluate(Drawer(None), data, 400, 0)
    monkeypatch.setattr(report, "CHUNK", 250)
    cut, cut_picture = report.evaluate(Drawer(None), data, 400, 0)
    assert cut["generated"] == pytest.approx(whole["generated"], rel=1e-5)
    np.testing.assert_array_equal(cut_picture, whole_picture)


def test_images_on_disk_give_the_same_figures_and_only_some_are_searched(mnist, monkeypatch):
    copier, labels = Copier(mnist[:1000]), np.zeros(1000, np.uint8)
    in_memory, _ = report.evaluate(copier, named(mnist[:1000], labels), 100, 0)
    images = OnDisk(mnist[:1000])
    on_disk, picture = report.evaluate(copier, named(images, labels), 100, 0)
    assert on_disk == in_memory and picture is not None and sum(images.reads) == 1000 + 16 * 3
    monkeypatch.setattr(report, "SEARCHED", 300)
    images = OnDisk(mnist[:1000])
    assert report.evaluate(copier, named(images, labels), 100, 0)[0] == in_memory
    assert sum(images.reads) == 300 + 16 * 3


def test_a_generator_that_draws_nan_gives_no_figures(mnist):
    broken = Copier(np.full((100, 28, 28, 1), np.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        report.evaluate(broken, named(mnist[:1000]), 100, seed=0)


def test_without_labels_or_a_classifier_there_are_no_classes(digits, monkeypatch):
    figures, _ = report.evaluate(Copier(digits), named(digits), 20, 0)
    assert figures["features"] == "mnist-classifier" and "classes" not in figures
    monkeypatch.setattr(features, "inception_extractor", lambda: None)
    figures, _ = report.evaluate(Copier(digits), named(digits, np.zeros(40, np.uint8), "/some/faces"), 20, 0)
    assert figures["features"] == "random-network (fallback)" and "classes" not in figures


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


def test_a_picture_of_few_samples():
    samples = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    picture = report.nearest_picture(samples, [sample[np.newaxis] + 100 for sample in samples])
    bar = [128] * 8
    np.testing.assert_array_equal(
        picture[..., 0],
        [[0, 100, *bar, 1, 101, *bar, 2, 102, *bar, 3, 103], [4, 104, *bar, 5, 105, *bar, 0, 0, *bar, 0, 0]],
    )


def test_the_table_shows_every_figure_beside_its_floor():
    values = dict.fromkeys(("frechet_distance", "kernel_distance", "kernel_distance_standard_error", "coverage"), 0.25)
    classes = {"generated": [0.5, 0.5], "real": [0.1, 0.9], "total_variation": 0.4, "total_variation_real": 0.125}
    about = {"dataset": "mnist", "samples": 100, "features": "mnist-classifier"}
    text = report.as_text(about | {"generated": values, "real": dict.fromkeys(values, 1.5), "classes": classes})
    assert text.splitlines() == [
        "mnist, 100 samples, mnist-classifier features",
        "                       generated        real",
        "frechet distance          0.2500      1.5000",
        "kernel distance           0.2500      1.5000",
        "  standard error          0.2500      1.5000",
        "coverage                  0.2500      1.5000",
        "class                  generated        real",
        "0                          50.0%       10.0%",
        "1                          50.0%       90.0%",
        "total variation           0.4000      0.1250",
    ]


@pytest.fixture(scope="module")
def labelled(mnist) -> Data:
    """8,000 digits with their classes."""
    labels = named_sets.load_labels("mnist")[:8000].astype(np.int32)
    classes = Classes.of(named_sets.CLASS_NAMES["mnist"], labels)
    return Data("mnist", mnist[:8000], {}, labels, classes)


@pytest.fixture(scope="module")
def perfect(labelled):
    """An artist that draws what it is asked for, and its figures."""
    artist = Artist(labelled)
    return artist, report.evaluate(artist, labelled, 4000, 0, with_picture=False)[0]


def test_agreement_with_a_perfect_artist_is_the_accuracy_of_the_classifier(labelled, perfect):
    artist, figures = perfect
    accuracy = lambda indices, labels: np.mean(  # noqa: E731
        features.load_extractor("mnist").features_and_classes(labelled.images[indices])[1] == labels
    )
    assert figures["generated"]["agreement"] == accuracy(artist.drawn, labelled.labels[artist.drawn]) > 0.98
    reference = np.random.default_rng(0).permutation(8000)[:4000]
    assert figures["real"]["agreement"] == accuracy(reference, labelled.labels[reference])
    np.testing.assert_array_equal(artist.asked, labelled.classes.draw(4000, 0))


def test_agreement_with_an_artist_that_ignores_the_labels_is_chance(labelled, perfect):
    figures, _ = report.evaluate(Artist(labelled, careless=True), labelled, 4000, 0, with_picture=False)
    shares = np.array(labelled.classes.counts) / 8000
    assert figures["generated"]["agreement"] == pytest.approx(np.sum(shares**2), abs=0.02)
    confusion = np.array(figures["classes"]["confusion"])
    np.testing.assert_allclose(confusion.sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(confusion, np.tile(shares, (10, 1)), atol=0.06)
    classes = perfect[1]["classes"]
    assert np.diag(classes["confusion"]).min() > 0.95
    pairs = zip(classes["frechet_distance"], figures["classes"]["frechet_distance"], strict=True)
    assert all(right < wrong / 5 for right, wrong in pairs)  # what all classes together do not show:
    assert figures["generated"]["frechet_distance"] < 1


def test_the_worst_class_is_named(labelled):
    class Weak(Artist):
        """Has one picture of a four."""

        def predict(self, inputs, batch_size, verbose):
            images = super().predict(inputs, batch_size, verbose)
            images[inputs["labels"] == 4] = self.images[np.flatnonzero(self.labels == 4)[0]] / 127.5 - 1.0
            return images

    figures, _ = report.evaluate(Weak(labelled), labelled, 4000, 0, with_picture=False)
    classes = figures["classes"]
    assert classes["worst"] == "4" and np.argmax(classes["frechet_distance"]) == 4
    pairs = list(zip(classes["frechet_distance"], classes["frechet_distance_real"], strict=True))
    assert all(
        distance > 10 * floor if label == 4 else distance < 2 * floor for label, (distance, floor) in enumerate(pairs)
    )


def test_classes_of_few_images_have_no_distance(labelled):
    figures, _ = report.evaluate(Artist(labelled), labelled, 500, 0, with_picture=False)
    classes = figures["classes"]
    assert classes["images_needed"] == 2 * features.FEATURES
    assert classes["frechet_distance"] == classes["frechet_distance_real"] == [None] * 10 and classes["worst"] is None
    assert report.as_text(figures).endswith("-: needs 256 images of the class on both sides; give more --samples")


def test_classes_that_the_classifier_does_not_know_are_not_compared(labelled, monkeypatch):
    others = Classes(tuple("abcdefghij"), (1,) * 10)
    warned = []
    monkeypatch.setattr(report.logging, "warning", lambda text, *values: warned.append(text % values))
    figures, _ = report.evaluate(Artist(labelled), labelled, 100, 0, False, others)
    assert "agreement" not in figures["generated"] and "confusion" not in figures["classes"]
    assert "agreement is not measured" in warned[0]
    monkeypatch.setattr(features, "inception_extractor", lambda: None)
    figures, _ = report.evaluate(Artist(labelled), dataclasses.replace(labelled, name="/some/digits"), 100, 0, False)
    assert "agreement" not in figures["generated"] and "classes" not in figures
    assert figures["generated"]["frechet_distance"] > 0


def test_classes_that_nobody_names_are_refused(mnist):
    generator = build_generator(2, 16, 1, 5, classes=3)
    for classes in (None, Classes(("a", "b"), (1, 1))):
        with pytest.raises(ValueError, match="the generator draws 3 classes"):
            report.evaluate(generator, named(mnist[:100]), 16, 0, classes=classes)


def test_a_generator_with_classes_has_the_same_figures_in_parts_and_a_picture(labelled, monkeypatch):
    keras.utils.set_random_seed(0)
    generator = build_generator(2, 16, 1, 5, classes=10)
    whole, picture = report.evaluate(generator, labelled, 300, 0)
    monkeypatch.setattr(report, "CHUNK", 110)
    cut, cut_picture = report.evaluate(generator, labelled, 300, 0)
    assert cut["generated"] == pytest.approx(whole["generated"], rel=1e-4)
    assert picture.shape == (4 * 16, 4 * (4 * 16) + 3 * 8, 1)
    assert np.mean(picture != cut_picture) < 0.05  # two neighbours may be as near


def test_the_table_shows_what_became_of_each_class():
    values = {"agreement": 0.75}
    classes = {
        "generated": [0.5, 0.5], "real": [0.1, 0.9], "total_variation": 0.4, "total_variation_real": 0.125,
        "names": ["cat", "dog"], "confusion": [[0.75, 0.25], [0.0, 1.0]], "frechet_distance": [2.0, None],
        "frechet_distance_real": [0.5, 0.25], "images_needed": 256, "worst": "cat",
    }  # fmt: skip
    about = {"dataset": "mnist", "samples": 100, "features": "mnist-classifier"}
    text = report.as_text(about | {"generated": values, "real": {"agreement": 1.0}, "classes": classes})
    assert text.splitlines()[2:] == [
        "agreement                 0.7500      1.0000",
        "class                  generated        real",
        "cat                        50.0%       10.0%",
        "dog                        50.0%       90.0%",
        "total variation           0.4000      0.1250",
        "frechet distance in    generated        real   agreement",
        "cat                       2.0000      0.5000       75.0%",
        "dog                            -      0.2500      100.0%",
        "worst class                  cat",
        "-: needs 256 images of the class on both sides; give more --samples",
    ]
