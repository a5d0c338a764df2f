"""Fuzzing shows firing excerpts with right or wrong marks, and by a coin which."""

import numpy as np

from autointerp.judge import fuzzing
from autointerp.judge.question import Said, Shown
from autointerp.prompt import marked
from tests.score.items import item

BOATS = item("the boat and the sail at sea", 0, 3, 0, 0, 2, 0, 0)


def drawn(n: int = 400) -> list[Shown]:
    evidence, rng = [BOATS, item("no ship here at all")], np.random.default_rng(0)
    return [shown for _ in range(n) for shown in fuzzing.show(evidence, rng)]


def test_right_marks_are_the_firings_and_wrong_ones_are_as_many_elsewhere() -> None:
    for shown in drawn(100):
        text = shown.data["text"]
        if shown.fires:
            assert text == " the[[ boat]] and the[[ sail]] at sea"
        else:
            assert text.count("[[") == text.count("]]") == 2
            assert "[[ boat" not in text and "[[ sail" not in text
        assert text.replace("[[", "").replace("]]", "") == BOATS.excerpt.text
        assert shown.data.keys() == {"text"}


def test_a_coin_decides_whether_marks_are_right() -> None:
    # 400 throws: the standard error of a share is 0.025.
    assert abs(np.mean([shown.fires for shown in drawn(400)]) - 0.5) < 0.1


def test_the_coin_is_thrown_for_each_item_and_not_once() -> None:
    evidence = [*[BOATS] * 12]
    assert {shown.fires for shown in fuzzing.show(evidence, np.random.default_rng(0))} == {False, True}


def test_silent_excerpts_take_no_part() -> None:
    assert {shown.item for shown in drawn(20)} == {BOATS}


def test_an_excerpt_without_room_for_wrong_marks_is_not_shown_with_right_ones_either() -> None:
    everywhere = item("one two three", 1, 1, 0)  # a run of two does not fit on one silent token
    shown = [fuzzing.show([everywhere], np.random.default_rng(seed)) for seed in range(20)]
    assert shown == [[]] * 20


def test_the_first_word_of_a_context_is_marked_on_neither_side() -> None:
    # Silent tokens are 0, which never counts, and 2: wrong marks are always on 2.
    first = item("boat sail boat", 0, 3, 0, start=0)
    shown = [one for seed in range(40) for one in fuzzing.show([first], np.random.default_rng(seed))]
    assert {one.data["text"] for one in shown} == {" boat[[ sail]] boat", " boat sail[[ boat]]"}


def test_an_answer_is_read_as_one_or_zero() -> None:
    shown = Shown(BOATS, True, {"text": marked(BOATS.excerpt.pieces, BOATS.excerpt.fires)})
    assert fuzzing.read({"id": 0, "right": True}, shown) == Said(1.0)
    assert fuzzing.read({"id": 0, "right": False}, shown) == Said(0.0)
