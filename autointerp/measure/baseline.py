"""What changed between two runs of the same draw, and what a limit makes of a number. Pure."""

from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd

from autointerp.measure.intervals import Interval, difference_interval, mean_interval

COLUMNS = [
    "dictionary", "metric", "explainer", "scorer", "rubric", "value", "before", "difference", "low", "high", "n",
    "unscored", "by", "circularity",
]  # fmt: skip
KEY = ["dictionary", "metric", "explainer", "scorer", "rubric"]
Row = dict[str, Any]
Kind = Literal["fall", "rise", "above", "below"]
Verdict = Literal["passed", "failed", "undecided"]


def changes(
    means: pd.DataFrame,
    means_before: pd.DataFrame,
    scores: pd.DataFrame,
    scores_before: pd.DataFrame,
    seed: int,
    resamples: int = 2000,
) -> pd.DataFrame:
    """baseline.csv: what each number of both runs, controls apart, has become. Frames as in the CSV contract.

    `value` and `before` are those of the two runs. `by` says what `difference`, `low` and `high` are made of:
    "features": the mean of the differences of the n features that both runs scored, with its bootstrap, so it need not
    be value - before. `unscored` features were asked in either run and not scored in both.
    "runs": value - before, as if the two were independent, which is too wide (`difference_interval`).
    "point": the same where either has no interval; no bounds.
    A number that only one of the runs has, or has by another rubric, is not there.
    """
    means, means_before, scores, scores_before = map(real, (means, means_before, scores, scores_before))
    own = means.merge(means_before, on=KEY, suffixes=("", "_before"))
    paired = scores.merge(scores_before, on=[*KEY, "feature"], how="outer", suffixes=("", "_before"))
    apart = (paired["value"] - paired["value_before"]).astype(np.float64)
    by_key = {key: np.asarray(group, np.float64) for key, group in apart.groupby([paired[column] for column in KEY])}
    rows = []
    for row in records(own):
        found = by_key.get(tuple(row[column] for column in KEY))
        if found is not None and not np.isnan(found).all():
            difference, by = mean_interval(found, seed, resamples), "features"
        else:
            difference = difference_interval(estimate(row), estimate(row, "_before"))
            by = "point" if np.isnan(difference.low) else "runs"
        said = asdict(difference)
        rows.append(
            {column: row[column] for column in [*KEY, "value"]}
            | {"before": row["value_before"], "difference": said.pop("value"), "by": by}
            | {**said, "circularity": max(row["circularity"], row["circularity_before"])}
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def real(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are no control, with empty words where a file has empty cells."""
    frame = frame[frame["control"] == "none"]
    return frame.assign(**{column: frame[column].fillna("") for column in KEY})


def records(frame: pd.DataFrame) -> list[Row]:
    return [{str(column): cell for column, cell in row.items()} for row in frame.to_dict("records")]


def estimate(row: Row, suffix: str = "") -> Interval:
    value, low, high, n = (float(row[f"{column}{suffix}"]) for column in ("value", "low", "high", "n"))
    return Interval(value, low, high, int(n), 0)


def verdict(kind: Kind, limit: float, value: float, low: float, high: float) -> Verdict:
    """Whether a number keeps to a limit: `fall` and `rise` are about a difference, `above` and `below` about a value.

    It fails only where its whole interval is beyond the limit, and passes only where none of it is; between the two
    nothing is decided. Without an interval the number decides alone; nan decides nothing.
    """
    if np.isnan(value):
        return "undecided"
    ends = (value, value) if np.isnan(low) or np.isnan(high) else (low, high)
    if kind in ("fall", "below"):  # larger is better: turned round, it is not
        ends, limit = (-ends[1], -ends[0]), limit if kind == "fall" else -limit
    if ends[0] > limit:
        return "failed"
    return "passed" if ends[1] <= limit else "undecided"


def moved(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose interval leaves no change out."""
    return frame[(frame["low"] > 0) | (frame["high"] < 0)]
