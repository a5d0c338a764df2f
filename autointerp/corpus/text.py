"""Contexts from documents, texts and pictures, drawn in bounded memory.

A context never crosses a document, exact duplicates are dropped, documents that trained a dictionary are left out,
and the split between `explain` and `score` is made here, once, by document, before anything reads the text.
Everything that is left out is counted.
"""

import hashlib
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from autointerp import pictures
from autointerp.config import CorpusConfig
from autointerp.corpus.order import Row, in_order, scatter, tally
from autointerp.corpus.sources import documents
from autointerp.errors import UserError
from autointerp.progress import log
from autointerp.records import SPLITS, Context, Grid, Split
from autointerp.store import stable_hash
from autointerp.subjects.subject import Modality, Subject

NOT_READ = {"pictures_refused", "pictures_not_read", "texts_not_read"}
NAMED = 100  # names of refused pictures that are kept, by reason


@dataclass(frozen=True, slots=True)
class Drawn:
    """A context, the piece of text that each of its tokens stands for (none for special ones and patches), its
    document's name, and what a picture shows in the corpus's own words.
    """

    context: Context
    pieces: tuple[str, ...]
    name: str
    label: str = ""


def split_of(document: str, explain_share: float) -> Split:
    """The split depends on the document's name alone, so no setting of a run can move a document across."""
    return "explain" if stable_hash("split", document) / 2**63 < explain_share else "score"


def draw(
    config: CorpusConfig,
    subject: Subject,
    hooks: Sequence[str],
    seed: int,
    counts: dict[str, int],
    refused: dict[str, list[str]],
    scratch: Path,
) -> Generator[Drawn, None, None]:
    """Draw contexts: documents in seeded order, a seeded choice of contexts in each, until there are enough.

    All documents are read once. Those that do not fit the memory go to a folder inside `scratch`, compressed, which
    is removed at the end, however that comes. `counts` is filled on the way and final at the end, and so is `refused`,
    the names of pictures that could not be read, by reason (NAMED of each at most); too few documents for a split are
    refused only there. What the subject does not read at these hooks, texts or pictures, is left out and counted.

    In memory are about 64 MiB of documents, the whole of the one at hand, and a hash for each context drawn (some 90
    bytes) and for each document that trained a dictionary.
    """
    reads = subject.reads(hooks)
    if not reads:
        raise UserError(
            f"you asked for the hooks {' and '.join(hooks)} in one run",
            "no document is read at all of them, some read text and others pictures",
            "collect them in runs of their own, or join two modules by +",
        )
    special = len(subject.prefix) + len(subject.suffix)
    if "text" in reads and special >= config.context_length:
        raise UserError(
            f"you asked for contexts of {config.context_length} tokens",
            f"the tokenizer's own special tokens fill {special} of them",
            "raise corpus.context_length",
        )
    asked, folder = f"you asked for the corpus {config.path!r}", scratch / "documents"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed draw left
    try:
        unlabelled = config.model_copy(update={"label_columns": ()})  # what trained one need not say what it is
        trained = {d.key for path in config.trained_on for d in documents(path, unlabelled)}
        stream = (
            Row(stable_hash(seed, "document", d.name), d.key in trained, d.name, d.text, d.image, d.label)
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
            yield from cut(ordered, config, Reader(subject, hooks, config, counts, refused), seed, counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not counts["contexts"] and NOT_READ & counts.keys():
        raise nothing_read(asked, reads, counts)
    for split in SPLITS:
        n = counts[f"documents_{split}"]
        if n < 2:
            raise UserError(
                asked,
                f"its {found - excluded} documents leave {n} for the {split} split, which needs at least 2",
                "give more documents or change corpus.explain_share",
            )


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document as the subject reads it; `body` is how many tokens are the document's own."""

    place: int
    tokens: tuple[int, ...]
    pieces: tuple[str, ...]
    body: int
    image: bytes = b""
    grid: Grid | None = None
    label: str = ""


class Reader:
    """Turns parts of documents into what the subject reads, and counts and names what it cannot."""

    def __init__(
        self,
        subject: Subject,
        hooks: Sequence[str],
        config: CorpusConfig,
        counts: dict[str, int],
        refused: dict[str, list[str]],
    ) -> None:
        self.subject, self.hooks, self.config = subject, hooks, config
        self.counts, self.refused = counts, refused
        self.reads = subject.reads(hooks)

    def read(self, row: Row) -> Iterator[Piece]:
        if row.image and "image" in self.reads:
            yield from self._picture(row)
        elif row.image and not (row.text and "text" in self.reads):
            self._count("pictures_not_read")
        elif "text" not in self.reads:
            self._count("texts_not_read")
        else:
            yield from self._text(row)

    def _text(self, row: Row) -> Iterator[Piece]:
        subject = self.subject
        body = self.config.context_length - len(subject.prefix) - len(subject.suffix)
        ids, pieces = subject.encode(row.text)
        before, behind = ("",) * len(subject.prefix), ("",) * len(subject.suffix)
        for at in range(0, len(ids), body):
            own = ids[at : at + body]
            tokens = (*subject.prefix, *own, *subject.suffix)
            yield Piece(at, tokens, (*before, *pieces[at : at + body], *behind), len(own), label=row.label)

    def _picture(self, row: Row) -> Iterator[Piece]:
        try:
            picture, done = pictures.read(row.image)
        except pictures.RefusedPictureError as error:
            self._count("pictures_refused")
            names = self.refused.setdefault(str(error), [])
            if len(names) < NAMED:
                names.append(row.name)
                log.warning("  left out %s: %s", row.name, error)
            return
        for what in done:
            self._count(f"pictures, {what}")
        seen, length = self.subject.look(picture, row.text, self.hooks), self.config.context_length
        if "text" in self.reads and seen.grid.positions.stop > self.subject.length(self.hooks, length):
            raise UserError(
                f"you asked for contexts of {length} tokens",
                f"a picture alone takes {seen.grid.positions.stop} positions",
                "raise corpus.context_length",
            )
        length = self.subject.length(self.hooks, length)
        tokens, pieces = tuple(seen.tokens[:length]), tuple(seen.pieces[:length])
        yield Piece(0, tokens, pieces, len(tokens), seen.image, seen.grid, row.label)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def nothing_read(asked: str, reads: frozenset[Modality], counts: dict[str, int]) -> UserError:
    """Why there is no context at all."""
    if counts.get("pictures_refused"):
        found = f"none of its {counts['pictures_refused']} pictures can be read"
    elif counts.get("texts_not_read"):
        found = "it holds texts alone, and the dictionaries read pictures"
    else:
        found = "it holds pictures alone, and the dictionaries read text"
    return UserError(asked, found, f"give it {' and '.join(sorted(reads))}s that can be read")


def cut(
    ordered: Iterable[Row], config: CorpusConfig, reader: Reader, seed: int, counts: dict[str, int]
) -> Iterator[Drawn]:
    """Contexts of documents whose parts follow one another, until there are enough; `counts` is kept up to date."""
    # Of the contexts so far only a hash: 8 bytes that cost some 90 in a set, where 128 tokens would cost over 1,000.
    seen: set[int] = set()
    for name, rows in groupby(ordered, key=attrgetter("name")):
        parts = list(rows)
        # One part of a document that trained a dictionary is enough to leave all of it out.
        if any(part.trained for part in parts):
            continue
        split = split_of(name, config.explain_share)
        cuts = [(part, piece) for part, row in enumerate(parts) for piece in reader.read(row)]
        cuts.sort(key=lambda one: stable_hash(seed, "context", name, one[0], one[1].place))
        taken = 0
        for part, piece in cuts:
            tokens = piece.tokens
            if not piece.image and piece.body < config.min_tokens:
                counts["tails_dropped"] += 1
            elif (known := identity(piece)) in seen:
                counts["duplicate_contexts_dropped"] += 1
            else:
                seen.add(known)
                taken += 1
                counts["contexts"] += 1
                counts["tokens"] += len(tokens)
                if piece.image:
                    counts["pictures"] = counts.get("pictures", 0) + 1
                if taken == 1:
                    counts["documents"] += 1
                    counts[f"documents_{split}"] += 1
                at = stable_hash(name, part, piece.place)
                context = Context(at, stable_hash("document", name), split, tokens, piece.image, piece.grid)
                yield Drawn(context, piece.pieces, name, piece.label)
                if counts["contexts"] == config.contexts:
                    return
                if taken == config.contexts_per_document:
                    break


def identity(piece: Piece) -> int:
    """Equal for contexts that are exact duplicates."""
    if not piece.image:
        return stable_hash(*piece.tokens)
    return stable_hash(hashlib.sha256(piece.image).hexdigest(), *piece.tokens)
