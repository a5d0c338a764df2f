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
PRIOR_WINDOWS = 10.0  # firing windows of the pool that the histogram's shares weigh as much as
STRIDE = 2**31  # numbers the windows of all contexts: row * STRIDE + window

# (row, position, activation) of one feature, by row and then by position
Firing = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Pool:
    """The windows of a seeded sample of one split's contexts: where silence, base rates and retrieval are read off."""

    row: NDArray[np.int64]
    window: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def key(self) -> NDArray[np.int64]:
        """A number for each window, ascending."""
        return self.row * STRIDE + self.window


@dataclass(frozen=True, slots=True)
class Held:
    """Which tokens the n windows of a pool hold, as pairs in the order of the token."""

    token: NDArray[np.int64]
    window: NDArray[np.int64]
    n: int

    def holding(self, token: int | None) -> NDArray[np.bool_]:
        """The windows that hold a token, bool [n]; none of them holds None."""
        found = np.zeros(self.n, dtype=bool)
        if token is not None:
            found[self.window[slice(*np.searchsorted(self.token, [token, token + 1]))]] = True
        return found


def build_pool(contexts: Contexts, split: int, size: int, rng: np.random.Generator) -> Pool:
    rows = np.sort(rng.permutation(np.flatnonzero((contexts.split == split) & (contexts.n_windows > 0)))[:size])
    row = np.repeat(rows, contexts.n_windows[rows])
    window = np.concatenate([np.arange(n) for n in contexts.n_windows[rows]]) if len(rows) else row
    return Pool(row, window)


def held_in(contexts: Contexts, pool: Pool) -> Held:
    """The tokens of a pool, whose contexts were read."""
    size = contexts.size[pool.row]
    starts = (pool.window * size).tolist()
    windows = zip(pool.row.tolist(), starts, size.tolist(), strict=True)
    token = np.array([t for row, start, n in windows for t in contexts.tokens[row][start : start + n]], dtype=np.int64)
    order = np.argsort(token, kind="stable")
    return Held(token[order], np.repeat(np.arange(len(pool)), size)[order], len(pool))


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


def loudest(firing: Firing, size: NDArray[np.int64]) -> Firing:
    """The windows in which a feature fires, as (row, window, its largest activation there), sorted.

    `size` are the positions in a window of each row.
    """
    row, position, activation = firing
    key = window_key(row, position, size)
    first = np.flatnonzero(np.diff(key, prepend=-1))
    return key[first] // STRIDE, key[first] % STRIDE, np.maximum.reduceat(activation, first)


def intervals(activation: NDArray[np.float32], maximum: float, bins: int) -> NDArray[np.int64]:
    """The linear interval over (0, maximum] that each activation lies in."""
    return np.asarray(np.clip(np.ceil(activation / maximum * bins).astype(np.int64) - 1, 0, bins - 1))


def window_shares(
    pools: Sequence[Pool],
    firing: Firing,
    maximum: float,
    size: NDArray[np.int64],
    bins: int,
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Share of firing windows in each interval, by their largest activation.

    Counted in the pools; a rare feature fires in few of their windows, so the histogram's shares of firings (`prior`)
    stand in for PRIOR_WINDOWS more.
    """
    row, window, largest = loudest(firing, size)
    pooled = np.concatenate([pool.key for pool in pools])
    inside = among(row * STRIDE + window, np.sort(pooled))
    counts = np.bincount(intervals(largest[inside], maximum, bins), minlength=bins)
    return np.asarray((counts + PRIOR_WINDOWS * prior) / (counts.sum() + PRIOR_WINDOWS))


def firing_items(
    contexts: Contexts,
    config: EvidenceConfig,
    split: int,
    firing: Firing,
    maximum: float,
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[Item]:
    """Up to `per_bin` windows for each activation interval, from as many documents as there are.

    A window stands in the interval of its largest activation; its weight is that interval's share of the firing
    windows, divided among those chosen.
    """
    row, window, largest = loudest(firing, contexts.size)
    usable = (contexts.split[row] == split) & (window < contexts.n_windows[row])
    row, window, largest = row[usable], window[usable], largest[usable]
    interval = intervals(largest, maximum, config.bins)
    chosen: list[tuple[int, int, int]] = []
    for b in range(config.bins):
        candidates = rng.permutation(np.flatnonzero(interval == b))
        # One window a document first, then the others, in the order of the permutation.
        first = np.zeros(len(candidates), dtype=bool)
        first[np.unique(contexts.document[row[candidates]], return_index=True)[1]] = True
        best = candidates[np.argsort(~first, kind="stable")][: config.per_bin]
        chosen += [(b, int(row[at]), int(window[at])) for at in best]
    counts = np.bincount([b for b, _, _ in chosen], minlength=config.bins)
    total = float(shares[counts > 0].sum()) or 1.0
    return [
        Item(
            excerpt=contexts.excerpt(r, w, window_activations(firing, r, w, int(contexts.size[r]))),
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
    firing: Firing,
    neighbours: Sequence[Firing],
    holds: NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[Item]:
    """Silent windows of the pool, a third of each kind; what a kind cannot fill goes to the others.

    `holds` [len(pool)] says which windows hold the feature's favourite token. The kinds divide the silent windows
    (same_token before near before random), and a window's weight is its kind's share of them, so that hard cases are
    seen often without counting for more than they are.
    """
    silent = ~fires_in(pool, firing, contexts.size)
    near = np.zeros(len(pool), dtype=bool)
    for other in neighbours:
        near |= fires_in(pool, other, contexts.size)
    kinds = {
        "same_token": silent & holds,
        "near": silent & near & ~holds,
        "random": silent & ~near & ~holds,
    }
    queues = {kind: rng.permutation(np.flatnonzero(flag)).tolist() for kind, flag in kinds.items()}
    chosen: dict[str, list[int]] = {kind: [] for kind in kinds}
    wanted = min(config.negatives, int(silent.sum()))
    while sum(map(len, chosen.values())) < wanted:
        for kind, queue in queues.items():
            if queue and sum(map(len, chosen.values())) < wanted:
                chosen[kind].append(queue.pop())
    total = sum(int(kinds[kind].sum()) for kind in kinds if chosen[kind])
    return [
        Item(
            excerpt=contexts.excerpt(int(pool.row[at]), int(pool.window[at])),
            stratum=kind,
            fires=False,
            weight=float(kinds[kind].sum() / total / len(chosen[kind])),
        )
        for kind in SILENT
        for at in chosen[kind]
    ]


def fires_in(pool: Pool, firing: Firing, size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a feature fires in each window of a pool; `size` are the positions in a window of each row."""
    row, position, _ = firing
    return among(pool.key, window_key(row, position, size))


def window_key(row: NDArray[np.int64], position: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the window that each position lies in, as in `Pool.key`; `size` is that of each row's windows."""
    return np.asarray(row * STRIDE + position // size[row])


def among(wanted: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the wanted numbers stand in an ascending array."""
    if not len(ascending):
        return np.zeros(len(wanted), dtype=bool)
    at = np.searchsorted(ascending, wanted)
    return np.asarray(ascending[np.minimum(at, len(ascending) - 1)] == wanted)


def window_activations(firing: Firing, r: int, w: int, window: int) -> NDArray[np.float32]:
    """Activations [window] of one window."""
    row, position, activation = firing
    dense = np.zeros(window, dtype=np.float32)
    start, stop = np.searchsorted(row, [r, r + 1])
    start, stop = start + np.searchsorted(position[start:stop], [w * window, (w + 1) * window])
    dense[position[start:stop] - w * window] = activation[start:stop]
    return dense


def favourite_token(contexts: Contexts, split: int, firings: Firings, feature: int) -> int | None:
    """The token with the largest summed activation in one split; None where it fires on no word there."""
    row, position, activation = firings.of(feature)
    inside = (contexts.split[row] == split) & contexts.words(row, position)
    if not inside.any():
        return None
    tokens = np.array([contexts.tokens[r][p] for r, p in zip(row[inside], position[inside], strict=True)])
    ids, index = np.unique(tokens, return_inverse=True)
    return int(ids[np.bincount(index, activation[inside]).argmax()])


def token_counts(contexts: Contexts, firings: Firings, feature: int) -> NDArray[np.int64]:
    """How often each distinct token carries a firing of the feature; empty where it fires on patches alone."""
    row, position, _ = firings.of(feature)
    words = contexts.words(row, position)
    row, position = row[words], position[words]
    tokens = np.array([contexts.tokens[r][p] for r, p in zip(row, position, strict=True)], dtype=np.int64)
    return np.unique(tokens, return_counts=True)[1]
