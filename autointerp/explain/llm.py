"""The explainer with a model: strongest excerpts with their firings marked, then silent ones."""

from collections.abc import Sequence
from itertools import groupby, zip_longest

from autointerp.config import LLMExplainer
from autointerp.llm.protocol import Reply, Request
from autointerp.prompt import line, marked, neutral
from autointerp.records import Item
from autointerp.rubric import Rubric


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
    lines += [line(text=marked(item.excerpt.pieces, item.excerpt.fires)) for item in shown]
    lines += ["SILENT"]
    lines += [line(text=neutral(item.excerpt.text)) for item in silent]
    return Request(shared=rubric.text, content="\n".join(lines), schema=rubric.schema, max_tokens=role.max_tokens)


def interleaved(items: Sequence[Item]) -> list[Item]:
    """Items of all strata in turn: silent ones of a single kind would teach the wrong contrast."""
    turns = [list(group) for _, group in groupby(items, key=lambda item: item.stratum)]
    return [item for turn in zip_longest(*turns) for item in turn if item is not None]


def read(reply: Reply) -> tuple[str, str]:
    """(explanation, reason): one of them is empty."""
    if reply.failure:
        return "", reply.failure
    text = " ".join(str(reply.answer["explanation"]).split())
    return (text, "") if text else ("", "the explainer wrote nothing")
