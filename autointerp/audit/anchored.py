"""The mean ratings of judges, corrected by the people who rated some of the same items: anchored, so grade A.

People and judges answer the question of specificity. A judge's mean is biased by what it thinks of everything alike;
the items that both rated tell by how much (`measure.ppi`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from autointerp.measure.arrays import Ints
from autointerp.measure.ppi import corrected_mean
from autointerp.measure.scores import PRIMARY

CONTROL = "ppi"
ITEM = ["dictionary", "feature", "explainer", "excerpt"]


def corrected(verdicts: pd.DataFrame, ratings: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Rows of dictionaries.csv, one for each dictionary and arm of which people rated at least two features.

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
        if found.reason:
            continue
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
            "unscored": len(np.unique(cluster)) - found.clusters_rated,
            "circularity": "A",
        }
