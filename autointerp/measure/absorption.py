"""Holes in a general feature that its special ones fill: "starts with s" is silent on "snake", where "snake" fires.

Chanin et al. 2024, A is for Absorption, found that a sparse dictionary may leave out the general feature wherever a
special one fires that could carry it along. They know by labels and a probe where the concept holds, and ask that the
special feature carry the probe's direction there and that ablating it matter most. Here nothing is labelled: that a
feature of a *smaller* dictionary fires stands for its concept. So this is a different number, to be read beside its
null and not beside theirs: it measures a larger dictionary against a smaller one, misses what the smaller one absorbed
itself, and knows only that a child fires, not what it carries.

Of feature i of the smaller dictionary, i' is its *counterpart*, the feature of the larger with the largest cosine to
it, and J its children but i' (`splitting`), all with a cosine above tau. Over the T positions that both were read on:

    absorbed = #{i fires, i' is silent, some j of J fires} / #{i fires}
    silent   = #{i fires, i' is silent}                    / #{i fires}     the most that absorbed could be

The null puts random features of the larger dictionary, each firing about as often, in the place of the children.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from autointerp.measure.arrays import NAN, Activations, Bools, Floats, Ints
from autointerp.measure.intervals import Interval, ratio_interval
from autointerp.measure.neighbours import nearest
from autointerp.measure.splitting import NONE, Step

MATCHED = 64  # how many features of about the same density stand in for a child
ROWS = 4096  # positions made dense at once


@dataclass(frozen=True, slots=True)
class Absorption:
    """Of one feature of the smaller dictionary; what cannot be computed is nan and `reason` says why, else it is empty.

    n_children: how many children but the counterpart fire at all. fired, documents: on how many positions and documents
    the feature fires. absorbed, silent: shares of these positions, 95% bounds with documents as clusters (n counts
    them). beside: of the positions where the feature and i' fire the share on which some child does, too: about
    absorbed / silent for children that take no notice of i', less for children that take its place; nan where i' never
    fires with the feature. null: mean share absorbed by as many random features as there are children; p: the chance
    that these absorb as much, (1 + #{null >= absorbed}) / (draws + 1).
    """

    feature: int
    counterpart: int
    n_children: int
    fired: int
    documents: int
    absorbed: Interval
    silent: Interval
    beside: float
    null: float
    p: float
    reason: str


def counterparts(smaller: Tensor, larger: Tensor, threshold: float) -> Ints:
    """Of each row of smaller [m, d] the row of larger [n, d] with the largest cosine, -1 where none is above tau."""
    found = nearest(smaller, larger)
    return np.where(found.cosine[:, 0] > threshold, found.index[:, 0], NONE)


def absorption(
    step: Step,
    counterpart: Ints,
    smaller: Activations,
    larger: Activations,
    document: Ints,
    features: Ints,
    seed: int,
    draws: int = 199,
    resamples: int = 2000,
) -> Iterator[Absorption]:
    """`Absorption` of each of the wanted features of the smaller dictionary, one after the other.

    counterpart [m] from `counterparts`; activations smaller [T, m] and larger [T, n], at least 0; document [T] any
    whole numbers. The draws depend on the seed and the feature, not on which others are wanted. 0 where i' fires
    wherever i does, and where children never fire in its silence; 1 where i' is always silent and some child always
    fires.

    In each of the draws every child that fires gives way to one of the MATCHED features nearest to it in number of
    firings, at random, none twice, neither i' nor a child. They fire on positions of i no more often than elsewhere,
    unless their subjects are related: children are above the null wherever they have to do with i, absorbed or not.
    """
    assert smaller.shape == (document.size, step.smaller) and larger.shape == (document.size, step.nearest.size), (
        "both dictionaries are read on the same positions, each with a document"
    )
    assert (smaller.data >= 0).all() and (larger.data >= 0).all(), "an activation is at least 0, which is silence"
    smaller, larger = smaller.copy(), larger.copy()
    for activations in (smaller, larger):
        activations.sum_duplicates()
        activations.eliminate_zeros()
    fired, parent = np.diff(larger.indptr).astype(np.int64), step.parent
    for feature in np.asarray(features, np.int64).tolist():
        own = int(counterpart[feature])
        children = np.flatnonzero((parent == feature) & (fired > 0))
        children = children[children != own]
        rows = np.sort(smaller.indices[smaller.indptr[feature] : smaller.indptr[feature + 1]]).astype(np.int64)
        _, where = np.unique(document[rows], return_inverse=True)
        documents = int(where.max(initial=-1)) + 1
        reason = _why_not(rows.size, own, children.size)
        if reason:
            nothing = Interval(NAN, NAN, NAN, documents, 1)
            yield Absorption(feature, own, children.size, rows.size, documents, nothing, nothing, NAN, NAN, NAN, reason)
            continue
        silent = ~_fires(larger, rows, np.array([own]))
        with_child = _fires(larger, rows, children)
        absorbed = silent & with_child
        beside = float(with_child[~silent].mean()) if not silent.all() else NAN
        below = np.bincount(where).astype(float)
        absorbed_share, silent_share = (
            ratio_interval(np.bincount(where, found).astype(float), below, seed, resamples)
            for found in (absorbed, silent)
        )
        null, p = NAN, NAN
        stand_ins = _stand_ins(fired, own, children, np.random.default_rng([seed, feature]), draws)
        if stand_ins is None:
            reason = "the larger dictionary has too few other features to draw a null from"
        else:
            counts = _counts(larger, rows[silent], stand_ins)
            null = float(counts.mean() / rows.size)
            p = float((1 + (counts >= absorbed.sum()).sum()) / (draws + 1))
        yield Absorption(
            feature, own, children.size, rows.size, documents, absorbed_share, silent_share, beside, null, p, reason
        )


def _why_not(fired: int, counterpart: int, children: int) -> str:
    """Why absorption cannot be measured, empty where it can."""
    if not fired:
        return "the feature fires on none of the positions"
    if counterpart == NONE:
        return "the larger dictionary has no feature whose cosine with it is above the threshold"
    return "" if children else "no child but its counterpart fires on the positions"


def _fires(activations: Activations, rows: Ints, features: Ints) -> Bools:
    """On which of the rows [r] any of the features fires."""
    marked = np.zeros(activations.shape[0], bool)
    for feature in features.tolist():
        marked[activations.indices[activations.indptr[feature] : activations.indptr[feature + 1]]] = True
    return marked[rows]


def _stand_ins(fired: Ints, own: int, children: Ints, rng: np.random.Generator, draws: int) -> Ints | None:
    """Features [draws, children] in the place of the children, or None where there are too few."""
    taken = np.zeros(fired.size, bool)
    taken[[own, *children]] = True
    others = np.flatnonzero(~taken & (fired > 0))
    others = others[np.argsort(fired[others], kind="stable")]
    size = max(MATCHED, 2 * children.size)
    if others.size < 2 * children.size:
        return None
    drawn = np.full((draws, children.size), NONE)
    for at, child in enumerate(children):
        middle = int(np.searchsorted(fired[others], fired[child]))
        start = min(max(middle - size // 2, 0), max(others.size - size, 0))
        pool = others[start : start + size]
        again = np.ones(draws, bool)
        while again.any():
            drawn[again, at] = rng.choice(pool, again.sum())
            again = (drawn[:, :at] == drawn[:, at, None]).any(axis=1)
    return drawn


def _counts(activations: Activations, rows: Ints, features: Ints) -> Floats:
    """On how many of the rows any of features [draws, k] fires, [draws]."""
    pool, place = np.unique(features, return_inverse=True)
    chosen = np.zeros((pool.size, len(features)), np.float32)
    chosen[place.reshape(features.shape).T, np.arange(len(features))] = 1
    columns = activations[:, pool].tocsr()
    counts = np.zeros(len(features))
    for start in range(0, rows.size, ROWS):
        fires = columns[rows[start : start + ROWS]].toarray() > 0
        counts += (fires.astype(np.float32) @ chosen > 0).sum(axis=0)
    return counts
