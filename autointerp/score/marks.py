"""Where wrong marks go, so that nothing but the words under them tells them from right ones."""

from itertools import groupby

import numpy as np

from autointerp.records import Excerpt

TRIES = 200


def runs(excerpt: Excerpt) -> list[int]:
    """Lengths of the runs of firing tokens."""
    return [len(list(run)) for fires, run in groupby(excerpt.fires) if fires]


def elsewhere(excerpt: Excerpt, lengths: list[int], rng: np.random.Generator) -> list[bool] | None:
    """Flags [tokens] of runs of these lengths on silent tokens, uniformly at random; None where they find no room.

    Runs do not touch each other. The first position of a context is left out: it never counts, so it is never marked
    rightly either.
    """
    n, lengths = len(excerpt.pieces), list(rng.permutation(lengths))
    free = n - sum(lengths) - (len(lengths) - 1)
    if free < 0:
        return None
    silent = ~np.array(excerpt.fires)
    silent[0] &= excerpt.start > 0
    for _ in range(TRIES):
        # Gaps before, between and after the runs: a uniform way to write `free` as a sum of len + 1 parts.
        cuts = np.sort(rng.choice(free + len(lengths), len(lengths), replace=False))
        starts = cuts + np.cumsum([0, *lengths[:-1]])
        flags = np.zeros(n, dtype=bool)
        for start, length in zip(starts, lengths, strict=True):
            flags[start : start + length] = True
        if silent[flags].all():
            return [bool(flag) for flag in flags]
    return None
