"""A summary of one dictionary's activations that is bounded in memory and can be merged.

Feed it batches in any size, order and number of shards: counts, maxima, histograms and reservoirs come out the same,
because nothing in it depends on arrival. Reservoirs are bottom-k samples whose priorities are hashes of (seed, feature,
context): a shard needs no state of another to agree on who is kept.

    strongest   the contexts with the largest activation
    uniform     a uniform sample of the contexts in which the feature fires
    weighted    a sample by largest activation (exponential ranks), to cover the upper intervals

Each reservoir holds keep + 1 entries: the one beyond the last is the threshold from which inclusion probabilities, and
so weights, are computed (bottom-k sketches: Cohen and Kaplan 2007; exponential ranks: Efraimidis and Spirakis 2006).

Counts are kept for all features, histograms and reservoirs for those that are `tracked`: with 34 M features the former
are 2 GB and the latter would be 55 GB. The arithmetic is plain loops on the CPU, compiled by numba, whatever device the
subject runs on: an encoder hands over some dozens of nonzeros a position.
"""

from typing import Any, Literal

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["strongest", "uniform", "weighted"]
KINDS: tuple[Kind, Kind, Kind] = ("strongest", "uniform", "weighted")
OCTAVES = (-10, 14)  # activations from 2**-10 to 2**14 are told apart; beyond, they count in the outermost bin
BINS_PER_OCTAVE = 4  # equal steps within an octave, so that a bin is read off the bits of a float32
N_BINS = (OCTAVES[1] - OCTAVES[0]) * BINS_PER_OCTAVE
FIRST_BIN = (127 + OCTAVES[0]) * BINS_PER_OCTAVE  # as the exponent and the first two bits of the mantissa number it
EMPTY = -1
WORST = np.iinfo(np.int64).min
ADDED = ("contexts_by_split", "fired", "fired_contexts_by_split", "sum", "sum_sq", "histogram")
STATE = (*ADDED, "max", "tracked", "entries")

Ints = NDArray[np.int64]
Bits = NDArray[np.int32]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def histogram_edges() -> NDArray[np.float64]:
    """Bin edges of the histogram, [N_BINS + 1]: 2**o * (1, 1.25, 1.5, 1.75) for each octave o."""
    octave = np.arange(*OCTAVES)[:, None]
    edges = 2.0**octave * (1 + np.arange(BINS_PER_OCTAVE) / BINS_PER_OCTAVE)
    return np.append(edges.ravel(), 2.0 ** OCTAVES[1])


class Sketch:
    """Per-feature counts, moments, histogram and reservoirs of one dictionary.

    Shapes: `fired` (positions), `sum`, `sum_sq`, `max` are [width]; `fired_contexts_by_split` is [2, width]. Of the
    `tracked` features (default: all), row by row in the order given: `histogram` [n, N_BINS] and the reservoirs.
    Sums are float64; activations are a_i = f_i * |W_dec,i|, in the units of the hook. All of it is 0 for a feature that
    never fired, and its reservoirs are empty.

    `seed` decides which contexts the reservoirs keep, `keep` how many of each kind and split; sketches merge where
    both are the same. A split is 0 (explain) or 1 (score). Everything is on the CPU.
    """

    def __init__(self, width: int, seed: int = 0, keep: int = 16, tracked: Tensor | None = None) -> None:
        self.width, self.seed, self.keep = width, seed, keep
        self.tracked = torch.arange(width) if tracked is None else tracked.long()
        self.n_positions = 0
        self.contexts_by_split = torch.zeros(2, dtype=torch.int64)
        self.fired = torch.zeros(width, dtype=torch.int64)
        self.fired_contexts_by_split = torch.zeros(2, width, dtype=torch.int64)
        self.sum = torch.zeros(width, dtype=torch.float64)
        self.sum_sq = torch.zeros(width, dtype=torch.float64)
        self.max = torch.zeros(width, dtype=torch.float32)
        self.histogram = torch.zeros(len(self.tracked), N_BINS, dtype=torch.int64)
        # (priority, context) of every reservoir, best first: [kinds, splits, n tracked, keep + 1, 2]
        self._hold(torch.tensor([WORST, EMPTY]).repeat(len(KINDS), 2, len(self.tracked), keep + 1, 1))
        self._row = torch.full((width,), -1, dtype=torch.int32)
        self._row[self.tracked] = torch.arange(len(self.tracked), dtype=torch.int32)
        self._documents: list[Ints] = []
        self._loudest = np.zeros(width, dtype=np.int32)  # scratch of `fold`, zero between calls

    @property
    def n_contexts(self) -> int:
        """Contexts seen, of both splits and silent ones among them."""
        return int(self.contexts_by_split.sum())

    @property
    def n_documents(self) -> int:
        """Distinct documents seen."""
        return len(self._distinct_documents())

    @property
    def fired_contexts(self) -> Tensor:
        """In how many contexts each feature fired at all, int64 [width]."""
        return self.fired_contexts_by_split.sum(0)

    def rows(self, features: Tensor) -> Tensor:
        """Where tracked features stand in `histogram` and the reservoirs; -1 for those that are not tracked."""
        return self._row[features].long()

    def seen(self, context: Tensor, n_positions: Tensor, split: Tensor, document: Tensor) -> None:
        """Count contexts, once each, silent ones included. All arguments are 1-D on the CPU and of one length.

        context and document are int64 ids, n_positions the positions that count in each, split 0 or 1. A context that
        is given twice counts twice; a document may come in several calls.
        """
        self.n_positions += int(n_positions.sum())
        self.contexts_by_split += torch.bincount(split.long(), minlength=2)
        self._documents.append(document.numpy().astype(np.int64))
        if len(self._documents) > 4096:
            self._distinct_documents()

    def update(self, context: Tensor, position: Tensor, feature: Tensor, activation: Tensor, split: Tensor) -> None:
        """Fold in one row per nonzero: 1-D tensors of one length, all rows of a context in one call.

        `activation` is positive; `position` is not looked at: a feature has one activation at a position.
        Raises ValueError for a feature that is not in 0 … width - 1 and for an activation that is not positive.
        """
        if not len(feature):
            return
        ids, splits, features = context.numpy(), split.numpy(), feature.numpy()
        activations = activation.numpy().astype(np.float32, copy=False)
        if features.min() < 0 or features.max() >= self.width or not activations.min() > 0:  # NaN is not > 0 either
            raise ValueError(f"features are 0 to {self.width - 1} and activations positive numbers")
        starts = runs(ids)
        if len(np.unique(ids[starts])) < len(starts):  # a context in several runs
            order = np.argsort(ids, kind="stable")
            ids, splits, features, activations = ids[order], splits[order], features[order], activations[order]
            starts = runs(ids)
        activations = np.ascontiguousarray(activations)
        fold(
            np.append(starts, len(ids)),
            ids,
            splits,
            features,
            activations,
            activations.view(np.int32),
            self._row.numpy(),
            np.uint64(self.seed),
            self._loudest,
            self.fired.numpy(),
            self.sum.numpy(),
            self.sum_sq.numpy(),
            self.max.numpy().view(np.int32),
            self.fired_contexts_by_split.numpy(),
            self.histogram.numpy(),
            self.entries.view(-1, self.keep + 1, 2).numpy(),
            self._thresholds,
        )

    def merge(self, other: "Sketch") -> "Sketch":
        """Fold in a sketch of other documents, and return this one. Exact, but for sums (1e-12 relative).

        Associative and commutative. Raises ValueError where width, seed, keep or tracked features differ.
        """
        if (self.width, self.seed, self.keep) != (other.width, other.seed, other.keep):
            raise ValueError(
                f"sketches differ in (width, seed, keep): {(self.width, self.seed, self.keep)} and "
                f"{(other.width, other.seed, other.keep)}; only shards of one run merge"
            )
        if not torch.equal(self.tracked, other.tracked):
            raise ValueError("sketches track different features; only shards of one run merge")
        self.n_positions += other.n_positions
        for name in ADDED:
            getattr(self, name).add_(getattr(other, name))
        self.max = torch.maximum(self.max, other.max)
        self._documents += other._documents
        entries = torch.cat([self.entries, other.entries], 3)
        best = entries[..., 0].argsort(dim=3, descending=True)[..., : self.keep + 1]
        self._hold(entries.gather(3, best[..., None].expand(*best.shape, 2)))
        return self

    def reservoir(self, kind: Kind, split: int) -> tuple[Tensor, Tensor]:
        """Kept contexts [n tracked, keep] (-1 where empty, best first) and their weights, float64, 0 where empty.

        A weight is the number of firing contexts of the split that one kept context stands for: 1 for the strongest,
        count / kept for the uniform, 1 / inclusion probability for the weighted. Where `keep` holds all contexts that
        fired, every kind has them all with weight 1. Raises ValueError for another kind.
        """
        index = KINDS.index(kind)
        priority, context = self.entries[index, split].numpy().transpose(2, 0, 1)
        present = context[:, : self.keep] != EMPTY
        weight = present.astype(np.float64)
        if kind == "uniform":
            count = self.fired_contexts_by_split[split, self.tracked].numpy()
            weight *= (count / np.maximum(present.sum(1), 1))[:, None]
        elif kind == "weighted":
            # An entry of size w is kept when its exponential rank, Exp(1) / w, is below that of entry keep + 1.
            full = context[:, self.keep] != EMPTY
            exponential = -np.log(uniform(self.seed, self.tracked.numpy()[:, None], context[:, : self.keep], salt=1))
            rank = (-priority).view(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                size = exponential / rank[:, : self.keep]
                weight = np.where(present & full[:, None], 1 / -np.expm1(-size * rank[:, self.keep :]), weight)
        return torch.from_numpy(context[:, : self.keep].copy()), torch.from_numpy(weight)

    def state(self) -> dict[str, Tensor]:
        """Everything, as tensors for a safetensors file; `from_state` reads it back."""
        header = torch.tensor([self.width, self.seed, self.keep, self.n_positions], dtype=torch.int64)
        documents = torch.from_numpy(self._distinct_documents())
        return {"header": header, "documents": documents, **{name: getattr(self, name) for name in STATE}}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Sketch":
        """The sketch that `state` was taken from; it goes on from there, and shares memory with the tensors."""
        width, seed, keep, n_positions = (int(value) for value in state["header"])
        sketch = cls(width, seed, keep, state["tracked"])
        sketch.n_positions, sketch._documents = n_positions, [state["documents"].numpy()]
        for name in STATE:
            setattr(sketch, name, state[name])
        sketch._hold(sketch.entries)
        return sketch

    def _hold(self, entries: Tensor) -> None:
        self.entries, self._thresholds = entries, thresholds(entries)

    def _distinct_documents(self) -> Ints:
        if len(self._documents) > 1:
            self._documents = [np.unique(np.concatenate(self._documents))]
        return np.unique(self._documents[0]) if self._documents else np.empty(0, dtype=np.int64)


def thresholds(entries: Tensor) -> Ints:
    """The priority of the last entry of each reservoir, which a new one has to beat: [splits * n tracked, kinds].

    A copy that `fold` keeps true. Most of what is offered gets in nowhere and finds that out here, in one place for
    all kinds, without a look at the reservoirs, which are 2 (keep + 1) times as large.
    """
    return np.ascontiguousarray(entries[..., -1, 0].flatten(1).T.numpy())


def runs(context: Ints) -> Ints:
    """Where each run of one context begins."""
    return np.flatnonzero(np.append(True, context[1:] != context[:-1]))


@njit(cache=True)
def splitmix(h: Any) -> Any:
    """The finaliser of splitmix64, on a uint64 or an array of them."""
    h = h + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def unit(h: Any) -> Any:
    """Hashes as uniforms in (0, 1)."""
    return ((h >> np.uint64(11)) + 0.5) * 2.0**-53


def mix(seed: int, feature: Any, context: Any, salt: int = 0) -> NDArray[np.uint64]:
    """A 64-bit hash of (seed, feature, context); `salt` gives independent families."""
    first = np.uint64((seed * 2 + salt) & 0xFFFFFFFFFFFFFFFF)
    h = splitmix(first ^ np.asarray(feature).astype(np.uint64))
    return np.asarray(splitmix(h ^ np.asarray(context).astype(np.uint64)))


def uniform(seed: int, feature: Any, context: Any, salt: int = 0) -> NDArray[np.float64]:
    return np.asarray(unit(mix(seed, feature, context, salt)))


@njit(cache=True)
def insert(entries: Ints, row: Any, priority: Any, context: Any) -> Any:
    """Put (priority, context) in its place in reservoir `row` of [n, keep + 1, 2], in which the last one leaves it.

    Returns the priority of the one that is last from now on.
    """
    at = entries.shape[1] - 1
    while at > 0 and entries[row, at - 1, 0] < priority:
        entries[row, at, 0], entries[row, at, 1] = entries[row, at - 1, 0], entries[row, at - 1, 1]
        at -= 1
    entries[row, at, 0], entries[row, at, 1] = priority, context
    return entries[row, -1, 0]


@njit(cache=True)
def fold(
    starts: Ints, ids: Ints, splits: NDArray[np.int8], feature: Ints, activation: Floats, bits: Bits, row: Bits,
    seed: Any, loudest: Bits, fired: Ints, total: Doubles, squares: Doubles, largest: Bits,
    fired_contexts: Ints, histogram: Ints, entries: Ints, threshold: Ints,
) -> None:  # fmt: skip
    """The rows of some contexts, `starts[i] : starts[i + 1]` being those of one, into the arrays of a sketch.

    The bits of a positive float32 sort like it, so maxima (`loudest` in this context, `largest` of all) are kept as
    bits; those of the loudest also lead the priority of the strongest, where the hash decides between equals.
    """
    n = histogram.shape[0]
    most = np.diff(starts).max()
    touched, place, better = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most + 1, np.int64)
    offered = np.empty((3, most), np.int64)
    even, odd = seed * np.uint64(2), seed * np.uint64(2) + np.uint64(1)
    for at in range(len(starts) - 1):
        context, split, n_touched = ids[starts[at]], np.int64(splits[starts[at]]), 0
        for i in range(starts[at], starts[at + 1]):
            f, a, b = feature[i], np.float64(activation[i]), bits[i]
            fired[f] += 1
            total[f] += a
            squares[f] += a * a
            r = row[f]
            if r >= 0:
                histogram[r, min(max((b >> 21) - FIRST_BIN, 0), N_BINS - 1)] += 1
            if loudest[f] == 0:
                touched[n_touched] = f
                n_touched += 1
            loudest[f] = max(loudest[f], b)
        # First what is offered to the reservoirs, then who gets in, kind by kind: the reads of the thresholds do not
        # wait for one another, nor for a guess of how they end.
        n_offered = 0
        for i in range(n_touched):
            f = touched[i]
            b, r = loudest[f], row[f]
            loudest[f] = 0
            fired_contexts[split, f] += 1
            largest[f] = max(largest[f], b)
            if r >= 0:
                hashed = splitmix(splitmix(even ^ np.uint64(f)) ^ np.uint64(context))
                u = unit(splitmix(splitmix(odd ^ np.uint64(f)) ^ np.uint64(context)))
                rank = -np.log(u) / np.float64(np.int32(b).view(np.float32))
                place[n_offered] = split * n + r
                offered[0, n_offered] = np.int64(b) << 32 | np.int64(hashed >> np.uint64(33))
                offered[1, n_offered] = np.int64(hashed >> np.uint64(1))
                offered[2, n_offered] = -np.float64(rank).view(np.int64)
                n_offered += 1
        for kind in range(len(offered)):
            n_better = 0
            for i in range(n_offered):
                better[n_better] = i
                n_better += offered[kind, i] > threshold[place[i], kind]
            for i in better[:n_better]:
                threshold[place[i], kind] = insert(entries, place[i] + 2 * kind * n, offered[kind, i], context)
