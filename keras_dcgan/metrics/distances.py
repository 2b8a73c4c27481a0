"""How far generated images are from real ones, measured on arrays of features; numpy only."""

import numpy as np

CHUNK_BYTES = 256 * 2**20  # of one block of the distance matrix: 50,000 x 50,000 neighbours stay far below 2 GiB


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017); 0 is best.

    Args:
      real, fake: float [N, D] and [M, D], N and M at least 2.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), where the last trace is the sum of the square roots of the eigenvalues
    of the symmetric C1^(1/2) C2 C1^(1/2). These are real and at least 0, also if the covariances are singular (N < D);
    rounding below 0 is clipped. Raises ValueError for arrays that do not fit or are not finite.

    Examples:
      >>> real = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
      >>> round(frechet_distance(real, real), 6), round(frechet_distance(real, real + 3), 6)
      (0.0, 18.0)
    """
    real, fake = checked(real, fake, at_least=2)
    covariance_real, covariance_fake = _covariance(real), _covariance(fake)
    values, vectors = np.linalg.eigh(covariance_real)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ covariance_fake @ root), 0, None)).sum()
    means = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    return float(max(0.0, means + np.trace(covariance_real) + np.trace(covariance_fake) - 2 * shared))


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The kernel distance and its standard error (Bińkowski et al. 2018); 0 in expectation for equal distributions.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, averaged over random
    subsets; it may be below 0.

    Args:
      real, fake: float [N, D] and [M, D], N and M at least 2.
      subsets, subset_size: how many draws, of how many features from each set (at most a tenth of the smaller set, so
        that the draws differ).
      seed: seed of the draws.

    The draws share features, so they are not independent: the error counts only as many of them as the smaller set
    could give without sharing. It is NaN if that is one. Raises ValueError for arrays that do not fit or are not
    finite.

    Examples:
      >>> features = np.random.default_rng(1).normal(size=(400, 4))
      >>> for fake in (features[200:], features[200:] + 1):
      ...     print("{:.1f} ± {:.1f}".format(*kernel_distance(features[:200], fake)))
      0.1 ± 0.1
      11.9 ± 1.3
    """
    real, fake = checked(real, fake, at_least=2)
    smaller = min(len(real), len(fake))
    size = max(2, min(subset_size, smaller // 10))
    generator = np.random.default_rng(seed)
    estimates = np.empty(subsets)
    for i in range(subsets):
        x = real[generator.choice(len(real), size, replace=False)]
        y = fake[generator.choice(len(fake), size, replace=False)]
        xx, yy, xy = _cubic(x, x), _cubic(y, y), _cubic(x, y)
        within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1))
        estimates[i] = within - 2 * xy.mean()
    independent = min(subsets, smaller // size)
    error = estimates.std(ddof=1) / np.sqrt(independent) if independent > 1 else np.nan
    return float(estimates.mean()), float(error)


def precision_recall_density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Around every feature lies a ball that reaches to its k-th nearest neighbour of the same set. Precision is the share
    of fakes that lie in a real's ball. Recall is the share of reals that lie in a fake's ball. Density is the mean
    number of real balls that a fake lies in, divided by k; it may be above 1. Coverage is the share of reals whose
    ball holds a fake.

    Args:
      real, fake: float [N, D] and [M, D], N and M above k.

    Raises ValueError for sets of k features or fewer, and for arrays that do not fit or are not finite.

    Examples:
      >>> real = np.arange(20.0)[:, np.newaxis]
      >>> precision_recall_density_coverage(real, np.full((20, 1), 3.0))  # the same good image again and again
      {'precision': 1.0, 'recall': 0.05, 'density': 1.4, 'coverage': 0.35}
    """
    real, fake = checked(real, fake, at_least=k + 1, why=f"k={k} neighbours", dtype=np.float32)
    centre = real.mean(axis=0)  # |x|^2 - 2 x.y + |y|^2 loses fewer digits near the origin
    real, fake = real - centre, fake - centre
    radii_real, radii_fake = _radii(real, k), _radii(fake, k)
    holders = np.zeros(len(fake), np.int64)  # for each fake: how many real balls it lies in
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in blocks(len(real), len(fake)):
        distances = squared_distances(real[rows], fake)  # (rows, M)
        within = distances <= radii_real[rows, np.newaxis]
        holders += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = (distances <= radii_fake).any(axis=1)
    return {
        "precision": float((holders > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(holders.mean() / k),
        "coverage": float(covered.mean()),
    }


def nearest(queries: np.ndarray, references: np.ndarray, count: int = 1) -> np.ndarray:
    """Indices int [N, count] of the references [M, D] that are nearest to each query [N, D], nearest first.

    Examples:
      >>> nearest(np.array([[2.2]]), np.array([[0.0], [1.0], [2.0], [5.0]]), count=2)
      array([[2, 1]])
    """
    references, queries = checked(references, queries, at_least=1, dtype=np.float32)
    centre = references.mean(axis=0)
    references, queries = references - centre, queries - centre
    found = [
        squared_distances(queries[rows], references).argsort(axis=1, kind="stable")[:, :count]
        for rows in blocks(len(queries), len(references))
    ]
    return np.concatenate(found)


def _radii(features: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each feature [N, D] to its k-th nearest neighbour, not counting itself: float32 [N]."""
    radii = np.empty(len(features), np.float32)
    for rows in blocks(len(features), len(features)):
        distances = squared_distances(features[rows], features)
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = -1  # itself comes first
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    return radii


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances [N, M] between x [N, D] and y [M, D]; about as exact as 1e-6 of their squares.

    Examples:
      >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 0.0]]))
      array([[25.,  1.]])
    """
    squared = np.sum(x * x, axis=1)[:, np.newaxis] + np.sum(y * y, axis=1) - 2 * (x @ y.T)
    return np.maximum(squared, 0, out=squared)


def blocks(rows: int, columns: int) -> list[slice]:
    """Slices of the rows, each so short that a float32 block of its rows and all columns fits `CHUNK_BYTES`."""
    size = max(1, CHUNK_BYTES // (4 * columns))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _covariance(features: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(features, rowvar=False))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values = x @ y.T / x.shape[1] + 1
    return values * values * values  # many times as fast as NumPy's power


def checked(
    real: np.ndarray, fake: np.ndarray, at_least: int, why: str = "this measure", dtype: type = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features as arrays [N, D] and [M, D]. Raises ValueError if they do not fit, saying which and why."""
    real, fake = np.asarray(real, dtype), np.asarray(fake, dtype)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features {list(real.shape)} and {list(fake.shape)}: must be [N, D] and [M, D]")
    for name, features in (("real", real), ("fake", fake)):
        if len(features) < at_least:
            raise ValueError(f"{name} features: {len(features)}; {why} needs at least {at_least}")
        if not np.isfinite(features).all():
            raise ValueError(f"{name} features: some are not finite")
    return real, fake
