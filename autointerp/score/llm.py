"""A language model as a judge of detection: which excerpts does the explanation fit?"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autointerp.config import LLMScorer
from autointerp.explain.llm import neutral
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.records import UNSCORED, Item
from autointerp.rubric import Rubric


def choose(items: Sequence[Item], limit: int | None, rng: np.random.Generator) -> list[Item]:
    """The items to judge, in random order. How many of them fire is left to chance: a fixed count would be a cue."""
    return [items[i] for i in rng.permutation(len(items))[:limit]]


def request(explanation: str, items: Sequence[Item], role: LLMScorer, rubric: Rubric) -> Request:
    """One question about some items. Ids are places in a random order; excerpts are JSON strings."""
    lines = [json.dumps({"description": neutral(explanation)}, ensure_ascii=False)]
    lines += [
        json.dumps({"id": at, "text": neutral(item.excerpt.text)}, ensure_ascii=False) for at, item in enumerate(items)
    ]
    return Request(rubric.text, "\n".join(lines), at_most(rubric.schema, len(items)), role.max_tokens)


def at_most(schema: dict[str, Any], n: int) -> dict[str, Any]:
    """The rubric's schema with n answers at the most: a small model would otherwise go on until it is cut."""
    answers = {**schema["properties"]["answers"], "maxItems": n}
    return {**schema, "properties": {**schema["properties"], "answers": answers}}


def read(reply: Reply, n: int) -> list[tuple[float, str]]:
    """(value, reason) per item: 1 or 0, or nan with why."""
    if reply.failure:
        return [(UNSCORED, reply.failure)] * n
    given: dict[int, set[bool]] = {}
    for answer in reply.answer["answers"]:
        given.setdefault(int(answer["id"]), set()).add(bool(answer["fits"]))
    found = []
    for at in range(n):
        answers = given.get(at, set())
        if len(answers) == 1:
            found.append((float(answers.pop()), ""))
        else:
            found.append((UNSCORED, "contradictory answers" if answers else "no answer for this item"))
    return found


def judge(
    client: Client, requests: Sequence[Request], sizes: Sequence[int], done: Callable[[], None] = lambda: None
) -> list[list[tuple[float, str]]]:
    """Answers per request. Where an item has none, the question is asked once more and only the gaps are filled."""
    answers = [read(reply, n) for reply, n in zip(client.complete_all(requests, done), sizes, strict=True)]
    gaps = [at for at, found in enumerate(answers) if any(reason for _, reason in found)]
    for at, reply in zip(gaps, client.complete_all([replace(requests[at], sample=1) for at in gaps]), strict=True):
        second = read(reply, sizes[at])
        answers[at] = [one if not one[1] else two for one, two in zip(answers[at], second, strict=True)]
    return answers
