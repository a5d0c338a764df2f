"""A number with what chance may have done to it: every statistic of sums over features, by one bootstrap.

Features are drawn whole, with all their cells or items: these share an explanation and are not independent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import ndtri, stdtr

from autointerp.measure.arrays import NAN, RESOLUTION, Floats
from autointerp.measure.intervals import Z, percentiles, resampled

POWER = 0.8416212335729143  # standard normal quantile of 0.8
UNDEFINED = 0.025  # a number that more of the resamples than this do not have is not identified

Statistic: TypeAlias = Callable[[Floats], Floats]  # from sums over features [B, k] to a number each [B]


@dataclass(frozen=True, slots=True)
class Effect:
    """A number with its 95% bounds over n features, and what they could have shown.

    p: two-sided, of no effect (a value of 0 unless a function says otherwise). p < 0.05 where the bounds leave no
    effect out, but for the rounding of a resample; it is never below about 3 / resamples. detectable: how far from no
    effect the truth must be for a test at 5% to see it with 80% power at this n, (1.96 + 0.84) standard errors of the
    bootstrap. identified: False where the data cannot tell the number, all of whose fields but n are then nan; `note`
    says why, and otherwise what is to be kept in mind.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    p: float
    detectable: float
    identified: bool
    note: str


def bootstrapped(
    name: str,
    columns: Floats,
    statistic: Statistic,
    seed: int,
    resamples: int,
    why: str,
    note: str = "",
    none: float = 0,
) -> Effect:
    """The statistic of the sums of columns [n, k] over features, with its bootstrap; `why` says why it may be nan.

    The bounds are those of intervals.mean_interval, at the percentiles Phi(-t sqrt(n / (n - 1))); p is the level at
    which they would just reach `none`, so with s the smaller share of resamples on one side of it, 2 P(T > t) where
    t = -Phi^-1(s) sqrt((n - 1) / n) and T is Student's of n - 1 degrees. s counts the sample itself: never 0.
    """
    n = len(columns)
    value = float(statistic(columns.sum(axis=0)[None])[0]) if n > 1 else NAN
    if np.isnan(value):
        return unidentified(name, n, why)
    drawn = np.concatenate([statistic(counts @ columns) for counts in _counts(n, seed, resamples)])
    found = drawn[~np.isnan(drawn)]
    if found.size < (1 - UNDEFINED) * resamples:
        why = f"In {resamples - found.size} of {resamples} resamples of the features: {why}"
        return unidentified(name, n, why)
    low, high = np.percentile(found, percentiles(n))
    beyond = min((found <= none + RESOLUTION).sum(), (found >= none - RESOLUTION).sum())
    t = ndtri(min(0.5, (1 + beyond) / (1 + found.size))) * np.sqrt((n - 1) / n)
    error = found.std() * np.sqrt(n / (n - 1))
    p, detectable = float(2 * stdtr(n - 1, t)), float((Z + POWER) * error)
    return Effect(name, value, float(low), float(high), n, p, detectable, True, note)


def unidentified(name: str, n: int, why: str) -> Effect:
    """What the data of n features cannot tell, and the sentence that says why."""
    return Effect(name, NAN, NAN, NAN, n, NAN, NAN, False, why)


def _counts(n: int, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each of n features is drawn [rows, n], in the draws of the other intervals."""
    for drawn in resampled(n, seed, resamples):
        rows = len(drawn)
        places = (drawn + n * np.arange(rows)[:, None]).ravel()
        yield np.bincount(places, minlength=rows * n).reshape(rows, n).astype(float)


def mean_of(n: int) -> Statistic:
    """The mean over n features of the first column."""
    return lambda sums: sums[:, 0] / n


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, nan where below is not above 0 by more than rounding."""
    found: Floats = above / np.where(below > RESOLUTION, below, NAN)
    return found
