"""Rules about text whose truth on every token is known: what the features of a planted subject are.

    [rule.years]
    kind = "regex"
    says = "Years with four digits, from 1000 to 2099."
    pattern = '(?<!\\w)(?:1\\d|20)\\d\\d(?!\\w)'
    broader = { says = "Numbers.", pattern = '\\d+' }
    narrower = { says = "Years of the 20th century.", pattern = '(?<!\\w)19\\d\\d(?!\\w)' }

A rule fires where its pattern matches, or on its words and those of its classes (lists under [classes]). Beside it
stand two descriptions that are false in a known way: `broader` holds wherever the rule does and elsewhere too, so
whoever believes it loses precision; `narrower` holds in a part of it, and loses recall.

A rule is asked about the text that is there. An excerpt begins and ends at any token, so what a rule has to see around
a match (the bracket that opens, the rest of a word in several tokens) may lie outside of it. The shipped rules look as
few tokens around as they can.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import regex
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autointerp import assets
from autointerp.errors import UserError

Kind = Literal["regex", "lexicon", "code point", "class"]
SAID_BY: dict[Kind, str] = {"regex": "pattern", "lexicon": "words", "code point": "pattern", "class": "classes"}
WORD = regex.compile(r"\w+")
FEATURES = "features.csv"  # in the folder of a dictionary of a planted subject: which feature is which rule


@dataclass(frozen=True, slots=True)
class Rule:
    """`says` is true of it. It has a pattern or words, in lower case unless `cased`; neighbours have no neighbours."""

    id: str
    kind: Kind
    says: str
    pattern: str = ""
    words: frozenset[str] = frozenset()
    cased: bool = False
    broader: "Rule | None" = None
    narrower: "Rule | None" = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it holds in a text, as (start, stop), in order; words are whole runs of letters, digits and _."""
        if self.pattern:
            yield from (match.span() for match in compiled(self.pattern).finditer(text))
        for match in WORD.finditer(text) if self.words else ():
            if (match[0] if self.cased else match[0].lower()) in self.words:
                yield match.span()

    def marks(self, pieces: Sequence[str]) -> tuple[bool, ...]:
        """Whether it fires on each token of a text, given the pieces that join to it.

        A token fires where a match covers any of its characters; one without text never does.
        """
        ends = list(accumulate(map(len, pieces)))
        found, at = [False] * len(pieces), 0
        for start, stop in self.spans("".join(pieces)):
            while ends[at] <= start:
                at += 1
            behind = at
            while behind < len(pieces) and ends[behind] - len(pieces[behind]) < stop:
                found[behind] |= bool(pieces[behind])
                behind += 1
        return tuple(found)


@cache
def compiled(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern)


class Statement(BaseModel):
    """A description and what it means, as a file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: str = Field(min_length=1)
    pattern: str = ""
    words: str = ""
    classes: tuple[str, ...] = ()
    cased: bool = False


class Entry(Statement):
    kind: Kind
    broader: Statement
    narrower: Statement


class File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: dict[str, Entry] = Field(min_length=1)
    classes: dict[str, str] = {}


def load(path: str | Path) -> dict[str, Rule]:
    """The rules of a file, here or shipped, by id in the file's order; raises UserError where they contradict."""
    asked = f"you asked for the rules in {path}"
    source = assets.locate(str(path))
    if source is None or not source.is_file():
        raise UserError(asked, "there is no such file", "check its path")
    try:
        file = File.model_validate(tomllib.loads(source.read_text("utf-8")))
        return {name: rule_of(name, entry, file.classes) for name, entry in file.rule.items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(asked, f"it is not TOML ({error})", "mend it") from None
    except ValidationError as error:
        raise UserError(asked, first_problem(error.errors()[0]), "mend it") from None
    except ContradictionError as error:
        raise UserError(asked, str(error), "mend it") from None


class ContradictionError(Exception):
    """What is wrong with a rule, in words."""


def first_problem(item: Any) -> str:
    where = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"{where} is not a known key"
    return f"{where} is missing" if item["type"] == "missing" else f"{where} is wrong ({item['msg'].lower()})"


def rule_of(name: str, entry: Entry, classes: dict[str, str]) -> Rule:
    """The rule of an entry with its neighbours. Words can be compared, so they have to contain one another."""
    if not getattr(entry, SAID_BY[entry.kind]):
        raise ContradictionError(f"the rule {name!r} is of the kind {entry.kind!r} and has no {SAID_BY[entry.kind]}")
    broader = stated(f"{name}.broader", entry.kind, entry.broader, classes)
    narrower = stated(f"{name}.narrower", entry.kind, entry.narrower, classes)
    rule = stated(name, entry.kind, entry, classes, broader, narrower)
    for inner, outer in ((narrower, rule), (rule, broader)):
        if inner.words and outer.words and inner.cased == outer.cased and not inner.words < outer.words:
            lost = ", ".join(sorted(inner.words - outer.words)[:3]) or "nothing less than all"
            raise ContradictionError(f"{inner.id} holds {lost} that {outer.id} must hold, with more beside")
    return rule


def stated(
    name: str,
    kind: Kind,
    statement: Statement,
    classes: dict[str, str],
    broader: Rule | None = None,
    narrower: Rule | None = None,
) -> Rule:
    for unknown in set(statement.classes) - classes.keys():
        raise ContradictionError(f"{name} names the class {unknown!r}, and there are {', '.join(classes) or 'none'}")
    words = " ".join([statement.words, *(classes[one] for one in statement.classes)])
    if bool(statement.pattern) == bool(words.split()):
        raise ContradictionError(f"{name} needs a pattern or words, one of them")
    try:
        if statement.pattern and compiled(statement.pattern).match(""):
            raise ContradictionError(f"the pattern of {name} matches nothing at all")
    except regex.error as error:
        raise ContradictionError(f"the pattern of {name} is none ({error})") from None
    held = frozenset((words if statement.cased else words.lower()).split())
    return Rule(name, kind, statement.says, statement.pattern, held, statement.cased, broader, narrower)


def features_of(folder: Path) -> dict[int, str]:
    """Which rule a feature of a dictionary of a planted subject stands for, by feature; the others stand for none."""
    try:
        table = pd.read_csv(folder / FEATURES, dtype={"feature": int, "rule": str})
    except FileNotFoundError:
        raise UserError(
            f"you asked which rules the features of {folder} are",
            f"it holds no {FEATURES}",
            "name a planted dictionary",
        ) from None
    return dict(zip(table["feature"].tolist(), table["rule"].tolist(), strict=True))
