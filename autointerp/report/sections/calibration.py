"""How far the judges are from the truth, on planted features."""

import math
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from autointerp.report.data import Estimate, Report
from autointerp.report.frames import numbers, texts
from autointerp.report.parts import charts
from autointerp.report.parts.charts import Figure
from autointerp.report.words.saying import Sentence, say
from autointerp.report.words.wording import decimal, interval, listing, percent, plural


@dataclass(frozen=True, slots=True)
class Known:
    """A number about a judge beside what a perfect reader gets; `estimate` is None where nobody asked."""

    estimate: Estimate | None
    reader: float = math.nan


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one judge answers one question on planted features: numbers under the names of `Calibrations.columns`."""

    dictionary: str
    scorer: str
    metric: str
    grade: str
    cells: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The columns are (quantity, against); `together` are rows of several judges: quantity, metric, who, number."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[Calibration, ...]
    together: tuple[tuple[str, str, str, Known], ...]


@dataclass(frozen=True, slots=True)
class Section:
    said: tuple[Sentence, ...]
    figure: Figure | None
    table: Calibrations


def section(report: Report) -> Section | None:
    """None where the features of the run are not planted."""
    table = calibrations(report)
    return Section(calibrated(report), reliability(report), table) if table else None


def calibrations(report: Report) -> Calibrations | None:
    """calibration.csv as a table; None where the features of the run are not planted."""
    frame = report.calibration
    if frame.empty:
        return None
    keys = zip(
        *(texts(frame, name) for name in ("dictionary", "scorer", "metric", "quantity", "against", "circularity")),
        strict=True,
    )
    values = zip(*(numbers(frame, name) for name in ("value", "low", "high", "n", "unscored", "reader")), strict=True)
    columns: dict[tuple[str, str], None] = {}
    arms: dict[tuple[str, str, str], dict[tuple[str, str], Known]] = {}
    grades: dict[tuple[str, str, str], str] = {}
    together = []
    for (dictionary, scorer, metric, quantity, against, grade), (value, low, high, n, left, reader) in zip(
        keys, values, strict=True
    ):
        known = Known(Estimate(value, low, high, int(n), int(left), grade), reader)
        if not scorer:
            who = f"judges of grade {grade}" if grade else "all judges"
            together.append((quantity, metric, f"{who}, {dictionary}", known))
            continue
        columns[quantity, against] = None
        arms.setdefault((dictionary, scorer, metric), {})[quantity, against] = known
        grades[dictionary, scorer, metric] = max(grade, grades.get((dictionary, scorer, metric), ""))
    rows = tuple(
        Calibration(*arm, grades[arm], tuple(found.get(column, Known(None)) for column in columns))
        for arm, found in sorted(arms.items(), key=lambda item: (item[0][2], item[0][0], grades[item[0]], item[0][1]))
    )
    return Calibrations(tuple(columns), rows, tuple(together))


def calibrated(report: Report) -> tuple[Sentence, ...]:
    """How far each judge is from the truth on planted features, the exact ones first; empty without them."""
    found = calibrations(report)
    if found is None:
        return ()
    place = {column: at for at, column in enumerate(found.columns)}

    def of(row: Calibration, quantity: str, against: str = "") -> Known:
        return row.cells[place[quantity, against]] if (quantity, against) in place else Known(None)

    sentences = []
    for row in found.rows:
        error = of(row, "error").estimate
        if error is None or not error.scored:
            continue
        beats = [(against, of(row, "beats", against)) for against in STATED]
        over = listing(
            [
                f"{STATED[against]} in {percent(known.estimate.value)}"
                + (f" (a perfect reader: {percent(known.reader)})" if known.reader < 1 else "")
                for against, known in beats
                if known.estimate is not None and known.estimate.scored
            ]
        )
        sentences.append(
            say(
                f"{row.scorer} on {row.metric}, {row.dictionary}: ",
                (f"off the truth by {decimal(error.value)} {interval(error)}",),
                f" on average. The rule itself scores above {over} of {plural(error.n, 'feature')}.",
                grades=(row.grade,),
            )
        )
    return tuple(sentences)


STATED = {"wrong": "another feature's", "broader": "a broader one", "narrower": "a narrower one"}


def reliability(report: Report) -> Figure | None:
    """How often a rule beats false explanations, by the judge and by a perfect reader; None without such rows."""
    frame = report.calibration
    if frame.empty or (frame := frame[(frame["quantity"] == "beats") & frame["reader"].notna()]).empty:
        return None
    rows = []
    for row in frame.to_dict("records"):
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        found = Estimate(value, low, high, int(row["n"]), int(row["unscored"]), row["circularity"])
        about: dict[str, Any] = {name: str(row[name]) for name in ("scorer", "metric", "against")}
        about["reader"] = decimal(row["reader"])
        rows.append(charts.row(str(row["dictionary"]), found, x=row["reader"], series=row["scorer"], **about))
    drawn = pd.DataFrame(rows).drop(columns=["arm", "control"])
    whole = alt.Scale(domain=[0, 1])
    chart = charts.points(drawn, alt.X("x:Q", scale=whole), alt.Y("y:Q", scale=whole), [(0.0, 0.0), (1.0, 1.0)])
    title = "How often the rule beats another explanation"
    unit = "upwards by the judge, across by a perfect reader; on the line they agree"
    label = f"{plural(len(drawn), 'pair')} of rule and other explanation, by judge and by perfect reader"
    return charts.figure(title, unit, max(drawn["grade"]), label, chart, drawn)
