"""The perfect reader: what follows from a rule alone, whatever the feature does."""

import numpy as np
import pytest

from autointerp.judge import detection, fuzzing, simulation, specificity
from autointerp.judge.question import Shown, excerpt
from autointerp.records import Excerpt, Item
from autointerp.score.cases import Case
from autointerp.score.truth import ANSWERS, answered
from autointerp.subjects.rules import Rule

COLOURS = Rule("colours", "lexicon", "Words for colours.", words=frozenset({"red", "green"}))


def item(text: str, activations: tuple[float, ...]) -> Item:
    pieces = tuple(f" {word}" for word in text.split())
    return Item(Excerpt(1, 0, 1, pieces, activations), "bin0" if any(activations) else "random", any(activations), 1.0)


def said(question: str, shown: Shown) -> float:
    return answered(Case("exact", 0, "rule", "none", COLOURS.says), question, "judge", "r", shown, COLOURS).value


@pytest.mark.parametrize(
    ("text", "fires", "value"),
    [
        ("a red boat", True, 1.0),
        ("a red boat", False, 1.0),
        ("a blue boat", True, 0.0),
        ("the reddest boat", False, 0.0),
    ],
)
def test_an_excerpt_fits_where_the_rule_holds_whether_the_feature_fires_or_not(
    text: str, fires: bool, value: float
) -> None:
    assert said("detection", excerpt(item(text, (float(fires), 0.0, 0.0)), fires)) == value


@pytest.mark.parametrize(
    ("marks", "right", "rating"),
    [
        ((False, True, False, False, True), 1.0, 3.0),  # both colours
        ((False, True, False, False, False), 1.0, 3.0),  # one of them: a rule says where it holds, not how much
        ((False, True, True, False, False), 0.0, 2.0),  # a colour and a boat
        ((False, False, True, False, False), 0.0, 1.0),  # a boat near colours
    ],
)
def test_marks_are_right_where_all_of_them_are_meant(marks: tuple[bool, ...], right: float, rating: float) -> None:
    shown = excerpt(item("a red boat and green", (0, 1.0, 0, 0, 0)), True, marks)
    assert (said("fuzzing", shown), said("specificity", shown)) == (right, rating)


def test_what_has_nothing_to_do_with_the_rule_is_irrelevant() -> None:
    assert said("specificity", excerpt(item("a boat", (0.0, 1.0)), True, (False, True))) == 0


def test_a_simulation_puts_the_rule_on_the_scale_token_by_token() -> None:
    shown = excerpt(item("a red boat", (0.0, 0.7, 0.0)), True)
    found = answered(Case("exact", 0, "rule", "none", ""), "simulation", "judge", "r", shown, COLOURS)
    assert found.predicted == (0.0, 10.0, 0.0)
    assert found.activations == (0.0, 0.7, 0.0)


def test_every_question_has_a_right_answer_on_what_it_shows() -> None:
    items = [item(f"a {word} boat is seen here", (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)) for word in ("red", "green") * 4]
    items += [item("a long boat was seen there", (0.0,) * 6) for _ in range(8)]
    rng = np.random.default_rng(0)
    for name, question in (
        ("detection", detection),
        ("fuzzing", fuzzing),
        ("simulation", simulation),
        ("specificity", specificity),
    ):
        shown = question.show(items, rng)
        right = [said(name, one) for one in shown]
        truth = [one.fires for one in shown]
        assert len(set(truth)) == 2 or name == "specificity"
        best = {"simulation": 10.0, "specificity": 3.0}.get(name, 1.0)
        assert right == [best * fires for fires in truth]
    assert set(ANSWERS) == {"detection", "fuzzing", "simulation", "specificity"}
