"""Each number against arithmetic in a comment and a slow version; features that are planted are found, others not."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from autointerp.measure import completeness
from autointerp.measure.arrays import Activations, Floats, Ints
from autointerp.measure.completeness import Contexts, Share

patient = settings(deadline=None, max_examples=60)  # the machine may be busy

Case = tuple[Contexts, Floats]  # the activations [m, width] as a dense array


def listed(rows: list[tuple[int, int]], category: list[int], pseudo: tuple[int, ...] = ()) -> Contexts:
    """Contexts of (word, template); odd templates decide."""
    table = np.array(rows, np.int64).reshape(-1, 2)
    means_nothing = np.isin(np.arange(len(category)), pseudo)
    return Contexts(table[:, 0], table[:, 1], table[:, 1] % 2 == 1, np.array(category, np.int64), means_nothing)


def sparse(x: Any) -> Activations:
    return csc_array(np.asarray(x, np.float32))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Two categories and a word alone, missing contexts; activations with ties, silent and constant columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_words, n_templates = draw(st.integers(1, 7)), draw(st.integers(2, 4))
    lacking = draw(st.sampled_from([0, 0.3]))
    category = [int(rng.integers(2)) for _ in range(n_words)] + [2]
    rows = [(word, t) for word in range(n_words + 1) for t in range(n_templates) if rng.random() >= lacking]
    rng.shuffle(rows)
    x = rng.integers(0, draw(st.integers(2, 6)), (len(rows), draw(st.integers(1, 7)))) / 4
    x[:, rng.random(x.shape[1]) < 0.2] = draw(st.sampled_from([0, 1]))
    return listed(rows, category, tuple(np.flatnonzero(rng.random(n_words) < 0.4))), x


def planted(seed: int, width: int = 400, words: int = 60, found: int = 20) -> tuple[Contexts, Floats, Floats, Floats]:
    """One category, four templates, the last third pseudo-concepts; the first `found` words have their own feature.

    Feature w is that of word w. All words have last tokens that other words share, each with a feature, which are as
    loud; in the background these fire everywhere, and the features of words on that word alone.
    """
    rng = np.random.default_rng(seed)
    rows = [(word, template) for word in range(words) for template in range(4)]
    contexts = listed(rows, [0] * words, tuple(range(2 * words // 3, words)))
    x = rng.random((len(rows), width)) * (rng.random((len(rows), width)) < 0.02)
    word = contexts.word
    holds = np.zeros((300, words))
    holds[np.arange(300), rng.integers(0, 2 * words // 3, 300)] = 1
    background = rng.random((300, width)) * (rng.random((300, width)) < 0.02)
    for own in range(found):
        x[word == own, own] = 3 + rng.random(4)
        background[:, own] += 4 * holds[:, own]
    for own in range(words):
        token = words + own % (words - 7)  # a few share one
        x[word == own, token] = 3 + rng.random(4)
        background[rng.random(300) < 0.1, token] = 4
    return contexts, x, background, holds


# ---- slow versions


def kinds(contexts: Contexts, own: int, rows: Ints) -> tuple[list[int], list[int]]:
    """Those of the rows that are the word's, and those of other words of its category."""
    inside = [int(r) for r in rows if contexts.category[contexts.word[r]] == contexts.category[own]]
    return [r for r in inside if contexts.word[r] == own], [r for r in inside if contexts.word[r] != own]


def slow_area(x: Floats, own: list[int], other: list[int]) -> float:
    """The share of pairs in which the word's context is louder, equal ones counted half."""
    if not own or not other:
        return nan
    pairs = x[own][:, None] - x[other]
    return float(((pairs > 0) + (pairs == 0) / 2).mean())


def slow_search(case: Case, own: int, seed: int, permutations: int) -> tuple[float, list[float]]:
    """The best AUROC, at least 1/2, and those of really permuted contexts drawn by another generator."""
    contexts, x = case
    rows = np.arange(contexts.word.size)
    mine, others = kinds(contexts, own, rows)
    if not mine or not others:
        return nan, []
    rng = np.random.default_rng(seed)
    inside = mine + others
    templates = contexts.template[inside]
    maxima = []
    for _ in range(permutations):
        dealt = contexts.word[inside].copy()
        for template in set(templates.tolist()):
            dealt[templates == template] = rng.permutation(dealt[templates == template])
        drawn = [row for row, word in zip(inside, dealt, strict=True) if word == own]
        rest = [row for row in inside if row not in drawn]
        maxima.append(max(0.5, *(slow_area(column, drawn, rest) for column in x.T)))
    return max(0.5, *(slow_area(column, mine, others) for column in x.T)), maxima


# ---- worked by hand

# Words 0, 1, 2 of one category; templates 0 and 2 choose, 1 and 3 decide. Rows by word, then template.
BY_HAND = listed([(word, template) for word in range(3) for template in range(4)], [0, 0, 0], pseudo=(2,))
LOUDNESS = np.array(
    [
        [2, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0],  # word 0 alone
        [4, 0, 0, 0, 4, 2, 0, 2, 0, 1, 0, 1],  # loud on 0 and 1 where it is chosen
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3],  # word 2, in two templates
    ],
    float,
).T


def test_candidates_by_hand() -> None:
    # Word 0, means over templates 0 and 2: 2, 2, 1; equal ones by number. Word 1: feature 1 with 2, 2 with 1.
    np.testing.assert_array_equal(
        completeness.loudest(BY_HAND, sparse(LOUDNESS), 3), [[0, 1, 2], [1, 2, -1], [2, 4, -1]]
    )
    # AUROCs of 2 contexts against 4. Word 0: feature 0 wins all; 1: 4 and 0 against 4, 0, 0, 0: 3.5 + 1.5 of 8 = 5/8;
    # 2: 1/2. Word 1: likewise. Word 2: feature 4 beats all four once and is equal to them once, 6/8.
    np.testing.assert_array_equal(completeness.sharpest(BY_HAND, sparse(LOUDNESS), 2), [[0, 1], [1, 2], [4, 2]])


def test_areas_by_hand() -> None:
    # Over templates 1 and 3. Feature 0 on word 0: all won. Feature 1: word 0 silent and the others not, 0; word 1
    # all won; word 2: 1, 1 beat 0, 0 and lose to 2, 2: 1/2. Feature 3 is silent: 1/2. Feature 4 on word 2: 0 and 3.
    features = np.array([[0, 1, 3], [1, 3, -1], [1, 4, 2]])
    np.testing.assert_allclose(
        completeness.areas(BY_HAND, sparse(LOUDNESS), features), [[1, 0, 0.5], [1, 0.5, nan], [0.5, 0.75, 0.5]]
    )


def test_precisions_by_hand() -> None:
    # Feature 0 has a mean of 2 on word 0 where it decides (3 and 1), so 1 is loud: 2 contexts, and of the background
    # the excerpts with 1 and 5, one of which holds the word: 3 of 4. Feature 1 on word 1: mean 2, loud from 1 on; its
    # own 2, those 2 of word 2, and the last two excerpts, one of which holds word 1: 3 of 6.
    # Feature 4 is 0 and 3 on word 2, so loud from 0.75 on: one context, and one excerpt without the word.
    background = np.zeros((4, 5))
    background[:, [0, 1, 4]] = np.array([[1, 0.9, 5, 0], [0, 0.5, 1, 9], [0, 0.8, 0, 0.7]]).T
    holds = csc_array(np.array([[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0.0]]))
    features = np.array([[0, 3], [1, -1], [4, 0]])
    np.testing.assert_allclose(
        completeness.precisions(BY_HAND, sparse(LOUDNESS), sparse(background), holds, features),
        [[3 / 4, nan], [3 / 6, nan], [1 / 2, nan]],
    )


def test_a_decision_by_hand() -> None:
    # Ten pseudo-concepts, of which words 10, 12, 14, 16, 18 set the threshold.
    contexts = listed([(w, t) for w in range(20) for t in range(2)], [0] * 20, tuple(range(10, 20)))
    features = np.arange(40).reshape(20, 2)
    area = np.ones((20, 2))
    precision = np.zeros((20, 2))
    precision[:5, 1] = [0.5, 0.6, 0.7, 0.8, 0.9]
    area[4] = 0.94  # does not tell the word from others
    precision[10:, 0] = [0.7, 0.95, 0.6, 0.95, 0.1, 0, 0, 0, 0, 0]
    features[6, 0], area[6, 0], precision[6, 0] = -1, nan, nan
    # None of five may exceed it: 0.7 is the largest. A fifth: 0.6. Two fifths: the floor.
    for allowed, threshold, found in ((0.05, 0.7, [3]), (0.2, 0.6, [2, 3]), (0.4, 0.5, [1, 2, 3])):
        decision = completeness.decide(contexts, features, area, precision, allowed=allowed)
        assert decision.threshold == threshold
        np.testing.assert_array_equal(np.flatnonzero(decision.found[:10]), found)
    assert decision.feature[3] == 7 and decision.feature[4] == -1 and decision.precision[4] == 0
    assert decision.feature[6] == 13  # its other candidate
    # Words 11 and 13 set no threshold and are found: 2 of 5 in error.
    errors = completeness.false_positives(contexts, decision.found)
    assert [(e.category, e.k, e.n) for e in errors] == [(-1, 2, 5), (0, 2, 5)]
    shares = completeness.shares(contexts, decision.found)
    assert (shares[0].k, shares[0].n, shares[0].undecided) == (3, 10, 0)
    # A search that chance reaches finds nothing.
    p = np.where(np.arange(20) == 2, 0.06, 0.05)
    decision = completeness.decide(contexts, features, area, precision, p)
    np.testing.assert_array_equal(np.flatnonzero(decision.found[:10]), [3])
    decision = completeness.decide(contexts, features, area, precision, p, allowed=0.4, floor=0.7)
    assert decision.threshold == 0.7


def test_what_cannot_be_decided_is_not_missing() -> None:
    # Word 1 has no context that decides, word 2 no other word in its category.
    contexts = listed([(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 1)], [0, 0, 1, 0])
    features, ones = np.zeros((4, 1), np.int64), np.ones((4, 1))
    found = completeness.decide(contexts, features, ones, ones).found
    np.testing.assert_array_equal(found, [1, nan, nan, 1])
    assert [s.undecided for s in completeness.shares(contexts, found)] == [2, 1, 1]
    assert completeness.false_positives(contexts, found)[0] == Share(-1, 0, 0, 0.0, 1.0, 0)


def test_agreement_by_hand() -> None:
    contexts = listed([], [0] * 6, pseudo=(5,))
    first, second = np.array([1, 1, 0, 0, nan, 1.0]), np.array([1, 0, 1, 0, 1, 1.0])
    found = completeness.agreement(contexts, first, second)
    numbers = found.both, found.only_first, found.only_second, found.neither
    assert [n.tolist() for n in numbers] == [[0], [1], [2], [3]]
    assert (found.missed.category, found.missed.k, found.missed.n, found.missed.undecided) == (-1, 1, 2, 1)


def test_p_by_hand() -> None:
    # Three words, two templates: 9 ways to give word 0 a context in each, one of which is its own.
    contexts = listed([(word, template) for word in range(3) for template in range(2)], [0, 0, 0])
    own = np.array([[1, 1, 0, 0, 0, 0]]).T
    found = completeness.searched(contexts, sparse(own), np.random.default_rng(0), 1999)
    assert found.area[0] == 1 and found.p[0] == pytest.approx(1 / 9, abs=0.03)
    # The other words' best is a feature that is silent on all of them.
    assert (found.area[1:] == 0.5).all() and (found.p[1:] == 1).all()
    # Beside a feature for each of the other words, 3 of 9 are perfect.
    found = completeness.searched(contexts, sparse(np.repeat(np.eye(3), 2, axis=0)), np.random.default_rng(0), 1999)
    assert (found.area == 1).all() and found.p[0] == pytest.approx(3 / 9, abs=0.03)
    # A template that makes a feature loud says nothing of words: every deal is as good.
    loud = np.tile([[0.0], [1.0]], (3, 1))
    assert (completeness.searched(contexts, sparse(loud), np.random.default_rng(0), 99).p == 1).all()


# ---- against the slow versions


@patient
@given(cases(), st.integers(0, 99))
def test_areas_equal_a_count_of_pairs(case: Case, seed: int) -> None:
    contexts, x = case
    features = np.random.default_rng(seed).integers(-1, x.shape[1], (contexts.pseudo.size, 3))
    found = completeness.areas(contexts, sparse(x), features)
    for own, row in enumerate(features):
        mine, others = kinds(contexts, own, np.flatnonzero(contexts.decides))
        expected = [slow_area(x[:, feature], mine, others) if feature >= 0 else nan for feature in row]
        np.testing.assert_allclose(found[own], expected, atol=1e-12)


@patient
@given(cases(), st.integers(1, 4))
def test_candidates_equal_a_loop(case: Case, k: int) -> None:
    contexts, x = case
    loudest = completeness.loudest(contexts, sparse(x), k)
    sharpest = completeness.sharpest(contexts, sparse(x), k)
    for own in range(contexts.pseudo.size):
        mine, others = kinds(contexts, own, np.flatnonzero(~contexts.decides))
        heard = [f for f in range(x.shape[1]) if x[mine, f].sum() > 0]
        loud = {f: x[mine, f].mean() for f in heard}
        expected = sorted(heard, key=lambda f: (-loud[f], f))[:k]
        assert loudest[own].tolist() == expected + [-1] * (k - len(expected))
        if not others:
            expected = []
        area = {f: round(slow_area(x[:, f], mine, others), 9) for f in heard} if others else {}
        expected = sorted(area, key=lambda f: (-area[f], -loud[f], f))[:k]
        assert sharpest[own].tolist() == expected + [-1] * (k - len(expected))


@patient
@given(cases(), st.integers(0, 99))
def test_precisions_equal_a_loop(case: Case, seed: int) -> None:
    contexts, x = case
    rng = np.random.default_rng(seed)
    features = rng.integers(-1, x.shape[1], (contexts.pseudo.size, 2))
    background = rng.integers(0, 4, (9, x.shape[1])) / 4
    holds = rng.integers(0, 2, (9, contexts.pseudo.size))
    found = completeness.precisions(contexts, sparse(x), sparse(background), csc_array(holds), features)
    for (own, place), feature in np.ndenumerate(features):
        mine = contexts.decides & (contexts.word == own)
        if feature < 0 or not x[mine, feature].any():
            assert isnan(found[own, place])
            continue
        level = x[mine, feature].mean() / 2
        there = [bool(w == own) for w in contexts.word[contexts.decides & (x[:, feature] >= level)]]
        there += [bool(h) for h in holds[background[:, feature] >= level, own]]
        assert found[own, place] == pytest.approx(np.mean(there))


def test_a_search_equals_permuted_lists() -> None:
    # Missing contexts and templates: the same maxima as from lists whose words were really exchanged.
    rng = np.random.default_rng(5)
    rows = [(word, t) for word in range(7) for t in range(3) if (word, t) not in ((0, 2), (3, 0))]
    contexts = listed(rows, [0, 0, 0, 0, 0, 1, 1])
    x = rng.integers(0, 4, (len(rows), 3)) * (rng.random((len(rows), 3)) < 0.5)
    found = completeness.searched(contexts, sparse(x), np.random.default_rng(0), 1999)
    for own in (0, 1, 3, 6):
        area, maxima = slow_search((contexts, x), own, seed=1, permutations=400)
        assert found.area[own] == pytest.approx(area)
        reached = np.mean([best >= area - 1e-9 for best in maxima])
        assert found.p[own] == pytest.approx(reached, abs=0.08)


@patient
@given(cases(), st.integers(0, 99))
def test_the_best_of_a_search_is_the_best_of_all_features(case: Case, seed: int) -> None:
    contexts, x = case
    found = completeness.searched(contexts, sparse(x), np.random.default_rng(seed), 19)
    for own in range(contexts.pseudo.size):
        assert found.area[own] == pytest.approx(slow_search(case, own, seed, 0)[0], nan_ok=True)
        assert isnan(found.p[own]) or found.p[own] in np.arange(1, 21) / 20


@patient
@given(cases(), st.integers(0, 99))
def test_neither_order_nor_scale_of_a_feature_matters(case: Case, seed: int) -> None:
    contexts, x = case
    rng = np.random.default_rng(seed)
    order = rng.permutation(contexts.word.size)
    shuffled = Contexts(
        contexts.word[order], contexts.template[order], contexts.decides[order], contexts.category, contexts.pseudo
    )
    np.testing.assert_array_equal(
        completeness.loudest(shuffled, sparse(x[order])), completeness.loudest(contexts, sparse(x))
    )
    features = completeness.sharpest(contexts, sparse(x))
    scale = rng.integers(1, 9, x.shape[1])
    np.testing.assert_allclose(
        completeness.areas(shuffled, sparse(x[order] * scale), features),
        completeness.areas(contexts, sparse(x), features),
    )


# ---- what is planted


@pytest.mark.parametrize("find", [completeness.loudest, completeness.sharpest])
def test_planted_features_are_found_and_those_of_tokens_are_not(find: Callable[..., Ints]) -> None:
    contexts, x, background, holds = planted(seed=0)
    activations = sparse(x)
    features = find(contexts, activations)
    area = completeness.areas(contexts, activations, features)
    precision = completeness.precisions(contexts, activations, sparse(background), csc_array(holds), features)
    found = completeness.decide(contexts, features, area, precision)
    np.testing.assert_array_equal(np.flatnonzero(found.found == 1), np.arange(20))
    np.testing.assert_array_equal(found.feature[:20], np.arange(20))
    assert completeness.false_positives(contexts, found.found)[0].k == 0
    # On the words alone, features of last tokens tell a pseudo-concept as well.
    assert (np.nanmax(area, axis=1)[contexts.pseudo] >= completeness.AREA).mean() > 0.5
    assert (completeness.searched(contexts, activations, np.random.default_rng(0)).p[contexts.pseudo] < 0.05).all()


def test_a_feature_too_quiet_for_the_five_is_found_by_the_search() -> None:
    contexts, x, background, holds = planted(seed=1, found=1)
    x[:, 0] /= 100
    background[:, 0] /= 100
    x[contexts.word == 0, 200:206] = 9  # louder than it, on this word and others
    x[contexts.word == 1, 200:206] = 9
    ways = []
    for find in (completeness.loudest, completeness.sharpest):
        features = find(contexts, sparse(x))
        area = completeness.areas(contexts, sparse(x), features)
        precision = completeness.precisions(contexts, sparse(x), sparse(background), csc_array(holds), features)
        ways.append(completeness.decide(contexts, features, area, precision).found)
    compared = completeness.agreement(contexts, *ways)
    assert compared.only_second.tolist() == [0] and not compared.both.size and not compared.only_first.size
    assert compared.missed.k == compared.missed.n == 1


def test_words_that_nothing_answers_to_are_found_no_more_often_than_the_search_says() -> None:
    # Features that a word makes fire or not by chance, anew in every template.
    rng = np.random.default_rng(0)
    contexts = listed([(word, template) for word in range(30) for template in range(4)], [0] * 30)
    p = []
    for _ in range(60):
        x = rng.random((120, 30)) * (rng.random((120, 30)) < 0.3) + np.tile(rng.random((4, 30)), (30, 1))
        p.append(completeness.searched(contexts, sparse(x), rng, 99).p)
    # 1,800 words, 30 of which share a list: 5% +- 1.5 if they were independent three times over.
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean(p) == pytest.approx(0.505, abs=0.03)


def test_the_halves_of_the_pseudo_concepts_are_even_in_each_category() -> None:
    contexts = listed([], [0, 0, 0, 1, 1, 1, 1], pseudo=(0, 1, 2, 4, 5, 6))
    sets = contexts.threshold_setting
    assert Counter(contexts.category[sets].tolist()) == {0: 2, 1: 2} and not sets[3]


# ---- size


def test_a_wide_dictionary_costs_what_fires() -> None:
    rng = np.random.default_rng(0)
    words, width, l0 = 250, 65_536, 50
    contexts = listed(
        [(word, template) for word in range(words) for template in range(4)], [w % 5 for w in range(words)]
    )
    rows = np.repeat(np.arange(4 * words), l0)
    x = csc_array((rng.random(rows.size), (rows, rng.integers(0, width, rows.size))), shape=(4 * words, width))
    tracemalloc.start()
    features = completeness.sharpest(contexts, x)
    area = completeness.areas(contexts, x, features)
    found = completeness.searched(contexts, x, rng, 199)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.area > 0.5).all() and not np.isnan(area).any()
    assert peak < 50e6 < x.shape[0] * width * 8 / 8


# ---- what is refused


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: listed([(0, 0), (0, 0)], [0]), "one context in a template"),
        (lambda: listed([(1, 0)], [0]), "one of the words"),
        (
            lambda: Contexts(
                np.arange(2), np.zeros(2, int), np.array([True, False]), np.zeros(2, int), np.zeros(2, bool)
            ),
            "chooses or decides",
        ),
    ],
)
def test_contexts_that_contradict_themselves_are_refused(build: Callable[[], Contexts], reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        build()


def test_activations_that_do_not_fit_are_refused() -> None:
    for x, reason in ((np.ones((2, 1)), "one row of activations"), (-np.ones((12, 1)), "at least 0")):
        with pytest.raises(AssertionError, match=reason):
            completeness.loudest(BY_HAND, sparse(x))
