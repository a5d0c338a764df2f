"""Each number against arithmetic in a comment or a slow obvious version."""

from collections import Counter
from math import isnan, log2

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autointerp.measure import statistics as stats
from autointerp.measure.arrays import Floats

patient = settings(deadline=None)  # the machine may be busy


# ---- reconstruction


def explained(x: Floats, xhat: Floats) -> float:
    return stats.explained_variance(x.sum(axis=0), float((x**2).sum()), len(x), float(((x - xhat) ** 2).sum()))


def test_explained_variance_by_hand() -> None:
    # x = (0, 0), (2, 4): the mean is (1, 2), the variance 5 + 5 = 10; one residual of (1, 0): 1 - 1/10.
    assert explained(np.array([[0.0, 0], [2, 4]]), np.array([[0.0, 0], [1, 4]])) == pytest.approx(0.9)


@patient
@given(st.integers(2, 40), st.integers(1, 8), st.floats(-100, 100), st.integers(0, 99))
def test_explained_variance_against_the_definition(n: int, d: int, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + shift
    xhat = x + 0.3 * rng.normal(size=(n, d))
    mean = [sum(row[j] for row in x) / n for j in range(d)]
    total = sum((row[j] - mean[j]) ** 2 for row in x for j in range(d))
    residual = sum((row[j] - guess[j]) ** 2 for row, guess in zip(x, xhat, strict=True) for j in range(d))
    assume(total > 1e-2)
    assert explained(x, xhat) == pytest.approx(1 - residual / total, rel=1e-6, abs=1e-6)
    assert explained(x, x) == 1
    assert explained(x - shift, np.broadcast_to((x - shift).mean(axis=0), x.shape)) == pytest.approx(0, abs=1e-9)


def test_explained_variance_does_not_credit_the_mean_and_may_be_negative() -> None:
    x = np.random.default_rng(0).normal(size=(500, 16)) + 5
    assert explained(x, np.broadcast_to(x.mean(axis=0), x.shape)) == pytest.approx(0, abs=1e-9)
    assert explained(x, np.zeros_like(x)) < -20  # about -5^2: a second moment about 0 would call this 0


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
def test_explained_variance_without_variance_is_nan(n: int) -> None:
    x = np.full((n, 4), 0.1)
    assert isnan(explained(x, x))
    assert isnan(explained(x, x + 1))


# ---- controls and tokens


@patient
@given(st.integers(2, 200), st.integers(0, 99))
def test_a_derangement_is_a_permutation_without_fixed_points(n: int, seed: int) -> None:
    permutation = stats.derangement(n, np.random.default_rng(seed))
    assert sorted(permutation) == list(range(n))
    assert (permutation != np.arange(n)).all()
    np.testing.assert_array_equal(permutation, stats.derangement(n, np.random.default_rng(seed)))


def test_derangements_are_equally_frequent() -> None:
    rng = np.random.default_rng(0)
    seen = Counter(tuple(stats.derangement(4, rng).tolist()) for _ in range(4500))
    assert len(seen) == 9  # 4! (1 - 1 + 1/2 - 1/6 + 1/24) = 9
    assert all(abs(count - 500) < 4 * 21.1 for count in seen.values())  # sqrt(4500 * 1/9 * 8/9) = 21.1


def test_derangement_at_its_ends() -> None:
    rng = np.random.default_rng(0)
    assert stats.derangement(0, rng).tolist() == []
    assert stats.derangement(2, rng).tolist() == [1, 0]
    with pytest.raises(ValueError, match="at least two features"):
        stats.derangement(1, rng)


def test_token_entropy_by_hand() -> None:
    # Shares 1/2, 1/4, 1/4: 1/2 * 1 + 2 * 1/4 * 2 = 1.5 bits; tokens never seen add nothing.
    assert stats.token_entropy([4, 2, 2, 0]) == pytest.approx(1.5)
    assert str(stats.token_entropy([7])) == str(stats.token_entropy([0, 7])) == "0.0"  # not -0.0
    assert isnan(stats.token_entropy([])) and isnan(stats.token_entropy([0, 0]))


@patient
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_token_entropy_is_scale_free_and_at_most_uniform(counts: list[int]) -> None:
    entropy = stats.token_entropy(counts)
    assert -1e-12 <= entropy <= log2(sum(count > 0 for count in counts)) + 1e-12
    assert stats.token_entropy(np.array(counts) * 3) == pytest.approx(entropy)
