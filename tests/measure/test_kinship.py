"""Injected truth: a preference, a leniency or a shared error of known size is found again, and nothing else is."""

from math import isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t, ttest_1samp

from autointerp.measure import circularity
from autointerp.measure.arrays import Bools, Floats, Ints
from autointerp.measure.circularity import self_preference
from autointerp.measure.effects import Effect
from autointerp.measure.intervals import mean_interval, percentiles

RUNS = 1000  # of a study; a rate of 5% is then known to +- 0.7%, one of 80% to +- 1.3%
RESAMPLES = 400
FEATURES = 100
AB = np.array([0, 1])
ABC = np.array([0, 1, 2])


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def study(
    rng: np.random.Generator,
    explainers: Ints = AB,
    judges: Ints = AB,
    bias: float | dict[int, float] = 0.0,
    n: int = FEATURES,
) -> tuple[Floats, Floats]:
    """Scores [n, E, J] with a bias in own cells (per family, or one of all), and the true quality [n, E].

    Features differ in difficulty, explainers in quality, and explanations besides; judges differ in leniency, and the
    noise in every feature and judge, fourfold from end to end.
    """
    of_family = dict.fromkeys(range(9), bias) if isinstance(bias, float) else bias
    E, J = len(explainers), len(judges)
    truth = rng.normal(0.5, 0.2, (n, 1)) + rng.normal(0, 0.1, E) + rng.normal(0, 0.1, (n, E))
    spread = 0.1 * rng.uniform(0.5, 2, (n, 1, 1)) * rng.uniform(0.7, 1.4, J)
    own = [[of_family.get(int(e), 0) if e == j else 0 for j in judges] for e in explainers]
    return truth[:, :, None] + rng.normal(0, 0.1, J) + own + spread * rng.normal(size=(n, E, J)), truth


def with_gaps(rng: np.random.Generator, y: Floats) -> Floats:
    """A fifth of the cells missing, more of hard features, of the first explainer and of the last judge."""
    hard = y.mean(axis=(1, 2), keepdims=True) < np.median(y.mean(axis=(1, 2)))
    chance = 0.1 + 0.1 * hard + np.linspace(0.1, 0, y.shape[1])[:, None] + np.linspace(0, 0.1, y.shape[2])
    return np.where(rng.random(y.shape) < chance, nan, y)


def numbers(effect: Effect) -> list[float]:
    return [effect.value, effect.low, effect.high, effect.p, effect.detectable]


def unidentified(effect: Effect, n: int, words: str) -> bool:
    return not effect.identified and effect.n == n and words in effect.note and all(map(isnan, numbers(effect)))


def slow_coefficient(y: Floats, column: Bools, *others: Bools) -> float:
    """Least squares with a dummy variable for every feature, explainer and judge."""
    rows, values = [], []
    n, E, J = y.shape
    for f, e, j in np.argwhere(~np.isnan(y)):
        dummies = np.concatenate([np.eye(n)[f], np.eye(E)[e], np.eye(J)[j]])
        rows.append([*dummies, *(other[e, j] for other in others), column[e, j]])
        values.append(y[f, e, j])
    return float(np.linalg.lstsq(np.array(rows, float), np.array(values), rcond=1e-10)[0][-1])


# ---- the estimate


def test_the_two_by_two_by_hand() -> None:
    # Explainer first: ((0.9 - 0.5) - (0.6 - 0.7)) / 2 = 0.25 and ((0.8 - 0.6) - (0.3 - 0.4)) / 2 = 0.15.
    y = np.array([[[0.9, 0.5], [0.6, 0.7]], [[0.8, 0.6], [0.3, 0.4]]])
    effect = self_preference(y, AB, AB, seed=0)
    assert effect.value == pytest.approx((0.25 + 0.15) / 2)
    assert (effect.name, effect.n, effect.identified, effect.note) == ("self-preference", 2, True, "")
    assert (effect.low, effect.high) == pytest.approx((0.15, 0.25))  # what two features can be drawn to


def test_of_a_complete_design_it_is_a_mean_over_features() -> None:
    y, _ = study(np.random.default_rng(0), bias=0.1)
    sp = ((y[:, 0, 0] - y[:, 0, 1]) - (y[:, 1, 0] - y[:, 1, 1])) / 2
    effect, interval = self_preference(y, AB, AB, seed=3), mean_interval(sp, seed=3)
    assert (effect.value, effect.low, effect.high) == pytest.approx((interval.value, interval.low, interval.high))
    assert effect.detectable == pytest.approx((1.96 + 0.84) * sp.std(ddof=1) / sqrt(FEATURES), rel=0.05)
    assert effect == self_preference(y, AB, AB, seed=3) != self_preference(y, AB, AB, seed=4)


def test_p_is_about_students() -> None:
    rng = np.random.default_rng(0)
    for bias in (0.0, 0.02, 0.03):
        y, _ = study(rng, bias=bias, n=30)
        sp = ((y[:, 0, 0] - y[:, 0, 1]) - (y[:, 1, 0] - y[:, 1, 1])) / 2
        p = self_preference(y, AB, AB, seed=0, resamples=20_000).p
        assert p == pytest.approx(ttest_1samp(sp, 0).pvalue, rel=0.25, abs=0.005)


designs = st.lists(st.integers(-1, 2), min_size=2, max_size=4).map(lambda families: ints(*families))


@settings(deadline=None, max_examples=60)
@given(designs, designs, st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.4]))
def test_it_is_the_least_squares_of_all_dummies(explainers: Ints, judges: Ints, seed: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    y, _ = study(rng, explainers, judges, 0.1, n=12)
    y[rng.random(y.shape) < missing] = nan
    own = (explainers[:, None] == judges) & (explainers[:, None] >= 0)
    effect = self_preference(y, explainers, judges, seed=0, resamples=50)
    assume(effect.identified)
    assert effect.value == pytest.approx(slow_coefficient(y, own), abs=1e-8)
    assert effect.low <= effect.high and 0 < effect.p <= 1 and effect.detectable > 0


def test_with_gaps_whole_features_are_drawn_and_solved_again() -> None:
    rng = np.random.default_rng(0)
    y = with_gaps(rng, study(rng, bias=0.1, n=25)[0])
    y = y[(~np.isnan(y)).sum(axis=(1, 2)) > 1]
    effect = self_preference(y, AB, AB, seed=5, resamples=200)
    drawn = np.random.default_rng(5).integers(len(y), size=(200, len(y)))
    slow = [slow_coefficient(y[places], np.eye(2, dtype=bool)) for places in drawn]
    assert (effect.low, effect.high) == pytest.approx(tuple(np.percentile(np.array(slow), percentiles(len(y)))))
    error = np.std(slow) * sqrt(len(y) / (len(y) - 1))
    assert effect.detectable == pytest.approx((1.96 + 0.8416) * error, rel=1e-3)


def test_one_gap_changes_the_way_but_hardly_the_numbers() -> None:
    y, _ = study(np.random.default_rng(0), ABC, ABC, 0.1)
    whole = self_preference(y, ABC, ABC, seed=0)
    y[0, 0, 1] = nan
    assert numbers(self_preference(y, ABC, ABC, seed=0)) == pytest.approx(numbers(whole), rel=0.05)


def test_cells_that_no_feature_has_leave_a_mean_over_features() -> None:
    y, _ = study(np.random.default_rng(0), ABC, ABC, 0.1)
    y[:, 2, 0] = nan
    effect = self_preference(y, ABC, ABC, seed=0)
    assert effect.value == pytest.approx(slow_coefficient(y, np.eye(3, dtype=bool)), abs=1e-8)
    y[:5] = nan
    y[5, 1:] = nan  # one explainer with two judges: two cells, so it counts
    y[6, 1:] = y[6, 0, 1:] = nan  # one cell: it does not
    assert self_preference(y, ABC, ABC, seed=0).n == FEATURES - 6


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.booleans(), st.floats(-3, 3), st.floats(-1, 1))
def test_difficulty_quality_and_leniency_cancel_and_a_bias_is_added(
    seed: int, gaps: bool, size: float, bias: float
) -> None:
    rng = np.random.default_rng(seed)
    y, _ = study(rng, ABC, ints(2, 0, 1), n=20)
    y = with_gaps(rng, y) if gaps else y
    before = self_preference(y, ABC, ints(2, 0, 1), seed=0, resamples=50)
    moved = y + size * (rng.normal(size=(20, 1, 1)) + rng.normal(size=(3, 1)) + rng.normal(size=3))
    after = self_preference(moved, ABC, ints(2, 0, 1), seed=0, resamples=50)
    assert numbers(after) == pytest.approx(numbers(before), abs=1e-8)
    own = np.roll(np.eye(3), 1, axis=1)
    biased = self_preference(y + bias * own, ABC, ints(2, 0, 1), seed=0, resamples=50)
    assert (biased.value, biased.low, biased.high) == pytest.approx(
        (before.value + bias, before.low + bias, before.high + bias), abs=1e-8
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.booleans(), st.permutations(range(3)), st.permutations(range(4)))
def test_no_order_matters(seed: int, gaps: bool, of_explainers: list[int], of_judges: list[int]) -> None:
    rng = np.random.default_rng(seed)
    judges = ints(1, 0, 1, -1)
    y, _ = study(rng, ABC, judges, 0.1, n=20)
    y = with_gaps(rng, y) if gaps else y
    before = self_preference(y, ABC, judges, seed=0, resamples=50)
    turned = self_preference(
        y[:, of_explainers][:, :, of_judges], ABC[of_explainers], judges[of_judges], seed=0, resamples=50
    )
    assert numbers(turned) == pytest.approx(numbers(before), abs=1e-8)
    renamed = self_preference(y, 5 - ABC, np.where(judges < 0, -1, 5 - judges), seed=0, resamples=50)
    assert renamed == before
    shuffled = self_preference(rng.permutation(y), ABC, judges, seed=0, resamples=50)
    assert (shuffled.value, shuffled.n) == pytest.approx((before.value, before.n), abs=1e-8)


def test_a_lenient_judge_and_a_better_explainer_are_not_self_preference() -> None:
    y, _ = study(np.random.default_rng(0))
    before = self_preference(y, AB, AB, seed=0)
    lenient = y + np.array([0.3, 0])  # judge A gives everybody 0.3 more
    better = y + np.array([[0.3], [0]])
    for moved in (lenient, better, lenient + better - y):
        assert numbers(self_preference(moved, AB, AB, seed=0)) == pytest.approx(numbers(before))


def test_unknown_families_are_nobodys_own() -> None:
    y, _ = study(np.random.default_rng(0), ints(0, 1, -1), ints(0, 1, -1), 0.1)
    own = np.diag([True, True, False])
    effect = self_preference(y, ints(0, 1, -1), ints(0, 1, -1), seed=0)
    assert effect.value == pytest.approx(slow_coefficient(y, own), abs=1e-8)
    assert effect == self_preference(y, ints(0, 1, 7), ints(0, 1, 8), seed=0)


# ---- what the data cannot tell


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("explainers", "judges", "words"),
    [
        ([0, 1], [0], "one judge"),
        ([0], [0, 1], "one explainer"),
        ([0, 0], [0, 0], "Every explanation"),
        ([0, 1], [2, 3], "No explanation"),
        ([-1, -1], [-1, -1], "No explanation"),
        ([0, 1], [0, 0], "follows from who explains"),
        ([0], [0], "Fewer than two features"),
    ],
)
def test_designs_that_cannot_tell_say_so(explainers: list[int], judges: list[int], words: str) -> None:
    y, _ = study(np.random.default_rng(0), ints(*explainers), ints(*judges))
    n = FEATURES if y[0].size > 1 else 0
    assert unidentified(self_preference(y, ints(*explainers), ints(*judges), seed=0), n, words)
    if n:  # nor do gaps make them tell more
        y[0, 0, 0] = y[1, -1, -1] = nan
        effect = self_preference(y, ints(*explainers), ints(*judges), seed=0)
        assert unidentified(effect, effect.n, words)


@pytest.mark.filterwarnings("error")
def test_too_few_features_or_cells_say_so() -> None:
    y, _ = study(np.random.default_rng(0))
    for few in (y[:0], y[:1]):
        assert unidentified(self_preference(few, AB, AB, seed=0), len(few), "Fewer than two features")
    empty = np.full((5, 2, 2), nan)
    assert unidentified(self_preference(empty, AB, AB, seed=0), 0, "Fewer than two features")
    no_own, one_judge = y.copy(), y.copy()
    no_own[:, [0, 1], [0, 1]] = nan
    one_judge[:, :, 1] = nan
    assert unidentified(self_preference(no_own, AB, AB, seed=0), FEATURES, "No explanation")
    assert unidentified(self_preference(one_judge, AB, AB, seed=0), FEATURES, "one judge")
    # Explainer 0 was judged by its family alone, and explainer 1 by a third family alone.
    one_each, _ = study(np.random.default_rng(0), AB, ints(0, 2))
    one_each[:, [0, 1], [1, 0]] = nan
    assert unidentified(self_preference(one_each, AB, ints(0, 2), seed=0), FEATURES, "follows from who explains")


def test_a_design_that_hangs_on_one_feature_says_so() -> None:
    y, _ = study(np.random.default_rng(0))
    y[1:, :, 1] = nan  # judge B saw one feature, so more than a third of the resamples do not have it
    effect = self_preference(y, AB, AB, seed=0)
    assert unidentified(effect, FEATURES, "of 2000 resamples")


def test_scores_without_noise_are_certain_and_equal_ones_show_nothing() -> None:
    flat = self_preference(np.full((9, 2, 2), 0.1), AB, AB, seed=0)
    assert (flat.p, flat.identified) == (1, True)
    assert (flat.value, flat.low, flat.high, flat.detectable) == pytest.approx((0, 0, 0, 0), abs=1e-12)
    # The sample is the one of 2001 that is not above 0, which is how far out Student's t of 8 degrees is taken.
    sure = self_preference(np.full((9, 2, 2), 0.1) + 0.1 * np.eye(2), AB, AB, seed=0)
    assert sure.p == pytest.approx(2 * t.cdf(norm.ppf(1 / 2001) * sqrt(8 / 9), 8))


# ---- rates


def found(
    runs: int, bias: float | dict[int, float], gaps: bool, explainers: Ints = AB, judges: Ints = AB
) -> list[Effect]:
    rng = np.random.default_rng(1)
    effects = []
    for run in range(runs):
        y, _ = study(rng, explainers, judges, bias)
        effects.append(self_preference(with_gaps(rng, y) if gaps else y, explainers, judges, run, RESAMPLES))
    return effects


@pytest.mark.parametrize("gaps", [False, True])
def test_without_self_preference_one_test_in_twenty_rejects(gaps: bool) -> None:
    effects = found(RUNS, 0.0, gaps)
    rejected = np.mean([effect.p < 0.05 for effect in effects])
    assert 0.03 <= rejected <= 0.07, rejected
    # p and the bounds say the same, but for the one resample that p adds
    assert all((e.p < 0.05) == (e.low > 0 or e.high < 0) or abs(e.p - 0.05) < 0.01 for e in effects)
    # detectable is what it says: with that bias, four tests of five reject
    power = np.mean([e.p < 0.05 for e in found(RUNS, float(np.mean([e.detectable for e in effects])), gaps)])
    assert 0.75 <= power <= 0.85, power


@pytest.mark.parametrize(
    ("bias", "expected"),
    [(0.05, 0.05), (0.1, 0.1), (0.2, 0.2), ({0: 0.1}, 0.05), ({1: 0.2}, 0.1)],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_a_bias_is_found_and_covered(bias: float | dict[int, float], expected: float, gaps: bool) -> None:
    effects = found(RUNS, bias, gaps)
    values = np.array([effect.value for effect in effects])
    covered = np.mean([effect.low <= expected <= effect.high for effect in effects])
    assert abs(values.mean() - expected) < 4 * values.std() / sqrt(RUNS)
    assert 0.93 <= covered <= 0.97, covered


def test_a_bias_is_found_among_three_families_with_gaps() -> None:
    effects = found(400, 0.1, True, ABC, ints(0, 1, 2, -1))
    values = np.array([effect.value for effect in effects])
    assert abs(values.mean() - 0.1) < 4 * values.std() / sqrt(400)
    assert 0.917 <= np.mean([effect.low <= 0.1 <= effect.high for effect in effects]) <= 0.983  # +- 3 errors


# ---- who


def test_without_an_anchor_nobody_knows_which_of_two_families_is_biased() -> None:
    y, _ = study(np.random.default_rng(0), bias={0: 0.2})
    effects = circularity.self_preference_by_family(y, AB, AB, seed=0)
    assert list(effects) == [0, 1]
    assert all(unidentified(effect, FEATURES, "Without an anchor") for effect in effects.values())
    # A likes A by 0.2, or B likes B by 0.2, A explains better by 0.2 and B is stricter by 0.2: the same scores.
    other = y - [[0.2, 0], [0, 0]] + [[0, 0], [0, 0.2]] + np.array([[0.2], [0]]) - [0, 0.2]
    np.testing.assert_allclose(other, y)


def test_an_anchor_tells_which_family_is_biased() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for run in range(300):
        y, truth = study(rng, bias={0: 0.15})
        truth[rng.random(truth.shape) < 0.1] = nan
        effects = circularity.self_preference_by_family(y, AB, AB, run, RESAMPLES, anchor=truth + 0.4)
        covered.append([effects[0].low <= 0.15 <= effects[0].high, effects[1].low <= 0 <= effects[1].high])
    assert ((np.mean(covered, axis=0) > 0.912) & (np.mean(covered, axis=0) < 0.988)).all()
    assert effects[0].n < FEATURES and effects[0].name == "self-preference of family 0"


def test_the_anchored_bias_by_hand() -> None:
    # Judge A on A and B: errors 0.3 and 0.1 in feature 1, 0.2 and 0.2 in feature 2: (0.2 + 0.0) / 2.
    # Judge B on B and A: errors -0.1 and 0.1, 0.0 and 0.1: (-0.2 - 0.1) / 2.
    anchor = np.array([[0.5, 0.4], [0.3, 0.2]])
    errors = np.array([[[0.3, 0.1], [0.1, -0.1]], [[0.2, 0.1], [0.2, 0.0]]])
    effects = circularity.self_preference_by_family(anchor[:, :, None] + errors, AB, AB, seed=0, anchor=anchor)
    assert [effects[0].value, effects[1].value] == pytest.approx([0.1, -0.15])


def test_a_lenient_judge_of_a_family_is_compared_with_itself() -> None:
    rng = np.random.default_rng(0)
    judges = ints(0, 0, 1)
    y, truth = study(rng, AB, judges, {0: 0.1})
    y[rng.random(FEATURES) < 0.5, 0, 0] = nan  # the first judge of A has seen half of its own
    before = circularity.self_preference_by_family(y, AB, judges, seed=0, anchor=truth)
    after = circularity.self_preference_by_family(y + np.array([0.7, 0, 0]), AB, judges, seed=0, anchor=truth)
    assert numbers(after[0]) == pytest.approx(numbers(before[0]))


@pytest.mark.parametrize(("explainers", "judges"), [([0, 1, 2], [0, 1, 2]), ([0, 1], [0, 1, -1]), ([0, 1, -1], [0, 1])])
def test_a_third_family_tells_too(explainers: list[int], judges: list[int]) -> None:
    rng = np.random.default_rng(0)
    values = []
    for run in range(100):
        y, _ = study(rng, ints(*explainers), ints(*judges), {0: 0.2})
        y[rng.random(FEATURES) < 0.2, 0, 0] = nan
        effects = circularity.self_preference_by_family(y, ints(*explainers), ints(*judges), run, 50)
        assert all(effect.identified and "Without an anchor" in effect.note for effect in effects.values())
        values.append([effects[0].value, effects[1].value])
    error = np.std(values, axis=0) / 10
    assert (abs(np.mean(values, axis=0) - [0.2, 0]) < 4 * error).all()


@pytest.mark.filterwarnings("error")
def test_a_family_that_judges_but_does_not_explain_has_no_own() -> None:
    y, truth = study(np.random.default_rng(0), AB, ints(0, 1, 2))
    assert unidentified(
        circularity.self_preference_by_family(y, AB, ints(0, 1, 2), seed=0)[2], FEATURES, "No explanation"
    )
    anchored = circularity.self_preference_by_family(y, AB, ints(0, 1, 2), seed=0, anchor=truth)
    assert [effect.identified for effect in anchored.values()] == [True, True, False]
    assert unidentified(anchored[2], 0, "Fewer than two features")


# ---- the plain gap


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.permutations(range(3)))
def test_the_gap_of_a_balanced_design_is_self_preference(seed: int, order: list[int]) -> None:
    y, _ = study(np.random.default_rng(seed), ABC, ABC[order], 0.1, n=10)
    gap = circularity.same_family_gap(y, ABC, ABC[order], seed=0)
    assert numbers(gap) == pytest.approx(numbers(self_preference(y, ABC, ABC[order], seed=0)))
    assert "Confounded" in gap.note


def test_the_gap_takes_leniency_and_quality_for_preference() -> None:
    y, _ = study(np.random.default_rng(0))
    one_judge = circularity.same_family_gap(y[:, :, :1] + np.array([[0.5], [0]]), AB, ints(0), seed=0)
    assert one_judge.low > 0.2 and one_judge.value == pytest.approx((y[:, 0, 0] - y[:, 1, 0]).mean() + 0.5)
    y[:50, 0, 0] = nan  # only B's own are left of half of the features
    lenient = circularity.same_family_gap(y + np.array([0, 0.5]), AB, AB, seed=0)
    assert lenient.value > 0.05 and lenient.n == FEATURES


@pytest.mark.filterwarnings("error")
def test_no_gap_without_both_sides() -> None:
    y, _ = study(np.random.default_rng(0))
    assert unidentified(circularity.same_family_gap(y, ints(0, 0), ints(0, 0), seed=0), 0, "Fewer than two")
    assert unidentified(circularity.same_family_gap(y[:1], AB, AB, seed=0), 1, "Fewer than two")


# ---- paraphrases, shares and leaks


def test_paraphrases_change_what_was_known_by_its_wording() -> None:
    rng = np.random.default_rng(0)
    y, _ = study(rng, bias=0.2)
    paraphrased = y - 0.15 * np.eye(2) + 0.1 + rng.normal(0, 0.02, y.shape)
    effect = circularity.paraphrase_change(y, paraphrased, AB, AB, seed=0)
    assert effect.name == "paraphrase change" and effect.low < 0.15 < effect.high and effect.high - effect.low < 0.02
    apart = self_preference(y, AB, AB, seed=0).value - self_preference(paraphrased, AB, AB, seed=0).value
    assert effect.value == pytest.approx(apart)
    mirrored = circularity.paraphrase_change(paraphrased, y, AB, AB, seed=0)
    assert (mirrored.value, mirrored.p) == pytest.approx((-effect.value, effect.p))


def test_paraphrases_are_compared_over_the_same_cells() -> None:
    rng = np.random.default_rng(0)
    y, _ = study(rng, ABC, ABC, 0.2)
    paraphrased = with_gaps(rng, study(rng, ABC, ABC, 0.1)[0])
    y[:3] = nan
    effect = circularity.paraphrase_change(y, paraphrased, ABC, ABC, seed=0)
    alone = [np.where(np.isnan(y + paraphrased), nan, values) for values in (y, paraphrased)]
    of_original, of_paraphrased = (self_preference(values, ABC, ABC, seed=0) for values in alone)
    assert effect.value == pytest.approx(of_original.value - of_paraphrased.value)
    assert effect.n == of_original.n


def test_the_circular_share_by_hand() -> None:
    # SP 0.25 and 0.15 as above; own means 0.8 and 0.6, less floors 0.2 and 0.4: 0.2 / ((0.6 + 0.2) / 2) = 0.5.
    y = np.array([[[0.9, 0.5], [0.6, 0.7]], [[0.8, 0.6], [0.3, 0.4]]])
    effect = circularity.circular_share(y, np.array([0.2, 0.4]), AB, AB, seed=0)
    assert (effect.value, effect.low, effect.high) == pytest.approx((0.5, 0.25 / 0.6, 0.15 / 0.2))
    # Without a floor, the second feature has its part in SP alone: 0.2 / 0.6.
    one = np.repeat(y, 10, axis=0)
    effect = circularity.circular_share(one, np.repeat([0.2, nan], 10), AB, AB, seed=0)
    assert effect.value == pytest.approx(0.2 / 0.6) and effect.n == 20


@pytest.mark.parametrize("gaps", [False, True])
def test_the_circular_share_covers(gaps: bool) -> None:
    # Own cells have 0.6 on average, since quality and leniency add to 0 over them: 0.1 / (0.6 - 0.2).
    rng = np.random.default_rng(0)
    covered = []
    for run in range(400):
        y = rng.normal(0.5, 0.1, (FEATURES, 1, 1)) + 0.1 * np.eye(2) + 0.1 * rng.normal(size=(FEATURES, 2, 2))
        y += np.array([[0.1], [-0.1]]) + np.array([0.05, -0.05])
        y[rng.random(y.shape) < 0.1 * gaps] = nan
        floor = 0.2 + rng.normal(0, 0.1, FEATURES)
        floor[0] = nan
        effect = circularity.circular_share(y, floor, AB, AB, run, RESAMPLES)
        covered.append(effect.low <= 0.25 <= effect.high)
    assert 0.917 < np.mean(covered) < 0.983


@pytest.mark.filterwarnings("error")
def test_no_circular_share_without_preference_or_height() -> None:
    y, _ = study(np.random.default_rng(0))
    floor = np.zeros(FEATURES)
    assert unidentified(circularity.circular_share(y[:, :, :1], floor, AB, ints(0), seed=0), FEATURES, "one judge")
    for high in (floor + 9, floor + np.nanmean(y[:, [0, 1], [0, 1]]), floor + nan):
        assert unidentified(circularity.circular_share(y, high, AB, AB, seed=0), FEATURES, "not clearly above")


def test_leakage_by_hand() -> None:
    # Paired: (0.9, 0.6), (0.7, 0.5), (0.8, 0.7): differences 0.3, 0.2, 0.1; (0.6 - 0.5) / (0.8 - 0.5) = 1/3.
    true, shuffled = np.array([0.9, 0.7, nan, 0.8, 0.1]), np.array([0.6, 0.5, 0.9, 0.7, nan])
    gained, share = circularity.leakage(true, shuffled, 0.5, seed=0)
    assert (gained.value, gained.n, share.value, share.n) == pytest.approx((0.2, 3, 1 / 3, 3))
    interval = mean_interval(np.array([0.3, 0.2, 0.1]), seed=0)
    assert (gained.low, gained.high) == pytest.approx((interval.low, interval.high))
    assert (share.low, share.high) == pytest.approx((0, 0.2 / 0.3))  # one feature three times, 0 / 0.2 or 0.2 / 0.3


def test_leakage_is_paired_and_covers() -> None:
    rng = np.random.default_rng(0)
    covered, no_leak, widths = [], [], []
    for run in range(400):
        difficulty = rng.normal(0, 0.1, FEATURES)
        true, shuffled = 0.8 + difficulty + rng.normal(0, 0.05, (2, FEATURES)) - [[0], [0.2]]
        gained, share = circularity.leakage(true, shuffled, 0.5, run, RESAMPLES)
        covered.append([gained.low <= 0.2 <= gained.high, share.low <= 1 / 3 <= share.high])
        no_leak.append(circularity.leakage(true, shuffled - 0.1, 0.5, run, RESAMPLES)[1].p < 0.05)
        widths.append(gained.high - gained.low)
    assert ((np.mean(covered, axis=0) > 0.917) & (np.mean(covered, axis=0) < 0.983)).all()
    assert 0.017 < np.mean(no_leak) < 0.083
    assert np.mean(widths) < 0.03  # 4 * sqrt(2 * 0.05^2 / 100) = 0.028; unpaired it were 0.063


@pytest.mark.filterwarnings("error")
def test_no_leaked_share_of_nothing() -> None:
    scores = np.random.default_rng(0).normal(0.5, 0.1, 50)
    gained, share = circularity.leakage(scores, scores, scores.mean(), seed=0)
    assert gained.identified and (gained.value, gained.p) == (0, 1)
    assert unidentified(share, 50, "not clearly above the floor")
    for effect in circularity.leakage(scores[:1], scores[:1], 0, seed=0):
        assert unidentified(effect, 1, "Fewer than two")


# ---- equal opportunity


def test_equal_opportunity_by_hand() -> None:
    # Good: A's explanation of feature 1, both of feature 2, none of feature 3, B's of feature 4, judged by B alone.
    # Own good cells: 1 AA high, 2 AA low, 2 BB high, 4 BB high: 3/4. Other: 1 AB low, 2 AB high, 2 BA low: 1/3.
    good = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    high = np.array([[[1, 0], [1, 1]], [[0, 1], [0, 1]], [[1, 1], [1, 1]], [[1, 1], [nan, 1]]])
    effect = circularity.equal_opportunity(np.repeat(high, 9, axis=0), np.repeat(good, 9, axis=0), AB, AB, seed=0)
    assert effect.value == pytest.approx(3 / 4 - 1 / 3) and effect.n == 27
    # One draw of three features in 27 has the last alone, without other cells: more than 2.5%.
    assert unidentified(circularity.equal_opportunity(high, good, AB, AB, seed=0), 3, "of 2000 resamples")


def test_equal_opportunity_covers_and_rejects() -> None:
    rng = np.random.default_rng(0)
    covered, rejected = [], []
    for run in range(400):
        good = rng.random((FEATURES, 2)) < rng.beta(4, 2, (FEATURES, 1))
        chance = np.clip(rng.beta(6, 4, (FEATURES, 1, 1)) * 0.8, 0, 1)
        draws = rng.random((FEATURES, 2, 2))
        fair = circularity.equal_opportunity(draws < chance, good, AB, AB, run, RESAMPLES)
        biased = circularity.equal_opportunity(draws < chance + 0.15 * np.eye(2), good, AB, AB, run, RESAMPLES)
        rejected.append(fair.p < 0.05)
        covered.append(biased.low <= 0.15 <= biased.high)
    assert 0.017 < np.mean(rejected) < 0.083 and 0.917 < np.mean(covered) < 0.983


def test_equal_opportunity_of_items_draws_features() -> None:
    """Items of a feature as rows of their own say what their sums say, and are not independent of each other."""
    rng = np.random.default_rng(0)
    n, each = 60, 20
    taste = rng.random((n, 1, 1, 1)) < 0.5  # a judge's taste for its own family is that of the feature
    high = (rng.random((n, each, 2, 2)) < 0.1 + 0.8 * taste * np.eye(2)).astype(float).reshape(-1, 2, 2)
    good = np.where(rng.random((n * each, 2)) < 0.2, nan, rng.random((n * each, 2)) < 0.6)
    clusters = np.repeat(np.arange(n), each)
    order = rng.permutation(n * each)
    effect = circularity.equal_opportunity(high[order], good[order], AB, AB, 0, clusters=7 * clusters[order])
    own, other = ([high[i, e, j] for i, e, j in np.ndindex(high.shape) if good[i, e] == 1 and (e == j) == same]
                  for same in (True, False))  # fmt: skip
    assert effect.value == pytest.approx(np.mean(own) - np.mean(other)) and effect.n == n
    alone = circularity.equal_opportunity(high, good, AB, AB, 0)
    assert alone.value == pytest.approx(effect.value) and alone.n > n
    assert effect.high - effect.low > 1.2 * (alone.high - alone.low)


@pytest.mark.filterwarnings("error")
def test_equal_opportunity_takes_good_explanations_of_both_sides() -> None:
    high = np.ones((5, 2, 2), bool)
    assert unidentified(circularity.equal_opportunity(high, np.zeros((5, 2), bool), AB, AB, seed=0), 0, "too few")
    alone = circularity.equal_opportunity(high, np.ones((5, 2), bool), ints(0, 0), ints(0, 0), seed=0)
    assert unidentified(alone, 5, "too few")
    assert circularity.equal_opportunity(high, np.full((5, 2), nan), AB, AB, seed=0).n == 0


# ---- shared errors


def judged(rng: np.random.Generator, k: int, features: int, r: float, items: int = 4) -> tuple[Floats, Ints]:
    """Errors [k, items] of which every two judges correlate by r, half of that by feature; judges differ in scale."""
    clusters = np.repeat(np.arange(features), items)
    shared = (rng.normal(size=features)[clusters] + rng.normal(size=clusters.size)) / sqrt(2)
    errors = sqrt(r) * shared + sqrt(1 - r) * rng.normal(size=(k, clusters.size))
    return rng.uniform(0.1, 3, (k, 1)) * errors + rng.normal(size=(k, 1)), clusters


@pytest.mark.parametrize(("k", "r"), [(2, 0.3), (3, 0.0), (3, 0.5), (5, 0.2), (4, 0.8)])
def test_the_effective_number_of_judges_is_found(k: int, r: float) -> None:
    errors, clusters = judged(np.random.default_rng(0), k, 500, r)
    r_err, n_eff = circularity.shared_error(errors, clusters, seed=0)
    assert r_err.value == pytest.approx(r, abs=0.05) and r_err.low <= r <= r_err.high
    assert n_eff.value == pytest.approx(k / (1 + (k - 1) * r), rel=0.1) and n_eff.n == 500
    pairs = np.asarray(np.corrcoef(errors))[np.triu_indices(k, 1)]
    assert r_err.value == pytest.approx(pairs.mean())
    # One follows from the other, bounds and p included.
    ends = [k / (1 + (k - 1) * value) for value in (r_err.value, r_err.high, r_err.low)]
    assert [n_eff.value, n_eff.low, n_eff.high] == pytest.approx(ends, rel=1e-3)
    assert n_eff.p == pytest.approx(r_err.p)


def test_shared_errors_cover_over_features() -> None:
    rng = np.random.default_rng(0)
    covered, rejected = [], []
    for run in range(RUNS):
        r_err, n_eff = circularity.shared_error(*judged(rng, 2, FEATURES, 0.4), run, RESAMPLES)
        covered.append([r_err.low <= 0.4 <= r_err.high, n_eff.low <= 2 / 1.4 <= n_eff.high])
        r_err, n_eff = circularity.shared_error(*judged(rng, 2, FEATURES, 0.0), run, RESAMPLES)
        rejected.append([r_err.p < 0.05, n_eff.p < 0.05])
    assert ((np.mean(covered, axis=0) > 0.93) & (np.mean(covered, axis=0) < 0.97)).all(), np.mean(covered, axis=0)
    assert ((np.mean(rejected, axis=0) > 0.03) & (np.mean(rejected, axis=0) < 0.07)).all(), np.mean(rejected, axis=0)


def test_errors_are_compared_where_both_judged() -> None:
    rng = np.random.default_rng(0)
    errors, clusters = judged(rng, 3, FEATURES, 0.5)
    errors[rng.random(errors.shape) < 0.3] = nan
    errors[1:, clusters == 7] = nan  # one judge alone
    r_err, _ = circularity.shared_error(errors, clusters, seed=0)
    slow = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = ~np.isnan(errors[a] + errors[b])
        slow.append(np.corrcoef(errors[a, both], errors[b, both])[0, 1])
    assert r_err.value == pytest.approx(np.mean(slow)) and r_err.n == FEATURES - 1
    order = rng.permutation(clusters.size)
    turned, _ = circularity.shared_error(errors[::-1, order], 10 * clusters[order], seed=0)
    assert numbers(turned) == pytest.approx(numbers(r_err))


def test_errors_that_go_against_each_other_are_worth_more_than_apart() -> None:
    rng = np.random.default_rng(0)
    shared, clusters = rng.normal(size=400), np.repeat(np.arange(100), 4)
    errors = np.stack([shared, -shared]) + rng.normal(size=(2, 400))
    r_err, n_eff = circularity.shared_error(errors, clusters, seed=0)
    assert r_err.value == pytest.approx(-0.5, abs=0.1) and n_eff.value == pytest.approx(2 / (1 + r_err.value))
    assert n_eff.value > 3
    # They cancel: 1 + (k - 1) r = 0.
    r_err, n_eff = circularity.shared_error(np.stack([shared, 5 - 2 * shared]), clusters, seed=0)
    assert r_err.value == pytest.approx(-1) and unidentified(n_eff, 100, "cancel")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "errors",
    [
        np.arange(20.0)[None] % 7,
        np.stack([np.arange(20.0) % 7, np.full(20, 0.1)]),
        np.stack([np.arange(20.0) % 7, np.full(20, nan)]),
        np.stack([np.where(np.arange(20) < 10, 1.0, nan), np.where(np.arange(20) < 10, nan, 1.0)]),
        np.zeros((0, 20)),
    ],
)
def test_no_shared_error_without_two_that_vary(errors: Floats) -> None:
    for effect in circularity.shared_error(errors, np.arange(20) // 2, seed=0):
        assert unidentified(effect, effect.n, "two judges or more")


# ---- many tests


def test_confirmatory_counts_what_is_identified() -> None:
    def effect(p: float, identified: bool = True) -> Effect:
        return Effect("", 0, 0, 0, 9, p, 0, identified, "")

    # 0.01 x 3, 0.02 x 2, 0.2 x 1; the one that is not identified does not count.
    adjusted = circularity.confirmatory([effect(0.02), effect(nan, False), effect(0.01), effect(0.2)])
    np.testing.assert_allclose(adjusted, [0.04, nan, 0.03, 0.2])
    assert circularity.confirmatory([]) == []
