"""What the page draws of dictionaries held against each other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from autointerp.measure.intervals import wilson
from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.frames import numbers, texts
from autointerp.report.parts import charts
from autointerp.report.parts.charts import Figure
from autointerp.report.words.wording import count, decimal, percent, plural

MOST_CHILDREN = 6  # so many and more share a bar
BINS = 16
LEFT_OUT = "left out "  # in laws.csv, before the name of each size that was fitted
LEAST = -4  # a precision of 10^LEAST and less stands in the first bin
FEWEST = 5  # concepts in a bin of frequency that has a dot


@dataclass(frozen=True, slots=True)
class Series:
    """What a chart over dictionary size shows: which metric and control, under which name, in which unit."""

    name: str
    metric: str
    control: str = "none"
    scale: float = 1.0


def by_size(report: Report) -> tuple[Figure, ...]:
    """Measurements against dictionary size. One dictionary has no sizes to compare, so it has no charts."""
    if len(report.names) < 2:
        return ()
    detection, retrieval = report.arm_with("detection.ap"), report.arm_with("sensitivity.retrieval")
    found = (
        over_size(report, detection, "Detection", "average precision", [
            Series("score", "detection.ap"), Series("shuffled", "detection.ap", "shuffled")]),
        over_size(report, retrieval, "Sensitivity", "fires on fitting texts", [
            Series("score", "sensitivity.retrieval"), Series("base rate", "sensitivity.retrieval_base")]),
        over_size(report, None, "Explained variance", "share", [Series("", "explained_variance")]),
        over_size(report, None, "Never fired", "% of features", [Series("", "dead_share", scale=100.0)]),
    )  # fmt: skip
    return tuple(item for item in found if item is not None)


def over_size(report: Report, arm: Arm | None, title: str, unit: str, series: Sequence[Series]) -> Figure | None:
    rows = [
        charts.row(name, scaled(item, one.scale), arm, one.control, x=x, series=one.name)
        for one in series
        for name, x in zip(report.names, places(report), strict=True)
        if (item := report.estimate(name, one.metric, arm, one.control)) is not None
    ]
    main = [row for row in rows if row["series"] == series[0].name and not math.isnan(row["y"])]
    if len(main) < 2:
        return None
    label = "by dictionary size: " + ", ".join(f"{row['dictionary']} {row['value']}" for row in main)
    frame = pd.DataFrame(rows)
    chart = charts.lines(frame, charts.sizes(frame))
    return charts.figure(title, unit, max(row["grade"] for row in main), label, chart, frame)


def places(report: Report) -> list[int] | list[str]:
    """Widths where they differ, else names."""
    widths = [report.notes[name].width for name in report.names]
    return list(report.names) if len(set(widths)) < len(widths) or min(widths) < 1 else widths


def scaled(estimate: Estimate, factor: float) -> Estimate:
    value, low, high = (factor * x for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.unscored, estimate.grade)


def figures(report: Report) -> tuple[Figure, ...]:
    found = [variance_by_l0(report), *density_figures(report)]
    if report.comparison is not None:
        found += [*law_figures(report), *children_figures(report), completeness_figure(report)]
        found += precision_figures(report)
    return tuple(item for item in found if item is not None)


def of_power(exponent: float) -> str:
    return percent(10**exponent)


def variance_by_l0(report: Report) -> Figure | None:
    """Explained variance against how many features fire at once."""
    l0 = dict(report.known("l0"))
    both = [(name, l0[name].value, item) for name, item in report.known("explained_variance") if name in l0]
    if len(both) < 2:
        return None
    frame = pd.DataFrame(
        [
            charts.row(name, item, None, report.notes[name].control or "none", x=x, L0=decimal(x, 1),
                       series="control" if name in report.controls else "dictionary")
            for name, x, item in both
        ]
    )  # fmt: skip
    frame["name"] = apart(frame)
    free = alt.Scale(zero=False, padding=12)
    chart = charts.points(frame, alt.X("x:Q", scale=free), alt.Y("y:Q", scale=free))
    label = ", ".join(f"{name} {decimal(item.value)} at {decimal(x, 1)}" for name, x, item in both)
    return charts.figure("Explained variance against L0", "share", "A", label, chart, frame)


def apart(frame: pd.DataFrame) -> list[str]:
    """Names of the dictionaries, empty where they would lie on one that is there already."""
    spans = frame[["x", "y"]] - frame[["x", "y"]].min()
    at = (spans / spans.max().replace(0, 1)).to_numpy()
    kept: list[int] = []
    for place in range(len(frame)):
        if all(abs(at[place, 0] - at[other, 0]) > 0.3 or abs(at[place, 1] - at[other, 1]) > 0.1 for other in kept):
            kept.append(place)
    return [name if place in kept else "" for place, name in enumerate(frame["dictionary"])]


def histogram(
    title: str,
    unit: str,
    sets: Sequence[tuple[str, Sequence[float]]],
    edges: Sequence[float],
    x: alt.X,
    rule: float | None = None,
    worded: Callable[[float], str] = decimal,
) -> Figure:
    """Shares of each set in each bin, the second set faint behind the first; all sets on one scale.

    `worded` says a value of the axis in words.
    """
    rows = []
    for name, values in sets:
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()
        for start, stop, n in zip(edges[:-1], edges[1:], counts, strict=True):
            share = n / max(1, len(values))
            told = {"of": name, "from": worded(start), "to": worded(stop), "share": percent(share), "counted": count(n)}
            known = {"interval": "none: all are counted", "n": count(len(values)), "grade": "A"}
            rows.append({"x": start, "until": stop, "y": share, "series": name, **told, **known})
    label = "; ".join(
        f"{name}, median {worded(float(np.median(values)))} of {count(len(values))}"
        for name, values in sets
        if len(values)
    )
    frame = pd.DataFrame(rows)
    return charts.figure(title, unit, "A", label, charts.bars(frame, x, rule), frame)


def powers(low: int) -> alt.X:
    """An axis of shares from 10^low to 1, given as exponents."""
    axis = alt.Axis(values=list(range(low, 1)), labelExpr="format(pow(10, datum.value), '.5~%')")
    return alt.X("x:Q", scale=alt.Scale(domain=[low, 0]), axis=axis)


def density_figures(report: Report) -> list[Figure]:
    """How often features fire, dictionary by dictionary on the same axes."""
    logs = {name: np.log10(report.densities[name]) for name in report.names if report.densities.get(name)}
    if len(logs) < 2:
        return []
    low = math.floor(min(float(values.min()) for values in logs.values()))
    edges = np.linspace(low, 0, BINS + 1).tolist()
    unit = "share of features, by share of positions"
    return [
        histogram(f"How often features of {name} fire", unit, [(name, values.tolist())], edges, powers(low),
                  worded=of_power)
        for name, values in logs.items()
    ]  # fmt: skip


def law_figures(report: Report) -> list[Figure]:
    """What dictionaries leave out against width, both on log scales, with the power law that was fitted to it."""
    assert report.comparison is not None
    found = []
    for law, group in report.comparison.laws.groupby("law", sort=False):
        fitted = dict(zip(texts(group, "quantity"), numbers(group, "value"), strict=True))
        names = [name.removeprefix(LEFT_OUT) for name in fitted if name.startswith(LEFT_OUT)]
        if "scale" not in fitted:
            continue
        rows = [
            charts.row(name, item, x=report.notes[name].width, width=count(report.notes[name].width), series="")
            for name in names
            if (item := left_out(report, name, str(law))) is not None
        ]
        frame = pd.DataFrame(rows)
        widths = np.geomspace(frame["x"].min(), frame["x"].max(), 20)
        curve = list(zip(widths.tolist(), (fitted["scale"] * widths ** -fitted["exponent"]).tolist(), strict=True))
        free = alt.Y("y:Q", scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(format="~g"))
        chart = charts.points(frame, charts.sizes(frame), free, curve)
        label = f"a power law with the exponent {decimal(-fitted['exponent'])} over {plural(len(frame), 'size')}"
        found.append(charts.figure(str(law).capitalize(), "both on log scales", "A", label, chart, frame))
    return found


def left_out(report: Report, name: str, law: str) -> Estimate | None:
    """The loss that a power law is about."""
    if law.startswith("loss rise"):
        return report.estimate(name, "loss_rise")
    item = report.estimate(name, "explained_variance")
    return item and Estimate(1 - item.value, 1 - item.high, 1 - item.low, item.n, item.unscored, item.grade)


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
        most = f"datum.value == {MOST_CHILDREN} ? '{MOST_CHILDREN}+' : format(datum.value, 'd')"
        axis = alt.Axis(values=list(range(MOST_CHILDREN + 1)), labelExpr=most)
        x = alt.X("x:Q", scale=alt.Scale(domain=[edges[0], edges[-1]]), axis=axis)
        title = f"Children of {smaller} in {larger}"
        found.append(histogram(title, "share of features; faint: random directions", sets, edges, x))
    return found


def precision_figures(report: Report) -> list[Figure]:
    """How precise the best candidate of each concept is, and of words that mean nothing; the line is the threshold."""
    assert report.comparison is not None
    frame, found = report.comparison.searched, []
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
            rule = math.log10(group["threshold"].iloc[0])
            title = f"Precision of the best candidate in {name}"
            unit = "share of concepts; faint: pseudo-concepts"
            found.append(histogram(title, unit, logs, edges, powers(LEAST), rule, of_power))
    return found


def completeness_figure(report: Report) -> Figure | None:
    """Share of concepts found against frequency x alive features, all sizes together, with the fitted curve."""
    assert report.comparison is not None
    frame = report.comparison.searched
    frame = frame[~frame["pseudo"] & (frame["frequency"] > 0) & frame["found"].notna()]
    frame = frame[frame["dictionary"].isin(report.names)]
    if frame.empty:
        return None
    alive = frame["dictionary"].map({name: report.notes[name].n_alive for name in report.names}).astype(float)
    x = np.log10(frame["frequency"].astype(float) * alive)
    left, right = math.floor(x.min()), math.ceil(x.max()) or 1
    bins = np.minimum(((x - left) * 2).astype(int), 2 * (right - left) - 1)
    rows = []
    for name in reversed(report.names):
        group = frame[frame["dictionary"] == name]
        for part, values in group.groupby(bins.loc[group.index]):
            if len(values) >= FEWEST:
                middle = left + (int(part) + 0.5) / 2
                share = float(values["found"].mean())
                found = Estimate(share, *wilson(float(values["found"].sum()), len(values)), len(values), 0, "A")
                series = "the largest" if name == report.names[-1] else "smaller"
                about: dict[str, Any] = {"frequency × alive": f"{10**middle:.2g}", "series": series}
                rows.append(charts.row(str(name), found, x=middle, **about))
    law = report.comparison.laws[report.comparison.laws["law"].str.startswith("concepts found by search")]
    fitted = {row["quantity"]: row["value"] for row in law.to_dict("records")}
    curve: list[tuple[float, float]] = []
    slope, intercept = fitted.get("slope", math.nan), fitted.get("intercept", math.nan)
    if not math.isnan(slope) and not math.isnan(intercept):
        xs = np.linspace(left, right, 40)
        curve = list(zip(xs.tolist(), (1 / (1 + np.exp(-(intercept + slope * xs)))).tolist(), strict=True))
    if not rows:
        return None
    drawn = pd.DataFrame(rows)
    axis = alt.Axis(values=list(range(left, right + 1)), labelExpr="format(pow(10, datum.value), '~g')")
    across = alt.X("x:Q", scale=alt.Scale(domain=[left, right]), axis=axis)
    chart = charts.points(drawn, across, alt.Y("y:Q", scale=alt.Scale(domain=[0, 1])), curve)
    label = f"{percent(float(frame['found'].mean()))} of {count(len(frame))} decisions"
    title = "Concepts found against frequency × alive features"
    unit = "share" + ("; line: one curve for all sizes" if curve else "")
    return charts.figure(title, unit, "A", label, chart, drawn)
