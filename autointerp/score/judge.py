"""A language model as a judge: questions about a few items at a time, asked once more where an answer is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autointerp import rubric
from autointerp.config import PARAPHRASED, LLMScorer, QuestionName, RunConfig
from autointerp.evidence.reader import DictionaryEvidence, read_pictures
from autointerp.exhibit import Exhibits
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import progress
from autointerp.prompt import line, neutral
from autointerp.records import Model, Verdict
from autointerp.rubric import Rubric
from autointerp.score import detection, fuzzing, simulation, specificity
from autointerp.score.cases import Case, about
from autointerp.score.question import Question, Said, Shown
from autointerp.score.scorer import Work

Settings = LLMScorer
QUESTIONS: Mapping[str, Question] = {
    "detection": detection,
    "fuzzing": fuzzing,
    "simulation": simulation,
    "specificity": specificity,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: a question about some items, in random order."""

    case: Case
    question: str
    rubric: Rubric
    group: Sequence[Shown]
    request: Request


def models(role: LLMScorer, config: RunConfig) -> list[Model]:
    return [Model(role.provider, role.model)]


def rubrics(role: LLMScorer, config: RunConfig, sees: bool) -> dict[QuestionName, Rubric]:
    return {question: rubric_of(role, question, config, sees) for question in role.scores}


def verdicts(role: LLMScorer, work: Work) -> list[Verdict]:
    """All questions go to the client at once, so that a batch holds them all."""
    job, evidence = work.job, work.evidence
    client = work.client(role)
    texts = rubrics(role, job.config, job.sees)
    pictures = pictures_of(job, work.cases, evidence)
    asked = [
        one
        for case in work.cases
        for one in questions(job, role, case, texts, evidence, pictures, client.gives_logprobs)
    ]
    with progress(f"judging with {work.name}", len(asked)) as advance:
        found = judge(client, asked, lambda: advance(1))
    return [
        one.case.verdict(
            one.question, work.name, one.rubric.name, **(about(shown.item) | {"fires": shown.fires}),
            value=said.value, reason=said.reason, predicted=said.predicted,
            activations=shown.item.excerpt.activations if said.predicted else (),
        )
        for one, group in zip(asked, found, strict=True)
        for shown, said in zip(one.group, group, strict=True)
    ]  # fmt: skip


def rubric_of(role: LLMScorer, question: QuestionName, config: RunConfig, sees: bool) -> Rubric:
    """The rubric that a role names for a question, or the default."""
    return rubric.asked(role.rubrics.get(question), question, sees, config.rubrics)


def pictures_of(job: Job, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]) -> Mapping[int, bytes]:
    """The pictures among the items of some cases, by context."""
    if not job.sees:
        return {}
    keys = {(case.dictionary, case.feature) for case in cases}
    items = (item for name, feature in keys for item in evidence[name].by_feature[feature].items["score"])
    return read_pictures(job.directory.path, {item.excerpt.context for item in items if item.excerpt.grid})


def questions(
    job: Job,
    role: LLMScorer,
    case: Case,
    texts: Mapping[QuestionName, Rubric],
    evidence: Mapping[str, DictionaryEvidence],
    pictures: Mapping[int, bytes],
    logprobs: bool,
) -> list[Asked]:
    """What is asked about a case. Items and their order are the same for an explanation and its controls.

    They are the same for all judges, too, of whom each takes the first `items`: what they say differs in nothing but
    the judge. Of paraphrases detection alone is asked.
    """
    found = []
    for question, text in texts.items():
        if case.control == PARAPHRASED and question != "detection":
            continue
        asks = QUESTIONS[question]
        rng = job.rng("judged", question, case.dictionary, case.feature)
        shown = asks.show(evidence[case.dictionary].by_feature[case.feature].items["score"], rng)
        chosen = choose(shown, role.items, rng)
        for start in range(0, len(chosen), role.items_per_request):
            group = chosen[start : start + role.items_per_request]
            asked = request(asks, case.text, group, text, role.max_tokens, logprobs, pictures)
            found.append(Asked(case, question, text, group, asked))
    return found


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
