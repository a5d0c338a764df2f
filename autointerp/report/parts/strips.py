"""Where the marks of a strip stand: the little axis in a row of a table, which templates draw as inline SVG."""

import math
from dataclasses import dataclass

from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.metrics.names import domain
from autointerp.report.words.wording import decimal

STRIP_WIDTH = 200.0


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
