"""Rubrics: one file per question put to a model. Front matter in TOML between +++ lines, then the text.

The hash of the file stands in every score it took part in, so a changed rubric can never pass for the old one.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp import assets
from autointerp.errors import UserError


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


def load(name: str) -> Rubric:
    """A shipped rubric by id, or the user's own by path."""
    path = Path(name) if name.endswith(".md") else assets.rubrics() / f"{name}.md"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in assets.rubrics().glob("*.md")))
        raise UserError(
            f"you asked for the rubric {name!r}", f"there is no {path}", f"use one of {known} or a path to a .md file"
        )
    raw = path.read_bytes()
    try:
        _, front, text = raw.decode("utf-8").split("+++", 2)
        meta = tomllib.loads(front)
        return Rubric(
            meta["id"], meta["version"], meta["scale"], meta["schema"], text.strip(), hashlib.sha256(raw).hexdigest()
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"you asked for the rubric {name!r}",
            f"{path.name} needs front matter between +++ lines with id, version, scale and schema ({error})",
            "mend the file",
        ) from None
