"""From verdicts to one score per feature. Pure: the same verdicts give the same scores, without a model or a file.

Average precision is the primary number, because it survives sanity checks that AUROC and accuracy fail (Oikarinen, Yan
and Weng 2025, NeuronEval). It is computed with inclusion weights at one declared share of firing excerpts for every
feature and control, and again (`ap_corpus`) at the share the feature really has in the corpus.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from autointerp.measure.arrays import Bools, Floats, Vector
from autointerp.measure.intervals import PERCENTILES, item_interval, wilson
from autointerp.measure.ranking import auroc, average_precision
from autointerp.measure.weights import at_prevalence
from autointerp.records import UNSCORED, Score, Verdict, is_scored

ITEM_RESAMPLES = 200
PERMUTATIONS = 50
RANKED = ("detection", "lexical_floor", "probe")  # questions whose verdicts rank items
SHUFFLED, FLOOR = "minus_shuffled", "minus_lexical_floor"
RETRIEVAL, RETRIEVAL_STRONG, RETRIEVAL_BASE = (
    "sensitivity.retrieval",
    "sensitivity.retrieval_strong",
    "sensitivity.retrieval_base",
)


@dataclass(frozen=True, slots=True)
class Base:
    """Share of the pool's excerpts in which a feature fires."""

    rate: float


def score_features(
    verdicts: Iterable[Verdict], bases: dict[tuple[str, int], Base], prevalence: float, seed: int
) -> list[Score]:
    """All per-feature scores with their differences, in a fixed order; `circularity` is left empty."""

    def group(verdict: Verdict) -> tuple[str, int, str, str, str, str, str]:
        v = verdict
        return (v.dictionary, v.feature, v.question, v.control, v.explainer, v.scorer, v.rubric)

    scores: list[Score] = []
    for (dictionary, feature, question, control, explainer, scorer, rubric), members in groupby(
        sorted(verdicts, key=group), group
    ):
        items = list(members)
        blank = Score(
            dictionary, feature, "", control, explainer, scorer, rubric, UNSCORED, UNSCORED, UNSCORED, 0, 0, "", ""
        )
        base = bases[dictionary, feature]
        if question in RANKED:
            scores += ranked(items, blank, question, base, prevalence, seed)
        else:
            scores += retrieved(items, blank)
    # No model takes part in the base rate, so it belongs to no arm.
    for dictionary, feature in sorted({(s.dictionary, s.feature) for s in scores if s.metric == RETRIEVAL}):
        rate = bases[dictionary, feature].rate
        scores.append(
            Score(dictionary, feature, RETRIEVAL_BASE, "none", "", "", "", rate, UNSCORED, UNSCORED, 0, 0, "", "")
        )
    return scores + differences(scores)


def ranked(
    items: Sequence[Verdict], blank: Score, question: str, base: Base, prevalence: float, seed: int
) -> list[Score]:
    """Average precision and AUROC of verdicts that rank items. Items without a verdict are left out and counted."""
    answered = sorted((v for v in items if is_scored(v.value)), key=lambda v: v.item)  # draws follow this order
    blank = replace(blank, n=len(answered), unscored=len(items) - len(answered))
    fires = np.array([v.fires for v in answered], dtype=bool)
    metrics = [f"{question}.{name}" for name in ("ap", "ap_corpus", "auroc")]
    if fires.all() or not fires.any():
        reasons = sorted({v.reason for v in items if v.reason})
        reason = reasons[0] if reasons else "no firing or no silent item"
        missing = [replace(blank, metric=metric, reason=reason) for metric in metrics]
        return missing + [replace(s, control="permuted") for s in missing if has_chance(s)]
    value = np.array([v.value for v in answered])
    weight = np.array([v.weight for v in answered])
    found = []
    for metric, share, statistic in zip(
        metrics, (prevalence, base.rate, 0.5), (average_precision, average_precision, auroc), strict=True
    ):
        if not 0 < share < 1:
            reason = "fires in every excerpt of the pool" if share else "fires in no excerpt of the pool"
            found.append(replace(blank, metric=metric, reason=reason))
            continue
        weights = at_prevalence(fires, weight, share)
        point = float(statistic(fires, value, weights))
        low, high = item_interval(fires, value, weights, statistic, seed, ITEM_RESAMPLES)
        found.append(replace(blank, metric=metric, value=point, low=low, high=high))
        if has_chance(found[-1]):
            point, low, high = permuted(fires, value, weights, seed)
            found.append(replace(blank, metric=metric, control="permuted", value=point, low=low, high=high))
    return found


def has_chance(score: Score) -> bool:
    """Whether the control `permuted` stands beside a score."""
    return (score.metric, score.control) == ("detection.ap", "none")


def permuted(fires: Bools, value: Floats, weight: Vector, seed: int) -> tuple[float, float, float]:
    """Average precision of the same verdicts dealt out at random over the same items: mean and 95% range.

    What a judge that knows nothing reaches with so few items: the prevalence for one that answers all alike, more for
    one that ranks, since the first of a few items fires by luck often enough.
    """
    rng = np.random.default_rng(seed)
    found = [average_precision(fires, rng.permutation(value), weight) for _ in range(PERMUTATIONS)]
    low, high = np.percentile(found, PERCENTILES)
    return float(np.mean(found)), float(low), float(high)


def retrieved(items: Sequence[Verdict], blank: Score) -> list[Score]:
    """Share of the retrieved excerpts in which the feature fires at all, and strongly."""
    n = len(items)
    found = []
    for metric, hits in (
        (RETRIEVAL, sum(v.fires for v in items)),
        (RETRIEVAL_STRONG, sum(v.stratum == "strong" for v in items)),
    ):
        low, high = wilson(hits, n)
        found.append(replace(blank, metric=metric, value=hits / n, low=low, high=high, n=n))
    return found


def differences(scores: Sequence[Score]) -> list[Score]:
    """A score less its shuffled control, and detection less the lexical floor; unscored where either side is."""
    by_key = {(s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer): s for s in scores}
    found = []
    for score in scores:
        if score.control != "none" or not score.explainer:
            continue
        key = (score.dictionary, score.feature, score.metric)
        others = {SHUFFLED: by_key.get((*key, "shuffled", score.explainer, score.scorer))}
        if score.metric == "detection.ap":
            others[FLOOR] = by_key.get((score.dictionary, score.feature, "lexical_floor.ap", "none", "", ""))
        for name, other in others.items():
            if other is None:
                continue
            found.append(
                replace(
                    score,
                    metric=f"{score.metric}.{name}",
                    value=score.value - other.value,
                    low=UNSCORED,
                    high=UNSCORED,
                    reason=score.reason or other.reason,
                )
            )
    return found
