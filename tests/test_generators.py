import zipfile

import keras
import numpy as np
import pytest

from keras_dcgan import generators, runs
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.gan import DCGAN
from keras_dcgan.generators import (
    class_mixer,
    draw_images,
    draw_latents,
    interpolate,
    interpolate_labels,
    load_generator,
    name_classes,
    save_network,
    save_networks,
)
from keras_dcgan.networks import build_discriminator, build_generator, with_labels
from keras_dcgan.tools.files import BadFile


def compiled(**options) -> DCGAN:
    gan = DCGAN(build_generator(2, 16, 1, 5), build_discriminator(2, 16, 1))
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), **options)
    return gan


def test_a_saved_generator_draws_the_same(tmp_path):
    gan = compiled()
    save_networks(tmp_path, gan)
    latents = draw_latents(3, 5, seed=0)
    loaded = load_generator(tmp_path / runs.GENERATOR)
    np.testing.assert_allclose(loaded(latents), gan.generator(latents), atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [runs.DISCRIMINATOR, runs.GENERATOR]


def test_an_average_is_saved_beside_the_generator_as_trained(tmp_path):
    gan = compiled(ema_half_life=100.0)
    for weight in gan.generator.trainable_variables:
        weight.assign(weight * 2)
    save_networks(tmp_path, gan)
    latents = draw_latents(3, 5, seed=0)
    for name, network in ((runs.GENERATOR, gan.averaged), (runs.RAW_GENERATOR, gan.generator)):
        np.testing.assert_allclose(load_generator(tmp_path / name)(latents), network(latents), atol=1e-6)
    assert np.abs(gan.averaged(latents) - gan.generator(latents)).max() > 1e-3


def test_latents_depend_on_the_seed_alone():
    np.testing.assert_array_equal(draw_latents(3, 5, 1), draw_latents(3, 5, 1))
    assert np.any(draw_latents(3, 5, 1) != draw_latents(3, 5, 2))
    latents = draw_latents(2, 3, 7)
    assert latents.dtype == np.float32 and latents.shape == (2, 3)
    expected = [[1.52197, -1.14411, 1.15016], [-1.78465, -0.77150, 1.01916]]
    np.testing.assert_allclose(latents, expected, atol=1e-5)  # the same numbers in every release


def test_drawn_images_are_the_generators_as_uint8():
    generator, latents = build_generator(2, 16, 3, 5), draw_latents(5, 5, 0)
    images = draw_images(generator, latents, batch_size=2)
    assert images.shape == (5, 16, 16, 3) and images.dtype == np.uint8
    np.testing.assert_allclose(images, (np.asarray(generator(latents)) + 1) * 127.5, atol=0.51)


def test_many_images_are_drawn_in_parts_and_are_the_same(monkeypatch):
    generator = build_generator(2, 16, 1, 5, classes=3)
    inputs = {"latents": draw_latents(11, 5, 0), "labels": np.arange(11, dtype=np.int32) % 3}
    whole, sizes = draw_images(generator, inputs, batch_size=2), []
    monkeypatch.setattr("keras_dcgan.generators.AS_FLOATS", 4)
    predict = generator.predict

    def counted(some, **how):
        assert some.options().autotune.enabled is False  # or its end may wait for a thread that sleeps
        sizes.append(sum(len(batch["labels"]) for batch in some))
        return predict(some, **how)

    monkeypatch.setattr(generator, "predict", counted)
    np.testing.assert_array_equal(draw_images(generator, inputs, batch_size=2), whole)
    assert sizes == [4, 4, 3]


def test_a_generator_that_draws_nan_raises():
    generator = build_generator(2, 16, 1, 5)
    generator.trainable_variables[0].assign(generator.trainable_variables[0] * np.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        draw_images(generator, draw_latents(2, 5, 0))


def test_a_file_that_is_not_a_generator_is_refused_by_name(tmp_path):
    missing, text, other = tmp_path / "a.keras", tmp_path / "b.keras", tmp_path / "c.keras"
    text.write_text("hello")
    build_discriminator(2, 16, 1).save(other)
    zipped = tmp_path / "d.keras"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../evil.txt", "hello")
    for path, message in (
        (missing, "no such file"),
        (text, "not a .keras"),
        (other, "not a generator"),
        (zipped, "cannot"),
    ):
        with pytest.raises(BadFile, match=message) as caught:
            load_generator(path)
        assert path.name in str(caught.value)
    assert not (tmp_path.parent / "evil.txt").exists()


def test_interpolation_keeps_lengths_and_passes_through_the_latents():
    latents = np.eye(3, 5, dtype=np.float32) * 2
    path = np.stack(list(interpolate(latents, steps=4)))
    assert path.shape == (12, 5) and path.dtype == np.float32
    np.testing.assert_allclose(path[::4], latents, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 2, rtol=1e-5)


def test_interpolation_between_equal_latents_stays():
    path = np.stack(list(interpolate(np.ones((2, 5), np.float32), steps=3)))
    np.testing.assert_allclose(path, np.ones((6, 5)), atol=1e-6)


def test_the_classes_of_a_generator_are_those_of_its_file_or_numbers(tmp_path):
    path, classes = tmp_path / "a.keras", Classes(("cat", "dog", "owl"), (5, 1, 2))
    generator = build_generator(2, 16, 1, 5, classes=3)
    save_network(path, generator, classes)
    assert name_classes(load_generator(path), path) == classes
    save_network(path, generator)
    assert name_classes(load_generator(path), path) == Classes(("0", "1", "2"), (1, 1, 1))
    save_network(path, build_generator(2, 16, 1, 5))
    assert name_classes(load_generator(path), path) is None


def test_classes_that_do_not_fit_the_generator_or_are_damaged_are_refused(tmp_path):
    path = tmp_path / "a.keras"
    save_network(path, build_generator(2, 16, 1, 5, classes=3), Classes(("cat", "dog"), (5, 1)))
    with pytest.raises(BadFile, match=r"a\.keras: .* names 2 classes, but the generator draws 3"):
        name_classes(load_generator(path), path)
    save_network(path, build_generator(2, 16, 1, 5, classes=3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(generators.CLASSES, "[")
    with pytest.raises(BadFile, match=r"a\.keras: its classes\.json is damaged"):
        name_classes(load_generator(path), path)


def test_a_network_that_takes_labels_in_another_way_is_not_a_generator(tmp_path):
    latents, labels = keras.Input((5,), name="latents"), keras.Input((), dtype="int32", name="labels")
    x = keras.layers.Concatenate()([latents, keras.layers.Embedding(3, 11)(labels)])
    model = keras.Model({"latents": latents, "labels": labels}, keras.layers.Reshape((4, 4, 1))(x))
    model.save(tmp_path / "other.keras")
    with pytest.raises(BadFile, match="not a generator"):
        load_generator(tmp_path / "other.keras")


def test_a_mixer_draws_the_classes_as_the_generator_does_and_what_is_between_them():
    generator, latents, labels = build_generator(2, 16, 1, 5, classes=3), draw_latents(4, 5, 0), np.array([0, 2, 1, 2])
    weight = generator.get_layer("g1").kernel
    mixer = class_mixer(generator)
    weight.assign(weight * 20)  # shared, so that the mixer has it too
    mix = np.eye(3, dtype=np.float32)[labels]
    expected = np.asarray(generator(with_labels(latents, labels)))
    np.testing.assert_allclose(mixer({"latents": latents, "mix": mix}), expected, atol=1e-6)
    half = np.asarray(mixer({"latents": latents, "mix": (mix + mix[::-1]) / 2}))
    assert np.abs(half - expected).max() > 1e-3
    assert draw_images(mixer, {"latents": latents, "mix": mix}).shape == (4, 16, 16, 1)


def test_labels_are_interpolated_in_straight_lines_in_step_with_latents():
    mix = interpolate_labels(np.array([2, 0, 0]), 3, steps=4)
    expected = [[0, 0, 1], [0.25, 0, 0.75], [0.5, 0, 0.5], [0.75, 0, 0.25]]
    expected += [[1, 0, 0]] * 4
    expected += [[1, 0, 0], [0.75, 0, 0.25], [0.5, 0, 0.5], [0.25, 0, 0.75]]
    np.testing.assert_allclose(mix, expected)
    assert mix.dtype == np.float32
    assert len(interpolate_labels(np.arange(3), 3)) == len(list(interpolate(draw_latents(3, 5, 0))))
