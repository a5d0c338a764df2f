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
