"""Contexts from documents, drawn in bounded memory.

A context never crosses a document, exact duplicates are dropped, documents that trained a dictionary are left out,
and the split between `explain` and `score` is made here, once, by document, before anything reads the text.
Everything that is left out is counted.
"""

import hashlib
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from autointerp.config import CorpusConfig
from autointerp.corpus.order import Row, in_order, scatter, tally
from autointerp.corpus.sources import documents
from autointerp.errors import UserError
from autointerp.records import SPLITS, Context, Split
from autointerp.subjects.text import TextSubject


@dataclass(frozen=True, slots=True)
class Drawn:
    """A context, the piece of text that each of its tokens stands for (none for special ones), its document's name."""

    context: Context
    pieces: tuple[str, ...]
    name: str


def stable_hash(*parts: object) -> int:
    """A 63-bit hash that is the same on every machine and in every process."""
    joined = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def split_of(document: str, explain_share: float) -> Split:
    """The split depends on the document's name alone, so no setting of a run can move a document across."""
    return "explain" if stable_hash("split", document) / 2**63 < explain_share else "score"


def draw(
    config: CorpusConfig, subject: TextSubject, seed: int, counts: dict[str, int], scratch: Path
) -> Generator[Drawn, None, None]:
    """Draw contexts: documents in seeded order, a seeded choice of contexts in each, until there are enough.

    All documents are read once. Those that do not fit the memory go to a folder inside `scratch`, compressed, which
    is removed at the end, however that comes. `counts` is filled on the way and final at the end; too few documents
    for a split are refused only there.

    In memory are about 64 MiB of documents, the whole of the one at hand, and a hash for each context drawn (some 90
    bytes) and for each document that trained a dictionary.
    """
    special = len(subject.prefix) + len(subject.suffix)
    if special >= config.context_length:
        raise UserError(
            f"you asked for contexts of {config.context_length} tokens",
            f"the tokenizer's own special tokens fill {special} of them",
            "raise corpus.context_length",
        )
    asked, folder = f"you asked for the corpus {config.path!r}", scratch / "documents"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed draw left
    try:
        trained = {stable_hash(d.text) for path in config.trained_on for d in documents(path, config)}
        stream = (
            Row(stable_hash(seed, "document", d.name), stable_hash(d.text) in trained, d.name, d.text)
            for d in documents(config.path, config)
        )
        rows, buckets = scatter(stream, folder)
        found, excluded = tally(rows, buckets)
        counts |= {"documents_found": found, "documents_excluded_as_training": excluded}
        counts |= dict.fromkeys(("tails_dropped", "duplicate_contexts_dropped"), 0)
        counts |= dict.fromkeys(("documents_explain", "documents_score", "documents", "contexts", "tokens"), 0)
        if found == excluded:
            raise UserError(
                asked, "every document in it trained a dictionary (corpus.trained_on)", "give held-out documents"
            )
        with closing(in_order(rows, buckets)) as ordered:
            yield from cut(ordered, config, subject, seed, counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for split in SPLITS:
        n = counts[f"documents_{split}"]
        if n < 2:
            raise UserError(
                asked,
                f"its {found - excluded} documents leave {n} for the {split} split, which needs at least 2",
                "give more documents or change corpus.explain_share",
            )


def cut(
    ordered: Iterable[Row], config: CorpusConfig, subject: TextSubject, seed: int, counts: dict[str, int]
) -> Iterator[Drawn]:
    """Contexts of documents whose parts follow one another, until there are enough; `counts` is kept up to date."""
    body = config.context_length - len(subject.prefix) - len(subject.suffix)
    # Of the contexts so far only a hash: 8 bytes that cost some 90 in a set, where 128 tokens would cost over 1,000.
    seen: set[int] = set()
    for name, rows in groupby(ordered, key=attrgetter("name")):
        parts = list(rows)
        # One part of a document that trained a dictionary is enough to leave all of it out.
        if any(part.trained for part in parts):
            continue
        split = split_of(name, config.explain_share)
        cuts = []
        for part, row in enumerate(parts):
            ids, pieces = subject.encode(row.text)
            cuts += [(part, at, ids[at : at + body], pieces[at : at + body]) for at in range(0, len(ids), body)]
        cuts.sort(key=lambda one: stable_hash(seed, "context", name, one[0], one[1]))
        taken = 0
        for part, at, ids, pieces in cuts:
            tokens = (*subject.prefix, *ids, *subject.suffix)
            if len(ids) < config.min_tokens:
                counts["tails_dropped"] += 1
            elif (known := stable_hash(*tokens)) in seen:
                counts["duplicate_contexts_dropped"] += 1
            else:
                seen.add(known)
                taken += 1
                counts["contexts"] += 1
                counts["tokens"] += len(tokens)
                if taken == 1:
                    counts["documents"] += 1
                    counts[f"documents_{split}"] += 1
                context = Context(stable_hash(name, part, at), stable_hash("document", name), split, tokens)
                yield Drawn(context, ("",) * len(subject.prefix) + tuple(pieces) + ("",) * len(subject.suffix), name)
                if counts["contexts"] == config.contexts:
                    return
                if taken == config.contexts_per_document:
                    break
