"""Agreement against arithmetic in a comment, published examples, a slow obvious version, and scikit-learn."""

from itertools import permutations
from math import isnan, nan
from random import Random
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from autointerp.measure import agreement
from autointerp.measure.arrays import Floats, Ints

patient = settings(deadline=None)  # the machine may be busy

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def ratings(text: str) -> Floats:
    """A row a rater, a dot where none was given."""
    return np.array([[nan if mark == "." else float(mark) for mark in row] for row in text.split()])


@st.composite
def two_raters(draw: st.DrawFn) -> tuple[Ints, Ints]:
    rows = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
    a, b = (np.array(column) for column in zip(*rows, strict=True))
    assume(len({*a.tolist(), *b.tolist()}) > 1)
    return a, b


# ---- two raters


def test_quadratic_kappa_by_hand() -> None:
    # a 0 0 1 2, b 0 1 1 2: one pair differs, by 1: sum w O = 1. Margins 2 1 1 and 1 2 1:
    # sum w E = (0->1: 2*2*1 + 0->2: 2*1*4 + 1->0: 1*1*1 + 1->2: 1*1*1 + 2->0: 1*1*4 + 2->1: 1*2*1) / 4 = 20 / 4 = 5.
    a, b = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    np.testing.assert_array_equal(agreement.confusion(a, b, 4), [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0] * 4])
    assert agreement.quadratic_kappa(a, b, 3) == pytest.approx(1 - 1 / 5)


@patient
@given(two_raters())
def test_kappa_and_confusion_equal_scikit_learn_and_are_symmetric(case: tuple[Ints, Ints]) -> None:
    a, b = case
    np.testing.assert_array_equal(agreement.confusion(a, b, 4), confusion_matrix(a, b, labels=range(4)))
    np.testing.assert_array_equal(agreement.confusion(a, b, 4), agreement.confusion(b, a, 4).T)
    kappa = agreement.quadratic_kappa(a, b, 4)
    assert kappa == pytest.approx(cohen_kappa_score(a, b, labels=range(4), weights="quadratic"), abs=1e-12)
    assert kappa == pytest.approx(agreement.quadratic_kappa(b, a, 4))
    assert kappa == pytest.approx(agreement.quadratic_kappa(3 - a, 3 - b, 4))  # the scale turned round
    assert kappa == pytest.approx(agreement.quadratic_kappa(a + 2, b + 2, 9))  # empty categories add nothing
    assert kappa == pytest.approx(agreement.quadratic_kappa(np.tile(a, 2), np.tile(b, 2), 4))
    assert -1 <= kappa <= 1


def test_quadratic_kappa_at_its_ends() -> None:
    a = np.array([0, 0, 3, 3])
    assert agreement.quadratic_kappa(a, a, 4) == 1
    assert agreement.quadratic_kappa(a, 3 - a, 4) == -1
    assert agreement.quadratic_kappa(a, np.array([0, 3, 0, 3]), 4) == 0  # independent
    assert agreement.quadratic_kappa(a, np.full(4, 2), 4) == 0  # constant
    assert isnan(agreement.quadratic_kappa(np.full(4, 2), np.full(4, 2), 4))
    assert isnan(agreement.quadratic_kappa(a[:0], a[:0], 4))


def test_kappa_collapses_under_skew_where_the_confusion_does_not() -> None:
    # 98 of 100 alike, one 3 against 2 each way: sum w O = 2, sum w E = 2 * 99 * 1 / 100 = 1.98: 1 - 2/1.98 = -0.01.
    a, b = np.array([3] * 98 + [3, 2]), np.array([3] * 98 + [2, 3])
    assert agreement.quadratic_kappa(a, b, 4) == pytest.approx(1 - 2 / 1.98)
    assert agreement.confusion(a, b, 4)[3, 3] == 98


@pytest.mark.parametrize(("a", "b"), [([0, 4], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0])])
def test_ratings_off_the_scale_are_refused(a: list[int], b: list[int]) -> None:
    with pytest.raises(AssertionError):
        agreement.confusion(np.array(a), np.array(b), 4)


# ---- any number of raters


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_gives_what_krippendorff_prints(level: Level, alpha: float) -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units, values missing.
    printed = ratings("123321412... 1233224125.3 .3332342251. 12332441251.")
    assert agreement.krippendorff_alpha(printed, level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_by_hand() -> None:
    # Items (1, 1), (1, 2), (3, 3): 3 ones, 1 two, 2 threes; the differing pair counts both ways.
    # Nominal: D_o = 2 * 1; D_e = 2 * (3*1 + 3*2 + 1*2) / 5 = 4.4: 1 - 2/4.4.
    # Interval: 2 * 1; 2 * (3*1*1 + 3*2*4 + 1*2*1) / 5 = 11.6: 1 - 2/11.6.
    # Ordinal: places 1.5, 3.5, 5: squares 4, 12.25, 2.25: 2 * 4; 2 * (3*4 + 6*12.25 + 2*2.25) / 5 = 36: 1 - 8/36.
    table = ratings("113. 1235")  # the last item was rated once and takes no part
    expected = {"nominal": 1 - 2 / 4.4, "interval": 1 - 2 / 11.6, "ordinal": 1 - 8 / 36}
    for level in LEVELS:
        assert agreement.krippendorff_alpha(table, level) == pytest.approx(expected[level])


def slow_alpha(table: Floats, level: Level) -> float:
    """Every ordered pair of ratings, one by one."""
    items = [[v for v in column if not isnan(v)] for column in table.T.tolist()]
    items = [item for item in items if len(item) > 1]
    every = [v for item in items for v in item]

    def distance(a: float, b: float) -> float:
        low, high = min(a, b), max(a, b)
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (high - low) ** 2
        return (sum(low <= v <= high for v in every) - (every.count(low) + every.count(high)) / 2) ** 2

    observed = sum(distance(a, b) / (len(item) - 1) for item in items for a, b in permutations(item, 2)) / len(every)
    expected = sum(distance(a, b) for a, b in permutations(every, 2)) / len(every) / (len(every) - 1)
    return 1 - observed / expected


tables = st.integers(2, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 1, 2, 3, nan]), min_size=n, max_size=n), min_size=1, max_size=12
    ).map(lambda rows: np.array(rows).T)
)


@patient
@given(tables, st.sampled_from(LEVELS), st.randoms(use_true_random=False))
def test_alpha_equals_a_slow_version_and_ignores_who_rated_what_first(
    table: Floats, level: Level, random: Random
) -> None:
    paired = table[:, (~np.isnan(table)).sum(axis=0) > 1]
    assume(np.unique(paired[~np.isnan(paired)]).size > 1)
    alpha = agreement.krippendorff_alpha(table, level)
    assert alpha == pytest.approx(slow_alpha(table, level), abs=1e-12)
    assert alpha <= 1
    raters, items = (random.sample(range(n), n) for n in table.shape)
    assert agreement.krippendorff_alpha(table[raters][:, items], level) == pytest.approx(alpha)
    assert agreement.krippendorff_alpha(7 - 2 * table, level) == pytest.approx(alpha)
    if level == "ordinal":
        assert agreement.krippendorff_alpha(np.exp(table), level) == pytest.approx(alpha)


@pytest.mark.filterwarnings("error")
def test_alpha_at_its_ends() -> None:
    for level in LEVELS:
        assert agreement.krippendorff_alpha(ratings("0123 0123 01.."), level) == 1
        assert agreement.krippendorff_alpha(ratings("01 10"), level) == pytest.approx(-0.5)  # 1 - 4 / (8 / 3)
        for undefined in ("33 33", "3. .1", "..", ""):
            assert isnan(agreement.krippendorff_alpha(ratings(undefined).reshape(-1, 2), level))


def test_alpha_of_ratings_at_random_is_about_0() -> None:
    table = np.random.default_rng(0).integers(0, 4, (3, 5000)).astype(float)
    for level in LEVELS:
        assert agreement.krippendorff_alpha(table, level) == pytest.approx(0, abs=0.03)


# ---- over features


def rated(seed: int, features: int = 30, raters: int = 3, missing: float = 0.2) -> tuple[Floats, Ints]:
    """Ratings 0 to 3 of some items of each feature by raters that agree in part, and the items' features."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(features, size=5 * features)
    level = rng.integers(4, size=features)[clusters]
    noise = rng.integers(-1, 2, size=(raters, clusters.size)) * (rng.random((raters, clusters.size)) < 0.6)
    said = np.clip(level + noise, 0, 3).astype(float)
    return np.where(rng.random(said.shape) < missing, nan, said), clusters


@patient
@given(st.integers(0, 999))
def test_the_mean_kappa_is_that_of_all_pairs_over_what_both_rated(seed: int) -> None:
    said, clusters = rated(seed)
    kappas = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = ~np.isnan(said[a] + said[b])
        kappas.append(cohen_kappa_score(said[a, both], said[b, both], labels=range(4), weights="quadratic"))
    effect = agreement.mean_kappa(said, 10 * clusters, 4, seed=0, resamples=20)
    assert effect.value == pytest.approx(np.mean(kappas))
    assert effect.n == len(set(clusters[(~np.isnan(said)).sum(axis=0) > 1].tolist()))


@patient
@given(st.integers(0, 999), st.integers(2, 4))
def test_alpha_over_features_is_krippendorffs(seed: int, raters: int) -> None:
    said, clusters = rated(seed, raters=raters, missing=0.4)
    assert agreement.alpha(said, clusters, 4, 0, 20).value == pytest.approx(agreement.krippendorff_alpha(said))
    # Categories that nobody uses change nothing.
    assert agreement.alpha(said + 1, clusters, 7, 0, 20).value == pytest.approx(agreement.krippendorff_alpha(said))


@pytest.mark.parametrize("coefficient", [agreement.mean_kappa, agreement.alpha])
def test_bounds_are_those_of_a_bootstrap_of_whole_features(coefficient: Any) -> None:
    """Against a slow one that copies the items of the features drawn; and items of one feature are no news."""
    said, clusters = rated(5, features=40, raters=2, missing=0)
    effect = coefficient(said, clusters, 4, 0, 2000)
    rng, drawn = np.random.default_rng(1), []
    members = [np.flatnonzero(clusters == feature) for feature in np.unique(clusters)]
    for _ in range(400):
        chosen = np.concatenate([members[at] for at in rng.integers(len(members), size=len(members))])
        a, b = said[:, chosen].astype(int)
        alike = agreement.krippendorff_alpha(said[:, chosen])
        drawn.append(agreement.quadratic_kappa(a, b, 4) if coefficient is agreement.mean_kappa else alike)
    assert (effect.low, effect.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.03)
    copied = coefficient(np.tile(said, 3), np.tile(clusters, 3), 4, 0, 2000)
    assert (copied.low, copied.high) == pytest.approx((effect.low, effect.high), abs=0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("coefficient", [agreement.mean_kappa, agreement.alpha])
def test_no_agreement_of_nothing(coefficient: Any) -> None:
    two, features = np.array([[0.0, 1, 2, 3], [1, 1, 2, 3]]), np.array([0, 1, 2, 3])
    for said, clusters in (
        (two[:, :0], features[:0]),
        (two[:1], features),
        (two, np.zeros(4, int)),
        (np.full((2, 4), 3.0), features),
        (np.array([[0.0, 1, nan, nan], [nan, nan, 2, 3]]), features),
    ):
        found = coefficient(said, clusters, 4, 0, 100)
        assert not found.identified and isnan(found.value) and "two" in found.note
