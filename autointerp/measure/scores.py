"""From verdicts to one score per feature. Pure: the same verdicts give the same scores, without a model or a file.

Average precision, F1 and Pearson's correlation are the primary numbers, because they survive sanity checks that AUROC
and accuracy fail (Oikarinen, Yan and Weng 2025, NeuronEval). They are computed with inclusion weights at one declared
share of firing excerpts for every feature and control, and again (`…_corpus`) at the share the feature really has.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

import numpy as np

from autointerp.measure.arrays import Bools, Floats, Matrix, Vector
from autointerp.measure.correlation import pearson
from autointerp.measure.intervals import PERCENTILES, item_interval, wilson
from autointerp.measure.ranking import auroc, average_precision, balanced_accuracy, f1
from autointerp.measure.weights import at_prevalence, weighted_mean
from autointerp.records import UNSCORED, Score, Verdict, is_scored

ITEM_RESAMPLES = 200
PERMUTATIONS = 50
STRONG = 0.1  # of the feature's maximum: a firing that counts as more than a trace
PRIMARY = {  # the first number of each question
    "detection": "detection.ap",
    "fuzzing": "fuzzing.ap",
    "simulation": "simulation.pearson",
    "specificity": "specificity.mean",
    "surprisal": "surprisal.ap",
    "sensitivity": "sensitivity.generated",
    "retrieval": "sensitivity.retrieval",
}
LEXICAL_FLOOR = "lexical_floor"
BASELINES = frozenset({LEXICAL_FLOOR, "probe", "probe_logistic"})  # answer no question about an explanation
AP = ".ap"
RETRIEVAL_BASE = "sensitivity.retrieval_base"
ORIGINAL = "sensitivity.original"
PERCENTILE = ".percentile"  # how a metric ends that says where a feature stands in the sample
NOTHING_TO_TELL_APART = "no firing or no silent item"
NO_SAMPLE = "no feature drawn by seed to hold it against"


def primary(question: str) -> str:
    """The first number of a question: of one that nobody here knows, how well its verdicts tell items apart."""
    return PRIMARY.get(question, question + AP)


def is_primary(metric: str) -> bool:
    """Whether a metric is the first number of the question that it is named after."""
    return metric in PRIMARY.values() or (metric.endswith(AP) and metric.removesuffix(AP) not in BASELINES)


def are_primary(metrics: Iterable[str]) -> Bools:
    """The same for a column, [n]; of an empty one, too, whose type a frame does not know."""
    return np.array([is_primary(metric) for metric in metrics], dtype=bool)


@dataclass(frozen=True, slots=True)
class Base:
    """Share of the pool's excerpts in which a feature fires."""

    rate: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What scores of one feature are computed at: the declared share of firing excerpts and the real one."""

    prevalence: float
    base: float
    seed: int


def score_features(
    verdicts: Iterable[Verdict], bases: Mapping[tuple[str, int], Base], prevalence: float, seed: int
) -> list[Score]:
    """All per-feature scores with their differences, in a fixed order; `circularity` is left empty."""

    def group(verdict: Verdict) -> tuple[str, int, str, str, str, str, str]:
        v = verdict
        return (v.dictionary, v.feature, v.question, v.control, v.explainer, v.scorer, v.rubric)

    scores: list[Score] = []
    for (dictionary, feature, question, control, explainer, scorer, rubric), members in groupby(
        sorted(verdicts, key=group), group
    ):
        blank = Score(
            dictionary, feature, "", control, explainer, scorer, rubric, UNSCORED, UNSCORED, UNSCORED, 0, 0, "", ""
        )
        setting = Setting(prevalence, bases[dictionary, feature].rate, seed)
        scores += SCORING.get(question, ranked)(list(members), blank, setting)
    # No model takes part in the base rate, so it belongs to no arm.
    for dictionary, feature in sorted({(s.dictionary, s.feature) for s in scores if s.metric == PRIMARY["retrieval"]}):
        rate = bases[dictionary, feature].rate
        scores.append(
            Score(dictionary, feature, RETRIEVAL_BASE, "none", "", "", "", rate, UNSCORED, UNSCORED, 0, 0, "", "")
        )
    scores += normalised(scores)
    return scores + differences(scores)


# questions whose verdicts tell firing items from silent ones

Statistic = Callable[[Bools, Floats, Matrix], Floats]


def ranked(items: Sequence[Verdict], blank: Score, setting: Setting) -> list[Score]:
    """How well values tell items apart. Items without a verdict are left out and counted."""
    question = items[0].question
    answered, blank = scored(items, blank)
    wanted = [
        (f"{question}.{name}", share, statistic) for name, share, statistic in statistics(question, blank, setting)
    ]
    fires = np.array([v.fires for v in answered], dtype=bool)
    if fires.all() or not fires.any():
        missing = [replace(blank, metric=metric, reason=why(items)) for metric, _, _ in wanted]
        return missing + [replace(s, control="permuted") for s in missing if has_chance(s)]
    value = np.array([v.value for v in answered])
    weight = np.array([v.weight for v in answered])
    found = []
    for metric, share, statistic in wanted:
        if not 0 < share < 1:
            found.append(replace(blank, metric=metric, reason=everywhere(share)))
            continue
        weights = at_prevalence(fires, weight, share)
        point = float(statistic(fires, value, weights[None])[0])
        low, high = item_interval(fires, value, weights, statistic, setting.seed, ITEM_RESAMPLES)
        found.append(replace(blank, metric=metric, value=point, low=low, high=high))
        if has_chance(found[-1]):
            point, low, high = permuted(fires, value, weights, setting.seed)
            found.append(replace(blank, metric=metric, control="permuted", value=point, low=low, high=high))
        if statistic is f1 and blank.control == "none":
            found += [
                replace(found[-1], control=name, value=constant, low=constant, high=constant)
                for name, constant in (("always_none", 0.0), ("always_all", 2 * share / (1 + share)))
            ]
    return found


def statistics(question: str, blank: Score, setting: Setting) -> list[tuple[str, float, Statistic]]:
    """(name, share of firing items, statistic). F1 and balanced accuracy need a yes or no, which only models say.

    Whether marks are right is our own doing, so fuzzing has no share of its own in the corpus.
    """
    found: list[tuple[str, float, Statistic]] = [("ap", setting.prevalence, average_precision)]
    yes_or_no = bool(blank.rubric)
    if yes_or_no:
        found.append(("f1", setting.prevalence, f1))
    if question != "fuzzing":
        found.append(("ap_corpus", setting.base, average_precision))
        if yes_or_no:
            found.append(("f1_corpus", setting.base, f1))
    found.append(("auroc", 0.5, auroc))
    if yes_or_no:
        found.append(("balanced_accuracy", 0.5, balanced_accuracy))
    return found


def has_chance(score: Score) -> bool:
    """Whether the control `permuted` stands beside a score."""
    return score.control == "none" and score.metric.endswith(AP) and is_primary(score.metric)


def permuted(fires: Bools, value: Floats, weight: Vector, seed: int) -> tuple[float, float, float]:
    """Average precision of the same verdicts dealt out at random over the same items: mean and 95% range.

    What a judge that knows nothing reaches with so few items: the prevalence for one that answers all alike, more for
    one that ranks, since the first of a few items fires by luck often enough.
    """
    rng = np.random.default_rng(seed)
    found = [average_precision(fires, rng.permutation(value), weight) for _ in range(PERMUTATIONS)]
    low, high = np.percentile(found, PERCENTILES)
    return float(np.mean(found)), float(low), float(high)


def simulated(items: Sequence[Verdict], blank: Score, setting: Setting) -> list[Score]:
    """Pearson's r of predicted and true activations over the tokens of all items, as one sequence (Bills et al. 2023).

    A token weighs as much as its item, so rare features do not drown in silent text. 0 for a constant prediction.
    """
    answered, blank = scored(items, blank)
    fires = np.array([v.fires for v in answered], dtype=bool)
    shares = {PRIMARY["simulation"]: setting.prevalence, f"{PRIMARY['simulation']}_corpus": setting.base}
    if fires.all() or not fires.any():
        return [replace(blank, metric=metric, reason=why(items)) for metric in shares]
    truth = [np.array(v.activations, dtype=float) for v in answered]
    predicted = [np.array(v.predicted, dtype=float) for v in answered]
    weight = np.array([v.weight for v in answered])

    def correlation(fires: Bools, place: Floats, weight: Matrix) -> Floats:
        chosen = place.astype(int).tolist()
        lengths = [len(truth[at]) for at in chosen]
        tokens = np.repeat(weight / np.array(lengths), lengths, axis=-1)
        actual, guessed = (np.concatenate([series[at] for at in chosen]) for series in (truth, predicted))
        return pearson(actual, guessed, cast(Matrix, tokens))

    found = []
    for metric, share in shares.items():
        if not 0 < share < 1:
            found.append(replace(blank, metric=metric, reason=everywhere(share)))
            continue
        weights, place = at_prevalence(fires, weight, share), np.arange(len(answered), dtype=float)
        point = float(correlation(fires, place, weights[None])[0])
        low, high = item_interval(fires, place, weights, correlation, setting.seed, ITEM_RESAMPLES)
        found.append(replace(blank, metric=metric, value=point, low=low, high=high))
    return found


# questions that are answered with a rating or a measurement


def rated(items: Sequence[Verdict], blank: Score, setting: Setting) -> list[Score]:
    """Mean ratings, 0 to 3, over activation intervals (METHODS of the report say what each mean answers).

    `mean` weighs the intervals alike, `density_weighted` by how many firings they hold, `mass_weighted` by how much
    activation; `silent` is what the judge gives excerpts in which the feature does not fire.
    """
    answered, blank = scored(items, blank)
    firing = [v for v in answered if v.fires]
    silent = [v.value for v in answered if not v.fires]
    names = [f"specificity.{name}" for name in ("mean", "density_weighted", "mass_weighted")]
    found = []
    if firing:
        value = np.array([v.value for v in firing])
        strata = [v.stratum for v in firing]
        even = np.array([1 / strata.count(stratum) for stratum in strata])
        density = np.array([v.weight for v in firing])
        mass = density * np.array([v.activation for v in firing])
        for metric, weight in zip(names, (even, density, mass), strict=True):
            point, low, high = stratified_mean(value, weight, strata, setting.seed)
            found.append(replace(blank, metric=metric, value=point, low=low, high=high, n=len(firing)))
    else:
        found += [replace(blank, metric=metric, reason=why(items)) for metric in names]
    if silent:
        point, low, high = stratified_mean(np.array(silent), np.ones(len(silent)), [""] * len(silent), setting.seed)
        found.append(replace(blank, metric="specificity.silent", value=point, low=low, high=high, n=len(silent)))
    return found


def stratified_mean(value: Floats, weight: Floats, strata: Sequence[str], seed: int) -> tuple[float, float, float]:
    """Weighted mean of values [n] with its 95% bootstrap over items within strata; no bounds below 2 items."""
    point = float(weighted_mean(value, weight))
    if len(value) < 2:
        return point, UNSCORED, UNSCORED
    rng = np.random.default_rng(seed)
    label, times = np.array(strata), np.zeros((ITEM_RESAMPLES, len(value)))
    for stratum in sorted(set(strata)):
        members = np.flatnonzero(label == stratum)
        times[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), ITEM_RESAMPLES)
    low, high = np.percentile(weighted_mean(value, times * weight), PERCENTILES)
    return point, float(low), float(high)


def retrieved(items: Sequence[Verdict], blank: Score, setting: Setting) -> list[Score]:
    """Share of the retrieved excerpts in which the feature fires at all, and strongly."""
    metric = PRIMARY["retrieval"]
    return [
        rate(blank, metric, [v.fires for v in items]),
        rate(blank, f"{metric}_strong", [v.stratum == "strong" for v in items]),
    ]


def measured(items: Sequence[Verdict], blank: Score, setting: Setting) -> list[Score]:
    """Shares of texts on which the feature fires at all, and strongly: written ones, near misses, its own excerpts."""
    answered, _ = scored(items, blank)
    unscored = sorted({v.reason for v in items if v.reason})
    found = []
    for stratum, metric in (
        ("text", PRIMARY["sensitivity"]),
        ("near_miss", "sensitivity.near_miss"),
        ("original", ORIGINAL),
    ):
        texts = [v for v in answered if v.stratum == stratum]
        if texts:
            found.append(rate(blank, metric, [v.fires for v in texts]))
            found.append(rate(blank, f"{metric}_strong", [v.value >= STRONG for v in texts]))
        elif stratum == "text" and unscored:
            found.append(replace(blank, metric=metric, reason=unscored[0], unscored=1))
            found.append(replace(blank, metric=f"{metric}_strong", reason=unscored[0], unscored=1))
    return found


def rate(blank: Score, metric: str, hits: Sequence[bool]) -> Score:
    low, high = wilson(sum(hits), len(hits))
    return replace(blank, metric=metric, value=sum(hits) / len(hits), low=low, high=high, n=len(hits))


SCORING: dict[str, Callable[[Sequence[Verdict], Score, Setting], list[Score]]] = {
    "simulation": simulated,
    "specificity": rated,
    "retrieval": retrieved,
    "sensitivity": measured,
}


# what all share


def scored(items: Sequence[Verdict], blank: Score) -> tuple[list[Verdict], Score]:
    """The items with a verdict, in the order that draws follow, and the blank score with their number."""
    answered = sorted((v for v in items if is_scored(v.value)), key=lambda v: v.item)
    return answered, replace(blank, n=len(answered), unscored=len(items) - len(answered))


def why(items: Sequence[Verdict]) -> str:
    reasons = sorted({v.reason for v in items if v.reason})
    return reasons[0] if reasons else NOTHING_TO_TELL_APART


def everywhere(share: float) -> str:
    return "fires in every excerpt of the pool" if share else "fires in no excerpt of the pool"


def normalised(scores: Sequence[Score]) -> list[Score]:
    """The rate on written texts as a multiple of that on the feature's own excerpts in the same form."""
    original = {(s.dictionary, s.feature, s.metric): s.value for s in scores if s.metric.startswith(ORIGINAL)}
    found = []
    for score in scores:
        ending = score.metric.removeprefix(PRIMARY["sensitivity"])
        if ending not in ("", "_strong"):
            continue
        ceiling = original.get((score.dictionary, score.feature, ORIGINAL + ending), 0.0)
        reason = score.reason or ("" if ceiling else "its own excerpts do not make it fire when they stand alone")
        value = score.value / ceiling if ceiling else UNSCORED
        metric = f"sensitivity.normalised{ending}"
        found.append(replace(score, metric=metric, value=value, low=UNSCORED, high=UNSCORED, reason=reason))
    return found


def differences(scores: Sequence[Score]) -> list[Score]:
    """A score less its controls, and detection less the lexical floor; unscored where either side is.

    Every metric is held against the shuffled explanations, primary ones against the other controls, too.
    """
    by_key = {(s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer): s for s in scores}
    found = []
    for score in scores:
        if score.control != "none" or not score.explainer:
            continue
        key, arm = (score.dictionary, score.feature, score.metric), (score.explainer, score.scorer)
        controls = ["shuffled"]
        if is_primary(score.metric):
            controls += ["hard_shuffled", "generic"]
        others = {control: by_key.get((*key, control, *arm)) for control in controls}
        if score.metric == PRIMARY["detection"]:
            others[LEXICAL_FLOOR] = by_key.get((*key[:2], "lexical_floor.ap", "none", "", ""))
        for name, other in others.items():
            if other is not None:
                found.append(
                    replace(
                        score,
                        metric=f"{score.metric}.minus_{name}",
                        value=score.value - other.value,
                        low=UNSCORED,
                        high=UNSCORED,
                        reason=score.reason or other.reason,
                    )
                )
    return found


# where a feature stands


def standings(scores: Sequence[Score], picked: Set[tuple[str, int]]) -> list[Score]:
    """`X.percentile` of every primary score: the share of the seeded sample that it beats, ties half, itself left out.

    The sample are the scored features of the same dictionary and arm that are not among the `picked`; n is how many of
    them there were. 1 beats all, 0 none; over the sample itself the mean is 0.5, whatever the scores are.
    """
    sample: dict[tuple[str, ...], list[float]] = {}
    wanted = [score for score in scores if score.control == "none" and is_primary(score.metric)]
    for score in wanted:
        if is_scored(score.value) and (score.dictionary, score.feature) not in picked:
            sample.setdefault(arm_of(score), []).append(score.value)
    ordered = {arm: np.sort(values) for arm, values in sample.items()}
    found = []
    for score in wanted:
        own = replace(score, metric=score.metric + PERCENTILE, low=UNSCORED, high=UNSCORED, n=0, unscored=0)
        if score.reason:
            found.append(own)
            continue
        values = ordered.get(arm_of(score), np.empty(0))
        itself = (score.dictionary, score.feature) not in picked
        others = len(values) - itself
        below, up_to = (int(np.searchsorted(values, score.value, side)) for side in ("left", "right"))
        if others:
            found.append(replace(own, value=(below + (up_to - below - itself) / 2) / others, n=others))
        else:
            found.append(replace(own, value=UNSCORED, reason=NO_SAMPLE))
    return found


def arm_of(score: Score) -> tuple[str, ...]:
    return score.dictionary, score.metric, score.explainer, score.scorer, score.rubric
