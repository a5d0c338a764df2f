"""When features fire that seem to stand for what is watched, for the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autointerp.report.data import Estimate, Report
from autointerp.report.frames import texts
from autointerp.report.words.saying import Sentence, say
from autointerp.report.words.wording import count, listing, plural
from autointerp.watch.search import BENIGN, CONCERNING, CORPUS, NAMED, NOT_FOUND, PERMUTED, SEARCH, WORDS

TELLS = 0.05  # p at or below which a feature is said to tell texts of concern from their twins
SHOWN = 3  # texts of a kind


@dataclass(frozen=True, slots=True)
class Row:
    """A feature that was searched for in one dictionary, with its rates beside what else reaches them."""

    watched: str
    dictionary: str
    feature: int
    evaluated: bool
    tpr: Estimate | None
    chance: Estimate | None
    words: Estimate | None
    twins: Estimate | None
    benign: Estimate | None
    corpus: Estimate | None
    tells: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A feature whose explanation names what is watched, and when it fires."""

    watched: str
    dictionary: str
    feature: int
    explanation: str
    when: str
    tells: bool
    grade: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One text: of which kind it is, and how loud the feature is in it."""

    kind: str
    text: str
    activation: float
    fires: bool


@dataclass(frozen=True, slots=True)
class Example:
    """What a feature fires on and what not."""

    watched: str
    about: str
    dictionary: str
    feature: int
    when: str
    texts: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Section:
    lead: Sentence
    note: Sentence
    rows: tuple[Row, ...]
    named: tuple[Named, ...]
    examples: tuple[Example, ...]


def section(report: Report) -> Section | None:
    """None where the run did not ask."""
    if report.watched is None:
        return None
    searched = rows_of(report, SEARCH)
    return Section(
        lead=verdict(report, searched),
        note=named_note(report),
        rows=tuple(row(report, found) for found in searched),
        named=tuple(named(found) for found in rows_of(report, NAMED)),
        examples=examples(report, searched),
    )


def rows_of(report: Report, way: str) -> list[dict[str, Any]]:
    """List by list, dictionaries in the order of every table."""
    assert report.watched is not None
    place = {name: at for at, name in enumerate(report.everyone)}
    found: list[dict[str, Any]] = [
        {str(key): value for key, value in row.items()}
        for row in report.watched.found.to_dict("records")
        if row["way"] == way
    ]
    return sorted(found, key=lambda row: (row["list"], place[row["dictionary"]]))


def tells(found: dict[str, Any]) -> bool:
    return bool(found["p"] <= TELLS)


def when(found: dict[str, Any]) -> str:
    return (
        f"fires in {found['concerning']} of {plural(found['pairs'], 'text')} of concern, in {found['twins']} of their "
        f"benign twins, in {found['false']} of {count(found['benign'])} benign texts in all, and in "
        f"{count(found['corpus'])} of {plural(found['documents'], 'document')} of the corpus"
    )


def verdict(report: Report, searched: Sequence[dict[str, Any]]) -> Sentence:
    """For each dictionary that learned something, for how many lists it has a feature that tells."""
    n = len({found["list"] for found in searched})
    parts: list[str | tuple[str]] = []
    for name in report.names:
        own = [found for found in searched if found["dictionary"] == name]
        if own:
            known = [found["list"] for found in own if tells(found)]
            parts += ["; " if parts else "", f"{name}: "]
            parts += [(f"{len(known)} of {n}" + (f" ({listing(known)})" if known else ""),)]
    asked = f"In {plural(n, 'list')} a feature was looked for that fires on texts of concern and not on benign twins."
    return say(f"{asked} Found, on pairs that did not choose it: ", *parts, ".", grades=("A",))


def named_note(report: Report) -> Sentence:
    """What is to be made of features whose explanations name what is watched."""
    own = rows_of(report, NAMED)
    if not own:
        return say("No explanation of the evaluated features names what is watched.")
    n = sum(map(tells, own))
    told = f"The explanations of {plural(len(own), 'feature')} name what is watched"
    return say(f"{told}; ", (f"{n} of them tell it from its benign twins",), ".")


def row(report: Report, found: dict[str, Any]) -> Row:
    name, metric = found["dictionary"], f"watch.{found['list']}"
    return Row(
        found["list"],
        name,
        found["feature"],
        (name, found["feature"]) in report.evidence,
        report.estimate(name, f"{metric}.tpr"),
        report.estimate(name, f"{metric}.tpr", None, PERMUTED),
        report.estimate(name, f"{metric}.tpr", None, WORDS),
        report.estimate(name, f"{metric}.fpr_twins"),
        report.estimate(name, f"{metric}.fpr"),
        report.estimate(name, f"{metric}.corpus_rate"),
        tells(found),
    )


def named(found: dict[str, Any]) -> Named:
    return Named(
        found["list"], found["dictionary"], found["feature"], found["explanation"], when(found), tells(found),
        found["circularity"],
    )  # fmt: skip


def examples(report: Report, searched: Sequence[dict[str, Any]]) -> tuple[Example, ...]:
    """Of every feature that tells, and of all that were found in the largest dictionary that learned something."""
    assert report.watched is not None
    about = dict(zip(texts(report.watched.lists, "list"), texts(report.watched.lists, "about"), strict=True))
    shown = report.watched.texts
    learned = {found["dictionary"] for found in searched} & set(report.names)
    largest = max(learned, key=report.names.index, default="")
    made = []
    for found in searched:
        if found["feature"] == NOT_FOUND or not (tells(found) or found["dictionary"] == largest):
            continue
        own = shown[
            (shown["dictionary"] == found["dictionary"]) & (shown["list"] == found["list"]) & (shown["way"] == SEARCH)
        ]
        made.append(
            Example(found["list"], about[found["list"]], found["dictionary"], found["feature"], when(found), some(own))
        )
    return tuple(made)


def some(own: pd.DataFrame) -> tuple[Shown, ...]:
    """The loudest texts of each kind, and the quietest of concern, which it misses."""
    by_kind = {kind: own[own["kind"] == kind] for kind in (CONCERNING, BENIGN, CORPUS)}
    missed = by_kind[CONCERNING][~by_kind[CONCERNING]["fires"]].tail(SHOWN)
    groups = (
        by_kind[CONCERNING][by_kind[CONCERNING]["fires"]].head(SHOWN), missed,
        by_kind[BENIGN][by_kind[BENIGN]["fires"]].head(SHOWN),
        by_kind[CORPUS][by_kind[CORPUS]["activation"] > 0].head(SHOWN),
    )  # fmt: skip
    return tuple(
        Shown(str(row["kind"]), str(row["text"]), float(row["activation"]), bool(row["fires"]))
        for group in groups
        for row in group.to_dict("records")
    )
