"""Scorers of the run as choosers among candidates: the one place where explaining knows of scoring."""

from collections.abc import Sequence
from typing import Any

from autointerp import assets, rubric
from autointerp.config import MANNER, EmbeddingScorer, LLMScorer, RunConfig
from autointerp.explain.choose import Judged
from autointerp.explain.llm import ask_twice
from autointerp.job import Job
from autointerp.progress import progress
from autointerp.records import Author, Item
from autointerp.score import llm
from autointerp.score.embedding import Embedder
from autointerp.store import digest

Cases = Sequence[tuple[str, Sequence[Item]]]


def made_of(config: RunConfig, scorer: str) -> list[Any]:
    """All that a choice depends on beside the candidates and the evidence."""
    role = config.scorers[scorer]
    location = assets.locate(role.model) if isinstance(role, EmbeddingScorer) else None
    asked = question(config, role).hash if isinstance(role, LLMScorer) else ""
    settings = [role.model_dump(exclude=set(MANNER)), config.score.prevalence, config.seed]
    return [*settings, asked, digest(location) if location else ""]


def question(config: RunConfig, role: LLMScorer) -> rubric.Rubric:
    return rubric.load(role.rubric or "detection", config.rubrics)


def author(config: RunConfig, scorer: str, resolved: str) -> Author:
    role = config.scorers[scorer]
    provider = role.provider if isinstance(role, LLMScorer) else "transformers"
    return Author("chooser", provider, role.model, resolved)


def judge(job: Job, explainer: str, scorer: str, cases: Cases) -> list[Judged]:
    """How well the scorer finds each sentence to fit its items: the question is that of detection."""
    role = job.config.scorers[scorer]
    if isinstance(role, EmbeddingScorer):
        return by_embedding(role, cases)
    return by_llm(job, f"chooser {explainer}", role, cases)


def by_embedding(role: EmbeddingScorer, cases: Cases) -> list[Judged]:
    texts = sorted({text for text, _ in cases} | {item.excerpt.text for _, items in cases for item in items})
    vectors = dict(zip(texts, Embedder(role).embed(texts), strict=True)) if texts else {}
    return [
        Judged(tuple(float(vectors[item.excerpt.text] @ vectors[text]) for item in items), role.model)
        for text, items in cases
    ]


def by_llm(job: Job, client_name: str, role: LLMScorer, cases: Cases) -> list[Judged]:
    asked, size = question(job.config, role), role.items_per_request
    client = job.client(client_name, role)
    groups = [
        (at, items[start : start + size]) for at, (_, items) in enumerate(cases) for start in range(0, len(items), size)
    ]
    requests = [llm.request(cases[at][0], group, role, asked) for at, group in groups]
    with progress(f"{client_name} at work", len(requests)) as advance:
        replies = ask_twice(client, requests, lambda: advance(1))
    values: list[list[float]] = [[] for _ in cases]
    resolved = [role.model] * len(cases)
    for (at, group), reply in zip(groups, replies, strict=True):
        values[at] += [value for value, _ in llm.read(reply, len(group))]
        resolved[at] = reply.resolved or resolved[at]
    return [Judged(tuple(found), model) for found, model in zip(values, resolved, strict=True)]
