"""Concept lists: the same things in several forms (languages, styles of picture), fixed by a file before a run."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autointerp.config import GeneralisationConfig
from autointerp.corpus.sources import Document, Source, file_of, files, utf8
from autointerp.errors import UserError

KINDS = (".parquet", ".jsonl", ".csv")
READERS: dict[str, Any] = {".parquet": pd.read_parquet, ".jsonl": pd.read_json, ".csv": pd.read_csv}

OPTIONS: dict[str, dict[str, Any]] = {
    ".jsonl": {"lines": True, "dtype": False},
    ".csv": {"dtype": str, "keep_default_na": False},
}


@dataclass(frozen=True, slots=True)
class Member:
    """One name or picture of a document. A concept has documents, a group has concepts that are told apart."""

    document: str
    concept: str
    group: str
    form: str
    text: str
    image: bytes

    @property
    def key(self) -> int:
        """What it is known by where documents are compared."""
        return Document(self.document, self.text, self.image).key


def read(config: GeneralisationConfig) -> list[Member]:
    """The members of a list, empty ones left out. Refuses a list that cannot mean what its columns say."""
    asked = f"you asked for the concept list {config.path!r}"
    sources = files(config.path, KINDS)
    members = [member for source in sources for member in rows(asked, source, config)]
    known = sorted({member.form for member in members})
    for form in config.forms or known:
        if form not in known:
            raise UserError(asked, f"it has no form {form!r}, but {', '.join(known)}", "set generalisation.forms")
    wanted = [member for member in members if not config.forms or member.form in config.forms]
    full = [member for member in wanted if member.text.strip() or member.image]
    empty = sorted({member.form for member in wanted} - {member.form for member in full})
    if empty:
        raise UserError(asked, f"every member of the form {empty[0]!r} is empty", "fill it in, or leave the form out")
    for inner, outer in (("document", "concept"), ("concept", "group")):
        pairs = {(getattr(member, inner), getattr(member, outer)) for member in full}
        name, n = Counter(first for first, _ in pairs).most_common(1)[0]
        if n > 1:
            raise UserError(asked, f"the {inner} {name!r} belongs to {n} {outer}s", f"give each {inner} one {outer}")
    if len(known) < 2:
        raise UserError(asked, f"all of it has one form, {known[0]!r}", "give members in several languages or styles")
    return full


def rows(asked: str, source: Source, config: GeneralisationConfig) -> list[Member]:
    """The rows of one file."""
    ending = next((ending for ending in READERS if source.origin.endswith(ending)), None)
    if ending is None:
        raise UserError(asked, f"{source.origin} is none of {', '.join(READERS)}", "write it as one of them")
    options = OPTIONS.get(ending, {})
    try:
        with source.filesystem.open(source.path, "rb") as handle:
            frame: pd.DataFrame = READERS[ending](handle, **options)
    except (OSError, ValueError) as error:
        raise UserError(asked, f"{source.address} cannot be read ({error})", "write it again") from None
    needed = [config.document_column, config.concept_column, config.form_column]
    needed += [config.group_column] if config.group_column else []
    holding = [name for name in (config.text_column, config.image_column) if name in frame.columns]
    missing = [name for name in needed if name not in frame.columns] + ([] if holding else [config.text_column])
    if missing:
        raise UserError(
            asked,
            f"{source.origin} has no column {missing[0]!r}, but {', '.join(map(str, frame.columns))}",
            "set the columns in [generalisation]",
        )
    return [member_of(row, config) for row in frame.to_dict("records")]


def member_of(row: dict[Any, Any], config: GeneralisationConfig) -> Member:
    def said(column: str) -> str:
        value = row.get(column)
        return "" if value is None or (isinstance(value, float) and pd.isna(value)) else utf8(value)

    image = row.get(config.image_column)
    return Member(
        said(config.document_column),
        said(config.concept_column),
        said(config.group_column) if config.group_column else "",
        said(config.form_column),
        said(config.text_column),
        file_of(image) if isinstance(image, bytes | dict) else b"",
    )
