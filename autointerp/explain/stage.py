"""Explain every scorable feature with every explainer of the run. Only the `explain` split is ever read here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp import assets, rubric
from autointerp.config import MANNER, Explainer, GivenExplainer, LexicalExplainer, LLMExplainer
from autointerp.errors import WorkPending
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.explain import given, lexical, llm
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import log, progress
from autointerp.records import Author, Excerpt, Explanation
from autointerp.store import digest, digest_of, write_table

TABLE = pa.schema(
    [
        ("dictionary", pa.string()),
        ("feature", pa.int64()),
        ("explainer", pa.string()),
        ("text", pa.string()),
        ("reason", pa.string()),
        ("rubric", pa.string()),
        ("split_hash", pa.string()),
        (
            "author",
            pa.struct([(name, pa.string()) for name in ("role", "provider", "requested", "resolved")]),
        ),
    ]
)
LEXICAL_EXCERPTS = 200  # firing excerpts that the lexical explainer counts words in, at most


def inputs(job: Job) -> dict[str, str]:
    found = {"evidence": digest_of(job.directory.records()["evidence"].outputs)}
    for name, role in job.config.explainers.items():
        made_of: list[Any] = [role.model_dump(exclude=set(MANNER))]
        if isinstance(role, LLMExplainer):
            made_of.append(rubric.load(role.rubric).hash)
        elif isinstance(role, GivenExplainer):
            location = assets.locate(role.path)
            made_of.append(digest(location) if location else "")
        found[f"explainer {name}"] = digest_of(made_of)
    return found


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write explanations.parquet; return (outputs, facts)."""
    folder = job.directory / "evidence"
    split_hash = job.directory.facts("collect")["split_hash"]
    evidence = {name: DictionaryEvidence(folder, name, split_hash) for name in job.config.dictionaries}
    pool = PoolReader(folder)
    found: list[Explanation] = []
    pending: list[WorkPending] = []
    for name, role in job.config.explainers.items():
        keys = [
            (dictionary, feature)
            for dictionary, side in evidence.items()
            if role.dictionaries is None or dictionary in role.dictionaries
            for feature in side.alive[: role.features]
        ]
        with progress(f"explaining with {name}", len(keys)) as advance:
            try:
                found += explain(job, name, role, evidence, keys, pool, advance)
            except WorkPending as error:  # batches of the other roles need not wait for those of this one
                pending.append(error)
    if pending:
        raise pending[0]
    path = job.directory / "explanations.parquet"
    write_table(path, [asdict(explanation) for explanation in found], TABLE)
    missing = sum(not explanation.text for explanation in found)
    log.info("  %d explanations, %d features left without one", len(found) - missing, missing)
    return [path], {"written": len(found) - missing, "missing": missing, "usage": job.usage("explainer")}


def explain(
    job: Job,
    name: str,
    role: Explainer,
    evidence: dict[str, DictionaryEvidence],
    keys: list[tuple[str, int]],
    pool: PoolReader,
    advance: Callable[[int], None],
) -> list[Explanation]:
    """The explanations of one explainer, one per key and in their order. What cannot be explained says why."""
    split_hash = next(iter(evidence.values())).split_hash
    reasons = {(d, f): evidence[d].reasons[f] for d, f in keys}
    able = [key for key in keys if not reasons[key]]
    advance(len(keys) - len(able))
    texts: dict[tuple[str, int], str] = {}
    authors: dict[tuple[str, int], Author] = {}
    question = ""
    if isinstance(role, LexicalExplainer):
        background = lexical.Background.of([pool.excerpts[row] for row in pool.rows("explain")])
        for key in able:
            side = evidence[key[0]]
            firing = firing_excerpts(side, key[1], pool)
            # The largest of what explainers may see, not of the feature: that would be known from the other split too.
            largest = max(max(excerpt.activations) for excerpt in firing)
            associations = lexical.associate(firing, background, largest)
            texts[key] = lexical.sentence(associations, role.words)
            reasons[key] = "" if texts[key] else "no word is associated with the firings"
            advance(1)
    elif isinstance(role, GivenExplainer):
        brought = given.read(role.path)
        for key in able:
            texts[key] = brought.get(key, "")
            reasons[key] = "" if texts[key] else "the file has no explanation for it"
            if role.author != "human":
                authors[key] = Author("explainer", "given", role.author or "unknown", role.author or "unknown")
        advance(len(able))
    else:
        asked = rubric.load(role.rubric)
        question = asked.name
        client = job.client(f"explainer {name}", role)
        requests = [llm.request(evidence[d].by_feature[f].items["explain"], role, asked) for d, f in able]
        for key, reply in zip(able, ask_twice(client, requests, lambda: advance(1)), strict=True):
            texts[key], reasons[key] = llm.read(reply)
            authors[key] = Author("explainer", role.provider, role.model, reply.resolved)
    return [
        Explanation(d, f, name, texts.get((d, f), ""), reasons[d, f], authors.get((d, f)), question, split_hash)
        for d, f in keys
    ]


def ask_twice(client: Client, requests: Sequence[Request], done: Callable[[], None]) -> list[Reply]:
    """Replies in order; a useless answer is asked for once more."""
    replies = client.complete_all(requests, done)
    again = [replace(request, sample=1) for request, reply in zip(requests, replies, strict=True) if reply.failure]
    second = iter(client.complete_all(again))
    return [next(second) if reply.failure else reply for reply in replies]


def firing_excerpts(side: DictionaryEvidence, feature: int, pool: PoolReader) -> list[Excerpt]:
    """Firing excerpts of the explain split: the chosen items, then the pool's, each window once."""
    found = {i.excerpt.id: i.excerpt for i in side.by_feature[feature].items["explain"] if i.fires}
    explain_rows = set(pool.rows("explain"))
    firings = side.firings_of(feature)
    for window, rows in firings.groupby("window", sort=True):
        if len(found) >= LEXICAL_EXCERPTS:
            break
        if window in explain_rows:
            excerpt = pool.excerpts[int(str(window))]
            dense = [0.0] * len(excerpt.pieces)
            for position, activation in zip(rows["position"], rows["activation"], strict=True):
                dense[position] = float(activation)
            found.setdefault(excerpt.id, replace(excerpt, activations=tuple(dense)))
    return list(found.values())


def read(path: Path) -> list[Explanation]:
    """Explanations as `run` wrote them."""
    rows: Sequence[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [Explanation(**{**row, "author": Author(**row["author"]) if row["author"] else None}) for row in rows]
