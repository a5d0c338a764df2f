"""Scorers of the run as choosers among candidates: what they judge is put to them as their own items are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp import assets
from autointerp.config import MANNER, EmbeddingScorer, LLMScorer, RunConfig
from autointerp.evidence.reader import read_pictures
from autointerp.explain.choose import Judged
from autointerp.job import Job
from autointerp.judge import asking, detection
from autointerp.judge.asking import Asked
from autointerp.judge.encoders import Embedded, open_encoder
from autointerp.progress import progress
from autointerp.records import UNSCORED, Author, Excerpt, Item
from autointerp.store import digest, stable_hash

Cases = Sequence[tuple[str, Sequence[Item]]]


def made_of(job: Job, scorer: str) -> list[Any]:
    """All that a choice depends on beside the candidates and the evidence."""
    config = job.config
    role = config.scorers[scorer]
    location = assets.locate(role.model) if isinstance(role, EmbeddingScorer) else None
    asked = asking.rubric_of(role, "detection", config, job.sees).hash if isinstance(role, LLMScorer) else ""
    settings = [role.model_dump(exclude=set(MANNER)), config.score.prevalence, config.seed]
    return [*settings, asked, digest(location) if location else ""]


def author(config: RunConfig, scorer: str, resolved: str) -> Author:
    role = config.scorers[scorer]
    assert isinstance(role, EmbeddingScorer | LLMScorer)  # the config allows no other
    provider = role.provider if isinstance(role, LLMScorer) else "transformers"
    return Author("chooser", provider, role.model, resolved)


def judge(job: Job, explainer: str, scorer: str, cases: Cases) -> list[Judged]:
    """How well the scorer finds each sentence to fit its items: the question is that of detection."""
    role = job.config.scorers[scorer]
    if isinstance(role, EmbeddingScorer):
        return by_embedding(job, role, cases)
    assert isinstance(role, LLMScorer)  # the config allows no other
    return by_llm(job, f"chooser {explainer}", role, cases)


def by_embedding(job: Job, role: EmbeddingScorer, cases: Cases) -> list[Judged]:
    excerpts = [item.excerpt for _, items in cases for item in items]
    vectors = Embedded(open_encoder(role), [text for text, _ in cases], excerpts, pictures_of(job, cases))

    def closeness(excerpt: Excerpt, sentence: str) -> float:
        vector = vectors.excerpt(excerpt)
        return UNSCORED if vector is None else float(vector @ vectors.sentence(sentence))

    return [Judged(tuple(closeness(item.excerpt, text) for item in items), role.model) for text, items in cases]


def pictures_of(job: Job, cases: Cases) -> dict[int, bytes]:
    """The pictures among the items, by context."""
    contexts = {item.excerpt.context for _, items in cases for item in items if item.excerpt.grid}
    return read_pictures(job.directory.path, contexts) if contexts else {}


def by_llm(job: Job, client_name: str, role: LLMScorer, cases: Cases) -> list[Judged]:
    text, size = asking.rubric_of(role, "detection", job.config, job.sees), role.items_per_request
    client = job.client(client_name, role)
    pictures = pictures_of(job, cases)
    asked, owner = [], []
    for at, (sentence, items) in enumerate(cases):
        # All candidates for a feature are judged on the same of its held items: the coins are those of the items.
        shown = detection.show(items, np.random.default_rng(stable_hash(*(item.excerpt.id for item in items))))
        for start in range(0, len(shown), size):
            group = shown[start : start + size]
            request = asking.request(detection, sentence, group, text, role.max_tokens, pictures=pictures)
            asked.append(Asked("detection", text, group, request))
            owner.append(at)
    with progress(f"{client_name} at work", len(asked)) as advance:
        found = asking.judge(client, asked, lambda: advance(1))
    said: list[dict[str, float]] = [{} for _ in cases]
    for at, one, answers in zip(owner, asked, found, strict=True):
        said[at] |= {shown.item.excerpt.id: answer.value for shown, answer in zip(one.group, answers, strict=True)}
    resolved = ", ".join(sorted(client.resolved)) or role.model
    return [
        Judged(tuple(values.get(item.excerpt.id, UNSCORED) for item in items), resolved)
        for values, (_, items) in zip(said, cases, strict=True)
    ]
