"""Explanations that somebody brings: a CSV, or what Neuronpedia exports.

The CSV has the columns dictionary, feature, explanation and perhaps author. An export is JSON lines, gzipped or not, in
one file or a folder of them, or one JSON list. Of its records modelId, layer (there the source, say
20-gemmascope-res-16k), index, description and explanationModelName are read.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp import assets
from autointerp.config import GivenExplainer, RunConfig
from autointerp.errors import UserError
from autointerp.explain.explainer import Key, Work, Written
from autointerp.job import Job
from autointerp.prompt import plain
from autointerp.records import Author, Model
from autointerp.store import digest

Settings = GivenExplainer
COLUMNS = ("dictionary", "feature", "explanation")
NOT_THERE = "the file has no explanation for it"
EXPORTS = (".json", ".jsonl", ".jsonl.gz", ".json.gz")


@dataclass(frozen=True, slots=True)
class Given:
    """One explanation of a file. `place` is a dictionary, or in an export a source; without an author it is unknown."""

    place: str
    feature: int
    text: str
    author: str
    model: str = ""  # the subject that an export is about


def models(role: GivenExplainer, config: RunConfig) -> list[Model]:
    named = authors(role, role.dictionaries or list(config.dictionaries)) - {"human"}
    return [Model("given", author) for author in sorted(named)]


def made_of(role: GivenExplainer, job: Job) -> list[str]:
    location = assets.locate(role.path)
    return [digest(location) if location else ""]


def explain(role: GivenExplainer, work: Work) -> dict[Key, Written]:
    in_file = read(role, list(role.dictionaries or work.evidence))
    return {key: written(in_file[key]) if key in in_file else Written("", NOT_THERE) for key in work.keys}


def written(one: Given) -> Written:
    model = one.author or "unknown"
    return Written(one.text, author=None if model == "human" else Author("explainer", "given", model, model))


def read(role: GivenExplainer, dictionaries: Sequence[str]) -> dict[tuple[str, int], Given]:
    """Explanations by (dictionary, feature). The last of several for one feature would hide the others: refused."""
    source = assets.locate(role.path) or Path(role.path)
    asked = f"you asked for the explanations in {role.path}"
    if source.is_dir() or source.name.endswith(EXPORTS):
        rows = placed(role, dictionaries, [row for file in files(source, asked) for row in exported(file, asked)])
    elif role.sources:
        raise UserError(asked, "its sources are set and it is a CSV, which names dictionaries", "leave sources out")
    else:
        rows = tabled(source, asked)
    found: dict[tuple[str, int], Given] = {}
    for row in rows:
        if not row.text or role.only not in (None, row.author):
            continue
        if (row.place, row.feature) in found:
            authors = sorted({row.author or "unknown", found[row.place, row.feature].author or "unknown"})
            raise UserError(
                asked,
                f"feature {row.feature} of {row.place} has more than one, by {' and '.join(authors)}",
                "keep one, or take those of one author with only" if len(authors) > 1 else "keep one",
            )
        found[row.place, row.feature] = replace(row, author=role.author or row.author)
    if not found and role.only is not None:
        authors = sorted({row.author or "unknown" for row in rows})
        raise UserError(asked, f"none is by {role.only!r}; its authors are {', '.join(authors)}", "name one of these")
    return found


def authors(role: GivenExplainer, dictionaries: Sequence[str]) -> set[str]:
    """Who wrote them: models by name, `human`, and `unknown`. The file is read only where the config does not say."""
    if role.author is not None:
        return {role.author}
    return {given.author or "unknown" for given in read(role, dictionaries).values()}


def tabled(source: Path, asked: str) -> list[Given]:
    try:
        table = pd.read_csv(source, dtype=str, encoding="utf-8", keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(asked, f"they cannot be read ({error})", "mend the file") from None
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise UserError(
            asked,
            f"the column {missing[0]!r} is not there; it has {', '.join(table.columns)}",
            f"give the columns {', '.join(COLUMNS)}",
        )
    stray = table["feature"][~table["feature"].str.fullmatch(r"\s*\d+(\.0*)?\s*")]
    if len(stray):
        raise UserError(asked, f"{stray.iloc[0]!r} is not the number of a feature", "mend it")
    author = table["author"].str.strip() if "author" in table.columns else [""] * len(table)
    return [
        Given(place, int(float(feature)), plain(text), writer)
        for place, feature, text, writer in zip(
            table["dictionary"], table["feature"], table["explanation"], author, strict=True
        )
    ]


def files(source: Path, asked: str) -> list[Path]:
    """The files of an export."""
    if not source.is_dir():
        return [source]
    found = sorted(path for path in source.iterdir() if path.name.endswith(EXPORTS))
    if not found:
        raise UserError(asked, "the folder holds no .json, .jsonl or .jsonl.gz", "name the folder of an export")
    return found


def exported(path: Path, asked: str) -> list[Given]:
    """The records of one file of an export."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(asked, f"{path.name} cannot be read ({error})", "download it again") from None
    found, broken = [], []
    for name, record in records(path, text):
        try:
            found.append(given(record))
        except (ValueError, KeyError, TypeError, AttributeError):
            broken.append(name)
    if broken:
        more = f", the first of {len(broken)} such" if len(broken) > 1 else ""
        raise UserError(
            asked,
            f"{broken[0]} of {path.name} is no record with layer, index and description{more}",
            "mend or remove it",
        )
    return found


def records(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """(what to call it, record) for each record of a file; None for a line that is no JSON."""
    if ".jsonl" in path.suffixes:
        # Lines end at \n alone: descriptions may hold what other readers take for the end of a line.
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"line {number}", parsed(line)
        return
    content = parsed(text)
    if isinstance(content, dict):
        content = content.get("explanations")
    yield from (
        ((f"record {number}", record) for number, record in enumerate(content, 1))
        if isinstance(content, list)
        else [("the whole", None)]
    )


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def given(record: dict[str, Any]) -> Given:
    """An explanation from a record. Raises one of several errors where it is none."""
    layer, index, description = record["layer"], record["index"], record["description"]
    if not isinstance(layer, str) or isinstance(index, bool | float) or int(index) < 0:
        raise ValueError
    author = record.get("explanationModelName") or ""
    return Given(layer, int(index), plain(description or ""), author.strip(), record.get("modelId") or "")


def placed(role: GivenExplainer, dictionaries: Sequence[str], rows: list[Given]) -> list[Given]:
    """The records of an export by dictionary instead of source; those of sources that nobody asked for are left out."""
    asked = f"you asked for the explanations in {role.path}"
    found = sorted({row.place for row in rows})
    if role.sources:
        missing = sorted(set(role.sources) - set(found))
        if missing:
            raise UserError(
                asked,
                f"it has nothing of the source {missing[0]!r}, only of {', '.join(found) or 'none'}",
                "mend sources",
            )
        sources = role.sources
    elif len(found) == 1 and len(dictionaries) == 1:
        sources = {found[0]: dictionaries[0]}
    else:
        raise UserError(
            asked,
            f"it has the sources {', '.join(found) or 'none'} for the dictionaries {', '.join(dictionaries)}",
            "say with sources which belongs to which",
        )
    kept = [row for row in rows if row.place in sources]
    models = sorted({row.model for row in kept})
    if len(models) > 1:
        raise UserError(asked, f"they are of several models, {' and '.join(models)}", "keep those of one")
    return [replace(row, place=sources[row.place]) for row in kept]
