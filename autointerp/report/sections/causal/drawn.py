"""Importance against loudness in one prompt, and what doses do on average."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from autointerp.causal.steer import MATCHED, NONE, RANDOM
from autointerp.measure.causal import ranks
from autointerp.measure.intervals import mean_interval
from autointerp.report.data import Estimate, Report
from autointerp.report.parts import charts
from autointerp.report.parts.charts import Figure
from autointerp.report.words.wording import count, decimal, plural, signed


def importance(row: Mapping[Any, Any]) -> Figure:
    """The ablated features of a prompt: what each does, against how loud it is."""
    ablation, activation = np.asarray(row["ablation"], float), np.asarray(row["activation"], float)
    known = np.flatnonzero(np.isfinite(ablation))
    loudness = ranks(activation)
    columns = {name: np.asarray(row[name])[known].tolist() for name in ("position", "feature", "attribution")}
    frame = pd.DataFrame(
        {
            "x": loudness[known],
            "y": np.abs(ablation[known]),
            "series": "",
            "token": [str(row["pieces"][at]) for at in columns["position"]],
            "feature": [str(number) for number in columns["feature"]],
            "rank by loudness": [f"{decimal(rank, 0)} of {count(len(activation))}" for rank in loudness[known]],
            "ablation": [signed(value) for value in ablation[known]],
            "attribution": [signed(value) for value in columns["attribution"]],
            "interval": "none: it is exact",
            "grade": "A",
        }
    )
    # The loudest are on the right.
    x = alt.X("x:Q", scale=alt.Scale(type="log", reverse=True, nice=False, domain=[1, max(len(activation), 2)]))
    label = f"|ablation| of {plural(len(known), 'feature')} at positions by rank of loudness"
    chart = charts.points(frame, x, alt.Y("y:Q"))
    title = f"Importance against loudness, {row['text']} {row['target']}"
    return charts.figure(title, "|ablation|, by rank", "A", label, chart, frame)


NAMES = {NONE: "the features", RANDOM: "random direction", MATCHED: "density-matched"}


def curves(report: Report, name: str) -> list[Figure]:
    """What doses do on average over the steered features of a dictionary: their words, and the subject's loss."""
    assert report.causal is not None
    frame = report.causal.curves
    own = frame[frame["dictionary"] == name]
    if own.empty:
        return []
    wanted = (
        ("gain", "their words", "share over unsteered"),
        ("loss_rise", "loss on the text", "nats a token over unsteered"),
    )
    return [curve(report, name, own, column, title, unit) for column, title, unit in wanted]


def curve(report: Report, name: str, own: pd.DataFrame, column: str, title: str, unit: str) -> Figure:
    rows = []
    for control, word in NAMES.items():
        for dose, group in own[own["control"] == control].groupby("dose", sort=True):
            found = mean_interval(group[column].to_numpy(float), report.seed, report.settings.resamples)
            star = "*" if group["off_distribution"].iloc[0] else ""
            item = Estimate(found.value, found.low, found.high, found.n, found.unscored, "A")
            about = {"dose": f"{dose:g}{star}", "series": word}
            rows.append(charts.row(name, item, None, control, x=f"{dose:g}{star}", **about))
    frame = pd.DataFrame(rows)
    main = ", ".join(f"{row['dose']}: {row['value']}" for row in rows if row["control"] == NONE)
    doses = alt.Scale(domain=list(dict.fromkeys(frame["x"])))
    chart = charts.lines(frame, alt.X("x:N", sort=None, scale=doses, axis=alt.Axis(labelAngle=0)))
    label = f"by dose: {main}; doses with a star are off-distribution"
    n = plural(own["feature"].nunique(), "feature")
    return charts.figure(f"{name}: {title}", f"{unit}, {n}", "A", label, chart, frame)
