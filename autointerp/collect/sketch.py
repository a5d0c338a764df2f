"""A summary of one dictionary's activations that is bounded in memory and can be merged.

Feed it batches in any size, order and number of shards: counts, maxima, histograms and reservoirs come out the same,
because nothing in it depends on arrival. Reservoirs are bottom-k samples whose priorities are hashes of (seed, feature,
context): a shard needs no state of another to agree on who is kept.

    strongest   the contexts with the largest activation
    uniform     a uniform sample of the contexts in which the feature fires
    weighted    a sample by largest activation (exponential ranks), to cover the upper intervals

Each reservoir holds keep + 1 entries: the one beyond the last is the threshold from which inclusion probabilities, and
so weights, are computed (bottom-k sketches: Cohen and Kaplan 2007; exponential ranks: Efraimidis and Spirakis 2006).

The arithmetic is numpy's on the CPU, whatever device the subject runs on: its sorts are several times torch's here.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["strongest", "uniform", "weighted"]
KINDS: tuple[Kind, Kind, Kind] = ("strongest", "uniform", "weighted")
OCTAVES = (-10, 14)  # activations from 2**-10 to 2**14 are told apart; beyond, they count in the outermost bin
BINS_PER_OCTAVE = 4  # equal steps within an octave, so that a bin is read off the bits of a float32
N_BINS = (OCTAVES[1] - OCTAVES[0]) * BINS_PER_OCTAVE
PAIRS = 2**32  # (context, feature) pairs of one update are numbered in 32 bits
EMPTY = -1
WORST = np.iinfo(np.int64).min
ADDED = ("contexts_by_split", "fired", "fired_contexts_by_split", "sum", "sum_sq", "histogram")
STATE = (*ADDED, "max", "kept", "priority")

Ints = NDArray[np.int64]


def histogram_edges() -> NDArray[np.float64]:
    """Bin edges of the histogram, [N_BINS + 1]: 2**o * (1, 1.25, 1.5, 1.75) for each octave o."""
    octave = np.arange(*OCTAVES)[:, None]
    edges = 2.0**octave * (1 + np.arange(BINS_PER_OCTAVE) / BINS_PER_OCTAVE)
    return np.append(edges.ravel(), 2.0 ** OCTAVES[1])


class Sketch:
    """Per-feature counts, moments, histogram and reservoirs of one dictionary.

    Shapes: `fired` (positions), `sum`, `sum_sq`, `max` are [width]; `fired_contexts_by_split` is [2, width];
    `histogram` is [width, N_BINS]. Sums are float64; activations are a_i = f_i * |W_dec,i|, in the units of the hook.
    """

    def __init__(self, width: int, seed: int = 0, keep: int = 16) -> None:
        self.width, self.seed, self.keep = width, seed, keep
        self.n_positions = 0
        self.contexts_by_split = torch.zeros(2, dtype=torch.int64)
        self.fired = torch.zeros(width, dtype=torch.int64)
        self.fired_contexts_by_split = torch.zeros(2, width, dtype=torch.int64)
        self.sum = torch.zeros(width, dtype=torch.float64)
        self.sum_sq = torch.zeros(width, dtype=torch.float64)
        self.max = torch.zeros(width, dtype=torch.float32)
        self.histogram = torch.zeros(width, N_BINS, dtype=torch.int64)
        slots = (len(KINDS), 2, width, keep + 1)
        self.kept = torch.full(slots, EMPTY, dtype=torch.int64)
        self.priority = torch.full(slots, WORST, dtype=torch.int64)
        self._documents: list[Ints] = []
        # Candidates wait here and are merged into the reservoirs in bulk; as many at most as the reservoirs hold.
        self._waiting: list[list[tuple[Ints, Ints, Ints]]] = [[] for _ in KINDS]
        self._n_waiting = 0

    @property
    def n_contexts(self) -> int:
        return int(self.contexts_by_split.sum())

    @property
    def n_documents(self) -> int:
        return len(self._distinct_documents())

    @property
    def fired_contexts(self) -> Tensor:
        return self.fired_contexts_by_split.sum(0)

    def seen(self, context: Tensor, n_positions: Tensor, split: Tensor, document: Tensor) -> None:
        """Count contexts, once each, silent ones included. All arguments are 1-D and of one length."""
        self.n_positions += int(n_positions.sum())
        self.contexts_by_split += torch.bincount(split.long(), minlength=2)
        self._documents.append(document.numpy().astype(np.int64))
        if len(self._documents) > 4096:
            self._distinct_documents()

    def update(self, context: Tensor, position: Tensor, feature: Tensor, activation: Tensor, split: Tensor) -> None:
        """Fold in one row per nonzero: 1-D tensors of one length, all rows of a context in one call.

        `activation` is positive; `position` is not looked at: a feature has one activation at a position.
        """
        if not len(feature):
            return
        contexts_at_once = PAIRS // self.width
        ids, local = first_appearance(context.numpy())
        if len(ids) > contexts_at_once:
            for part in np.split(ids, range(contexts_at_once, len(ids), contexts_at_once)):
                inside = (context >= int(part[0])) & (context <= int(part[-1]))
                self.update(context[inside], position[inside], feature[inside], activation[inside], split[inside])
            return
        f: Ints = feature.numpy()
        a: NDArray[np.float32] = np.ascontiguousarray(activation.numpy(), dtype=np.float32)
        wide = a.astype(np.float64)
        bits = a.view(np.int32)
        self.fired.numpy()[:] += np.bincount(f, minlength=self.width)
        self.sum.numpy()[:] += np.bincount(f, wide, self.width)
        self.sum_sq.numpy()[:] += np.bincount(f, wide * wide, self.width)
        # The exponent and the first two bits of the mantissa number the bins.
        bins = np.clip((bits >> 21) - ((127 + OCTAVES[0]) << 2), 0, N_BINS - 1)
        np.add.at(self.histogram.numpy().reshape(-1), f * N_BINS + bins, 1)

        split_of = np.empty(len(ids), dtype=np.int64)
        split_of[local] = split.numpy()
        # The bits of a positive float sort like it: the last of a run of equal (context, feature) is the largest.
        packed = np.sort(((local * self.width + f).astype(np.uint64) << np.uint64(32)) | bits.astype(np.uint64))
        pair = packed >> np.uint64(32)
        last = np.append(pair[1:] != pair[:-1], True)
        pair, largest = pair[last].astype(np.int64), (packed[last] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        owner, f = np.divmod(pair, self.width)
        np.maximum.at(self.max.numpy(), f, largest.astype(np.int32).view(np.float32))
        row = split_of[owner] * self.width + f
        np.add.at(self.fired_contexts_by_split.numpy().reshape(-1), row, 1)
        self._offer(row, ids[owner], f, largest)

    def merge(self, other: "Sketch") -> "Sketch":
        """Fold in a sketch of other documents, and return this one. Exact, but for sums (1e-12 relative)."""
        if (self.width, self.seed, self.keep) != (other.width, other.seed, other.keep):
            raise ValueError(
                f"sketches differ in (width, seed, keep): {(self.width, self.seed, self.keep)} and "
                f"{(other.width, other.seed, other.keep)}; only shards of one run merge"
            )
        self._settle()
        other._settle()
        self.n_positions += other.n_positions
        for name in ADDED:
            getattr(self, name).add_(getattr(other, name))
        self.max = torch.maximum(self.max, other.max)
        self._documents += other._documents
        order = torch.cat([self.priority, other.priority], 3).argsort(dim=3, descending=True)[..., : self.keep + 1]
        self.kept = torch.cat([self.kept, other.kept], 3).gather(3, order)
        self.priority = torch.cat([self.priority, other.priority], 3).gather(3, order)
        return self

    def reservoir(self, kind: Kind, split: int) -> tuple[Tensor, Tensor]:
        """Kept contexts [width, keep] (-1 where empty, best first) and their weights, float64, 0 where empty.

        A weight is the number of firing contexts of the split that one kept context stands for: 1 for the strongest,
        count / kept for the uniform, 1 / inclusion probability for the weighted.
        """
        self._settle()
        index = KINDS.index(kind)
        context, priority = self.kept[index, split].numpy(), self.priority[index, split].numpy()
        present = context[:, : self.keep] != EMPTY
        weight = present.astype(np.float64)
        if kind == "uniform":
            count = self.fired_contexts_by_split[split].numpy()
            weight *= (count / np.maximum(present.sum(1), 1))[:, None]
        elif kind == "weighted":
            # An entry of size w is kept when its exponential rank, Exp(1) / w, is below that of entry keep + 1.
            full = context[:, self.keep] != EMPTY
            feature = np.broadcast_to(np.arange(self.width)[:, None], present.shape)
            exponential = -np.log(uniform(self.seed, feature, context[:, : self.keep], salt=1))
            rank = (-priority).view(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                size = exponential / rank[:, : self.keep]
                weight = np.where(present & full[:, None], 1 / -np.expm1(-size * rank[:, self.keep :]), weight)
        return torch.from_numpy(context[:, : self.keep].copy()), torch.from_numpy(weight)

    def _offer(self, row: Ints, context: Ints, feature: Ints, largest: Ints) -> None:
        """Offer one entry per (context, feature): `row` is its reservoir, `largest` the bits of its activation."""
        hashed = mix(self.seed, feature, context)
        rank = -np.log(unit(mix(self.seed, feature, context, salt=1))) / largest.astype(np.int32).view(np.float32)
        priorities = (
            (largest << 32) | (hashed >> np.uint64(33)).astype(np.int64),  # equal activations: the hash decides
            (hashed >> np.uint64(1)).astype(np.int64),
            -rank.view(np.int64),
        )
        for index, priority in enumerate(priorities):
            # Most entries fall short of the last of a full reservoir, and cost no more than this comparison.
            able = priority > self.priority[index].numpy().reshape(-1, self.keep + 1)[row, -1]
            self._waiting[index].append((row[able], context[able], priority[able]))
            self._n_waiting += int(able.sum())
        if self._n_waiting > self.kept.numel():
            self._settle()

    def _settle(self) -> None:
        """Merge what waits into the reservoirs."""
        if not self._n_waiting:
            return
        for index, waiting in enumerate(self._waiting):
            row, context, priority = (np.concatenate(column) for column in zip(*waiting, strict=True))
            k = self.keep + 1
            kept = self.kept[index].numpy().reshape(-1, k)
            best = self.priority[index].numpy().reshape(-1, k)
            touched = np.flatnonzero(np.bincount(row, minlength=len(kept)))
            row = np.concatenate([np.repeat(touched, k), row])
            context = np.concatenate([kept[touched].ravel(), context])
            priority = np.concatenate([best[touched].ravel(), priority])
            # Sort by (row, best first): two plain sorts, the second stable because the rank is in its key.
            order = np.argsort(priority)[::-1]
            order = order[np.sort((row[order] << 32) | np.arange(len(row))) & 0xFFFFFFFF]
            first = np.searchsorted(row[order], touched)
            take = order[first[:, None] + np.arange(k)]  # a touched row brought k entries of its own
            kept[touched], best[touched] = context[take], priority[take]
        self._waiting = [[] for _ in KINDS]
        self._n_waiting = 0

    def _distinct_documents(self) -> Ints:
        if len(self._documents) > 1:
            self._documents = [np.unique(np.concatenate(self._documents))]
        return np.unique(self._documents[0]) if self._documents else np.empty(0, dtype=np.int64)

    def state(self) -> dict[str, Tensor]:
        """Everything, as tensors for a safetensors file; `from_state` reads it back."""
        self._settle()
        header = torch.tensor([self.width, self.seed, self.keep, self.n_positions], dtype=torch.int64)
        documents = torch.from_numpy(self._distinct_documents())
        return {"header": header, "documents": documents, **{name: getattr(self, name) for name in STATE}}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Sketch":
        width, seed, keep, n_positions = (int(value) for value in state["header"])
        sketch = cls(width, seed, keep)
        sketch.n_positions, sketch._documents = n_positions, [state["documents"].numpy()]
        for name in STATE:
            setattr(sketch, name, state[name])
        return sketch


def first_appearance(context: Ints) -> tuple[Ints, Ints]:
    """Distinct contexts and, for each row, which of them it belongs to. Rows usually come in runs of one context."""
    starts = np.append(True, context[1:] != context[:-1])
    runs = context[starts]
    ids, of_run = np.unique(runs, return_inverse=True)
    return ids, of_run[np.cumsum(starts) - 1].astype(np.int64)


def mix(seed: int, feature: Any, context: Any, salt: int = 0) -> NDArray[np.uint64]:
    """A 64-bit hash of (seed, feature, context) by splitmix64; `salt` gives independent families."""
    h: Any = np.uint64((seed * 2 + salt) & 0xFFFFFFFFFFFFFFFF)
    for part in (feature, context):
        h = (h ^ np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return np.asarray(h)


def unit(h: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Hashes as uniforms in (0, 1)."""
    return ((h >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def uniform(seed: int, feature: Any, context: Any, salt: int = 0) -> NDArray[np.float64]:
    return unit(mix(seed, feature, context, salt))
