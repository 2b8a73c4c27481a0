import time

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.pipeline import as_generated, choose_batches, make_dataset, to_uint8, transform


def tutorial_transform(images: np.ndarray) -> np.ndarray:
    """The MXNet tutorial's own numpy and OpenCV code, uint8 [N, 28, 28, 1] -> float32 [N, 3, 64, 64]."""
    x = np.zeros((len(images), 28, 28))
    x[:] = images[..., 0]
    x = np.asarray([cv2.resize(i, (64, 64)) for i in x])
    x = x.astype(np.float32, copy=False) / (255.0 / 2) - 1.0
    return np.tile(x.reshape((-1, 1, 64, 64)), (1, 3, 1, 1))


def test_transform_is_the_mxnet_tutorials(mnist):
    ours = transform(mnist[:200], 64, 3).numpy()
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), tutorial_transform(mnist[:200]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(28, 28, 64), (28, 28, 32), (32, 32, 256), (20, 31, 64), (64, 64, 64)]
)
def test_enlarging_agrees_with_opencv(height, width, size):
    images = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
    expected = [cv2.resize(i.astype(np.float32) / 255, (size, size)) for i in images]
    ours = (transform(images, size, 3).numpy() + 1) / 2
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 64, 64, 1), np.uint8)
    stripes[:, :, ::2] = 255  # finer than 16 pixels can show: only their mean, grey, is right
    small = transform(stripes, 16, 1).numpy()
    np.testing.assert_allclose(small[:, 1:-1, 1:-1], 0, atol=0.05)


def test_channels():
    grey = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
    tiled = transform(grey, 16, 3).numpy()
    assert tiled.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(tiled[..., 0], tiled[..., 2])
    assert transform(np.repeat(grey, 3, -1), 16, 1).shape == (2, 16, 16, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_to_uint8(channels):
    every_value = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    back = to_uint8(transform(every_value, 16, channels).numpy())
    np.testing.assert_array_equal(back, np.repeat(every_value, channels, -1))


def numbered(count: int) -> np.ndarray:
    """Images that can be told apart after the pipeline: image i is grey level i."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 1)).copy()


def order(dataset) -> list[list[int]]:
    return [to_uint8(batch.numpy())[:, 0, 0, 0].tolist() for batch in dataset]


def test_an_epoch_shows_every_image_once_and_fills_the_last_batch():
    dataset = make_dataset(numbered(10), batch_size=4, image_size=16, channels=1, seed=3)
    assert len(dataset) == 3
    assert dataset.element_spec == tf.TensorSpec((4, 16, 16, 1), tf.float32)
    batches = order(dataset)
    flat = [number for batch in batches for number in batch]
    assert sorted(flat[:10]) == list(range(10))
    assert flat[10:] == flat[:2]  # filled up from the epoch's start


def test_four_workers_see_each_of_a_million_images_once_an_epoch():
    seen = np.zeros(1_000_000, int)
    for index in range(4):
        choices = choose_batches(len(seen), batch_size=40_000, first_step=25, shard=(index, 4))
        for chosen in choices.take(25).as_numpy_iterator():
            assert chosen["indices"].shape == (10_000,)
            seen[chosen["indices"]] += 1
    assert (seen == 1).all()


def test_order_is_a_function_of_seed_and_epoch():
    make = lambda seed, **options: make_dataset(numbered(10), 5, 16, 1, seed=seed, **options)  # noqa: E731
    dataset = make(1)
    first, second = order(dataset), order(dataset)
    assert first != second  # each pass is the next epoch
    again = make(1)
    assert [order(again), order(again)] == [first, second]
    assert order(make(2)) != first
    endless = make(1, first_step=0)
    assert order(endless.take(4)) == first + second
    assert order(make(1, first_step=3).take(1)) == second[1:]  # resumes in the middle of an epoch


def test_without_shuffle_the_order_is_that_of_the_array():
    dataset = make_dataset(numbered(6), 3, 16, 1, shuffle=False)
    assert order(dataset) == order(dataset) == [[0, 1, 2], [3, 4, 5]]


def test_fewer_images_than_a_batch():
    assert order(make_dataset(numbered(2), 5, 16, 1, shuffle=False)) == [[0, 1, 0, 1, 0]]


@pytest.mark.parametrize(
    "images", [np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 1)), np.zeros((0, 8, 8, 1), np.uint8)]
)
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match="must be uint8"):
        make_dataset(images)


def test_to_uint8_is_the_inverse_of_the_pipelines_scaling():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(to_uint8(transform(levels, 16, 1)), levels)


def test_to_uint8_clips_what_is_out_of_range():
    np.testing.assert_array_equal(to_uint8([-1.5, -1.0, 0.0, 1.0, 1.5]), [0, 0, 128, 255, 255])


def test_to_uint8_refuses_what_is_not_finite():
    with pytest.raises(FloatingPointError, match="not finite"):
        to_uint8([0.0, float("nan")])


def test_reals_as_generated_take_the_pipelines_way():
    images = np.random.default_rng(0).integers(0, 256, (7, 20, 20, 3), np.uint8)
    expected = to_uint8(transform(images, 16, 1).numpy())
    np.testing.assert_array_equal(as_generated(images, 16, 1, batch_size=3), expected)


def test_an_iterator_ends_at_once(digits):
    """It used to wait, now and then, for a thread of TensorFlow's that slept: for seconds, at the end of a run."""
    iterators = [iter(make_dataset(digits, 4, 16, 1, first_step=0)) for _ in range(16)]
    reading = time.monotonic()
    while time.monotonic() < reading + 3:
        for iterator in iterators:
            next(iterator)
        time.sleep(0.02)
    start = time.monotonic()
    while iterators:
        iterators.pop()
    assert time.monotonic() - start < 0.5
    assert choose_batches(40).options().autotune.enabled is False  # without luck too


@pytest.mark.parametrize("shape", [(5,), (8, 1)])
def test_there_is_one_label_for_each_image(shape):
    with pytest.raises(ValueError, match=r"labels: shape .*; must be \[8\], one for each image"):
        make_dataset(np.zeros((8, 16, 16, 1), np.uint8), batch_size=4, labels=np.zeros(shape, np.int32))
