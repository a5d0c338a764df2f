"""The corrected mean by hand, against a jackknife, and in studies with a biased judge whose truth is known."""

from functools import cache
from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from autointerp.measure import ppi
from autointerp.measure.arrays import Bools, Floats, Ints
from autointerp.measure.intervals import Interval, Z
from autointerp.measure.ppi import Corrected, corrected_mean

FEATURES, ITEMS = 200, 4
TRUTH = 1.5  # grades are a symmetric quantity around the middle of the scale, rounded to 0, 1, 2 or 3


def bounds(found: Corrected | Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def grades(rng: np.random.Generator, noise: float, features: int = FEATURES) -> tuple[Floats, Floats]:
    """A judge's and people's grades [features, items]: items of a feature are alike, the judge is 0.4 too kind."""
    quality = TRUTH + 0.6 * rng.normal(size=(features, 1)) + 0.5 * rng.normal(size=(features, ITEMS))
    people = quality + 0.3 * rng.normal(size=quality.shape)
    judge = quality + 0.43 + noise * rng.normal(size=quality.shape)  # 0.4 after clipping
    return np.clip(np.rint(judge), 0, 3), np.clip(np.rint(people), 0, 3)


def drawn(rng: np.random.Generator, rated: int, items: int, features: int = FEATURES) -> Bools:
    """Which items [features, items] people rate: so many items of so many features, at random."""
    order = rng.random((features, ITEMS)).argsort(axis=1)
    chosen = rng.permutation(features) < rated
    found: Bools = chosen[:, None] & (order < items)
    return found


def study(
    rng: np.random.Generator, rated: int, items: int = ITEMS, noise: float = 0.3, features: int = FEATURES
) -> Corrected:
    judge, people = grades(rng, noise, features)
    people = np.where(drawn(rng, rated, items, features), people, nan)
    return corrected_mean(judge.ravel(), people.ravel(), np.arange(features).repeat(ITEMS))


@cache
def studies(
    count: int, rated: int, items: int = ITEMS, noise: float = 0.3, features: int = FEATURES
) -> list[Corrected]:
    rng = np.random.default_rng([rated, items])
    return [study(rng, rated, items, noise, features) for _ in range(count)]


def table(seed: int, rated: int, features: int) -> tuple[Floats, Floats, Ints]:
    """Items of a small study: judge [n], people [n] with nan, features [n] of 1 to 3 items."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 4, features)
    cluster = np.arange(features).repeat(size)
    quality = rng.normal(size=features)[cluster] + rng.normal(size=cluster.size)
    judge, people = quality + rng.normal(size=cluster.size), quality + rng.normal(size=cluster.size)
    return judge, np.where(rng.permutation(features)[cluster] < rated, people, nan), cluster


# ---- by hand


def test_two_rated_clusters_by_hand() -> None:
    # Means: model 6 / 4 = 1.5, over the rated 2, people 1.5. People's grades rise half as fast as the model's: lambda
    # 1/2, 1.5 - (2 - 1.5) / 2 = 1.25. People's grades less half the model's are 1/2 both times, so what varies is half
    # the model's mean: variance 1/4 * (2.25 + 0.25 + 0.25 + 2.25) / 3 / 4 = 0.104167, t of one degree 12.7062.
    found = corrected_mean(np.array([0.0, 1, 2, 3]), np.array([nan, 1, nan, 2]), np.arange(4))
    half = 12.7062 * sqrt(0.104167)
    assert bounds(found) == pytest.approx((1.25, 1.25 - half, 1.25 + half), rel=1e-5)
    assert found.tuning == pytest.approx(0.5)
    # The model alone: 1.5 +- 3.1824 sqrt(5 / 3 / 4), t of three degrees. People: 1.5 +- 12.7062 * 0.5.
    assert bounds(found.model_mean) == pytest.approx((1.5, 1.5 - 2.05426, 1.5 + 2.05426), rel=1e-4)
    assert bounds(found.human_mean) == pytest.approx((1.5, 1.5 - 6.3531, 1.5 + 6.3531), rel=1e-4)
    assert (found.n, found.n_rated, found.clusters_rated, found.reason) == (4, 2, 2, "")
    assert (found.model_mean.n, found.human_mean.n, found.human_mean.unscored) == (4, 2, 2)


def test_three_rated_clusters_by_hand() -> None:
    # Model 0, 1, 2 twice, people 0, 2, 1 of the first three: all means are 1. Pulls: people r (-1, 1, 0), the model
    # over the rated r (-1, 0, 1), over all a (-1, 0, 1, -1, 0, 1), with r = sqrt(3/2) / 3 and a = sqrt(6/5) / 6.
    # lambda = r (r - a) / 2 r (r - a) = 1/2; without the first cluster 0 / 1, without the second 1/2, without the third
    # 1 / 1. What each pulls by: -r, r and -(r - a); of those without ratings -a/2, 0 and a/2.
    r, a = sqrt(3 / 2) / 3, sqrt(6 / 5) / 6
    variance = r**2 + r**2 + (r - a) ** 2 + 2 * (a / 2) ** 2
    found = corrected_mean(np.array([0.0, 1, 2, 0, 1, 2]), np.array([0, 2, 1, nan, nan, nan]), np.arange(6))
    half = 4.302653 * sqrt(variance)
    assert bounds(found) == pytest.approx((1, 1 - half, 1 + half))
    assert found.tuning == pytest.approx(0.5)


def test_clusters_are_added_up_before_they_are_squared() -> None:
    # Two clusters of two items: people say 0, 2 and 2, 4. Mean 2, cluster totals of (x - 2) / 4 are -1/2 and 1/2, so
    # the variance is 2 / (2 - 1) * (1/4 + 1/4) = 1. Taken for four independent items it would be 8 / 3 / 4 = 0.67.
    found = corrected_mean(np.array([0.0, 1, 3, 0]), np.array([0.0, 2, 2, 4]), np.array([7, 7, -1, -1]))
    assert bounds(found) == pytest.approx((2, 2 - 12.7062, 2 + 12.7062), rel=1e-5)


def test_means_of_independent_items_have_students_interval() -> None:
    model, human = np.random.default_rng(0).normal(size=(2, 60))
    human[12:] = nan
    found = corrected_mean(model, human, np.arange(60))
    expected = t.interval(0.95, 11, human[:12].mean(), human[:12].std(ddof=1) / sqrt(12))
    assert bounds(found.human_mean)[1:] == pytest.approx(expected)
    half = Z * model.std(ddof=1) / sqrt(60)
    assert bounds(found.model_mean) == pytest.approx((model.mean(), model.mean() - half, model.mean() + half))


# ---- the tuning


def test_full_trust_takes_the_mean_error_off_the_models_mean() -> None:
    # People's grades rise three times as fast as the model's: as much trust as there is, 1.
    judge, people, cluster = table(seed=0, rated=8, features=20)
    people = np.where(np.isnan(people), nan, 3 * judge + 1)
    found = corrected_mean(judge, people, cluster)
    assert found.tuning == 1
    assert found.value == pytest.approx(judge.mean() + np.nanmean(people - judge))


def test_no_trust_leaves_peoples_mean_and_interval() -> None:
    judge, people, cluster = table(seed=0, rated=8, features=20)
    people = np.where(np.isnan(people), nan, 5 - judge)  # the model is always wrong
    found = corrected_mean(judge, people, cluster)
    assert found.tuning == 0
    assert bounds(found) == pytest.approx(bounds(found.human_mean))


@pytest.mark.parametrize("grade", [0, 0.1, 2.7, 1e6])
def test_a_model_that_gives_one_grade_leaves_peoples_mean_and_interval(grade: float) -> None:
    judge, people, cluster = table(seed=1, rated=8, features=20)
    weight = np.random.default_rng(0).uniform(1, 3, judge.size)
    found = corrected_mean(np.full(judge.size, grade), people, cluster, weight)
    assert found.tuning == 0
    assert bounds(found) == pytest.approx(bounds(found.human_mean))


def test_where_everything_is_rated_the_model_has_no_say() -> None:
    judge, people, cluster = table(seed=0, rated=40, features=40)
    found = corrected_mean(judge, people, cluster)
    assert found.tuning == 0 and found.more_to_halve is None
    assert bounds(found) == pytest.approx(bounds(found.human_mean))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(6, 60))  # of fewer, see below
def test_people_who_say_what_the_model_says_leave_the_models_mean_and_interval(seed: int, rated: int) -> None:
    judge, people, cluster = table(seed, rated, features=61)
    found = corrected_mean(judge, np.where(np.isnan(people), nan, judge), cluster)
    assert found.tuning == 1
    value, low, high = bounds(found.model_mean)
    stretch = t.ppf(0.975, rated - 1) / Z if rated < 30 else 1
    assert bounds(found) == pytest.approx((value, value + stretch * (low - value), value + stretch * (high - value)))


def test_a_few_rated_clusters_that_are_alike_give_no_reason_to_trust_the_model() -> None:
    # Clusters of 3, 1 and 3 items, the first two rated and nearly equal, the third far below: that they differ by 0.1
    # and are unlike in size says less of the model's mean over them than of that over all, so no slope can be had.
    cluster, judge = np.array([0] * 3 + [1] + [2] * 3), np.array([5.1] * 3 + [5.0] + [0.0] * 3)
    found = corrected_mean(judge, np.where(cluster < 2, judge, nan), cluster)
    assert (found.tuning, found.value) == (0, found.human_mean.value)


def test_a_model_that_is_noise_is_hardly_used() -> None:
    rng = np.random.default_rng(0)
    people, cluster = np.full(1200, nan), np.arange(300).repeat(4)
    people[:400] = rng.normal(size=400) + rng.normal(size=100).repeat(4)
    found = [corrected_mean(rng.normal(size=1200), people, cluster) for _ in range(100)]
    assert np.mean([one.tuning for one in found]) < 0.15  # clipped at 0, of a standard error about 0.3
    lengths = [(one.high - one.low) / (one.human_mean.high - one.human_mean.low) for one in found]
    assert np.mean(lengths) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1, 8])
def test_the_variance_is_that_of_a_jackknife_over_clusters(seed: int) -> None:
    judge, people, cluster = table(seed, rated=40, features=120)
    found = corrected_mean(judge, people, cluster)
    assert 0.2 < found.tuning < 0.9
    kept = [cluster != gone for gone in range(120)]
    left = [corrected_mean(judge[rest], people[rest], cluster[rest]) for rest in kept]
    spread = sqrt(sum((one.value - found.value) ** 2 for one in left))
    assert (found.high - found.low) / 2 / Z == pytest.approx(spread, rel=0.02)


# ---- what must not matter, and what must


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 10**6),
    st.integers(2, 12),
    st.floats(-50, 50),
    st.floats(-50, 50),
    st.floats(0.1, 20) | st.floats(-20, -0.1),
)
def test_the_mean_moves_and_stretches_with_the_scale(
    seed: int, rated: int, shift: float, bias: float, scale: float
) -> None:
    judge, people, cluster = table(seed, rated, features=12)
    value, *ends = bounds(plain := corrected_mean(judge, people, cluster))
    found = corrected_mean(scale * judge + bias, scale * people + shift, cluster)  # the model's own shift is forgotten
    assert found.value == pytest.approx(scale * value + shift, abs=1e-6)
    assert [found.low, found.high] == pytest.approx(sorted(scale * end + shift for end in ends), abs=1e-6)
    assert found.tuning == pytest.approx(plain.tuning, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_the_order_of_items_and_the_names_of_clusters_do_not_matter(seed: int, rated: int) -> None:
    judge, people, cluster = table(seed, rated, features=12)
    order = np.random.default_rng(seed).permutation(judge.size)
    weight = np.random.default_rng(seed).uniform(1, 3, judge.size)
    plain = corrected_mean(judge, people, cluster, weight)
    found = corrected_mean(judge[order], people[order], 1000 - 7 * cluster[order], weight[order])
    assert bounds(found) == pytest.approx(bounds(plain))
    assert bounds(found.human_mean) == pytest.approx(bounds(plain.human_mean))
    assert (found.n, found.n_rated, found.clusters_rated) == (plain.n, plain.n_rated, rated)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_an_item_of_weight_two_is_two_items_and_of_weight_none_is_none(seed: int, rated: int) -> None:
    judge, people, cluster = table(seed, rated, features=12)
    weight = np.random.default_rng(seed).integers(0, 4, judge.size)
    found = corrected_mean(judge, people, cluster, weight.astype(float))
    repeated = corrected_mean(judge.repeat(weight), people.repeat(weight), cluster.repeat(weight))
    assert bounds(found) == pytest.approx(bounds(repeated), nan_ok=True)
    assert (found.clusters_rated, found.reason) == (repeated.clusters_rated, repeated.reason)
    assert found.n == (weight > 0).sum()


def test_items_drawn_at_unequal_chances_are_weighed_back() -> None:
    # Features of 1 item are graded 0 and those of 5 items 3, by people and judge alike up to noise: the mean item
    # is 15 / 6 = 2.5. One item of each drawn feature is rated, so the mean rated item is 1.5.
    rng = np.random.default_rng(0)
    cluster = np.append(np.arange(100), np.arange(100, 200).repeat(5))
    many, first = cluster >= 100, np.append(True, np.diff(cluster) > 0)
    values, plain = [], []
    for _ in range(200):
        people = np.where(first & (rng.permutation(200) < 40)[cluster], 3.0 * many, nan) + rng.normal(size=600)
        judge = rng.normal(size=600)
        found = corrected_mean(judge, people, cluster, chance=np.where(many, 1 / 5, 1))
        values.append(found.low <= 2.5 <= found.high)
        plain.append(corrected_mean(judge, people, cluster).value)
    assert 0.9 <= np.mean(values) <= 0.99
    assert np.mean(plain) == pytest.approx(1.5, abs=0.1)


# ---- edges


@pytest.mark.parametrize(
    ("human", "reason", "mean"),
    [
        ([nan, nan, nan, nan], "no clusters with human ratings: a correction needs at least 2", nan),
        ([2, 3, nan, nan], "1 cluster with human ratings: a correction needs at least 2", 2.5),
    ],
)
@pytest.mark.filterwarnings("error")
def test_fewer_than_two_rated_clusters_say_why(human: list[float], reason: str, mean: float) -> None:
    found = corrected_mean(np.array([0.0, 1, 2, 3]), np.array(human), np.array([5, 5, 6, 6]))
    assert all(map(isnan, (*bounds(found), found.tuning, found.human_mean.low, found.human_mean.high)))
    assert (found.reason, found.more_to_halve) == (reason, None)
    assert found.human_mean.value == pytest.approx(mean, nan_ok=True)
    assert found.model_mean.value == 1.5 and found.model_mean.low < 1.5  # the model's mean does not need people


@pytest.mark.filterwarnings("error")
def test_no_items_at_all() -> None:
    found = corrected_mean(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    assert isnan(found.value) and isnan(found.model_mean.value)
    assert (found.n, found.n_rated, found.clusters_rated) == (0, 0, 0)


@pytest.mark.filterwarnings("error")
def test_people_who_all_say_the_same_leave_nothing_to_halve() -> None:
    found = corrected_mean(np.arange(6.0), np.array([3, 3, 3, nan, nan, nan]), np.arange(6))
    assert (*bounds(found), found.tuning, found.more_to_halve) == (3, 3, 3, 0, None)


@pytest.mark.parametrize(
    ("model", "human", "weight", "message"),
    [
        ([1, nan], [1, 2], [1, 1], "graded every item"),
        ([1, 2], [1, inf], [1, 1], "numbers or nan"),
        ([1, 2], [1, 2], [1, -1], "not negative"),
        ([1, 2], [1, 2], [1, 1, 1], "one of each"),
    ],
)
def test_what_is_no_table_of_grades_is_refused(
    model: list[float], human: list[float], weight: list[float], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        corrected_mean(np.array(model), np.array(human), np.arange(2), np.array(weight))


# ---- how many more


def test_more_to_halve_by_hand() -> None:
    # From 30 clusters on the quantile stays: 1 + 99 * 30 / k <= 100 / 4 from k = 123.75 on.
    assert ppi.more_to_halve(fixed=1, falling=99, rated=30, clusters=1000) == 94
    assert ppi.more_to_halve(fixed=1, falling=99, rated=30, clusters=124) == 94
    assert ppi.more_to_halve(fixed=1, falling=99, rated=30, clusters=123) is None  # not so many clusters are there
    assert ppi.more_to_halve(fixed=25.1, falling=74.9, rated=30, clusters=10**5) is None  # the model's part stays
    assert ppi.more_to_halve(fixed=0, falling=0, rated=30, clusters=1000) is None
    # With two clusters it is mostly Student's t that falls: 12.7^2 / 4 = 40.4, and 4.3^2 * 2/3 = 12.3 is less.
    assert ppi.more_to_halve(fixed=0, falling=1, rated=2, clusters=9) == 1


@pytest.mark.parametrize(
    ("rated", "items", "noise", "features"), [(15, 4, 3, 200), (15, 1, 0.3, 400), (30, 4, 0.3, 2000)]
)
def test_more_to_halve_halves(rated: int, items: int, noise: float, features: int) -> None:
    """The number is right within a fifth: a fifth fewer is not enough, a fifth more is more than enough."""

    def length(rated: int, count: int) -> float:
        return float(np.mean([one.high - one.low for one in studies(count, rated, items, noise, features)]))

    numbers = [one.more_to_halve for one in studies(400, rated, items, noise, features)]
    assert np.mean([number is None for number in numbers]) < 0.05
    more = np.median([number or inf for number in numbers])
    half = length(rated, 400) / 2
    assert length(round(rated + 0.8 * more), 100) > half > length(round(rated + 1.2 * more), 100)


def test_no_number_halves_what_is_mostly_the_spread_of_features() -> None:
    assert all(one.more_to_halve is None for one in studies(1000, 100))
    everyone, some = study(np.random.default_rng(0), FEATURES), studies(1000, 100)
    assert everyone.high - everyone.low > 0.75 * np.mean([one.high - one.low for one in some])


# ---- studies with a biased judge


def covered(found: list[Corrected] | list[Interval]) -> float:
    return float(np.mean([one.low <= TRUTH <= one.high for one in found]))


@pytest.mark.parametrize(("rated", "items"), [(15, 4), (40, 4), (100, 4), (15, 1), (40, 1), (200, 1)])
def test_a_biased_judge_is_corrected(rated: int, items: int) -> None:
    found = studies(1000, rated, items)
    assert np.mean([one.model_mean.value for one in found]) == pytest.approx(TRUTH + 0.4, abs=0.01)
    assert np.mean([one.value for one in found]) == pytest.approx(TRUTH, abs=0.02)
    assert 0.93 <= covered(found) <= (0.98 if rated < 30 else 0.97)
    assert covered([one.model_mean for one in found]) == 0


@pytest.mark.parametrize("rated", [15, 40, 100])
def test_a_judge_that_agrees_with_people_shortens_the_interval(rated: int) -> None:
    lengths = [(one.high - one.low) / (one.human_mean.high - one.human_mean.low) for one in studies(1000, rated)]
    assert np.mean(lengths) < 0.8 and np.mean(np.array(lengths) < 1) > 0.99


def test_a_poor_judge_costs_nothing() -> None:
    found = studies(1000, 40, ITEMS, 3)
    assert 0.93 <= covered(found) <= 0.97
    length, alone = np.mean([(one.high - one.low, one.human_mean.high - one.human_mean.low) for one in found], axis=0)
    assert 0.9 * alone < length < alone
