import numpy as np
import pytest

from keras_dcgan.metrics import by_class, frechet_distance
from keras_dcgan.metrics.by_class import Seen


def seen(labels, classes, features=2) -> Seen:
    """Images with random features, 3 wide for each class."""
    labels = np.array(labels)
    noise = np.random.default_rng(len(labels)).normal(size=(len(labels), features))
    return Seen((noise + 3 * labels[:, np.newaxis]).astype(np.float32), np.array(classes), labels)


def test_a_confusion_has_a_row_for_what_was_asked_and_a_column_for_what_was_seen():
    images = seen([0, 0, 0, 0, 2, 2], [0, 0, 0, 1, 1, 2])
    expected = [[0.75, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]]  # nobody asked for 1
    np.testing.assert_array_equal(by_class.confusion(images, 3), expected)
    assert by_class.agreement(images) == pytest.approx(4 / 6)


def test_a_distance_within_a_class_needs_twice_as_many_images_as_features():
    reals, fakes = seen([0] * 4 + [1] * 9 + [2] * 4, [0] * 17), seen([0] * 4 + [1] * 3 + [2] * 5, [0] * 12)
    found = by_class.distances_within(reals, fakes, 4)
    assert by_class.images_needed(reals) == 4
    assert found[1] is None and found[3] is None
    assert found[0] == frechet_distance(reals.features[:4], fakes.features[:4])
    assert found[2] == frechet_distance(reals.features[13:], fakes.features[7:])


def test_the_description_names_the_worst_class():
    reals, others = seen([0, 1] * 10, [0, 1] * 10), seen([0, 1] * 11, [0, 1] * 11)
    fakes = seen([0, 1] * 12, [0, 0] * 12)
    fakes.features[1::2] += 5
    described = by_class.describe_classes(("cat", "dog"), fakes, reals, others)
    assert described["worst"] == "dog" and described["confusion"] == [[1, 0], [1, 0]]
    assert described["frechet_distance"][1] > 40 > described["frechet_distance_real"][1]
    few = by_class.describe_classes(("cat", "dog"), fakes, seen([0, 1], [0, 1]), others)
    assert few["worst"] is None and few["frechet_distance"] == [None, None]
