"""How far two groups of features differ that are not paired: a dictionary's and a control's, features and neurons."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtrit

from autointerp.measure.arrays import NAN, Floats, Vector
from autointerp.measure.intervals import BLOCK, percentiles
from autointerp.measure.ranking import auroc


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two ways to say how far group a is above group b, each with 95% bounds, and what n could have shown.

    difference: mean a less mean b, in the units of the score. rank_biserial: P(a > b) - P(a < b), from -1 to 1.
    detectable: the smallest difference, in standard deviations of the features, that a test at 5% sees with 80% power.
    n_a, n_b: how many features were scored; unscored_a, unscored_b: how many were not, which take no part.
    """

    difference: float
    difference_low: float
    difference_high: float
    rank_biserial: float
    rank_biserial_low: float
    rank_biserial_high: float
    detectable: float
    n_a: int
    n_b: int
    unscored_a: int
    unscored_b: int


def contrast(a: Floats, b: Floats, seed: int, resamples: int = 2000) -> Contrast:
    """`Contrast` of two groups of scores [n_a] and [n_b]; nan is unscored, not zero.

    The rank-biserial correlation is 2 AUROC - 1 (Cureton 1956, Kerby 2014): 1 where every feature of a is above every
    one of b, 0 where neither tends to be, equal ones counted half. Features are drawn again within each group, at the
    percentiles that intervals.percentiles gives for the smaller group. Where the groups do not meet, all resamples
    give the same rank-biserial, and its bounds have no width: resampling cannot show an overlap it has not seen.

    An empty group: all but the counts is nan. A group of one: values without bounds, since one says nothing of spread.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    missing = int(np.isnan(a).sum()), int(np.isnan(b).sum())
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    detectable = detectable_difference(a.size, b.size)
    if not a.size or not b.size:
        return Contrast(NAN, NAN, NAN, NAN, NAN, NAN, detectable, a.size, b.size, *missing)
    above, scores = np.arange(a.size + b.size) < a.size, np.append(a, b)
    difference = float(a.mean() - b.mean())
    biserial = 2 * auroc(above, scores, np.ones(scores.size)) - 1
    if min(a.size, b.size) < 2:
        return Contrast(difference, NAN, NAN, biserial, NAN, NAN, detectable, a.size, b.size, *missing)
    drawn = np.concatenate([*_resamples(a, b, seed, resamples)], axis=1)
    low, high, rank_low, rank_high = np.percentile(drawn, percentiles(min(a.size, b.size)), axis=1).T.ravel().tolist()
    return Contrast(difference, low, high, biserial, rank_low, rank_high, detectable, a.size, b.size, *missing)


def detectable_difference(n_a: int, n_b: int) -> float:
    """The difference of means, in standard deviations, that a two-sided t-test at 5% sees in four of five runs.

    By the noncentral t distribution of n_a + n_b - 2 degrees (Cohen 1988), for groups that spread alike: 0.40 for 100
    and 100, 0.50 for 63 and 63, 2.02 for 5 and 5. nan below two in a group.
    """
    if min(n_a, n_b) < 2:
        return NAN
    degrees = n_a + n_b - 2
    return float(nctdtrinc(degrees, 0.2, stdtrit(degrees, 0.975)) * np.sqrt(1 / n_a + 1 / n_b))


def _resamples(a: Vector, b: Vector, seed: int, resamples: int) -> Iterator[Floats]:
    """(difference, rank-biserial) [2, rows] of groups drawn again, in blocks that fit in memory."""
    of_a, of_b = np.random.default_rng(seed).spawn(2)  # one each: what is drawn does not depend on the block
    above, scores = np.arange(a.size + b.size) < a.size, np.append(a, b)
    rows = max(1, BLOCK // scores.size)
    for done in range(0, resamples, rows):
        size = min(rows, resamples - done)
        counts_a, counts_b = (
            rng.multinomial(group.size, np.full(group.size, 1 / group.size), size).astype(float)
            for rng, group in ((of_a, a), (of_b, b))
        )
        biserial = 2 * auroc(above, scores, np.hstack([counts_a, counts_b])) - 1
        yield np.stack([counts_a @ a / a.size - counts_b @ b / b.size, biserial])
