import json

import numpy as np
import pytest

from keras_dcgan.datasets.classes import Classes

ANIMALS = Classes(("cat", "dog", "7"), (60, 30, 10))


def test_classes_count_their_labels():
    found = Classes.of(["a", "b", "c"], np.array([2, 0, 2, 2]))
    assert found == Classes(("a", "b", "c"), (1, 0, 3)) and len(found) == 3


def test_random_labels_have_the_datas_mix_and_depend_on_the_seed():
    drawn = ANIMALS.draw(10_000, seed=1)
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn) / 10_000, [0.6, 0.3, 0.1], atol=0.02)
    np.testing.assert_array_equal(drawn, ANIMALS.draw(10_000, seed=1))
    assert (drawn != ANIMALS.draw(10_000, seed=2)).any()


def test_a_label_is_found_by_name_then_by_number():
    assert [ANIMALS.label(name) for name in ("cat", "dog", "7", "0", "1")] == [0, 1, 2, 0, 1]
    for name in ("horse", "3", "-1", "", "²"):
        with pytest.raises(ValueError, match=r"is not a class; they are cat, dog, 7$"):
            ANIMALS.label(name)


def test_classes_survive_json():
    assert Classes.from_json(json.loads(json.dumps(ANIMALS.to_json()))) == ANIMALS


@pytest.mark.parametrize(
    "values",
    [
        {}, [], None, {"names": ["a"], "counts": []}, {"names": ["a", "a"], "counts": [1, 1]},
        {"names": [], "counts": []},
        {"names": [1], "counts": [1]}, {"names": ["a"], "counts": ["1"]}, {"names": ["a"], "counts": [0]},
    ],
)  # fmt: skip
def test_other_json_is_refused(values):
    with pytest.raises(ValueError):
        Classes.from_json(values)
