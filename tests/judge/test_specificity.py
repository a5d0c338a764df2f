"""Specificity mixes marked silent excerpts among the firing ones, and nothing in their marks tells which is which."""

from collections import Counter

import numpy as np
import pytest

from autointerp import rubric
from autointerp.judge import specificity
from autointerp.judge.question import Said, Shown
from autointerp.prompt import MARK
from tests.score.items import item

FIRING = [item(f"boat {n} and a sail there", 3, 0, 0, 0, 2, 0, context=n) for n in range(12)]
SILENT = [item(f"cow {n} and a horse there", context=100 + n) for n in range(12)]


def show(seed: int = 0) -> list[Shown]:
    return specificity.show([*FIRING, *SILENT], np.random.default_rng(seed))


def runs(shown: Shown) -> Counter[int]:
    """How many runs of each number of words are marked."""
    return Counter(len(part.split(MARK[1])[0].split()) for part in shown.data["text"].split(MARK[0])[1:])


def test_firing_excerpts_are_marked_where_they_fire() -> None:
    for shown in show():
        if shown.item.fires:
            n = shown.item.excerpt.context
            assert shown.data == {"text": f"[[ boat]] {n} and a[[ sail]] there"}


def test_silent_excerpts_carry_marks_like_firing_ones() -> None:
    silent = [shown for seed in range(20) for shown in show(seed) if not shown.item.fires]
    assert {tuple(runs(shown).items()) for shown in silent} == {((1, 2),)}
    assert len({shown.data["text"] for shown in silent}) > len(silent) / 4  # and not always in one place


def test_the_truth_is_that_of_the_excerpt() -> None:
    assert all(shown.fires == shown.item.fires for shown in show())
    assert len({shown.item.excerpt.id for shown in show()}) == len(show())


def test_a_fourth_of_the_items_are_silent() -> None:
    # 12 firing and ceil(12 / 3) = 4 silent ones, of which coins leave some out; over many draws 4 in 16.
    counts = Counter(shown.fires for seed in range(200) for shown in show(seed))
    assert counts[False] / counts.total() == pytest.approx(1 / 4, abs=0.03)
    assert max(sum(not shown.fires for shown in show(seed)) for seed in range(50)) <= 4


def test_which_silent_excerpts_are_taken_is_drawn() -> None:
    assert {shown.item.excerpt.id for seed in range(60) for shown in show(seed) if not shown.fires} == {
        one.excerpt.id for one in SILENT
    }


def test_a_silent_excerpt_without_room_for_the_marks_is_left_out() -> None:
    short = item("cow", context=7)
    shown = [one for seed in range(30) for one in specificity.show([*FIRING, short], np.random.default_rng(seed))]
    assert shown and all(one.fires for one in shown)


def test_a_rating_is_read_as_its_number() -> None:
    assert [specificity.read({"id": 0, "rating": rating}, show()[0]) for rating in range(4)] == [
        Said(0.0),
        Said(1.0),
        Said(2.0),
        Said(3.0),
    ]


def test_the_rubric_is_the_published_one_word_for_word() -> None:
    text = rubric.load("specificity").text
    for sentence in (
        "0: The feature is completely irrelevant throughout the context (relative to the base distribution of the "
        "internet).",
        "1: The feature is related to the context, but not near the highlighted text or only vaguely related.",
        "2: The feature is only loosely related to the highlighted text or related to the context near the "
        "highlighted text.",
        "3: The feature cleanly identifies the activating text.",
    ):
        assert sentence in text
