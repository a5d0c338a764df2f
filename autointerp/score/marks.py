"""Where wrong marks go, so that nothing but the words under them tells them from right ones."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from autointerp.records import Excerpt


def runs(excerpt: Excerpt) -> list[int]:
    """Lengths of the runs of firing tokens."""
    return [len(list(run)) for fires, run in groupby(excerpt.fires) if fires]


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
