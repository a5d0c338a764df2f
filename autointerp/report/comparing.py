"""What the page says and draws of dictionaries held against each other: sentences, figures, trees and tables."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autointerp.report.data import Estimate, Report, numbers, texts
from autointerp.report.plots import BOTTOM, LEFT, RIGHT, TOP, axis, place
from autointerp.report.saying import Sentence, say
from autointerp.report.tables import Grid, row
from autointerp.report.wording import count, decimal, interval, listing, percent, plural

GROUPS = {
    "splitting.": "Splitting: what becomes of features in the next larger dictionary",
    "absorption.": "Absorption: where special features fire in the place of a general one",
    "neurons.": "Neurons: how much a feature is like any one of them",
    "completeness.": "Completeness: which concepts have a feature of their own",
}
MOST_CHILDREN = 6  # so many and more share a bar
LINES = 40  # features of one tree that are shown
NAMED = 8  # concepts of one dictionary that are named
BINS = 16
LEAST = -4  # a precision of 10^LEAST and less stands in the first bin
FEWEST = 5  # concepts in a bin of frequency that has a dot


# --- sentences


def sentences(report: Report) -> tuple[Sentence, ...]:
    """All that is said, in the order of the section; nothing where nothing was compared."""
    if report.comparison is None:
        return ()
    said = (splits(report), absorbs(report), neurons(report), *complete(report), *laws(report), seen(report))
    return tuple(item for item in said if item is not None) + tuple(
        say(note) for note in texts(report.comparison.notes, "note")
    )


def bounds(estimate: Estimate, as_share: bool = False) -> str:
    if not estimate.bounded:
        return percent(estimate.value) if as_share else decimal(estimate.value)
    if not as_share:
        return f"{decimal(estimate.value)} {interval(estimate)}"
    return f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"


def known(report: Report, metric: str, control: str = "none") -> list[tuple[str, Estimate]]:
    """The dictionaries for which a number is known, smallest first."""
    found = [(name, report.estimate(name, metric, None, control)) for name in report.everyone]
    return [(name, item) for name, item in found if item is not None and item.scored]


def spread(values: Sequence[tuple[str, Estimate]], as_share: bool = True) -> str:
    ends = sorted(item.value for _, item in values)
    words = [percent(x) if as_share else decimal(x) for x in (ends[0], ends[-1])]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def before(report: Report) -> dict[str, str]:
    """The next smaller dictionary of each that has one."""
    assert report.comparison is not None
    columns = (texts(report.comparison.steps, name) for name in ("larger", "smaller"))
    return dict(zip(*columns, strict=True))


def splits(report: Report) -> Sentence | None:
    """How many children a feature has in the next larger dictionary, beside random directions."""
    steps, smaller = known(report, "splitting.children"), before(report)
    if not steps:
        return None
    clauses = [f"{bounds(item)} of {smaller[name]} in {name}" for name, item in steps if name in smaller]
    splitting = [name for name, item in known(report, "splitting.split") if item.low > 0.05]
    lead = "Every step splits" if len(splitting) == len(steps) > 1 else "Features and their children"
    control, novel = known(report, "splitting.children", "random"), known(report, "splitting.novel")
    beside = f"; random directions in their place would be {spread(control, False)}" if control else ""
    fresh = f" {spread(novel)} of the features of a larger dictionary have no parent." if novel else ""
    return say(
        (lead,), f": a feature has on average {listing(clauses)} children by direction{beside}.{fresh}", grades=("A",)
    )


def absorbs(report: Report) -> Sentence | None:
    found = known(report, "absorption.absorbed")
    if not found:
        return None
    clauses = listing([f"{bounds(item, True)} in {name}" for name, item in found])
    chance = known(report, "absorption.absorbed", "random")
    beside = f", where random features that fire as often do on {spread(chance)}" if chance else ""
    return say(
        "Where a feature that splits fires, its counterpart in the next larger dictionary is silent while another "
        f"child of it fires on {clauses} of the positions{beside}.",
        grades=("A",),
    )


def neurons(report: Report) -> Sentence | None:
    found = known(report, "neurons.alone")
    if not found:
        return None
    clauses = listing([f"{bounds(item, True)} in {name}" for name, item in found])
    chance = known(report, "neurons.alone", "shifted")
    beside = f"; by chance alone it would be {spread(chance)}" if chance else ""
    return say(f"Share of features that correlate with no neuron by more than 0.3: {clauses}{beside}.", grades=("A",))


def complete(report: Report) -> Iterable[Sentence]:
    """How many concepts have a feature of their own, beside words that mean nothing."""
    found = known(report, "completeness.search")
    if not found:
        return
    wrongly = dict(known(report, "completeness.search", "pseudo"))
    n = max(item.n for _, item in found)
    clauses = [
        f"{bounds(item, True)} in {name}"
        + (f" ({percent(wrongly[name].value)} of pseudo-concepts)" if name in wrongly else "")
        for name, item in found
    ]
    yield say(
        ("No concept has a feature of its own" if not any(item.value for _, item in found) else "Concepts found",),
        f": of {plural(n, 'concept')}, a dedicated feature exists for {listing(clauses)}.",
        grades=("A",),
    )
    missed = [(name, item) for name, item in known(report, "completeness.missed_by_loudest") if item.n]
    if missed:
        yield say(
            "Of the concepts that a search over all features finds, the five loudest features miss "
            + listing([f"{percent(item.value)} of {count(item.n)} in {name}" for name, item in missed])
            + ".",
            grades=("A",),
        )


def laws(report: Report) -> Iterable[Sentence]:
    """Exponents, and where half of the concepts are found; or why there is none."""
    assert report.comparison is not None
    frame = report.comparison.laws
    for law, group in frame.groupby("law", sort=False):
        rows = {name: group[group["quantity"] == name].iloc[0] for name in group["quantity"]}
        if "exponent" in rows:
            exponent = rows["exponent"]
            if math.isnan(exponent["value"]):
                yield say(f"{str(law).capitalize()}: {exponent['note']}")
                continue
            off = group.loc[group["quantity"].str.startswith("left out"), "value"].abs().max()
            yield say(
                f"{str(law).capitalize()} follows a power law with the exponent {decimal(-exponent['value'])} "
                f"[{decimal(-exponent['high'])}, {decimal(-exponent['low'])}]; a size predicted from the others is "
                f"off by up to {percent(off)}.",
                grades=("A",),
            )
        elif "x50" in rows:
            x50, one = rows["x50"], rows["p of one curve"]
            if math.isnan(x50["value"]):
                yield say(f"{str(law).capitalize()}: {x50['note']}")
                continue
            if math.isnan(x50["low"]):
                yield say(f"{str(law).capitalize()}: no frequency at which half of them are found. {x50['note']}")
                continue
            ends = f" [{decimal(x50['low'])}, {decimal(x50['high'])}]"
            single = one["note"] if math.isnan(one["value"]) else f"One curve for all sizes: p = {one['value']:.2g}."
            yield say(
                f"{str(law).capitalize()}: half of the concepts are found at a frequency of 10^{decimal(x50['value'])}"
                f"{ends} occurrences per alive feature. {single}",
                grades=("A",),
            )


def seen(report: Report) -> Sentence | None:
    """What the samples could have shown at all."""
    rows = report.dictionaries[report.dictionaries["metric"].str.endswith(".detectable")]
    values = [value for value in numbers(rows, "value") if not math.isnan(value)]
    if not values:
        return None
    return say(
        f"With the features evaluated here, a difference between two dictionaries is seen in four of five runs from "
        f"{decimal(min(values))} standard deviations on."
    )


# --- figures


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    faint: bool
    said: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point; its name stands beside it where there is room."""

    x: float
    y: float
    name: str
    faint: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of bars, dots and a curve; `rule` is where a threshold stands on the x axis."""

    title: str
    unit: str
    label: str
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    rule: float | None = None


def figures(report: Report) -> tuple[Figure, ...]:
    found = [variance_by_l0(report), *density_figures(report)]
    if report.comparison is not None:
        found += [*children_figures(report), completeness_figure(report), *precision_figures(report)]
    return tuple(item for item in found if item is not None)


def scale(seen: Sequence[float]) -> tuple[float, float, tuple[tuple[float, str], ...]]:
    """The ends of an axis and its ticks, as (value, text)."""
    low, high, ticks = axis(list(seen))
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return low, high, tuple((tick, decimal(tick, digits)) for tick in ticks)


def power_of_ten(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def of_power(exponent: float) -> str:
    return percent(10**exponent)


def vertical(ticks: Sequence[tuple[float, str]], low: float, high: float) -> tuple[tuple[float, str], ...]:
    return tuple((place(value, low, high, BOTTOM, TOP), text) for value, text in ticks)


def horizontal(ticks: Sequence[tuple[float, str]], low: float, high: float) -> tuple[tuple[float, str], ...]:
    return tuple((place(value, low, high, LEFT + 14, RIGHT - 14), text) for value, text in ticks)


def variance_by_l0(report: Report) -> Figure | None:
    """Explained variance against how many features fire at once."""
    l0 = dict(known(report, "l0"))
    both = [(name, l0[name].value, item.value) for name, item in known(report, "explained_variance") if name in l0]
    if len(both) < 2:
        return None
    left, right, across = scale([x for _, x, _ in both])
    low, high, up = scale([y for _, _, y in both])
    dots: list[Dot] = []
    for name, x, y in both:
        at = place(x, left, right, LEFT + 14, RIGHT - 14), place(y, low, high, BOTTOM, TOP)
        beside = [dot for dot in dots if dot.name and abs(dot.x - at[0]) < 60 and abs(dot.y - at[1]) < 11]
        dots.append(Dot(*at, "" if beside else name, name in report.controls))
    said = ", ".join(f"{name} {decimal(y)} at {decimal(x, 1)}" for name, x, y in both)
    title = "Explained variance against L0"
    return Figure(
        title, "share", f"{title}: {said}", vertical(up, low, high), horizontal(across, left, right), dots=tuple(dots)
    )


def histogram(
    title: str,
    unit: str,
    sets: Sequence[tuple[str, Sequence[float]]],
    edges: Sequence[float],
    ticks: Sequence[tuple[float, str]],
    rule: float | None = None,
    worded: Callable[[float], str] = decimal,
) -> Figure:
    """Shares of each set in each bin, the second set faint behind the first; all sets on one scale.

    `worded` says a value of the axis in words.
    """
    shares = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(1, len(values)) for _, values in sets]
    low, high, up = scale([0.0, max(float(share.max()) for share in shares)])
    bars: list[Bar] = []
    for at, ((name, _), share) in reversed(list(enumerate(zip(sets, shares, strict=True)))):
        for start, stop, value in zip(edges[:-1], edges[1:], share.tolist(), strict=True):
            x0, x1 = (place(x, edges[0], edges[-1], LEFT + 14, RIGHT - 14) for x in (start, stop))
            y = place(value, low, high, BOTTOM, TOP)
            said = f"{name}: {percent(value)} from {worded(start)} to {worded(stop)}"
            thin = 2.0 if at == 0 and len(sets) > 1 else 0.5
            if value:
                bars.append(Bar(x0 + thin, y, max(1.0, x1 - x0 - 2 * thin), BOTTOM - y, at > 0, said))
    told_of = "; ".join(
        f"{name}, median {worded(float(np.median(values)))} of {count(len(values))}"
        for name, values in sets
        if len(values)
    )
    at_rule = None if rule is None else place(rule, edges[0], edges[-1], LEFT + 14, RIGHT - 14)
    marks = horizontal(ticks, edges[0], edges[-1])
    return Figure(title, unit, f"{title}: {told_of}", vertical(up, low, high), marks, tuple(bars), rule=at_rule)


def density_figures(report: Report) -> list[Figure]:
    """How often features fire, dictionary by dictionary on the same axes."""
    logs = {name: np.log10(report.densities[name]) for name in report.names if report.densities.get(name)}
    if len(logs) < 2:
        return []
    low = math.floor(min(float(values.min()) for values in logs.values()))
    edges = np.linspace(low, 0, BINS + 1).tolist()
    ticks = [(float(power), power_of_ten(power)) for power in range(low, 1)]
    return [
        histogram(f"How often features of {name} fire", "share of features, by share of positions",
                  [(name, values.tolist())], edges, ticks, worded=of_power)
        for name, values in logs.items()
    ]  # fmt: skip


def children_figures(report: Report) -> list[Figure]:
    """How many features have no child, one, two …; random directions in the place of the larger are faint."""
    assert report.comparison is not None
    frame, found = report.comparison.children, []
    for (smaller, larger), group in frame.groupby(["smaller", "larger"], sort=False):
        sets = []
        for word, name in (("none", "features"), ("random", "random directions")):
            rows = group[group["control"] == word]
            sets.append((name, np.repeat(rows["children"].clip(upper=MOST_CHILDREN), rows["features"]).tolist()))
        edges = (np.arange(MOST_CHILDREN + 2) - 0.5).tolist()
        ticks = [(float(n), f"{n}+" if n == MOST_CHILDREN else str(n)) for n in range(MOST_CHILDREN + 1)]
        title = f"Children of {smaller} in {larger}"
        found.append(histogram(title, "share of features; faint: random directions", sets, edges, ticks))
    return found


def searched(report: Report) -> pd.DataFrame:
    """Every decision about a concept whose candidates were searched among all features."""
    assert report.comparison is not None
    return report.comparison.concepts[report.comparison.concepts["way"] == "search"]


def precision_figures(report: Report) -> list[Figure]:
    """How precise the best candidate of each concept is, and of words that mean nothing; the line is the threshold."""
    frame, found = searched(report), []
    for name, group in frame.groupby("dictionary", sort=False):
        group = group.dropna(subset=["precision"])
        sets = [
            (word, group.loc[group["pseudo"] == flag, "precision"].tolist())
            for word, flag in (("concepts", False), ("pseudo-concepts", True))
        ]
        if all(values for _, values in sets):
            # Most are small, and differ by powers of ten.
            logs = [(word, np.log10(np.maximum(values, 10.0**LEAST)).tolist()) for word, values in sets]
            edges = np.linspace(LEAST, 0, 2 * -LEAST + 1).tolist()
            ticks = [(float(power), power_of_ten(power)) for power in range(LEAST, 1)]
            rule = math.log10(group["threshold"].iloc[0])
            title = f"Precision of the best candidate in {name}"
            found.append(
                histogram(title, "share of concepts; faint: pseudo-concepts", logs, edges, ticks, rule, of_power)
            )
    return found


def completeness_figure(report: Report) -> Figure | None:
    """Share of concepts found against frequency x alive features, all sizes together, with the fitted curve."""
    assert report.comparison is not None
    frame = searched(report)
    frame = frame[~frame["pseudo"] & (frame["frequency"] > 0) & frame["found"].notna()]
    frame = frame[frame["dictionary"].isin(report.names)]
    if frame.empty:
        return None
    alive = frame["dictionary"].map({name: report.notes[name].n_alive for name in report.names}).astype(float)
    x = np.log10(frame["frequency"].astype(float) * alive)
    left, right = math.floor(x.min()), math.ceil(x.max()) or 1
    bins = np.minimum(((x - left) * 2).astype(int), 2 * (right - left) - 1)
    dots = []
    for name, group in frame.groupby("dictionary", sort=False):
        for part, values in group.groupby(bins.loc[group.index]):
            if len(values) >= FEWEST:
                middle = left + (int(part) + 0.5) / 2
                share = float(values["found"].mean())
                at = place(middle, left, right, LEFT + 14, RIGHT - 14)
                dots.append(Dot(at, place(share, 0, 1, BOTTOM, TOP), "", name != report.names[-1]))
    ticks = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
    marks = [(float(power), power_of_ten(power)) for power in range(left, right + 1)]
    law = report.comparison.laws[report.comparison.laws["law"].str.startswith("concepts found by search")]
    fitted = {row["quantity"]: row["value"] for row in law.to_dict("records")}
    curve: tuple[tuple[float, float], ...] = ()
    slope, intercept = fitted.get("slope", math.nan), fitted.get("intercept", math.nan)
    if not math.isnan(slope) and not math.isnan(intercept):
        xs = np.linspace(left, right, 40)
        ys = 1 / (1 + np.exp(-(intercept + slope * xs)))
        curve = tuple(
            (place(a, left, right, LEFT + 14, RIGHT - 14), place(b, 0, 1, BOTTOM, TOP))
            for a, b in zip(xs.tolist(), ys.tolist(), strict=True)
        )
    title = "Concepts found against frequency × alive features"
    return Figure(
        title, f"share; the largest dictionary in colour{'; line: one curve for all' if curve else ''}",
        f"{title}: {percent(float(frame['found'].mean()))} of {count(len(frame))} decisions",
        vertical(ticks, 0, 1), horizontal(marks, left, right), dots=tuple(dots), curve=curve,
    )  # fmt: skip


# --- trees and tables


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
    frame = searched(report)
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
