import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_dcgan.metrics import distances, frechet_distance, kernel_distance, nearest, precision_recall_density_coverage


def normal(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def with_moments(mean, deviations, count=1000) -> np.ndarray:
    """Features whose sample mean is exactly `mean` and whose sample covariance exactly diag(deviations^2)."""
    x = normal(count, len(mean))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)).T)
    return x * np.asarray(deviations) + np.asarray(mean)


def test_frechet_distance_of_gaussians_with_a_closed_form():
    a, b = with_moments([0, 1, 2], [1, 2, 3]), with_moments([1, 1, 4], [2, 2, 1])
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-9)


def test_frechet_distance_of_rotated_covariances_agrees_with_the_matrix_square_root():
    a, b = normal(500, 6) @ normal(6, 6, 1), normal(500, 6, 2) @ normal(6, 6, 3) + 1
    product = np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(product)  # not symmetric, but similar to a matrix that is
    root = np.sqrt(eigenvalues.real.clip(0)).sum()
    expected = (
        np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    )
    assert frechet_distance(a, b) == pytest.approx(expected - 2 * root, rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(2, 40), size=st.integers(1, 60), scale=st.sampled_from([1e-6, 1.0, 1e4]), seed=st.integers(0, 99)
)
def test_frechet_distance_is_finite_symmetric_and_zero_for_equal_sets_of_any_rank(count, size, scale, seed):
    a, b = scale * normal(count, size, seed), scale * normal(count + 1, size, seed + 1)
    distance = frechet_distance(a, b)
    assert np.isfinite(distance) and distance >= 0
    assert distance == pytest.approx(frechet_distance(b, a), rel=1e-5, abs=1e-6 * scale**2)
    assert frechet_distance(a, a) <= 1e-6 * size * scale**2


def test_frechet_distance_of_constant_features():
    assert frechet_distance(np.zeros((10, 3)), np.ones((10, 3))) == pytest.approx(3)


def test_kernel_distance_agrees_with_plain_loops():
    x, y = normal(120, 4), normal(130, 4, 1) + 0.5
    kernel = lambda a, b: (np.dot(a, b) / 4 + 1) ** 3  # noqa: E731
    generator = np.random.default_rng(7)
    estimates = []
    for _ in range(5):
        a, b = x[generator.choice(120, 12, replace=False)], y[generator.choice(130, 12, replace=False)]
        expected = 0.0
        for i in range(12):
            for j in range(12):
                if i != j:
                    expected += (kernel(a[i], a[j]) + kernel(b[i], b[j])) / (12 * 11)
                expected -= 2 * kernel(a[i], b[j]) / 144
        estimates.append(expected)
    value, error = kernel_distance(x, y, subsets=5, seed=7)  # of 12 each, a tenth of the smaller set
    assert value == pytest.approx(np.mean(estimates), rel=1e-9)
    assert error == pytest.approx(np.std(estimates, ddof=1) / np.sqrt(5), rel=1e-9)


def test_kernel_distance_is_unbiased():
    value, error = kernel_distance(normal(3000, 5), normal(3000, 5, 1), subsets=200, subset_size=100)
    assert abs(value) < 4 * error
    assert kernel_distance(normal(3000, 5), normal(3000, 5, 1) + 1, subsets=20, subset_size=100)[0] > 10 * error


def test_the_kernel_distances_standard_error_is_the_spread_over_fresh_samples():
    def measure(seed: int) -> tuple[float, float]:
        x, y = normal(1000, 8, 2 * seed), 1.5 * normal(1000, 8, 2 * seed + 1) + 0.5
        return kernel_distance(x, y, subsets=50, subset_size=100, seed=seed)

    values, errors = np.transpose([measure(seed) for seed in range(40)])
    assert 0.6 < errors.mean() / values.std(ddof=1) < 1.6  # 0.4 if each draw counts as independent


def test_the_kernel_distance_of_few_samples_has_a_large_error_or_none():
    value, error = kernel_distance(normal(200, 4), normal(200, 4, 1) + 1)
    assert value > 0 and error > 0.01 * value
    assert np.isnan(kernel_distance(normal(3, 4), normal(3, 4, 1))[1])
    same, error = kernel_distance(normal(2000, 4), normal(2000, 4))
    assert abs(same) < 4 * error


def brute_force(real, fake, k):
    def radius(points):
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]  # the first is itself

    real_radius, fake_radius = radius(real), radius(fake)
    inside = [[np.linalg.norm(r - f) <= a for f in fake] for r, a in zip(real, real_radius, strict=True)]
    recalled = [any(np.linalg.norm(r - f) <= b for f, b in zip(fake, fake_radius, strict=True)) for r in real]
    inside = np.array(inside)
    return {
        "precision": inside.any(axis=0).mean(), "recall": np.mean(recalled),
        "density": inside.sum() / (k * len(fake)), "coverage": inside.any(axis=1).mean(),
    }  # fmt: skip


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_figures_agree_with_plain_loops_for_blocks_of_any_size(k, monkeypatch):
    real, fake = normal(60, 3), 0.7 * normal(45, 3, 1) + 0.3
    expected = brute_force(real, fake, k)
    assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected)
    monkeypatch.setattr(distances, "CHUNK_BYTES", 4 * 60 * 7)
    assert precision_recall_density_coverage(real, fake, k) == pytest.approx(expected)


def test_equal_sets_are_perfect_and_distant_ones_share_nothing():
    real = normal(200, 8)
    same = precision_recall_density_coverage(real, real)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    assert same["density"] >= 1
    assert set(precision_recall_density_coverage(real, real + 100).values()) == {0.0}


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="fake features: 5; k=5 neighbours needs at least 6"):
        precision_recall_density_coverage(normal(10, 2), normal(5, 2))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(normal(10, 2), np.full((10, 2), np.nan))
    with pytest.raises(ValueError, match=r"\[10, 2\] and \[10, 3\]"):
        frechet_distance(normal(10, 2), normal(10, 3))


def test_memory_stays_within_a_few_blocks(monkeypatch):
    monkeypatch.setattr(distances, "CHUNK_BYTES", 2**20)  # 1/256 of the real one
    real, fake = normal(5000, 4).astype(np.float32), normal(5000, 4, 1).astype(np.float32)  # whole matrix: 100 MB
    tracemalloc.start()
    try:
        found = precision_recall_density_coverage(real, fake)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2**20  # with the real CHUNK_BYTES: 1.5 GiB and the features
    assert found["coverage"] > 0.9


def test_nearest_agrees_with_plain_sorting_for_blocks_of_any_size(monkeypatch):
    references, queries = normal(50, 3) + 100, normal(9, 3, 1) + 100
    expected = np.argsort(np.linalg.norm(queries[:, np.newaxis] - references, axis=2), axis=1)[:, :4]
    np.testing.assert_array_equal(nearest(queries, references, 4), expected)
    monkeypatch.setattr(distances, "CHUNK_BYTES", 4 * 50 * 2)
    np.testing.assert_array_equal(nearest(queries, references, 4), expected)
    np.testing.assert_array_equal(nearest(references[[7, 3]], references), [[7], [3]])


def test_the_distances_do_not_load_tensorflow():
    program = "import sys, keras_dcgan.metrics.copying; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, timeout=60)
