"""The explainer with a model: strongest excerpts with their firings marked, then silent ones."""

import json
import re
from collections.abc import Sequence
from itertools import groupby, zip_longest

from autointerp.config import LLMExplainer
from autointerp.llm.protocol import Reply, Request
from autointerp.records import Excerpt, Item
from autointerp.rubric import Rubric

MARK = ("[[", "]]")


def request(items: Sequence[Item], role: LLMExplainer, rubric: Rubric) -> Request:
    """The question about one feature. Excerpts are JSON strings, so nothing in them can end the data early."""
    firing = sorted((i for i in items if i.fires), key=lambda i: (-max(i.excerpt.activations), i.excerpt.id))
    strongest = firing[: (role.examples + 1) // 2]
    # The other half spreads over the weaker firings, so that an explanation fits more than the peaks.
    rest = firing[len(strongest) :]
    step = max(1, len(rest) // max(1, role.examples - len(strongest)))
    shown = strongest + rest[::step][: role.examples - len(strongest)]
    silent = interleaved([i for i in items if not i.fires])[: max(1, role.examples // 2)]
    lines = ["ACTIVE"]
    lines += [json.dumps({"text": marked(item.excerpt)}, ensure_ascii=False) for item in shown]
    lines += ["SILENT"]
    lines += [json.dumps({"text": neutral(item.excerpt.text)}, ensure_ascii=False) for item in silent]
    return Request(shared=rubric.text, content="\n".join(lines), schema=rubric.schema, max_tokens=role.max_tokens)


def interleaved(items: Sequence[Item]) -> list[Item]:
    """Items of all strata in turn: silent ones of a single kind would teach the wrong contrast."""
    turns = [list(group) for _, group in groupby(items, key=lambda item: item.stratum)]
    return [item for turn in zip_longest(*turns) for item in turn if item is not None]


def neutral(text: str) -> str:
    """Corpus text that cannot be taken for our marks: no bracket touches an equal one."""
    return re.sub(r"(?<=\[)(?=\[)|(?<=\])(?=\])", " ", text)


def marked(excerpt: Excerpt) -> str:
    """The excerpt with each run of firing tokens in marks."""
    text, inside = "", False

    def add(part: str) -> None:
        nonlocal text
        touching = text[-1:] == part[:1] and part[:1] in MARK[0] + MARK[1]
        text += f" {part}" if part and touching else part

    for piece, activation in zip(excerpt.pieces, excerpt.activations, strict=True):
        if (activation > 0) != inside:
            add(MARK[1] if inside else MARK[0])
            inside = not inside
        add(neutral(piece))
    if inside:
        add(MARK[1])
    return text


def read(reply: Reply) -> tuple[str, str]:
    """(explanation, reason): one of them is empty."""
    if reply.failure:
        return "", reply.failure
    text = " ".join(str(reply.answer["explanation"]).split())
    return (text, "") if text else ("", "the explainer wrote nothing")
