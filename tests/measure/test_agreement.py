"""Agreement against arithmetic in a comment, published examples, a slow obvious version, and scikit-learn."""

from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from autointerp.measure import agreement
from autointerp.measure.arrays import Floats, Ints
from tests.krippendorff import ordinal_alpha

patient = settings(deadline=None)  # the machine may be busy


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


def kappa(a: Ints, b: Ints, categories: int) -> float:
    return float(agreement.kappa_of(agreement.confusion(a, b, categories).astype(float)))


@pytest.mark.parametrize(("a", "b"), [([0, 4], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0])])
def test_ratings_off_the_scale_are_refused(a: list[int], b: list[int]) -> None:
    with pytest.raises(AssertionError):
        agreement.confusion(np.array(a), np.array(b), 4)


def test_quadratic_kappa_by_hand() -> None:
    # a 0 0 1 2, b 0 1 1 2: one pair differs, by 1: sum w O = 1. Margins 2 1 1 and 1 2 1:
    # sum w E = (0->1: 2*2*1 + 0->2: 2*1*4 + 1->0: 1*1*1 + 1->2: 1*1*1 + 2->0: 1*1*4 + 2->1: 1*2*1) / 4 = 20 / 4 = 5.
    assert kappa(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 3) == pytest.approx(1 - 1 / 5)


@patient
@given(two_raters())
def test_kappa_and_confusion_equal_scikit_learn_and_are_symmetric(case: tuple[Ints, Ints]) -> None:
    a, b = case
    np.testing.assert_array_equal(agreement.confusion(a, b, 4), confusion_matrix(a, b, labels=range(4)))
    found = kappa(a, b, 4)
    assert found == pytest.approx(cohen_kappa_score(a, b, labels=range(4), weights="quadratic"), abs=1e-12)
    assert found == pytest.approx(kappa(b, a, 4))
    assert found == pytest.approx(kappa(3 - a, 3 - b, 4))  # the scale turned round
    assert found == pytest.approx(kappa(a + 2, b + 2, 9))  # empty categories add nothing
    assert found == pytest.approx(kappa(np.tile(a, 2), np.tile(b, 2), 4))
    assert -1 <= found <= 1


def test_quadratic_kappa_at_its_ends() -> None:
    a = np.array([0, 0, 3, 3])
    assert kappa(a, a, 4) == 1
    assert kappa(a, 3 - a, 4) == -1
    assert kappa(a, np.array([0, 3, 0, 3]), 4) == 0  # independent
    assert kappa(a, np.full(4, 2), 4) == 0  # constant
    assert isnan(kappa(np.full(4, 2), np.full(4, 2), 4))
    assert isnan(agreement.kappa_of(np.zeros((4, 4))))


def test_kappa_collapses_under_skew() -> None:
    # 98 of 100 alike, one 3 against 2 each way: sum w O = 2, sum w E = 2 * 99 * 1 / 100 = 1.98: 1 - 2/1.98 = -0.01.
    a, b = np.array([3] * 98 + [3, 2]), np.array([3] * 98 + [2, 3])
    assert kappa(a, b, 4) == pytest.approx(1 - 2 / 1.98)


# ---- any number of raters


def alpha(table: Floats) -> float:
    """Of a table whose items are of a feature each."""
    return agreement.alpha(table, np.arange(table.shape[1]), 6, 0, 20).value


def test_alpha_gives_what_krippendorff_prints() -> None:
    # "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units, values missing.
    printed = ratings("123321412... 1233224125.3 .3332342251. 12332441251.")
    assert alpha(printed) == pytest.approx(0.815, abs=5e-4)
    assert ordinal_alpha(printed) == pytest.approx(0.815, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    assert alpha(np.tile(ratings("0123 0123 01.."), 5)) == 1
    # Of 20 items each has a 0 and a 1: D_o = 1, D_e = 2 * 20 * 20 / (40 * 39): 1 - 39 / 20.
    assert alpha(np.tile(ratings("01 10"), 10)) == pytest.approx(-0.95)
    assert alpha(np.random.default_rng(0).integers(0, 4, (3, 5000)).astype(float)) == pytest.approx(0, abs=0.03)


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
    assert agreement.alpha(said, clusters, 4, 0, 20).value == pytest.approx(ordinal_alpha(said))
    assert agreement.alpha(3 - said[::-1], clusters, 4, 0, 20).value == pytest.approx(ordinal_alpha(said))
    # Categories that nobody uses change nothing.
    assert agreement.alpha(said + 1, clusters, 7, 0, 20).value == pytest.approx(ordinal_alpha(said))


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
        drawn.append(kappa(a, b, 4) if coefficient is agreement.mean_kappa else ordinal_alpha(said[:, chosen]))
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
