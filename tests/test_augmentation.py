import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan import augmentation
from keras_dcgan.config import AUGMENTATIONS
from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator


def pictures(count: int = 5, side: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_is_the_papers_three_steps_one_after_the_other(channels):
    x = pictures(channels=channels)
    brightness, saturation, contrast = np.random.default_rng(1).uniform(0, 1, (3, 5, 1, 1, 1)).astype(np.float32)
    expected = x + brightness
    if channels == 3:  # of one channel there is nothing to saturate
        grey = expected.mean(axis=3, keepdims=True)
        expected = (expected - grey) * saturation + grey
    mean = expected.mean(axis=(1, 2, 3), keepdims=True)
    expected = (expected - mean) * contrast + mean
    found = augmentation.change_color(x, *(tf.constant(v[:, 0, 0, 0]) for v in (brightness, saturation, contrast)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_shift_moves_whole_pixels_and_repeats_the_border():
    x = pictures()
    down, right = np.array([0, 3, -2, 0, 16], np.int32), np.array([0, 0, 5, -1, -16], np.int32)
    found = augmentation.translate(x, tf.constant(down), tf.constant(right)).numpy()
    for image, shifted, rows, columns in zip(x, found, down, right, strict=True):
        wide = np.pad(image, [(16, 16), (16, 16), (0, 0)], mode="edge")
        np.testing.assert_array_equal(shifted, wide[16 - rows : 32 - rows, 16 - columns : 32 - columns])


def test_a_hole_is_grey_and_half_a_side_wide_where_it_fits():
    x = pictures(side=32)
    centre = tf.constant([0.5, 0.25, 0.0, 0.999, 0.7])
    found = augmentation.cut_out(x, centre, centre).numpy()
    holes = (found == 0).all(axis=3)
    np.testing.assert_array_equal(found[~holes], x[~holes])
    assert holes[0].sum() == 16 * 16  # from pixel 8 to pixel 23, on both axes
    assert [int(hole.sum()) for hole in holes[2:4]] == [8 * 8, 9 * 9]  # a corner's is cut by the border


@pytest.mark.parametrize("policy", AUGMENTATIONS)
def test_every_image_is_changed_in_its_own_way_and_the_gradient_comes_back(policy):
    x = tf.constant(np.repeat(pictures(1), 5, axis=0))
    draws = augmentation.draw((5, augmentation.DRAWS), tf.constant([3, 4], tf.int64))
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = augmentation.augment(x, draws, policy)
    assert found.shape == x.shape and len({image.tobytes() for image in found.numpy()}) == 5
    gradient = tape.gradient(found, x, output_gradients=tf.ones_like(found)).numpy()
    assert (gradient != 0).any(axis=(1, 2, 3)).all()
    if policy == "translation":  # each pixel of the result is one of the image: their gradients add up
        np.testing.assert_allclose(gradient.sum(axis=(1, 2, 3)), 16 * 16 * 3, rtol=1e-6)
    again = tf.function(augmentation.augment, jit_compile=True)(x, draws, policy)
    np.testing.assert_allclose(again, found, atol=1e-5)


def test_draws_are_uniform_and_a_function_of_the_seed_also_in_xla():
    def draw(seed: list[int]) -> tf.Tensor:
        return augmentation.draw((1000, 7), tf.constant(seed, tf.int64))

    found = draw([-1, 5]).numpy()
    assert found.min() >= 0 and found.max() < 1
    assert abs(found.mean() - 0.5) < 0.02 and abs(found.std() - 12**-0.5) < 0.02
    np.testing.assert_array_equal(found, draw([-1, 5]))
    np.testing.assert_array_equal(found, tf.function(draw, jit_compile=True)([-1, 5]))
    assert (found != draw([-1, 6]).numpy()).any() and (found != draw([-2, 5]).numpy()).any()


def make(**options) -> DCGAN:
    keras.utils.set_random_seed(1)
    gan = DCGAN(build_generator(2, 16, 3, 5), build_discriminator(2, 16, 3), seed=1)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), **options)
    return gan


def test_reals_and_both_passes_of_the_fakes_are_changed_each_in_another_way(monkeypatch):
    gan = make(augment="color,translation", r1_weight=1.0)
    seen = []
    augment = augmentation.augment

    def watch(images, draws, policy):
        seen.append(draws.numpy())
        return augment(images, draws, policy)

    monkeypatch.setattr(augmentation, "augment", watch)
    x = tf.constant(pictures())
    gan.adversarial_step(x, tf.random.normal((5, 5)))
    assert len(seen) == 3 and len({draws.tobytes() for draws in seen}) == 3
    seen.clear()
    gan.adversarial_step(x, tf.random.normal((5, 5)))
    first, *_ = seen
    seen.clear()
    gan.steps_done.assign(1)
    gan.adversarial_step(x, tf.random.normal((5, 5)))
    assert (seen[0] != first).any()  # another step, other changes


def test_r1_is_taken_at_the_images_as_they_are_through_their_augmentation():
    """A contrast of c scales the gradient at the images by about c, so R1 by about c squared."""
    gan = make(augment="color,translation,cutout", r1_weight=1.0)
    x = tf.constant(pictures())
    draws = np.full((5, augmentation.DRAWS), 0.5, np.float32)
    draws[:, 2] = 0.0  # contrast a half; nothing else but a hole in the middle
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(gan.discriminator(augmentation.augment(x, draws, gan.augment), training=True))
    expected = 0.5 * np.square(tape.gradient(total, x)).sum(axis=(1, 2, 3)).mean()
    _, r1 = gan.score_with_r1(x, None, tf.constant(draws))
    assert float(r1) == pytest.approx(expected, rel=1e-5) and expected > 0


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 2}])
def test_fit_trains_the_same_in_every_mode(options):
    recipe = {"augment": "color,translation,cutout", "r1_weight": 1.0, "r1_every": 2}
    plain, other = make(jit_compile=False, **recipe), make(**recipe, **{"jit_compile": False, **options})
    for gan in (plain, other):
        gan.fit(tf.data.Dataset.from_tensors(pictures()).repeat(), steps_per_epoch=4, shuffle=False, verbose=0)
    tolerance = 2e-2 if "jit_compile" in options else 1e-6  # XLA rounds differently, and Adam magnifies that
    for a, b in zip(plain.metrics, other.metrics, strict=True):
        assert float(a.result()) == pytest.approx(float(b.result()), abs=tolerance)
