"""Categories of concepts, each a file of single words, and the sentences that end in them.

A folder holds one CSV file a category: a column `concept`, and a column `pseudo` that is filled in for a word that
means nothing and is there to be wrongly found. Beside them `templates.csv` has the columns `category` and `template`; a
template ends in `{concept}`, so that the concept is the last that the subject has read.
"""

import re
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from autointerp.corpus.sources import Source, files
from autointerp.errors import UserError

TEMPLATES = "templates.csv"
PLACE = "{concept}"


@dataclass(frozen=True, slots=True)
class Category:
    """Its concepts, its pseudo-concepts and its templates, in the order of their files."""

    name: str
    concepts: tuple[str, ...]
    pseudo: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Concepts first, then pseudo-concepts."""
        return self.concepts + self.pseudo


def sentence(template: str, word: str) -> str:
    """The text of a context: a template up to and with the concept."""
    return template.removesuffix(PLACE) + word


def read(path: str) -> list[Category]:
    """The categories of a folder, in the order of their names. Refuses lists that cannot mean what they say."""
    asked = f"you asked for the concepts in {path!r}"
    sources = {source.origin: source for source in files(path, (".csv",))}
    if TEMPLATES not in sources or len(sources) < 2:
        raise UserError(asked, f"it is no folder of lists with a {TEMPLATES}", "write one line a template")
    sentences = table(asked, sources.pop(TEMPLATES), ("category", "template"))
    found = []
    for origin, source in sources.items():
        name, rows = origin.removesuffix(".csv"), table(asked, source, ("concept",))
        words, meant = rows["concept"], rows["pseudo"] == "" if "pseudo" in rows else rows["concept"] != ""
        templates = tuple(sentences["template"][sentences["category"].isin([name])])
        check(asked, name, words.tolist(), templates)
        found.append(Category(name, tuple(words[meant]), tuple(words[~meant]), templates))
    times = Counter(word for category in found for word in category.words)
    twice = [word for word, n in times.items() if n > 1]
    if twice:
        raise UserError(asked, f"{twice[0]!r} is in it {times[twice[0]]} times", "keep one of them")
    return found


def table(asked: str, source: Source, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file as words, none of them taken for a number or for nothing."""
    try:
        with source.filesystem.open(source.path, "rb") as handle:
            rows = pd.read_csv(handle, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(asked, f"{source.address} cannot be read ({error})", "write it again") from None
    missing = [column for column in columns if column not in rows]
    if missing:
        there = ", ".join(map(str, rows.columns))
        raise UserError(asked, f"{source.origin} has no column {missing[0]!r}, but {there}", "name its columns")
    return rows


def check(asked: str, name: str, words: list[str], templates: tuple[str, ...]) -> None:
    odd = [word for word in words if not re.fullmatch(r"\w+", word)]
    if odd:
        raise UserError(asked, f"{odd[0]!r} in {name} is not a single word", "leave it out")
    if len(templates) < 2:
        found = f"{TEMPLATES} has {len(templates)} templates for {name}"
        raise UserError(asked, found, "give at least two: features are chosen on one half and tested on the other")
    ill = [template for template in templates if not template.endswith(PLACE) or template.count(PLACE) > 1]
    if ill:
        raise UserError(asked, f"the template {ill[0]!r} of {name} does not end in {PLACE}", "let it end there")
