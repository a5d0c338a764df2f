"""How far a primary score of one dictionary is above another's: beside its controls and the next smaller one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from autointerp.compare.kinship import Link, number
from autointerp.compare.sides import Side
from autointerp.compare.tables import Rows
from autointerp.measure.arrays import Floats
from autointerp.measure.contrast import contrast
from autointerp.measure.intervals import Interval, mean_interval
from autointerp.measure.scores import are_primary
from autointerp.measure.splitting import NONE

ARM = ["metric", "explainer", "scorer", "rubric"]


def effect_rows(sides: Sequence[Side], links: Sequence[Link], scores: pd.DataFrame, seed: int, resamples: int) -> Rows:
    """Rows `contrast.X` of dictionaries.csv, whose control names the other dictionary.

    Each dictionary beside the controls held against it, beside the next smaller of its chain, and beside another with
    the same feature vectors. `contrast.X.paired` is over features of both that are matched: the same number where the
    vectors are the same, else a parent and the nearest of its children.
    """
    real = scores[(scores["control"] == "none") & are_primary(scores["metric"])]
    drawn = {(side.name, feature) for side in sides for feature in side.drawn}
    keys = zip(real["dictionary"], real["feature"], strict=True)
    real = real[[key in drawn for key in keys]]
    by_name = {side.name: side for side in sides}
    pairs: list[tuple[Side, Side, dict[int, int]]] = []
    pairs += [(by_name[side.like], side, {}) for side in sides if side.like in by_name]
    pairs += [(link.larger, link.smaller, matched(link)) for link in links]
    learned = [side for side in sides if not side.like]
    pairs += [
        (side, other, {feature: feature for feature in side.drawn})
        for at, side in enumerate(learned)
        for other in learned[:at]
        if side.same_as(other)
    ]
    rows: Rows = []
    for side, other, match in pairs:
        for key, group in real.groupby(ARM, sort=True):
            metric, explainer, scorer, rubric = map(str, key)
            rows += of_pair(side, other, match, metric, (explainer, scorer, rubric), group, seed, resamples)
    return rows


def matched(link: Link) -> dict[int, int]:
    """Feature of the larger dictionary by feature of the smaller: of a parent the nearest child, so nobody twice."""
    order = np.argsort(-link.step.cosine, kind="stable")
    parent = link.step.parent[order]
    found: dict[int, int] = {}
    for child, of in zip(order[parent != NONE].tolist(), parent[parent != NONE].tolist(), strict=True):
        found.setdefault(int(link.smaller.alive[of]), int(link.larger.alive[child]))
    return {child: parent for parent, child in found.items()}


def of_pair(
    side: Side,
    other: Side,
    match: Mapping[int, int],
    metric: str,
    arm: tuple[str, str, str],
    group: pd.DataFrame,
    seed: int,
    resamples: int,
) -> Rows:
    """The rows of one pair and score; none where the score was asked of one of the two alone."""
    mine, theirs = (group[group["dictionary"] == one.name] for one in (side, other))
    if mine.empty or theirs.empty:
        return []
    grade = str(max(mine["circularity"].max(), theirs["circularity"].max()))
    a, b = (frame["value"].to_numpy(dtype=float) for frame in (mine, theirs))
    told = contrast(a, b, seed, resamples)
    n, unscored = told.n_a + told.n_b, told.unscored_a + told.unscored_b
    found = {
        "": (told.difference, told.difference_low, told.difference_high),
        ".rank_biserial": (told.rank_biserial, told.rank_biserial_low, told.rank_biserial_high),
        ".detectable": (told.detectable, np.nan, np.nan),
    }
    rows = [
        number(side, f"contrast.{metric}{word}", Interval(*values, n, unscored), other.name, arm, grade)
        for word, values in found.items()
    ]
    differences = paired(mine, theirs, match)
    if differences.size:
        told_pairs = mean_interval(differences, seed, resamples)
        rows.append(number(side, f"contrast.{metric}.paired", told_pairs, other.name, arm, grade))
    return rows


def paired(mine: pd.DataFrame, theirs: pd.DataFrame, match: Mapping[int, int]) -> Floats:
    """Differences [pairs] between matched features that were both asked about; nan where one has no score."""
    a, b = (dict(zip(frame["feature"].tolist(), frame["value"].tolist(), strict=True)) for frame in (mine, theirs))
    return np.array([a[x] - b[y] for x, y in sorted(match.items()) if x in a and y in b], dtype=float)
