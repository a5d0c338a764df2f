"""When do features fire that seem to stand for what is watched? The subject reads, and code decides: grade A.

Nothing is said of a dictionary that merely has a feature which fires on such a text, since nearly all have one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from autointerp.config import WatchConfig
from autointerp.errors import UserError
from autointerp.evidence.loudest import in_pool, in_texts
from autointerp.evidence.replay import Contexts
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.measure import watch as measure
from autointerp.measure.multiplicity import holm
from autointerp.progress import log, progress
from autointerp.store import digest_of, write_table
from autointerp.watch import lists, search
from autointerp.watch.lists import WatchList
from autointerp.watch.search import SEARCH, Rows

NUMBER, COUNT, WORD, FLAG = pa.float64(), pa.int64(), pa.string(), pa.bool_()
SCHEMAS = {
    # A feature that was looked at for a list, with its counts on the pairs that did not choose it and over documents of
    # the corpus; -1: none told texts apart. Where it was searched for, p is corrected for the lists of a dictionary.
    "found": {
        "dictionary": WORD, "list": WORD, "way": WORD, "feature": COUNT, "explainer": WORD, "explanation": WORD,
        "threshold": NUMBER, "pairs": COUNT, "concerning": COUNT, "twins": COUNT, "benign": COUNT, "false": COUNT,
        "documents": COUNT, "corpus": COUNT, "p": NUMBER,
    },
    # Texts of a feature that was looked at: those of the pairs that did not choose it, and the loudest of the corpus.
    "texts": {
        "dictionary": WORD, "list": WORD, "way": WORD, "feature": COUNT, "kind": WORD, "text": WORD,
        "activation": NUMBER, "fires": FLAG,
    },
    # Rows of dictionaries.csv.
    "numbers": {
        "dictionary": WORD, "width": COUNT, "metric": WORD, "control": WORD, "explainer": WORD, "scorer": WORD,
        "rubric": WORD, "value": NUMBER, "low": NUMBER, "high": NUMBER, "n": COUNT, "unscored": COUNT,
        "circularity": WORD,
    },
    "lists": {"list": WORD, "about": WORD, "pairs": COUNT, "cut": COUNT},
}  # fmt: skip


def inputs(job: Job) -> dict[str, str]:
    records, config = job.directory.records(), asked_for(job)
    return {
        **{stage: digest_of(records[stage].outputs) for stage in ("collect", "evidence", "explain")},
        "watch": digest_of([config.model_dump(), job.config.seed]),
        **{f"list {origin}": value for origin, value in lists.hashes(config.lists).items()},
    }


def asked_for(job: Job) -> WatchConfig:
    assert job.config.watch is not None  # else the stage is not among those of the run
    return job.config.watch


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write watch/*.parquet; return (outputs, facts)."""
    config, folder = asked_for(job), job.directory / "watch"
    if "text" not in job.reads:
        raise UserError(f"you asked to watch {config.lists!r}", "the subject reads no text there", "leave [watch] out")
    read = lists.read(config.lists)
    rows: dict[str, Rows] = {name: [] for name in SCHEMAS}
    rows["lists"] = [
        {"list": one.name, "about": one.about, "pairs": len(one.pairs), "cut": n_cut(job, one)} for one in read
    ]
    watched(job, config, read, rows)
    for name, schema in SCHEMAS.items():
        write_table(folder / f"{name}.parquet", rows[name], pa.schema(list(schema.items())))
    cut = sum(one["cut"] for one in rows["lists"])
    log.info("  %d lists, %d texts cut at the length of a context", len(read), cut)
    return [folder / f"{name}.parquet" for name in SCHEMAS], {"cut": cut}


def n_cut(job: Job, one: WatchList) -> int:
    """How many texts of a list are longer than a context, and are read up to its end."""
    most = job.config.corpus.context_length
    texts = [text for pair in one.pairs for text in (pair.concerning, pair.benign)]
    return sum(len(job.subject.alone(text, most + 1)) > most for text in texts)


def watched(job: Job, config: WatchConfig, read: Sequence[WatchList], rows: dict[str, Rows]) -> None:
    """Add what is found in every dictionary."""
    at, rate = search.texts_of(job, read), config.false_positive_rate
    names = list(config.dictionaries or job.config.dictionaries)
    in_lists = in_texts(job, at.texts, names)
    contexts = Contexts(job.directory / "collect" / "contexts.parquet", job.config.evidence.window)
    heard = in_pool(job, contexts, "score", {name: (job.sites[name], job.dictionaries[name]) for name in names})
    explanations = explain.read(job.directory / "explanations.parquet")
    spoken = search.by_words(at, len(read), rate)
    with progress("watching", len(names)) as advance:
        for name in names:
            said = [one for one in explanations if one.dictionary == name and one.text]
            own, corpus = in_lists[name], heard.activations[name]
            looked_at = search.chosen(at, read, own, said, rate)
            found = [search.row(at, one, own, corpus, heard.document) for one in looked_at]
            searched = [one for one in found if one["way"] == SEARCH]
            correct(searched)
            dense, width = search.alive(own), job.dictionaries[name].width
            for number, one in enumerate(searched):
                halves = at.half(dense, number, False), at.half(dense, number, True)
                chance = measure.by_chance(*halves, rate, config.permutations, job.rng("watch", name, one["list"]))
                numbers = search.numbers(one, chance, spoken[number])
                rows["numbers"] += [{"dictionary": name, "width": width, **row} for row in numbers]
            rows["found"] += [{"dictionary": name, **row} for row in found]
            for looked in looked_at:
                texts = search.examples(at, looked, own, corpus, heard.texts)
                rows["texts"] += [{"dictionary": name, **row} for row in texts]
            advance(1)


def correct(searched: Rows) -> None:
    """Let p of the lists of one dictionary be corrected for how many they are."""
    for one, p in zip(searched, holm(np.array([one["p"] for one in searched])).tolist(), strict=True):
        one["p"] = p
