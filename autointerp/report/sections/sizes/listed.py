"""Trees and tables of dictionaries held against each other."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from autointerp.report.data import Estimate, Report
from autointerp.report.frames import texts
from autointerp.report.parts.tables import Grid, row

GROUPS = {
    "splitting.": "Splitting: what becomes of features in the next larger dictionary",
    "absorption.": "Absorption: where special features fire in the place of a general one",
    "neurons.": "Neurons: how much a feature is like any one of them",
    "completeness.": "Completeness: which concepts have a feature of their own",
}
LINES = 40  # features of one tree that are shown
NAMED = 8  # concepts of one dictionary that are named


@dataclass(frozen=True, slots=True)
class Branch:
    """A feature of a tree, what is said of it, and what descends from it; `page` says whether it has one."""

    dictionary: str
    feature: int
    cosine: float
    text: str
    page: bool
    below: tuple["Branch", ...]


def explained(report: Report) -> dict[tuple[str, int], str]:
    """The first explanation of every feature that was evaluated."""
    found: dict[tuple[str, int], str] = {}
    columns = texts(report.features, "dictionary"), report.features["feature"], texts(report.features, "explanation")
    for name, feature, text in zip(*columns, strict=True):
        found[name, int(feature)] = found.get((name, int(feature))) or text
    return found


def trees(report: Report) -> tuple[tuple[Branch, int], ...]:
    """Each root with what descends from it, and how many descendants are left out."""
    if report.comparison is None or report.comparison.chains.empty:
        return ()
    said, found = explained(report), []
    frame = report.comparison.chains
    first = (frame["generation"] == 0).cumsum()  # roots of several sites may share a number
    for _, group in frame.groupby(first, sort=False):
        rows = group.to_dict("records")
        kept = rows[:LINES]
        found.append((branch(kept[0], kept, said), len(rows) - len(kept)))
    return tuple(found)


def branch(item: dict[Hashable, Any], rows: list[dict[Hashable, Any]], said: dict[tuple[str, int], str]) -> Branch:
    below = [row for row in rows if row["generation"] == item["generation"] + 1 and row["parent"] == item["feature"]]
    key = (str(item["dictionary"]), int(item["feature"]))
    return Branch(
        *key,
        float(item["cosine"]),
        said.get(key, ""),
        key in said,
        tuple(branch(row, rows, said) for row in below),
    )


def tables(report: Report) -> tuple[Grid, ...]:
    """What was measured of every dictionary, a table for each question; single categories of concepts stand apart."""
    if report.comparison is None:
        return ()
    found = []
    for start, title in GROUPS.items():
        metrics = tuple(metric for metric, _ in report.metrics if metric.startswith(start) and metric.count(".") == 1)
        rows = tuple((name, None, row(report, name, metrics, None)) for name in report.everyone)
        kept = tuple(item for item in rows if any(cell.estimate for cell in item[2]))
        if metrics and kept:
            found.append(Grid(title, metrics, kept))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class EffectLine:
    """How far a score of one dictionary is above another's."""

    dictionary: str
    against: str
    metric: str
    arm: str
    difference: Estimate
    rank_biserial: Estimate
    detectable: float
    paired: Estimate | None


def effects(report: Report) -> tuple[EffectLine, ...]:
    """Every primary score of a dictionary beside its controls and the next smaller one."""
    start = "contrast."
    found = []
    for (name, metric, other, explainer, scorer), item in report.estimates.items():
        base = metric.removeprefix(start)
        if not metric.startswith(start) or base.count(".") != 1:
            continue
        near = {
            word: report.estimates.get((name, f"{metric}.{word}", other, explainer, scorer))
            for word in ("rank_biserial", "detectable", "paired")
        }
        rank, power = near["rank_biserial"], near["detectable"]
        assert rank is not None and power is not None  # they are written together
        found.append(EffectLine(name, other, base, f"{explainer} → {scorer}", item, rank, power.value, near["paired"]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ConceptLine:
    """Which feature answers best to a concept, and whether it is its own."""

    dictionary: str
    concept: str
    category: str
    feature: int
    precision: float
    auroc: float
    own: bool
    page: bool


@dataclass(frozen=True, slots=True)
class AbsorbedLine:
    """A feature whose counterpart in the next larger dictionary is often silent where it fires."""

    dictionary: str
    feature: int
    page: bool
    larger: str
    counterpart: int
    counterpart_page: bool
    fired: int
    absorbed: float
    low: float
    high: float
    chance: float
    said: str


def absorbed(report: Report) -> tuple[AbsorbedLine, ...]:
    """The most absorbed features of each dictionary."""
    if report.comparison is None:
        return ()
    said, found = explained(report), []
    frame = report.comparison.absorption.dropna(subset=["absorbed"])
    for name in report.everyone:
        own = frame[frame["dictionary"] == name].sort_values("absorbed", ascending=False, kind="stable")
        for item in own.head(NAMED).to_dict("records"):
            feature, counterpart = int(item["feature"]), int(item["counterpart"])
            found.append(
                AbsorbedLine(name, feature, (name, feature) in said, item["larger"], counterpart,
                             (item["larger"], counterpart) in said, int(item["fired"]), item["absorbed"],
                             item["low"], item["high"], item["null"], said.get((name, feature), ""))
            )  # fmt: skip
    return tuple(found)


def concepts(report: Report) -> tuple[ConceptLine, ...]:
    """The concepts of each dictionary whose best candidate is most precise."""
    if report.comparison is None:
        return ()
    frame = report.comparison.searched
    frame = frame[~frame["pseudo"] & (frame["feature"] >= 0)]
    said, found = explained(report), []
    for name in report.everyone:
        own = frame[frame["dictionary"] == name].sort_values("precision", ascending=False, kind="stable")
        for item in own.head(NAMED).to_dict("records"):
            feature = int(item["feature"])
            found.append(
                ConceptLine(name, item["concept"], item["category"], feature, item["precision"], item["auroc"],
                            item["found"] == 1, (name, feature) in said)
            )  # fmt: skip
    return tuple(found)
