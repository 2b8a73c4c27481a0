import cv2
import numpy as np
import pytest

from keras_dcgan.datasets import load_labels
from keras_dcgan.metrics import copying, distances
from keras_dcgan.metrics.copying import find_copies, thumbnails

TRAINING = 2000


def normal(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def noisy(images: np.ndarray) -> np.ndarray:
    """Images with noise of 8 grey levels."""
    noise = 8 * normal(len(images), images[0].size).reshape(images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def blurred(images: np.ndarray) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), 0.6)[..., np.newaxis] for image in images])


@pytest.fixture(scope="module")
def reals(mnist) -> np.ndarray:
    """The training pictures."""
    return thumbnails(mnist[:TRAINING])


@pytest.fixture(scope="module")
def held_out(mnist) -> np.ndarray:
    """New pictures."""
    return thumbnails(mnist[TRAINING : TRAINING + 1000])


@pytest.fixture(scope="module")
def copies(mnist) -> np.ndarray:
    """The first thousand training pictures as a generator copies them: not exactly."""
    return thumbnails(noisy(mnist[:1000]))


def test_a_thumbnail_has_averages_over_areas():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = images.reshape(2, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(2, -1)
    np.testing.assert_allclose(thumbnails(images), expected, atol=1e-3)
    assert thumbnails(images[:, :28, :28, :1]).shape == (2, 64)


@pytest.mark.parametrize("change", [np.array, noisy, blurred])
def test_a_generator_that_draws_its_training_pictures_roughly_is_found_out(mnist, reals, change):
    found = find_copies(thumbnails(change(mnist[:1000])), reals)
    assert found.figures["copied"] > 0.95 and found.figures["nearer"] > 0.97 and found.figures["expected"] == 0.05
    assert found.figures["verdict"].startswith("many samples are copies")
    assert (found.suspects == found.originals).mean() > 0.98  # it also knows what they are copies of


def test_new_real_pictures_are_no_copies(held_out, reals):
    found = find_copies(held_out, reals).figures
    assert found["copied"] == pytest.approx(0.05, abs=0.025) and found["nearer"] == pytest.approx(0.5, abs=0.05)
    assert found["verdict"] == "no sign of copying"


@pytest.mark.parametrize("change", [noisy, blurred, lambda images: blurred(blurred(blurred(images)))])
def test_bad_new_pictures_are_no_copies_either(mnist, reals, change):
    found = find_copies(thumbnails(change(mnist[TRAINING : TRAINING + 1000])), reals).figures
    assert found["copied"] < 0.08 and found["nearer"] < 0.55 and found["verdict"] == "no sign of copying"


@pytest.mark.parametrize(
    "share, verdict", [(0.5, "many samples"), (0.2, "some samples may be copies"), (0.06, "some samples may be copies")]
)
def test_if_some_samples_are_copies_their_share_is_found_and_they_come_first(copies, held_out, reals, share, verdict):
    count = int(1000 * share)
    found = find_copies(np.concatenate([held_out[count:], copies[:count]]), reals)
    assert found.figures["copied"] == pytest.approx(share + 0.05 * (1 - share), abs=0.03)
    assert found.figures["verdict"].startswith(verdict)
    assert (found.suspects[:16] >= 1000 - count).all()
    np.testing.assert_array_equal(found.originals[:16], found.suspects[:16] - (1000 - count))


@pytest.mark.parametrize("times", [2, 5])
def test_duplicates_in_the_data_neither_hide_copies_nor_make_new_pictures_look_like_some(
    copies, held_out, reals, times
):
    twice = np.concatenate([reals, *[reals[:400]] * (times - 1)])
    twice = twice[np.random.default_rng(0).permutation(len(twice))]
    assert find_copies(copies, twice).figures["copied"] > 0.95
    new = find_copies(held_out, twice).figures
    assert new["copied"] == pytest.approx(0.05, abs=0.03) and new["nearer"] == pytest.approx(0.5, abs=0.05)
    everything = np.concatenate([reals] * times)  # and if every picture is there several times
    assert find_copies(copies, everything).figures == pytest.approx(find_copies(copies, reals).figures, abs=0.01)


def test_mirrored_copies_are_found_where_the_generator_saw_mirror_images(mnist, reals, held_out, copies):
    flipped = thumbnails(noisy(mnist[:1000, :, ::-1]))
    assert find_copies(flipped, reals).figures["copied"] < 0.2  # it is not asked for them
    for drawn in (flipped, copies):
        found = find_copies(drawn, reals, mirrored=True)
        assert found.figures["copied"] > 0.95
        assert (found.suspects == found.originals).mean() > 0.98
    new = find_copies(held_out, reals, mirrored=True).figures
    assert new["copied"] == pytest.approx(0.05, abs=0.025) and new["nearer"] == pytest.approx(0.5, abs=0.05)
    assert new["verdict"] == "no sign of copying"


def test_pictures_that_are_their_own_mirror_images_count_once(mnist):
    symmetric = np.concatenate([mnist[:, :, :14], mnist[:, :, 13::-1]], axis=2)
    reals, new = thumbnails(symmetric[:TRAINING]), thumbnails(symmetric[TRAINING : TRAINING + 500])
    assert find_copies(new, reals, mirrored=True).figures == pytest.approx(find_copies(new, reals).figures, abs=1e-3)
    drawn = thumbnails(noisy(symmetric[:500]))
    assert find_copies(drawn, reals, mirrored=True).figures["copied"] > 0.95


def test_drawing_little_but_new_is_hardly_suspicious(mnist, reals):
    """The digits 1 lie closer to each other than most digits do; only the plain distance takes them for copies."""
    ones = thumbnails(mnist[10_000:20_000][load_labels("mnist")[10_000:20_000] == 1])
    plain = [np.sqrt(distances.squared_distances(x, reals)) for x in (ones, reals[:500])]
    plain[1][np.arange(500), np.arange(500)] = np.inf
    assert np.mean(plain[0].min(axis=1) < np.quantile(plain[1].min(axis=1), 0.05)) > 0.25
    assert find_copies(ones, reals).figures["copied"] < 0.12


def test_averages_of_training_pictures_are_no_copies(mnist, reals):
    pairs = (mnist[:500].astype(int) + mnist[500:1000]) // 2
    found = find_copies(thumbnails(pairs.astype(np.uint8)), reals).figures
    assert found["copied"] < 0.05 and found["nearer"] < 0.5 and found["verdict"] == "no sign of copying"


def test_the_figures_agree_with_plain_loops_for_blocks_of_any_size(monkeypatch):
    monkeypatch.setattr(copying, "LEFT_OUT", 30)
    reals = np.concatenate([normal(40), normal(5)])  # the first five twice
    fakes = np.concatenate([normal(12, seed=1), normal(40)[10:13] + 0.01])

    def relative(query, references):
        by_distance = np.linalg.norm(references - query, axis=1)
        first = by_distance.argmin()
        others = np.sort(by_distance[np.linalg.norm(references - references[first], axis=1) > 1e-6])
        return by_distance[first] / others[1], first

    def without(i):
        return reals[np.linalg.norm(reals - reals[i], axis=1) > 1e-6]

    left_out = [relative(reals[i], without(i))[0] for i in range(30)]
    found, originals = zip(*[relative(fake, reals) for fake in fakes], strict=True)
    pairs = [(a < b) + (a == b) / 2 for a in found for b in left_out]
    for size in (copying.blocks, lambda rows, columns: [slice(i, i + 1) for i in range(rows)]):
        monkeypatch.setattr(copying, "blocks", size)
        copies = find_copies(fakes, reals)
        assert copies.figures["copied"] == np.mean(np.array(found) < np.quantile(left_out, 0.05))
        assert copies.figures["nearer"] == pytest.approx(np.mean(pairs))
        np.testing.assert_array_equal(copies.suspects, np.argsort(found))
        np.testing.assert_array_equal(copies.originals % 40, np.array(originals)[copies.suspects] % 40)


def test_the_figures_are_the_same_for_features_of_another_scale_and_place(monkeypatch):
    reals, fakes = normal(300), 0.9 * normal(100, seed=1)
    moved = find_copies(1e3 * fakes + 5e4, 1e3 * reals + 5e4)
    found = find_copies(fakes, reals)
    assert moved.figures == pytest.approx(found.figures, abs=0.005)
    np.testing.assert_array_equal(moved.suspects[:5], found.suspects[:5])


def test_few_new_pictures_are_rarely_called_copies(reals):
    """Sixteen samples beside 32 pictures: by chance, 0.08 and more are often `copied`."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(100):
        chosen = reals[random.permutation(TRAINING)[:48]]
        found.append(find_copies(chosen[:16], chosen[16:]).figures)
    assert np.mean([figures["copied"] >= copying.SOME for figures in found]) > 0.1
    assert np.mean([figures["verdict"] != "no sign of copying" for figures in found]) < 0.08
    copied = find_copies(chosen[16:32] + normal(16, 64), chosen[16:]).figures
    assert copied["verdict"].startswith("many samples are copies")


def test_with_too_few_different_pictures_nothing_is_suspected():
    found = find_copies(np.zeros((20, 3)), np.zeros((50, 3))).figures
    assert found["copied"] == 0 and found["nearer"] == 0.5 and found["verdict"] == "no sign of copying"


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        find_copies(np.full((10, 3), np.nan), normal(10, 3))
    with pytest.raises(ValueError, match=r"\[10, 3\] and \[10, 2\]"):
        find_copies(normal(10, 2), normal(10, 3))
