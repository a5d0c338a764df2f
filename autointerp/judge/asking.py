"""A question to a language model about a few items at a time, asked once more where an answer is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autointerp import rubric
from autointerp.config import LLMScorer, QuestionName, RunConfig
from autointerp.exhibit import Exhibits
from autointerp.judge import detection, fuzzing, simulation, specificity
from autointerp.judge.question import Question, Said, Shown
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.prompt import line, neutral
from autointerp.rubric import Rubric

QUESTIONS: Mapping[str, Question] = {
    "detection": detection,
    "fuzzing": fuzzing,
    "simulation": simulation,
    "specificity": specificity,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: a question about some items, in random order."""

    question: str
    rubric: Rubric
    group: Sequence[Shown]
    request: Request


def rubric_of(role: LLMScorer, question: QuestionName, config: RunConfig, sees: bool) -> Rubric:
    """The rubric that a role names for a question, or the default."""
    return rubric.asked(role.rubrics.get(question), question, sees, config.rubrics)


def choose(shown: Sequence[Shown], limit: int | None, rng: np.random.Generator) -> list[Shown]:
    """The items to judge, in random order. How many are positive is left to chance: a fixed count would be a cue."""
    return [shown[at] for at in rng.permutation(len(shown))[:limit]]


def request(
    question: Question,
    explanation: str,
    group: Sequence[Shown],
    text: Rubric,
    max_tokens: int,
    logprobs: bool = False,
    pictures: Mapping[int, bytes] = {},  # read alone
) -> Request:
    """The rubric, then the explanation, then the items: what requests have in common comes first.

    The schema asks for as many answers as there are items: a small model would otherwise go on until it is cut.
    """
    lines = [line(description=neutral(explanation))]
    exhibits = Exhibits(pictures)
    lines += [exhibits.line(one.item.excerpt, one.marks, one.data, id=at) for at, one in enumerate(group)]
    properties = text.schema["properties"]
    answers = {**properties["answers"], "items": question.entry(properties["answers"]["items"], group)}
    answers |= {"minItems": len(group), "maxItems": len(group)}
    schema = {**text.schema, "properties": {**properties, "answers": answers}}
    logprobs_wanted = question.TOP_LOGPROBS * logprobs
    return Request(text.text, "\n".join(lines), schema, max_tokens, 0, exhibits.images, logprobs_wanted)


def read(reply: Reply, one: Asked) -> list[Said]:
    """What a reply says of each item of its request."""
    if reply.failure:
        return [Said(reason=reply.failure)] * len(one.group)
    question = QUESTIONS[one.question]
    given: dict[int, list[Mapping[str, Any]]] = {}
    for answer in question.answers(reply):
        answers = given.setdefault(int(answer["id"]), [])
        if answer not in answers:
            answers.append(answer)
    found = []
    for at, shown in enumerate(one.group):
        answers = given.get(at, [])
        if len(answers) == 1:
            found.append(question.read(answers[0], shown))
        else:
            found.append(Said(reason="contradictory answers" if answers else "no answer for this item"))
    return found


def judge(client: Client, asked: Sequence[Asked], done: Callable[[], None] = lambda: None) -> list[list[Said]]:
    """What is said by request. Where an item has no answer, the question is asked once more and fills the gaps."""
    replies = client.complete_all([one.request for one in asked], done)
    found = [read(reply, one) for reply, one in zip(replies, asked, strict=True)]
    gaps = [at for at, group in enumerate(found) if any(said.reason for said in group)]
    again = client.complete_all([replace(asked[at].request, sample=1) for at in gaps])
    for at, reply in zip(gaps, again, strict=True):
        second = read(reply, asked[at])
        found[at] = [one if not one.reason else two for one, two in zip(found[at], second, strict=True)]
    return found
