"""What becomes of features as dictionaries grow: which split into several, and which are new.

A feature j of a larger dictionary is a *child* of i, its *parent* in the smaller, where i is the feature of the smaller
with the largest cosine, and that cosine is above a threshold tau from a null (`neighbours.threshold`). A feature
without a parent is *novel* by direction; whether it also reconstructs what the smaller one misses is not asked here.
Templeton et al. 2024 show one feature that becomes 2 and then 11; the count here is that of all, with random directions
in the place of the larger as a control.

Over a chain of sizes a step leads from each dictionary to the next larger one. The unit of the bounds is the feature.
They speak of dictionaries drawn like these two, as if features were drawn one by one: what a whole training run shares
is in no interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from autointerp.measure.arrays import Floats, Ints
from autointerp.measure.dictionaries import share
from autointerp.measure.intervals import Interval, mean_interval
from autointerp.measure.neighbours import nearest

NONE = -1


@dataclass(frozen=True, slots=True)
class Step:
    """From a smaller dictionary of m features to a larger one of n: of each of the larger its nearest in the smaller.

    nearest [n] in 0 … m-1, cosine [n]; threshold is the tau that the cosine of a parent exceeds.
    """

    nearest: Ints
    cosine: Floats
    threshold: float
    smaller: int

    def __post_init__(self) -> None:
        assert self.nearest.shape == self.cosine.shape == (self.nearest.size,), "one nearest for each of the larger"
        assert ((self.nearest >= 0) & (self.nearest < self.smaller)).all(), "it is a feature of the smaller"

    @property
    def parent(self) -> Ints:
        """The parent [n] of each feature of the larger, -1 where it is novel."""
        return np.where(self.cosine > self.threshold, self.nearest, NONE)

    @property
    def children(self) -> Ints:
        """How many children [m] each feature of the smaller has: #{j : argmax_i cos(d_j, d_i) = i and cos > tau}."""
        return np.bincount(self.nearest[self.cosine > self.threshold], minlength=self.smaller)


@dataclass(frozen=True, slots=True)
class Generation:
    """The descendants of one feature in one dictionary of a chain: who they are, their parents, the cosines; [n]."""

    feature: Ints
    parent: Ints
    cosine: Floats


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a step: what became of the m features of the smaller, and where the n of the larger come from.

    counts[c] is how many features of the smaller have c children; it adds to m. children: mean number, over m. split:
    share of the smaller with two children or more, lost: with none, over m. novel: share of the larger without a
    parent, over n. Shares have Wilson's intervals, the mean a bootstrap.
    """

    counts: Ints
    children: Interval
    split: Interval
    lost: Interval
    novel: Interval


def step(smaller: Tensor, larger: Tensor, threshold: float) -> Step:
    """The step between the feature vectors of two dictionaries, smaller [m, d] and larger [n, d] of alive features.

    With n random directions in the place of the larger it is the control. About 1 - rate of them are novel where tau
    was taken at that rate from directions of the same kind; give them another seed than tau had.
    """
    found = nearest(larger, smaller)
    return Step(found.index[:, 0], found.cosine[:, 0], threshold, len(smaller))


def summary(step: Step, seed: int, resamples: int = 2000) -> Summary:
    """`Summary` of one step. An empty larger dictionary has no share of novel ones: nan."""
    children = step.children
    return Summary(
        counts=np.bincount(children),
        children=mean_interval(children.astype(float), seed, resamples),
        split=share((children > 1).astype(float)),
        lost=share((children == 0).astype(float)),
        novel=share((step.parent == NONE).astype(float)),
    )


def descendants(chain: Sequence[Step], feature: int) -> list[Generation]:
    """The tree below one feature of the smallest dictionary: a generation for each step, from the smallest on.

    Every descendant's parent stands in the generation before, or is the feature itself. A line that ends leaves later
    generations without it; they may be empty. Features of a generation are in ascending order.
    """
    _check(chain)
    assert 0 <= feature < chain[0].smaller, "it is a feature of the smallest dictionary"
    found, alive = [], np.array([feature])
    for each in chain:
        alive = np.flatnonzero(np.isin(each.parent, alive))
        found.append(Generation(alive, each.parent[alive], each.cosine[alive]))
    return found


def _check(chain: Sequence[Step]) -> None:
    assert chain, "a chain has a step"
    assert all(after.smaller == before.nearest.size for before, after in pairwise(chain)), (
        "each step begins with the dictionary that the one before ended with"
    )
