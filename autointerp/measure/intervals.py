"""Bounds: what chance may have done to a number. Bootstraps are seeded.

The unit of every interval over a dictionary is the feature: items of one feature share an explanation and are not
independent of each other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit

from autointerp.measure.arrays import NAN, Bools, Floats, Ints, Matrix

PERCENTILES = (2.5, 97.5)
Z = 1.959963984540054  # standard normal quantile of 0.975
TINY = 1e-9  # a share that differs from 0 or 1 by less is 0 or 1
BLOCK = 1 << 20  # values resampled at once, so that memory does not grow with features x resamples


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n scored features with its 95% bounds; `unscored` features are in the table but not in the mean."""

    value: float
    low: float
    high: float
    n: int
    unscored: int


def percentiles(n: int) -> tuple[float, float]:
    """Which percentiles of a bootstrap over n >= 2 features bound 95%: 2.5 and 97.5, moved outwards where n is small.

    A resample has (n - 1) / n of a sample's variance, and does not know how well its spread is known. The percentile
    Phi(-t sqrt(n / (n - 1))), with t the 97.5% quantile of Student's t of n - 1 degrees, makes up for both where means
    are about normal (Hesterberg 2015, "expanded percentile"): 0.1% at n = 5, 0.9% at 10, 1.6% at 20, 2.3% at 100.
    """
    tail = 100 * float(ndtr(-np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975)))
    return tail, 100 - tail


def resampled(n: int, seed: int, resamples: int) -> Iterator[Ints]:
    """Places [rows, n] of n features drawn with replacement, `resamples` rows in all, in blocks that fit in memory."""
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // n)
    for done in range(0, resamples, rows):
        yield rng.integers(n, size=(min(rows, resamples - done), n))


def mean_interval(values: Floats, seed: int, resamples: int = 2000) -> Interval:
    """Mean over features [n] with a 95% bootstrap over features; nan values are unscored, not zeros.

    Of a[n] - b[n] it is the paired difference, over the features scored on both sides. Items are not drawn again within
    features: their noise is already in the spread between features, and would be counted twice. What all features
    share (one judge, one corpus) is in no spread.

    No scored feature: value, low and high are nan. One: the bounds are nan, since one value says nothing of spread
    (0 would say it is certain). The bounds never leave the range of the values, which is too narrow for fewer than 10:
    for detection scores they cover about 74% at n = 3, 90% at 5, 94% at 10, and 95% from 20 on.
    """
    values = np.asarray(values, float)
    scored = values[~np.isnan(values)]
    n, unscored = scored.size, int(np.isnan(values).sum())
    if n < 2:
        return Interval(float(scored[0]) if n else NAN, NAN, NAN, n, unscored)
    means = np.concatenate([scored[drawn].mean(axis=1) for drawn in resampled(n, seed, resamples)])
    low, high = np.percentile(means, percentiles(n))
    return Interval(float(scored.mean()), float(low), float(high), n, unscored)


def difference_interval(one: Interval, other: Interval) -> Interval:
    """one - other of two independent numbers: their one-sided margins added in squares (MOVER, Zou and Donner 2008).

    Too wide where the two go together, as numbers of the same contexts do. nan bounds where either has none, and a
    nan value where either has none. n adds up both.
    """
    down = float(np.hypot(one.value - one.low, other.high - other.value))
    up = float(np.hypot(one.high - one.value, other.value - other.low))
    value = one.value - other.value
    return Interval(value, value - down, value + up, one.n + other.n, int(np.isnan(value)))


def superiority_interval(value: float, n: int, m: int) -> tuple[float, float]:
    """95% bounds of the chance that one of n values is above one of m, ties counting half, estimated as `value`.

    That is the Mann-Whitney statistic U / (n m), and the mean percentile of the n among the m. The bounds are the roots
    of (value - t)^2 = z^2 V(t) with V(t) = t (1 - t) (1 + k (1 - t) / (2 - t) + k t / (1 + t)) / (n m) and
    k = (n + m) / 2 - 1 (Newcombe 2006, method 5). So they have a width where all of the n are above all of the m, and
    where n is 1; they never leave [0, 1]. Both samples are taken to be drawn at random. nan where either is empty.
    """
    if not n or not m:
        return NAN, NAN
    k = (n + m) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + k * (1 - t) / (2 - t) + k * t / (1 + t)) / (n * m)
        return (value - t) ** 2 - Z**2 * variance

    inside = min(max(value, TINY), 1 - TINY)
    low = 0.0 if value <= TINY else float(brentq(excess, 0.0, inside))
    high = 1.0 if value >= 1 - TINY else float(brentq(excess, inside, 1.0))
    return low, high


def ratio_interval(above: Floats, below: Floats, seed: int, resamples: int = 2000) -> Interval:
    """Sum of `above` over sum of `below`, each [n], with a 95% bootstrap over the n pairs.

    nan where `below` adds to 0 or a value is nan, and then without bounds; nan bounds below n = 2. Resamples in which
    `below` adds to 0 have no ratio and are left out of the bounds.
    """
    above, below = np.asarray(above, float), np.asarray(below, float)
    n, total = above.size, float(below.sum())
    value = float(above.sum()) / total if total else NAN
    if n < 2 or np.isnan(value):
        return Interval(value, NAN, NAN, n, int(np.isnan(value)))
    pairs = np.stack([above, below])
    above, below = np.hstack([pairs[:, drawn].sum(axis=2) for drawn in resampled(n, seed, resamples)])
    low, high = np.percentile(above[below != 0] / below[below != 0], percentiles(n))
    return Interval(value, float(low), float(high), n, 0)


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


def wilson(k: float, n: int) -> tuple[float, float]:
    """95% interval of a share, k of n independent trials (Wilson 1927): all p with |k/n - p| <= Z sqrt(p (1 - p) / n).

    k counts a tie as half where there are ties. Never leaves [0, 1] and never has zero width: k = 0 gives
    (0, Z^2 / (n + Z^2)). n = 0 says nothing: (0, 1).
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
