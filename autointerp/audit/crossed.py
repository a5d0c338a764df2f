"""The crossed design of a finished run: who explained and who judged the same features, and what changed with it.

Nothing is asked here. Every pair of explainer and judge of the run is a cell, models of one family are what the audit
is about, and a feature counts where cells of the design have scored it. The paraphrases are the score stage's, and
what people say is read by `invariance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd

from autointerp.audit.roles import Roles
from autointerp.config import PARAPHRASED
from autointerp.llm.lineage import lineage
from autointerp.measure import circularity as measure
from autointerp.measure.arrays import Floats, Ints
from autointerp.measure.effects import Effect, unidentified
from autointerp.measure.scores import PRIMARY
from autointerp.records import Model

UNKNOWN = -1
METRIC = PRIMARY["detection"]

# Rated items: which verdicts are the highest [items, explainers, judges], which explanations people find good [items,
# explainers], nan elsewhere, and the feature of each [items].
Opportunity: TypeAlias = tuple[Floats, Floats, Ints]


@dataclass(frozen=True, slots=True)
class Design:
    """Scores y [features, explainers, judges], nan where a cell has none, and the family of each by number.

    `names` are those of the families. `shuffled` are the same judges on other features' explanations, `permuted` the
    same verdicts dealt out at random, `paraphrased` the same judges on the same explanations in other words.
    `reworded` says who of the design the paraphraser is related to, if anyone; None where nobody paraphrased.
    """

    explainers: tuple[str, ...]
    judges: tuple[str, ...]
    families: tuple[Ints, Ints]
    names: tuple[str, ...]
    y: Floats
    shuffled: Floats
    permuted: Floats
    paraphrased: Floats
    reworded: str | None


def families(roles: Sequence[Sequence[Model]], known: dict[str, int]) -> Ints:
    """A number for the family of each role; UNKNOWN for code, people, several families and unknown lineages."""
    found = []
    for models in roles:
        names = {lineage(requested, resolved) for _, requested, resolved in models}
        own = {f"{model.developer}/{model.family}" for model in names if model.known}
        one = next(iter(own)) if len(own) == 1 and all(model.known for model in names) else ""
        found.append(known.setdefault(one, len(known)) if one else UNKNOWN)
    return np.array(found, dtype=np.int64)


def design(scores: pd.DataFrame, roles: Roles, explainers: Sequence[str], judges: Sequence[str]) -> Design:
    """The cells of a run, over the features that every cell was asked about."""
    known: dict[str, int] = {}
    numbers = (
        families([roles.explainers[name] for name in explainers], known),
        families([roles.scorers[name] for name in judges], known),
    )
    own = scores[(scores["metric"] == METRIC) & scores["explainer"].isin(explainers) & scores["scorer"].isin(judges)]
    asked = own[own["control"] == "none"].groupby(["dictionary", "feature"]).size()
    features = asked.index[asked == len(explainers) * len(judges)]
    tables = []
    for control in ("none", "shuffled", "permuted", PARAPHRASED):
        cells = own[own["control"] == control].pivot_table(
            index=["dictionary", "feature"], columns=["explainer", "scorer"], values="value"
        )
        wide = cells.reindex(index=features, columns=pd.MultiIndex.from_product([explainers, judges]))
        tables.append(wide.to_numpy(dtype=float).reshape(len(features), len(explainers), len(judges)))
    y, shuffled, permuted, paraphrased = tables
    reworded = related(roles.paraphraser, explainers, judges, numbers, known) if roles.paraphraser else None
    return Design(tuple(explainers), tuple(judges), numbers, tuple(known), y, shuffled, permuted, paraphrased, reworded)


def related(
    paraphraser: Sequence[Model],
    explainers: Sequence[str],
    judges: Sequence[str],
    numbers: tuple[Ints, Ints],
    known: dict[str, int],
) -> str:
    """Whose family the paraphraser is of, in a sentence: then its style may be one that a judge knows as its own."""
    (own,) = families([paraphraser], dict(known)).tolist()
    if own == UNKNOWN:
        return "The paraphraser's family is not known."
    kin = [f"the explainer {name}" for name, number in zip(explainers, numbers[0], strict=True) if number == own]
    kin += [f"the judge {name}" for name, number in zip(judges, numbers[1], strict=True) if number == own]
    return f"The paraphraser is of the family of {', '.join(kin)}." if kin else ""


def errors(verdicts: pd.DataFrame, judges: Sequence[str]) -> tuple[Floats, Ints]:
    """Where judges are wrong about the same items: 1 or 0, [judges, items], and the items' features.

    Only judges that say yes or no, only items that all of them answered. The truth is the activation. Being wrong is
    correlated, not yes or no less the truth: of one item two judges can only err the same way, and so judges that err
    apart would seem to err together (the phi of Kohli 2026).
    """
    asked = (verdicts["question"] == "detection") & (verdicts["control"] == "none") & (verdicts["rubric"] != "")
    own = verdicts[asked & verdicts["scorer"].isin(judges)].dropna(subset=["value"])
    own = own.assign(wrong=(own["value"] - own["fires"]).abs())
    keys = ["dictionary", "feature", "explainer", "item"]
    table = own.pivot_table(index=keys, columns="scorer", values="wrong").dropna().sort_index()
    features = table.index.to_frame(index=False).groupby(["dictionary", "feature"], sort=True).ngroup()
    wrong: Floats = np.asarray(table, dtype=float).T
    places: Ints = np.asarray(features, dtype=np.int64)
    return wrong, places


def audit(
    made: Design, wrong: tuple[Floats, Ints], rated: Opportunity | None, seed: int, resamples: int
) -> list[Effect]:
    """All effects of a design, in the order of the table. Holm's p stands in the notes of what is tested.

    `rated` is what people say of items that judges rated, None where nobody has.
    """
    y, (explainers, judges) = made.y, made.families
    floor = mean_over_cells(made.shuffled)
    tested = [
        measure.self_preference(y, explainers, judges, seed, resamples),
        measure.circular_share(y, floor, explainers, judges, seed, resamples),
    ]
    for at, judge in enumerate(made.judges):
        true, shuffled = (mean_over_cells(table[:, :, at : at + 1]) for table in (y, made.shuffled))
        guessing = float(np.nanmean(made.permuted[:, :, at])) if not np.isnan(made.permuted[:, :, at]).all() else 0.0
        found = measure.leakage(true, shuffled, guessing, seed, resamples)
        tested += [replace(effect, name=f"{effect.name}, {judge}") for effect in found]
    if made.reworded is None:
        why = "Nobody paraphrased: name a model of a third family in [audit.paraphraser]."
        tested.append(unidentified("paraphrase change", 0, why))
    else:
        change = measure.paraphrase_change(y, made.paraphrased, explainers, judges, seed, resamples)
        tested.append(replace(change, note=f"{change.note} {made.reworded}".strip()))
    if rated is None:
        tested.append(unidentified("equal opportunity", 0, "Nobody has rated: `autointerp rate`."))
    else:
        high, good, features = rated
        tested.append(measure.equal_opportunity(high, good, explainers, judges, seed, resamples, features))
    adjusted = measure.confirmatory(tested)
    tested = [with_p(effect, holm) for effect, holm in zip(tested, adjusted, strict=True)]
    tested.insert(1, measure.same_family_gap(y, explainers, judges, seed, resamples))
    by_family = measure.self_preference_by_family(y, explainers, judges, seed, resamples)
    named = {number: made.names[number] for number in by_family}
    tested[2:2] = [replace(effect, name=f"{effect.name}, {named[number]}") for number, effect in by_family.items()]
    table, clusters = wrong
    if len(table) > 1 and clusters.size:
        tested += measure.shared_error(table, clusters, seed, resamples)
    return tested


def mean_over_cells(table: Floats) -> Floats:
    """[features] of [features, explainers, judges]; nan where a feature has no cell."""
    there = ~np.isnan(table)
    count = there.sum(axis=(1, 2))
    total = np.where(there, table, 0).sum(axis=(1, 2))
    found: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found


def with_p(effect: Effect, adjusted: float) -> Effect:
    if not effect.identified:
        return effect
    return replace(effect, note=f"{effect.note} p = {effect.p:.3g}, {adjusted:.3g} after Holm.".strip())


def rows(effects: Sequence[Effect]) -> list[Mapping[str, object]]:
    """Rows of circularity.csv. `power` is the smallest effect that a 5% test would have seen in four of five runs."""
    return [
        {
            "effect": effect.name,
            "value": effect.value,
            "low": effect.low,
            "high": effect.high,
            "n": effect.n,
            "power": effect.detectable,
            "identified": effect.identified,
            "note": effect.note,
        }
        for effect in effects
    ]
