"""The explainer with a model: strong and weaker excerpts with their firings marked, then silent ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest
from typing import Any

import numpy as np
from scipy.ndimage import label

from autointerp import rubric as rubrics
from autointerp.config import LLMExplainer, RunConfig
from autointerp.evidence.reader import read_pictures
from autointerp.exhibit import Exhibits, in_words
from autointerp.explain import choose, choosers
from autointerp.explain.explainer import Key, Work, Written
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import progress
from autointerp.prompt import plain
from autointerp.records import Author, Excerpt, Item, Model
from autointerp.rubric import Rubric
from autointerp.store import stable_hash

Settings = LLMExplainer
DRAWS = 1000  # draws of an explainer's excerpts are `sample` for its first candidate and this many more for each other
LOUDEST = 10  # what the strongest firing is shown as, where values are shown


def models(role: LLMExplainer, config: RunConfig) -> list[Model]:
    return [Model(role.provider, role.model)]


def made_of(role: LLMExplainer, job: Job) -> list[Any]:
    return [rubric_of(role, job).hash, *(choosers.made_of(job, role.chosen_by) if role.chosen_by is not None else [])]


def rubric_of(role: LLMExplainer, job: Job) -> Rubric:
    return rubrics.asked(role.rubric, "explain", job.sees, job.config.rubrics)


def explain(role: LLMExplainer, work: Work) -> dict[Key, Written]:
    """What a model wrote; of several candidates, the one that the chooser took."""
    job, asked = work.job, rubric_of(role, work.job)
    client = work.client(role)
    divisions = {key: division(job, role, work.items(key), key) for key in work.keys}
    # Where nothing is held back there is nothing to choose on, and so nothing to choose from.
    drafts = [(key, n) for key in work.keys for n in range(role.candidates if divisions[key].held else 1)]
    contexts = {i.excerpt.context for one in divisions.values() for i in one.shown if i.excerpt.grid}
    pictures = read_pictures(job.directory.path, contexts) if contexts else {}
    requests = [request(divisions[key].shown, role, asked, role.sample + DRAWS * n, pictures) for key, n in drafts]
    with progress(f"explaining with {work.name}", len(requests)) as advance:
        replies = ask_twice(client, requests, lambda: advance(1))
    written: dict[Key, list[Written]] = {key: [] for key in work.keys}
    for (key, _), reply in zip(drafts, replies, strict=True):
        author = Author("explainer", role.provider, role.model, reply.resolved)
        written[key].append(Written(*read(reply), author, rubric=asked.name))
    choices = chosen(work, role, written, divisions)
    return {key: choices.get(key) or next((d for d in drafts if d.text), drafts[0]) for key, drafts in written.items()}


def division(job: Job, role: LLMExplainer, items: tuple[Item, ...], key: Key) -> choose.Division:
    """All is shown to an explainer without candidates; with them, all such explainers are shown the same part."""
    return choose.divide(items, job.rng("held back", *key)) if role.candidates > 1 else choose.Division(items, ())


def chosen(
    work: Work, role: LLMExplainer, written: dict[Key, list[Written]], divisions: dict[Key, choose.Division]
) -> dict[Key, Written]:
    """The chosen candidate of each feature that has two different ones, where the chooser had an answer."""
    scorer = role.chosen_by
    if scorer is None:
        return {}
    ballots = {}
    for key, drafts in written.items():
        texts = tuple(dict.fromkeys(draft.text for draft in drafts if draft.text))
        if len(texts) > 1:
            ballots[key] = choose.Ballot(texts, divisions[key].held)
    if not ballots:
        return {}
    choices = choose.choose(
        list(ballots.values()),
        lambda cases: choosers.judge(work.job, work.name, scorer, cases),
        work.job.config.score.prevalence,
    )
    found = {}
    for (key, ballot), choice in zip(ballots.items(), choices, strict=True):
        if choice.resolved is not None:
            taken = next(draft for draft in written[key] if draft.text == ballot.candidates[choice.candidate])
            found[key] = replace(taken, chooser=choosers.author(work.job.config, scorer, choice.resolved))
    return found


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
