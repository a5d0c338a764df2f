"""Each number against arithmetic in a comment, and scikit-learn."""

from math import isnan, nan
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from autointerp.measure import ranking, weights
from autointerp.measure.arrays import Bools, Floats

AREAS = [ranking.average_precision, ranking.auroc]
VERDICTS = [ranking.f1, ranking.balanced_accuracy]
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


# ---- areas


def test_average_precision_by_hand() -> None:
    # Ranked + - + -: recall rises by 1/2 at precision 1/1 and by 1/2 at precision 2/3: 1/2 + 1/3 = 5/6.
    assert ranking.average_precision(*arrays("+-+-", 4, 3, 2, 1), ONES) == pytest.approx(5 / 6)
    # The middle two tied: 1/2 * 1 + 1/2 * 2/3, the same. All but the first tied: 1/2 + 1/2 * 1/2.
    assert ranking.average_precision(*arrays("+-+-", 4, 2, 2, 1), ONES) == pytest.approx(5 / 6)
    assert ranking.average_precision(*arrays("+-+-", 4, 2, 2, 2), ONES) == pytest.approx(3 / 4)
    # The silent item in between weighs 3: the second precision is 2 / (2 + 3): 1/2 + 1/2 * 2/5.
    assert ranking.average_precision(*arrays("+-+-", 4, 3, 2, 1), np.array([1.0, 3, 1, 1])) == pytest.approx(0.7)


def test_auroc_by_hand() -> None:
    # Four pairs: 4>3, 4>1, 2>1 won and 2<3 lost: 3/4. With 2 = 2 a half: 3.5/4.
    assert ranking.auroc(*arrays("+-+-", 4, 3, 2, 1), ONES) == pytest.approx(3 / 4)
    assert ranking.auroc(*arrays("+-+-", 4, 2, 2, 1), ONES) == pytest.approx(3.5 / 4)
    # The lost pair weighs 1 * 3 of (1 + 1) * (3 + 1) = 8: 5/8.
    assert ranking.auroc(*arrays("+-+-", 4, 3, 2, 1), np.array([1.0, 3, 1, 1])) == pytest.approx(5 / 8)


@patient
@given(judged())
def test_areas_equal_scikit_learn(case: Judged) -> None:
    fires, score, weight = case
    expected = average_precision_score(fires, score, sample_weight=weight)
    assert ranking.average_precision(fires, score, weight) == pytest.approx(expected, abs=1e-12)
    expected = roc_auc_score(fires, score, sample_weight=weight)
    assert ranking.auroc(fires, score, weight) == pytest.approx(expected, abs=1e-12)


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
    rare, common = (weights.at_prevalence(fires, weight, p) for p in (0.05, 0.5))
    assert ranking.auroc(fires, score, rare) == pytest.approx(ranking.auroc(fires, score, common))
    assert ranking.auroc(fires, -score, rare) == pytest.approx(1 - ranking.auroc(fires, score, rare))
    assert ranking.average_precision(fires, score, rare) <= ranking.average_precision(fires, score, common) + 1e-12


@patient
@given(judged(), st.floats(0.01, 0.99))
def test_areas_at_their_ends(case: Judged, prevalence: float) -> None:
    fires, _, weight = case
    weight = weights.at_prevalence(fires, weight, prevalence)
    constant = np.full(fires.size, 0.3)
    assert ranking.average_precision(fires, constant, weight) == pytest.approx(prevalence)
    assert ranking.auroc(fires, constant, weight) == pytest.approx(0.5)
    for area in AREAS:
        assert area(fires, fires.astype(float), weight) == pytest.approx(1, abs=1e-12)
    # Reversed: precision is the prevalence once the firing items come, all together and last; AUROC is 0, not 1.
    assert ranking.average_precision(fires, -fires.astype(float), weight) == pytest.approx(prevalence)
    assert ranking.auroc(fires, -fires.astype(float), weight) == 0


def test_reversed_labels_are_worse_than_a_constant_score() -> None:
    # Ranked - - + +: 1/2 * 1/3 + 1/2 * 2/4 = 5/12, below the prevalence of 1/2.
    assert ranking.average_precision(*arrays("++--", 1, 2, 3, 4), ONES) == pytest.approx(5 / 12)


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


# ---- at a prevalence


@pytest.mark.parametrize("fires", ["", "++", "--"])
def test_a_prevalence_without_one_of_the_classes_leads_to_nan(fires: str) -> None:
    marks, score = arrays(fires, *range(len(fires)))
    weight = weights.at_prevalence(marks, np.ones(len(fires)), 0.5)
    assert weight.sum() == 0.5 * bool(fires)
    assert all(isnan(area(marks, score, weight)) for area in [*AREAS, *VERDICTS])


# ---- verdicts


def test_f1_and_balanced_accuracy_by_hand() -> None:
    # Firing: yes yes no; silent: yes no. 2 * 2 / (3 firing + 3 yes) = 2/3; (2/3 + 1/2) / 2 = 7/12.
    fires, says = arrays("+++--", 1, 1, 0, 1, 0)
    assert ranking.f1(fires, says, np.ones(5)) == pytest.approx(2 / 3)
    assert ranking.balanced_accuracy(fires, says, np.ones(5)) == pytest.approx(7 / 12)
    # The missed one weighs 4, the false alarm 2: 2 * 2 / (6 + 4) = 2/5; (2/6 + 1/3) / 2 = 1/3.
    weight = np.array([1.0, 1, 4, 2, 1])
    assert ranking.f1(fires, says, weight) == pytest.approx(2 / 5)
    assert ranking.balanced_accuracy(fires, says, weight) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("prevalence", "f1"), [(0.01, 0.263), (0.5, 0.923)])
def test_the_f1_of_one_judge_at_two_prevalences(prevalence: float, f1: float) -> None:
    # Precision of TPR 0.9 and FPR 0.05 at 1%: 0.009 / (0.009 + 0.0495) = 0.1538, F1 = 0.263; at 50%: 0.9474 and 0.923.
    # Balanced accuracy is (0.9 + 0.95) / 2 at both.
    fires, says = np.repeat([True, False], 20), np.array([1.0] * 18 + [0] * 2 + [1] + [0] * 19)
    weight = weights.at_prevalence(fires, np.ones(40), prevalence)
    assert ranking.f1(fires, says, weight) == pytest.approx(f1, abs=5e-4)
    assert ranking.balanced_accuracy(fires, says, weight) == pytest.approx(0.925)


@patient
@given(judged())
def test_verdicts_equal_scikit_learn(case: Judged) -> None:
    fires, score, weight = case
    says = score > 0
    expected = f1_score(fires, says, sample_weight=weight)
    assert ranking.f1(fires, says, weight) == pytest.approx(expected, abs=1e-12)
    expected = balanced_accuracy_score(fires, says, sample_weight=weight)
    assert ranking.balanced_accuracy(fires, says, weight) == pytest.approx(expected, abs=1e-12)


@patient
@given(judged(), st.floats(0.01, 0.99))
def test_verdicts_at_their_ends(case: Judged, prevalence: float) -> None:
    fires, _, weight = case
    weight = weights.at_prevalence(fires, weight, prevalence)
    always, never = np.ones(fires.size), np.zeros(fires.size)
    ends = {
        "perfect": (fires, 1, 1),
        "always": (always, 2 * prevalence / (1 + prevalence), 0.5),
        "never": (never, 0, 0.5),
        "wrong": (~fires, 0, 0),
    }
    for says, f1, balanced in ends.values():
        assert ranking.f1(fires, says, weight) == pytest.approx(f1, abs=1e-12)
        assert ranking.balanced_accuracy(fires, says, weight) == pytest.approx(balanced, abs=1e-12)


@patient
@given(judged(), st.randoms(use_true_random=False))
def test_verdicts_ignore_order_and_scale_and_take_a_copy_for_twice_the_weight(case: Judged, random: Random) -> None:
    fires, score, weight = case
    says = score > 0
    order = random.sample(range(fires.size), fires.size)
    twice = np.append(np.arange(fires.size), 0)
    double = np.where(np.arange(fires.size) == 0, 2 * weight, weight)
    for statistic in VERDICTS:
        value = statistic(fires, says, weight)
        assert 0 <= value <= 1
        assert statistic(fires[order], says[order], weight[order]) == pytest.approx(value)
        assert statistic(fires, says, 3 * weight) == pytest.approx(value)
        assert statistic(fires[twice], says[twice], weight[twice]) == pytest.approx(statistic(fires, says, double))
    mirrored = ranking.balanced_accuracy(fires, ~says, weight)
    assert mirrored == pytest.approx(1 - ranking.balanced_accuracy(fires, says, weight))


@patient
@given(judged(), st.integers(0, 9))
def test_verdicts_over_a_leading_axis_are_a_loop_over_it(case: Judged, seed: int) -> None:
    fires, score, weight = case
    rows = weight * np.random.default_rng(seed).integers(0, 3, (7, fires.size))
    for statistic in VERDICTS:
        np.testing.assert_allclose(
            statistic(fires, score > 0, rows), [statistic(fires, score > 0, row) for row in rows], atol=1e-12
        )


def test_verdicts_on_nothing_and_on_weightless_classes_are_nan() -> None:
    rows = np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]])
    for statistic in VERDICTS:
        assert isnan(statistic(*arrays(""), np.ones(0)))
        np.testing.assert_array_equal(statistic(*arrays("+-", 1, 0), rows), [1, nan, nan, nan])
