"""The explainer with a model: strong and weaker excerpts with their firings marked, then silent ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest

import numpy as np
from scipy.ndimage import label

from autointerp.config import LLMExplainer
from autointerp.exhibit import Exhibits, in_words
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.prompt import plain
from autointerp.records import Excerpt, Item
from autointerp.rubric import Rubric
from autointerp.store import stable_hash

LOUDEST = 10  # what the strongest firing is shown as, where values are shown


def request(
    items: Sequence[Item],
    role: LLMExplainer,
    rubric: Rubric,
    draw: int = 0,
    pictures: Mapping[int, bytes] = {},  # read alone
) -> Request:
    """The question about one feature. Excerpts are JSON strings, so nothing in them can end the data early.

    Every `draw` shows the same strongest excerpts and others of the rest: models that are asked at temperature 0 would
    otherwise write the same again. A draw takes two samples, the second for asking once more (see `ask_twice`).
    """
    firing = sorted((i for i in items if i.fires), key=lambda i: (-max(i.excerpt.activations), i.excerpt.id))
    strongest = firing[: (role.examples + 1) // 2]
    # The other half spreads over the weaker firings, so that an explanation fits more than the peaks.
    weaker = stratified(dealt(firing[len(strongest) :], draw), role.examples - len(strongest))
    silent = interleaved(dealt([i for i in items if not i.fires], draw))[: role.n_silent]
    shown = [item.excerpt for item in sorted(strongest + weaker, key=firing.index)]
    lines, exhibits = ["ACTIVE"], Exhibits(pictures)
    for excerpt in shown:
        # The scale is that of what is shown: the feature's own maximum would be known from the other split too.
        values = {"activations": loudness(excerpt, max(shown[0].activations))} if role.show_values else {}
        lines.append(exhibits.line(excerpt, excerpt.fires, in_words(excerpt, excerpt.fires) | values))
    if silent:
        lines.append("SILENT")
        lines += [exhibits.line(item.excerpt, None, in_words(item.excerpt)) for item in silent]
    return Request(rubric.text, "\n".join(lines), rubric.schema, role.max_tokens, 2 * draw, exhibits.images)


def dealt(items: Sequence[Item], draw: int) -> list[Item]:
    """Items in an order that depends on the draw and on nothing else, so not on the order of the evidence."""
    return sorted(items, key=lambda item: stable_hash("shown", draw, item.excerpt.id))


def stratified(items: Sequence[Item], n: int) -> list[Item]:
    """n firing items, as evenly from the activation intervals as these allow, the first of each.

    Where there are more intervals than places, those taken lie evenly between the weakest and the strongest.
    """
    by_stratum: dict[int, list[Item]] = {}
    for item in items:
        by_stratum.setdefault(int(item.stratum.removeprefix("bin")), []).append(item)
    strata = [by_stratum[stratum] for stratum in sorted(by_stratum)]
    if n < len(strata):
        strata = [strata[at] for at in np.linspace(0, len(strata) - 1, n).round().astype(int)]
    return in_turn(strata)[:n]


def interleaved(items: Sequence[Item]) -> list[Item]:
    """Silent items of all kinds in turn, near ones first: those of a single kind would teach the wrong contrast."""
    kinds = sorted({item.stratum for item in items}, key=lambda kind: (kind != "near", kind))
    return in_turn([[item for item in items if item.stratum == kind] for kind in kinds])


def in_turn(queues: Sequence[Sequence[Item]]) -> list[Item]:
    return [item for turn in zip_longest(*queues) for item in turn if item is not None]


def loudness(excerpt: Excerpt, maximum: float) -> list[int]:
    """The strongest activation of each marked part, as an integer from 0 to LOUDEST of `maximum`.

    Parts are the groups of patches that have a line around them, from the top down, then the runs of tokens.
    """
    found: list[float] = []
    if excerpt.grid is not None:
        patches = np.array(excerpt.activations[excerpt.grid.positions]).reshape(excerpt.grid.rows, -1)
        groups, n = label(patches > 0)
        found += [float(patches[groups == group].max()) for group in range(1, n + 1)]
    runs = groupby((excerpt.activations[at] for at in excerpt.in_text), key=lambda activation: activation > 0)
    return [round(LOUDEST * value / maximum) for value in (*found, *(max(run) for fires, run in runs if fires))]


def ask_twice(client: Client, requests: Sequence[Request], done: Callable[[], None]) -> list[Reply]:
    """Replies in order; a useless answer is asked for once more, as the next sample."""
    replies = client.complete_all(requests, done)
    again = [
        replace(request, sample=request.sample + 1)
        for request, reply in zip(requests, replies, strict=True)
        if reply.failure
    ]
    second = iter(client.complete_all(again))
    return [next(second) if reply.failure else reply for reply in replies]


def read(reply: Reply) -> tuple[str, str]:
    """(explanation, reason): one of them is empty."""
    if reply.failure:
        return "", reply.failure
    text = plain(str(reply.answer["explanation"]))
    return (text, "") if text else ("", "the explainer wrote nothing")
