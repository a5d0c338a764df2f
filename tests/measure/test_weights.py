"""Weights against arithmetic in a comment."""

from math import isnan, nan
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.measure import weights

patient = settings(deadline=None)  # the machine may be busy


def test_at_prevalence_normalises_each_class_by_itself() -> None:
    # Firing 1 + 3 = 4 -> 0.1 * (1/4, 3/4); silent 2 + 2 + 4 = 8 -> 0.9 * (1/4, 1/4, 1/2).
    fires = np.array([True, False, True, False, False])
    weight = weights.at_prevalence(fires, np.array([1.0, 2, 3, 2, 4]), 0.1)
    np.testing.assert_allclose(weight, [0.025, 0.225, 0.075, 0.225, 0.45])


def test_at_shares_weighs_intervals_alike_or_by_what_they_hold() -> None:
    # Ratings 3, 1 | 3 | nothing | 3, 3, 0 in four intervals; their means are 2, 3 and 2.
    group, rating = np.array([0, 0, 1, 3, 3, 3]), np.array([3.0, 1, 3, 3, 3, 0])
    even = weights.at_shares(group, np.ones(6), np.ones(4))
    np.testing.assert_allclose(even, [1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3])
    assert weights.weighted_mean(rating, even) == pytest.approx(7 / 3)
    # At shares 0.6, 0.3, -, 0.1: 1.2 + 0.9 + 0.2; the share of the empty interval is left out of numerator and sum.
    by_share = weights.at_shares(group, np.ones(6), [0.6, 0.3, 5, 0.1])
    assert weights.weighted_mean(rating, by_share) == pytest.approx(2.3)
    # Within the first interval 1 : 3 instead of 1 : 1: (3 + 3) / 4 = 1.5 there, 0.9 + 0.9 + 0.2 in all.
    uneven = weights.at_shares(group, np.array([1.0, 3, 1, 1, 1, 1]), [0.6, 0.3, 5, 0.1])
    assert weights.weighted_mean(rating, uneven) == pytest.approx(2)


@patient
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 10)), max_size=30), st.randoms(use_true_random=False))
def test_at_shares_adds_to_the_share_of_every_group_that_is_there(
    items: list[tuple[int, float]], random: Random
) -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.0, 0.4])
    group, weight = np.array([g for g, _ in items], int), np.array([w for _, w in items])
    found = weights.at_shares(group, weight, shares)
    present = np.isin(np.arange(5), group)
    np.testing.assert_allclose(np.bincount(group, found, minlength=5), shares * present)
    np.testing.assert_allclose(weights.at_shares(group, 1e-200 * weight, shares), found)
    order = random.sample(range(len(items)), len(items))
    np.testing.assert_allclose(weights.at_shares(group[order], weight[order], shares), found[order])


def test_a_weightless_group_stays_at_0() -> None:
    np.testing.assert_array_equal(
        weights.at_shares(np.array([0, 0, 1]), np.array([0.0, 0, 2]), [0.5, 0.5]), [0, 0, 0.5]
    )


def test_weighted_mean_by_hand_and_without_weight() -> None:
    # (1 * 3 + 3 * 1) / 4 = 1.5; a row of resampled weights each.
    values = np.array([3.0, 1])
    assert weights.weighted_mean(values, np.array([1.0, 3])) == 1.5
    np.testing.assert_array_equal(weights.weighted_mean(values, np.array([[1.0, 3], [0, 0], [0, 2]])), [1.5, nan, 1])
    assert isnan(weights.weighted_mean(np.ones(0), np.ones(0)))
