"""Simulated activations are read number by number, from log-probabilities where they say more."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autointerp.judge import simulation
from autointerp.judge.question import Said, Shown
from autointerp.llm.protocol import Reply, TokenLogprob
from autointerp.records import Grid
from tests.score.items import item

EVEN = math.log(0.5)


def tokens(*parts: str | TokenLogprob) -> tuple[TokenLogprob, ...]:
    return tuple(part if isinstance(part, TokenLogprob) else TokenLogprob(part, 0.0) for part in parts)


def expected(*parts: str | TokenLogprob) -> list[list[float]]:
    written = tokens(*parts)
    return list(simulation.expectations("".join(one.token for one in written), written))


SURE = TokenLogprob("7", 0.0, (("7", 0.0),))
TORN = TokenLogprob("4", EVEN, (("4", EVEN), ("8", EVEN)))  # mean 6


def test_a_number_becomes_the_mean_of_what_could_have_stood_there() -> None:
    # 7 for sure; (4 + 8) / 2 = 6
    assert expected('{"activations": [', SURE, ",", TORN, "]}") == [[7.0, pytest.approx(6.0)]]


def test_probabilities_are_those_of_the_integers_alone() -> None:
    # 0.3 on 2 and 0.1 on 6; what is left, 0.6, is on no integer: (0.3 * 2 + 0.1 * 6) / 0.4 = 3
    torn = TokenLogprob("2", math.log(0.3), (("]", math.log(0.4)), ("2", math.log(0.3)), ("6", math.log(0.1))))
    other = TokenLogprob("2", math.log(0.3), (('"', math.log(0.2)), ("2", math.log(0.3)), ("6", math.log(0.1))))
    assert expected('"activations":[', torn, ", ", other, "]") == [[pytest.approx(3.0), pytest.approx(3.0)]]


def test_the_written_token_counts_where_the_alternatives_leave_it_out() -> None:
    # 0.25 on the written 1 and 0.75 on 5: (0.25 + 3.75) / 1 = 4
    left_out = TokenLogprob("1", math.log(0.25), (("5", math.log(0.75)),))
    assert expected('"activations": [', left_out, "]") == [[pytest.approx(4.0)]]


def test_the_written_token_is_not_counted_twice() -> None:
    # Were it, 4 would weigh 2/3: 5.33 for 6.
    assert expected('"activations": [', TORN, "]") == [[pytest.approx(6.0)]]


def test_a_token_may_hold_the_space_before_its_number() -> None:
    # " 3" and "3" are one number: (0.25 + 0.25) * 3 + 0.5 * 9 = 6
    spaced = TokenLogprob(" 3", math.log(0.25), ((" 9", EVEN), (" 3", math.log(0.25)), ("3", math.log(0.25))))
    assert expected('"activations": [', "0,", spaced, ",", TORN, "]") == [[0.0, pytest.approx(6.0), pytest.approx(6.0)]]


def test_ten_counts_as_ten_whether_written_or_an_alternative() -> None:
    # 0.5 * 10 + 0.5 * 0 = 5; eleven, minus one and a half are no values of the scale
    ten = TokenLogprob("10", EVEN, (("10", EVEN), ("0", EVEN)))
    maybe = TokenLogprob("0", EVEN, (("0", EVEN), ("10", EVEN), ("11", EVEN), ("-1", EVEN), ("0.5", EVEN)))
    assert expected('"activations": [', ten, ",", maybe, "]") == [[pytest.approx(5.0), pytest.approx(5.0)]]


def test_a_number_of_several_tokens_stays_as_it_is() -> None:
    # "1" then "0": what could have stood for the "1" says nothing of the 10.
    one = TokenLogprob("1", EVEN, (("1", EVEN), ("5", EVEN)))
    assert expected('"activations": [', one, "0", ",", TORN, "]") == [[10.0, pytest.approx(6.0)]]


def test_a_number_within_a_longer_token_stays_as_it_is() -> None:
    joined = TokenLogprob("3,", EVEN, (("3,", EVEN), ("8,", EVEN)))
    assert expected('"activations": [', joined, " ", TORN, "]") == [[3.0, pytest.approx(6.0)]]


def test_each_list_has_its_own_numbers_and_ids_are_not_among_them() -> None:
    parts = ['{"answers": [{"id": ', SURE, ', "activations": [', TORN, ", ", SURE, ']}, {"id": 1, "activations": [']
    assert expected(*parts, "0", ']}, {"id": 2, "activations": []}]}') == [[pytest.approx(6.0), 7.0], [0.0], []]


def answered(values: Sequence[Sequence[int]], logprobs: tuple[TokenLogprob, ...] | None, text: str) -> Reply:
    answers = [{"id": at, "activations": list(row)} for at, row in enumerate(values)]
    return Reply(text, "m", {"answers": answers}, logprobs=logprobs)


WRITTEN = tokens('{"answers": [{"id": 0, "activations": [', TORN, ", ", SURE, "]}]}")
TEXT = "".join(one.token for one in WRITTEN)


def test_answers_take_the_expected_values() -> None:
    (answer,) = simulation.answers(answered([[4, 7]], WRITTEN, TEXT))
    assert answer == {"id": 0, "activations": [pytest.approx(6.0), 7.0]}


@pytest.mark.parametrize(
    ("logprobs", "text"),
    [
        (None, TEXT),
        (WRITTEN, f"{TEXT}\n"),  # tokens of another text: there is no telling which number is whose
        (WRITTEN[:-1], TEXT),
        (tokens('{"answers": [{"activations": [', TORN, ", ", SURE, ']}, {"activations": [1]}]}'), None),
        (tokens('{"answers": [{"activations": [', TORN, "]}]}"), None),
    ],
    ids=["no log-probabilities", "another text", "cut tokens", "another number of lists", "another number of values"],
)
def test_integers_stay_where_tokens_cannot_be_told_apart(
    logprobs: tuple[TokenLogprob, ...] | None, text: str | None
) -> None:
    text = "".join(one.token for one in logprobs or ()) if text is None else text
    (answer,) = simulation.answers(answered([[4, 7]], logprobs, text))
    assert answer == {"id": 0, "activations": [4, 7]}


# what is shown and what is said of it

SEA = item("the boat at sea", 0, 3, 0, 1)


def test_an_excerpt_is_shown_as_its_tokens() -> None:
    (shown,) = simulation.show([SEA], np.random.default_rng(0))
    assert shown.data == {"tokens": [" the", " boat", " at", " sea"]}
    assert shown.fires


def test_firing_and_silent_excerpts_are_shown_and_no_other_thing_about_them() -> None:
    evidence = [*[SEA] * 10, *[item("a cow in a barn")] * 10]
    shown = simulation.show(evidence, np.random.default_rng(0))
    assert {one.fires for one in shown} == {True, False}
    assert all(one.fires == one.item.fires and one.data.keys() == {"tokens"} for one in shown)


def test_a_picture_has_no_tokens_to_show() -> None:
    picture = replace(SEA, excerpt=replace(SEA.excerpt, grid=Grid(0, 2, 2)))
    assert simulation.show([picture] * 5, np.random.default_rng(0)) == []
    assert {one.item for one in simulation.show([SEA, picture] * 5, np.random.default_rng(0))} == {SEA}


def test_as_many_values_are_asked_for_as_tokens_where_all_have_equally_many() -> None:
    schema: dict[str, Any] = {"properties": {"id": {}, "activations": {"type": "array"}}, "required": ["id"]}
    four, five = (Shown(item(text), False, {}) for text in ("the boat at sea", "a cow in a barn"))
    asked = simulation.entry(schema, [four, four])
    assert asked["properties"]["activations"] == {"type": "array", "minItems": 4, "maxItems": 4}
    assert asked["required"] == ["id"] and asked["properties"]["id"] == {}
    assert simulation.entry(schema, [four, five]) == schema
    assert "minItems" not in schema["properties"]["activations"]  # of another group


def test_the_value_is_the_largest_and_every_token_has_its_prediction() -> None:
    shown = Shown(SEA, True, {})
    assert simulation.read({"id": 0, "activations": [0, 8.5, 1, 2]}, shown) == Said(8.5, "", (0.0, 8.5, 1.0, 2.0))


@pytest.mark.parametrize("values", [[], [0, 1, 2], [0, 1, 2, 3, 4]])
def test_a_wrong_number_of_values_is_no_answer(values: list[int]) -> None:
    said = simulation.read({"id": 0, "activations": values}, Shown(SEA, True, {}))
    assert math.isnan(said.value)
    assert said.reason == "not as many activations as tokens"
    assert said.predicted == ()
