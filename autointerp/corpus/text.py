"""Documents from the user's files, and contexts from documents.

A context never crosses a document, exact duplicates are dropped, documents that trained a dictionary are left out,
and the split between `explain` and `score` is made here, once, by document, before anything reads the text.
Everything that is left out is counted.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp import assets
from autointerp.config import CorpusConfig
from autointerp.errors import UserError
from autointerp.records import Context, Split
from autointerp.subjects.text import TextSubject


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The contexts of a run, their text pieces (same order, same lengths), and what was counted on the way."""

    contexts: tuple[Context, ...]
    pieces: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    counts: dict[str, int]


def stable_hash(*parts: object) -> int:
    """A 63-bit hash that is the same on every machine and in every process."""
    joined = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def files(path: str) -> list[Path]:
    """The files behind a corpus path, in a stable order; empty for a hub dataset."""
    if path.startswith("hf:"):
        return []
    location = assets.locate(path)
    if location is None:
        raise UserError(f"you asked for the corpus {path!r}", "there is no such file or folder", "check corpus.path")
    if location.is_file():
        return [location]
    found = sorted(p for p in location.rglob("*") if p.suffix in {".txt", ".jsonl", ".parquet"} and p.is_file())
    if not found:
        raise UserError(
            f"you asked for the corpus {path!r}", "the folder holds no .txt, .jsonl or .parquet", "add some"
        )
    return found


def documents(path: str, config: CorpusConfig) -> list[Document]:
    """All documents of a corpus. Rows that share a document name are joined by the splits, not by their text."""
    found: list[Document] = []
    sources = files(path)
    for source in sources:
        location = assets.locate(path) or source
        origin = source.relative_to(location).as_posix() if location.is_dir() else source.name
        try:
            found += read(source, origin, config, alone=location.is_file())
        except UnicodeDecodeError as error:
            raise UserError(
                f"you asked for the corpus {path!r}",
                f"{source.name} is not UTF-8 (byte {error.start})",
                "convert it, for example with iconv -t utf-8",
            ) from None
    if path.startswith("hf:"):
        found = list(hub(path.removeprefix("hf:"), config))
    found = [document for document in found if document.text.strip()]
    if not found:
        raise UserError(f"you asked for the corpus {path!r}", "it holds no text", "give files with some text in them")
    return found


def read(source: Path, origin: str, config: CorpusConfig, alone: bool) -> Iterator[Document]:
    """One file. A .txt in a folder is one document; a .txt on its own is split at blank lines."""
    if source.suffix == ".parquet":
        try:
            rows = pq.read_table(source)
        except (pa.ArrowInvalid, OSError) as error:  # OSError: a damaged page behind an intact footer
            raise UserError(
                f"you asked for {source}", f"it is not readable parquet ({error})", "write it again"
            ) from None
        yield from named(origin, rows.to_pylist(), rows.column_names, config)
    elif source.suffix == ".jsonl":
        rows = []
        # Not splitlines, which also cuts at U+2028 and its like: they may stand inside a JSON string.
        for number, line in enumerate(source.read_text("utf-8").split("\n"), 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except json.JSONDecodeError as error:
                found = f"line {number} is not JSON ({error.msg})"
                raise UserError(f"you asked for {source}", found, "mend or remove that line") from None
            if not isinstance(row, dict):
                raise UserError(
                    f"you asked for {source}", f"line {number} is not a JSON object", "mend or remove that line"
                )
            rows.append(row)
        rows = [row for row in rows if row]
        yield from named(origin, rows, sorted({k for row in rows for k in row}), config)
    else:
        text = source.read_text("utf-8")
        blocks = [block for block in text.split("\n\n") if block.strip()] if alone else [text]
        for number, block in enumerate(blocks):
            yield Document(f"{origin}#{number}" if alone else origin, block)


def named(origin: str, rows: list[dict[str, Any]], columns: list[str], config: CorpusConfig) -> Iterator[Document]:
    if rows and config.text_column not in columns:
        raise UserError(
            f"you asked for the column {config.text_column!r}",
            f"{origin} has the columns {', '.join(map(str, columns))}",
            "set corpus.text_column",
        )
    for number, row in enumerate(rows):
        name = row.get(config.document_column)
        yield Document(f"{origin}#{number}" if name is None else utf8(name), utf8(row.get(config.text_column) or ""))


def utf8(value: object) -> str:
    """A value as text; half of a surrogate pair, which a JSON escape can leave behind, becomes '?'."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def hub(name: str, config: CorpusConfig) -> Iterator[Document]:
    """A Hugging Face dataset `id` or `id:split`, when that library is installed."""
    try:
        # The version is asked for first: a folder called `datasets` would import, but has no version.
        importlib.metadata.version("datasets")
        from datasets import load_dataset
    except (ImportError, importlib.metadata.PackageNotFoundError):
        raise UserError(
            f"you asked for hf:{name}", "the datasets library is not installed", "pip install datasets"
        ) from None
    identifier, _, split = name.partition(":")
    rows = load_dataset(identifier, split=split or "train")
    yield from named(identifier, list(rows), list(rows.column_names), config)


def split_of(document: str, explain_share: float) -> Split:
    """The split depends on the document's name alone, so no setting of a run can move a document across."""
    return "explain" if stable_hash("split", document) / 2**63 < explain_share else "score"


def build(config: CorpusConfig, subject: TextSubject, seed: int) -> Corpus:
    """Draw contexts: documents in seeded order, a seeded choice of contexts in each, until there are enough."""
    trained = {stable_hash(d.text) for path in config.trained_on for d in documents(path, config)}
    everything = documents(config.path, config)
    by_name: dict[str, list[Document]] = {}
    for document in everything:
        by_name.setdefault(document.name, []).append(document)
    # One part of a document that trained a dictionary is enough to leave all of it out.
    excluded = {document.name for document in everything if stable_hash(document.text) in trained}
    usable = {name: parts for name, parts in by_name.items() if name not in excluded}
    if not usable:
        raise UserError(
            f"you asked for the corpus {config.path!r}",
            "every document in it trained a dictionary (corpus.trained_on)",
            "give held-out documents",
        )
    body = config.context_length - len(subject.prefix) - len(subject.suffix)
    if body < 1:
        raise UserError(
            f"you asked for contexts of {config.context_length} tokens",
            f"the tokenizer's own special tokens fill {len(subject.prefix) + len(subject.suffix)} of them",
            "raise corpus.context_length",
        )
    chosen: list[tuple[Context, tuple[str, ...], str]] = []
    seen: set[tuple[int, ...]] = set()
    counts = {
        "documents_found": len(by_name),
        "documents_excluded_as_training": len(excluded),
        "tails_dropped": 0,
        "duplicate_contexts_dropped": 0,
    }
    for name in sorted(usable, key=lambda name: stable_hash(seed, "document", name)):
        if len(chosen) >= config.contexts:
            break
        cuts = []
        for part, document in enumerate(usable[name]):
            ids, pieces = subject.encode(document.text)
            cuts += [(part, at, ids[at : at + body], pieces[at : at + body]) for at in range(0, len(ids), body)]
        cuts.sort(key=lambda cut: stable_hash(seed, "context", name, cut[0], cut[1]))
        taken = 0
        for part, at, ids, pieces in cuts:
            if len(chosen) >= config.contexts or taken == config.contexts_per_document:
                break
            tokens = (*subject.prefix, *ids, *subject.suffix)
            if len(ids) < config.min_tokens:
                counts["tails_dropped"] += 1
            elif tokens in seen:
                counts["duplicate_contexts_dropped"] += 1
            else:
                seen.add(tokens)
                taken += 1
                split = split_of(name, config.explain_share)
                context = Context(stable_hash(name, part, at), stable_hash("document", name), split, tokens)
                chosen.append(
                    (context, ("",) * len(subject.prefix) + tuple(pieces) + ("",) * len(subject.suffix), name)
                )
    for split in ("explain", "score"):
        found = len({context.document for context, _, _ in chosen if context.split == split})
        counts[f"documents_{split}"] = found
        if found < 2:
            raise UserError(
                f"you asked for the corpus {config.path!r}",
                f"its {len(usable)} documents leave {found} for the {split} split, which needs at least 2",
                "give more documents or change corpus.explain_share",
            )
    contexts = tuple(context for context, _, _ in chosen)
    counts["documents"] = len({context.document for context in contexts})
    counts["contexts"] = len(contexts)
    counts["tokens"] = sum(len(context.tokens) for context in contexts)
    return Corpus(contexts, tuple(pieces for _, pieces, _ in chosen), tuple(name for _, _, name in chosen), counts)
