"""The charts of the page, by Altair: a frame in, a chart out, and what of it stands on the page.

A chart is compiled to Vega here. The page holds its picture, which needs no script, and its Vega, packed: when it comes
near the screen, the browser draws it anew where the picture was. Colours are variables of the page's style, so both
follow light, dark and print. What a run calls things enters as data alone, never as a field or an expression.

A frame has a row for each mark: `x` and `y` (and `low`, `high`, `until`, the end of a bar) on the axes, nan where there
is none, `series`, `name`, which stands beside it, and under their own names the texts that a reader is told of it.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from markupsafe import Markup

from autointerp.report.data import Arm, Estimate
from autointerp.report.words.wording import count, decimal, interval, visible

Layers = alt.LayerChart | alt.FacetChart  # what alt.layer is said to return
WIDTH, HEIGHT = 320, 190
DRAWN = ("x", "until", "y", "low", "high", "series", "name")  # columns that are no text
INKS = ("var(--mark)", "var(--control-line)", "var(--fire)")
SHAPES = ("circle", "square", "triangle-up")
CONFIG = {
    "aria": False,  # a chart is one picture with a label, and its numbers stand in a table
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--faint)", "labelFontSize": 11, "gridColor": "var(--line)", "domain": False, "ticks": False,
        "labelPadding": 6, "title": None, "labelLimit": 90, "labelFlush": False, "labelOverlap": "greedy",
    },
    "axisX": {"grid": False},
    "legend": {"labelColor": "var(--soft)", "labelFontSize": 11, "orient": "top", "title": None, "labelLimit": 130},
    "text": {"fill": "var(--soft)", "fontSize": 11},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart on the page: `id` is what a link to it says, `label` what it shows in words, `told` its numbers."""

    id: str
    title: str
    unit: str
    grade: str
    label: str
    vega: dict[str, Any]
    told: pd.DataFrame

    @property
    def picture(self) -> Markup:
        """As SVG; the library that draws it escapes all text in it."""
        return Markup(visible(vl_convert.vega_to_svg(self.vega)))


def figure(title: str, unit: str, grade: str, label: str, chart: Layers, frame: pd.DataFrame) -> Figure:
    """A chart of `frame` with what stands around it."""
    sized = chart.properties(width=WIDTH, height=HEIGHT, autosize=alt.AutoSizeParams(type="fit", contains="padding"))
    vega = vl_convert.vegalite_to_vega(sized.to_dict(), config=CONFIG)
    told = frame.drop(columns=[name for name in DRAWN if name in frame])
    return Figure(address(title), title, unit, grade, f"{title}: {label}", vega, told)


def address(title: str) -> str:
    """A title as the name of a place on the page; where letters are lost, a hash keeps two titles apart."""
    plain = "-".join(title.lower().split(" "))
    kept = re.sub("[^a-z0-9-]+", "-", plain)
    return f"chart-{kept}" if kept == plain else f"chart-{kept}-{hashlib.sha256(title.encode()).hexdigest()[:6]}"


@cache
def library() -> str:
    """Vega, as a script that leaves `vegaEmbed` behind and nothing else."""
    return f"(() => {{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"


# ---- rows


def row(name: str, estimate: Estimate, arm: Arm | None = None, control: str = "none", **drawn: Any) -> dict[str, Any]:
    """A mark of a number of the CSV files, with all that is known of it."""
    return {
        **drawn,
        "y": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "dictionary": name,
        "value": decimal(estimate.value),
        "interval": interval(estimate),
        "n": count(estimate.n),
        "unscored": count(estimate.unscored),
        "control": control,
        "arm": f"{arm.explainer} → {arm.scorer}" if arm else "no model",
        "grade": estimate.grade,
    }


def data(frame: pd.DataFrame) -> alt.InlineData:
    """Rows as they enter a chart: what has no value is null."""
    rows: list[Any] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return alt.InlineData(values=rows)


def tooltip(frame: pd.DataFrame) -> list[alt.Tooltip]:
    return [alt.Tooltip(name, type="nominal") for name in map(str, frame.columns) if name not in DRAWN]


def coloured(frame: pd.DataFrame) -> dict[str, Any]:
    """The first series stands out; one alone needs no legend."""
    names = list(dict.fromkeys(frame["series"]))
    legend = alt.Legend() if len(names) > 1 else None
    return {
        "color": alt.Color("series:N", scale=alt.Scale(domain=names, range=cycled(INKS, len(names))), legend=legend),
        "shape": alt.Shape("series:N", scale=alt.Scale(domain=names, range=cycled(SHAPES, len(names))), legend=legend),
    }


def cycled(values: Sequence[str], n: int) -> list[str]:
    return [values[min(at, len(values) - 1)] for at in range(n)]


# ---- charts


def lines(frame: pd.DataFrame, x: alt.X) -> Layers:
    """Marks with their intervals, joined series by series in the order of x."""
    y = alt.Y("y:Q", scale=alt.Scale(zero=False))
    inks = coloured(frame)
    joined = alt.Chart(data(frame)).mark_line(strokeWidth=1, strokeOpacity=0.6).encode(x=x, y=y, color=inks["color"])
    return alt.layer(*intervals(frame, x, y), joined, marks(frame, x, y))


def intervals(frame: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The first series in front of the others, whose bounds are broad and faint."""
    if "low" not in frame or not frame["low"].notna().any():
        return []
    ends = y.copy()
    ends.shorthand = "low:Q"
    ink, layers = coloured(frame)["color"], []
    for at, name in reversed(list(enumerate(dict.fromkeys(frame["series"])))):
        own = alt.Chart(data(frame[frame["series"] == name]))
        drawn = own.mark_rule(strokeWidth=7, strokeOpacity=0.4) if at else own.mark_rule(strokeWidth=2)
        layers.append(drawn.encode(x=x, y=ends, y2="high:Q", color=ink))
    return layers


def marks(frame: pd.DataFrame, x: alt.X, y: alt.Y) -> alt.Chart:
    drawn: alt.Chart = alt.Chart(data(frame)).mark_point(filled=True, size=42, opacity=0.9)
    return drawn.encode(x=x, y=y, tooltip=tooltip(frame), **coloured(frame))


def sizes(frame: pd.DataFrame) -> alt.X:
    """Log of the width where x holds numbers, which then differ; else a place for each name."""
    widths = frame["x"].drop_duplicates().tolist()
    if all(isinstance(width, str) for width in widths):
        return alt.X("x:N", sort=None, scale=alt.Scale(domain=widths), axis=alt.Axis(labelAngle=0))
    axis = alt.Axis(values=widths, format=",d")
    return alt.X("x:Q", scale=alt.Scale(type="log", base=2, nice=False, padding=14), axis=axis)


def points(frame: pd.DataFrame, x: alt.X, y: alt.Y, curve: Sequence[tuple[float, float]] = ()) -> Layers:
    """Marks that are not joined, with their intervals and names where there are any, over a curve."""
    layers = intervals(frame, x, y)
    if curve:
        along = pd.DataFrame(curve, columns=["x", "y"])
        layers.insert(0, alt.Chart(data(along)).mark_line(stroke="var(--trail)", strokeWidth=1.5).encode(x=x, y=y))
    layers.append(marks(frame, x, y))
    if "name" in frame:
        left = "scale('x', datum.x) > width / 2"
        side, away = alt.expr(f"{left} ? 'right' : 'left'"), alt.expr(f"{left} ? -7 : 7")
        beside = alt.Chart(data(frame)).mark_text(align=side, dx=away, dy=-5, limit=120)
        layers.append(beside.encode(x=x, y=y, text="name:N"))
    return alt.layer(*layers)


def bars(frame: pd.DataFrame, x: alt.X, rule: float | None = None) -> Layers:
    """Shares from `x` to `until`; the first series narrow, in front of the others, with a line at a threshold."""
    names = list(dict.fromkeys(frame["series"]))
    layers = []
    for at, name in reversed(list(enumerate(names))):
        own = frame[frame["series"] == name]
        thin = 2.0 if at == 0 and len(names) > 1 else 0.5
        fill, line = ("var(--control)", "var(--control-line)") if at else ("var(--mark)", "var(--mark)")
        drawn = alt.Chart(data(own)).mark_bar(fill=fill, stroke=line, strokeWidth=0.5, xOffset=thin, x2Offset=-thin)
        layers.append(drawn.encode(x=x, x2="until:Q", y=alt.Y("y:Q"), y2=alt.datum(0), tooltip=tooltip(own)))
    if rule is not None:
        at_rule = alt.Chart(alt.InlineData(values=[{"x": rule}])).mark_rule(stroke="var(--faint)", strokeDash=[3, 2])
        layers.append(at_rule.encode(x=x))
    return alt.layer(*layers)
