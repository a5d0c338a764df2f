"""Do two features fire together? The other way to say that one is the child of another.

Activations of two dictionaries on the same T positions, sparse [T, width] and at least 0, 0 being silence; only the
candidate pairs are looked at, COLUMNS of them at a time. What overlaps with no candidate is not found.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from autointerp.measure.arrays import NAN, Activations, Floats, Ints
from autointerp.measure.dictionaries import share
from autointerp.measure.intervals import Interval
from autointerp.measure.splitting import NONE, Step

EDGE = 0.4  # the restricted cosine above which two features count as connected (Bricken et al. 2023, footnote 32)
FIRINGS = 10  # the fewest positions on which each of a pair has to fire
COLUMNS = 1024  # pairs at once


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of p pairs: the restricted cosine [p], 0 to 1, and the number of positions [p] on which both fire."""

    similarity: Floats
    both: Ints


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far children by cosine and children by overlap are the same.

    overlapping: share of the children by cosine that overlap with their parent. nearest: share of the features that
    overlap with a candidate whose parent by cosine is the candidate they overlap with most. Unscored are features that
    fire too rarely, or whose candidates do.
    """

    overlapping: Interval
    nearest: Interval


def restricted_cosine(a: Activations, b: Activations, of_a: Ints, of_b: Ints, firings: int = FIRINGS) -> Overlap:
    """Cosine of the activations of feature of_a[i] of a and of_b[i] of b over the positions where one of them fires.

    On the positions where x fires it is <x, y> / (|x| |y on these|): what y does elsewhere does not count, so a child
    that fires on part of its parent's positions reaches 1 where it is proportional to it there. The larger of the two
    directions is taken (Bricken et al. 2023, Towards Monosemanticity, footnote 32: connected above about 0.4).

    0 for two that never fire together. nan where one of the two fires on fewer than `firings` positions: a single
    firing that happens to coincide with another gives 1. So do two features that fire everywhere and never change: read
    it beside the similarity of pairs put together at random.
    """
    assert a.shape[0] == b.shape[0], "both dictionaries are read on the same positions"
    assert (a.data >= 0).all() and (b.data >= 0).all(), "an activation is at least 0, which is silence"
    of_a, of_b = np.asarray(of_a, np.int64), np.asarray(of_b, np.int64)
    similarity, both = np.full(of_a.size, NAN), np.zeros(of_a.size, np.int64)
    for start in range(0, of_a.size, COLUMNS):
        part = slice(start, start + COLUMNS)
        x, y = (
            csc_array(activations[:, features[part]], dtype=float) for activations, features in ((a, of_a), (b, of_b))
        )
        on_x, on_y, xx, yy = x > 0, y > 0, x.power(2), y.power(2)
        often = np.minimum(_inner(on_x, on_x), _inner(on_y, on_y)) >= max(firings, 1)
        product, where_x, where_y = _inner(x, y), _inner(x, x) * _inner(on_x, yy), _inner(y, y) * _inner(on_y, xx)
        norm = np.sqrt(np.minimum(where_x, where_y))
        found = np.divide(product, norm, out=np.zeros(product.shape), where=norm > 0)
        similarity[part] = np.where(often, np.minimum(found, 1), NAN)
        both[part] = _inner(on_x, on_y)
    return Overlap(similarity, both)


def _inner(x: Any, y: Any) -> Floats:
    """Inner products of the columns of x with those of y, both sparse [T, p] -> [p]."""
    return np.asarray(np.ones(x.shape[0]) @ x.multiply(y))


def agreement(step: Step, candidates: Ints, similarity: Floats) -> Agreement:
    """`Agreement` of a step with the overlap of each of the n larger features with its k candidates, [n, k] each.

    The candidates are the nearest features of the smaller dictionary, as `neighbours.nearest` gives them, so the first
    is the one that is the parent if any is. A similarity that is nan is not known; a feature without any is unscored.
    """
    assert candidates.shape == similarity.shape and (candidates[:, 0] == step.nearest).all(), (
        "the first candidate is the nearest"
    )
    child = step.parent != NONE
    first = similarity[child, 0]
    known = ~np.isnan(similarity).all(axis=1)
    filled = np.where(np.isnan(similarity), -np.inf, similarity)
    most = filled.argmax(axis=1)
    overlaps = filled.max(axis=1) > EDGE
    same = step.parent == candidates[np.arange(len(candidates)), most]
    return Agreement(
        overlapping=share(np.where(np.isnan(first), NAN, first > EDGE)),
        nearest=share(np.where(known, same, NAN)[overlaps | ~known]),
    )
