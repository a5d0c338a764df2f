"""Evidence about one feature: firing excerpts over the activation range, and silent ones of three kinds.

Every excerpt is a full window of a fixed grid, firing or silent, so neither its length nor the place of a firing in it
tells a judge how it was chosen. Silence is never assumed: it is read off the replayed activations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.collect.sketch import histogram_edges
from autointerp.config import EvidenceConfig
from autointerp.evidence.replay import Contexts, Firings
from autointerp.records import Item

SILENT = ("same_token", "near", "random")


@dataclass(frozen=True, slots=True)
class Pool:
    """The windows of a seeded sample of one split's contexts: where silence, base rates and retrieval are read off."""

    row: NDArray[np.int64]
    window: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)


def build_pool(contexts: Contexts, split: int, size: int, rng: np.random.Generator) -> Pool:
    rows = np.sort(rng.permutation(np.flatnonzero((contexts.split == split) & (contexts.n_windows > 0)))[:size])
    row = np.repeat(rows, contexts.n_windows[rows])
    window = np.concatenate([np.arange(n) for n in contexts.n_windows[rows]]) if len(rows) else row
    return Pool(row, window)


def bin_shares(histogram: NDArray[np.int64], maximum: float, bins: int) -> NDArray[np.float64]:
    """Share of firings in each of `bins` linear intervals over (0, maximum], from the log-spaced histogram [N_BINS].

    Within a histogram bin firings are taken to be spread evenly up to the maximum; the shares add to 1.
    """
    edges = histogram_edges()
    low, high = edges[:-1].copy(), np.minimum(edges[1:], maximum)
    low[0], high[-1] = 0.0, maximum  # the outermost bins hold everything beyond them
    cuts = np.linspace(0, maximum, bins + 1)
    width = np.maximum(high - low, 1e-300)
    overlap = np.minimum(high[:, None], cuts[None, 1:]) - np.maximum(low[:, None], cuts[None, :-1])
    share = np.clip(overlap, 0, None) / width[:, None]
    # A histogram bin that starts at the maximum has no width left: it holds the maximum itself, in the top interval.
    share[:, -1] += np.clip(1 - share.sum(1), 0, 1)
    counts = histogram @ share
    return np.asarray(counts / max(counts.sum(), 1))


def firing_items(
    contexts: Contexts,
    config: EvidenceConfig,
    split: int,
    firing: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    maximum: float,
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[Item]:
    """Up to `per_bin` windows for each activation interval, from as many documents as there are.

    A window stands in the interval of the firing that it was chosen for; its weight is that interval's share of all
    firings, divided among the interval's windows.
    """
    row, position, activation = firing
    window = position // config.window
    usable = (contexts.split[row] == split) & (window < contexts.n_windows[row])
    row, position, activation, window = row[usable], position[usable], activation[usable], window[usable]
    interval = np.clip(np.ceil(activation / maximum * config.bins).astype(int) - 1, 0, config.bins - 1)
    taken: set[tuple[int, int]] = set()
    chosen: list[tuple[int, int, int]] = []
    # The upper intervals choose first: they have the fewest windows.
    for b in range(config.bins - 1, -1, -1):
        candidates = rng.permutation(np.flatnonzero(interval == b))
        # One window a document first, then the others, in the order of the permutation.
        documents = contexts.document[row[candidates]]
        first = np.zeros(len(candidates), dtype=bool)
        first[np.unique(documents, return_index=True)[1]] = True
        for at in candidates[np.argsort(~first, kind="stable")]:
            key = (int(row[at]), int(window[at]))
            if key not in taken and sum(c[0] == b for c in chosen) < config.per_bin:
                taken.add(key)
                chosen.append((b, *key))
    counts = np.bincount([b for b, _, _ in chosen], minlength=config.bins)
    total = float(shares[counts > 0].sum()) or 1.0
    return [
        Item(
            excerpt=contexts.excerpt(r, w, window_activations(row, position, activation, r, w, config.window)),
            stratum=f"bin{b}",
            fires=True,
            weight=float(shares[b] / counts[b] / total),
        )
        for b, r, w in chosen
    ]


def silent_items(
    contexts: Contexts,
    config: EvidenceConfig,
    pool: Pool,
    firing: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    neighbours: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]],
    favourite: int | None,
    rng: np.random.Generator,
) -> list[Item]:
    """Silent windows of the pool, a third of each kind; what a kind cannot fill goes to the others.

    The kinds divide the silent windows (same_token before near before random), and a window's weight is its kind's
    share of them, so that hard cases are seen often without counting for more than they are.
    """
    silent = ~fires_in(pool, firing, config.window)
    holds = np.array(
        [
            favourite in contexts.tokens[r][w * config.window : (w + 1) * config.window]
            for r, w in zip(pool.row, pool.window, strict=True)
        ]
    )
    near = np.zeros(len(pool), dtype=bool)
    for other in neighbours:
        near |= fires_in(pool, other, config.window)
    kinds = {
        "same_token": silent & holds,
        "near": silent & near & ~holds,
        "random": silent & ~near & ~holds,
    }
    queues = {kind: list(rng.permutation(np.flatnonzero(flag))) for kind, flag in kinds.items()}
    chosen: dict[str, list[int]] = {kind: [] for kind in kinds}
    wanted = min(config.negatives, int(silent.sum()))
    while sum(map(len, chosen.values())) < wanted:
        for kind, queue in queues.items():
            if queue and sum(map(len, chosen.values())) < wanted:
                chosen[kind].append(int(queue.pop()))
    total = sum(int(kinds[kind].sum()) for kind in kinds if chosen[kind])
    quiet = np.zeros(config.window, dtype=np.float32)
    return [
        Item(
            excerpt=contexts.excerpt(int(pool.row[at]), int(pool.window[at]), quiet),
            stratum=kind,
            fires=False,
            weight=float(kinds[kind].sum() / total / len(chosen[kind])),
        )
        for kind in SILENT
        for at in chosen[kind]
    ]


def fires_in(
    pool: Pool, firing: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], window: int
) -> NDArray[np.bool_]:
    """Whether a feature fires in each window of a pool."""
    row, position, _ = firing
    stride = 2**31
    return np.isin(pool.row * stride + pool.window, row * stride + position // window)


def window_activations(
    row: NDArray[np.int64],
    position: NDArray[np.int64],
    activation: NDArray[np.float32],
    r: int,
    w: int,
    window: int,
) -> NDArray[np.float32]:
    dense = np.zeros(window, dtype=np.float32)
    inside = (row == r) & (position // window == w)
    dense[position[inside] - w * window] = activation[inside]
    return dense


def favourite_token(contexts: Contexts, split: int, firings: Firings, feature: int) -> int | None:
    """The token with the largest summed activation in one split."""
    row, position, activation = firings.of(feature)
    inside = contexts.split[row] == split
    if not inside.any():
        return None
    tokens = np.array([contexts.tokens[r][p] for r, p in zip(row[inside], position[inside], strict=True)])
    ids, index = np.unique(tokens, return_inverse=True)
    return int(ids[np.bincount(index, activation[inside]).argmax()])


def token_counts(contexts: Contexts, firings: Firings, feature: int) -> NDArray[np.int64]:
    """How often each distinct token carries a firing of the feature."""
    row, position, _ = firings.of(feature)
    tokens = np.array([contexts.tokens[r][p] for r, p in zip(row, position, strict=True)], dtype=np.int64)
    return np.unique(tokens, return_counts=True)[1]
