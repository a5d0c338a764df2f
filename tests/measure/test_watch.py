"""Watch lists: what is planted is found on the half that did not choose it, and nothing is found where nothing is."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from autointerp.measure import watch
from autointerp.measure.arrays import Floats
from autointerp.measure.watch import Choice, Half


def noise(rng: np.random.Generator, n: int = 15, m: int = 105, width: int = 300) -> Half:
    """Sparse activations that know nothing of what is of concern."""
    sizes = ((n, width), (n, width), (m, width))
    return Half(*(rng.exponential(size=size) * (rng.random(size) < 0.2) for size in sizes))


def test_a_threshold_by_hand() -> None:
    twins, others = np.array([[1.0], [5.0]]), np.array([[2.0], [4.0], [3.0], [0.0], [0.0], [0.0], [0.0], [0.0]])
    half = Half(np.zeros((2, 1)), twins, others)
    assert watch.thresholds(half, 0.0).tolist() == [5.0]
    assert watch.thresholds(half, 0.1).tolist() == [4.0]  # one of ten may be louder
    assert watch.thresholds(half, 0.2).tolist() == [3.0]
    assert watch.thresholds(half, 0.5).tolist() == [0.0]


@settings(max_examples=100, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 6), st.just(3)), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    arrays(float, st.tuples(st.integers(1, 9), st.just(3)), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    st.floats(0, 0.99),
)
def test_no_smaller_threshold_holds_the_rate(twins: Floats, others: Floats, rate: float) -> None:
    at = watch.thresholds(Half(np.zeros_like(twins), twins, others), rate)
    benign = np.concatenate([twins, others])
    for feature in range(3):
        own = benign[:, feature]
        assert (own > at[feature]).mean() <= rate + 1e-9
        lower = [value for value in {0.0, *own} if value < at[feature]]
        assert all((own > value).mean() > rate for value in lower)


def test_a_planted_feature_is_found_and_reported_by_the_other_half() -> None:
    rng = np.random.default_rng(0)
    halves = [noise(rng), noise(rng)]
    for half, loud in zip(halves, (14, 12), strict=True):
        half.concerning[:, 7] = np.where(np.arange(15) < loud, 9.0, 0.0)
        half.twins[:, 7] = np.where(np.arange(15) < 1, 9.0, 0.0)
        half.others[:, 7] = np.where(np.arange(105) < 3, 9.0, 0.0)
    choice = watch.choose(halves[0], 0.05)
    assert choice is not None and choice.feature == 7
    assert choice.threshold < 9
    told = watch.rates(halves[1], choice)
    assert (told.n, told.hits, told.twins, told.benign, told.false) == (15, 12, 1, 120, 4)
    assert told.p == pytest.approx(binomtest(11, 11, 0.5, alternative="greater").pvalue)


def test_a_feature_of_the_topic_alone_is_not_chosen() -> None:
    rng = np.random.default_rng(1)
    topic = np.full((15, 1), 5.0)
    half = Half(topic, topic, rng.random((105, 1)))
    assert watch.choose(half, 0.05) is None
    told = watch.rates(half, Choice(0, 1.0))
    assert (told.hits, told.twins, told.p) == (15, 15, 1.0)


def test_as_many_pairs_one_way_as_the_other_are_a_fair_coin() -> None:
    concerning, twins = np.array([[1.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [1.0]])
    told = watch.rates(Half(concerning, twins, np.zeros((2, 1))), Choice(0, 0.5))
    assert told.p == pytest.approx(3 / 4)  # at least one head of two


def test_of_equals_the_clearer_one_is_chosen() -> None:
    concerning, twins = np.array([[2.0, 2.0], [2.0, 2.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert watch.choose(Half(concerning, twins, np.ones((20, 2))), 0.0) == Choice(1, 1.0)
    # Three quarters of its largest activation are clearer than one half of another that is ten times as loud.
    concerning, twins = np.array([[4.0, 40.0], [4.0, 40.0]]), np.array([[1.0, 20.0], [1.0, 20.0]])
    assert watch.choose(Half(concerning, twins, np.zeros((20, 2))), 0.0) == Choice(0, 1.0)


def test_a_silent_dictionary_has_no_choice() -> None:
    silent = Half(*(np.zeros((n, 4)) for n in (3, 3, 9)))
    assert watch.choose(silent, 0.05) is None
    empty = Half(*(np.zeros((n, 0)) for n in (3, 3, 9)))
    assert watch.choose(empty, 0.05) is None


def test_where_nothing_is_to_be_found_the_sign_test_seldom_says_so() -> None:
    rng = np.random.default_rng(2)
    low = 0
    for _ in range(400):
        choosing, reporting = noise(rng, width=60), noise(rng, width=60)
        choice = watch.choose(choosing, 0.05)
        assert choice is not None
        low += watch.rates(reporting, choice).p <= 0.05
    assert low <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)  # exact, so at most 5%


def test_chance_is_what_the_search_finds_in_noise_and_less_than_what_is_planted() -> None:
    rng = np.random.default_rng(3)
    halves: list[Any] = [noise(rng), noise(rng)]
    found = [watch.rates(b, c).hits / 15 for a, b in [(noise(rng), noise(rng)) for _ in range(200)]
             for c in [watch.choose(a, 0.05)] if c]  # fmt: skip
    chance = watch.by_chance(*halves, 0.05, 200, np.random.default_rng(4))
    assert chance.mean() == pytest.approx(np.mean(found), abs=0.05)
    for half in halves:
        half.concerning[:, 7], half.twins[:, 7], half.others[:, 7] = 9.0, 0.0, 0.0
    flipped = watch.by_chance(*halves, 0.05, 50, np.random.default_rng(4))
    choice = watch.choose(halves[0], 0.05)
    assert choice is not None and watch.rates(halves[1], choice).hits == 15
    assert flipped.mean() < 0.8


def test_flipping_exchanges_whole_pairs_and_nothing_else() -> None:
    half = noise(np.random.default_rng(5), n=4, m=3, width=2)
    flips = np.array([True, False, True, False])
    other = half.flipped(flips)
    assert (other.concerning[flips] == half.twins[flips]).all() and (other.twins[flips] == half.concerning[flips]).all()
    assert (other.concerning[~flips] == half.concerning[~flips]).all() and (other.others == half.others).all()
