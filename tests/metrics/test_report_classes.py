import dataclasses

import keras
import numpy as np
import pytest

from keras_dcgan.datasets import named as named_sets
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.source import Data
from keras_dcgan.metrics import features, report, show
from keras_dcgan.networks import build_generator
from tests.metrics.test_report import Copier, all_of, named


class Artist(Copier):
    """Asked for a class, it draws an image of the class, another one each time; or of any class if it is careless."""

    def __init__(self, data, careless=False):
        super().__init__(data.images)
        self.input, self.labels, self.careless = {"latents": None, "labels": None}, data.labels, careless
        self.drawn, self.asked = [], []

    def predict(self, inputs, verbose):
        labels, indices = all_of(inputs)["labels"], []
        for label in labels:
            sheet = np.arange(len(self.labels)) if self.careless else np.flatnonzero(self.labels == label)
            indices.append(sheet[len(self.drawn + indices) % len(sheet)])
        self.drawn += indices
        self.asked += list(labels)
        return self.images[indices] / 127.5 - 1.0


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
    reference = report._order(labelled, 4000, 0, False)[:4000]
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

        def predict(self, inputs, verbose):
            images = super().predict(inputs, verbose)
            images[all_of(inputs)["labels"] == 4] = self.images[np.flatnonzero(self.labels == 4)[0]] / 127.5 - 1.0
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
    assert classes["images_needed"] == 2 * 128
    assert classes["frechet_distance"] == classes["frechet_distance_real"] == [None] * 10 and classes["worst"] is None
    assert show.as_text(figures).endswith("-: needs 256 images of the class on both sides; give more --samples")


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
    whole, pictures = report.evaluate(generator, labelled, 300, 0)
    monkeypatch.setattr(report, "CHUNK", 110)
    cut, cut_pictures = report.evaluate(generator, labelled, 300, 0)
    assert cut["generated"] == pytest.approx(whole["generated"], rel=1e-4)
    assert pictures["nearest"].shape == (4 * 16, 4 * (4 * 16) + 3 * 8, 1)
    assert pictures["copies"].shape == (4 * 16, 4 * (2 * 16) + 3 * 8, 1)
    assert np.mean(pictures["nearest"] != cut_pictures["nearest"]) < 0.05  # two neighbours may be as near
