"""Gates and the baseline: what was decided, and what has changed since."""

from dataclasses import dataclass

import pandas as pd

from autointerp.measure import baseline
from autointerp.report.data import Estimate, Report
from autointerp.report.parts.tables import cells
from autointerp.report.words.wording import plural


@dataclass(frozen=True, slots=True)
class Change:
    """A number that the baseline has, too. `unscored` in `change` are features that were not scored in both."""

    dictionary: str
    metric: str
    arm: str
    before: float
    value: float
    change: Estimate
    by: str


@dataclass(frozen=True, slots=True)
class Section:
    tally: str
    verdicts: list[dict[str, str]]
    moved: tuple[Change, ...]
    changes: tuple[Change, ...]


def section(report: Report) -> Section:
    return Section(tally(report.gates), cells(report.gates), changes(report, moved=True), changes(report))


def tally(gates: pd.DataFrame) -> str:
    """How many verdicts there are of each kind, in words; empty without gates."""
    if gates.empty:
        return ""
    counts = [(word, int((gates["verdict"] == word).sum())) for word in ("failed", "undecided", "passed")]
    said = ", ".join(f"{n} {word}" for word, n in counts if n)
    return f"{plural(len(gates), 'gate')}: {said}"


def changes(report: Report, moved: bool = False) -> tuple[Change, ...]:
    """baseline.csv for reading; with `moved`, what has changed by the whole of its interval."""
    if report.baseline is None:
        return ()
    frame = baseline.moved(report.baseline.changes) if moved else report.baseline.changes
    rows = []
    for row in frame.to_dict("records"):
        arm = " → ".join(name for name in (row["explainer"], row["scorer"]) if name)
        value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        change = Estimate(value, low, high, int(row["n"]), int(row["unscored"]), row["circularity"])
        said = row["dictionary"], row["metric"], arm, float(row["before"]), float(row["value"])
        rows.append(Change(*said, change, row["by"]))
    return tuple(rows)
