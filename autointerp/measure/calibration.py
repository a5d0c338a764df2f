"""How far judges are from the truth, on planted features whose rules are known. Pure.

A judge's score of an explanation is held against that of a *perfect reader*, who takes the explanation for exactly the
rule that it states and answers the same questions about the same items. So a false explanation has a true score, too:
low, but not as low as one would guess. What is left between the two scores is the judge's own error.

`states` says what each explainer of kind `rule` states: the rule itself, one that is broader, one that is narrower, or
that of another feature. All others are *writers*: what they wrote has no known truth, but should not beat the rule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from autointerp.measure import circularity
from autointerp.measure.arrays import NAN, Floats
from autointerp.measure.correlation import spearman
from autointerp.measure.intervals import Interval, mean_interval, percentiles, resampled, wilson
from autointerp.measure.scores import PRIMARY, are_primary

COLUMNS = [
    "dictionary", "scorer", "metric", "quantity", "against", "value", "low", "high", "reader", "n", "unscored",
    "circularity", "note",
]  # fmt: skip
RULE = "rule"
YES_OR_NO = ("detection", "fuzzing")
ARM = ["dictionary", "scorer", "metric"]
ITEM = ["dictionary", "feature", "question", "explainer", "item"]
Row = dict[str, object]


def calibrate(
    scores: pd.DataFrame, truths: pd.DataFrame, states: Mapping[str, str], seed: int, resamples: int = 2000
) -> list[Row]:
    """Rows of calibration.csv by dictionary, judge and metric. n counts features, `reader` is what a perfect one gets.

    scores and truths have the columns of scores.csv; truths hold the perfect reader's, under each judge's name.
    error: |score - truth|, the mean over the statements of a feature and then over features; 0 for a perfect reader.
    bias: score - truth, likewise: what the judge gives too much.
    rank: Spearman's correlation of score and truth over all statements of all features; 1 where none is out of order.
    beats: the share of features in which the score of the rule is above that of what is named in `against`, ties half.
    A perfect reader's is below 1, too, where a false explanation does as well on the items there are.

    Rows without a scorer are the judges of one grade together: their mean, feature by feature.
    """
    rows: list[Row] = []
    distances: dict[tuple[str, str, str], list[pd.Series]] = {}
    for key, group in primary(scores).groupby(ARM, sort=True):
        dictionary, scorer, metric = map(str, key)
        blank = {"dictionary": dictionary, "scorer": scorer, "metric": metric}
        given = by_feature(group)
        true = by_feature(truths[(truths[ARM] == [dictionary, scorer, metric]).all(axis=1)]).reindex(given.index)
        grades = group.groupby("explainer")["circularity"].max()
        statements = [name for name in given.columns if name in states and name in true.columns]
        if statements:
            grade = str(grades[statements].max())
            distance = given[statements] - true[statements]
            size = distance.abs().mean(axis=1)
            distances.setdefault((dictionary, metric, grade), []).append(size)
            pair = given[statements].to_numpy(float), true[statements].to_numpy(float)
            rows += [
                row(blank, "error", mean_interval(size.to_numpy(float), seed, resamples), 0.0, grade),
                row(blank, "bias", mean_interval(distance.mean(axis=1).to_numpy(float), seed, resamples), 0.0, grade),
                row(blank, "rank", rank(*pair, seed, resamples), 1.0, grade),
            ]
        for rule in (name for name in given.columns if states.get(name) == RULE):
            for other in (name for name in given.columns if name != rule):
                reader = beaten(true[rule], true[other]).value if other in true.columns else NAN
                grade = max(grades[rule], grades[other])
                rows.append(row(blank, "beats", beaten(given[rule], given[other]), reader, grade, other))
    for (dictionary, metric, grade), sizes in sorted(distances.items()):
        together = pd.concat(sizes, axis=1).mean(axis=1).to_numpy(float)
        blank = {"dictionary": dictionary, "scorer": "", "metric": metric}
        rows.append(row(blank, "error", mean_interval(together, seed, resamples), 0.0, grade))
    return rows


def answers(verdicts: pd.DataFrame, truths: pd.DataFrame, seed: int, resamples: int = 2000) -> Iterator[Row]:
    """How judges err item by item, where they say yes or no: rows of calibration.csv without a grade.

    verdicts and truths have the columns of verdicts.parquet.
    wrong_answers: the share of items that the judge answers otherwise than the perfect reader, by feature.
    shared_error, effective_judges: over the items that all judges of a dictionary answered, of being wrong or not
    (measure.circularity; the phi of Kohli 2026).
    """
    asked = verdicts["question"].isin(YES_OR_NO) & (verdicts["control"] == "none") & (verdicts["rubric"] != "")
    keys = [*ITEM, "scorer"]
    both = verdicts[asked].dropna(subset=["value"]).merge(truths[[*keys, "value"]], on=keys, suffixes=("", "_true"))
    # Signed differences of a yes and a no would agree wherever two judges err at all: both can only err one way.
    both = both.assign(wrong=(both["value"] - both["value_true"]).abs(), metric=both["question"].map(PRIMARY))
    for key, group in both.groupby(ARM, sort=True):
        of_features = group["wrong"].groupby(group["feature"]).mean().to_numpy(float)
        blank = dict(zip(ARM, map(str, key), strict=True))
        yield row(blank, "wrong_answers", mean_interval(of_features, seed, resamples), 0.0, "")
    for (dictionary, metric), group in both.groupby(["dictionary", "metric"], sort=True):
        table = group.pivot_table(index=ITEM, columns="scorer", values="wrong").dropna()
        if table.shape[1] < 2:
            continue
        clusters = table.index.get_level_values("feature").to_numpy(np.int64)
        blank = {"dictionary": str(dictionary), "scorer": "", "metric": str(metric)}
        for effect in circularity.shared_error(table.to_numpy(float).T, clusters, seed, resamples):
            found = Interval(effect.value, effect.low, effect.high, effect.n, 0)
            quantity = effect.name.replace(" ", "_")
            reader = 0.0 if quantity == "shared_error" else float(table.shape[1])
            yield row(blank, quantity, found, reader, "") | {"note": effect.note}


def primary(scores: pd.DataFrame) -> pd.DataFrame:
    """The first number of each question, without controls, of what somebody explained and judged."""
    armed = (scores["explainer"] != "") & (scores["scorer"] != "")
    return scores[are_primary(scores["metric"]) & (scores["control"] == "none") & armed]


def by_feature(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores [features, explainers]; nan where there is none."""
    own = primary(scores)
    return own.pivot_table(index="feature", columns="explainer", values="value", dropna=False, sort=True)


def row(
    blank: Mapping[str, object], quantity: str, found: Interval, reader: float, grade: str, against: str = ""
) -> Row:
    rest = {"quantity": quantity, "against": against, "reader": reader, "circularity": grade, "note": ""}
    return {**blank, **asdict(found), **rest}


def beaten(one: "pd.Series[float]", other: "pd.Series[float]") -> Interval:
    """Share of features [n] in which one is above the other, ties half, with Wilson's interval; nan is unscored."""
    gap = (one - other).to_numpy(float)
    scored = gap[~np.isnan(gap)]
    if not scored.size:
        return Interval(NAN, NAN, NAN, 0, gap.size)
    wins = float((scored > 0).sum() + (scored == 0).sum() / 2)
    return Interval(wins / scored.size, *wilson(wins, scored.size), scored.size, gap.size - scored.size)


def rank(given: Floats, true: Floats, seed: int, resamples: int) -> Interval:
    """Spearman's correlation over all cells of two tables [features, statements], with a bootstrap over features.

    Features without all cells are unscored. Bounds are nan for fewer than 4 features and where a table is constant.
    """
    scored = ~np.isnan(given + true).any(axis=1)
    given, true, unscored = given[scored], true[scored], int((~scored).sum())
    n = len(given)
    value = float(spearman(given.ravel(), true.ravel()))
    if n < 4 or np.isnan(value):
        return Interval(value, NAN, NAN, n, unscored)
    found = [
        spearman(given[drawn].reshape(len(drawn), -1), true[drawn].reshape(len(drawn), -1))
        for drawn in resampled(n, seed, resamples)
    ]
    low, high = np.nanpercentile(np.concatenate(found), percentiles(n))
    return Interval(value, float(low), float(high), n, unscored)
