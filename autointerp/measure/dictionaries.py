"""From feature scores and collection figures to what is said about a dictionary. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.measure.statistics import mean_interval, rule_of_three

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


def collected(name: str, figures: Figures) -> list[dict[str, object]]:
    """Rows that no model took part in: grade A. Dead is a censored statement, so its bounds stand beside it.

    `dead_bound_documents` bounds, at 95%, the share of documents in which a feature that never fired really fires
    (3 / n: rule of three); `dead_bound_tokens` the same for tokens, if they were independent, which bursts are not.
    """
    rows: list[tuple[str, float, int, int]] = [
        ("dead_share", figures.dead / figures.width, figures.width, 0),
        ("dead_bound_documents", rule_of_three(figures.n_documents), figures.n_documents, 0),
        ("dead_bound_tokens", rule_of_three(figures.n_positions), figures.n_positions, 0),
        ("l0", figures.l0, figures.n_positions, 0),
        (
            "explained_variance",
            figures.explained_variance,
            figures.n_positions,
            int(np.isnan(figures.explained_variance)),
        ),
    ]
    blank = {"dictionary": name, "width": figures.width, "control": "none", "explainer": "", "scorer": "", "rubric": ""}
    return [
        {
            **blank,
            "metric": metric,
            "value": value,
            "low": np.nan,
            "high": np.nan,
            "n": n,
            "unscored": unscored,
            "circularity": "A",
        }
        for metric, value, n, unscored in rows
    ]


def summarise(
    scores: pd.DataFrame, figures: Mapping[str, Figures], order: Sequence[str], seed: int, resamples: int
) -> pd.DataFrame:
    """dictionaries.csv: each metric's mean over features with its bootstrap interval, and how many were left unscored.

    A difference is the mean of per-feature differences, so it is paired. The grade is the worst of the features'.
    """
    rows: list[dict[str, object]] = []
    for name in order:
        rows += collected(name, figures[name])
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
