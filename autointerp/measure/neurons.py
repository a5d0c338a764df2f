"""Are features just neurons? The largest correlation of each feature with any of many neurons.

Templeton et al. 2024 call features new because 82% of them correlate with no neuron by more than 0.3. But the largest
of many correlations is well above 0 without any relation. So the same is done with the feature's activations shifted
against the neurons', by a document and more around the circle of all positions: that leaves how often and in what
bursts the feature fires, and takes away what it fires on (and where in a context, unless shifts are whole contexts).

The activations of the wanted features are sparse and held whole, T positions by n features; those of the N neurons
come past once, in chunks of any size. Memory is that of (shifts + 1) n N sums in float64, and of one chunk.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from autointerp.measure.arrays import NAN, RESOLUTION, Activations, Floats, Ints
from autointerp.measure.dictionaries import share
from autointerp.measure.intervals import Interval, mean_interval

LIMIT = 0.3  # the correlation up to which a feature counts as none of the neurons (Templeton et al. 2024)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of n features: the neuron [n] with the largest |Pearson| (the first of equal ones), that correlation with its
    sign [n], and the largest |Pearson| of each shift of the activations [shifts, n].

    -1 and nan where the feature is constant, which includes silent; a neuron that is constant takes no part.
    """

    neuron: Ints
    correlation: Floats
    null: Floats


@dataclass(frozen=True, slots=True)
class Unlike:
    """Share of features that are like no neuron, |Pearson| <= LIMIT; the share by chance; chance less the former.

    alone has Wilson's interval, the others a bootstrap over features, of each of which chance is the share of shifts.
    """

    alone: Interval
    by_chance: Interval
    difference: Interval


def shifts(n: int, positions: int, longest: int, seed: int) -> Ints:
    """n shifts [n], ascending, in `positions` around a circle: at least `longest` from 0 and from one another.

    With the length of the longest document as `longest`, no position meets its own document, and no two shifts let a
    document meet the same one. Uniform among all such. Raises ValueError where they have no room: (n + 1) longest.
    """
    room = positions - (n + 1) * longest
    if room < 0:
        raise ValueError(
            f"{n} shifts by documents of {longest} positions need {(n + 1) * longest} positions, not {positions}"
        )
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, room + 1, n)) + longest * np.arange(1, n + 1)


def likeness(features: Activations, chunks: Iterable[npt.NDArray[np.floating]], shifts: Ints) -> Likeness:
    """`Likeness` of features [T, n] to neurons, from chunks [t, N] of them that add up to the T positions in order.

    Shift s pairs position t of the neurons with t - s of the features, around the circle. Pearson's correlation is over
    all T positions, silent ones included, from float64 sums: chunks may be of any size, which changes rounding alone.
    """
    positions, n = features.shape
    by_position = csr_array(features.astype(np.float64))
    moves = np.append(0, shifts)
    total, squares, products = _zeros(0), _zeros(0), _zeros(moves.size, n, 0)
    seen = 0
    for chunk in chunks:
        x = np.asarray(chunk, float)
        if not seen:
            total, squares, products = _zeros(x.shape[1]), _zeros(x.shape[1]), _zeros(moves.size, n, x.shape[1])
        total += x.sum(axis=0)
        squares += (x * x).sum(axis=0)
        at = np.arange(seen, seen + len(x))
        for product, move in zip(products, moves, strict=True):
            product += by_position[(at - move) % positions].T @ x
        seen += len(x)
    assert seen == positions, f"features are read on {positions} positions, neurons on {seen}"
    own_total, own_squares = (np.asarray(np.ones(positions) @ values) for values in (by_position, by_position.power(2)))
    scale = np.sqrt(
        _variance(own_total, own_squares, positions)[:, None] * _variance(total, squares, positions)
    )  # [n, N], nan where a side is constant
    best = np.full((moves.size, n), NAN)
    neuron, correlation = np.full(n, -1), np.full(n, NAN)
    defined = ~np.isnan(scale).all(axis=1) if total.size else np.zeros(n, bool)
    for which, product in enumerate(products):
        r = np.clip((product - np.outer(own_total, total) / positions)[defined] / scale[defined], -1, 1)
        if not r.size:
            break
        most = np.nanargmax(abs(r), axis=1)
        value = r[np.arange(len(r)), most]
        best[which, defined] = abs(value)
        if which == 0:
            neuron[defined], correlation[defined] = most, value
    return Likeness(neuron, correlation, best[1:])


def unlike(likeness: Likeness, seed: int, resamples: int = 2000) -> Unlike:
    """`Unlike` of the features; those whose correlation is nan are unscored. Without shifts there is no chance: nan."""
    unscored = np.isnan(likeness.correlation)
    alone = np.where(unscored, NAN, abs(likeness.correlation) <= LIMIT)
    if len(likeness.null):
        chance = np.where(unscored, NAN, (likeness.null <= LIMIT).mean(axis=0))
    else:
        chance = np.full(alone.size, NAN)
    return Unlike(share(alone), mean_interval(chance, seed, resamples), mean_interval(chance - alone, seed, resamples))


def _zeros(*shape: int) -> Floats:
    return np.zeros(shape)


def _variance(total: Floats, squares: Floats, n: int) -> Floats:
    """Sum of squares about the mean [k]; nan where it is rounding alone."""
    found = squares - total * total / n
    return np.where(found > RESOLUTION * squares, found, NAN)
