"""The mean ratings of judges, corrected by the people who rated some of the same items: anchored, so grade A.

People and judges answer the question of specificity. A judge's mean is biased by what it thinks of everything alike;
the items that both rated tell by how much (`measure.ppi`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from autointerp.measure.arrays import NAN, Ints
from autointerp.measure.effects import Effect, unidentified
from autointerp.measure.ppi import Corrected, corrected_mean
from autointerp.measure.scores import PRIMARY

CONTROL = "ppi"
ITEM = ["dictionary", "feature", "explainer", "excerpt"]


def corrected(verdicts: pd.DataFrame, ratings: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Rows of dictionaries.csv, one for each dictionary and arm of which people rated at least two features."""
    for (dictionary, explainer, scorer, rubric), found, clusters in corrections(verdicts, ratings):
        yield {
            "dictionary": dictionary,
            "metric": PRIMARY["specificity"],
            "control": CONTROL,
            "explainer": explainer,
            "scorer": scorer,
            "rubric": rubric,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.clusters_rated,
            "unscored": clusters - found.clusters_rated,
            "circularity": "A",
        }


def more_to_rate(verdicts: pd.DataFrame, ratings: pd.DataFrame) -> list[Effect]:
    """Rows of circularity.csv: of how many more features people should rate items to halve each corrected interval."""
    effects = []
    for (dictionary, explainer, scorer, _), found, _ in corrections(verdicts, ratings):
        name = f"more features to rate, {explainer} by {scorer}, {dictionary}"
        if found.more_to_halve is None:
            why = "No number would halve the interval: what stays is how far features differ, so evaluate more of them."
            effects.append(unidentified(name, found.clusters_rated, why))
        else:
            note = (
                f"So many more, rated as those so far, would halve the interval of the corrected mean, "
                f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})."
            )
            more, rated = float(found.more_to_halve), found.clusters_rated
            effects.append(Effect(name, more, NAN, NAN, rated, NAN, NAN, True, note))
    return effects


def corrections(
    verdicts: pd.DataFrame, ratings: pd.DataFrame
) -> Iterator[tuple[tuple[str, str, str, str], Corrected, int]]:
    """((dictionary, explainer, scorer, rubric), corrected mean, judged features) of each arm that can be corrected.

    Over the firing excerpts and the feature's own explanation, activation intervals weighing alike within a feature as
    in specificity.mean. Several people's ratings of an item are averaged. The draw of items takes a feature first and
    then one of its items, so an item's chance is one in the items of its feature.
    """
    own = ratings[ratings["control"] == "none"].dropna(subset=["rating"])
    if own.empty:
        return
    people = own.groupby(ITEM)["rating"].mean()
    asked = (verdicts["question"] == "specificity") & (verdicts["control"] == "none") & verdicts["fires"]
    judged = verdicts[asked].dropna(subset=["value"]).rename(columns={"item": "excerpt"})
    for (dictionary, explainer, scorer, rubric), arm in judged.groupby(["dictionary", "explainer", "scorer", "rubric"]):
        human = people.reindex(pd.MultiIndex.from_frame(arm[ITEM])).to_numpy(dtype=float)
        cluster: Ints = np.asarray(arm.groupby("feature", sort=True).ngroup(), dtype=np.int64)
        strata = arm.groupby("feature")["stratum"].transform("nunique").to_numpy()
        weight = 1 / (strata * arm.groupby(["feature", "stratum"])["value"].transform("size").to_numpy())
        chance = 1 / np.bincount(cluster)[cluster]
        found = corrected_mean(arm["value"].to_numpy(dtype=float), human, cluster, weight, chance)
        if not found.reason:
            yield (str(dictionary), str(explainer), str(scorer), str(rubric)), found, len(np.unique(cluster))
