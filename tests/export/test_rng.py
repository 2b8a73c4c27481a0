"""The random numbers of the exported files: published words, numpy against the graph, and their distribution."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import rng
from keras_dcgan.tools.terminal import quiet

# From the Random123 distribution's tests (kat_vectors): threefry2x32 with 20 rounds.
VECTORS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("key, counter, words", VECTORS)
def test_numpy_gives_the_published_words(key, counter, words):
    drawn = rng.threefry2x32(tuple(map(np.uint32, key)), tuple(map(np.uint32, counter)))
    assert tuple(map(int, drawn)) == words


@pytest.fixture(scope="module")
def words_in_a_file():
    """The generator converted alone: key int32 [2], counter int32 [2] -> int32 [2], run by LiteRT."""

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.int32, "key"), tf.TensorSpec((2,), tf.int32, "counter")])
    def words(key, counter):
        return {"words": tf.stack(rng.threefry2x32_graph((key[0], key[1]), (counter[0], counter[1])))}

    module = tf.Module()
    module.words = words
    with quiet():
        model = tf.lite.TFLiteConverter.from_concrete_functions([words.get_concrete_function()], module).convert()
    run = Interpreter(model_content=model).get_signature_runner()
    return lambda key, counter: run(key=as_int32(key), counter=as_int32(counter))["words"].view(np.uint32)


def as_int32(values) -> np.ndarray:
    return np.array(values, np.uint32).view(np.int32)


@pytest.mark.parametrize("key, counter, words", VECTORS)
def test_a_file_gives_the_published_words(words_in_a_file, key, counter, words):
    assert tuple(map(int, words_in_a_file(key, counter))) == words


def test_a_file_and_numpy_agree_in_every_bit(words_in_a_file):
    for values in np.random.default_rng(0).integers(0, 2**32, (50, 4), dtype=np.uint32):
        key, counter = tuple(values[:2]), tuple(values[2:])
        np.testing.assert_array_equal(words_in_a_file(key, counter), rng.threefry2x32(key, counter))


def test_latents_are_normal_and_each_picture_has_its_own():
    latents = rng.draw_latents(3, range(2000), 100)
    assert latents.shape == (2000, 100) and latents.dtype == np.float32
    assert abs(latents.mean()) < 0.01 and abs(latents.std() - 1) < 0.01
    assert abs((latents**4).mean() - 3) < 0.1  # the fourth moment differs between a normal distribution and many others
    assert np.abs(np.corrcoef(latents[:, :50].ravel(), latents[:, 50:].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(rng.draw_latents(3, [1234], 100)[0], latents[1234])
    assert np.abs(rng.draw_latents(4, [0], 100) - latents[0]).max() > 1


def test_the_extreme_words_give_finite_latents(monkeypatch):
    for word in (0, 2**32 - 1):
        constant = np.full((1, 3), word, np.uint32)
        monkeypatch.setattr(rng, "threefry2x32", lambda key, counter, word=constant: (word, word))
        assert np.isfinite(rng.draw_latents(0, [0], 6)).all()


@pytest.mark.parametrize("latent_dim", [1, 7, 100])
@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, -5])
def test_the_graph_draws_what_numpy_draws(seed, latent_dim):
    drawn = rng.draw_latents_graph(tf.constant(seed), tf.constant([0, 1, 99]), latent_dim).numpy()
    np.testing.assert_allclose(drawn, rng.draw_latents(seed, [0, 1, 99], latent_dim), atol=2e-6)
