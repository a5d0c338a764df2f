"""Wrong marks lie on silent tokens, in the pattern of right ones, with no preference for any place."""

from collections import Counter
from itertools import groupby, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from autointerp.judge.marks import elsewhere, runs
from autointerp.records import Excerpt


def excerpt(pattern: str, start: int = 8) -> Excerpt:
    """An excerpt with one token a letter; the feature fires on x."""
    return Excerpt(0, start, 0, tuple(pattern), tuple(float(letter == "x") for letter in pattern))


def lengths_of(flags: list[bool]) -> list[int]:
    return [len(list(run)) for flag, run in groupby(flags) if flag]


def placements(given: Excerpt, lengths: list[int]) -> set[tuple[bool, ...]]:
    """All right answers, by brute force: every set of allowed tokens whose runs have these lengths."""
    n = len(given.pieces)
    allowed = [not fires and (at > 0 or given.start > 0) for at, fires in enumerate(given.fires)]
    found = set()

    def place(flags: list[bool], at: int, left: tuple[int, ...]) -> None:
        if not left:
            found.add(tuple(flags))
            return
        for start in range(at, n - left[0] + 1):
            stop = start + left[0]
            if all(allowed[start:stop]):
                place([*flags[:start], *[True] * left[0], *flags[stop:]], stop + 1, left[1:])

    for order in set(permutations(lengths)):
        place([False] * n, 0, order)
    return found


patterns = st.text("x.", min_size=1, max_size=12)
patterns_of_marks = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def test_runs_are_those_of_the_firing_tokens() -> None:
    assert runs(excerpt("xx..x.xxx")) == [2, 1, 3]
    assert runs(excerpt("...")) == []


@settings(max_examples=300, deadline=None)
@given(patterns, st.none() | patterns_of_marks, st.integers(0, 1), st.integers(0, 2**32))
def test_wrong_marks_have_the_pattern_of_right_ones_and_lie_where_it_is_silent(
    pattern: str, other: list[int] | None, start: int, seed: int
) -> None:
    shown = excerpt(pattern, start)
    lengths = other or runs(shown) or [1]
    possible = placements(shown, lengths)
    flags = elsewhere(shown, lengths, np.random.default_rng(seed))
    assert (flags is None) == (not possible)
    if flags is not None:
        assert tuple(flags) in possible
        assert sorted(lengths_of(flags)) == sorted(lengths)
        assert not any(flag and fires for flag, fires in zip(flags, shown.fires, strict=True))


def test_a_single_place_is_found_however_long_the_excerpt() -> None:
    # One gap of three tokens among 96: marks thrown at random would fall into it once in a hundred times or less.
    shown = excerpt("x" * 60 + "..." + "x" * 33)
    assert {tuple(elsewhere(shown, [3], np.random.default_rng(seed)) or ()) for seed in range(20)} == {
        tuple(letter == "." for letter in shown.pieces)
    }


def test_every_placement_is_as_frequent_as_any_other() -> None:
    # Runs of 1 and 2 in either order, on silent stretches of 3, 1 and 3 tokens.
    shown = excerpt("...x.x...")
    possible = sorted(placements(shown, [1, 2]))
    rng = np.random.default_rng(5)
    counts = Counter(tuple(elsewhere(shown, [1, 2], rng) or ()) for _ in range(200 * len(possible)))
    assert set(counts) == set(possible)
    assert chisquare([counts[one] for one in possible]).pvalue > 0.001


def test_equal_runs_in_another_order_are_not_counted_twice() -> None:
    # [1, 1, 3]: three orders, not six; each placement counts once.
    shown = excerpt("..........x.")
    possible = sorted(placements(shown, [1, 1, 3]))
    rng = np.random.default_rng(6)
    counts = Counter(tuple(elsewhere(shown, [1, 1, 3], rng) or ()) for _ in range(100 * len(possible)))
    assert set(counts) == set(possible)
    assert chisquare([counts[one] for one in possible]).pvalue > 0.001


def test_the_first_position_of_a_context_is_never_marked_and_that_of_a_later_window_is() -> None:
    rng = np.random.default_rng(0)
    first = [elsewhere(excerpt("..x", start=0), [1], rng) for _ in range(50)]
    assert first == [[False, True, False]] * 50
    assert elsewhere(excerpt(".x", start=0), [1], rng) is None
    later = {tuple(elsewhere(excerpt("..x", start=8), [1], rng) or ()) for _ in range(50)}
    assert later == {(True, False, False), (False, True, False)}


def test_marks_that_are_longer_than_the_text_find_no_room() -> None:
    assert elsewhere(excerpt("...."), [5], np.random.default_rng(0)) is None
    assert elsewhere(excerpt("...."), [2, 2], np.random.default_rng(0)) is None  # they would touch
    assert elsewhere(excerpt("....."), [2, 2], np.random.default_rng(0)) == [True, True, False, True, True]
