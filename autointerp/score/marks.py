"""Where wrong marks go, so that nothing but the words under them tells them from right ones."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Excerpt

Grid = NDArray[np.bool_]  # [rows, columns] of patches


def runs(excerpt: Excerpt) -> list[int]:
    """Lengths of the runs of firing tokens."""
    return [len(list(run)) for fires, run in groupby(excerpt.fires) if fires]


def misplaced(excerpt: Excerpt, like: Excerpt, rng: np.random.Generator) -> list[bool] | None:
    """Flags by position that mark an excerpt as the firings of another one would, on silent positions alone.

    In a text, runs of the same lengths; in a picture, the same shape somewhere else. None where they find no room.
    """
    if excerpt.grid is None or like.grid is None:
        return elsewhere(excerpt, runs(like), rng)
    patches = excerpt.grid.positions
    shape = np.array(like.fires[like.grid.positions]).reshape(like.grid.rows, like.grid.columns)
    silent = ~np.array(excerpt.fires[patches]).reshape(excerpt.grid.rows, excerpt.grid.columns)
    moved = shifted(shape, silent, rng)
    if moved is None:
        return None
    flags = [False] * len(excerpt.pieces)
    flags[patches] = moved.ravel().tolist()
    return flags


def shifted(shape: Grid, room: Grid, rng: np.random.Generator) -> Grid | None:
    """A shape of cells moved as a whole to where `room` allows it, uniformly at random; None where it fits nowhere."""
    cells = np.argwhere(shape)
    if not len(cells):
        return None
    cells -= cells.min(axis=0)
    high, wide = np.array(room.shape) - cells.max(axis=0)
    places = [
        (down, right)
        for down in range(max(high, 0))
        for right in range(max(wide, 0))
        if room[cells[:, 0] + down, cells[:, 1] + right].all()
    ]
    if not places:
        return None
    moved = np.zeros_like(room)
    moved[tuple((cells + places[int(rng.integers(len(places)))]).T)] = True
    return moved


def elsewhere(excerpt: Excerpt, lengths: Sequence[int], rng: np.random.Generator) -> list[bool] | None:
    """Flags [tokens] of runs of these lengths on silent tokens, uniformly at random; None where they find no room.

    Runs do not touch each other, and stand in any order. The first position of a context is left out: it never counts,
    so it is never marked rightly either.
    """
    n = len(excerpt.pieces)
    silent = [not fires and (at > 0 or excerpt.start > 0) for at, fires in enumerate(excerpt.fires)]
    room = [0] * (n + 1)  # silent tokens in a row from each position on
    for at in reversed(range(n)):
        room[at] = silent[at] * (room[at + 1] + 1)

    # ways[at, i, j, …]: how many placements there are, from `at` on, of i runs of the first length, j of the second …
    kinds, counts = np.unique(lengths, return_counts=True)
    ways = np.zeros((n + 2, *(counts + 1)))
    ways[:, *np.zeros_like(counts)] = 1
    some, fewer = (
        [(*[slice(None)] * axis, part) for axis in range(len(kinds))] for part in (slice(1, None), slice(-1))
    )
    for at in reversed(range(n)):
        ways[at] = ways[at + 1]
        for axis, length in enumerate(kinds):
            if room[at] >= length:
                ways[at][some[axis]] += ways[at + length + 1][fewer[axis]]

    if not ways[0, *counts]:
        return None
    flags, at, left = [False] * n, 0, counts.tolist()
    while any(left):
        # Either this token stays unmarked or a run of some length begins at it, as often as placements do so.
        to = [(at + 1, left)]
        for kind, length in enumerate(kinds.tolist()):
            if left[kind] and room[at] >= length:
                to.append((at + length + 1, [number - (other == kind) for other, number in enumerate(left)]))
        upto = np.cumsum([ways[place, *rest] for place, rest in to])
        after, left = to[int(upto.searchsorted(rng.random() * upto[-1], side="right"))]
        flags[at : after - 1] = [True] * (after - 1 - at)
        at = after
    return flags
