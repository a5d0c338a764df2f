"""Dictionaries, prompts and facts of the causal section, each with what mattered in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autointerp.causal.answers import PROMPT, TWO_HOPS
from autointerp.causal.steer import MATCHED, RANDOM
from autointerp.measure import answers
from autointerp.report.data import Causal, Estimate, Report
from autointerp.report.frames import texts
from autointerp.report.parts.charts import Figure
from autointerp.report.sections.causal.drawn import importance

SHOWN = 3  # prompts whose chain is drawn
LINKS = 8  # features of a chain
FIRST = 3  # features that a fact in two steps is said to rest on
ANSWERED = (*answers.CORRELATIONS, *answers.OVERLAPS, answers.LOUDNESS, answers.ERROR)
STEERED = (
    "steering.concept_rate",
    "steering.concept_rate_in_range",
    "steering.off_distribution",
    "steering.off_target",
    "steering.loss_rise",
    "ablation.effect",
    "causal.above_random",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One dictionary: its numbers under the metrics of the table, each with its controls by name."""

    name: str
    cells: tuple[tuple[Estimate | None, tuple[tuple[str, Estimate], ...]], ...]


@dataclass(frozen=True, slots=True)
class Table:
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Prompts of one family in one dictionary."""

    name: str
    dictionary: str
    n: int
    n_right: int
    attribution: float
    activation: float


@dataclass(frozen=True, slots=True)
class Link:
    """A feature at a position of a prompt, in the order of what it does."""

    token: str
    dictionary: str
    feature: int
    words: str
    activation: float
    loudness: float
    attribution: float
    ablation: float


@dataclass(frozen=True, slots=True)
class Chain:
    """A prompt, what mattered in it, and a chart of the ablated features: importance against loudness."""

    text: str
    target: str
    dictionary: str
    right: bool
    n: int
    links: tuple[Link, ...]
    figure: Figure


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact in two steps and the features its answer rests on; `named` where their words hold what is passed by."""

    text: str
    target: str
    via: str
    right: bool
    dictionary: str
    links: tuple[Link, ...]
    named: bool


def dictionaries(report: Report) -> tuple[str, ...]:
    """Those with answers, in the order of every table."""
    assert report.causal is not None
    there = set(texts(report.causal.answers, "dictionary"))
    return tuple(name for name in report.everyone if name in there)


def table(report: Report, metrics: Sequence[str]) -> Table:
    rows = []
    for name in dictionaries(report):
        cells = []
        for metric in metrics:
            beside = [(control, report.estimate(name, metric, None, control)) for control in (RANDOM, MATCHED)]
            known = tuple((control, item) for control, item in beside if item is not None)
            cells.append((report.estimate(name, metric), known))
        rows.append(Row(name, tuple(cells)))
    return Table(tuple(metrics), tuple(rows))


def families(found: Causal) -> tuple[Family, ...]:
    rows = found.answers.assign(**{name: found.prompts[name] for name in answers.CORRELATIONS})
    rows = rows[rows["kind"] == PROMPT]
    made = []
    for (family, dictionary), own in rows.groupby(["family", "dictionary"], sort=True):
        means = [float(own[name].mean()) for name in answers.CORRELATIONS]
        made.append(Family(str(family), str(dictionary), len(own), int(own["right"].sum()), means[0], means[1]))
    return tuple(made)


def links(found: Causal, row: Mapping[Any, Any], most: int) -> tuple[Link, ...]:
    name = str(row["dictionary"])
    return tuple(
        Link(
            str(row["pieces"][one["position"]]), name, one["feature"], found.explained.get((name, one["feature"]), ""),
            one["activation"], one["loudness"], one["attribution"], one["ablation"],
        )
        for one in answers.mattered(row, most)
    )  # fmt: skip


def chains(report: Report) -> tuple[Chain, ...]:
    """The first prompts of the seeded draw, in the first dictionary: chosen by nobody."""
    found = report.causal
    assert found is not None
    return tuple(chain(found, row) for row in first_rows(report, PROMPT).head(SHOWN).to_dict("records"))


def chain(found: Causal, row: Mapping[Any, Any]) -> Chain:
    text, target, name = (str(row[key]) for key in ("text", "target", "dictionary"))
    own = links(found, row, LINKS)
    return Chain(text, target, name, bool(row["right"]), len(row["activation"]), own, importance(row))


def first_rows(report: Report, kind: str) -> pd.DataFrame:
    """Answers of the first dictionary."""
    assert report.causal is not None
    asked = report.causal.answers
    return asked[(asked["kind"] == kind) & asked["dictionary"].isin(dictionaries(report)[:1])]


def facts(report: Report) -> tuple[Fact, ...]:
    """Facts in two steps in the first dictionary, by the largest effect of a feature."""
    assert report.causal is not None
    made = []
    for row in first_rows(report, TWO_HOPS).to_dict("records"):
        own = links(report.causal, row, FIRST)
        via = str(row["via"]).lower()
        named = bool(via) and any(via in link.words.lower() for link in own)
        made.append(Fact(row["text"], row["target"], row["via"], bool(row["right"]), row["dictionary"], own, named))
    return tuple(sorted(made, key=lambda fact: -max((abs(link.ablation) for link in fact.links), default=0.0)))
