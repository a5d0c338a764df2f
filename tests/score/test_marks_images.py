"""Wrong marks on a picture have the shape of right ones and lie on silent patches, with no preference for any place."""

from collections import Counter
from itertools import groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray
from scipy.stats import chisquare

from autointerp.records import Excerpt, Grid
from autointerp.score.marks import misplaced, runs, shifted

Flags = NDArray[np.bool_]


def flags(rows: str) -> Flags:
    """x for a cell that is marked, or free; rows separated by spaces."""
    return np.array([[letter == "x" for letter in row] for row in rows.split()])


def places(shape: Flags, room: Flags) -> set[bytes]:
    """All right answers, by trying every offset, far out of the picture too."""
    cells = np.argwhere(shape)
    found = set()
    for down in range(-8, 9):
        for right in range(-8, 9):
            moved = cells + np.array([down, right])
            inside = ((moved >= 0) & (moved < room.shape)).all()
            if inside and room[tuple(moved.T)].all():
                there = np.zeros_like(room)
                there[tuple(moved.T)] = True
                found.add(there.tobytes())
    return found


def of_shape(rows: int, columns: int) -> SearchStrategy[Flags]:
    return st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns).map(
        lambda cells: np.array(cells).reshape(rows, columns)
    )


sides = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=200, deadline=None)
@given(sides.flatmap(lambda side: st.tuples(of_shape(*side), of_shape(*side))), st.integers(0, 2**32))
def test_a_moved_shape_is_one_of_the_places_that_it_fits_and_none_where_there_is_none(
    given: tuple[Flags, Flags], seed: int
) -> None:
    shape, room = given
    possible = places(shape, room) if shape.any() else set()
    moved = shifted(shape, room, np.random.default_rng(seed))
    assert (moved is None) == (not possible)
    if moved is not None:
        assert moved.tobytes() in possible
        assert moved.sum() == shape.sum() and not (moved & ~room).any()


def test_every_place_is_as_frequent_as_any_other() -> None:
    shape, room = flags("x... xx.. .... ...."), flags("xxxx xx.x xxxx .xxx")
    possible = sorted(places(shape, room))
    assert len(possible) > 4
    rng = np.random.default_rng(0)
    counts: Counter[bytes] = Counter()
    for _ in range(200 * len(possible)):
        moved = shifted(shape, room, rng)
        assert moved is not None
        counts[moved.tobytes()] += 1
    assert set(counts) == set(possible)
    assert chisquare([counts[one] for one in possible]).pvalue > 0.001


def test_a_single_place_is_found() -> None:
    room = flags("...... ...... ....x. ...xx. ...... ......")
    shape = flags(".x.... xx.... ...... ...... ...... ......")
    for seed in range(10):
        moved = shifted(shape, room, np.random.default_rng(seed))
        assert moved is not None and (moved == room).all()


def test_a_shape_fits_nowhere_in_a_smaller_or_a_full_picture_and_nothing_has_no_shape() -> None:
    rng = np.random.default_rng(0)
    assert shifted(flags("xxx"), flags("xx"), rng) is None
    assert shifted(flags("x."), flags(".."), rng) is None
    assert shifted(flags(".."), flags("xx"), rng) is None


# on excerpts


def excerpt(shape: Flags, before: str = "^", behind: str = "", start: int = 0) -> Excerpt:
    """A picture with a token a letter before and behind it, where X is a firing one and ^ has no text (special)."""
    grid = Grid(len(before), *shape.shape)
    pieces = ["" if letter == "^" else letter for letter in before] + [""] * shape.size + list(behind)
    fires = [letter == "X" for letter in before] + shape.ravel().tolist() + [letter == "X" for letter in behind]
    return Excerpt(0, start, 0, tuple(pieces), tuple(map(float, fires)), grid)


def on_patches(one: Excerpt, marks: list[bool]) -> Flags:
    assert one.grid is not None
    return np.array(marks[one.grid.positions]).reshape(one.grid.rows, one.grid.columns)


@settings(max_examples=200, deadline=None)
@given(
    sides.flatmap(lambda side: st.tuples(of_shape(*side), of_shape(*side))),
    st.text("^aX", max_size=3),
    st.text("aX", max_size=6),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_wrong_marks_are_as_many_on_silent_patches_and_on_silent_words(
    given: tuple[Flags, Flags], before: str, behind: str, itself: bool, seed: int
) -> None:
    """Each part of an excerpt in the pattern of its own kind: else the part without marks would give it away."""
    shape, other = given
    like = excerpt(shape, before, behind)
    shown = like if itself else excerpt(other, before, behind.replace("X", "a"))
    marks = misplaced(shown, like, np.random.default_rng(seed))
    if marks is None:
        return
    assert len(marks) == len(shown.pieces)
    assert not any(mark and fires for mark, fires in zip(marks, shown.fires, strict=True))
    moved = on_patches(shown, marks)
    assert not shape.any() or moved.tobytes() in places(shape, np.ones_like(moved))
    assert moved.sum() == shape.sum()
    words = [marks[at] for at in shown.in_text]
    lengths = [len(list(run)) for mark, run in groupby(words) if mark]
    assert sorted(lengths) == sorted(runs(like))
    assert not any(marks[at] and not shown.pieces[at] for at in shown.in_text)  # no special token
    assert not marks[0] or shown.start > 0 or shown.grid == Grid(0, *shape.shape)  # the first word never counts


def test_marks_on_a_picture_go_to_no_text_and_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    picture, text = excerpt(flags("x. ..")), Excerpt(1, 8, 1, (" a", " b", " c"), (0.0, 1.0, 0.0))
    assert misplaced(text, picture, rng) is None
    words_alone = misplaced(excerpt(flags(".. .."), behind="abc"), text, rng)
    assert words_alone is not None and not any(words_alone[:5]) and sum(words_alone) == 1


def test_a_picture_that_fires_all_over_has_no_wrong_marks() -> None:
    assert misplaced(excerpt(flags("xx xx")), excerpt(flags("xx xx")), np.random.default_rng(0)) is None
    other = misplaced(excerpt(flags(".. ..")), excerpt(flags("xx xx")), np.random.default_rng(0))
    assert other == [False, True, True, True, True]
