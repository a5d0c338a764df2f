"""What a model wrote is an answer where it is JSON of the asked-for form, and says why where it is not."""

from typing import Any

import pytest

from autointerp.llm.answers import parse, read
from autointerp.llm.protocol import Reply, Request

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"values": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}},
    "required": ["values"],
}


@pytest.mark.parametrize(
    "text",
    [
        '{"values": [1, 2]}',
        '```json\n{"values": [1, 2]}\n```',
        'Here it is:\n\n```json\n{\n  "values": [\n    1,\n    2\n  ]\n}\n```\n\nI hope that it helps.',
        '```\n{"values": [1, 2]}\n```\n\n```\n{"values": [3, 4]}\n```',
    ],
)
def test_json_is_read_bare_or_from_the_first_fence(text: str) -> None:
    assert parse(text, SCHEMA) == ({"values": [1, 2]}, "")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_number_for_is_no_number(constant: str) -> None:
    answer, why = parse(f'{{"values": [{constant}, 1]}}', SCHEMA)
    assert answer is None and f"{constant} is not a JSON number" in why


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3]])
def test_a_list_of_another_length_can_still_be_read(values: list[int]) -> None:
    assert parse(f'{{"values": {values}}}', SCHEMA) == ({"values": values}, "")


def test_an_answer_of_another_form_says_where_and_at_no_length() -> None:
    answer, why = parse(f'{{"values": ["{"x" * 5000}"]}}', SCHEMA)
    assert answer is None and "at $.values[0]:" in why and len(why) < 300
    assert parse("[" * 100_000, SCHEMA)[1].startswith("the answer is not JSON")


def test_a_reply_is_read_by_what_was_asked_for() -> None:
    def reading(text: str, schema: dict[str, Any] | None = None, failure: str = "") -> Reply:
        return read(Request("", "q", schema), Reply(text, "m", None, failure))

    assert reading("words") == Reply("words", "m")
    assert reading("words", SCHEMA).failure.startswith("the answer is not JSON")
    assert reading('{"values": []}', SCHEMA, "cut short") == Reply('{"values": []}', "m", None, "cut short")
    assert reading(" \n").failure == reading(" \n", SCHEMA).failure == "the model answered with nothing"
