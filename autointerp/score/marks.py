"""Where wrong marks go, so that nothing but the words under them tells them from right ones."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Excerpt

Grid = NDArray[np.bool_]  # [rows, columns] of patches


def runs(excerpt: Excerpt) -> list[int]:
    """Lengths of the runs of firing tokens."""
    return [len(list(run)) for fires, run in groupby(excerpt.fires[at] for at in excerpt.in_text) if fires]


def misplaced(excerpt: Excerpt, like: Excerpt, rng: np.random.Generator) -> list[bool] | None:
    """Flags by position that mark an excerpt as the firings of another one would, on silent positions alone.

    In a text, runs of the same lengths; in a picture, the same shape somewhere else; each where it has some of both.
    None where they find no room.
    """
    flags, shape = elsewhere(excerpt, runs(like), rng), on_grid(like)
    if flags is None or shape is None or not shape.any():
        return flags
    fires = on_grid(excerpt)
    moved = None if fires is None else shifted(shape, ~fires, rng)
    if excerpt.grid is None or moved is None:
        return None
    flags[excerpt.grid.positions] = moved.ravel().tolist()
    return flags


def on_grid(excerpt: Excerpt) -> Grid | None:
    """Where a feature fires in the picture of an excerpt, if it has one."""
    if excerpt.grid is None:
        return None
    return np.array(excerpt.fires[excerpt.grid.positions]).reshape(excerpt.grid.rows, excerpt.grid.columns)


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
    so it is never marked rightly either. Nor are the patches of a picture and the special tokens around them.
    """
    n, text = len(excerpt.pieces), set(excerpt.in_text)
    if excerpt.grid is not None:
        text = {at for at in text if excerpt.pieces[at]}
    silent = [not f and (at > 0 or excerpt.start > 0) and at in text for at, f in enumerate(excerpt.fires)]
    room = np.zeros(n + 1, dtype=int)  # silent tokens in a row from each position on
    for at in reversed(range(n)):
        room[at] = silent[at] * (room[at + 1] + 1)

    # ways[at, i, j, …]: how many placements there are, from `at` on, of i runs of the first length, j of the second …
    kinds, counts = np.unique(lengths, return_counts=True)
    ways = np.zeros((n + 2, *(counts + 1)))
    ways[:, *np.zeros_like(counts)] = 1
    for at in reversed(range(n)):
        ways[at] = ways[at + 1]
        for axis, length in enumerate(kinds):
            if room[at] >= length:
                np.moveaxis(ways[at], axis, 0)[1:] += np.moveaxis(ways[at + length + 1], axis, 0)[:-1]

    if not ways[0, *counts]:
        return None
    flags, at, left = [False] * n, 0, counts
    while left.any():
        # Either this token stays unmarked or a run of some length begins at it, as often as placements do so.
        fits = [kind for kind in range(len(kinds)) if left[kind] and room[at] >= kinds[kind]]
        fewer = [left - np.eye(len(kinds), dtype=int)[kind] for kind in fits]
        weight = np.array(
            [ways[at + 1, *left], *(ways[at + kinds[k] + 1, *f] for k, f in zip(fits, fewer, strict=True))]
        )
        choice = int(rng.choice(len(weight), p=weight / weight.sum()))
        if choice == 0:
            at += 1
        else:
            length = int(kinds[fits[choice - 1]])
            flags[at : at + length] = [True] * length
            at, left = at + length + 1, fewer[choice - 1]
    return flags
