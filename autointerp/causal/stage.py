"""What features do in the subject: for answers, in texts that it writes, and where they are loudest.

No model other than the subject takes part, so all of it is grade A.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.causal import answers, steer
from autointerp.causal.intervene import Reconstruction
from autointerp.causal.steer import Steered
from autointerp.config import CausalConfig, LexicalExplainer
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.evidence.replay import Contexts
from autointerp.explain import lexical
from autointerp.job import Job
from autointerp.progress import log, progress
from autointerp.records import Score
from autointerp.score.stage import write_scores
from autointerp.store import digest, digest_of, write_table

MARKS = "only marks are associated with the firings, no word"
ABOUT_FEATURES = pa.schema([("dictionary", pa.string()), ("feature", pa.int64()), ("words", pa.list_(pa.string()))])


def inputs(job: Job) -> dict[str, str]:
    records, config = job.directory.records(), asked_for(job)
    files = (config.prompts, config.openings, *([config.two_hops] if config.two_hops else []))
    return {
        "collect": digest_of(records["collect"].outputs),
        "evidence": digest_of(records["evidence"].outputs),
        "causal": digest_of([config.model_dump(), job.config.seed, n_words(job)]),
        **{f"file {name}": digest(answers.file(name)) for name in files},
    }


def asked_for(job: Job) -> CausalConfig:
    assert job.config.causal is not None  # else the stage is not among those of the run
    return job.config.causal


def n_words(job: Job) -> int:
    """How many words of a sort the lexical explanations of the run name, or would name."""
    roles = [role for role in job.config.explainers.values() if isinstance(role, LexicalExplainer)]
    return (roles or [LexicalExplainer(kind="lexical")])[0].words


@dataclass(frozen=True, slots=True)
class Parts:
    """What is done of a stage that may be killed: a table for each piece of work, gone when the stage is done."""

    folder: Path

    def table(
        self, schema: pa.Schema, make: Callable[[], Iterable[dict[str, Any]]], *key: object
    ) -> list[dict[str, Any]]:
        path = self.folder / f"{digest_of([str(part) for part in key])[:24]}.parquet"
        if not path.exists():
            write_table(path, list(make()), schema)
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write causal/*.parquet; return (outputs, facts)."""
    config, folder = asked_for(job), job.directory / "causal"
    names = config.dictionaries or [n for n, entry in job.config.dictionaries.items() if entry.control is None]
    places = {name: answers.reconstruction(job, name, config.writes.get(name, "")) for name in names}
    asked, left_out = answers.asked(job, config)
    parts = Parts(folder / "parts" / digest_of(inputs(job))[:24])
    rows = []
    with progress("attributing and ablating", len(asked) * len(places)) as advance:
        for name, at in places.items():
            for one in asked:
                make = partial(answers.measured, job, at, name, one, config.ablated)
                rows += parts.table(answers.TABLE, make, "answers", name, one.kind, one.prompt.text)
                advance(1)
    write_table(folder / "answers.parquet", rows, answers.TABLE)
    found = steered(job, config, places, parts)
    scores = sorted(found.scores, key=lambda s: (s.dictionary, s.feature, s.metric, s.control))
    write_table(folder / "texts.parquet", found.texts, steer.TEXTS)
    write_table(folder / "curves.parquet", found.curves, steer.CURVES)
    write_table(folder / "words.parquet", found.known, ABOUT_FEATURES)
    write_scores(folder / "scores.parquet", scores)
    shutil.rmtree(folder / "parts")
    log.info("  %d prompts, %d features steered, %d texts", len(asked), len(found.known), len(found.texts))
    outputs = [folder / f"{name}.parquet" for name in ("answers", "texts", "curves", "words", "scores")]
    return outputs, {"prompts": len(asked), "left_out": left_out, "texts": len(found.texts)}


def read_openings(job: Job, config: CausalConfig) -> list[list[int]]:
    """Openings as the subject reads them, cut to the length of the shortest: contexts of one length run together."""
    path = answers.file(config.openings)
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()][: config.steered_prompts]
    if len(lines) < 2:
        raise UserError(
            f"you asked for the openings of {path}",
            f"it has {len(lines)} and half of them choose the dose",
            "give at least two, one a line",
        )
    read = [job.subject.encode(line)[0] for line in lines]
    return [[*job.subject.prefix, *tokens[: min(map(len, read))]] for tokens in read]


@dataclass(frozen=True, slots=True)
class Found:
    """Scores, and rows of CURVES, of TEXTS and of ABOUT_FEATURES."""

    scores: list[Score] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)


def steered(job: Job, config: CausalConfig, places: dict[str, Reconstruction], parts: Parts) -> Found:
    """The first features of each draw, turned up and off."""
    found = Found()
    if not config.features:
        return found
    folder = job.directory / "evidence"
    pool = PoolReader(folder)
    background = lexical.Background.of([pool.excerpts[row] for row in pool.rows("explain")])
    openings = read_openings(job, config)
    with progress("steering", config.features * len(places)) as advance:
        for name, at in places.items():
            side = DictionaryEvidence(folder, name, job.directory.facts("collect")["split_hash"])
            first = side.drawn[: config.features]
            for feature in first:
                if side.reasons[feature]:
                    found.scores.extend(steer.unable(name, feature, side.reasons[feature]))
            chosen = [described(job, at, side, f, pool, background) for f in first if not side.reasons[f]]
            one_dictionary(job, config, at, side, chosen, openings, parts, found, advance)
    return found


def one_dictionary(
    job: Job,
    config: CausalConfig,
    at: Reconstruction,
    side: DictionaryEvidence,
    chosen: Sequence[Steered],
    openings: Sequence[Sequence[int]],
    parts: Parts,
    found: Found,
    advance: Callable[[int], None],
) -> None:
    """Add what is found of the chosen features of a dictionary to `found`."""
    contexts = Contexts(job.directory / "collect" / "contexts.parquet", job.config.evidence.window)
    masks = [answers.counted(job, side.name, tokens) for tokens in openings]
    vocabularies = [frozenset(one.words) for one in chosen]
    write = partial(steer.texts, job, at, openings, masks, config.doses, config.new_tokens)
    unsteered = parts.table(steer.TEXTS, write, "unsteered", side.name)
    for own, one in enumerate(chosen):
        rows = parts.table(steer.TEXTS, partial(write, one), "texts", side.name, one.feature) if one.words else []
        turn_off = partial(steer.effects, job, at, side, contexts, one)
        off = parts.table(steer.EFFECTS, turn_off, "effects", side.name, one.feature)
        scores, curves = steer.summed(one, own, config.doses, rows, unsteered, off, vocabularies)
        found.scores.extend(scores)
        found.curves.extend(curves)
        found.texts.extend(rows)
        found.known.append({"dictionary": side.name, "feature": one.feature, "words": one.words})
        advance(1)
    found.texts.extend({**row, "dictionary": side.name} for row in unsteered)


def described(
    job: Job,
    at: Reconstruction,
    side: DictionaryEvidence,
    feature: int,
    pool: PoolReader,
    background: lexical.Background,
) -> Steered:
    """A feature with the words of its lexical explanation, whether the run has that or not, and its controls."""
    found = lexical.standing_out(lexical.associations(side, feature, pool, background), n_words(job))
    named = tuple(dict.fromkeys(word for sort in found for word in sort))
    # A subject that is driven off its course writes marks and line breaks whatever the feature stands for.
    words = tuple(word for word in named if any(map(str.isalnum, word)))
    reason = "" if words else MARKS if named else lexical.WORDLESS
    maximum = side.by_feature[feature].max_activation
    return Steered(side.name, feature, maximum, words, reason, steer.controls_of(job, at, side, feature))
