import numpy as np
import pytest

from keras_dcgan.datasets import square
from keras_dcgan.pipeline import transform


@pytest.mark.parametrize("height, width, size", [(20, 31, 64), (16, 16, 32), (64, 64, 64), (28, 28, 64)])
def test_enlarging_is_the_pipelines(height, width, size):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    ours = square.resize(image, size, size)
    pipelines = (transform(image[None], size, 3).numpy()[0] + 1) * 127.5
    np.testing.assert_allclose(ours, pipelines, atol=0.51)


def test_shrinking_averages_areas_also_if_the_other_axis_grows():
    image = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    means = image.reshape(16, 8, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(square.resize(image, 16, 16), means, atol=0.51)
    stripes = np.zeros((64, 10), np.uint8)
    stripes[::2] = 255  # finer than 16 rows can show: only their mean is right
    assert np.abs(square.resize(stripes, 16, 40).astype(int) - 127.5).max() <= 1
