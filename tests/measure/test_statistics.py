"""Each number against arithmetic in a comment, a slow obvious version, or scikit-learn."""

import itertools
from collections import Counter
from math import comb, isnan, log2, nan
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from autointerp.measure import statistics as stats
from autointerp.measure.statistics import Bools, Floats, Interval

AREAS = [stats.average_precision, stats.auroc]
ONES = np.ones(4)
patient = settings(deadline=None)  # the machine may be busy

Judged = tuple[Bools, Floats, Floats]


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    """Items of both classes; scores from a coarse grid, so that ties are common; uneven positive weights."""
    n = draw(st.integers(2, 25))
    fires = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assume(fires.any() and not fires.all())
    score = np.array(draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), float)
    weight = np.array(draw(st.lists(st.floats(0.01, 10), min_size=n, max_size=n)))
    return fires, score, weight


def arrays(fires: str, *score: float) -> tuple[Bools, Floats]:
    return np.array([mark == "+" for mark in fires]), np.array(score, float)


# ---- prevalence


def test_at_prevalence_normalises_each_class_by_itself() -> None:
    # Firing 1 + 3 = 4 -> 0.1 * (1/4, 3/4); silent 2 + 2 + 4 = 8 -> 0.9 * (1/4, 1/4, 1/2).
    fires = np.array([True, False, True, False, False])
    weight = stats.at_prevalence(fires, np.array([1.0, 2, 3, 2, 4]), 0.1)
    np.testing.assert_allclose(weight, [0.025, 0.225, 0.075, 0.225, 0.45])


@pytest.mark.parametrize("fires", ["", "++", "--"])
def test_at_prevalence_without_a_class_leads_to_nan(fires: str) -> None:
    marks, score = arrays(fires, *range(len(fires)))
    weight = stats.at_prevalence(marks, np.ones(len(fires)), 0.5)
    assert weight.sum() == 0.5 * bool(fires)
    assert all(isnan(area(marks, score, weight)) for area in AREAS)


def test_at_prevalence_gives_the_known_f1_of_a_fixed_judge() -> None:
    # Precision of TPR 0.9 and FPR 0.05 at 1%: 0.009 / (0.009 + 0.0495) = 0.1538, F1 = 0.263; at 50%: 0.9474 and 0.923.
    fires, flagged = np.repeat([True, False], 20), np.array([1] * 18 + [0] * 2 + [1] + [0] * 19)
    for prevalence, f1 in ((0.01, 0.263), (0.5, 0.923)):
        weight = stats.at_prevalence(fires, np.ones(40), prevalence)
        hits, shown = (weight * flagged)[fires].sum(), (weight * flagged).sum()
        assert 2 * hits / (shown + prevalence) == pytest.approx(f1, abs=5e-4)


# ---- areas


def test_average_precision_by_hand() -> None:
    # Ranked + - + -: recall rises by 1/2 at precision 1/1 and by 1/2 at precision 2/3: 1/2 + 1/3 = 5/6.
    assert stats.average_precision(*arrays("+-+-", 4, 3, 2, 1), ONES) == pytest.approx(5 / 6)
    # The middle two tied: 1/2 * 1 + 1/2 * 2/3, the same. All but the first tied: 1/2 + 1/2 * 1/2.
    assert stats.average_precision(*arrays("+-+-", 4, 2, 2, 1), ONES) == pytest.approx(5 / 6)
    assert stats.average_precision(*arrays("+-+-", 4, 2, 2, 2), ONES) == pytest.approx(3 / 4)
    # The silent item in between weighs 3: the second precision is 2 / (2 + 3): 1/2 + 1/2 * 2/5.
    assert stats.average_precision(*arrays("+-+-", 4, 3, 2, 1), np.array([1.0, 3, 1, 1])) == pytest.approx(0.7)


def test_auroc_by_hand() -> None:
    # Four pairs: 4>3, 4>1, 2>1 won and 2<3 lost: 3/4. With 2 = 2 a half: 3.5/4.
    assert stats.auroc(*arrays("+-+-", 4, 3, 2, 1), ONES) == pytest.approx(3 / 4)
    assert stats.auroc(*arrays("+-+-", 4, 2, 2, 1), ONES) == pytest.approx(3.5 / 4)
    # The lost pair weighs 1 * 3 of (1 + 1) * (3 + 1) = 8: 5/8.
    assert stats.auroc(*arrays("+-+-", 4, 3, 2, 1), np.array([1.0, 3, 1, 1])) == pytest.approx(5 / 8)


@patient
@given(judged())
def test_areas_equal_scikit_learn(case: Judged) -> None:
    fires, score, weight = case
    expected = average_precision_score(fires, score, sample_weight=weight)
    assert stats.average_precision(fires, score, weight) == pytest.approx(expected, abs=1e-12)
    expected = roc_auc_score(fires, score, sample_weight=weight)
    assert stats.auroc(fires, score, weight) == pytest.approx(expected, abs=1e-12)


@patient
@given(judged(), st.randoms(use_true_random=False))
def test_areas_ignore_order_scale_and_monotone_transforms(case: Judged, random: Random) -> None:
    fires, score, weight = case
    order = list(range(fires.size))
    random.shuffle(order)
    for area in AREAS:
        value = pytest.approx(area(fires, score, weight), abs=1e-12)
        assert area(fires, np.exp(score) - 7, weight) == value
        assert area(fires, score, 1e-200 * weight) == value
        assert area(fires[order], score[order], weight[order]) == value


@patient
@given(judged())
def test_auroc_ignores_prevalence_and_mirrors_and_average_precision_does_neither(case: Judged) -> None:
    fires, score, weight = case
    rare, common = (stats.at_prevalence(fires, weight, p) for p in (0.05, 0.5))
    assert stats.auroc(fires, score, rare) == pytest.approx(stats.auroc(fires, score, common))
    assert stats.auroc(fires, -score, rare) == pytest.approx(1 - stats.auroc(fires, score, rare))
    assert stats.average_precision(fires, score, rare) <= stats.average_precision(fires, score, common) + 1e-12


@patient
@given(judged(), st.floats(0.01, 0.99))
def test_areas_at_their_ends(case: Judged, prevalence: float) -> None:
    fires, _, weight = case
    weight = stats.at_prevalence(fires, weight, prevalence)
    constant = np.full(fires.size, 0.3)
    assert stats.average_precision(fires, constant, weight) == pytest.approx(prevalence)
    assert stats.auroc(fires, constant, weight) == pytest.approx(0.5)
    for area in AREAS:
        assert area(fires, fires.astype(float), weight) == pytest.approx(1, abs=1e-12)
    # Reversed: precision is the prevalence once the firing items come, all together and last; AUROC is 0, not 1.
    assert stats.average_precision(fires, -fires.astype(float), weight) == pytest.approx(prevalence)
    assert stats.auroc(fires, -fires.astype(float), weight) == 0


def test_reversed_labels_are_worse_than_a_constant_score() -> None:
    # Ranked - - + +: 1/2 * 1/3 + 1/2 * 2/4 = 5/12, below the prevalence of 1/2.
    assert stats.average_precision(*arrays("++--", 1, 2, 3, 4), ONES) == pytest.approx(5 / 12)


@patient
@given(judged(), st.integers(0, 9))
def test_areas_over_a_leading_axis_are_a_loop_over_it(case: Judged, seed: int) -> None:
    fires, score, weight = case
    weights = weight * np.random.default_rng(seed).integers(0, 3, (7, fires.size))  # 0: some rows lose a class
    for area in AREAS:
        np.testing.assert_allclose(area(fires, score, weights), [area(fires, score, row) for row in weights])


def test_areas_of_nothing_and_of_weightless_classes_are_nan() -> None:
    weights = np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]])
    for area in AREAS:
        assert isnan(area(*arrays(""), np.ones(0)))
        np.testing.assert_array_equal(area(*arrays("+-", 2, 1), weights), [1, nan, nan, nan])


def test_an_unscored_item_is_refused_rather_than_ranked() -> None:
    for area in AREAS:
        with pytest.raises(AssertionError, match="left out and counted"):
            area(*arrays("+-", nan, 1), np.ones(2))


# ---- intervals over items


def test_item_interval_holds_the_prevalence_of_every_resample() -> None:
    fires, score = np.repeat([True, False], [5, 20]), np.arange(25.0) % 7
    weight = stats.at_prevalence(fires, np.linspace(1, 9, 25), 0.01)
    seen: list[Floats] = []

    def spy(fires: Bools, score: Floats, weight: stats.Matrix) -> Floats:
        seen.append(weight)
        return stats.average_precision(fires, score, weight)

    low, high = stats.item_interval(fires, score, weight, spy, seed=3, resamples=40)
    assert seen[0].shape == (40, 25) and 0 < low < high < 1
    np.testing.assert_allclose(seen[0][:, fires].sum(axis=1), 0.01)
    np.testing.assert_allclose(seen[0].sum(axis=1), 1)
    # A constant score has the prevalence as its average precision in every resample, so the interval is a point.
    constant = stats.item_interval(fires, np.zeros(25), weight, stats.average_precision, seed=3)
    assert constant == pytest.approx((0.01, 0.01))


def test_item_interval_is_seeded_and_as_wide_as_the_known_standard_error() -> None:
    rng = np.random.default_rng(0)
    fires = np.repeat([True, False], 100)
    score = rng.normal(size=200) + 1.19 * fires  # an AUROC of about 0.8, whose standard error is 0.031 for 100 + 100
    low, high = stats.item_interval(fires, score, np.ones(200), stats.auroc, seed=1)
    assert (low, high) == stats.item_interval(fires, score, np.ones(200), stats.auroc, seed=1)
    assert (low, high) != stats.item_interval(fires, score, np.ones(200), stats.auroc, seed=2)
    assert low < stats.auroc(fires, score, np.ones(200)) < high
    assert (high - low) / (2 * stats.Z) == pytest.approx(0.031, abs=0.006)


def test_items_of_no_weight_take_no_part_in_the_interval() -> None:
    fires, score = np.repeat([True, False], [5, 20]), np.arange(25.0) % 7
    weight = np.where(np.arange(25) % 4, 1.0, 0.0)
    kept = weight > 0
    assert stats.item_interval(fires, score, weight, stats.auroc, seed=0) == pytest.approx(
        stats.item_interval(fires[kept], score[kept], weight[kept], stats.auroc, seed=0)
    )


def test_item_interval_at_its_ends() -> None:
    assert stats.item_interval(*arrays("++--", 4, 3, 2, 1), ONES, stats.auroc, seed=0) == (1, 1)
    for fires, weight in (("+---", ONES), ("+++-", ONES), ("++++", ONES), ("++--", np.array([1.0, 0, 1, 1]))):
        assert all(map(isnan, stats.item_interval(*arrays(fires, 4, 3, 2, 1), weight, stats.auroc, seed=0)))
    assert all(map(isnan, stats.item_interval(*arrays(""), np.ones(0), stats.auroc, seed=0)))


# ---- intervals over features


def test_mean_interval_finds_the_exact_bootstrap_of_a_share() -> None:
    # Six ones of ten: resampled sums are Binomial(10, 0.6), whose 2.5% and 97.5% quantiles are 3 and 9.
    pmf = [comb(10, k) * 0.6**k * 0.4 ** (10 - k) for k in range(11)]
    cdf = list(itertools.accumulate(pmf))
    assert cdf[2] < 0.025 < cdf[3] and cdf[8] < 0.975 < cdf[9]
    interval = stats.mean_interval(np.array([1.0] * 6 + [0] * 4), seed=0, resamples=20_000)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.6, 0.3, 0.9))


def test_mean_interval_counts_the_unscored_and_leaves_them_out() -> None:
    values = np.array([1, nan, 2, 6, nan])
    interval = stats.mean_interval(values, seed=5)
    assert (interval.value, interval.n, interval.unscored) == (3, 3, 2)  # (1 + 2 + 6) / 3, not 9 / 5
    assert interval == Interval(3, interval.low, interval.high, 3, 2)
    assert stats.mean_interval(values[[0, 2, 3]], seed=5).low == interval.low
    assert 1 <= interval.low < 3 < interval.high <= 6


@pytest.mark.parametrize(
    ("values", "value", "n", "unscored"), [([], nan, 0, 0), ([nan], nan, 0, 1), ([4, nan], 4, 1, 1)]
)
def test_too_few_features_have_no_interval(values: list[float], value: float, n: int, unscored: int) -> None:
    interval = stats.mean_interval(np.array(values), seed=0)
    np.testing.assert_equal(interval.value, value)
    assert isnan(interval.low) and isnan(interval.high)
    assert (interval.n, interval.unscored) == (n, unscored)


def test_mean_interval_is_seeded_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = stats.mean_interval(values, seed=7)
    assert whole == stats.mean_interval(values, seed=7) != stats.mean_interval(values, seed=8)
    monkeypatch.setattr(stats, "BLOCK", 160)  # three rows at a time, and a last block of two
    assert whole == stats.mean_interval(values, seed=7)


def test_mean_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(size=(300, 60))
    intervals = [stats.mean_interval(sample, seed) for seed, sample in enumerate(samples)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert (
        0.90 <= covered <= 0.98
    )  # 0.95 - 3 * sqrt(0.95 * 0.05 / 300) = 0.912; percentile intervals run a little narrow


def test_the_mean_of_differences_is_over_features_scored_in_both() -> None:
    # Scored in both: 5 - 1, 3 - 1, 2 - 2 -> (4 + 2 + 0) / 3 = 2.
    a, b = np.array([5, 3, nan, 9, 2, nan]), np.array([1, 1, 4, nan, 2, nan])
    interval = stats.mean_interval(a - b, seed=0)
    assert (interval.value, interval.n, interval.unscored) == (2, 3, 3)
    mirrored = stats.mean_interval(b - a, seed=0)
    np.testing.assert_allclose([mirrored.value, mirrored.low, mirrored.high], [-2, -interval.high, -interval.low])
    assert stats.mean_interval(a - a, seed=0) == Interval(0, 0, 0, 4, 2)


def test_pairing_removes_what_the_arms_share() -> None:
    rng = np.random.default_rng(0)
    b = rng.normal(size=40)
    interval = stats.mean_interval(b + 0.1 + 0.01 * rng.normal(size=40) - b, seed=0)
    assert interval.low > 0.09 and interval.high < 0.11


# ---- ratios of sums


def slow_ratio(above: list[float], below: list[float], seed: int, resamples: int) -> tuple[float, float]:
    """Bounds of the ratio: pairs drawn one by one, ratios sorted, the 2.5% and 97.5% places between two of them."""
    ratios = []
    for places in np.random.default_rng(seed).integers(len(above), size=(resamples, len(above))).tolist():
        total = sum(below[i] for i in places)
        if total:
            ratios.append(sum(above[i] for i in places) / total)
    ratios.sort()
    bounds = []
    for share in (0.025, 0.975):
        at, rest = divmod(share * (len(ratios) - 1), 1)
        low = ratios[int(at)]
        bounds.append(low + rest * (ratios[min(int(at) + 1, len(ratios) - 1)] - low))
    return bounds[0], bounds[1]


pairs = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 9)), min_size=2, max_size=12)


@settings(deadline=None, max_examples=30)
@given(pairs, st.integers(0, 99))
def test_ratio_interval_equals_a_slow_bootstrap(rows: list[tuple[int, int]], seed: int) -> None:
    above, below = ([float(value) for value in column] for column in zip(*rows, strict=True))
    assume(sum(below) > 0)
    interval = stats.ratio_interval(np.array(above), np.array(below), seed, 100)
    assert interval.value == pytest.approx(sum(above) / sum(below))
    assert (interval.n, interval.unscored) == (len(rows), 0)
    assert (interval.low, interval.high) == pytest.approx(slow_ratio(above, below, seed, 100))


def test_a_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    # (1 + 90) / (10 + 100) = 0.827, where the mean of 1/10 and 90/100 is 0.5.
    interval = stats.ratio_interval(np.array([1.0, 90]), np.array([10.0, 100]), seed=0)
    assert interval.value == pytest.approx(91 / 110)
    # Of four equally likely draws (1, 1), (1, 2), (2, 1), (2, 2) the extremes come up a quarter of the time each.
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.9))


def test_ratio_interval_is_seeded_and_pairs_stay_together() -> None:
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 9, 40)
    constant = stats.ratio_interval(3 * below, below, seed=1)
    assert (constant.value, constant.low, constant.high) == pytest.approx((3, 3, 3))
    above = below + rng.normal(size=40)
    first = stats.ratio_interval(above, below, seed=1)
    assert first == stats.ratio_interval(above, below, seed=1) != stats.ratio_interval(above, below, seed=2)
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
    interval = stats.ratio_interval(np.array(above), np.array(below), seed=0)
    np.testing.assert_equal(interval.value, value)
    assert isnan(interval.low) and isnan(interval.high)
    assert (interval.n, interval.unscored) == (len(above), unscored)


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_denominator_are_left_out_of_the_bounds() -> None:
    # A quarter of the draws hold only the pair (5, 0); the others give (1 + 1) / (1 + 1) and (5 + 1) / 1.
    interval = stats.ratio_interval(np.array([1.0, 5]), np.array([1.0, 0]), seed=0)
    assert (interval.value, interval.low, interval.high) == (6, 1, 6)


def test_ratio_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(200):
        below = rng.uniform(1, 3, 60)
        interval = stats.ratio_interval(2 * below + rng.normal(size=60), below, seed, 400)
        covered.append(interval.low <= 2 <= interval.high)
    assert 0.88 <= np.mean(covered) <= 0.99  # 0.95 - 3 * sqrt(0.95 * 0.05 / 200) = 0.904, and a little narrow


# ---- shares


def test_wilson_by_hand() -> None:
    # 8 of 10: Z^2 = 3.8415; centre (8 + 1.9207) / 13.8415 = 0.71674;
    # half width 1.95996 * sqrt(8 * 2 / 10 + 3.8415 / 4) / 13.8415 = 1.95996 * 1.60014 / 13.8415 = 0.22658.
    assert stats.wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=2e-5)
    assert stats.wilson(0, 10) == pytest.approx((0, 3.8415 / 13.8415), abs=1e-5)
    assert stats.wilson(10, 10) == pytest.approx((10 / 13.8415, 1), abs=1e-5)
    assert all((stats.wilson(0, n)[0], stats.wilson(n, n)[1]) == (0, 1) for n in range(1, 200))  # exactly
    assert stats.wilson(0, 0) == (0, 1)
    with pytest.raises(AssertionError, match="11 of 10"):
        stats.wilson(11, 10)


@patient
@given(st.integers(1, 10_000), st.data())
def test_wilson_equals_scipy_and_stays_inside(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = stats.wilson(k, n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1 and low < high


def test_rule_of_three() -> None:
    assert stats.rule_of_three(10_000_000) == pytest.approx(3e-7)
    assert [stats.rule_of_three(n) for n in (0, 1, 3, 30)] == [1, 1, 1, 0.1]
    # At the bound, no event in n independent trials is a 5% accident: (1 - 3/1000)^1000 = 0.0496.
    assert (1 - stats.rule_of_three(1000)) ** 1000 == pytest.approx(0.05, abs=5e-4)


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
