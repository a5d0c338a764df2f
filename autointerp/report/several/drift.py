"""Runs that are kept by date, side by side: how every number went from night to night, and what was changed between."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from autointerp import assets, history
from autointerp.audit.circularity import MEANING
from autointerp.finished import Run, failed_gates, over_unscored
from autointerp.measure.baseline import KEY, real, records
from autointerp.report.data import Estimate
from autointerp.report.metrics.names import by_form
from autointerp.report.page.html import encodable, environment, policy
from autointerp.report.parts.strips import Mark, mark

COLUMNS = [
    "run", "date", "dictionary", "width", "metric", "explainer", "scorer", "rubric", "value", "low", "high", "n",
    "unscored", "circularity", "gate",
]  # fmt: skip
WIDTH, HEIGHT, EDGE = 200.0, 34.0, 5.0  # of a line


@dataclass(frozen=True, slots=True)
class Night:
    """One run: how it ended in words, what is against it, and which settings changed since the one before."""

    name: str
    date: str
    page: str
    ended: str
    against: tuple[str, ...]
    changed: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Point:
    """A number of one night on its line: `mark.at` runs upwards, `verdict` is that of its gates, empty without any."""

    x: float
    mark: Mark
    verdict: str


@dataclass(frozen=True, slots=True)
class Line:
    """A number of one dictionary and arm over the nights; its axis goes from the lowest bound to the highest."""

    dictionary: str
    metric: str
    arm: str
    points: tuple[Point, ...]
    bottom: float
    top: float
    first: Estimate
    last: Estimate
    verdict: str


def nights(runs: Sequence[Run]) -> tuple[Night, ...]:
    """What there is to say of each run, oldest first."""
    before = [None, *runs]
    return tuple(night(run, earlier) for earlier, run in zip(before, runs, strict=False))


def night(run: Run, earlier: Run | None) -> Night:
    changed = history.differences(earlier.config, run.config) if earlier is not None else {}
    date = history.date_of(run.name)
    if not run.ended:
        return Night(run.name, date, "", "has not ended", (), changed)
    against = (*failed_gates(run), *over_unscored(run))
    return Night(run.name, date, f"{run.name}/report/index.html", "failed" if against else "good", against, changed)


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """NAME-history.csv: the numbers of all runs that have ended, controls apart, each with the worst verdict on it."""
    frames = []
    for run in runs:
        if run.ended:
            frame, verdicts = real(run.dictionaries()), worst(run.gates())
            keys = zip(*(frame[column] for column in ("metric", "dictionary", "explainer", "scorer")), strict=True)
            gate = [verdicts.get(key, "") for key in keys]
            frames.append(frame.assign(run=run.name, date=history.date_of(run.name), gate=gate))
    return pd.concat(frames, ignore_index=True)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)


def worst(gates: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    """The worst verdict on each number, by metric, dictionary, explainer and scorer."""
    found: dict[tuple[str, str, str, str], str] = {}
    for verdict in ("passed", "undecided", "failed"):
        for row in records(gates[gates["verdict"] == verdict].fillna("")):
            found[row["gate"].rpartition(" ")[0], row["dictionary"], row["explainer"], row["scorer"]] = verdict
    return found


def lines(frame: pd.DataFrame, runs: Sequence[Run]) -> tuple[Line, ...]:
    """A line for each dictionary, metric and arm; another rubric makes another number, and so another line."""
    place = {run.name: at for at, run in enumerate(runs)}
    step = (WIDTH - 2 * EDGE) / max(1, len(runs) - 1)
    found = []
    for key, group in frame.groupby(KEY, sort=False):
        dictionary, metric, explainer, scorer, _ = map(str, key)
        scored = records(group.dropna(subset=["value"]))
        if not scored or by_form(metric):
            continue
        numbers = [(row, estimate(row)) for row in scored]
        ends = [
            end for _, item in numbers for end in ((item.low, item.value, item.high) if item.bounded else (item.value,))
        ]
        bottom, top = min(ends), max(ends)
        if top == bottom:
            bottom, top = bottom - 0.5, top + 0.5
        points = []
        for row, item in numbers:
            at = mark(item, bottom, top, HEIGHT - EDGE, EDGE)
            assert at is not None, "a number with a value has a place"
            points.append(Point(round(EDGE + step * place[row["run"]], 2), at, row["gate"]))
        arm = " → ".join(name for name in (explainer, scorer) if name)
        first, last = numbers[0][1], numbers[-1][1]
        found.append(Line(dictionary, metric, arm, tuple(points), bottom, top, first, last, points[-1].verdict))
    return tuple(found)


def estimate(row: dict[str, object]) -> Estimate:
    value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
    return Estimate(value, low, high, int(str(row["n"])), int(str(row["unscored"])), str(row["circularity"]))


def render(name: str, runs: Sequence[Run], frame: pd.DataFrame) -> str:
    """How the numbers of a name went from night to night, on a page that runs no script."""
    style = (assets.templates() / "report.css").read_text("utf-8")
    content = {
        "name": name,
        "version": assets.version(),
        "nights": nights(runs),
        "lines": lines(frame, runs),
        "size": (WIDTH, HEIGHT),
        "style": Markup(style),
        "policy": policy(style),
        "MEANING": MEANING,
    }
    return encodable(environment().get_template("history.html.j2").render(content))
