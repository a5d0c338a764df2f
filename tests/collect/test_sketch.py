"""The sketch against a slow obvious one, for any batching, order and sharding; and what its samples promise."""

import bisect
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from math import expm1, log
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from autointerp.collect.sketch import KINDS, N_BINS, Kind, Sketch, histogram_edges, mix, uniform

EDGES = histogram_edges().tolist()
patient = settings(deadline=None, max_examples=60)  # the machine may be busy


@dataclass(frozen=True)
class Seen:
    """One context as it is fed to a sketch: its nonzeros are (position, feature, activation)."""

    id: int
    document: int
    split: int
    n_positions: int
    nonzeros: tuple[tuple[int, int, float], ...]


def float32(value: float) -> float:
    return float(np.float32(value))


# Few distinct values, so that ties are common, among them bin edges and values beyond the histogram.
ACTIVATIONS = st.sampled_from([float32(a) for a in (1e-6, 2**-10, 0.1, 0.25, 0.3, 1.0, 1.25, 3.0, 16384.0, 1e6)])


@st.composite
def corpora(draw: st.DrawFn) -> tuple[int, list[Seen]]:
    """(width, contexts): up to ten contexts with ids from the whole range, in documents of one split each."""
    width = draw(st.integers(1, 4))
    ids = draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=10, unique=True))
    contexts = []
    for identifier in ids:
        document = draw(st.integers(0, 4))
        n_positions = draw(st.integers(1, 4))
        places = st.tuples(st.integers(0, n_positions - 1), st.integers(0, width - 1))
        nonzeros = draw(st.dictionaries(places, ACTIVATIONS, max_size=8))
        rows = tuple((position, feature, a) for (position, feature), a in nonzeros.items())
        contexts.append(Seen(identifier, document, document % 2, n_positions, rows))
    return width, contexts


class SlowSketch:
    """What a sketch means, with dictionaries and sorting."""

    def __init__(self, width: int, seed: int, keep: int, contexts: list[Seen]) -> None:
        self.width, self.seed, self.keep, self.contexts = width, seed, keep, contexts
        self.values: dict[int, list[float]] = defaultdict(list)
        self.largest: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)  # (split, feature) -> context -> a
        for context in contexts:
            for _, feature, a in context.nonzeros:
                self.values[feature].append(a)
                mine = self.largest[context.split, feature]
                mine[context.id] = max(mine.get(context.id, 0.0), a)

    def histogram(self, feature: int) -> list[int]:
        counts = [0] * N_BINS
        for a in self.values[feature]:
            counts[min(max(bisect.bisect_right(EDGES, a) - 1, 0), N_BINS - 1)] += 1
        return counts

    def hash(self, feature: int, context: int) -> int:
        return int(mix(self.seed, np.array([feature]), np.array([context]))[0])

    def rank(self, feature: int, context: int, a: float) -> float:
        return -log(float(uniform(self.seed, np.array([feature]), np.array([context]), salt=1)[0])) / a

    def reservoir(self, kind: Kind, split: int, feature: int) -> tuple[list[int], list[float]]:
        """(contexts, weights), best first."""
        firing = self.largest[split, feature]
        if kind == "strongest":
            order = sorted(firing, key=lambda c: (firing[c], self.hash(feature, c)), reverse=True)
            return order[: self.keep], [1.0] * min(len(order), self.keep)
        if kind == "uniform":
            order = sorted(firing, key=lambda c: self.hash(feature, c), reverse=True)[: self.keep]
            return order, [len(firing) / max(len(order), 1)] * len(order)
        rank = {c: self.rank(feature, c, a) for c, a in firing.items()}
        order = sorted(firing, key=rank.__getitem__)
        if len(order) <= self.keep:
            return order, [1.0] * len(order)
        threshold = rank[order[self.keep]]
        return order[: self.keep], [-1 / expm1(-firing[c] * threshold) for c in order[: self.keep]]


def feed(sketch: Sketch, contexts: list[Seen], batch: int = 100, rng: Random | None = None) -> Sketch:
    """Feed contexts in batches; with `rng`, the rows of a batch come in any order."""
    for start in range(0, len(contexts), batch):
        part = contexts[start : start + batch]
        rows = [(c.id, position, feature, a, c.split) for c in part for position, feature, a in c.nonzeros]
        if rng is not None:
            rng.shuffle(rows)
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
        sketch.seen(
            torch.tensor([c.id for c in part]),
            torch.tensor([c.n_positions for c in part]),
            torch.tensor([c.split for c in part], dtype=torch.int8),
            torch.tensor([c.document for c in part]),
        )
        sketch.update(
            torch.tensor(columns[0], dtype=torch.int64),
            torch.tensor(columns[1], dtype=torch.int64),
            torch.tensor(columns[2], dtype=torch.int64),
            torch.tensor(columns[3], dtype=torch.float32),
            torch.tensor(columns[4], dtype=torch.int8),
        )
    return sketch


def assert_same(left: Sketch, right: Sketch) -> None:
    """Everything exactly, but for sums."""
    a, b = left.state(), right.state()
    assert a.keys() == b.keys()
    for name in a:
        if name in ("sum", "sum_sq"):
            torch.testing.assert_close(a[name], b[name], rtol=1e-12, atol=0)
        else:
            assert torch.equal(a[name], b[name]), name


def simulated(rng: np.random.Generator, n_contexts: int, n_documents: int = 20, width: int = 6) -> list[Seen]:
    """Contexts of eight positions in which each feature fires with probability 0.3, lognormal."""
    contexts = []
    for identifier in rng.choice(2**62, n_contexts, replace=False).tolist():
        position, feature = (rng.random((8, width)) < 0.3).nonzero()
        a = np.exp(rng.normal(size=len(feature))).astype(np.float32)
        nonzeros = tuple(zip(position.tolist(), feature.tolist(), a.tolist(), strict=True))
        document = int(rng.integers(n_documents))
        contexts.append(Seen(identifier, document, document % 2, 8, nonzeros))
    return contexts


# ---- against the slow one


@patient
@given(corpora(), st.integers(1, 4), st.integers(0, 5), st.integers(1, 10), st.randoms(use_true_random=False))
def test_counts_moments_and_histograms_are_those_of_a_slow_count(
    corpus: tuple[int, list[Seen]], keep: int, seed: int, batch: int, rng: Random
) -> None:
    width, contexts = corpus
    slow, fast = SlowSketch(width, seed, keep, contexts), feed(Sketch(width, seed, keep), contexts, batch, rng)
    assert fast.n_positions == sum(c.n_positions for c in contexts)
    assert fast.n_contexts == len(contexts)
    assert fast.n_documents == len({c.document for c in contexts})
    for f in range(width):
        values = slow.values[f]
        assert int(fast.fired[f]) == len(values)
        assert [int(n) for n in fast.fired_contexts_by_split[:, f]] == [len(slow.largest[s, f]) for s in (0, 1)]
        assert int(fast.fired_contexts[f]) == len(slow.largest[0, f]) + len(slow.largest[1, f])
        assert float(fast.max[f]) == max(values, default=0.0)
        assert fast.histogram[f].tolist() == slow.histogram(f)
        assert float(fast.sum[f]) == pytest.approx(sum(values), rel=1e-12)
        assert float(fast.sum_sq[f]) == pytest.approx(sum(a * a for a in values), rel=1e-12)


@patient
@given(corpora(), st.integers(1, 4), st.integers(0, 5), st.integers(1, 10), st.randoms(use_true_random=False))
def test_reservoirs_are_those_of_sorting_everything(
    corpus: tuple[int, list[Seen]], keep: int, seed: int, batch: int, rng: Random
) -> None:
    width, contexts = corpus
    slow, fast = SlowSketch(width, seed, keep, contexts), feed(Sketch(width, seed, keep), contexts, batch, rng)
    for kind in KINDS:
        for split in (0, 1):
            kept, weight = fast.reservoir(kind, split)
            assert kept.shape == weight.shape == (width, keep)
            for f in range(width):
                expected, weights = slow.reservoir(kind, split, f)
                padding = keep - len(expected)
                assert kept[f].tolist() == expected + [-1] * padding
                assert weight[f].tolist() == pytest.approx(weights + [0.0] * padding, rel=1e-9)


@patient
@given(corpora(), st.integers(1, 3), st.integers(1, 10), st.integers(1, 4), st.randoms(use_true_random=False))
def test_batching_order_and_sharding_change_nothing(
    corpus: tuple[int, list[Seen]], keep: int, batch: int, shards: int, rng: Random
) -> None:
    width, contexts = corpus
    whole = feed(Sketch(width, 3, keep), contexts)
    shuffled = rng.sample(contexts, len(contexts))
    parts = [
        feed(Sketch(width, 3, keep), [c for c in shuffled if c.document % shards == i], batch) for i in range(shards)
    ]
    rng.shuffle(parts)
    while len(parts) > 1:  # a tree of merges in any order
        parts.append(parts.pop(0).merge(parts.pop(0)))
        rng.shuffle(parts)
    assert_same(parts[0], whole)


# ---- merge


@patient
@given(corpora(), st.integers(1, 3))
def test_merge_is_commutative_and_associative(corpus: tuple[int, list[Seen]], keep: int) -> None:
    width, contexts = corpus

    def shard(i: int) -> Sketch:
        return feed(Sketch(width, 0, keep), [c for c in contexts if c.document % 3 == i])

    assert_same(shard(0).merge(shard(1)), shard(1).merge(shard(0)))
    assert_same(shard(0).merge(shard(1)).merge(shard(2)), shard(0).merge(shard(1).merge(shard(2))))


def test_an_empty_sketch_is_neutral_in_a_merge() -> None:
    contexts = simulated(np.random.default_rng(0), 30)
    assert_same(Sketch(6, 0, 4).merge(feed(Sketch(6, 0, 4), contexts)), feed(Sketch(6, 0, 4), contexts))


def test_a_merged_sketch_goes_on_as_if_it_had_been_one_all_along() -> None:
    first, second, third = (simulated(np.random.default_rng(seed), 30) for seed in (1, 2, 3))
    merged = feed(Sketch(6, 0, 4), first).merge(feed(Sketch(6, 0, 4), second))
    assert_same(feed(merged, third), feed(Sketch(6, 0, 4), first + second + third))


@pytest.mark.parametrize("other", [Sketch(5, 0, 4), Sketch(6, 1, 4), Sketch(6, 0, 5)], ids=["width", "seed", "keep"])
def test_sketches_of_different_runs_do_not_merge(other: Sketch) -> None:
    with pytest.raises(ValueError, match=r"\(6, 0, 4\)"):
        Sketch(6, 0, 4).merge(other)


def test_a_document_in_several_batches_and_shards_counts_once() -> None:
    contexts = [Seen(i, i % 5, 0, 1, ()) for i in range(20)]
    left, right = feed(Sketch(1), contexts[:10], batch=3), feed(Sketch(1), contexts[10:], batch=1)
    assert (left.n_documents, right.n_documents) == (5, 5)
    assert left.merge(right).n_documents == 5


# ---- histogram


@patient
@given(
    st.one_of(
        st.floats(2.0**-10, 2.0**14, width=32, exclude_max=True),
        st.sampled_from(EDGES[:-1]),
        st.sampled_from([float(np.nextafter(np.float32(edge), np.float32(0))) for edge in EDGES[1:]]),
        st.integers(-10, 13).map(lambda power: 2.0**power),
    )
)
def test_a_value_lies_between_the_edges_of_its_bin(value: float) -> None:
    (bin_,) = feed(Sketch(1), [Seen(7, 0, 0, 1, ((0, 0, value),))]).histogram[0].nonzero().ravel().tolist()
    assert EDGES[bin_] <= value < EDGES[bin_ + 1]


@patient
@given(st.one_of(st.floats(2.0**-140, 2.0**-10, width=32, exclude_max=True), st.floats(2.0**14, 2.0**127, width=32)))
@example(float(np.finfo(np.float32).smallest_subnormal))
@example(float(np.finfo(np.float32).max))
def test_a_value_beyond_the_histogram_counts_in_the_outermost_bin(value: float) -> None:
    histogram = feed(Sketch(1), [Seen(7, 0, 0, 1, ((0, 0, value),))]).histogram[0]
    assert int(histogram.sum()) == 1
    assert int(histogram[0 if value < 1 else -1]) == 1


def test_edges_rise_by_at_most_a_quarter() -> None:
    assert len(EDGES) == N_BINS + 1
    assert all(low < high <= 1.25 * low for low, high in pairwise(EDGES))


# ---- reservoirs


def test_the_strongest_really_are_the_strongest() -> None:
    contexts = simulated(np.random.default_rng(1), 200)
    kept, weight = feed(Sketch(6, keep=5), contexts, batch=17).reservoir("strongest", 1)
    for f in range(6):
        peaks = {c.id: max((a for _, g, a in c.nonzeros if g == f), default=0.0) for c in contexts if c.split == 1}
        assert [peaks[c] for c in kept[f].tolist()] == sorted(peaks.values(), reverse=True)[:5]
    assert bool((weight == 1).all())


def test_ties_are_settled_the_same_in_any_order() -> None:
    contexts = [Seen(i, 0, 0, 1, ((0, 0, 1.5),)) for i in range(100)]
    rng = Random(0)
    first, _ = feed(Sketch(1, keep=8), contexts).reservoir("strongest", 0)
    for batch in (1, 7, 100):
        again, _ = feed(Sketch(1, keep=8), rng.sample(contexts, 100), batch).reservoir("strongest", 0)
        assert torch.equal(again, first)
    other_seed, _ = feed(Sketch(1, seed=1, keep=8), contexts).reservoir("strongest", 0)
    assert set(other_seed[0].tolist()) != set(first[0].tolist())  # by the hash, not by the id


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_kept_who_does_not_fire_in_that_split(kind: Kind) -> None:
    contexts = simulated(np.random.default_rng(2), 60)
    sketch = feed(Sketch(6, keep=7), contexts)
    for split in (0, 1):
        for f in range(6):
            firing = {c.id for c in contexts if c.split == split and any(g == f for _, g, _ in c.nonzeros)}
            kept = [c for c in sketch.reservoir(kind, split)[0][f].tolist() if c >= 0]
            assert len(kept) == len(set(kept)) == min(7, len(firing))
            assert set(kept) <= firing


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_that_fires_in_few_contexts_keeps_them_all_with_weight_one(kind: Kind) -> None:
    contexts = [Seen(10 + i, 0, 0, 1, ((0, 0, 0.5 + i),)) for i in range(4)]
    kept, weight = feed(Sketch(1, keep=4), contexts).reservoir(kind, 0)
    assert sorted(kept[0].tolist()) == [10, 11, 12, 13]
    assert weight[0].tolist() == [1.0] * 4


def test_uniform_weights_add_to_the_number_of_firing_contexts() -> None:
    sketch = feed(Sketch(6, keep=5), simulated(np.random.default_rng(3), 100))
    for split in (0, 1):
        total = sketch.reservoir("uniform", split)[1].sum(1)
        torch.testing.assert_close(total, sketch.fired_contexts_by_split[split].double())


def test_the_uniform_reservoir_keeps_every_firing_context_equally_often() -> None:
    contexts = [Seen(1000 + i, 0, 0, 1, ((0, 0, 1.0 + i),)) for i in range(20)]
    kept = np.concatenate(
        [feed(Sketch(1, seed, 5), contexts).reservoir("uniform", 0)[0][0].numpy() for seed in range(400)]
    )
    counts = np.bincount(kept - 1000, minlength=20)  # binomial: 400 draws of 5 of 20
    assert np.abs(counts - 100).max() < 4.5 * (400 * 0.25 * 0.75) ** 0.5


def test_the_weighted_reservoir_estimates_counts_without_bias_and_prefers_the_strong() -> None:
    sizes = np.exp(np.random.default_rng(4).normal(size=60) * 1.5)
    contexts = [Seen(i, 0, 0, 1, ((0, 0, float32(a)),)) for i, a in enumerate(sizes)]
    strong = sizes > np.median(sizes)
    estimates, shares = [], []
    for seed in range(300):
        kept, weight = (column[0].numpy() for column in feed(Sketch(1, seed, 8), contexts).reservoir("weighted", 0))
        estimates.append([weight.sum(), weight[strong[kept]].sum()])
        shares.append(strong[kept].mean())
    error = np.std(estimates, axis=0, ddof=1) / len(estimates) ** 0.5
    assert (np.abs(np.mean(estimates, axis=0) - [60, 30]) < 4 * error).all()
    assert np.mean(shares) > 0.75


# ---- memory, files, limits


def test_memory_does_not_grow_with_the_number_of_tokens() -> None:
    rng = np.random.default_rng(5)  # twenty documents throughout: a sketch keeps the set of those

    def size(sketch: Sketch) -> int:
        return sum(tensor.numel() for tensor in sketch.state().values())

    few, many = Sketch(6, keep=4), Sketch(6, keep=4)
    feed(few, simulated(rng, 200), batch=10)
    for _ in range(8):
        for batch in np.array_split(np.arange(200), 20):
            feed(many, simulated(rng, len(batch)))
    assert many.n_positions == 8 * few.n_positions
    assert size(many) == size(few)


def test_features_that_are_not_tracked_are_counted_all_the_same() -> None:
    contexts, tracked = simulated(np.random.default_rng(6), 50), torch.tensor([4, 1])
    whole, some = feed(Sketch(6, 3, 4), contexts), feed(Sketch(6, 3, 4, tracked), contexts, batch=7)
    for name in ("fired", "fired_contexts", "max"):
        assert torch.equal(getattr(some, name), getattr(whole, name))
    assert torch.equal(some.histogram, whole.histogram[tracked])
    for kind in KINDS:
        for split in (0, 1):
            for found, expected in zip(some.reservoir(kind, split), whole.reservoir(kind, split), strict=True):
                assert torch.equal(found, expected[tracked])
    assert some.rows(torch.tensor([1, 0, 4])).tolist() == [1, -1, 0]


def test_shards_that_track_different_features_do_not_merge() -> None:
    with pytest.raises(ValueError, match="track different features"):
        Sketch(6, tracked=torch.tensor([1])).merge(Sketch(6, tracked=torch.tensor([2])))


@pytest.mark.parametrize(("feature", "activation"), [(-1, 1.0), (6, 1.0), (0, 0.0), (0, -1.0), (0, float("nan"))])
def test_what_no_encoder_may_hand_over_is_refused(feature: int, activation: float) -> None:
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="features are 0 to 5"):
        Sketch(6).update(one, one, torch.tensor([feature]), torch.tensor([activation]), one.to(torch.int8))


def test_an_update_without_nonzeros_changes_nothing() -> None:
    contexts = simulated(np.random.default_rng(7), 10)
    sketch, none = feed(Sketch(6), contexts), torch.empty(0, dtype=torch.int64)
    sketch.update(none, none, none, none.float(), none.to(torch.int8))
    sketch.seen(none, none, none.to(torch.int8), none)
    assert_same(sketch, feed(Sketch(6), contexts))


def test_a_sketch_comes_back_from_its_file_and_goes_on(tmp_path: Path) -> None:
    contexts = simulated(np.random.default_rng(8), 40)
    half = feed(Sketch(6, 3, 4), contexts[:20])
    save_file(half.state(), tmp_path / "sketch.safetensors")
    back = Sketch.from_state(load_file(tmp_path / "sketch.safetensors"))
    assert_same(back, half)
    assert_same(feed(back, contexts[20:]), feed(Sketch(6, 3, 4), contexts))
