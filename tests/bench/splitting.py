"""Time and peak memory of what compares dictionary sizes: `python -m tests.bench.splitting [--width 16384] [--d 512]`.

Three planted dictionaries of equal width, so that a chain has two steps; each step in a process of its own would
measure the same, so the peak is that of the whole run, with the weights beside it.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from scipy.sparse import csc_array

from autointerp.measure.absorption import absorption, counterparts
from autointerp.measure.generalisation import Activations
from autointerp.measure.neighbours import directions_like, nearest, nearest_others, random_directions, threshold
from autointerp.measure.neurons import likeness, shifts
from autointerp.measure.overlap import agreement, restricted_cosine
from autointerp.measure.plane import plane
from autointerp.measure.splitting import Step, ancestors, step, summary

SEED, CANDIDATES = 0, 10
POSITIONS, L0, NEURONS, LIKENED, ASKED = 65_536, 32, 2048, 1000, 500

T = TypeVar("T")


def timed(what: str, work: Callable[[], T]) -> T:
    started = time.perf_counter()
    found = work()
    spent = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {spent:.1f} s, peak so far {peak:,.0f} MiB", flush=True)
    return found


def sparse_activations(width: int, seed: int) -> Activations:
    """L0 nonzeros a position; frequencies fall off as in a trained dictionary."""
    rng = np.random.default_rng(seed)
    feature = (rng.random(POSITIONS * L0) ** 2 * width).astype(np.int64)
    position = np.repeat(np.arange(POSITIONS), L0)
    drawn = csc_array((rng.random(feature.size, np.float32) + 0.1, (position, feature)), shape=(POSITIONS, width))
    drawn.sum_duplicates()
    return drawn


def main(width: int, d: int, points: list[int]) -> None:
    print(f"three dictionaries of {width:,} features, d = {d}: {3 * width * d * 4 / 2**20:,.0f} MiB of weights")
    first = random_directions(width, d, SEED)
    second = first[torch.randperm(width, generator=torch.Generator().manual_seed(1))]
    second = second + 0.5 * random_directions(width, d, SEED + 1)
    third = second + 0.5 * random_directions(width, d, SEED + 2)

    tau = timed(
        "threshold from 1,999 random directions",
        lambda: threshold(random_directions(1999, d, SEED + 3), first, 0.01),
    )
    timed(
        "threshold from 1,999 that crowd alike", lambda: threshold(directions_like(second, 1999, SEED + 3), first, 0.01)
    )
    steps: list[Step] = [
        timed(f"step {number}", lambda pair=pair: step(*pair, tau))  # type: ignore[misc]
        for number, pair in enumerate(((first, second), (second, third)), 1)
    ]
    control = timed("the control of step 1", lambda: step(first, random_directions(width, d, SEED + 4), tau))
    for name, each in (("step 1", steps[0]), ("step 2", steps[1]), ("control", control)):
        found = timed(f"summary of {name}", lambda each=each: summary(each, SEED))  # type: ignore[misc]
        print(f"  children {found.children.value:.3f}, novel {found.novel.value:.4f}")
    timed("ancestors", lambda: ancestors(steps))
    candidates = timed(f"{CANDIDATES} nearest of another", lambda: nearest(second, first, CANDIDATES)).index
    timed(f"{CANDIDATES} nearest others", lambda: nearest_others(first, CANDIDATES))
    own = timed("counterparts", lambda: counterparts(first, second, tau))

    a, b = sparse_activations(width, 0), sparse_activations(width, 1)
    pairs = candidates.ravel(), np.repeat(np.arange(width), CANDIDATES)
    overlap = timed(f"overlap of {pairs[0].size:,} pairs, {a.nnz:,} nonzeros", lambda: restricted_cosine(a, b, *pairs))
    agreement(steps[0], candidates, overlap.similarity.reshape(candidates.shape))
    document = np.arange(POSITIONS) // 512
    asked = np.random.default_rng(SEED).choice(width, ASKED, replace=False)
    timed(f"absorption of {ASKED:,} features", lambda: list(absorption(steps[0], own, a, b, document, asked, SEED)))

    neurons = np.random.default_rng(SEED).normal(size=(POSITIONS, NEURONS)).astype(np.float32)
    moves = shifts(3, POSITIONS, 512, SEED)
    some = np.sort(np.random.default_rng(SEED).choice(width, LIKENED, replace=False))
    parts = [neurons[at : at + 4096] for at in range(0, POSITIONS, 4096)]
    timed(
        f"{LIKENED:,} features against {NEURONS:,} neurons, {POSITIONS:,} positions, 3 shifts",
        lambda: likeness(a[:, some], parts, moves),
    )
    for n in points:
        timed(f"map of {n:,} features", lambda n=n: plane([first, second, third], n, SEED))  # type: ignore[misc]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16_384)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--points", type=int, nargs="*", default=[2000], help="sizes of the map, which is slow")
    given = parser.parse_args()
    main(given.width, given.d, given.points)
