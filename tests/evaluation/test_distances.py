"""The distances, against closed forms, a general matrix root, and sets whose answer is known."""

import numpy as np
import pytest

from training.evaluation.distances import (
    frechet,
    frechet_from_samples,
    kernel_distance,
    nearest,
    pairwise,
    precision_recall,
    spread,
)


def random_covariance(size: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, 2 * size))
    return factor @ factor.T / (2 * size)


def normal(count: int, size: int = 4, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)) + shift


# --- Fréchet ----------------------------------------------------------------------------------------------------------


def test_frechet_of_the_same_is_0_and_of_a_shift_its_square():
    covariance, mean = random_covariance(6, 0), np.arange(6.0)
    assert frechet(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)
    assert frechet(mean, covariance, mean + 2, covariance) == pytest.approx(6 * 4, abs=1e-9)


def test_frechet_of_diagonal_covariances_is_the_distance_of_standard_deviations():
    a, b = np.array([1.0, 4, 9]), np.array([4.0, 4, 0])
    assert frechet(np.zeros(3), np.diag(a), np.zeros(3), np.diag(b)) == pytest.approx(((a**0.5 - b**0.5) ** 2).sum())


def test_frechet_agrees_with_the_root_of_the_product():
    """The textbook's formula: the eigenvalues of A B, which is not symmetric."""
    a, b, shift = random_covariance(8, 1), random_covariance(8, 2), normal(1, 8)[0]
    cross = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    expected = shift @ shift + np.trace(a) + np.trace(b) - 2 * cross
    assert frechet(np.zeros(8), a, shift, b) == pytest.approx(expected, rel=1e-9)
    # symmetric
    assert frechet(shift, b, np.zeros(8), a) == pytest.approx(expected, rel=1e-9)


def test_frechet_survives_fewer_samples_than_dimensions():
    few = normal(5, 30)
    distance = frechet_from_samples(few, np.zeros(30), np.eye(30))
    assert np.isfinite(distance) and distance > 0
    assert frechet_from_samples(few, few.mean(0), np.cov(few, rowvar=False)) == pytest.approx(0, abs=1e-5)


def test_frechet_from_samples_tends_to_the_truth_from_above():
    small, large = (
        np.mean([frechet_from_samples(normal(count, 5, 1, seed), np.zeros(5), np.eye(5)) for seed in range(5)])
        for count in (40, 20_000)
    )
    assert large == pytest.approx(5, abs=0.2) and small > large


# --- kernel distance --------------------------------------------------------------------------------------------------


def test_kernel_distance_agrees_with_its_definition():
    x, y = normal(5, 3), normal(7, 3, 1, seed=1)

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    expected = (
        np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
        + np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
        - 2 * np.mean([k(a, b) for a in x for b in y])
    )
    assert kernel_distance(x, y) == pytest.approx(expected)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    same = [kernel_distance(normal(30, seed=seed), normal(30, seed=1000 + seed)) for seed in range(200)]
    assert min(same) < 0 < max(same) and abs(np.mean(same)) < 4 * np.std(same) / 200**0.5
    assert kernel_distance(normal(30), normal(30, shift=1, seed=1)) > max(same)


# --- precision and recall ---------------------------------------------------------------------------------------------


def test_precision_and_recall_of_the_same_and_of_far_sets():
    points = normal(50)
    assert precision_recall(points, points) == (1, 1)
    assert precision_recall(points, points + 100) == (0, 0)


def test_a_set_that_misses_a_mode_keeps_precision_and_loses_recall():
    near, far = normal(200, 2, seed=1), normal(200, 2, 50, seed=2)
    precision, recall = precision_recall(np.concatenate([near, far]), normal(400, 2, seed=3))
    assert precision > 0.9 and 0.4 < recall <= 0.5
    # roles swapped
    assert precision_recall(normal(400, 2, seed=3), np.concatenate([near, far])) == (recall, precision)


def test_the_ball_reaches_to_the_third_neighbour():
    # the ball of 0 and of 3 has radius 3, that of 1 and 2 radius 2
    real = np.array([[0.0], [1], [2], [3]])
    inside, outside = np.array([[5.9], [-2.9], [1.5], [1.5]]), np.array([[6.1], [-3.1], [6.1], [-3.1]])
    assert precision_recall(real, inside)[0] == 1 and precision_recall(real, outside)[0] == 0
    # radius 2 and 1: the far two are out
    assert precision_recall(real, inside, k=2)[0] == 0.5


# --- points -----------------------------------------------------------------------------------------------------------


def test_pairwise_far_from_the_origin():
    x, y = normal(6, 3, 1e6), normal(4, 3, 1e6, seed=1)
    assert np.allclose(pairwise(x, y), np.linalg.norm(x[:, None] - y[None], axis=2), rtol=1e-6)


def test_spread_of_three_corners():
    assert spread(np.array([[0.0, 0], [3, 0], [0, 4]])) == pytest.approx((3 + 4 + 5) / 3)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_nearest_finds_the_nearest_in_any_chunk(chunk):
    queries, others = normal(9, 12), normal(40, 12, seed=1)
    expected = np.linalg.norm(queries[:, None] - others[None], axis=2).min(1)
    assert np.allclose(nearest(queries, others, chunk), expected, rtol=1e-5)


def test_nearest_knows_a_copied_picture():
    faces = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    distances = nearest(faces[3:5], np.delete(faces, 4, axis=0))
    # grey levels over 192 values
    assert distances[0] < 1 and distances[1] > 500
