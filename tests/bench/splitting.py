"""Time and peak memory of what compares dictionary sizes: `python -m tests.bench.splitting [--width 16384] [--d 512]`.

Three planted dictionaries of equal width, so that a chain has two steps. The features of the second and third descend
from random ones before: some split, some are lost. The peak is that of the process so far, weights included.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from scipy.sparse import csc_array

from autointerp.measure.absorption import absorption, counterparts
from autointerp.measure.arrays import Activations
from autointerp.measure.neighbours import directions_like, nearest, threshold
from autointerp.measure.neurons import likeness, shifts
from autointerp.measure.overlap import restricted_cosine
from autointerp.measure.plane import plane
from autointerp.measure.splitting import step, summary
from tests.directions import random_directions

SEED, CANDIDATES = 0, 10
POSITIONS, L0, NEURONS, LIKENED, ASKED = 65_536, 32, 2048, 1000, 500

P = ParamSpec("P")
T = TypeVar("T")


def timed(what: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    started = time.perf_counter()
    found = work(*args, **kwargs)
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
    generator = torch.Generator().manual_seed(SEED)
    first = random_directions(width, d, SEED)
    chain = [first]
    for seed in (SEED + 1, SEED + 2):
        drawn = torch.randint(width, (width,), generator=generator)
        chain.append(chain[-1][drawn] + 0.5 * random_directions(width, d, seed))
    _, second, third = chain

    draws = random_directions(1999, d, SEED + 3)
    tau = timed("threshold from 1,999 random directions", threshold, draws, first, 0.01)
    alike = timed("1,999 directions that crowd as a dictionary does", directions_like, second, 1999, SEED + 3)
    timed("threshold from them", threshold, alike, first, 0.01)
    steps = {
        "step 1": timed("step 1", step, first, second, tau),
        "step 2": timed("step 2", step, second, third, tau),
        "control": timed("the control of step 1", step, first, random_directions(width, d, SEED + 4), tau),
    }
    for name, each in steps.items():
        told = timed(f"summary of {name}", summary, each, SEED)
        print(f"  split {told.split.value:.3f}, lost {told.lost.value:.3f}, novel {told.novel.value:.4f}")
    candidates = timed(f"{CANDIDATES} nearest of another", nearest, second, first, CANDIDATES).index
    own = timed("counterparts", counterparts, first, second, tau)

    a, b = sparse_activations(width, 0), sparse_activations(width, 1)
    pairs = candidates.ravel(), np.repeat(np.arange(width), CANDIDATES)
    timed(f"overlap of {pairs[0].size:,} pairs, {a.nnz:,} nonzeros", restricted_cosine, a, b, *pairs)
    document = np.arange(POSITIONS) // 512
    rng = np.random.default_rng(SEED)
    asked, some = rng.choice(width, ASKED, replace=False), np.sort(rng.choice(width, LIKENED, replace=False))
    found = timed(
        f"absorption of {ASKED:,} features",
        lambda: list(absorption(steps["step 1"], own, a, b, document, asked, SEED)),
    )
    print(f"  {sum(not each.reason for each in found)} of them measured")

    neurons = (rng.normal(size=(4096, NEURONS)).astype(np.float32) for _ in range(POSITIONS // 4096))
    what = f"{LIKENED:,} features against {NEURONS:,} neurons, {POSITIONS:,} positions, 3 shifts"
    timed(what, likeness, a[:, some], neurons, shifts(3, POSITIONS, 512, SEED))
    for n in points:
        timed(f"map of {n:,} features", plane, [first, second, third], n, SEED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16_384)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--points", type=int, nargs="*", default=[2000], help="sizes of the map, which is slow")
    given = parser.parse_args()
    main(given.width, given.d, given.points)
