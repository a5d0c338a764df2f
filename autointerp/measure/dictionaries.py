"""From feature scores and collection figures to what is said about a dictionary. Pure."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from autointerp.measure.correlation import correlation_interval
from autointerp.measure.intervals import (
    Interval,
    mean_interval,
    ratio_interval,
    rule_of_three,
    superiority_interval,
    wilson,
)
from autointerp.measure.scores import PERCENTILE, are_primary
from autointerp.records import PICKED

COLUMNS = [
    "dictionary", "width", "metric", "control", "explainer", "scorer", "rubric", "value", "low", "high", "n",
    "unscored", "circularity",
]  # fmt: skip
SINGLE_TOKEN_BITS = 1.0
SHARE = "generalisation.carries_over"  # 1 or 0 of each feature
P_VALUE = "generalisation.p"  # of a feature; a mean of them says nothing
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
    scores: pd.DataFrame,
    figures: Mapping[str, Figures],
    entropies: Mapping[tuple[str, int], float],
    order: Sequence[str],
    seed: int,
    resamples: int,
    picked: Set[tuple[str, int]] = frozenset(),
) -> pd.DataFrame:
    """dictionaries.csv: each metric's mean over features with its bootstrap interval, and how many were left unscored.

    A difference is the mean of per-feature differences, so it is paired. The grade is the worst of the features'.
    `entropies` are those of the tokens that a feature fires on, in bits: see `by_tokens`.

    Everything is over the features drawn by seed. The `picked` ones, as (dictionary, feature), have rows of their own
    (`cherry_picking`) and are in no other; where none was drawn, a number is without a value and of 0 features.
    """
    rows: list[dict[str, object]] = []
    for name in order:
        rows += collected(name, figures[name], seed, resamples)
        blank = {"dictionary": name, "width": figures[name].width}
        every = scores[(scores["dictionary"] == name) & (scores["metric"] != P_VALUE)]
        by_hand = np.array([(name, feature) in picked for feature in every["feature"]], dtype=bool)
        standing = every["metric"].str.endswith(PERCENTILE).to_numpy(dtype=bool)
        own = every[~by_hand & ~standing]
        if own.empty:
            for values, group in every[~standing].groupby(KEY, sort=True):
                nothing = asdict(Interval(np.nan, np.nan, np.nan, 0, 0))
                key = dict(zip(KEY, values, strict=True))
                rows.append({**blank, **key, **nothing, "circularity": group["circularity"].max()})
        for table in (own, by_tokens(own, entropies)):
            for values, group in table.groupby(KEY, sort=True):
                key = dict(zip(KEY, values, strict=True))
                own_values = group["value"].to_numpy(dtype=float)
                mean = share(own_values) if key["metric"] == SHARE else mean_interval(own_values, seed, resamples)
                rows.append({**blank, **key, **asdict(mean), "circularity": group["circularity"].max()})
        rows += [{**blank, **row} for row in agreements(own, seed, resamples)]
        rows += [{**blank, **row} for row in cherry_picking(every[by_hand & standing])]
    return pd.DataFrame(rows, columns=COLUMNS)


def cherry_picking(percentiles: pd.DataFrame) -> list[dict[str, object]]:
    """Mean percentile of the hand-picked features among the seeded sample, by arm: `X.percentile`, control hand-picked.

    1 where each beats the whole sample, 0.5 where they are as if drawn by lot. The interval is that of a chance to beat
    (`superiority_interval`): it knows that the sample is one, too. Over the sample itself the mean is 0.5 whatever the
    scores are, so there is no such row.
    """
    rows: list[dict[str, object]] = []
    for values, group in percentiles.groupby(KEY, sort=True):
        known = group.dropna(subset=["value"])
        mean = float(known["value"].mean()) if len(known) else np.nan
        low, high = superiority_interval(mean, len(known), int(known["n"].max()) if len(known) else 0)
        found = Interval(mean, low, high, len(known), len(group) - len(known))
        key = dict(zip(KEY, values, strict=True)) | {"control": PICKED}
        rows.append({**key, **asdict(found), "circularity": group["circularity"].max()})
    return rows


def share(values: npt.NDArray[np.float64]) -> Interval:
    """Share of ones among features [n] that are 1, 0 or unscored (nan), with Wilson's interval.

    A bootstrap of none among n would have no width, as if it were certain.
    """
    scored = values[~np.isnan(values)]
    if not scored.size:
        return Interval(np.nan, np.nan, np.nan, 0, len(values))
    low, high = wilson(int(scored.sum()), scored.size)
    return Interval(float(scored.mean()), low, high, scored.size, len(values) - scored.size)


def by_tokens(scores: pd.DataFrame, entropies: Mapping[tuple[str, int], float]) -> pd.DataFrame:
    """Primary scores and the lexical floor once more, under `X.single_token` and `X.many_tokens`.

    A feature that fires on one token is easy to explain, and dictionaries of random models are full of such features
    (Bricken et al. 2023): a mean over both kinds says little. Single-token is an entropy below SINGLE_TOKEN_BITS. Where
    all features are of one kind there is nothing to divide.
    """
    wanted = are_primary(scores["metric"]) | (scores["metric"] == "lexical_floor.ap")
    found = scores[wanted & (scores["control"] == "none")]
    keys = zip(found["dictionary"], found["feature"], strict=True)
    single = [entropies.get(key, np.inf) < SINGLE_TOKEN_BITS for key in keys]
    kind = np.where(single, ".single_token", ".many_tokens")
    return found.assign(metric=found["metric"] + kind) if len(set(kind)) > 1 else found.iloc[:0]


def agreements(scores: pd.DataFrame, seed: int, resamples: int) -> list[dict[str, object]]:
    """Rank correlation over features between the scores of two explainers, by the same judge: `agreement.X`.

    Two draws of one explainer (`sample`) show how much of a score is the feature's and how much the draw's.
    """
    rows: list[dict[str, object]] = []
    own = scores[are_primary(scores["metric"]) & (scores["control"] == "none")]
    for (metric, scorer, rubric), group in own.groupby(["metric", "scorer", "rubric"], sort=True):
        values = group.pivot_table(index="feature", columns="explainer", values="value", dropna=False)
        for one, other in combinations(sorted(values.columns), 2):
            asked = [set(group.loc[group["explainer"] == name, "feature"]) for name in (one, other)]
            both = values.loc[sorted(set.intersection(*asked))]
            found = correlation_interval(both[one].to_numpy(), both[other].to_numpy(), seed, resamples)
            grade = group[group["explainer"].isin([one, other])]["circularity"].max()
            rows.append(
                {
                    "metric": f"agreement.{metric}",
                    "control": "none",
                    "explainer": f"{one} and {other}",
                    "scorer": scorer,
                    "rubric": rubric,
                    **asdict(found),
                    "circularity": grade,
                }
            )
    return rows
