"""How far apart two sets of faces are, in a space of features. Pure functions on arrays; nothing here knows of faces.

Features are (N, D), a row per face. All sums run in float64 but those of `nearest`, which is for large sets.
"""

import numpy as np

# --- whole sets -------------------------------------------------------------------------------------------------------


def frechet(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """Squared Fréchet distance between two Gaussians: Dowson & Landau 1982, eq. 4; Heusel et al. 2017, eq. 6 (FID).

    The trace of sqrt(A B) is that of sqrt(sqrt(A) B sqrt(A)), which is symmetric: its eigenvalues are found without the
    complex numbers that a general matrix root brings, and also where there are fewer samples than dimensions.

    :param mean:       (D,).
    :param covariance: (D, D), symmetric, no negative eigenvalues but by rounding.
    :return:           0 or more.
    """
    a, b = np.asarray(covariance, np.float64), np.asarray(other_covariance, np.float64)
    difference = np.asarray(mean, np.float64) - np.asarray(other_mean, np.float64)
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    return max(float(difference @ difference + np.trace(a) + np.trace(b) - 2 * cross), 0.0)


def frechet_from_samples(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """`frechet` between the Gaussian fitted to (N, D) samples, N > 1, and a known one.

    It is biased upwards for small N (Chong & Forsyth 2020, section 3): compare only sets of the same N.
    """
    features = np.asarray(features, np.float64)
    return frechet(features.mean(0), np.cov(features, rowvar=False), mean, covariance)


def kernel_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Squared maximum mean discrepancy under k(x, y) = (x.y / D + 1)^3, unbiased: Binkowski et al. 2018, eq. 4 (KID).

    Around 0, also below it, for two sets of the same distribution, whatever their sizes.

    :param features: (N, D) with N > 1.
    :param others:   (M, D) with M > 1.
    """
    x, y = np.asarray(features, np.float64), np.asarray(others, np.float64)
    within = [
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in (_cubic(x, x), _cubic(y, y))
    ]
    return float(sum(within) - 2 * _cubic(x, y).mean())


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall, Kynkäänniemi et al. 2019, eq. 1 and 2.

    Precision: the share of generated points inside the manifold of the real ones, which is the union of balls around
    each point that reach to its k-th nearest neighbour among its own kind. Recall: the same with the roles swapped.

    :param real, generated: (N, D) and (M, D), both longer than k; use equal sizes.
    """
    between = pairwise(real, generated)
    precision = (between <= _radii(real, k)[:, None]).any(0).mean()
    recall = (between <= _radii(generated, k)[None]).any(1).mean()
    return float(precision), float(recall)


def spread(features: np.ndarray) -> float:
    """Mean Euclidean distance between two different points of a set: (N, D) with N > 1."""
    return float(pairwise(features, features).sum() / (len(features) * (len(features) - 1)))


# --- points -----------------------------------------------------------------------------------------------------------


def pairwise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N, M) Euclidean distances."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    # the identity below loses digits far from the origin
    centre = x.mean(0)
    x, y = x - centre, y - centre
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    return np.sqrt(squares.clip(0))


def nearest(queries: np.ndarray, others: np.ndarray, chunk: int = 2048) -> np.ndarray:
    """Euclidean distance from each query to the nearest of the others, in float32, `chunk` of the others at a time.

    :param queries: (N, ...), any real type; the axes behind the first are one point.
    :param others:  (M, ...), as large as memory holds.
    :return:        (N,) float32.
    """
    queries = np.asarray(queries).reshape(len(queries), -1).astype(np.float32)
    own, best = np.square(queries).sum(1), np.full(len(queries), np.inf, np.float32)
    for start in range(0, len(others), chunk):
        part = np.asarray(others[start : start + chunk]).reshape(-1, queries.shape[1]).astype(np.float32)
        best = np.minimum(best, (np.square(part).sum(1) - 2 * queries @ part.T).min(1))
    return np.sqrt((own + best).clip(0))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """(N, D) -> (N,): distance of each point to its k-th nearest neighbour, itself not counted."""
    distances = pairwise(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]
