"""Each number against arithmetic in a comment and a slow version, and what the p-values promise."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from math import isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array
from sklearn.metrics import roc_auc_score

from autointerp.measure import generalisation
from autointerp.measure.arrays import Activations, Floats, Ints
from autointerp.measure.generalisation import Carried, Members

patient = settings(deadline=None, max_examples=60)  # the machine may be busy

Case = tuple[Members, Floats]  # the activations [m, width] as a dense array


def listed(rows: list[tuple[int, int, int, int, bool]]) -> Members:
    """Members from rows of concept, document, form, group, score."""
    table = np.array(rows, np.int64).reshape(-1, 5)
    return Members(table[:, 0], table[:, 1], table[:, 2], table[:, 3], table[:, 4].astype(bool))


def sparse(x: Any) -> Activations:
    return csc_array(np.asarray(x, np.float32))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A list with gaps in its ids, missing forms, lone concepts; activations with ties, silent and constant columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_forms, lacking = draw(st.integers(1, 4)), draw(st.sampled_from([0, 0.2, 0.6]))
    rows = []
    for concept in range(draw(st.integers(1, 5))):
        for document in range(draw(st.integers(1, 5))):
            half = bool(rng.random() < 0.6)
            for form in range(n_forms):
                for _ in range(1 + (rng.random() < 0.1)):  # a name may have a synonym
                    if rng.random() >= lacking:
                        rows.append((3 * concept + 2, 100 * concept + 7 * document, form, 5 * (concept % 2), half))
    rng.shuffle(rows)
    members = listed(rows)
    x = rng.integers(0, draw(st.integers(2, 6)), (len(rows), draw(st.integers(1, 6)))) / 4
    x[:, rng.random(x.shape[1]) < 0.2] = draw(st.sampled_from([0, 1]))
    return members, x


def wanted(case: Case, seed: int) -> tuple[Ints, Ints, Ints]:
    """Some of the features, now and then one of them twice; for each a concept or -1, and a form or -1."""
    members, x = case
    rng = np.random.default_rng(seed)
    features = rng.integers(0, x.shape[1], 4)
    return features, rng.choice(np.append(members.concept, -1), 4), rng.integers(-1, members.forms, 4)


def same(a: Any, b: Any) -> None:
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


# ---- slow versions


def two_kinds(members: Members, concept: int, form: int, half: bool) -> tuple[list[int], list[int]]:
    """The rows of the concept's members and of its distractors in a form."""
    groups = {int(g) for c, g in zip(members.concept, members.group, strict=True) if c == concept}
    rows = [
        row
        for row in range(members.score.size)
        if members.form[row] == form and members.group[row] in groups and members.score[row] == half
    ]
    return [r for r in rows if members.concept[r] == concept], [r for r in rows if members.concept[r] != concept]


def slow_area(x: Floats, own: list[int], other: list[int]) -> float:
    """The share of pairs in which the concept's member is louder, equal ones counted half."""
    if not own or not other:
        return nan
    return float(np.mean([(x[a] > x[b]) + (x[a] == x[b]) / 2 for a in own for b in other]))


def slow_choice(members: Members, x: Floats) -> tuple[int, int]:
    best, chosen = -np.inf, (-1, -1)
    for concept in sorted(set(members.concept.tolist())):
        for form in range(members.forms):
            own, other = two_kinds(members, concept, form, half=False)
            if own and other and x[~members.score].any():
                n1, n0 = len(own), len(other)
                z = (slow_area(x, own, other) - 1 / 2) / sqrt((n1 + n0 + 1) / (12 * n1 * n0))
                if z > best + 1e-9:
                    best, chosen = z, (concept, form)
    return chosen


def slow_statistic(members: Members, x: Floats, concept: int, home: int) -> float:
    areas = [
        slow_area(x, *two_kinds(members, concept, form, half=True)) for form in range(members.forms) if form != home
    ]
    areas = [area for area in areas if not isnan(area)]
    return float(np.mean(areas)) if areas else nan


def slow_nulls(case: Case, concept: int, home: int, seed: int, permutations: int) -> list[float]:
    """The largest statistic of each permutation, from lists whose documents were really given other concepts."""
    members, x = case
    rng = np.random.default_rng(seed)
    lists = [members.concept.copy() for _ in range(permutations)]
    for group in sorted(set(members.group[members.score].tolist())):
        documents = sorted(set(members.document[members.score & (members.group == group)].tolist()))
        before = [int(members.concept[members.document == document][0]) for document in documents]
        for permuted, after in zip(lists, rng.permuted([before] * permutations, axis=1), strict=True):
            for document, new in zip(documents, after, strict=True):
                permuted[members.document == document] = new
    every = [
        [slow_statistic(replace(members, concept=permuted), column, concept, home) for column in x.T]
        for permuted in lists
    ]
    return [max(row) for row in every if not isnan(row[0])]


# ---- worked by hand

# Concepts 0 and 1 of one group, concept 2 of another, whose members are no distractors. Document 3 lacks form 1.
BY_HAND = listed(
    [
        *[(0, 0, 0, 0, True), (0, 1, 0, 0, True), (1, 2, 0, 0, True), (1, 3, 0, 0, True), (2, 4, 0, 1, True)],
        *[(0, 0, 1, 0, True), (0, 1, 1, 0, True), (1, 2, 1, 0, True), (2, 4, 1, 1, True)],
    ]
)
LOUDNESS = np.array(
    [[3.0, 0, 1, 0, 9, 2, 2, 0, 9], [0, 0, 0, 0, 9, 5, 0, 0, 9], [0, 0, 0, 0, 9, 1, 3, 0, 9], [0] * 9]
).T
LOUD = sparse(LOUDNESS)
FIRST, NAUGHT = np.array([0]), np.array([0])  # the first feature; concept or form 0


def test_forms_by_hand() -> None:
    found = generalisation.by_form(BY_HAND, LOUD, np.array([0, 0, 0]), np.array([0, 2, -1]))
    # Form 0: 3 and 0 against 1 and 0: 3 > 1, 3 > 0, 0 < 1, 0 = 0: 2.5 / 4. Form 1: 2 and 2 against 0: all won.
    # Concept 2 has no distractors.
    np.testing.assert_array_equal(found.fire_rate, [[1 / 2, 1], [1, 1], [nan, nan]])
    np.testing.assert_array_equal(found.distractor_rate, [[1 / 2, 0], [nan, nan], [nan, nan]])
    np.testing.assert_array_equal(found.auroc, [[2.5 / 4, 1], [nan, nan], [nan, nan]])


def test_spread_by_hand() -> None:
    # Halved: 1.5 and 0 in form 0, 1 and 1 in form 1; means 0.75 and 1 about 0.875: between 1/8^2 = 1/64.
    # Inside: 0.75^2 = 36/64 and 0, on average 18/64. 1 - 1/19.
    halved = np.array([2.0])
    found = generalisation.spread(BY_HAND, LOUD, FIRST, NAUGHT, np.array([0, 1]), halved)
    assert (found.between[0], found.within[0]) == (1 / 64, 18 / 64)
    assert found.invariance[0] == pytest.approx(18 / 19)
    # Within form 0 alone nothing could have differed between forms.
    found = generalisation.spread(BY_HAND, LOUD, FIRST, NAUGHT, np.array([0]), halved)
    assert (found.between[0], found.within[0]) == (0, 36 / 64) and isnan(found.invariance[0])


def test_spread_of_the_extremes() -> None:
    # The same in both forms of a document; the same within a form; the same everywhere; nowhere; without a maximum.
    members = listed([(0, document, form, 0, True) for document in range(3) for form in range(2)])
    columns: list[list[float]] = [[1, 1, 2, 2, 4, 4], [1, 7] * 3, [0.3] * 6, [0] * 6, [1, 2, 3, 4, 5, 6]]
    maximum = np.array([4, 7, 0.7, 1, 0])
    every, forms = np.arange(5), np.arange(2)
    found = generalisation.spread(members, sparse(np.transpose(columns)), every, 0 * every, forms, maximum)
    np.testing.assert_allclose(found.invariance, [1, 0, nan, nan, nan])
    np.testing.assert_allclose(found.between, [0, (3 / 7) ** 2, 0, 0, nan], atol=1e-15)
    found = generalisation.spread(members, sparse(np.zeros((6, 1))), FIRST, np.array([-1]), forms, np.ones(1))
    assert isnan(found.between[0]) and isnan(found.within[0]) and isnan(found.invariance[0])


def test_forms_differ_by_chance_as_much_as_the_docstring_says() -> None:
    # 3 forms, 12 members: (3 - 1) / (12 - 1) of the variance on average.
    members = listed([(0, document, form, 0, True) for document in range(4) for form in range(3)])
    x = sparse(np.random.default_rng(0).exponential(size=(12, 2000)))
    every = np.arange(2000)
    found = generalisation.spread(members, x, every, 0 * every, np.arange(3), np.ones(2000))
    assert np.mean(1 - found.invariance) == pytest.approx(2 / 11, abs=0.01)


def test_rank_by_hand() -> None:
    # Outside form 0 the sums are 4, 5, 4 and 0: 1 is louder than both 4, which share rank 3, and silence is last.
    every = np.arange(4)
    np.testing.assert_array_equal(generalisation.rank(BY_HAND, LOUD, every, 0 * every, 0 * every), [3, 1, 3, 4])
    # Outside form 1: 3, 0, 0, 0. In all forms: 7, 5, 4, 0.
    np.testing.assert_array_equal(generalisation.rank(BY_HAND, LOUD, every, 0 * every, 0 * every + 1), [1, 4, 4, 4])
    np.testing.assert_array_equal(generalisation.rank(BY_HAND, LOUD, every, 0 * every, 0 * every - 1), [1, 2, 3, 4])
    assert np.isnan(generalisation.rank(BY_HAND, LOUD, FIRST, np.array([-1]), NAUGHT))


def test_a_choice_by_hand() -> None:
    rows = [(0, 0, 0, 0, False), (0, 1, 0, 0, False), (1, 2, 0, 0, False), (1, 3, 0, 0, False), (1, 4, 0, 0, False)]
    rows += [(0, 0, 1, 0, False), (1, 2, 1, 0, False), (2, 9, 1, 1, False), (1, 8, 0, 0, True)]
    columns = [
        [1, 1, 0, 0, 0, 5, 0, 0, 0],  # perfect in both: z = sqrt(3) with 2 and 3 members in form 0, 1 with 1 and 1
        [0, 0, 0, 0, 0, 5, 0, 0, 0],  # only in form 1
        [0, 0, 0, 0, 0, 0, 5, 0, 0],  # only in form 1 of concept 1
        [1, 1, 1, 1, 1, 1, 1, 1, 1],  # no preference: the first
        [0, 0, 0, 0, 0, 0, 0, 1, 0],  # only where no distractors are: no preference either
        [0, 0, 0, 0, 0, 0, 0, 0, 1],  # only on the other half
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    concept, home = generalisation.choose(listed(rows), sparse(np.transpose(columns)), np.arange(7))
    np.testing.assert_array_equal(concept, [0, 0, 1, 0, 0, -1, -1])
    np.testing.assert_array_equal(home, [0, 1, 1, 0, 0, -1, -1])
    # One concept alone has no distractors.
    concept, home = generalisation.choose(listed([(0, 0, 0, 0, False)]), sparse([[1]]), FIRST)
    assert (concept[0], home[0]) == (-1, -1)


def two_forms(own: list[list[float]], other: list[list[float]]) -> tuple[Members, Activations]:
    """One feature on the explain half: per form, its activations on concept 0 and on concept 1."""
    values = [
        (concept, form, value) for concept, kind in enumerate((own, other)) for form in (0, 1) for value in kind[form]
    ]
    rows = [(concept, document, form, 0, False) for document, (concept, form, _) in enumerate(values)]
    return listed(rows), sparse([[value] for _, _, value in values])


def test_a_choice_asks_more_of_few_members() -> None:
    # Form 0: 2 + 3 + 4 + 5 of 20 pairs won, z = 0.2 / sqrt(10 / 240) = 0.98. Form 1: all of 1, 0.5 / sqrt(3 / 12) = 1.
    case = two_forms([[2.5, 3.5, 4.5, 5.5], [1]], [[1, 2, 3, 4, 5], [0]])
    assert generalisation.choose(*case, FIRST)[1] == 1
    # One more distractor beaten in form 0: 18 of 24, 0.25 / sqrt(11 / 288) = 1.28.
    case = two_forms([[2.5, 3.5, 4.5, 5.5], [1]], [[0, 1, 2, 3, 4, 5], [0]])
    assert generalisation.choose(*case, FIRST)[1] == 0
    # 2.5 of 3 pairs, (1/3) / sqrt(5 / 36), and 4.5 + 3 + 3 of 15, 0.2 / sqrt(9 / 180): 2 / sqrt(5), save rounding.
    case = two_forms([[2], [5, 3.5, 3.5]], [[1, 1, 2], [1, 2, 3, 4, 5]])
    assert generalisation.choose(*case, FIRST)[1] == 0


def carried(case: Case, features: Ints, concept: Ints, home: Ints, permutations: int, seed: int = 0) -> Carried:
    rng = np.random.default_rng(seed)
    return generalisation.carried(case[0], sparse(case[1]), features, concept, home, rng, permutations)


def test_the_statistic_by_hand() -> None:
    # The areas are 2.5 / 4 and 1.
    case, homes = (BY_HAND, LOUDNESS), np.array([0, 1, -1])
    found = carried(case, 0 * homes, 0 * homes, homes, 1)
    np.testing.assert_array_equal(found.statistic, [1, 0.625, 0.8125])
    found = carried(case, 0 * homes, np.array([2, 2, -1]), homes, 19)
    assert np.isnan([found.statistic, found.p, found.chance]).all()


def test_p_by_hand() -> None:
    # Two concepts of two documents: the 6 ways to give them out are equally likely. A feature that fires on documents
    # 0 and 1 tells concept 0 perfectly in 1 of them, at 1/2 in 4 and reversed in 1.
    members = listed([(document // 2, document, form, 0, True) for document in range(4) for form in range(2)])
    fires = np.repeat([[1], [1], [0], [0]], 2, axis=0)
    zero = np.array([0])
    found = carried((members, fires), zero, zero, zero, 1999)
    assert found.statistic == 1 and found.p == pytest.approx(1 / 6, abs=0.03) and found.chance == 1
    # For concept 1 it is reversed, and always reached.
    assert carried((members, fires), zero, zero + 1, zero, 1999).p == 1
    # Beside one that fires on documents 0 and 2: the best is perfect in two of the six.
    fires = np.hstack([fires, np.repeat([[1], [0], [1], [0]], 2, axis=0)])
    found = carried((members, fires), np.arange(2), np.zeros(2, int), np.zeros(2, int), 1999)
    np.testing.assert_array_equal(found.statistic, [1, 0.5])
    assert found.p[0] == pytest.approx(2 / 6, abs=0.03)
    # Where one is below 1/2, the other is not: the best of both is 1/2 or more in all six.
    assert found.p[1] == 1


def test_a_permutation_without_any_form_is_not_counted() -> None:
    # Concept 0 has document 0; document 2 lacks form 1. In a third of the permutations concept 0 is not in form 1, in a
    # third it beats document 1 there, in a third it is beaten: p = 1/2. Were the first third counted, 1/3.
    rows = [(0, 0, 0, 0, True), (1, 1, 0, 0, True), (1, 2, 0, 0, True), (0, 0, 1, 0, True), (1, 1, 1, 0, True)]
    case = listed(rows), np.array([[0], [0], [0], [1], [0]])
    assert carried(case, FIRST, NAUGHT, NAUGHT, 1999).p == pytest.approx(1 / 2, abs=0.03)
    case = listed(rows), np.ones((5, 1))
    assert carried(case, FIRST, NAUGHT, NAUGHT, 19).p == 1


# ---- against the slow versions


@patient
@given(cases(), st.integers(0, 99))
def test_forms_equal_scikit_learn(case: Case, seed: int) -> None:
    members, x = case
    features, concept, _ = wanted(case, seed)
    found = generalisation.by_form(members, sparse(x), features, concept)
    for place, (feature, own_concept) in enumerate(zip(features, concept, strict=True)):
        for form in range(members.forms):
            own, other = two_kinds(members, own_concept, form, half=True)
            measured = [found.fire_rate[place, form], found.distractor_rate[place, form], found.auroc[place, form]]
            known = own_concept >= 0
            column, fires = x[:, feature], x[:, feature] > 0
            expected = [
                fires[own].mean() if own and known else nan,
                fires[other].mean() if other and known else nan,
                roc_auc_score([1] * len(own) + [0] * len(other), column[own + other]) if own and other else nan,
            ]
            np.testing.assert_allclose(measured, expected, atol=1e-12)


@patient
@given(cases())
def test_a_choice_equals_a_loop(case: Case) -> None:
    members, x = case
    every = np.arange(x.shape[1])
    concept, home = generalisation.choose(members, sparse(x), every)
    assert list(zip(concept.tolist(), home.tolist(), strict=True)) == [slow_choice(members, column) for column in x.T]


@patient
@given(cases(), st.integers(0, 99))
def test_spread_adds_up_and_equals_a_loop(case: Case, seed: int) -> None:
    members, x = case
    features, concept, _ = wanted(case, seed)
    forms, maximum = np.unique(np.random.default_rng(seed).integers(0, 4, 3)), np.array([0.5, 1, 2, 4])
    found = generalisation.spread(members, sparse(x), features, concept, forms, maximum)
    for place, feature in enumerate(features):
        parts = [
            x[members.score & (members.concept == concept[place]) & (members.form == form), feature] / maximum[place]
            for form in forms
        ]
        parts = [part for part in parts if part.size]
        if not parts:
            assert np.isnan([found.between[place], found.within[place], found.invariance[place]]).all()
            continue
        every = np.concatenate(parts)
        within = sum(part.size * part.var() for part in parts) / every.size
        between = np.var(np.concatenate([np.full(part.size, part.mean()) for part in parts]))
        assert found.within[place] == pytest.approx(within)
        assert found.between[place] == pytest.approx(between)
        assert found.between[place] + found.within[place] == pytest.approx(every.var())
        expected = 1 - between / every.var() if len(parts) > 1 and every.var() > 1e-20 else nan
        assert found.invariance[place] == pytest.approx(expected, nan_ok=True)


@patient
@given(cases(), st.integers(0, 99))
def test_rank_equals_a_loop(case: Case, seed: int) -> None:
    members, x = case
    features, concept, home = wanted(case, seed)
    for place, rank in enumerate(generalisation.rank(members, sparse(x), features, concept, home)):
        rows = members.score & (members.concept == concept[place]) & (members.form != home[place])
        if rows.any():
            mean = x[rows].mean(axis=0)
            assert rank == (mean >= mean[features[place]]).sum()
        else:
            assert isnan(rank)


@settings(deadline=None, max_examples=40)
@given(cases(), st.integers(0, 99))
def test_carried_equals_a_loop_over_permuted_lists(case: Case, seed: int) -> None:
    members, x = case
    features, concept, home = wanted(case, seed)
    found = carried(case, features, concept, home, 39, seed)
    for place, feature in enumerate(features):
        statistic = nan
        if concept[place] >= 0:
            statistic = slow_statistic(members, x[:, feature], concept[place], home[place])
        assert found.statistic[place] == pytest.approx(statistic, nan_ok=True)
        if isnan(statistic):
            assert isnan(found.p[place]) and isnan(found.chance[place])
            continue
        maxima = np.array(slow_nulls(case, concept[place], home[place], seed, 39))
        assert found.p[place] == (1 + (maxima >= statistic - 1e-9).sum()) / (maxima.size + 1)
        allowed = (maxima.size + 1) // 20  # 2 of 39, 1 of 19 … 38, none of fewer
        assert found.chance[place] == pytest.approx(sorted(maxima)[-allowed] if allowed else nan, nan_ok=True)
        assert (found.p[place] <= 0.05) == (statistic > found.chance[place] + 1e-9)


# ---- what must not matter


@patient
@given(cases(), st.integers(0, 99))
def test_the_size_of_the_chunks_does_not_matter(case: Case, seed: int) -> None:
    members, x = case[0], sparse(case[1])
    features, concept, home = wanted(case, seed)
    forms, ones = np.arange(2), np.ones(4)
    results = []
    for columns in (1, 2, 256):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(generalisation, "COLUMNS", columns)
            results.append(
                (
                    generalisation.choose(members, x, features),
                    generalisation.by_form(members, x, features, concept),
                    generalisation.spread(members, x, features, concept, forms, ones),
                    generalisation.rank(members, x, features, concept, home),
                    carried(case, features, concept, home, 20),
                )
            )
    for other in results[1:]:
        np.testing.assert_array_equal(other[0], results[0][0])
        same(other[1], results[0][1])
        np.testing.assert_allclose(other[2].between, results[0][2].between, atol=1e-15)
        np.testing.assert_array_equal(other[3], results[0][3])
        same(other[4], results[0][4])


def test_the_null_is_the_same_to_the_last_digit_whatever_the_chunk() -> None:
    members, x = synthetic(seed=3, width=300, lacking=0.2)
    every, same_concept = np.arange(300), np.zeros(300, int)
    results = []
    for columns in (7, 64, 256):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(generalisation, "COLUMNS", columns)
            results.append(carried((members, x), every, same_concept, same_concept, 99))
    same(results[0], results[1])
    same(results[0], results[2])


@patient
@given(cases(), st.integers(0, 99))
def test_neither_names_nor_order_matter(case: Case, seed: int) -> None:
    members, x = case
    features, concept, home = wanted(case, seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    known = np.unique(members.concept)
    name = np.full(known.max(initial=0) + 1, -1)
    name[known] = rng.permutation(50)[: known.size]
    moved = Members(
        name[members.concept[order]],
        members.document[order],
        members.form[order],
        members.group[order],
        members.score[order],
    )
    renamed = np.where(concept < 0, -1, name[concept])
    before, after = (members, sparse(x)), (moved, sparse(x[order]))
    same(
        generalisation.by_form(*before, features, concept),
        generalisation.by_form(*after, features, renamed),
    )
    np.testing.assert_array_equal(
        generalisation.rank(*before, features, concept, home), generalisation.rank(*after, features, renamed, home)
    )
    spreads = [
        generalisation.spread(*some, features, own, np.arange(3), np.ones(4))
        for some, own in ((before, concept), (after, renamed))
    ]
    np.testing.assert_allclose(spreads[0].between, spreads[1].between, atol=1e-12)
    np.testing.assert_allclose(spreads[0].invariance, spreads[1].invariance, atol=1e-9)
    same(carried(case, features, concept, home, 20), carried((moved, x[order]), features, renamed, home, 20))
    # Ties go by name, so names keep their order here.
    moved = replace(moved, concept=2 * members.concept[order] + 1)
    concept, home = generalisation.choose(*before, features)
    again = generalisation.choose(moved, after[1], features)
    np.testing.assert_array_equal(again, (np.where(concept < 0, -1, 2 * concept + 1), home))


def test_a_feature_has_the_same_p_whoever_is_asked_for_beside_it() -> None:
    case = synthetic(seed=4, width=6)
    every, concept, home = np.arange(6), np.array([0, 1, 2, 3, 4, 0]), np.array([0, 1, 2, 0, 1, 0])
    together = carried(case, every, concept, home, 99)
    for place in every:
        alone = carried(case, every[[place]], concept[[place]], home[[place]], 99)
        assert (alone.p[0], alone.chance[0]) == (together.p[place], together.chance[place])
    same(together, carried(case, every, concept, home, 99))
    assert (carried(case, every, concept, home, 99, seed=1).p != together.p).any()


# ---- what the p-values promise


def synthetic(seed: int, width: int, lacking: float = 0.0, per_concept: int = 4) -> Case:
    """6 concepts in 2 groups, 3 forms, half of the documents in each half; loudness goes by document and by form."""
    rng = np.random.default_rng(seed)
    documents, forms = 6 * per_concept, 3
    rows = [
        (document % 6, document, form, document % 2, document // 6 % 2 == 0)
        for document in range(documents)
        for form in range(forms)
        if rng.random() >= lacking
    ]
    members = listed(rows)
    by_document, by_form = rng.normal(size=(documents, width)), rng.normal(size=(forms, width))
    noise = rng.normal(size=(len(rows), width))
    return members, np.maximum(by_document[members.document] + by_form[members.form] + noise, 0)


def test_what_is_planted_in_all_forms_is_found_and_what_is_planted_at_home_is_not() -> None:
    members, x = synthetic(seed=0, width=200, per_concept=20, lacking=0.1)
    own = members.concept == 2
    x[:, 10] = np.where(own, 5 + x[:, 10], x[:, 10])
    x[:, 11] = np.where(own & (members.form == 1), 5 + x[:, 11], 0)
    planted = np.array([10, 11])
    concept, home = generalisation.choose(members, sparse(x), planted)
    np.testing.assert_array_equal(concept, [2, 2])
    assert home[1] == 1
    found = carried((members, x), planted, concept, home, 199)
    assert found.p[0] == 1 / 200 and found.statistic[0] > 0.95 > found.chance[0] > 0.5
    assert found.p[1] > 0.5 and found.statistic[1] == 0.5
    areas = generalisation.by_form(members, sparse(x), planted, concept).auroc
    assert (areas[0] > 0.95).all() and areas[1, 1] == 1 and (areas[1, [0, 2]] == 0.5).all()
    assert generalisation.rank(members, sparse(x), planted, concept, home).tolist() == [1, 200]


@pytest.mark.parametrize("value", [0, 1])
def test_a_feature_that_is_always_equally_loud_is_no_better_than_chance(value: float) -> None:
    members, x = synthetic(seed=1, width=5, lacking=0.3)
    x[:, 2] = value
    concepts = np.arange(6)
    found = carried((members, x), 0 * concepts + 2, concepts, 0 * concepts, 99)
    assert (found.statistic == 0.5).all() and (found.p == 1).all()


def test_the_best_of_many_is_called_a_discovery_no_more_often_than_it_says() -> None:
    # Nothing carries anything, but a document is loud or not in all its forms, and some documents lack some.
    best, chosen = [], []
    for seed in range(400):
        members, x = synthetic(seed, width=20, per_concept=12, lacking=0.25 * (seed % 2))
        every = np.arange(20)
        # All features asked for the same concept and home: the best of twenty.
        p = carried((members, x), every, np.full(20, 3), np.full(20, 1), 19, seed).p
        best.append(bool(p.min() <= 0.05))
        # Each asked for the concept and home that it prefers on the other half: the best of these.
        concept, home = generalisation.choose(members, sparse(x), every)
        p = carried((members, x), every, concept, home, 19, seed).p
        chosen.append(bool(np.nanmin(p) <= 0.05))
    margin = 3 * sqrt(0.05 * 0.95 / 400)
    assert np.mean(best) == pytest.approx(0.05, abs=margin)  # as often as it says: exact, not only safe
    assert np.mean(chosen) <= 0.05 + margin


# ---- size


def test_a_million_features_cost_what_fires() -> None:
    members, _ = synthetic(seed=0, width=1, per_concept=12)
    width, rng = 1_000_000, np.random.default_rng(0)
    m = members.score.size
    rows, columns = rng.integers(0, m, 1000), rng.choice(width, 1000, replace=False)
    values = rng.random(1000).astype(np.float32)
    x = csc_array((values, (rows, columns)), shape=(m, width))
    features = np.append(columns[:50], 0)
    tracemalloc.start()
    concept, home = generalisation.choose(members, x, np.arange(width))
    assert ((concept >= 0) <= (np.diff(x.indptr) > 0)).all()
    concept, home = concept[features], home[features]
    generalisation.by_form(members, x, features, concept)
    generalisation.spread(members, x, features, concept, np.arange(3), np.ones(51))
    ranks = generalisation.rank(members, x, features, concept, home)
    found = generalisation.carried(members, x, features, concept, home, rng, 19)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6 < m * width * 4 / 8  # a few vectors of the width, far from an array
    assert np.nanmax(ranks) == width and (found.statistic[:50][concept[:50] >= 0] >= 0).all()


# ---- what is refused


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(0, 0, 0, 0, True), (1, 0, 1, 0, True)], "one concept and lies in one half"),
        ([(0, 0, 0, 0, True), (0, 0, 1, 0, False)], "one concept and lies in one half"),
        ([(0, 0, 0, 0, True), (0, 1, 0, 1, True)], "one group"),
        ([(0, -1, 0, 0, True)], "an id is not"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(rows: list[tuple[int, int, int, int, bool]], reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        listed(rows)


def test_activations_that_do_not_fit_are_refused() -> None:
    calls: list[Callable[[Activations], object]] = [
        lambda x: generalisation.choose(BY_HAND, x, FIRST),
        lambda x: generalisation.by_form(BY_HAND, x, FIRST, NAUGHT),
        lambda x: generalisation.rank(BY_HAND, x, FIRST, NAUGHT, NAUGHT),
    ]
    for call in calls:
        with pytest.raises(AssertionError, match="one row of activations per member"):
            call(sparse(np.ones((3, 1))))
        with pytest.raises(AssertionError, match="at least 0"):
            call(sparse(-np.ones((9, 1))))
    with pytest.raises(AssertionError, match="one of the list"):
        generalisation.by_form(BY_HAND, LOUD, FIRST, np.array([7]))


def test_nothing_asked_for_is_nothing() -> None:
    none = np.array([], int)
    assert generalisation.by_form(BY_HAND, LOUD, none, none).auroc.shape == (0, 2)
    assert carried((BY_HAND, LOUDNESS), none, none, none, 19).p.shape == (0,)
    assert generalisation.choose(BY_HAND, LOUD, none)[0].shape == (0,)
