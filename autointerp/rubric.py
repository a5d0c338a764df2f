"""Rubrics: one file per question put to a model. Front matter in TOML between +++ lines, then the text.

The hash of the file stands in every score it took part in, so a changed rubric can never pass for the old one. A
rubric is named by its id, which is its file's name in the user's folder or else among the shipped ones, or by a path.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from autointerp import assets
from autointerp.errors import UserError

KEYS = {"id": str, "version": int, "scale": str, "schema": dict}


@dataclass(frozen=True, slots=True)
class Rubric:
    """`schema` is the JSON schema of an answer; `text` is what every request of this rubric begins with."""

    id: str
    version: int
    scale: str
    schema: dict[str, Any]
    text: str
    hash: str

    @property
    def name(self) -> str:
        """What scores record: id, version and the first digits of the hash."""
        return f"{self.id}.{self.version}@{self.hash[:8]}"


def load(name: str, folder: str | None = None, like: str = "") -> Rubric:
    """A rubric by id, from `folder` where it has one of that id, or by the path of a .md file.

    `like` is the shipped one in whose place it stands: answers to it need the same parts, since these are read.
    """
    path = find(name, folder)
    asked = f"you asked for the rubric {name!r}"
    try:
        raw = path.read_bytes()
        _, front, text = raw.decode("utf-8").split("+++", 2)
        meta = tomllib.loads(front)
    except (OSError, ValueError) as error:
        raise UserError(
            asked, f"{path} has no front matter in TOML between +++ lines ({error})", "mend the file"
        ) from None
    problem = fault(meta, text, parts(load(like).schema) if like and path != assets.rubrics() / f"{like}.md" else set())
    if not problem and not name.endswith(".md") and meta["id"] != name:
        problem = f"its id is {meta['id']!r}, which is not the name of the file"
    if problem:
        raise UserError(asked, f"{path} is not one: {problem}", "mend the file")
    return Rubric(**meta, text=text.strip(), hash=hashlib.sha256(raw).hexdigest())


def asked(named: str | None, question: str, sees: bool, folder: str | None) -> Rubric:
    """The rubric of a question that a role names, or else its default (see there)."""
    return load(named or default(question, sees, folder), folder, question)


def default(name: str, sees: bool, folder: str | None) -> str:
    """The id of the rubric for a question that no role names: there may be another one for pictures.

    A rubric of that question in the user's own `folder` goes before the shipped one for pictures.
    """
    for_pictures = f"{name}_images"
    own = Path(folder).expanduser() if folder is not None else None
    if not sees or (own and (own / f"{name}.md").is_file() and not (own / f"{for_pictures}.md").is_file()):
        return name
    return for_pictures if (assets.rubrics() / f"{for_pictures}.md").is_file() else name


def find(name: str, folder: str | None) -> Path:
    """The file of a rubric."""
    if name.endswith(".md"):
        folders, path = [], Path(name).expanduser()
    else:
        own = [Path(folder).expanduser()] if folder is not None else []
        if own and not own[0].is_dir():
            raise UserError(f"you asked for rubrics in {folder}", "there is no such folder", "check the path")
        folders = [*own, assets.rubrics()]
        path = next((p for p in (place / f"{name}.md" for place in folders) if p.is_file()), Path(f"{name}.md"))
    if not path.is_file():
        known = ", ".join(sorted({p.stem for place in folders or [assets.rubrics()] for p in place.glob("*.md")}))
        raise UserError(
            f"you asked for the rubric {name!r}", f"there is no {path}", f"use one of {known} or a path to a .md file"
        )
    return path


def parts(schema: dict[str, Any]) -> set[str]:
    """What answers have to hold, entries of their lists among it: answers, answers.id, answers.fits, say."""
    found = set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        found |= {f"{name}.{inner}" for inner in part.get("items", {}).get("required", ())}
    return found


def fault(meta: dict[str, Any], text: str, needed: set[str]) -> str:
    """What is wrong with a rubric, if anything."""
    for key, kind in KEYS.items():
        if key not in meta:
            return f"its front matter needs id, version, scale and schema, and {key} is missing"
        if type(meta[key]) is not kind or not meta[key]:
            return (
                f"{key} = {meta[key]!r} is not {'a table' if kind is dict else 'a number' if kind is int else 'text'}"
            )
    stray = sorted(set(meta) - set(KEYS))
    if stray:
        return f"{stray[0]!r} is not a known key of its front matter, which has id, version, scale and schema"
    schema = meta["schema"]
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"its schema is no JSON schema at {error.json_path}: {error.message}"
    missing = sorted(needed - parts(schema))
    if missing:
        return f"its schema does not require {missing[0]!r}, a part of an answer that is read"
    return "" if text.strip() else "there is no text after the front matter"
