"""Agreement of loudness, attribution and ablation against worked arithmetic, slow versions and simulated chance."""

from itertools import pairwise, permutations
from math import atanh, comb, isnan, tanh

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from autointerp.measure import causal
from autointerp.measure.arrays import Floats

patient = settings(deadline=None)  # the machine may be busy


def array(*values: float) -> Floats:
    return np.array(values, float)


# ---- one prompt


def test_agreement_by_hand() -> None:
    # By ablation the order is 2, 0, 3, 1. Attribution gives 2, 3, 0, 1: ranks differ by 1, 1: 1 - 6 * 2 / 60 = 0.8.
    # Loudness gives 1, 3, 0, 2 (ranks 3, 1, 4, 2 against 2, 4, 1, 3): squares 1 + 9 + 9 + 1: 1 - 6 * 20 / 60 = -1.
    found = causal.agreement(array(2, 9, 1, 5), array(0.1, -3, 4, 0.2), array(1, -2, 3, 0), top=2)
    assert found.attribution_ablation == pytest.approx(0.8)
    assert found.activation_ablation == pytest.approx(-1)
    # The two by ablation are 2 and 0. Of the two most attributed, 2 and 3, one; of the two loudest, 1 and 3, none.
    assert (found.attributed_hits, found.loudest_hits, found.expected_hits) == (1, 0, 1)
    assert (found.loudness, found.median_loudness) == ((4, 3), 3.5)
    assert found.reasons == {}
    # By size, ablation orders 2, 1, 0, 3: now the loudest, 1, is among the two.
    by_size = causal.agreement(array(2, 9, 1, 5), array(0.1, -3, 4, 0.2), array(1, -2, 3, 0), top=2, magnitude=True)
    assert (by_size.attributed_hits, by_size.loudest_hits, by_size.loudness) == (2, 1, (4, 1))
    assert by_size.attribution_ablation == pytest.approx(0.8)


def slow_overlap(x: list[int], y: list[int], top: int) -> float:
    """The mean over every order of each that the values allow."""

    def firsts(values: list[int]) -> list[set[int]]:
        orders = permutations(range(len(values)))
        return [set(order[:top]) for order in orders if all(values[a] >= values[b] for a, b in pairwise(order))]

    return float(np.mean([len(a & b) for a in firsts(x) for b in firsts(y)]))


@patient
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=6), st.data())
def test_overlap_is_the_mean_over_all_ways_to_break_ties(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    x, y = ([row[side] for row in rows] for side in (0, 1))
    top = data.draw(st.integers(1, len(rows)))
    assert causal.overlap(array(*x), array(*y), top) == pytest.approx(slow_overlap(x, y, top))
    assert causal.overlap(np.ones(len(x)), array(*y), top) == pytest.approx(top**2 / len(x))


@patient
@given(st.integers(11, 60), st.integers(0, 999))
def test_agreement_is_blind_to_order_and_scale_and_full_with_itself(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    activation, attribution, ablation = rng.exponential(size=n), *rng.normal(size=(2, n))
    found = causal.agreement(activation, attribution, ablation)
    order = rng.permutation(n)
    again = causal.agreement(3 * activation[order], attribution[order] / 7, 5 * ablation[order])
    assert again.loudness == found.loudness
    assert again.attribution_ablation == pytest.approx(found.attribution_ablation)
    assert (again.attributed_hits, again.loudest_hits) == (found.attributed_hits, found.loudest_hits)
    assert found.activation_ablation == pytest.approx(spearmanr(activation, ablation).statistic)
    assert found.expected_hits == pytest.approx(100 / n)
    same = causal.agreement(ablation, ablation, ablation)
    assert (same.attributed_hits, same.loudness) == (10, tuple(range(1, 11)))
    assert same.attribution_ablation == pytest.approx(1)


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_computed_is_nan_with_its_reason() -> None:
    few = causal.agreement(array(1, 2, 3), array(1, 3, 2), array(3, 1, 2))
    assert (
        isnan(few.attributed_hits) and few.reasons["attributed_hits"] == "3 active features are all among the first 10"
    )
    assert few.loudness == (3, 1, 2) and few.attribution_ablation == pytest.approx(-1)
    two = causal.agreement(array(1, 2), array(1, 2), array(2, 1))
    assert isnan(two.attribution_ablation)
    assert two.reasons["attribution_ablation"] == "2 active features have no correlation worth the name"
    flat = causal.agreement(np.arange(12.0), np.ones(12), np.arange(12.0))
    assert flat.reasons == {"attribution_ablation": "all attributions are equal"}
    assert flat.attributed_hits == pytest.approx(flat.expected_hits)
    idle = causal.agreement(np.arange(12.0), np.arange(12.0), np.zeros(12))
    assert set(idle.reasons.values()) == {"all ablation effects are equal"}
    assert len(idle.reasons) == 2
    empty = causal.agreement(array(), array(), array())
    assert (empty.n, empty.loudness) == (0, ()) and isnan(empty.median_loudness)
    assert empty.reasons["loudness"] == "no feature is active"
    broken = causal.agreement(np.arange(12.0), np.arange(12.0), array(np.nan, *range(11)))
    assert isnan(broken.activation_ablation) and len(broken.reasons) == 6
    assert broken.reasons["loudness"] == "1 of 12 active features have no finite value"


def test_a_sample_of_the_ablations_gives_what_all_of_them_would() -> None:
    rng, n = np.random.default_rng(0), 200
    activation, ablation = rng.exponential(size=n), rng.standard_t(3, size=n)
    attribution = ablation + rng.normal(size=n)
    whole = causal.agreement(activation, attribution, ablation)
    first = np.argsort(-np.abs(attribution))[:30]
    rest = np.setdiff1d(np.arange(n), first)
    found = []
    for _ in range(300):
        weight = np.zeros(n)
        weight[first], weight[rng.choice(rest, 30, replace=False)] = 1, len(rest) / 30
        hidden = np.where(weight > 0, ablation, np.nan)  # what was not ablated is not known
        sample = causal.agreement(activation, attribution, hidden, weight=weight)
        found.append((sample.attribution_ablation, sample.activation_ablation, sample.attributed_hits))
        assert all(rank in causal.ranks(activation)[weight > 0] for rank in sample.loudness)
    truth = (whole.attribution_ablation, whole.activation_ablation, whole.attributed_hits)
    off = np.mean(found, axis=0) - truth
    assert abs(off[0]) < 0.03 and abs(off[1]) < 0.03
    assert 0 < off[2] < 1  # what is among the ten and was not drawn is missed: the overlap leans upwards


@patient
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=3, max_size=8), st.data())
def test_a_weight_is_so_many_equal_values(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    values, weight = (array(*(row[side] for row in rows)) for side in (0, 1))
    repeated = np.repeat(values, weight.astype(int))
    top = data.draw(st.integers(1, len(rows)))
    place = np.cumsum(weight.astype(int)) - 1
    np.testing.assert_allclose(causal.ranks(values, weight), causal.ranks(repeated)[place])
    np.testing.assert_allclose(causal.membership(values, top, weight), causal.membership(repeated, top)[place])
    assert (weight * causal.membership(values, top, weight)).sum() == pytest.approx(top)


def test_an_overlap_counts_each_for_as_many_as_it_stands_for() -> None:
    # The two largest of x are 0 and 1; y is known of 0 and 2, two each. If 0 is above 2, both of the two are like it.
    x, weight = array(4, 3, 2, 1), array(2, 0, 2, 0)
    assert causal.overlap(x, array(5, np.nan, 1, np.nan), 2, weight) == 2
    assert causal.overlap(x, array(1, np.nan, 5, np.nan), 2, weight) == 0


def test_the_share_of_the_error_by_hand() -> None:
    assert causal.error_share(3.0, 1.0) == causal.error_share(-3.0, 1.0) == 0.25
    assert (causal.error_share(2.0, 0.0), causal.error_share(0.0, -2.0)) == (0, 1)
    assert isnan(causal.error_share(0.0, 0.0))


# ---- over prompts


def test_leaving_one_prompt_out_by_hand() -> None:
    # Of 0, 3 and 6 the mean is 3; without 6 it is 1.5, without 0 it is 4.5.
    found = causal.over_prompts(array(0, 3, np.nan, 6), seed=0)
    assert (found.mean.value, found.mean.n, found.mean.unscored) == (3, 3, 1)
    assert (found.lowest, found.highest) == (1.5, 4.5)
    assert found.mean.low < 3 < found.mean.high
    alone = causal.over_prompts(array(2, np.nan), seed=0)
    assert alone.mean.value == 2 and isnan(alone.lowest) and isnan(alone.highest)
    assert isnan(causal.over_prompts(array(np.nan), seed=0).mean.value)


def test_the_fisher_mean_by_hand() -> None:
    found = causal.fisher_mean(array(0.9, 0.1, np.nan), np.array([50, 50, 50]), seed=0)
    assert found.value == pytest.approx(tanh((atanh(0.9) + atanh(0.1)) / 2))
    assert (found.n, found.unscored) == (2, 1)
    assert found.low >= 0.1 - 1e-9 and found.low < found.value < found.high <= 0.9 + 1e-9
    # Over 3 features the values are 1, 1/2, … : 1 counts as 1 - 6 / 24 = 3/4. Over many it is nearly 1.
    assert causal.fisher_mean(array(1, -1), np.array([3, 3]), seed=0).value == pytest.approx(0)
    assert causal.fisher_mean(array(1, 0), np.array([3, 9]), seed=0).value == pytest.approx(tanh(atanh(0.75) / 2))


def test_a_full_rank_correlation_counts_half_way_from_the_next_one_below_it() -> None:
    for m in (3, 5, 12):
        swapped = np.arange(m)
        swapped[:2] = 1, 0
        below = spearmanr(np.arange(m), swapped).statistic
        assert causal.fisher_mean(array(1), np.array([m]), seed=0).value == pytest.approx((1 + below) / 2)


def test_the_hit_rate_by_hand() -> None:
    # Two prompts with 4 features, 2 of them hit by 2: none with chance 1/6, one with 4/6, two with 1/6.
    # At least 3 of 4 in all: 2 * (1/6 * 4/6) + 1/36 = 9/36.
    found = causal.hit_rate(array(2, np.nan, 1), np.array([4, 4, 4]), top=2)
    assert (found.rate, found.random, found.n, found.unscored) == (0.75, 0.5, 2, 1)
    assert found.p == pytest.approx(9 / 36)
    assert causal.hit_rate(array(0, 0), np.array([4, 4]), top=2).p == pytest.approx(1)
    assert causal.hit_rate(array(2), np.array([9]), top=2).p == pytest.approx(1 / comb(9, 2))
    assert causal.hit_rate(array(1.5), np.array([4]), top=2).p == pytest.approx(5 / 6)  # rounded down
    nothing = causal.hit_rate(array(np.nan), np.array([4]))
    assert isnan(nothing.p) and (nothing.n, nothing.unscored) == (0, 1)


def test_the_null_of_the_hit_rate_is_what_random_features_do() -> None:
    rng, sizes = np.random.default_rng(0), np.array([20, 35, 50])
    p = []
    for _ in range(400):
        drawn = [causal.agreement(rng.random(n), rng.random(n), rng.random(n)).loudest_hits for n in sizes]
        p.append(causal.hit_rate(np.array(drawn), sizes).p)
    # The chance of a p at most 5% is at most 5%: 20 of 400 expected at most, with a standard deviation of 4.4.
    assert np.mean(np.array(p) <= 0.05) <= 0.085
    assert np.mean(np.array(p) <= 0.5) > 0.3
