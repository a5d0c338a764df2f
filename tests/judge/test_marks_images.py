"""Wrong marks on a picture are right ones of another, and every place, number and shape is as often right as wrong."""

from collections import Counter
from itertools import groupby

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from autointerp.judge import fuzzing, specificity
from autointerp.judge.marks import misplaced, on_grid, partners, runs
from autointerp.records import Excerpt, Grid, Item

Flags = NDArray[np.bool_]


def flags(rows: str) -> Flags:
    """x for a marked patch; rows separated by spaces."""
    return np.array([[letter == "x" for letter in row] for row in rows.split()])


def of_shape(rows: int, columns: int) -> SearchStrategy[Flags]:
    return st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns).map(
        lambda cells: np.array(cells).reshape(rows, columns)
    )


sides = st.tuples(st.integers(1, 5), st.integers(1, 5))


def excerpt(shape: Flags, before: str = "^", behind: str = "", context: int = 0) -> Excerpt:
    """A picture with a token a letter before and behind it, where X is a firing one and ^ has no text (special)."""
    grid = Grid(len(before), *shape.shape)
    pieces = ["" if letter == "^" else letter for letter in before] + [""] * shape.size + list(behind)
    fires = [letter == "X" for letter in before] + shape.ravel().tolist() + [letter == "X" for letter in behind]
    return Excerpt(context, 0, context, tuple(pieces), tuple(map(float, fires)), grid)


def item(shape: Flags, context: int) -> Item:
    return Item(excerpt(shape, context=context), "bin0" if shape.any() else "random", bool(shape.any()), 1.0)


def marks_of(marks: list[bool], like: Excerpt) -> Flags:
    assert like.grid is not None
    return np.array(marks[like.grid.positions]).reshape(like.grid.rows, like.grid.columns)


@example((flags("."), flags(".")), "Xa", "X", 0)
@settings(max_examples=200, deadline=None)
@given(
    sides.flatmap(lambda side: st.tuples(of_shape(*side), of_shape(*side))),
    st.text("^aX", max_size=3),
    st.text("aX", max_size=6),
    st.integers(0, 2**32),
)
def test_wrong_marks_are_those_of_the_other_picture_and_as_many_silent_words(
    shapes: tuple[Flags, Flags], before: str, behind: str, seed: int
) -> None:
    """Each part of an excerpt in the pattern of its own kind: else the part without marks would give it away."""
    like, shown = excerpt(shapes[0], before, behind), excerpt(shapes[1], before, behind.replace("X", "a"))
    marks = misplaced(shown, like, np.random.default_rng(seed))
    if marks is None:
        overlap = (shapes[0] & shapes[1]).any()
        assert overlap or runs(like)  # with words to mark, there may be no room among them
        return
    assert len(marks) == len(shown.pieces)
    assert not any(mark and fires for mark, fires in zip(marks, shown.fires, strict=True))
    assert (marks_of(marks, shown) == shapes[0]).all()
    words = [mark and at in shown.in_text for at, mark in enumerate(marks)]
    assert sorted(len(list(run)) for mark, run in groupby(words) if mark) == sorted(runs(like))
    assert not any(marks[at] and not shown.pieces[at] for at in shown.in_text)  # no special token
    assert not marks[0] or shown.grid == Grid(0, *shapes[0].shape)  # the first word never counts


def test_marks_on_a_picture_go_to_no_text_and_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    picture, text = excerpt(flags("x. ..")), Excerpt(1, 8, 1, (" a", " b", " c"), (0.0, 1.0, 0.0))
    assert misplaced(text, picture, rng) is None
    assert misplaced(excerpt(flags("...")), picture, rng) is None  # nor to a picture with other patches
    words_alone = misplaced(excerpt(flags(".. .."), behind="abc"), text, rng)
    assert words_alone is not None and not any(words_alone[:5]) and sum(words_alone) == 1


shapes_of_one_size = st.lists(of_shape(3, 3), max_size=9)


@settings(max_examples=150, deadline=None)
@given(shapes_of_one_size, st.integers(0, 2**32))
def test_pictures_exchange_their_marks_in_pairs_of_which_neither_fires_where_the_other_does(
    shapes: list[Flags], seed: int
) -> None:
    pictures = [excerpt(shape, context=at) for at, shape in enumerate(shapes)]
    texts = [Excerpt(100, 8, 100, (" a",), (1.0,)), Excerpt(101, 8, 101, (" b",), (1.0,))]
    given = [texts[0], *pictures, texts[1]]
    found = partners(given, np.random.default_rng(seed))
    assert [found[0], found[-1]] == texts
    alone = []
    for one, other in zip(pictures, found[1:-1], strict=True):
        if other is None:
            alone.append(one)
        else:
            assert other is not one and found[given.index(other)] is one
            a, b = on_grid(one), on_grid(other)
            assert a is not None and b is not None and not (a & b).any()
    # Whoever is left over could not have been paired with another who is.
    for one in alone:
        for other in alone:
            a, b = on_grid(one), on_grid(other)
            assert a is not None and b is not None
            assert one is other or (a & b).any()


def test_the_hardest_to_pair_are_paired_first() -> None:
    # The wide one goes with the last alone; the three others go with each other, too.
    shapes = ("xxx ...", "x.. ...", ".x. ...", "... x..")
    for seed in range(20):
        found = partners(
            [excerpt(flags(shape), context=at) for at, shape in enumerate(shapes)], np.random.default_rng(seed)
        )
        assert [None if other is None else other.context for other in found] == [3, 2, 1, 0]


def test_texts_alone_cost_no_draw() -> None:
    """The draws of runs without pictures are those that they have always been: answers to them are kept."""
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    partners([Excerpt(0, 8, 0, (" a",), (1.0,))], rng)
    assert rng.integers(2**60) == untouched.integers(2**60)


# what judges see


def test_in_fuzzing_all_marks_are_seen_as_right_ones_and_as_wrong_ones() -> None:
    shapes = [flags(shape) for shape in ("x.. ...", "... ..x", ".xx ...", "... xx.", "..x ...", "x.. x..")]
    items = [item(shape, at) for at, shape in enumerate(shapes)] + [item(flags("... ..."), 9)]
    seen: dict[bool, Counter[bytes]] = {True: Counter(), False: Counter()}
    n = 4000
    rng = np.random.default_rng(0)
    for _ in range(n):
        for one in fuzzing.show(items, rng):
            assert one.marks is not None
            seen[one.fires][marks_of(list(one.marks), one.item.excerpt).tobytes()] += 1
            assert (list(one.marks) == list(one.item.excerpt.fires)) == one.fires
    assert set(seen[True]) == set(seen[False]) == {shape.tobytes() for shape in shapes}
    for marks, count in seen[True].items():
        # Pairs are fair coins: the standard error of the difference is the root of all that were seen.
        assert abs(count - seen[False][marks]) < 5 * np.sqrt(count + seen[False][marks])


def test_a_feature_that_fires_at_one_place_alone_cannot_be_fuzzed() -> None:
    items = [item(flags("x.. ..."), at) for at in range(8)]
    assert fuzzing.show(items, np.random.default_rng(0)) == []


def test_silent_pictures_of_specificity_have_the_very_marks_of_firing_ones() -> None:
    shapes = [flags(shape) for shape in ("x.. ...", "xxx xxx", ".x. .x.")]
    items = [item(shape, at) for at, shape in enumerate(shapes * 3)] + [
        item(flags("... ..."), 20 + n) for n in range(6)
    ]
    seen: Counter[bytes] = Counter()
    for seed in range(200):
        for one in specificity.show(items, np.random.default_rng(seed)):
            assert one.marks is not None and one.fires == one.item.fires
            marks = marks_of(list(one.marks), one.item.excerpt)
            assert not one.fires or (marks == on_grid(one.item.excerpt)).all()
            seen[marks.tobytes()] += not one.fires
    assert set(seen) == {shape.tobytes() for shape in shapes}
    assert min(seen.values()) > 0.8 * seen.total() / 3
