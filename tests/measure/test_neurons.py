"""Correlations against numpy, shifts by their promise, and chance where features have nothing to do with neurons."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from autointerp.measure.arrays import Floats
from autointerp.measure.intervals import wilson
from autointerp.measure.neurons import Likeness, likeness, shifts, unlike


def sparse(x: Any) -> Any:
    return csc_array(np.asarray(x, np.float32))


def chunks(x: Floats, size: int) -> Iterator[Floats]:
    for start in range(0, len(x), size):
        yield x[start : start + size]


def slow(a: Floats, x: Floats) -> list[float]:
    """Pearson of one feature with every neuron, nan where either is constant."""
    return [float(np.corrcoef(a, n)[0, 1]) if np.ptp(a) and np.ptp(n) else np.nan for n in x.T]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(1, 4), st.integers(1, 5), st.integers(1, 40))
def test_likeness_equals_numpy_whatever_the_chunks(seed: int, positions: int, n: int, neurons: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 5, (positions, n)) * (rng.random((positions, n)) < rng.random(n))
    x = rng.normal(size=(positions, neurons)) + rng.normal(size=neurons) * 20
    x[:, rng.random(neurons) < 0.2] = 3
    moves = np.array([1, positions - 1])
    found = likeness(sparse(a), chunks(x, size), moves)
    for f in range(n):
        expected = np.array(slow(a[:, f].astype(float), x))
        if np.isnan(expected).all():
            assert found.neuron[f] == -1 and np.isnan(found.correlation[f]) and np.isnan(found.null[:, f]).all()
            continue
        assert abs(found.correlation[f]) == pytest.approx(np.nanmax(abs(expected)), abs=1e-9)
        assert found.correlation[f] == pytest.approx(expected[found.neuron[f]], abs=1e-9)
        for s, move in enumerate(moves):
            moved = np.array(slow(np.roll(a[:, f].astype(float), move), x))
            assert found.null[s, f] == pytest.approx(np.nanmax(abs(moved)), abs=1e-9)


def test_a_feature_that_is_a_neuron_is_found_with_its_sign() -> None:
    x = np.random.default_rng(0).normal(size=(500, 6))
    a = np.column_stack([np.maximum(x[:, 4], 0), np.maximum(-x[:, 2], 0), np.zeros(500), np.ones(500)])
    found = likeness(sparse(a), chunks(x, 64), shifts(3, 500, 50, 0))
    # Pearson of a normal variable with its positive part: (1/2) / sqrt(1/2 - 1 / (2 pi)) = 0.856.
    assert found.neuron.tolist() == [4, 2, -1, -1]
    np.testing.assert_allclose(found.correlation[:2], [0.856, -0.856], atol=0.04)
    assert (found.null[:, :2] < 0.3).all() and np.isnan(found.null[:, 2:]).all()
    result = unlike(found, seed=0)
    assert (result.alone.value, result.alone.n, result.alone.unscored) == (0, 2, 2)
    assert (result.by_chance.value, result.difference.value, result.difference.n) == (1, 1, 2)


def test_likeness_without_neurons_or_shifts() -> None:
    a = sparse(np.eye(4)[:, :2])
    none = likeness(a, [np.empty((4, 0))], np.array([1]))
    assert none.neuron.tolist() == [-1, -1] and np.isnan(none.correlation).all()
    plain = likeness(a, [np.eye(4)], np.empty(0, np.int64))
    assert plain.neuron.tolist() == [0, 1] and plain.null.shape == (0, 2)
    assert np.isnan(unlike(plain, 0).by_chance.value) and unlike(plain, 0).alone.value == 0
    with pytest.raises(AssertionError, match="4 positions, neurons on 3"):
        likeness(a, [np.eye(3)], np.array([1]))


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 60), st.integers(0, 99))
def test_shifts_are_a_document_apart(n: int, longest: int, spare: int, seed: int) -> None:
    positions = (n + 1) * longest + spare
    found = shifts(n, positions, longest, seed)
    around = np.diff([0, *found.tolist(), positions])
    assert len(found) == n and (around >= longest).all()
    assert found.tolist() == shifts(n, positions, longest, seed).tolist()
    with pytest.raises(ValueError, match=f"need {(n + 1) * longest} positions, not {(n + 1) * longest - 1}"):
        shifts(n, (n + 1) * longest - 1, longest, seed)


def test_shifts_are_spread_over_the_circle() -> None:
    found = np.array([shifts(1, 100, 10, seed)[0] for seed in range(3000)])
    assert (found.min(), found.max()) == (10, 90)
    assert found.mean() == pytest.approx(50, abs=1.3)  # uniform on 81 values: 3 * 23.4 / sqrt(3000)


def test_unrelated_features_are_as_like_neurons_as_chance() -> None:
    # Bursts of up to 20 positions in 4,000, against 30 neurons that drift as slowly: correlations well above those of
    # positions that know nothing of each other, by chance alone.
    rng = np.random.default_rng(0)
    starts, drift = rng.random((4000, 60)) < 0.003, rng.normal(size=(4000, 30))
    a, x = (sum(np.roll(values, t, axis=0) for t in range(20)) for values in (starts, drift))
    found = likeness(sparse(a), chunks(x, 1000), shifts(5, 4000, 100, 0))
    real, null = np.nanmean(abs(found.correlation)), np.nanmean(found.null)
    assert real == pytest.approx(null, abs=0.02) and null > 0.1
    shuffled = likeness(sparse(rng.permutation(a)), chunks(x, 1000), np.empty(0, np.int64))
    assert np.nanmean(abs(shuffled.correlation)) < null / 2  # shuffled positions would have called it a discovery


def test_shares_by_hand() -> None:
    correlation = np.array([0.1, -0.3, 0.31, -0.9, np.nan])
    null = np.array([[0.1, 0.2, 0.2, 0.2, np.nan], [0.1, 0.4, 0.2, 0.2, np.nan]])
    found = unlike(Likeness(np.array([0, 1, 2, 3, -1]), correlation, null), seed=0)
    assert (found.alone.value, found.alone.low, found.alone.high) == pytest.approx((0.5, *wilson(2, 4)))
    assert (found.alone.n, found.alone.unscored) == (4, 1)
    assert found.by_chance.value == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert found.difference.value == pytest.approx((0 - 0.5 + 1 + 1) / 4) and found.difference.unscored == 1
