"""How judges agree with one another, with the activations and with people, item by item.

Judges that agree with one another much more than with the truth share an error, and many of them are worth few.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from autointerp.audit.crossed import Design, Opportunity
from autointerp.measure import agreement
from autointerp.measure.arrays import Floats, Ints
from autointerp.measure.effects import Effect

RATINGS, TOP = 4, 3  # of specificity, from 0 on
CONFUSION = ["scorer", "people", "judge", "count"]
ITEM = ["dictionary", "feature", "explainer", "control", "item"]


def answers(verdicts: pd.DataFrame, question: str, judges: Sequence[str], controls: Sequence[str]) -> pd.DataFrame:
    """What judges said of each item (ITEM and `fires`), a column for each that was asked in words; nan: no answer."""
    asked = (verdicts["question"] == question) & (verdicts["rubric"] != "") & verdicts["scorer"].isin(judges)
    own = verdicts[asked & verdicts["control"].isin(controls)].dropna(subset=["value"])
    table = own.pivot_table(index=[*ITEM, "fires"], columns="scorer", values="value")
    return table.reindex(columns=[judge for judge in judges if judge in table])


def people(ratings: pd.DataFrame) -> pd.DataFrame:
    """What people said of each item (ITEM), a column for each of them, nan where one said nothing."""
    own = ratings.dropna(subset=["rating"])
    return own.pivot_table(index=[*ITEM[:-1], "excerpt"], columns="rater", values="rating").rename_axis(index=ITEM)


def rounded(said: pd.DataFrame) -> Floats:
    """People's mean rating of each item [items], to the nearest step of the scale, a half up."""
    return np.floor(said.mean(axis=1).to_numpy(dtype=float) + 0.5)


def both_rated(
    verdicts: pd.DataFrame, ratings: pd.DataFrame, judges: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(judges', people's) ratings of specificity, of the items that somebody rated."""
    said = people(ratings)
    judged = answers(verdicts, "specificity", judges, ("none", "shuffled")).droplevel("fires")
    return judged.reindex(said.index), said


def features_of(items: pd.DataFrame) -> Ints:
    """The number of each item's feature."""
    found: Ints = np.asarray(items.groupby(["dictionary", "feature"], sort=True).ngroup(), dtype=np.int64)
    return found


def agreements(
    verdicts: pd.DataFrame, ratings: pd.DataFrame, judges: Sequence[str], seed: int, resamples: int
) -> list[Effect]:
    """Kappa of each judge with the truth, of judges with one another, of judges with people, and people's own alpha.

    The truth of detection is the activation. Judges of specificity are held against one another over the items that
    people rated, if there are any, so that the two kappas are of the same items.
    """
    detected = answers(verdicts, "detection", judges, ("none",))
    fires = detected.index.get_level_values("fires").to_numpy(dtype=float)
    clusters = features_of(detected)

    def kappa(name: str, said: Floats, clusters: Ints, categories: int, note: str) -> Effect:
        return named(agreement.mean_kappa(said, clusters, categories, seed, resamples), name, note)

    found = [
        kappa(f"kappa with the activations, {judge}", np.stack([said, fires]), clusters, 2, "Over items of detection.")
        for judge, said in columns(detected)
    ]
    if len(detected.columns) > 1:
        said = detected.to_numpy(dtype=float).T
        found.append(kappa("kappa among judges, detection", said, clusters, 2, "Over items of detection."))
    rated, said_by_people = both_rated(verdicts, ratings, judges)
    if ratings["rating"].notna().any():
        judged, over = rated, "Over the items that people rated."
    else:
        judged, over = answers(verdicts, "specificity", judges, ("none", "shuffled")), "Over all items of specificity."
    if len(judged.columns) > 1:
        said = judged.to_numpy(dtype=float).T
        found.append(kappa("kappa among judges, specificity", said, features_of(judged), RATINGS, over))
    if said_by_people.empty:
        return found
    of_people, clusters = said_by_people.to_numpy(dtype=float).T, features_of(said_by_people)

    def alpha(name: str, said: Floats, note: str) -> Effect:
        return named(agreement.alpha(said, clusters, RATINGS, seed, resamples), name, note)

    mean = rounded(said_by_people)
    for judge, said in columns(rated):
        together = f"People's mean of an item is rounded, a half up. {over}"
        found.append(kappa(f"kappa with people, {judge}", np.stack([said, mean]), clusters, RATINGS, together))
        found.append(
            alpha(f"alpha of people and judge, {judge}", np.vstack([of_people, said]), "Krippendorff, ordinal.")
        )
    if (said_by_people.count(axis=1) > 1).any():
        found.append(
            alpha("alpha among people", of_people, "Krippendorff, ordinal, over items that two or more rated.")
        )
    return found


def columns(table: pd.DataFrame) -> list[tuple[str, Floats]]:
    return [(str(name), table[name].to_numpy(dtype=float)) for name in table]


def named(effect: Effect, name: str, note: str) -> Effect:
    return replace(effect, name=name, note=note if effect.identified else effect.note)


def confusions(verdicts: pd.DataFrame, ratings: pd.DataFrame, judges: Sequence[str]) -> pd.DataFrame:
    """How often a judge said `judge` where people said `people` (their mean rounded), a row for each of 16 cells.

    A judge that shares no item with people has no rows.
    """
    rated, said = both_rated(verdicts, ratings, judges)
    mean, rows = rounded(said), []
    for scorer, own in columns(rated):
        both = ~np.isnan(own)
        counts = agreement.confusion(mean[both].astype(np.int64), own[both].astype(np.int64), RATINGS)
        rows += [(scorer, *cell, int(count)) for cell, count in np.ndenumerate(counts) if both.any()]
    return pd.DataFrame(rows, columns=CONFUSION)


def opportunity(verdicts: pd.DataFrame, ratings: pd.DataFrame, made: Design) -> Opportunity | None:
    """What equal opportunity asks of: own explanations that people rated, and who gave them the top; None without any.

    An item is a row, and its one explainer has the only cells in it.
    """
    rated, said = both_rated(verdicts, ratings, made.judges)
    levels = said.index.to_frame(index=False)
    there = (levels["control"] == "none") & levels["explainer"].isin(made.explainers)
    if not there.any():
        return None
    judged = rated.reindex(columns=list(made.judges)).to_numpy(dtype=float)[there]
    items = np.arange(len(judged))
    place = [made.explainers.index(name) for name in levels["explainer"][there]]
    high = np.full((len(judged), len(made.explainers), len(made.judges)), np.nan)
    good = np.full(high.shape[:2], np.nan)
    high[items, place] = np.where(np.isnan(judged), np.nan, judged == TOP)
    good[items, place] = rounded(said)[there] == TOP
    return high, good, features_of(said)[there]
