"""Where wrong marks go, so that nothing but what is under them tells them from right ones."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Excerpt

Patches = NDArray[np.bool_]  # [rows, columns]


def runs(excerpt: Excerpt) -> list[int]:
    """Lengths of the runs of firing tokens; a picture between two tokens parts them."""
    text = set(excerpt.in_text)
    firing = (fires and at in text for at, fires in enumerate(excerpt.fires))
    return [len(list(run)) for fires, run in groupby(firing) if fires]


def misplaced(excerpt: Excerpt, like: Excerpt, rng: np.random.Generator) -> list[bool] | None:
    """Flags by position that mark an excerpt as the firings of another one would, on silent positions alone.

    In a text, runs of the same lengths anywhere; in a picture, the same patches: things are in the middle of pictures
    more often than at their edges, so a shape that is moved would be known by its place. None where there is no room.
    """
    flags, there, own = elsewhere(excerpt, runs(like), rng), on_grid(like), on_grid(excerpt)
    if flags is None or there is None or not there.any():
        return flags
    if excerpt.grid is None or own is None or own.shape != there.shape or (own & there).any():
        return None
    flags[excerpt.grid.positions] = there.ravel().tolist()
    return flags


def on_grid(excerpt: Excerpt) -> Patches | None:
    """Where a feature fires in the picture of an excerpt, if it has one."""
    if excerpt.grid is None:
        return None
    return np.array(excerpt.fires[excerpt.grid.positions]).reshape(excerpt.grid.rows, excerpt.grid.columns)


def partners(excerpts: Sequence[Excerpt], rng: np.random.Generator) -> list[Excerpt | None]:
    """For each excerpt the one whose marks it carries where they are to be wrong, None where there is no such one.

    For a text that is itself. Pictures go in pairs that exchange their marks, of which neither fires where the other
    does: so every place, number and shape of marks is as often right as wrong. Those with the fewest possible partners
    are paired first.
    """
    found: list[Excerpt | None] = [excerpt if excerpt.grid is None else None for excerpt in excerpts]
    pictures = [at for at, excerpt in enumerate(excerpts) if excerpt.grid is not None]
    if not pictures:
        return found
    grids = {at: on_grid(excerpts[at]) for at in pictures}
    possible = {at: {other for other in pictures if other != at and apart(grids[at], grids[other])} for at in pictures}
    left = rng.permutation(pictures).tolist()
    while left:
        at = min(left, key=lambda one: len(possible[one]))
        left.remove(at)
        other = min((one for one in left if one in possible[at]), key=lambda one: len(possible[one]), default=None)
        if other is not None:
            left.remove(other)
            found[at], found[other] = excerpts[other], excerpts[at]
        for one in left:
            possible[one] -= {at, other}
    return found


def apart(one: Patches | None, other: Patches | None) -> bool:
    return one is not None and other is not None and one.shape == other.shape and not (one & other).any()


def elsewhere(excerpt: Excerpt, lengths: Sequence[int], rng: np.random.Generator) -> list[bool] | None:
    """Flags [tokens] of runs of these lengths on silent tokens, uniformly at random; None where they find no room.

    Runs do not touch each other, and stand in any order. The first position of a context is left out: it never counts,
    so it is never marked rightly either. Nor are the patches of a picture and the special tokens around them.
    """
    n, text = len(excerpt.pieces), set(excerpt.in_text)
    if excerpt.grid is not None:
        text = {at for at in text if excerpt.pieces[at]}
    silent = [not f and (at > 0 or excerpt.start > 0) and at in text for at, f in enumerate(excerpt.fires)]
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
