"""Prompts: answers of one token, one-sentence refusals, and files that agree with what is said of them."""

import hashlib
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from autointerp import assets
from autointerp.causal.attribute import Choice
from autointerp.causal.prompts import Prompt, choice, read, token_of
from autointerp.errors import UserError
from autointerp.subjects.text import TextSubject

SHIPPED = assets.datasets() / "prompts"


def test_a_prompt_is_read_as_the_subject_reads_texts(tiny_subject: TextSubject) -> None:
    found = choice(tiny_subject, Prompt("f", "the cat", " and", (" the", " a", " co")))
    answers = [tiny_subject.encode(word)[0][0] for word in (" and", " the", " a", " co")]
    assert found == Choice((0, *tiny_subject.encode("the cat")[0]), answers[0], tuple(answers[1:]))


def test_answers_of_several_tokens_and_answers_given_twice_are_refused(tiny_subject: TextSubject) -> None:
    with pytest.raises(UserError, match="what follows 'the cat', but ' zebra' is not one token there"):
        choice(tiny_subject, Prompt("f", "the cat", " and", (" the", " zebra")))
    with pytest.raises(UserError, match="but ' and' is there twice"):
        choice(tiny_subject, Prompt("f", "the cat", " and", (" the", " and")))
    # A piece that the tokenizer takes together with the end of the text is no token behind it.
    assert len(tiny_subject.encode("re")[0]) == len(tiny_subject.encode("e")[0]) == 1
    assert token_of(tiny_subject, "r", "e") is None


def test_lines_that_are_no_prompts_are_refused_by_number(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    good = {"family": "f", "text": "a", "target": " b", "baselines": [" c"], "via": "d", "margin": 3}
    path.write_text(json.dumps(good) + "\n", "utf-8")
    assert read(path) == [Prompt("f", "a", " b", (" c",), "d")]
    for bad in ("{", "[]", '{"text": "a"}'):
        path.write_text(json.dumps(good) + f"\n{bad}\n", "utf-8")
        with pytest.raises(UserError, match="line 2 is no JSON object with family, text, target, baselines"):
            read(path)


def test_shipped_prompts_are_as_their_record_says() -> None:
    record = tomllib.loads((SHIPPED / "dataset.toml").read_text("utf-8"))
    for name, facts in record["files"].items():
        path = SHIPPED / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
        prompts = read(path)
        assert len(prompts) == facts["prompts"] == len({prompt.text for prompt in prompts})
        for prompt in prompts:
            assert len({prompt.target, *prompt.baselines}) == len(prompt.baselines) + 1 >= 4
            assert all(word.startswith(" ") for word in (prompt.target, *prompt.baselines))
    kept = read(SHIPPED / "prompts.jsonl")
    assert Counter(prompt.family for prompt in kept) == {
        name: counts["kept"] for name, counts in record["families"].items() if counts["kept"]
    }
    assert len(kept) >= 50
    assert (
        sum(counts["candidates"] for counts in record["families"].values())
        == record["files"]["prompts.jsonl"]["candidates"]
    )
    assert min(json.loads(line)["margin"] for line in (SHIPPED / "prompts.jsonl").read_text("utf-8").splitlines()) >= 1


def test_shipped_openings_are_as_their_record_says() -> None:
    folder = assets.datasets() / "openings"
    (facts,) = tomllib.loads((folder / "dataset.toml").read_text("utf-8"))["files"].values()
    path = folder / "openings.txt"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    lines = path.read_text("utf-8").splitlines()
    assert len(set(lines)) == len(lines) == facts["openings"] and all(len(line.split()) >= 3 for line in lines)


def test_facts_in_two_steps_do_not_name_what_they_pass_by_and_are_kept_right_or_wrong() -> None:
    facts = [json.loads(line) for line in (SHIPPED / "two_hop.jsonl").read_text("utf-8").splitlines()]
    assert 20 <= len(facts) <= 40
    for fact in facts:
        assert fact["via"] and fact["via"] not in fact["text"] and fact["target"].strip() not in fact["text"]
        assert fact["correct"] == (fact["margin"] > 0)
    assert {fact["correct"] for fact in facts} == {True, False}
