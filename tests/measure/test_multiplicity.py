"""Adjusted p-values against arithmetic in a comment, a slow version, scipy, and their promises."""

from collections.abc import Callable
from math import isnan, nan
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from autointerp.measure import multiplicity
from autointerp.measure.arrays import Floats

patient = settings(deadline=None)  # the machine may be busy
families = st.lists(st.floats(0, 1) | st.just(nan), max_size=20).map(lambda p: np.array(p, float))
ADJUST = [multiplicity.holm, multiplicity.benjamini_hochberg]


def test_holm_by_hand() -> None:
    # 0.01 * 4 = 0.04; 0.02 * 3 = 0.06; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, held to 0.06.
    np.testing.assert_allclose(
        multiplicity.holm(np.array([0.04, 0.01, 0.03, nan, 0.02])), [0.06, 0.04, 0.06, nan, 0.06]
    )
    np.testing.assert_allclose(multiplicity.holm(np.array([0.6, 0.7])), [1, 1])


def test_benjamini_hochberg_by_hand() -> None:
    # 0.01 * 4/1 = 0.04; 0.03 * 4/2 = 0.06, but the next is 0.04 * 4/3 = 0.0533; 0.5 * 4/4.
    p = np.array([0.5, 0.01, nan, 0.03, 0.04])
    np.testing.assert_allclose(multiplicity.benjamini_hochberg(p), [0.5, 0.04, nan, 0.16 / 3, 0.16 / 3])


def slow_holm(p: list[float]) -> list[float]:
    """The largest product at or before each in order of size."""
    return [min(1, max(q * sum(r >= q for r in p) for q in p if q <= own)) for own in p]


@patient
@given(families)
def test_adjusted_p_equal_their_references(p: Floats) -> None:
    made = ~np.isnan(p)
    np.testing.assert_allclose(multiplicity.holm(p)[made], slow_holm(p[made].tolist()))
    np.testing.assert_allclose(multiplicity.benjamini_hochberg(p)[made], false_discovery_control(p[made]))


@patient
@given(families, st.randoms(use_true_random=False))
def test_adjusted_p_keep_order_and_bounds_and_leave_nan_out_of_the_family(p: Floats, random: Random) -> None:
    made = ~np.isnan(p)
    order = random.sample(range(p.size), p.size)
    for adjust in ADJUST:
        adjusted = adjust(p)
        assert (np.isnan(adjusted) == ~made).all()
        np.testing.assert_array_equal(adjusted[made], adjust(p[made]))
        np.testing.assert_array_equal(adjust(p[order]), adjusted[order])
        assert (adjusted[made] >= p[made]).all() and (adjusted[made] <= 1).all()
        assert (np.diff(adjusted[made][np.argsort(p[made])]) >= 0).all()
    # Never more than Bonferroni, and discovery control never stricter than the family's.
    holm, hochberg = (adjust(p)[made] for adjust in ADJUST)
    assert (hochberg <= holm + 1e-12).all() and (holm <= np.minimum(1, p[made] * made.sum())).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("adjust", ADJUST)
def test_adjusted_p_at_their_ends(adjust: Callable[[Floats], Floats]) -> None:
    assert adjust(np.array([])).size == 0
    assert isnan(adjust(np.array([nan]))[0])
    assert adjust(np.array([0.03])) == 0.03


def test_max_statistic_by_hand() -> None:
    # Best observed 5; maxima of the permutations 3, 5, 6, 4: two reach it: (1 + 2) / (4 + 1).
    null = np.array([[3.0, 1], [5, 0], [2, 6], [4, 4]])
    assert multiplicity.max_statistic_p(np.array([2.0, 5]), null) == 3 / 5
    assert multiplicity.max_statistic_p(np.array([9.0, 5]), null) == 1 / 5  # never 0
    # The second unscored: the first's 2 against 3, 5, 2, 4.
    assert multiplicity.max_statistic_p(np.array([2, nan]), null) == 1
    assert multiplicity.max_statistic_p(np.array([2.0, 5]), null[:0]) == 1
    assert isnan(multiplicity.max_statistic_p(np.array([nan, nan]), null))
    assert isnan(multiplicity.max_statistic_p(np.array([]), null[:, :0]))


def test_the_best_of_many_is_called_a_discovery_no_more_often_than_it_says() -> None:
    # 20 candidates that share noise, none of them better than its permutations: p <= 0.05 in 50 of 1000, +- 7.
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1000, 100, 20)) + rng.normal(size=(1000, 100, 1))
    p = [multiplicity.max_statistic_p(draw[0], draw[1:]) for draw in draws]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(p) == pytest.approx(0.505, abs=0.03)
