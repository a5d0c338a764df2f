"""All other numbers: what is reached without explanations, and what else these are worth."""

from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.measure.scores import PERCENTILE
from autointerp.measure.scores import PRIMARY as PRIMARY_OF
from autointerp.records import PICKED
from autointerp.report.data import Arm, Report
from autointerp.report.metrics.names import CAUSAL, GENERALISATION, compared
from autointerp.report.parts.tables import Cell, Grid, grids
from autointerp.report.sections.dictionaries import GAIN, OWN_COLUMN, PRIMARY

HAND_PICKED = "Hand-picked features: which share of the seeded sample do they beat? 0.5 is as if picked by lot"


@dataclass(frozen=True, slots=True)
class Section:
    anchors: tuple[Grid, ...]
    others: tuple[Grid, ...]


def section(report: Report) -> Section:
    return Section(anchor_tables(report), other_tables(report))


def anchor_tables(report: Report) -> tuple[Grid, ...]:
    """Numbers in which no model took part, beside the ones of the main table."""
    known = ("dead_share", "dead_bound_documents", "dead_bound_tokens", *OWN_COLUMN)
    metrics = [
        metric
        for metric, armed in report.metrics
        if not (armed or metric in known or metric.startswith((GENERALISATION, *CAUSAL)) or compared(metric))
    ]
    return grids(report, metrics, [None])


def other_tables(report: Report) -> tuple[Grid, ...]:
    """All that an arm says beside its detection and the gain of that over shuffled; controls stand in the cells."""
    metrics = [
        metric
        for metric, armed in report.metrics
        if armed and metric not in (PRIMARY, GAIN) and not metric.endswith(PERCENTILE) and not compared(metric)
    ]
    shown = [metric for metric in metrics if metric.partition(".minus_")[0] in (*PRIMARY_OF.values(), metric)]
    arms = sorted(report.arms, key=lambda arm: arm.grade)
    return (*grids(report, shown, [*arms, *report.pairs]), *cherry_picking(report, arms))


def cherry_picking(report: Report, arms: Sequence[Arm]) -> tuple[Grid, ...]:
    """Where the hand-picked features stand among those drawn by seed; no table where nothing was picked."""
    metrics = tuple(metric for metric, _ in report.metrics if metric.endswith(PERCENTILE))
    rows = [
        (name, arm, tuple(Cell(report.estimate(name, metric, arm, PICKED)) for metric in metrics))
        for name in report.everyone
        for arm in arms
    ]
    kept = tuple(item for item in rows if any(cell.estimate for cell in item[2]))
    return (Grid(HAND_PICKED, metrics, kept),) if kept else ()
