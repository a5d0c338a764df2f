"""What the audit's explainers wrote, said in other words by a third model: the meaning stays, the style goes.

A judge that knows its own family by its wording no longer can: what is left of a preference is a taste for what is
said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autointerp import rubric
from autointerp.config import PARAPHRASED, Paraphraser
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.explain.llm import ask_twice
from autointerp.job import Job
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import log, progress
from autointerp.prompt import line, neutral, plain
from autointerp.records import Author, Explanation
from autointerp.rubric import Rubric
from autointerp.score.cases import Case

ROLE = "paraphraser"


def rubric_of(role: Paraphraser, folder: str | None) -> Rubric:
    return rubric.load(role.rubric, folder, "paraphrase")


def paraphrases(
    job: Job,
    role: Paraphraser,
    explanations: Sequence[Explanation],
    evidence: Mapping[str, DictionaryEvidence],
) -> list[Explanation]:
    """The explanations that the audit crosses, in other words; the author is the paraphraser.

    An explanation that is missing stays missing, for its own reason.
    """
    wanted = [
        one
        for one in explanations
        if one.feature in evidence[one.dictionary].drawn[: job.config.paraphrased(one.explainer, one.dictionary)]
    ]
    asked, client = rubric_of(role, job.config.rubrics), job.client(ROLE, role)
    written = [one for one in wanted if one.text]
    with progress("paraphrasing", len(written)) as advance:
        replies = iter(ask_twice(client, [request(one.text, role, asked) for one in written], lambda: advance(1)))
    found = []
    for one in wanted:
        blank = replace(one, author=None, chooser=None, rubric=asked.name)
        if one.text:
            reply = next(replies)
            text, reason = said(reply)
            author = Author(ROLE, role.provider, role.model, reply.resolved)
            blank = replace(blank, text=text, reason=reason, author=author)
        found.append(blank)
    log.info("  %d explanations paraphrased, %d not", sum(bool(one.text) for one in found), missing(found))
    return found


def missing(found: Sequence[Explanation]) -> int:
    return sum(not one.text for one in found)


def request(explanation: str, role: Paraphraser, asked: Rubric) -> Request:
    return Request(asked.text, line(description=neutral(explanation)), asked.schema, role.max_tokens)


def said(reply: Reply) -> tuple[str, str]:
    """(paraphrase, reason): one of them is empty."""
    if reply.failure:
        return "", reply.failure
    text = plain(str(reply.answer["paraphrase"]))
    return (text, "") if text else ("", "the paraphraser wrote nothing")


def cases(found: Sequence[Explanation]) -> list[Case]:
    """Paraphrases as the control that they are judged as."""
    return [Case(one.dictionary, one.feature, one.explainer, PARAPHRASED, one.text) for one in found if one.text]
