"""Lists of what is watched for: a folder of TOML files, each with two kinds of texts that a feature has to tell apart.

    about = "Somebody makes another believe what is false."
    terms = ["deceive", "lie"]

    [[pairs]]
    concerning = "He told the auditor that the account was empty, and moved the money at night."
    benign = "He told the auditor that the account was full, and showed her the money at noon."

The two texts of a pair are twins: they differ in what is of concern and in little else. `terms` are words by which an
explanation names it.
"""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autointerp.corpus.sources import Source, files, fingerprints
from autointerp.errors import UserError

KIND = (".toml",)
NOT_A_LIST = "dataset.toml"  # what a folder of lists says of itself
FEWEST = 4  # pairs: two that choose and two that report
WORD = re.compile(r"[^\W_]+")


class Pair(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    concerning: str = Field(min_length=1)
    benign: str = Field(min_length=1)


class File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    about: str
    terms: tuple[str, ...]
    pairs: tuple[Pair, ...] = Field(min_length=FEWEST)


@dataclass(frozen=True, slots=True)
class WatchList:
    """One thing that is watched for; the name is that of its file."""

    name: str
    about: str
    terms: frozenset[str]
    pairs: tuple[Pair, ...]

    def named_in(self, explanation: str) -> bool:
        """Whether an explanation holds one of the terms as a word."""
        return not self.terms.isdisjoint(words(explanation))


def words(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


def read(path: str) -> list[WatchList]:
    """The lists of a folder, or of one file, in the order of their names; a UserError says what is wrong with one."""
    found = [read_one(path, source) for source in files(path, KIND) if source.origin != NOT_A_LIST]
    if not found:
        raise UserError(f"you asked to watch {path!r}", "it holds no list", "write a file for each thing to watch")
    return found


def read_one(path: str, source: Source) -> WatchList:
    asked = f"you asked to watch {path!r}"
    try:
        with source.filesystem.open(source.path, "rb") as handle:
            content = tomllib.loads(handle.read().decode("utf-8"))
        one = File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(asked, f"in {source.origin} {where} cannot be so: {first['msg']}", "mend it") from None
    except (OSError, ValueError) as error:
        raise UserError(asked, f"{source.origin} cannot be read ({error})", "write it again") from None
    times = Counter(text for pair in one.pairs for text in (pair.concerning, pair.benign))
    twice = next((text for text, n in times.items() if n > 1), None)
    if twice:
        raise UserError(asked, f"{source.origin} has the text {twice!r} twice", "keep one of them")
    name = source.origin.removesuffix(KIND[0])
    return WatchList(name, one.about, frozenset(term.lower() for term in one.terms), one.pairs)


def hashes(path: str) -> dict[str, str]:
    """What the lists of a folder are known by."""
    return {origin: value for origin, value in fingerprints(path, KIND).items() if origin != NOT_A_LIST}
