"""Correlations: of predicted with true activations over tokens, of one score with another over features."""

from typing import overload

import numpy as np

from autointerp.measure.arrays import NAN, RESOLUTION, Floats, Matrix, Vector
from autointerp.measure.intervals import Interval, percentiles, resampled


@overload
def pearson(truth: Floats, predicted: Floats, weight: Vector) -> float: ...
@overload
def pearson(truth: Floats, predicted: Floats, weight: Matrix) -> Floats: ...
def pearson(truth: Floats, predicted: Floats, weight: Floats) -> float | Floats:
    """Weighted product-moment correlation: cov(x, y) / sqrt(var x var y), moments about the weighted means.

    truth [n], predicted [n], weight [n] -> float, or weight [B, n] -> [B]; n tokens, concatenated over contexts as in
    Bills et al. 2023. Any rising line through the truth gives 1, any falling one -1. A constant prediction knows
    nothing and gives 0 by rule (Bricken et al. 2023); a constant truth cannot be predicted: nan, as without weight.
    """
    weight = np.asarray(weight, float)
    total = weight.sum(axis=-1, keepdims=True)
    share = np.divide(weight, total, out=np.full(weight.shape, NAN), where=total > 0)
    x, y = (np.asarray(values, float) for values in (truth, predicted))
    dx, dy = (values - (share @ values)[..., None] for values in (x, y))
    xx, yy, xy = ((share * product).sum(axis=-1) for product in (dx * dx, dy * dy, dx * dy))
    varies, answers = xx > RESOLUTION * (share @ x**2), yy > RESOLUTION * (share @ y**2)
    found = np.divide(xy, np.sqrt(xx * yy), out=np.zeros(xx.shape), where=varies & answers)
    return np.where(varies, np.clip(found, -1, 1), NAN)[()]


def spearman(x: Floats, y: Floats) -> Floats:
    """Pearson correlation of ranks, equal values sharing their mean rank; x and y [..., n] -> [...].

    The same number as scipy's spearmanr. 1 where y rises with x in whatever way, -1 where it falls, about 0 where
    they are unrelated. nan where either is constant, hence for n < 2.
    """
    from scipy.stats import rankdata  # slow to import, and most processes need no ranks

    x, y = (2 * rankdata(values, axis=-1) - np.shape(values)[-1] - 1 for values in (x, y))  # whole numbers of mean 0
    norm = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.where(norm > 0, (x * y).sum(axis=-1) / norm, NAN)[()]


def correlation_interval(x: Floats, y: Floats, seed: int, resamples: int = 2000) -> Interval:
    """Spearman correlation of two scores over features [n] with a 95% bootstrap over features.

    A feature that is nan on either side is unscored. Bounds are nan for fewer than 4 features (3 in resamples are too
    often equal to say anything) and where a side is constant; resamples in which one is are left out of the bounds.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    scored = ~np.isnan(x) & ~np.isnan(y)
    x, y, unscored = x[scored], y[scored], int((~scored).sum())
    value = float(spearman(x, y))
    if x.size < 4 or np.isnan(value):
        return Interval(value, NAN, NAN, x.size, unscored)
    found = [spearman(x[drawn], y[drawn]) for drawn in resampled(x.size, seed, resamples)]
    low, high = np.nanpercentile(np.concatenate(found), percentiles(x.size))
    return Interval(value, float(low), float(high), x.size, unscored)
