"""When does a feature fire that seems to stand for something to be watched?

A list has pairs of texts: one that is of concern, and its benign twin. One half of the pairs chooses a feature and a
threshold, the other half says what the two are worth, so that the best of many features is not its own witness.

Shapes: n pairs of a half, m benign texts of other lists, F features. An activation is the largest in its text, at least
0. A feature fires in a text where its activation is above the threshold.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from autointerp.measure.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Half:
    """Activations of one half of a list: concerning [n, F], their benign twins [n, F], others [m, F] of other lists."""

    concerning: Floats
    twins: Floats
    others: Floats

    def flipped(self, flips: Bools) -> "Half":
        """The same with the two texts of some pairs [n] exchanged."""
        rows = flips[:, None]
        concerning = np.where(rows, self.twins, self.concerning)
        return Half(concerning, np.where(rows, self.concerning, self.twins), self.others)


class Choice(NamedTuple):
    """A feature and the activation above which it is taken to have found something."""

    feature: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Rates:
    """In how many of n concerning texts, of their n twins and of `benign` texts in all (the twins among them) it fires.

    p: how often a feature that does not tell a text from its twin would fire in so many more concerning texts, of the
    pairs in which it fires in one of the two (exact one-sided sign test, McNemar 1947); 1 where there is no such pair.
    """

    n: int
    hits: int
    twins: int
    benign: int
    false: int
    p: float


def thresholds(half: Half, rate: float) -> Floats:
    """The smallest threshold [F] at which it fires in at most `rate` of the benign texts, 0 or more."""
    n = len(half.twins) + len(half.others)
    allowed = int(rate * n + 1e-9)
    kept = np.sort(half.others, axis=0)[max(0, len(half.others) - allowed - 1) :]
    loudest = np.sort(np.concatenate([half.twins, kept]), axis=0)
    found: Floats = loudest[len(loudest) - 1 - allowed] if allowed < n else np.zeros(half.twins.shape[1])
    return found


def choose(half: Half, rate: float) -> Choice | None:
    """The feature that fires in most concerning texts less their twins, at its threshold for `rate`.

    Of equals the one that is louder in concerning texts than in their twins, in multiples of its largest activation;
    then the smaller number. None where no feature fires in more concerning texts than twins.
    """
    at = thresholds(half, rate)
    gain = (half.concerning > at).sum(axis=0) - (half.twins > at).sum(axis=0)
    if not gain.size or gain.max() <= 0:
        return None
    best = np.flatnonzero(gain == gain.max())
    largest = np.maximum(half.concerning[:, best].max(axis=0), half.twins[:, best].max(axis=0))
    margin = (half.concerning[:, best] - half.twins[:, best]).mean(axis=0) / largest
    feature = int(best[np.argmax(margin)])
    return Choice(feature, float(at[feature]))


def rates(half: Half, choice: Choice) -> Rates:
    """What a choice is worth on the other half."""
    concerning, twins, others = (
        values[:, choice.feature] > choice.threshold for values in (half.concerning, half.twins, half.others)
    )
    more, fewer = int((concerning & ~twins).sum()), int((~concerning & twins).sum())
    p = float(binom.sf(more - 1, more + fewer, 0.5)) if more + fewer else 1.0
    false = int(twins.sum() + others.sum())
    return Rates(len(concerning), int(concerning.sum()), int(twins.sum()), len(twins) + len(others), false, p)


def by_chance(choosing: Half, reporting: Half, rate: float, permutations: int, rng: np.random.Generator) -> Floats:
    """True-positive rates [permutations] of the same search where a coin says which text of a pair is of concern.

    The search has the same features, thresholds and halves, so this is what it finds where there is nothing to find. A
    search that finds no feature has a rate of 0.
    """
    found = np.zeros(permutations)
    for at in range(permutations):
        flips, others = (rng.random(len(half.twins)) < 0.5 for half in (choosing, reporting))
        choice = choose(choosing.flipped(flips), rate)
        if choice is not None:
            told = rates(reporting.flipped(others), choice)
            found[at] = told.hits / told.n
    return found
