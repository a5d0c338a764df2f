"""Differences of unpaired groups by hand, against slow versions, tables of power and simulated truth."""

from dataclasses import astuple
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from autointerp.measure import contrast as module
from autointerp.measure.contrast import contrast, detectable_difference

scores = st.lists(st.integers(0, 5).map(float) | st.just(nan), min_size=1, max_size=12)


def test_contrast_by_hand() -> None:
    # Means 4 and 2. Of the six pairs 3 > 1, 3 = 3, 4 > 1, 4 > 3, 5 > 1, 5 > 3: five above, none below.
    found = contrast(np.array([3.0, 4, nan, 5]), np.array([nan, 1, 3, nan]), seed=0)
    assert (found.difference, found.rank_biserial) == pytest.approx((2, 5 / 6))
    assert (found.n_a, found.n_b, found.unscored_a, found.unscored_b) == (3, 2, 1, 2)
    # The ends of what can be drawn: 3 - 3 and 5 - 1; all equal and all above.
    assert (found.difference_low, found.difference_high) == pytest.approx((0, 4))
    assert (found.rank_biserial_low, found.rank_biserial_high) == pytest.approx((0, 1))


@settings(deadline=None, max_examples=60)
@given(scores, scores, st.integers(0, 99))
def test_contrast_equals_a_slow_version(a: list[float], b: list[float], seed: int) -> None:
    found = contrast(np.array(a), np.array(b), seed, 50)
    known_a, known_b = [x for x in a if x == x], [x for x in b if x == x]
    assert (found.n_a, found.n_b) == (len(known_a), len(known_b))
    assert (found.unscored_a, found.unscored_b) == (len(a) - len(known_a), len(b) - len(known_b))
    if not known_a or not known_b:
        assert isnan(found.difference) and isnan(found.rank_biserial) and isnan(found.difference_low)
        return
    pairs = [(x > y) - (x < y) for x in known_a for y in known_b]
    assert found.rank_biserial == pytest.approx(sum(pairs) / len(pairs))
    assert found.difference == pytest.approx(sum(known_a) / len(known_a) - sum(known_b) / len(known_b))
    if min(found.n_a, found.n_b) < 2:
        assert isnan(found.rank_biserial_high) and isnan(found.difference_high) and isnan(found.detectable)
    else:
        assert -1 <= found.rank_biserial_low <= found.rank_biserial_high <= 1
        assert min(known_a) - max(known_b) - 1e-9 <= found.difference_low <= found.difference_high


def test_bounds_are_seeded_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    whole = contrast(a, b[:20], 5)
    assert whole == contrast(a, b[:20], 5) != contrast(a, b[:20], 6)
    monkeypatch.setattr(module, "BLOCK", 150)  # three resamples at a time
    assert astuple(contrast(a, b[:20], 5)) == pytest.approx(astuple(whole), rel=1e-12)


def test_bounds_of_normal_scores_are_welchs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, 60), rng.normal(0, 1, 60)
    found = contrast(a, b, 0, 20_000)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval()
    width = expected.high - expected.low
    np.testing.assert_allclose(
        [found.difference_low, found.difference_high], [expected.low, expected.high], atol=0.04 * width
    )


def test_bounds_cover_the_truth_about_as_often_as_they_say() -> None:
    # P(a > b) = Phi(1 / sqrt 2) = 0.7602 for normal scores one apart.
    rng = np.random.default_rng(0)
    found = [contrast(rng.normal(1, 1, 40), rng.normal(0, 1, 25), seed, 400) for seed in range(300)]
    for low, high, truth in (
        ("difference_low", "difference_high", 1),
        ("rank_biserial_low", "rank_biserial_high", 0.5205),
    ):
        covered = np.mean([getattr(each, low) <= truth <= getattr(each, high) for each in found])
        assert 0.912 <= covered <= 0.988  # 0.95 +- 3 * sqrt(0.95 * 0.05 / 300)


def test_groups_that_do_not_meet() -> None:
    found = contrast(np.array([5.0, 6, 7]), np.array([1.0, 2]), 0)
    assert (found.rank_biserial, found.rank_biserial_low, found.rank_biserial_high) == (1, 1, 1)
    assert contrast(np.ones(5), np.ones(5), 0).rank_biserial == 0


@pytest.mark.parametrize(("n", "expected"), [(100, 0.398), (99, 0.400), (63, 0.503), (5, 2.024)])
def test_detectable_difference_is_that_of_tables(n: int, expected: float) -> None:
    assert detectable_difference(n, n) == pytest.approx(expected, abs=0.001)


def test_a_detectable_difference_is_seen_in_four_of_five_runs() -> None:
    rng = np.random.default_rng(0)
    d = detectable_difference(12, 30)
    p = ttest_ind(rng.normal(d, 1, (4000, 12)), rng.normal(0, 1, (4000, 30)), axis=1).pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.019)  # 3 * sqrt(0.8 * 0.2 / 4000)
    assert isnan(detectable_difference(1, 50)) and isnan(detectable_difference(5, 0))
