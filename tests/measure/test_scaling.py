"""The frequency law against scikit-learn and truth that was put in, and what its bounds and p promise."""

from math import isnan, log10, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import chi2, linregress
from sklearn.linear_model import LogisticRegression

from autointerp.measure import scaling
from autointerp.measure.arrays import Floats, Ints

patient = settings(deadline=None, max_examples=40)  # the machine may be busy

Table = tuple[Floats, Floats, Ints]  # found [C, D], frequency [C], alive [D]


def drawn(
    seed: int,
    concepts: int = 200,
    sizes: int = 4,
    half: float = -0.2,
    slope: float = 2.5,
    own: float = 0,
    off: float = 0,
) -> Table:
    """Concepts over four decades of frequency, found by the law. `own` is how much they differ beyond their frequency,
    the same in all dictionaries; `off` moves x50 of the first dictionary.
    """
    rng = np.random.default_rng(seed)
    frequency, alive = 10 ** rng.uniform(-6, -2, concepts), 256 * 4 ** np.arange(sizes)
    x = np.log10(frequency)[:, None] + np.log10(alive) - half - off * (np.arange(sizes) == 0)
    luck = own * rng.normal(size=(concepts, 1))
    return (rng.random(x.shape) < expit(slope * x + luck)).astype(float), frequency, alive


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Few concepts, some of which never occur or were not decided."""
    seed = draw(st.integers(0, 2**32))
    found, frequency, alive = drawn(seed, draw(st.integers(6, 40)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(seed)
    frequency[rng.random(frequency.size) < 0.1] = 0
    found[rng.random(found.shape) < draw(st.sampled_from([0, 0.2]))] = nan
    return found, frequency, alive


def long_form(table: Table, intercepts: bool) -> tuple[Floats, Floats]:
    """Rows of x, with one column a dictionary before it where asked, and their outcomes."""
    found, frequency, alive = table
    rows, outcomes = [], []
    for (concept, size), outcome in np.ndenumerate(found):
        if frequency[concept] > 0 and not isnan(outcome):
            flags = [float(size == k) for k in range(alive.size)] if intercepts else [1.0]
            rows.append([*flags, log10(frequency[concept] * alive[size])])
            outcomes.append(outcome)
    return np.array(rows), np.array(outcomes)


def reference(table: Table, intercepts: bool) -> tuple[Floats, float]:
    """Coefficients and log-likelihood by scikit-learn, whose penalty is on unless it is turned off."""
    rows, outcomes = long_form(table, intercepts)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    model.fit(rows, outcomes)
    logits = rows @ model.coef_[0]
    return model.coef_[0], float((outcomes * logits - np.logaddexp(0, logits)).sum())


# ---- the law


def test_a_law_by_hand() -> None:
    # One dictionary of ten alive features. At x = -1, 0, 1: found 1, 2, 3 of 4. The curve through 1/4, 1/2, 3/4 has
    # logits -log 3, 0, log 3.
    frequency = np.repeat([0.01, 0.1, 1.0], 4)
    found = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0.0])[:, None]
    law = scaling.frequency_law(found, frequency, np.array([10]), seed=0)
    assert law.slope.value == pytest.approx(np.log(3)) and law.intercept == pytest.approx(0, abs=1e-9)
    assert law.x50.value == pytest.approx(0, abs=1e-9)
    # Twelve concepts are too few: in many draws the curve does not rise.
    assert isnan(law.x50.low) and "does not rise" in law.x50.reason and law.undefined > 0.025
    assert (law.n, law.cells, law.never) == (12, 12, 0)


@patient
@given(tables())
def test_a_curve_equals_that_of_scikit_learn_without_a_penalty(table: Table) -> None:
    law = scaling.frequency_law(*table, seed=0, resamples=2)
    found, frequency, _ = table
    assert law.never == (frequency == 0).sum()
    assert law.n == ((frequency > 0) & ~np.isnan(found).all(axis=1)).sum()
    assert law.cells == (~np.isnan(found))[frequency > 0].sum()
    assume(not law.slope.reason.endswith("finite.") and law.n > 1)
    (intercept, slope), _ = reference(table, intercepts=False)
    assume(abs(slope) < 30)  # beyond, the reference has not converged
    assert law.slope.value == pytest.approx(slope, rel=1e-4, abs=1e-4)
    assert law.intercept == pytest.approx(intercept, rel=1e-4, abs=1e-4)
    if slope > 0.01:
        assert law.x50.value == pytest.approx(-intercept / slope, rel=1e-3, abs=1e-3)


def test_many_draws_at_once_equal_one_after_the_other() -> None:
    found, frequency, alive = drawn(seed=0, concepts=40)
    x = np.log10(frequency)[:, None] + np.log10(alive)
    weight = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=6).astype(float)
    together = scaling._fit(scaling._design(x, 1), found, weight)
    for row, b in zip(weight.astype(int), together, strict=True):
        table = np.repeat(found, row, axis=0), np.repeat(frequency, row), alive
        np.testing.assert_allclose(b, reference(table, intercepts=False)[0], rtol=1e-6)


def test_a_long_step_is_taken_back() -> None:
    # From far off, where every probability rounds to 0 or 1 at first, Newton's step alone would run away.
    found, frequency, alive = drawn(seed=0, concepts=60)
    x = np.log10(frequency)[:, None] + np.log10(alive)
    once = np.ones((1, 60))
    near = scaling._fit(scaling._design(x, 1), found, once)
    far = scaling._fit(scaling._design(x, 1), found, once, np.array([3.0, 9.0]))
    np.testing.assert_allclose(far, near, rtol=1e-8)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([[0.0]] * 4, "None of the concepts is found"),
        ([[1.0]] * 4, "Every one of the concepts is found"),
        ([[0.0], [0.0], [1.0], [1.0]], "do not overlap"),
        ([[1.0], [1.0], [0.0], [0.0]], "do not overlap"),  # falling
        ([[nan], [nan], [nan], [1.0]], "Fewer than two"),
    ],
)
def test_what_has_no_finite_curve_says_why(found: list[list[float]], reason: str) -> None:
    law = scaling.frequency_law(np.array(found), np.array([1e-4, 1e-3, 1e-2, 1e-1]), np.array([100]), seed=0)
    for estimate in (law.slope, law.x50):
        assert isnan(estimate.value) and isnan(estimate.low) and reason in estimate.reason


def test_overlap_in_one_place_is_none() -> None:
    # Found at 2 and 3, missing at 1 and 2: the likelihood rises for ever, though more slowly.
    frequency, alive = np.array([0.01, 0.1, 0.1, 1]), np.array([10])
    law = scaling.frequency_law(np.array([[0], [0], [1], [1.0]]), frequency, alive, seed=0)
    assert "do not overlap" in law.slope.reason
    # With one found below, it is finite.
    law = scaling.frequency_law(np.array([[0], [0], [1], [1.0], [1]]), np.append(frequency, 0.01), alive, seed=0)
    assert law.slope.value > 0


def test_a_falling_curve_has_no_half() -> None:
    found, frequency, alive = drawn(seed=0)
    law = scaling.frequency_law(1 - found, frequency, alive, seed=0, resamples=200)
    assert law.slope.high < 0 and isnan(law.x50.value) and "does not rise" in law.x50.reason


def test_a_flat_curve_crosses_one_half_nowhere_in_particular() -> None:
    # What is found has nothing to do with frequency; the slope is told well enough, and not told from 0.
    _, frequency, alive = drawn(seed=0)
    found = (np.random.default_rng(1).random((200, 4)) < 0.6).astype(float)
    law = scaling.frequency_law(found, frequency, alive, seed=0, resamples=400)
    assert law.slope.low < 0 < law.slope.high and not law.slope.reason
    assert isnan(law.x50.low) and isnan(law.x50.high) and "does not rise" in law.x50.reason
    assert 0.025 < law.undefined < 0.975


def test_more_alive_features_move_the_half_and_nothing_else() -> None:
    found, frequency, alive = drawn(seed=1)
    law = scaling.frequency_law(found, frequency, alive, seed=0, resamples=200)
    more = scaling.frequency_law(found, frequency, alive * 100, seed=0, resamples=200)
    assert more.slope.value == pytest.approx(law.slope.value)
    assert [more.x50.value, more.x50.low, more.x50.high] == pytest.approx(
        [law.x50.value + 2, law.x50.low + 2, law.x50.high + 2]
    )


def test_bounds_cover_the_truth_where_concepts_differ_beyond_their_frequency() -> None:
    # 200 lists of 80 concepts in three dictionaries: 95% +- 4.6. Cells drawn one by one would be bounded too narrowly.
    covered, widths, as_if_independent = [], [], []
    for seed in range(200):
        found, frequency, alive = drawn(seed, concepts=80, sizes=3, own=2.0)
        x50 = scaling.frequency_law(found, frequency, alive, seed, resamples=200).x50
        covered.append(x50.low <= -0.2 <= x50.high)
        widths.append(x50.high - x50.low)
        if seed < 10:
            cells = found.reshape(-1, 1), np.outer(frequency, alive).ravel(), np.array([1])
            alone = scaling.frequency_law(*cells, seed, resamples=200).x50
            as_if_independent.append(alone.high - alone.low)
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * sqrt(0.95 * 0.05 / 200))
    assert np.mean(as_if_independent) < 0.85 * np.mean(widths[:10])


def test_the_truth_is_found_again() -> None:
    law = scaling.frequency_law(*drawn(seed=3, concepts=4000, half=-0.3, slope=3.0), 0, 100)
    assert law.x50.low < -0.3 < law.x50.high and law.x50.high - law.x50.low < 0.1
    assert law.slope.low < 3 < law.slope.high
    # Where concepts differ, the curve over them is flatter, and crosses one half where it did.
    law = scaling.frequency_law(*drawn(seed=3, concepts=4000, half=-0.3, slope=3.0, own=3.0), 0, 100)
    assert law.slope.high < 2 and law.x50.low < -0.3 < law.x50.high


# ---- one curve for all


@patient
@given(tables())
def test_the_ratio_equals_that_of_scikit_learn(table: Table) -> None:
    collapse = scaling.collapse(*table)
    assume(not collapse.reason)
    (intercept, slope), one = reference(table, intercepts=False)
    coefficients, each = reference(table, intercepts=True)
    assume(abs(coefficients).max() < 40)  # beyond, the reference has not converged
    assert collapse.ratio == pytest.approx(2 * (each - one), rel=1e-3, abs=1e-3)
    assert collapse.naive == pytest.approx(chi2.sf(collapse.ratio, table[2].size - 1))
    if min(abs(slope), abs(coefficients[-1])) > 0.05:
        shift = -coefficients[:-1] / coefficients[-1] + intercept / slope
        np.testing.assert_allclose(collapse.shift, shift, rtol=1e-2, atol=1e-2)


def test_p_of_two_dictionaries_is_that_of_the_clustered_variance_of_their_difference() -> None:
    found, frequency, alive = table = drawn(0, concepts=40, sizes=2, own=2)
    intercept, slope = reference(table, intercepts=False)[0]
    information, meat = np.zeros((3, 3)), np.zeros((3, 3))
    for outcomes, often in zip(found, frequency, strict=True):
        score = np.zeros(3)
        for k, outcome in enumerate(outcomes):
            row = np.array([k == 0, k == 1, log10(often * alive[k])], float)
            p = expit(intercept + slope * row[2])
            information += p * (1 - p) * np.outer(row, row)
            score += (outcome - p) * row
        meat += np.outer(score, score) * 40 / 39
    contrast = np.linalg.inv(information) @ [-1, 1, 0]  # covariance with the difference of the intercepts
    collapse = scaling.collapse(*table)
    widened = (contrast @ meat @ contrast) / (contrast[1] - contrast[0])
    assert collapse.p == pytest.approx(chi2.sf(collapse.ratio / widened, 1), rel=1e-5)


@pytest.mark.parametrize("own", [0.0, 3.0])
def test_one_curve_is_refused_as_often_as_it_says(own: float) -> None:
    p, naive = [], []
    for seed in range(400):
        found = scaling.collapse(*drawn(seed, concepts=150, own=own))
        p.append(found.p)
        naive.append(found.naive)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=3 * sqrt(0.05 * 0.95 / 400))
    # Where a concept that is found once is found again, the plain test hardly ever refuses.
    assert (np.mean(np.array(naive) < 0.05) < 0.02) == (own > 0)


def test_a_dictionary_off_the_curve_is_seen_and_how_far() -> None:
    shifts, p, naive = [], [], []
    for seed in range(30):
        found = scaling.collapse(*drawn(seed, concepts=500, own=3.0, off=0.5))
        p.append(found.p)
        naive.append(found.naive)
        shifts.append(found.shift - found.shift[1:].mean())
    assert max(p) < 0.05 and (np.array(naive) > p).all()
    np.testing.assert_allclose(np.mean(shifts, axis=0), [0.5, 0, 0, 0], atol=0.06)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (drawn(0, sizes=1), "One dictionary"),
        (drawn(0, concepts=4), "too few concepts"),
        ((np.where(np.arange(4) == 2, 0, drawn(0)[0]), *drawn(0)[1:]), "In 1 of 4 dictionaries"),
        (
            (np.array([[0, 0], [0, 0], [1, 1], [1, 1.0]]), np.array([1e-4, 1e-3, 1e-2, 1e-1]), np.array([1, 1000])),
            "in no dictionary",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(table: Table, reason: str) -> None:
    found = scaling.collapse(*table)
    assert reason in found.reason and isnan(found.p) and isnan(found.ratio) and np.isnan(found.shift).all()


def test_what_is_no_finding_is_refused() -> None:
    found, frequency, alive = drawn(0)
    bad: list[tuple[Any, str]] = [
        ((found / 2, frequency, alive), "1, 0 or nan"),
        ((found, -frequency, alive), "at least 0"),
        ((found, frequency, alive * 0), "alive"),
        ((found.T, frequency, alive), "a row a concept"),
    ]
    for table, reason in bad:
        with pytest.raises(AssertionError, match=reason):
            scaling.frequency_law(*table, seed=0)


# ---- loss against width


def test_a_power_law_by_hand() -> None:
    # L = 8 W^(-1/2) exactly: every size is what the others say.
    width = np.array([16, 64, 256, 1024])
    law = scaling.power_law(8 / np.sqrt(width), width)
    assert law.exponent.value == pytest.approx(0.5) and law.scale == pytest.approx(8)
    np.testing.assert_allclose([law.exponent.low, law.exponent.high], 0.5)
    np.testing.assert_allclose(law.left_out, 0, atol=1e-12)
    # A last one twice as high as that: the other three predict it, and it is out by 100%.
    law = scaling.power_law(8 / np.sqrt(width) * [1, 1, 1, 2], width)
    assert law.left_out[3] == pytest.approx(1)


@patient
@given(st.integers(0, 2**32), st.integers(4, 9))
def test_a_power_law_equals_scipys_line(seed: int, sizes: int) -> None:
    rng = np.random.default_rng(seed)
    width = 2 ** rng.permutation(sizes + 3)[:sizes]
    loss = 3 * width**-0.2 * np.exp(0.1 * rng.normal(size=sizes))
    law, line = scaling.power_law(loss, width), linregress(np.log10(width), np.log10(loss))
    assert law.exponent.value == pytest.approx(-line.slope) and law.scale == pytest.approx(10**line.intercept)
    assert law.exponent.high - law.exponent.value > 1.96 * line.stderr * 1.1  # Student's t is wider
    for place in range(sizes):
        others = np.arange(sizes) != place
        line = linregress(np.log10(width[others]), np.log10(loss[others]))
        predicted = 10 ** (line.intercept + line.slope * np.log10(width[place]))
        assert law.left_out[place] == pytest.approx(loss[place] / predicted - 1)


def test_bounds_of_an_exponent_cover_it() -> None:
    rng, width = np.random.default_rng(0), 2 ** np.arange(8, 13)
    laws = [scaling.power_law(width**-0.3 * np.exp(0.05 * rng.normal(size=5)), width) for _ in range(400)]
    covered = [law.exponent.low <= 0.3 <= law.exponent.high for law in laws]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * sqrt(0.95 * 0.05 / 400))


def test_a_power_law_needs_four_sizes() -> None:
    law = scaling.power_law(np.array([4.0, 3, 2, 1]), np.array([1, 2, 4, 4]))
    assert isnan(law.exponent.value) and isnan(law.scale) and np.isnan(law.left_out).all()
    assert law.exponent.reason == "A power law needs at least 4 different sizes, and there are 3."
    with pytest.raises(AssertionError, match="above 0"):
        scaling.power_law(np.array([1.0, 0, 1, 1]), np.array([1, 2, 4, 8]))
