"""How well a judge tells firing items from silent ones, by scores that rank them or by a plain yes or no.

Shapes: n items of one feature; weights [n], or [B, n] for B resamples at once. Average precision and F1 depend on the
prevalence in the weights; AUROC and balanced accuracy do not, and flatter where firing is rare: they stand beside.
"""

from typing import overload

import numpy as np

from autointerp.measure.arrays import NAN, Bools, Floats, Matrix, Vector


def _curves(fires: Bools, score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weight of the firing and of the silent items at or above each of K distinct scores, highest first: [..., K + 1].

    Both start at 0. Equal scores are one threshold, so the order of the items never matters.
    """
    fires, score, weight = np.asarray(fires, bool), np.asarray(score, float), np.asarray(weight, float)
    assert fires.shape == score.shape == weight.shape[-1:], "fires, score and weight describe the same items"
    assert not np.isnan(score).any(), "an item without a score is left out and counted before it comes here"
    order = np.argsort(-score, kind="stable")
    fires, score, weight = fires[order], score[order], weight[..., order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], score.size > 0))  # the last item of each run of ties
    start = np.zeros((*weight.shape[:-1], 1))
    hits, alarms = (
        np.concatenate([start, np.cumsum(weight * members, axis=-1)[..., last]], axis=-1) for members in (fires, ~fires)
    )
    return hits, alarms


def _where_defined(area: Floats, hits: Floats, alarms: Floats) -> Floats:
    """`area` held to [0, 1] against rounding, nan where one of the classes has no weight."""
    defined = (hits[..., -1] > 0) & (alarms[..., -1] > 0)
    return np.where(defined, np.clip(area, 0, 1), NAN)[()]


@overload
def average_precision(fires: Bools, score: Floats, weight: Vector) -> float: ...
@overload
def average_precision(fires: Bools, score: Floats, weight: Matrix) -> Floats: ...
def average_precision(fires: Bools, score: Floats, weight: Floats) -> float | Floats:
    """Weighted average precision: sum over distinct scores, highest first, of (R_k - R_{k-1}) P_k.

    fires [n], score [n], weight [n] -> float, or weight [B, n] -> [B]. The same number as scikit-learn's
    average_precision_score(sample_weight=...). Precision depends on the prevalence in `weight`: see at_prevalence.
    Perfect 1; a constant score gives exactly the prevalence, and a random one about that (more, with few items);
    reversed labels come out below it, never mirrored. nan without weight on firing or on silent items.
    """
    hits, alarms = _curves(fires, score, weight)
    shown = hits[..., 1:] + alarms[..., 1:]
    precision = np.divide(hits[..., 1:], shown, out=np.zeros_like(shown), where=shown > 0)
    with np.errstate(invalid="ignore"):
        recall = hits / hits[..., -1:]
    area = (np.diff(recall) * precision).sum(axis=-1)
    return _where_defined(area, hits, alarms)


@overload
def auroc(fires: Bools, score: Floats, weight: Vector) -> float: ...
@overload
def auroc(fires: Bools, score: Floats, weight: Matrix) -> Floats: ...
def auroc(fires: Bools, score: Floats, weight: Floats) -> float | Floats:
    """Weighted P(firing scores above silent) + 1/2 P(equal): the area under the ROC curve by trapezoids.

    Shapes as in average_precision. Perfect 1, constant or random 1/2, reversed 0. Blind to the prevalence, hence
    flattering where firing is rare: stands beside average precision, never alone. nan as there.
    """
    hits, alarms = _curves(fires, score, weight)
    with np.errstate(invalid="ignore"):
        tpr, fpr = hits / hits[..., -1:], alarms / alarms[..., -1:]
    area = (np.diff(fpr) * (tpr[..., 1:] + tpr[..., :-1]) / 2).sum(axis=-1)
    return _where_defined(area, hits, alarms)


@overload
def f1(fires: Bools, says: Bools | Floats, weight: Vector) -> float: ...
@overload
def f1(fires: Bools, says: Bools | Floats, weight: Matrix) -> Floats: ...
def f1(fires: Bools, says: Bools | Floats, weight: Floats) -> float | Floats:
    """Weighted F1 of a yes or no: 2 w(fires and yes) / (w(fires) + w(yes)), harmonic mean of precision and recall.

    fires [n], says [n] (1 or 0 will do), weight [n] -> float, or weight [B, n] -> [B]. The same number as
    scikit-learn's f1_score(sample_weight=...). Perfect 1; always yes gives 2 p / (1 + p) at prevalence p (2/3 at 1/2),
    never yes 0 by rule, always wrong 0. nan without weight on firing or on silent items.
    """
    fires, yes, weight = np.asarray(fires, bool), np.asarray(says, bool), np.asarray(weight, float)
    assert fires.shape == yes.shape == weight.shape[-1:], "fires, says and weight describe the same items"
    hits, said, firing, silent = (weight @ members for members in (fires & yes, yes, fires, ~fires))
    with np.errstate(invalid="ignore"):
        return np.where((firing > 0) & (silent > 0), 2 * hits / (firing + said), NAN)[()]


@overload
def balanced_accuracy(fires: Bools, says: Bools | Floats, weight: Vector) -> float: ...
@overload
def balanced_accuracy(fires: Bools, says: Bools | Floats, weight: Matrix) -> Floats: ...
def balanced_accuracy(fires: Bools, says: Bools | Floats, weight: Floats) -> float | Floats:
    """Weighted (P(yes | fires) + P(no | silent)) / 2 of a yes or no, which is its area under the ROC curve.

    Shapes as in f1. Perfect 1, always or never yes 1/2, at random 1/2, always wrong 0. nan as there.
    """
    return auroc(fires, np.asarray(says, bool).astype(float), weight)
