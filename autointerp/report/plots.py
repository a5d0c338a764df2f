"""Where the marks of a figure stand. Templates draw them as inline SVG, so they follow light, dark and print."""

import math
from dataclasses import dataclass

from autointerp.measure.scores import PERCENTILE
from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.wording import count, decimal

STRIP_WIDTH = 200.0
PANEL_WIDTH, PANEL_HEIGHT = 262.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 252.0, 12.0, 122.0


def domain(metric: str) -> tuple[float, float]:
    """The axis of a metric: the whole range it can take, so that no difference is made to look large."""
    if metric.endswith(PERCENTILE):
        return 0.0, 1.0
    top = 3.0 if metric.startswith("specificity.") else 2.0 if metric.startswith("sensitivity.normalised") else 1.0
    top = 10.0 if metric.startswith("steering.best_dose") else top
    signed_metric = ".minus_" in metric or metric.startswith(("simulation.", "agreement.", "steering."))
    return (-top, top) if signed_metric else (0.0, top)


@dataclass(frozen=True, slots=True)
class Mark:
    """An estimate on an axis: its place and, where there is an interval, its ends."""

    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Strip:
    """A score beside its control on one axis. `chance` is what the same verdicts reach when dealt out at random."""

    score: Mark | None
    control: Mark | None
    chance: float | None
    label: str


def place(value: float, low: float, high: float, start: float, end: float) -> float:
    """Linear, clamped to the axis."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return round(start + share * (end - start), 2)


def mark(estimate: Estimate | None, low: float, high: float, start: float, end: float) -> Mark | None:
    if estimate is None or not estimate.scored:
        return None
    at = place(estimate.value, low, high, start, end)
    if not estimate.bounded:
        return Mark(at, None, None)
    return Mark(at, place(estimate.low, low, high, start, end), place(estimate.high, low, high, start, end))


def strip(report: Report, name: str, metric: str, arm: Arm | None) -> Strip:
    """Score and shuffled control of one dictionary."""
    low, high = domain(metric)
    score, control, permuted = (report.estimate(name, metric, arm, word) for word in ("none", "shuffled", "permuted"))
    named = (("score", score), ("shuffled", control), ("permuted", permuted))
    said = [f"{word} {decimal(item.value)}" for word, item in named if item]
    chance = chance_mark(report, permuted.value if permuted else math.nan) if metric == "detection.ap" else None
    dot, bar = (mark(item, low, high, 4, STRIP_WIDTH - 4) for item in (score, control))
    return Strip(dot, bar, chance, ", ".join(said))


def chance_mark(report: Report, permuted: float) -> float:
    """A permuted average precision on its axis, or where none is known the share of positives.

    Average precision over few excerpts lies above the share of positives even for a judge that knows nothing.
    """
    value = report.settings.prevalence if math.isnan(permuted) else permuted
    return place(value, *domain("detection.ap"), 4, STRIP_WIDTH - 4)


def chance_at(report: Report) -> float:
    """Where the axis says "chance": at the mean of the headline arm, while each row has its own mark."""
    return chance_mark(report, math.nan if report.permuted is None else report.permuted)


@dataclass(frozen=True, slots=True)
class Series:
    """Marks of one kind, left to right; `name` stands under the first one, so the panel needs no legend."""

    name: str
    points: tuple[tuple[float, Mark], ...]
    name_at: float
    plain: bool = False  # the main series needs no name: the panel's title is its name


@dataclass(frozen=True, slots=True)
class Panel:
    """One measurement against dictionary size."""

    title: str
    unit: str
    grade: str
    series: tuple[Series, ...]
    ticks: tuple[tuple[float, str], ...]
    sizes: tuple[tuple[float, str], ...]
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """What to draw in a panel: which metric and control, under which name."""

    metric: str
    control: str
    name: str
    scale: float = 1.0


def panels(report: Report) -> tuple[Panel, ...]:
    """Small multiples over dictionary size. One dictionary has no sizes to compare, so it has no panels."""
    if len(report.names) < 2:
        return ()
    detection, retrieval = report.arm_with("detection.ap"), report.arm_with("sensitivity.retrieval")
    wanted = (
        panel(report, detection, "Detection", "average precision", [
            Line("detection.ap", "none", ""), Line("detection.ap", "shuffled", "shuffled")]),
        panel(report, retrieval, "Sensitivity", "fires on fitting texts", [
            Line("sensitivity.retrieval", "none", ""), Line("sensitivity.retrieval_base", "none", "base rate")]),
        panel(report, None, "Explained variance", "share", [Line("explained_variance", "none", "")]),
        panel(report, None, "Never fired", "% of features", [Line("dead_share", "none", "", 100.0)]),
    )  # fmt: skip
    return tuple(item for item in wanted if item is not None)


def panel(report: Report, arm: Arm | None, title: str, unit: str, lines: list[Line]) -> Panel | None:
    rows = {line: values(report, line, arm) for line in lines}
    main = rows[lines[0]]
    if sum(estimate is not None and estimate.scored for estimate in main) < 2:
        return None
    seen = [x for items in rows.values() for item in items if item for x in (item.value, item.low, item.high)]
    low, high, ticks = axis([x for x in seen if not math.isnan(x)])
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    places = columns(report)
    series = tuple(draw(line, rows[line], places, low, high) for line in lines if any(rows[line]))
    named = zip(report.names, main, strict=True)
    said = [f"{name} {decimal(item.value)}" for name, item in named if item and item.scored]
    return Panel(
        title,
        unit,
        max(item.grade for item in main if item),
        series,
        tuple((place(tick, low, high, BOTTOM, TOP), decimal(tick, digits)) for tick in ticks),
        size_labels(report, places),
        f"{title} by dictionary size: {', '.join(said)}",
    )


def values(report: Report, line: Line, arm: Arm | None) -> list[Estimate | None]:
    """Estimates in the order of the dictionaries, in the unit of the panel."""
    found = [report.estimate(name, line.metric, arm, line.control) for name in report.names]
    return [scaled(estimate, line.scale) if estimate else None for estimate in found]


def scaled(estimate: Estimate, factor: float) -> Estimate:
    value, low, high = (factor * x for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.unscored, estimate.grade)


def draw(line: Line, row: list[Estimate | None], places: list[float], low: float, high: float) -> Series:
    marks = [(x, mark(item, low, high, BOTTOM, TOP)) for x, item in zip(places, row, strict=True)]
    points = tuple((x, found) for x, found in marks if found is not None)
    return Series(line.name, points, points[0][1].at if points else 0.0, plain=not line.name)


def columns(report: Report) -> list[float]:
    """Log of the width where widths differ, else one column per dictionary."""
    widths = [report.notes[name].width for name in report.names]
    if len(set(widths)) < len(widths) or min(widths) < 1:
        positions = [float(i) for i in range(len(widths))]
    else:
        positions = [math.log2(width) for width in widths]
    return [place(x, positions[0], positions[-1], LEFT + 14, RIGHT - 14) for x in positions]


def size_labels(report: Report, places: list[float]) -> tuple[tuple[float, str], ...]:
    """Widths under the axis, leaving out those that would run into their neighbour."""
    widths = [report.notes[name].width for name in report.names]
    texts = [count(width) for width in widths] if len(set(widths)) == len(widths) else list(report.names)
    kept: list[tuple[float, str]] = []
    for x, text in zip(places, texts, strict=True):
        if not kept or x - kept[-1][0] > 3.6 * (len(text) + len(kept[-1][1])):
            kept.append((x, text))
    return tuple(kept)


def axis(seen: list[float]) -> tuple[float, float, list[float]]:
    """The fewest round ticks that hold all of `seen`: three to five of them."""
    low, high = min(seen), max(seen)
    step = nice_step((high - low) / 3 or abs(high) / 3 or 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]
    return ticks[0], ticks[-1], ticks


def nice_step(rough: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9)))
