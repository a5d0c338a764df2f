"""Choosing among candidates: what is held back is never shown, and the best on it is taken."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.explain import choose
from autointerp.explain.choose import MIN_ITEMS, Ballot, Choice, Judged
from autointerp.records import Excerpt, Item


def item(n: int, document: int, fires: bool, text: str = "x") -> Item:
    return Item(Excerpt(n, 0, document, (text,), (float(fires),)), "bin0" if fires else "random", fires, 0.1)


def items(pairs: Sequence[tuple[int, bool]]) -> list[Item]:
    return [item(n, document, fires) for n, (document, fires) in enumerate(pairs)]


evidence = st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=50).map(items)


@given(evidence, st.integers(0, 99))
def test_no_document_is_on_both_sides_and_nothing_is_lost(known: list[Item], seed: int) -> None:
    found = choose.divide(known, np.random.default_rng(seed))
    assert sorted(one.excerpt.id for one in (*found.shown, *found.held)) == sorted(one.excerpt.id for one in known)
    assert not {one.excerpt.document for one in found.shown} & {one.excerpt.document for one in found.held}
    assert list(found.shown) == [one for one in known if one in found.shown]  # in the order of the evidence
    if found.held:
        for side in (found.shown, found.held):
            assert min(choose.count(side).values()) >= MIN_ITEMS
    else:
        assert found.shown == tuple(known)


@given(evidence, st.integers(0, 99))
def test_the_division_follows_from_the_seed(known: list[Item], seed: int) -> None:
    assert choose.divide(known, np.random.default_rng(seed)) == choose.divide(known, np.random.default_rng(seed))


def test_a_quarter_of_each_sort_is_held_back_where_each_item_has_its_document() -> None:
    known = items([(n, n < 20) for n in range(60)])
    found = choose.divide(known, np.random.default_rng(0))
    assert choose.count(found.held) == {True: 5, False: 10}
    others = [choose.divide(known, np.random.default_rng(seed)).held for seed in range(20)]
    assert len(set(others)) == 20
    first = np.mean([held[0].fires for held in others])  # a third of them fire: their order says nothing
    assert 0.05 < first < 0.65


@pytest.mark.parametrize(
    ("firing", "silent", "held"),
    [(8, 8, True), (7, 8, False), (8, 7, False), (0, 40, False), (40, 0, False), (0, 0, False)],
)
def test_with_too_few_of_a_sort_nothing_is_held_back(firing: int, silent: int, held: bool) -> None:
    known = items([(n, n < firing) for n in range(firing + silent)])
    assert bool(choose.divide(known, np.random.default_rng(0)).held) == held


def test_one_document_cannot_be_divided() -> None:
    assert not choose.divide(items([(0, n % 2 == 0) for n in range(40)]), np.random.default_rng(0)).held


# choosing

HELD = tuple(item(n, n, n < 4) for n in range(8))
NAN = math.nan
RIGHT = (1.0,) * 4 + (0.0,) * 4
WRONG = RIGHT[::-1]


def chosen(*values: tuple[float, ...]) -> Choice:
    ballot = Ballot(tuple(f"candidate {n}" for n in range(len(values))), HELD)
    asked: list[tuple[str, Sequence[Item]]] = []

    def judge(cases: Sequence[tuple[str, Sequence[Item]]]) -> list[Judged]:
        asked.extend(cases)
        return [Judged(found, "judge") for found in values]

    (choice,) = choose.choose([ballot], judge, 0.2)
    assert asked == [(text, HELD) for text in ballot.candidates]
    return choice


@pytest.mark.parametrize(
    ("values", "winner"),
    [
        ([WRONG, RIGHT, WRONG], 1),
        ([(0.5,) * 8, (0.6,) * 3 + (0.1,) * 5, WRONG], 1),
        ([RIGHT, RIGHT, RIGHT], 0),  # the first of equal ones
        ([(1.0,) * 8, (0.0,) * 8, WRONG], 0),  # those that rank nothing in front are equal, whatever they say
        ([(NAN,) * 8, WRONG, RIGHT], 2),  # one without any answer is out
        ([(NAN, *RIGHT[1:]), (0.0, *RIGHT[1:])], 0),  # and an item without an answer decides nothing
    ],
)
def test_the_highest_average_precision_wins(values: list[tuple[float, ...]], winner: int) -> None:
    assert chosen(*values) == Choice(winner, "judge")


@pytest.mark.parametrize(
    "values",
    [
        [(NAN,) * 8, (NAN,) * 8],
        [(NAN,) * 4 + WRONG[4:], RIGHT],  # no firing item that both have an answer for
    ],
)
def test_where_nothing_can_be_compared_the_first_is_taken_and_nobody_has_chosen(
    values: list[tuple[float, ...]],
) -> None:
    assert chosen(*values) == Choice(0, None)


def test_every_ballot_has_its_own_answers() -> None:
    ballots = [Ballot(("a", "b"), HELD), Ballot(("c", "d", "e"), HELD[:6]), Ballot(("f", "g"), HELD)]
    right = {"b", "e", "f"}
    found = choose.choose(
        ballots,
        lambda cases: [Judged((RIGHT if text in right else WRONG)[: len(held)], text) for text, held in cases],
        0.2,
    )
    assert found == [Choice(1, "b"), Choice(2, "e"), Choice(0, "f")]
