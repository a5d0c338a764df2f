"""Correlations against arithmetic in a comment, and scipy."""

from dataclasses import astuple
from math import isnan, nan, pi
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from autointerp.measure import correlation
from autointerp.measure.arrays import Floats

patient = settings(deadline=None)  # the machine may be busy

Pairs = tuple[Floats, Floats]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """Two columns of whole numbers, often tied, neither of them constant."""
    rows = draw(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 9)), min_size=2, max_size=25))
    x, y = (np.array(column, float) for column in zip(*rows, strict=True))
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    return x, y


# ---- of activations


def test_pearson_by_hand() -> None:
    # x = 0, 0, 3 and y = 1, 0, 2, both of mean 1: xy = -1*0 + -1*-1 + 2*1 = 3, xx = 6, yy = 2: 3 / sqrt(12).
    x, y = np.array([0.0, 0, 3]), np.array([1.0, 0, 2])
    assert correlation.pearson(x, y, np.ones(3)) == pytest.approx(3 / np.sqrt(12))
    # Weights 2, 1, 1: means 3/4 and 1. xy = 2*0 + 3/4 + 9/4 = 3, xx = 3 * 9/16 + 81/16 = 27/4, yy = 2: 3 / sqrt(13.5).
    assert correlation.pearson(x, y, np.array([2.0, 1, 1])) == pytest.approx(3 / np.sqrt(13.5))


@patient
@given(pairs(), st.randoms(use_true_random=False))
def test_pearson_equals_scipy_and_is_symmetric_and_blind_to_lines_and_order(case: Pairs, random: Random) -> None:
    x, y = case
    weight = np.array([random.uniform(0.1, 3) for _ in x])
    assert correlation.pearson(x, y, np.ones(x.size)) == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)
    r = pytest.approx(correlation.pearson(x, y, weight), abs=1e-9)
    assert correlation.pearson(y, x, weight) == r
    assert correlation.pearson(7 - 3 * x, 5 - 2 * y, 10 * weight) == r
    order = random.sample(range(x.size), x.size)
    assert correlation.pearson(x[order], y[order], weight[order]) == r
    assert -1 <= correlation.pearson(x, y, weight) <= 1
    assert correlation.pearson(x, 2 * x - 1, weight) == pytest.approx(1)
    assert correlation.pearson(x, -x, weight) == pytest.approx(-1)


@patient
@given(pairs(), st.data())
def test_pearson_takes_a_whole_weight_for_copies(case: Pairs, data: st.DataObject) -> None:
    x, y = case
    rows = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=x.size, max_size=x.size), min_size=1)))
    expected = [correlation.pearson(x.repeat(row), y.repeat(row), np.ones(row.sum())) for row in rows]
    np.testing.assert_allclose(correlation.pearson(x, y, rows.astype(float)), expected, atol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("level", [0.0, 0.1, 1e6, -1e-6])
def test_pearson_of_a_constant_is_0_where_predicted_and_undefined_where_true(level: float) -> None:
    varies, constant, weight = np.array([0.3, 0, 2]), np.full(3, level), np.array([0.7, 0.1, 0.3])
    assert correlation.pearson(varies, constant, weight) == 0
    assert isnan(correlation.pearson(constant, varies, weight))
    assert isnan(correlation.pearson(constant, constant, weight))


@pytest.mark.filterwarnings("error")
def test_pearson_without_items_or_weight_is_nan() -> None:
    assert isnan(correlation.pearson(np.ones(0), np.ones(0), np.ones(0)))
    x, y = np.array([0.0, 1, 5]), np.array([0.0, 1, 0])
    rows = np.array([[1.0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]])  # the last: predicted alike
    np.testing.assert_allclose(correlation.pearson(x, y, rows), [1, nan, nan, 0])


# ---- of ranks


def test_spearman_by_hand() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * (1 + 1 + 1 + 1) / (4 * 15) = 0.6.
    assert correlation.spearman(np.array([1.0, 10, 100, 1000]), np.array([5.0, 4, 9, 8])) == pytest.approx(0.6)
    # Ranks 1 2 3 and 1.5 1.5 3: -1 * -1/2 + 0 + 1 * 1 = 3/2 over sqrt(2 * 3/2) = 0.866.
    assert correlation.spearman(np.array([1.0, 2, 3]), np.array([0.0, 0, 9])) == pytest.approx(1.5 / np.sqrt(3))


@patient
@given(pairs())
def test_spearman_equals_scipy_and_sees_only_order(case: Pairs) -> None:
    x, y = case
    rho = pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert correlation.spearman(x, y) == correlation.spearman(y, x) == rho
    assert correlation.spearman(np.exp(x), y**3) == rho
    assert correlation.spearman(x, np.exp(x)) == pytest.approx(1)
    np.testing.assert_allclose(correlation.spearman(np.stack([x, y]), np.stack([y, -y])), [rho.expected, -1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [[], [1], [2, 2, 2]])
def test_spearman_of_a_constant_is_nan(x: list[float]) -> None:
    assert isnan(correlation.spearman(np.array(x), np.arange(float(len(x)))))
    assert isnan(correlation.spearman(np.arange(float(len(x))), np.array(x)))


def test_correlation_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Binormal values correlated by 1/2 have a rank correlation of 6 / pi * asin(1/4) = 0.4826.
    truth = 6 / pi * np.arcsin(0.25)
    x, noise = np.random.default_rng(0).normal(size=(2, 300, 100))
    y = x / 2 + noise * np.sqrt(3 / 4)
    found = [correlation.correlation_interval(x[i], y[i], seed=i, resamples=400) for i in range(300)]
    assert 0.91 <= np.mean([interval.low <= truth <= interval.high for interval in found]) <= 0.98


def test_correlation_interval_is_seeded_and_counts_features_scored_on_both_sides() -> None:
    x, y = np.array([1, 2, nan, 3, 4, 5, nan]), np.array([1.0, 3, 4, 2, nan, 5, nan])
    interval = correlation.correlation_interval(x, y, seed=1)
    # Both known: ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / 60 = 0.8.
    assert (interval.value, interval.n, interval.unscored) == (pytest.approx(0.8), 4, 3)
    assert interval.low < 0.8 < interval.high <= 1
    assert interval == correlation.correlation_interval(x, y, seed=1)
    assert interval != correlation.correlation_interval(np.sin(x), y, seed=1)


@pytest.mark.filterwarnings("error")
def test_correlation_interval_of_too_few_or_constant_features_has_no_bounds() -> None:
    def of(x: list[float], y: list[float]) -> tuple[float, ...]:
        return astuple(correlation.correlation_interval(np.array(x), np.array(y), seed=0))

    np.testing.assert_equal(of([], []), (nan, nan, nan, 0, 0))
    np.testing.assert_equal(of([1, nan], [2, 3]), (nan, nan, nan, 1, 1))
    np.testing.assert_equal(of([1, 2, 3], [5, 6, 9]), (1, nan, nan, 3, 0))
    np.testing.assert_equal(of([1, 2, 3, 4], [6, 6, 6, 6]), (nan, nan, nan, 4, 0))
    assert of([1, 2, 3, 4, 5], [2, 4, 6, 8, 9]) == pytest.approx((1, 1, 1, 5, 0))
