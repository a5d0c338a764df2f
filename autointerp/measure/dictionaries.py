"""From feature scores and collection figures to what is said about a dictionary. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from autointerp.measure.intervals import Interval, mean_interval, ratio_interval, rule_of_three

COLUMNS = [
    "dictionary",
    "width",
    "metric",
    "control",
    "explainer",
    "scorer",
    "rubric",
    "value",
    "low",
    "high",
    "n",
    "unscored",
    "circularity",
]
KEY = ["metric", "control", "explainer", "scorer", "rubric"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What collection says of a whole dictionary."""

    width: int
    dead: int
    l0: float
    explained_variance: float
    n_positions: int
    n_documents: int
    losses: Mapping[str, npt.NDArray[np.float64]] | None = None  # by context: see collect/loss.py


def collected(name: str, figures: Figures, seed: int, resamples: int) -> list[dict[str, object]]:
    """Rows that no judge took part in: grade A. Dead is a censored statement, so its bounds stand beside it.

    `dead_bound_documents` bounds, at 95%, the share of documents in which a feature that never fired really fires
    (3 / n: rule of three); `dead_bound_tokens` the same for tokens, if they were independent, which bursts are not.
    """

    def plain(value: float, n: int) -> Interval:
        return Interval(value, np.nan, np.nan, n, int(np.isnan(value)))

    rows = {
        "dead_share": plain(figures.dead / figures.width, figures.width),
        "dead_bound_documents": plain(rule_of_three(figures.n_documents), figures.n_documents),
        "dead_bound_tokens": plain(rule_of_three(figures.n_positions), figures.n_positions),
        "l0": plain(figures.l0, figures.n_positions),
        "explained_variance": plain(figures.explained_variance, figures.n_positions),
        **loss_rows(figures.losses, seed, resamples),
    }
    blank = {"dictionary": name, "width": figures.width, "control": "none", "explainer": "", "scorer": "", "rubric": ""}
    return [
        {
            **blank,
            "metric": metric,
            "value": row.value,
            "low": row.low,
            "high": row.high,
            "n": row.n,
            "unscored": row.unscored,
            "circularity": "A",
        }
        for metric, row in rows.items()
    ]


def loss_rows(losses: Mapping[str, npt.NDArray[np.float64]] | None, seed: int, resamples: int) -> dict[str, Interval]:
    """Loss recovered and the rise in loss when the reconstruction stands in for the hook's output; n contexts.

    `loss_recovered` = (ablated - substituted) / (ablated - clean), where ablated puts 0 there; zeros do such harm that
    it is near 1 for many a poor dictionary, so `loss_rise` = substituted - clean, nats a token, stands beside it.
    """
    if not losses:
        return {name: Interval(np.nan, np.nan, np.nan, 0, 1) for name in ("loss_recovered", "loss_rise")}
    clean, substituted, ablated = losses["clean"], losses["substituted"], losses["ablated"]
    return {
        "loss_recovered": ratio_interval(ablated - substituted, ablated - clean, seed, resamples),
        "loss_rise": ratio_interval(substituted - clean, losses["positions"], seed, resamples),
    }


def summarise(
    scores: pd.DataFrame, figures: Mapping[str, Figures], order: Sequence[str], seed: int, resamples: int
) -> pd.DataFrame:
    """dictionaries.csv: each metric's mean over features with its bootstrap interval, and how many were left unscored.

    A difference is the mean of per-feature differences, so it is paired. The grade is the worst of the features'.
    """
    rows: list[dict[str, object]] = []
    for name in order:
        rows += collected(name, figures[name], seed, resamples)
        own = scores[scores["dictionary"] == name]
        for values, group in own.groupby(KEY, sort=True):
            mean = mean_interval(group["value"].to_numpy(dtype=float), seed, resamples)
            rows.append(
                {
                    "dictionary": name,
                    "width": figures[name].width,
                    **dict(zip(KEY, values, strict=True)),
                    "value": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "n": mean.n,
                    "unscored": mean.unscored,
                    "circularity": group["circularity"].max(),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)
