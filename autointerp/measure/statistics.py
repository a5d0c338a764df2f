"""Scores in, numbers out: pure functions of arrays, without files, models or global state.

Shapes: n items of one feature or n features, B bootstrap resamples, d the width of the subject's activations.
What cannot be computed is nan, never 0; whoever prints it gives the reason. The unit of every interval over a
dictionary is the feature: items of one feature share an explanation and are not independent of each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

NAN = float("nan")
PERCENTILES = (2.5, 97.5)
Z = 1.959963984540054  # standard normal quantile of 0.975
BLOCK = 1 << 20  # values resampled at once, so that memory does not grow with features x resamples
RESOLUTION = 1e-12  # a variance below this share of the second moment is rounding, not variance


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n scored features with its 95% bounds; `unscored` features are in the table but not in the mean."""

    value: float
    low: float
    high: float
    n: int
    unscored: int


def at_prevalence(fires: Bools, weight: Floats, prevalence: float) -> Vector:
    """Item weights [n] at a declared prevalence: firing ones add to `prevalence`, silent ones to 1 - `prevalence`.

    Each class is normalised by its own sum, so `weight` need only be right within a class. A class that is empty
    or weightless stays at 0, which average_precision and auroc then answer with nan.
    """
    assert 0 <= prevalence <= 1, f"prevalence is a share, not {prevalence}"
    fires, weight = np.asarray(fires, bool), np.asarray(weight, float)
    share = np.zeros(fires.size)
    for members, total in ((fires, prevalence), (~fires, 1 - prevalence)):
        mass = weight[members].sum()
        if mass > 0:
            share[members] = weight[members] / mass * total
    return share


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


def item_interval(
    fires: Bools,
    score: Floats,
    weight: Floats,
    statistic: Callable[[Bools, Floats, Matrix], Floats],
    seed: int,
    resamples: int = 500,
) -> tuple[float, float]:
    """95% percentile bootstrap over the n items of one feature, resampled within firing and within silent ones.

    Each resample is scaled back to the class sums of `weight`: otherwise chance would move the prevalence, and with
    it average precision. Items of no weight take no part. (nan, nan) with fewer than 2 items in a class. Where the
    items are separated perfectly the bounds collapse to (1, 1): resampling cannot show an error it has not seen.
    """
    fires, score, weight = np.asarray(fires, bool), np.asarray(score, float), np.asarray(weight, float)
    fires, score, weight = fires[weight > 0], score[weight > 0], weight[weight > 0]
    rng = np.random.default_rng(seed)
    resampled = np.zeros((resamples, fires.size))
    for members in (np.flatnonzero(fires), np.flatnonzero(~fires)):
        if members.size < 2:
            return NAN, NAN
        uniform = np.full(members.size, 1 / members.size)
        drawn = rng.multinomial(members.size, uniform, size=resamples) * weight[members]
        resampled[:, members] = drawn / drawn.sum(axis=1, keepdims=True) * weight[members].sum()
    low, high = np.percentile(statistic(fires, score, resampled), PERCENTILES)
    return float(low), float(high)


def mean_interval(values: Floats, seed: int, resamples: int = 2000) -> Interval:
    """Mean over features [n] with a 95% percentile bootstrap over features; nan values are unscored, not zeros.

    No scored feature: value, low and high are nan. One: the bounds are nan, since one value says nothing of spread
    (0 would say it is certain). With few features a percentile interval is too narrow: of nominal 95% it covers
    about 84% at n = 5, 90% at 10, 93% at 20 and 94% at 60 for normal values.
    """
    values = np.asarray(values, float)
    scored = values[~np.isnan(values)]
    n, unscored = scored.size, int(np.isnan(values).sum())
    if n < 2:
        return Interval(float(scored[0]) if n else NAN, NAN, NAN, n, unscored)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // n)
    blocks = [min(rows, resamples - done) for done in range(0, resamples, rows)]
    means = np.concatenate([scored[rng.integers(n, size=(block, n))].mean(axis=1) for block in blocks])
    low, high = np.percentile(means, PERCENTILES)
    return Interval(float(scored.mean()), float(low), float(high), n, unscored)


def ratio_interval(above: Floats, below: Floats, seed: int, resamples: int = 2000) -> Interval:
    """Sum of `above` over sum of `below`, each [n], with a 95% percentile bootstrap over the n pairs.

    nan where `below` adds to 0 or a value is nan, and then without bounds; nan bounds below n = 2. Resamples in which
    `below` adds to 0 have no ratio and are left out of the bounds.
    """
    above, below = np.asarray(above, float), np.asarray(below, float)
    n, total = above.size, float(below.sum())
    value = float(above.sum()) / total if total else NAN
    if n < 2 or np.isnan(value):
        return Interval(value, NAN, NAN, n, int(np.isnan(value)))
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    sums = below[drawn].sum(1)
    low, high = np.percentile(above[drawn].sum(1)[sums != 0] / sums[sums != 0], PERCENTILES)
    return Interval(value, float(low), float(high), n, 0)


def wilson(k: int, n: int) -> tuple[float, float]:
    """95% interval of a share, k of n independent trials (Wilson 1927): all p with |k/n - p| <= Z sqrt(p (1 - p) / n).

    Never leaves [0, 1] and never has zero width: k = 0 gives (0, Z^2 / (n + Z^2)). n = 0 says nothing: (0, 1).
    """
    assert 0 <= k <= n, f"{k} of {n} is not a share"
    if n == 0:
        return 0.0, 1.0
    centre = k + Z**2 / 2
    half = Z * float(np.sqrt(k / n * (n - k) + Z**2 / 4))
    return (centre - half) / (n + Z**2) if k else 0.0, (centre + half) / (n + Z**2) if k < n else 1.0


def rule_of_three(n: int) -> float:
    """Upper 95% bound on the rate of an event not seen in n *independent* trials: (1 - p)^n = 0.05 gives p ~ 3 / n.

    Features fire in bursts, so take n = documents for the rate of documents; with n = tokens the bound is far too
    small. At most 1; n = 0 -> 1.
    """
    return min(1.0, 3 / n) if n else 1.0


def explained_variance(sum_x: Floats, sum_sq: float, n: int, residual_sq: float) -> float:
    """1 - sum |x - xhat|^2 / sum |x - mean|^2 from streamed sums over n positions, all in float64.

    sum_x [d] = sum x, sum_sq = sum |x|^2, residual_sq = sum |x - xhat|^2; the variance is sum_sq - |sum_x|^2 / n.
    Perfect 1, predicting the mean 0, anything worse than the mean negative. nan without variance (n < 2, or all x
    equal up to rounding). A mean that dwarfs the spread costs digits; take one fixed vector off every x beforehand.
    """
    if n < 2:
        return NAN
    sum_x = np.asarray(sum_x, np.float64)
    variance = float(sum_sq) - float(sum_x @ sum_x) / n
    return 1 - float(residual_sq) / variance if variance > RESOLUTION * sum_sq else NAN


def derangement(n: int, rng: np.random.Generator) -> Ints:
    """A permutation of 0 … n-1 that leaves nothing in its place, uniform among all such; n = 0 -> empty.

    By rejection: 1/e of all permutations qualify, so about three tries. A plain shuffle would hand one feature on
    average its own explanation, and the control would contain the thing it controls for.
    """
    if n == 1:
        raise ValueError("One explanation cannot be shuffled: give at least two features, or leave the control out.")
    while True:
        permutation = rng.permutation(n)
        if not (permutation == np.arange(n)).any():
            return permutation


def token_entropy(counts: npt.ArrayLike) -> float:
    """Entropy in bits of the tokens a feature fires on, sum p log2(1/p) with p = counts / total; counts [tokens].

    0 for a single-token feature, log2(k) for k equally frequent ones, nan if nothing was counted. The plug-in
    estimate: too low while the counts are few, so compare features at like counts.
    """
    seen = np.asarray(counts, float)
    seen = seen[seen > 0]
    return float((seen / seen.sum() * np.log2(seen.sum() / seen)).sum()) if seen.size else NAN
