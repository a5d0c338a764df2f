"""Bounds against exact distributions, slow bootstraps and scipy."""

import itertools
from math import comb, isnan, nan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu, norm, t

from autointerp.measure import correlation, intervals, ranking, weights
from autointerp.measure.arrays import Bools, Floats, Matrix
from autointerp.measure.intervals import Interval

ONES = np.ones(4)
patient = settings(deadline=None)  # the machine may be busy


def arrays(fires: str, *score: float) -> tuple[Bools, Floats]:
    return np.array([mark == "+" for mark in fires]), np.array(score, float)


# ---- over items


def test_item_interval_holds_the_prevalence_of_every_resample() -> None:
    fires, score = np.repeat([True, False], [5, 20]), np.arange(25.0) % 7
    weight = weights.at_prevalence(fires, np.linspace(1, 9, 25), 0.01)
    seen: list[Floats] = []

    def spy(fires: Bools, score: Floats, weight: Matrix) -> Floats:
        seen.append(weight)
        return ranking.average_precision(fires, score, weight)

    low, high = intervals.item_interval(fires, score, weight, spy, seed=3, resamples=40)
    assert seen[0].shape == (40, 25) and 0 < low < high < 1
    np.testing.assert_allclose(seen[0][:, fires].sum(axis=1), 0.01)
    np.testing.assert_allclose(seen[0].sum(axis=1), 1)
    # A constant score has the prevalence as its average precision in every resample, so the interval is a point.
    constant = intervals.item_interval(fires, np.zeros(25), weight, ranking.average_precision, seed=3)
    assert constant == pytest.approx((0.01, 0.01))


def test_item_interval_is_seeded_and_as_wide_as_the_known_standard_error() -> None:
    rng = np.random.default_rng(0)
    fires = np.repeat([True, False], 100)
    score = rng.normal(size=200) + 1.19 * fires  # an AUROC of about 0.8, whose standard error is 0.031 for 100 + 100
    low, high = intervals.item_interval(fires, score, np.ones(200), ranking.auroc, seed=1)
    assert (low, high) == intervals.item_interval(fires, score, np.ones(200), ranking.auroc, seed=1)
    assert (low, high) != intervals.item_interval(fires, score, np.ones(200), ranking.auroc, seed=2)
    assert low < ranking.auroc(fires, score, np.ones(200)) < high
    assert (high - low) / (2 * intervals.Z) == pytest.approx(0.031, abs=0.006)


def test_item_interval_finds_the_exact_bootstrap_of_a_share() -> None:
    # Of 100 draws of firing items Binomial(100, 1/2) fall on the first half, whose 2.5% and 97.5% quantiles are 40, 60.
    cdf = list(itertools.accumulate(comb(100, k) / 2**100 for k in range(101)))
    assert cdf[39] < 0.025 < cdf[40] and cdf[59] < 0.975 < cdf[60]

    def on_the_first_half(fires: Bools, score: Floats, weight: Matrix) -> Floats:
        return weight[:, :50].sum(axis=1)

    found = intervals.item_interval(
        np.arange(120) < 100, np.zeros(120), np.ones(120), on_the_first_half, seed=0, resamples=10_000
    )
    assert found == pytest.approx((40, 60))


def test_items_of_no_weight_take_no_part_in_the_interval() -> None:
    fires, score = np.repeat([True, False], [5, 20]), np.arange(25.0) % 7
    weight = np.where(np.arange(25) % 4, 1.0, 0.0)
    kept = weight > 0
    assert intervals.item_interval(fires, score, weight, ranking.auroc, seed=0) == pytest.approx(
        intervals.item_interval(fires[kept], score[kept], weight[kept], ranking.auroc, seed=0)
    )


def test_item_interval_at_its_ends() -> None:
    assert intervals.item_interval(*arrays("++--", 4, 3, 2, 1), ONES, ranking.auroc, seed=0) == (1, 1)
    for fires, weight in (("+---", ONES), ("+++-", ONES), ("++++", ONES), ("++--", np.array([1.0, 0, 1, 1]))):
        assert all(map(isnan, intervals.item_interval(*arrays(fires, 4, 3, 2, 1), weight, ranking.auroc, seed=0)))
    assert all(map(isnan, intervals.item_interval(*arrays(""), np.ones(0), ranking.auroc, seed=0)))


# ---- over features


def test_percentiles_move_outwards_where_features_are_few() -> None:
    # n = 10: t of 9 degrees 2.2622, times sqrt(10 / 9) 2.3845, whose normal tail is 0.00855.
    assert intervals.percentiles(10) == pytest.approx((0.855, 99.145), abs=1e-3)
    assert intervals.percentiles(10**6) == pytest.approx((2.5, 97.5), abs=1e-4)
    assert intervals.percentiles(2) == pytest.approx((0, 100))


def test_the_interval_of_normal_values_is_students() -> None:
    values = np.random.default_rng(0).normal(size=12)
    interval = intervals.mean_interval(values, seed=0, resamples=50_000)
    expected = t.interval(0.95, 11, values.mean(), values.std(ddof=1) / np.sqrt(12))
    np.testing.assert_allclose([interval.low, interval.high], expected, atol=0.1 * (expected[1] - expected[0]) / 2)


def test_mean_interval_finds_the_exact_bootstrap_of_a_share() -> None:
    # Six ones of ten: resampled sums are Binomial(10, 0.6), whose 0.86% and 99.14% quantiles are 2 and 9.
    pmf = [comb(10, k) * 0.6**k * 0.4 ** (10 - k) for k in range(11)]
    cdf = list(itertools.accumulate(pmf))
    assert cdf[1] < 0.0086 < cdf[2] and cdf[8] < 0.9914 < cdf[9]
    interval = intervals.mean_interval(np.array([1.0] * 6 + [0] * 4), seed=0, resamples=20_000)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.6, 0.2, 0.9))


def test_mean_interval_counts_the_unscored_and_leaves_them_out() -> None:
    values = np.array([1, nan, 2, 6, nan])
    interval = intervals.mean_interval(values, seed=5)
    assert (interval.value, interval.n, interval.unscored) == (3, 3, 2)  # (1 + 2 + 6) / 3, not 9 / 5
    assert interval == Interval(3, interval.low, interval.high, 3, 2)
    assert intervals.mean_interval(values[[0, 2, 3]], seed=5).low == interval.low
    assert 1 <= interval.low < 3 < interval.high <= 6


def test_two_features_are_bounded_by_themselves() -> None:
    assert intervals.mean_interval(np.array([1.0, 3]), seed=0) == Interval(2, 1, 3, 2, 0)


@pytest.mark.parametrize(
    ("values", "value", "n", "unscored"), [([], nan, 0, 0), ([nan], nan, 0, 1), ([4, nan], 4, 1, 1)]
)
def test_too_few_features_have_no_interval(values: list[float], value: float, n: int, unscored: int) -> None:
    interval = intervals.mean_interval(np.array(values), seed=0)
    np.testing.assert_equal(interval.value, value)
    assert isnan(interval.low) and isnan(interval.high)
    assert (interval.n, interval.unscored) == (n, unscored)


def test_intervals_are_seeded_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values, others = np.random.default_rng(0).normal(size=(2, 50))

    def found(seed: int) -> list[Interval]:
        return [
            intervals.mean_interval(values, seed),
            intervals.ratio_interval(values, 9 + others, seed),
            correlation.correlation_interval(values, others, seed),
        ]

    whole = found(7)
    assert whole == found(7) and not any(a == b for a, b in zip(whole, found(8), strict=True))
    monkeypatch.setattr(intervals, "BLOCK", 160)  # three rows at a time, and a last block of two
    assert whole == found(7)


@pytest.mark.parametrize("n", [10, 60])
def test_mean_interval_covers_the_truth_about_as_often_as_it_says(n: int) -> None:
    samples = np.random.default_rng(0).normal(size=(300, n))
    found = [intervals.mean_interval(sample, seed) for seed, sample in enumerate(samples)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in found])
    assert 0.912 <= covered <= 0.988  # 0.95 +- 3 * sqrt(0.95 * 0.05 / 300)


def test_the_mean_of_differences_is_over_features_scored_in_both() -> None:
    # Scored in both: 5 - 1, 3 - 1, 2 - 2 -> (4 + 2 + 0) / 3 = 2.
    a, b = np.array([5, 3, nan, 9, 2, nan]), np.array([1, 1, 4, nan, 2, nan])
    interval = intervals.mean_interval(a - b, seed=0)
    assert (interval.value, interval.n, interval.unscored) == (2, 3, 3)
    mirrored = intervals.mean_interval(b - a, seed=0)
    np.testing.assert_allclose([mirrored.value, mirrored.low, mirrored.high], [-2, -interval.high, -interval.low])
    assert intervals.mean_interval(a - a, seed=0) == Interval(0, 0, 0, 4, 2)


def test_pairing_removes_what_the_arms_share() -> None:
    rng = np.random.default_rng(0)
    b = rng.normal(size=40)
    interval = intervals.mean_interval(b + 0.1 + 0.01 * rng.normal(size=40) - b, seed=0)
    assert interval.low > 0.09 and interval.high < 0.11


def test_noise_of_items_is_in_the_spread_between_features() -> None:
    # Features that are all alike, each the share of 20 items at 1/2: their spread is the items' noise alone, the exact
    # standard error over 100 features is sqrt(1/4 / 20 / 100) = 0.01118. Drawing items again within each drawn feature
    # would add as much again: 0.0158.
    shares = np.random.default_rng(0).binomial(20, 0.5, size=(40, 100)) / 20
    found = [intervals.mean_interval(row, seed=0) for row in shares]
    width = np.mean([interval.high - interval.low for interval in found])
    assert width / (2 * intervals.Z) == pytest.approx(0.01118, rel=0.03)


# ---- ratios of sums


def slow_ratio(above: list[float], below: list[float], seed: int, resamples: int) -> tuple[float, float]:
    """Bounds of the ratio: pairs drawn one by one, ratios sorted, the places of the percentiles between two of them."""
    ratios = []
    for places in np.random.default_rng(seed).integers(len(above), size=(resamples, len(above))).tolist():
        total = sum(below[i] for i in places)
        if total:
            ratios.append(sum(above[i] for i in places) / total)
    ratios.sort()
    bounds = []
    for percent in intervals.percentiles(len(above)):
        at, rest = divmod(percent / 100 * (len(ratios) - 1), 1)
        low = ratios[int(at)]
        bounds.append(low + rest * (ratios[min(int(at) + 1, len(ratios) - 1)] - low))
    return bounds[0], bounds[1]


pairs = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 9)), min_size=2, max_size=12)


@settings(deadline=None, max_examples=30)
@given(pairs, st.integers(0, 99))
def test_ratio_interval_equals_a_slow_bootstrap(rows: list[tuple[int, int]], seed: int) -> None:
    above, below = ([float(value) for value in column] for column in zip(*rows, strict=True))
    assume(sum(below) > 0)
    interval = intervals.ratio_interval(np.array(above), np.array(below), seed, 100)
    assert interval.value == pytest.approx(sum(above) / sum(below))
    assert (interval.n, interval.unscored) == (len(rows), 0)
    assert (interval.low, interval.high) == pytest.approx(slow_ratio(above, below, seed, 100))


def test_a_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    # (1 + 90) / (10 + 100) = 0.827, where the mean of 1/10 and 90/100 is 0.5.
    interval = intervals.ratio_interval(np.array([1.0, 90]), np.array([10.0, 100]), seed=0)
    assert interval.value == pytest.approx(91 / 110)
    # Of four equally likely draws (1, 1), (1, 2), (2, 1), (2, 2) the extremes come up a quarter of the time each.
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.9))


def test_ratio_interval_is_seeded_and_pairs_stay_together() -> None:
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 9, 40)
    constant = intervals.ratio_interval(3 * below, below, seed=1)
    assert (constant.value, constant.low, constant.high) == pytest.approx((3, 3, 3))
    above = below + rng.normal(size=40)
    first = intervals.ratio_interval(above, below, seed=1)
    assert first == intervals.ratio_interval(above, below, seed=1) != intervals.ratio_interval(above, below, seed=2)
    assert first.low < first.value < first.high


@pytest.mark.parametrize(
    ("above", "below", "value", "unscored"),
    [
        ([], [], nan, 1),
        ([3], [4], 0.75, 0),
        ([3], [0], nan, 1),
        ([0], [0], nan, 1),
        ([3, 4], [0, 0], nan, 1),
        ([3, 4], [2, -2], nan, 1),
        ([3, nan], [1, 1], nan, 1),
        ([3, 3], [1, nan], nan, 1),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_ratio_that_cannot_be_computed_is_nan_and_counted(
    above: list[float], below: list[float], value: float, unscored: int
) -> None:
    interval = intervals.ratio_interval(np.array(above), np.array(below), seed=0)
    np.testing.assert_equal(interval.value, value)
    assert isnan(interval.low) and isnan(interval.high)
    assert (interval.n, interval.unscored) == (len(above), unscored)


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_denominator_are_left_out_of_the_bounds() -> None:
    # A quarter of the draws hold only the pair (5, 0); the others give (1 + 1) / (1 + 1) and (5 + 1) / 1.
    interval = intervals.ratio_interval(np.array([1.0, 5]), np.array([1.0, 0]), seed=0)
    assert (interval.value, interval.low, interval.high) == (6, 1, 6)


def test_ratio_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(200):
        below = rng.uniform(1, 3, 60)
        interval = intervals.ratio_interval(2 * below + rng.normal(size=60), below, seed, 400)
        covered.append(interval.low <= 2 <= interval.high)
    assert 0.904 <= np.mean(covered) <= 0.996  # 0.95 +- 3 * sqrt(0.95 * 0.05 / 200)


# ---- shares


def test_wilson_by_hand() -> None:
    # 8 of 10: Z^2 = 3.8415; centre (8 + 1.9207) / 13.8415 = 0.71674;
    # half width 1.95996 * sqrt(8 * 2 / 10 + 3.8415 / 4) / 13.8415 = 1.95996 * 1.60014 / 13.8415 = 0.22658.
    assert intervals.wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=2e-5)
    assert intervals.wilson(0, 10) == pytest.approx((0, 3.8415 / 13.8415), abs=1e-5)
    assert intervals.wilson(10, 10) == pytest.approx((10 / 13.8415, 1), abs=1e-5)
    assert all((intervals.wilson(0, n)[0], intervals.wilson(n, n)[1]) == (0, 1) for n in range(1, 200))  # exactly
    assert intervals.wilson(0, 0) == (0, 1)
    with pytest.raises(AssertionError, match="11 of 10"):
        intervals.wilson(11, 10)


@patient
@given(st.integers(1, 10_000), st.data())
def test_wilson_equals_scipy_and_stays_inside(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = intervals.wilson(k, n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1 and low < high


def test_rule_of_three() -> None:
    assert intervals.rule_of_three(10_000_000) == pytest.approx(3e-7)
    assert [intervals.rule_of_three(n) for n in (0, 1, 3, 30)] == [1, 1, 1, 0.1]
    # At the bound, no event in n independent trials is a 5% accident: (1 - 3/1000)^1000 = 0.0496.
    assert (1 - intervals.rule_of_three(1000)) ** 1000 == pytest.approx(0.05, abs=5e-4)


# ---- the chance that one is above another


def test_superiority_bounds_are_the_roots_of_their_equation() -> None:
    # n = 1, m = 100, k = 49.5: at t = 1/2 both (1 - t) / (2 - t) and t / (1 + t) are 1/3, so the variance is
    # 1/4 (1 + 49.5 * 2/3) / 100 = 0.085: about the 1/12 of one draw among many, and so hardly anything is known.
    low, high = intervals.superiority_interval(0.5, 1, 100)
    assert low == pytest.approx(1 - high)
    for bound in (low, high):
        k = 49.5
        variance = bound * (1 - bound) * (1 + k * (1 - bound) / (2 - bound) + k * bound / (1 + bound)) / 100
        assert (0.5 - bound) ** 2 == pytest.approx(intervals.Z**2 * variance)
    assert low < 0.2


@patient
@given(st.floats(0, 1), st.integers(1, 30), st.integers(1, 300))
def test_superiority_bounds_hold_the_value_and_have_a_width(value: float, n: int, m: int) -> None:
    low, high = intervals.superiority_interval(value, n, m)
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.01
    other_way = intervals.superiority_interval(1 - value, m, n)
    assert other_way == (pytest.approx(1 - high, abs=1e-6), pytest.approx(1 - low, abs=1e-6))


def test_nobody_above_nobody_has_no_bounds() -> None:
    assert all(isnan(bound) for bound in intervals.superiority_interval(nan, 0, 40))
    assert all(isnan(bound) for bound in intervals.superiority_interval(0.5, 3, 0))


@pytest.mark.parametrize(("n", "m", "shift"), [(1, 60, 0.0), (3, 100, 0.0), (5, 40, 1.5), (20, 100, 1.0)])
def test_superiority_bounds_hold_the_truth_as_often_as_they_say(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(7)
    one, other = rng.normal(shift, 1, (400, n)), rng.normal(0, 1, (400, m))
    truth = norm.cdf(shift / np.sqrt(2))
    shares = mannwhitneyu(one, other, axis=1).statistic / (n * m)
    bounds = [intervals.superiority_interval(float(share), n, m) for share in shares]
    held = np.mean([low <= truth <= high for low, high in bounds])
    assert held > 0.92  # 400 studies: the standard error is 1.1%
