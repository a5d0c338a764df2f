"""Draws, bin shares and items, against slow counts on planted activations."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autointerp.collect.prepare import CONTEXTS
from autointerp.collect.sketch import Sketch, histogram_edges
from autointerp.config import EvidenceConfig
from autointerp.evidence.replay import Contexts, Firings
from autointerp.evidence.selection import (
    SILENT,
    Pool,
    bin_shares,
    build_pool,
    favourite_token,
    fires_in,
    firing_items,
    held_in,
    silent_items,
    token_counts,
)
from autointerp.records import SPLITS, Item
from autointerp.store import write_table

WINDOW, LENGTH = 8, 40
CONFIG = EvidenceConfig(window=WINDOW, bins=5, per_bin=3, negatives=12, pool=16)
SEEDS = range(6)
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@dataclass(frozen=True)
class World:
    """Contexts, and what feature 0 and its neighbour, feature 1, do in them: dense [feature, row, position]."""

    contexts: Contexts
    dense: NDArray[np.float32]

    @property
    def firings(self) -> Firings:
        feature, row, position = self.dense.nonzero()
        return Firings(feature, row, position, self.dense[feature, row, position])

    @property
    def maximum(self) -> float:
        return float(self.dense[0].max())

    def shares(self, bins: int = CONFIG.bins) -> Floats:
        return bin_shares(histogram_of(self.dense[0][self.dense[0] > 0]), self.maximum, bins)

    def row(self, item: Item) -> int:
        return self.contexts.id.tolist().index(item.excerpt.context)

    def window(self, item: Item, feature: int = 0) -> list[float]:
        """Planted activations in an item's window."""
        start = item.excerpt.start
        return [float(a) for a in self.dense[feature, self.row(item), start : start + WINDOW]]

    def tokens(self, item: Item) -> list[int]:
        return self.contexts.tokens[self.row(item)][item.excerpt.start : item.excerpt.start + WINDOW]


@cache
def world(seed: int, rate: float = 0.04, ragged: bool = True) -> World:
    """Thirty documents of two contexts; with `ragged`, contexts of 5 to 40 tokens whose tails fill no window."""
    g = rng(seed)
    lengths = g.integers(5, LENGTH + 1, 60) if ragged else np.full(60, LENGTH)
    rows = [
        {
            "id": 1000 + 7 * i,
            "document": i // 2,
            "name": f"doc{i // 2}",
            "split": SPLITS[(i // 2) % 2],
            "length": n,
            "tokens": g.integers(0, 30, n).tolist(),
            "pieces": [f" {i}.{p}" for p in range(n)],
        }
        for i, n in enumerate(lengths.tolist())
    ]
    fires = g.random((2, 60, LENGTH)) < rate
    fires &= np.arange(LENGTH) < lengths[:, None]
    dense = np.where(fires, np.exp(g.normal(size=fires.shape) * 0.6), 0).astype(np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "contexts.parquet"
        write_table(path, rows, CONTEXTS)
        contexts = Contexts(path, WINDOW)
        contexts.read(np.arange(60))
        return World(contexts, dense)


def histogram_of(activations: NDArray[np.float32]) -> Ints:
    a = torch.tensor(activations, dtype=torch.float32)
    sketch, zeros = Sketch(1), torch.zeros(len(a), dtype=torch.int64)
    sketch.update(torch.arange(len(a)), zeros, zeros, a, zeros.to(torch.int8))
    return np.asarray(sketch.histogram[0].numpy())


def interval_of(a: float, maximum: float, bins: int) -> int:
    """Which of the intervals (0, m/bins], (m/bins, 2m/bins], … holds a."""
    return next((b for b in range(bins) if a <= maximum * (b + 1) / bins), bins - 1)


def firing(w: World, split: int = 0, seed: int = 0, config: EvidenceConfig = CONFIG) -> list[Item]:
    return firing_items(w.contexts, config, split, w.firings.of(0), w.maximum, w.shares(config.bins), rng(seed))


def silent(
    w: World, split: int = 0, seed: int = 0, favourite: int | None = 3, config: EvidenceConfig = CONFIG
) -> list[Item]:
    pool = build_pool(w.contexts, split, config.pool, rng(seed))
    holds = held_in(w.contexts, pool).holding(favourite)
    return silent_items(w.contexts, config, pool, w.firings.of(0), [w.firings.of(1)], holds, rng(seed))


# ---- shares of activation intervals


@settings(deadline=None)
@given(
    activations=st.lists(
        st.one_of(
            st.floats(2.0**-14, 2.0**17, width=32),
            st.floats(0.5, 4, width=32),
            st.sampled_from([float(edge) for edge in histogram_edges()]),
        ),
        min_size=1,
        max_size=40,
    ),
    bins=st.integers(1, 7),
)
def test_shares_miss_a_slow_count_by_no_more_than_the_bins_that_a_cut_divides(
    activations: list[float], bins: int
) -> None:
    values, maximum = np.array(activations, dtype=np.float32), max(activations)
    histogram = histogram_of(values)
    shares = bin_shares(histogram, maximum, bins)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    low, high = histogram_edges()[:-1].copy(), histogram_edges()[1:].copy()
    low[0], high[-1] = 0, np.inf
    for b in range(bins):
        true = np.mean([interval_of(a, maximum, bins) == b for a in values.tolist()])
        cuts = [maximum * i / bins for i in (b, b + 1) if 0 < i < bins]
        divided = np.logical_or.reduce([(low <= cut) & (cut <= high) for cut in cuts] or [low < 0])
        assert abs(shares[b] - true) <= histogram[divided].sum() / len(values) + 1e-9


def test_shares_are_exact_where_cuts_are_edges() -> None:
    values = np.array([0.1, 0.9, 0.9, 1.1, 2.2, 2.3, 2.9, 3.1, 3.9, 4.0], dtype=np.float32)
    assert bin_shares(histogram_of(values), 4.0, 4).tolist() == pytest.approx([0.3, 0.1, 0.3, 0.3])


def test_what_is_below_the_histogram_lies_in_the_lowest_interval() -> None:
    values = np.array([2.0**-13] * 3 + [1.0], dtype=np.float32)
    assert values[0] < histogram_edges()[0]
    assert bin_shares(histogram_of(values), 1.0, 2).tolist() == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("maximum", [2.0**-10, 0.25, 1.0, 1.25, 1.75, 2.0**14, 2.0**-12, 2.0**20])
def test_a_maximum_on_an_edge_or_beyond_the_histogram_stays_in_the_top_interval(maximum: float) -> None:
    shares = bin_shares(histogram_of(np.array([maximum] * 3, dtype=np.float32)), maximum, 5)
    assert shares.sum() == pytest.approx(1)
    if 2.0**-10 < maximum < 2.0**14:
        assert shares.tolist() == pytest.approx([0, 0, 0, 0, 1])


def test_shares_are_those_of_lognormal_activations_to_a_few_percent() -> None:
    values = np.exp(rng(0).normal(size=20_000) * 0.7).astype(np.float32)
    maximum = float(values.max())
    true = np.histogram(values, np.linspace(0, maximum, 11))[0] / len(values)
    assert np.abs(bin_shares(histogram_of(values), maximum, 10) - true).max() < 0.02


def test_a_feature_that_never_fires_has_no_shares() -> None:
    assert bin_shares(np.zeros(len(histogram_edges()) - 1, dtype=np.int64), 0.0, 5).tolist() == [0] * 5


# ---- firing items


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("split", [0, 1])
def test_a_firing_item_shows_its_window_and_fires_in_its_interval(seed: int, split: int) -> None:
    w = world(seed)
    items = firing(w, split, seed)
    assert len(items) >= 5
    for item in items:
        row, start = w.row(item), item.excerpt.start
        assert item.fires
        assert w.contexts.split[row] == split
        assert item.excerpt.document == w.contexts.document[row]
        assert list(item.excerpt.pieces) == [f" {row}.{p}" for p in range(start, start + WINDOW)]
        assert list(item.excerpt.activations) == w.window(item)
        intervals = {interval_of(a, w.maximum, CONFIG.bins) for a in w.window(item) if a > 0}
        assert int(item.stratum.removeprefix("bin")) in intervals


@pytest.mark.parametrize("seed", SEEDS)
def test_firing_windows_are_distinct_full_windows_of_the_grid(seed: int) -> None:
    w = world(seed)
    items = firing(w)
    assert len({item.excerpt.id for item in items}) == len(items)
    for item in items:
        assert item.excerpt.start % WINDOW == 0
        assert len(item.excerpt.pieces) == WINDOW


@pytest.mark.parametrize("seed", SEEDS)
def test_an_interval_stays_short_only_where_all_its_windows_are_taken(seed: int) -> None:
    w = world(seed)
    items = firing(w)
    taken = {(w.row(item), item.excerpt.start // WINDOW) for item in items}
    per_bin = Counter(item.stratum for item in items)
    loudest: dict[tuple[int, int], float] = {}
    for r, p, a in zip(*w.firings.of(0), strict=True):
        if w.contexts.split[r] == 0 and p // WINDOW < w.contexts.n_windows[r]:
            loudest[r, p // WINDOW] = max(float(a), loudest.get((r, p // WINDOW), 0.0))
    for window, a in loudest.items():
        stratum = f"bin{interval_of(a, w.maximum, CONFIG.bins)}"
        assert per_bin[stratum] == CONFIG.per_bin or window in taken


@pytest.mark.parametrize("seed", SEEDS)
def test_firing_weights_add_to_one_and_follow_the_shares(seed: int) -> None:
    w = world(seed)
    items = firing(w)
    per_bin = Counter(item.stratum for item in items)
    assert max(per_bin.values()) <= CONFIG.per_bin
    assert sum(item.weight for item in items) == pytest.approx(1)
    covered = sum(w.shares()[int(stratum.removeprefix("bin"))] for stratum in per_bin)
    for item in items:
        share = w.shares()[int(item.stratum.removeprefix("bin"))]
        assert item.weight == pytest.approx(share / covered / per_bin[item.stratum])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_top_interval_is_served_first_and_from_as_many_documents_as_there_are(seed: int) -> None:
    w = world(seed, rate=0.3)
    config = CONFIG.model_copy(update={"bins": 2, "per_bin": 4})
    row, position, a = w.firings.of(0)
    full = (w.contexts.split[row] == 0) & (position // WINDOW < w.contexts.n_windows[row]) & (a > w.maximum / 2)
    windows = set(zip(row[full].tolist(), (position[full] // WINDOW).tolist(), strict=True))
    documents = {int(w.contexts.document[r]) for r, _ in windows}
    top = [item for item in firing(w, config=config) if item.stratum == "bin1"]
    assert len(top) == min(4, len(windows))
    assert len({item.excerpt.document for item in top}) == min(4, len(documents))


def test_a_window_with_a_weak_and_the_strongest_firing_stands_for_the_strongest() -> None:
    w = world(0, ragged=False)
    dense = np.zeros_like(w.dense)
    dense[0, 0, [1, 3, 6]] = 0.1, 4.0, 0.2
    (item,) = firing(World(w.contexts, dense))
    assert (item.stratum, item.weight) == ("bin4", 1)


def test_a_feature_that_fires_only_in_the_other_split_or_in_tails_has_no_items() -> None:
    w = world(0)
    other = np.where((w.contexts.split == 1)[:, None], w.dense[0], 0)
    tails = np.where(np.arange(LENGTH) >= (w.contexts.n_windows * WINDOW)[:, None], w.dense[0], 0)
    for dense in (other, tails):
        assert (dense > 0).any()
        assert firing(World(w.contexts, np.stack([dense, dense]))) == []


def test_selection_is_seeded() -> None:
    w = world(0)
    assert firing(w, seed=3) == firing(w, seed=3) != firing(w, seed=4)
    assert silent(w, seed=3) == silent(w, seed=3) != silent(w, seed=4)


# ---- silent items


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("split", [0, 1])
def test_silent_items_are_silent_and_of_the_kind_they_say(seed: int, split: int) -> None:
    w = world(seed)
    items = silent(w, split, seed)
    assert len({item.excerpt.id for item in items}) == len(items) == CONFIG.negatives
    for item in items:
        assert not item.fires
        assert w.contexts.split[w.row(item)] == split
        assert w.window(item) == list(item.excerpt.activations) == [0.0] * WINDOW
        assert item.excerpt.start % WINDOW == 0
        holds, near = 3 in w.tokens(item), any(w.window(item, feature=1))
        assert item.stratum == ("same_token" if holds else "near" if near else "random")


@pytest.mark.parametrize("seed", SEEDS)
def test_silent_weights_are_the_kinds_shares_of_silent_windows(seed: int) -> None:
    w = world(seed)
    pool = build_pool(w.contexts, 0, CONFIG.pool, rng(seed))
    population: Counter[str] = Counter()
    for r, at in zip(pool.row.tolist(), pool.window.tolist(), strict=True):
        inside = slice(at * WINDOW, (at + 1) * WINDOW)
        if not w.dense[0, r, inside].any():
            holds = 3 in w.contexts.tokens[r][inside]
            population["same_token" if holds else "near" if w.dense[1, r, inside].any() else "random"] += 1
    items = silent(w, seed=seed)
    drawn = Counter(item.stratum for item in items)
    assert set(drawn) == set(population) == set(SILENT)
    assert sum(item.weight for item in items) == pytest.approx(1)
    for item in items:
        expected = population[item.stratum] / population.total() / drawn[item.stratum]
        assert item.weight == pytest.approx(expected)


def test_each_kind_gets_a_third_where_there_are_enough() -> None:
    w = world(1, rate=0.1)
    config = CONFIG.model_copy(update={"pool": 60, "negatives": 9})
    assert Counter(item.stratum for item in silent(w, config=config)) == {"same_token": 3, "near": 3, "random": 3}


@pytest.mark.parametrize("favourite", [None, 10**6])
def test_what_a_kind_cannot_fill_goes_to_the_others(favourite: int | None) -> None:
    items = silent(world(2), favourite=favourite)
    assert {item.stratum for item in items} == {"near", "random"}
    assert len(items) == CONFIG.negatives
    assert sum(item.weight for item in items) == pytest.approx(1)


def test_fewer_silent_windows_than_asked_for_are_all_taken() -> None:
    w = world(3)
    config = CONFIG.model_copy(update={"pool": 2, "negatives": 500})
    pool = build_pool(w.contexts, 0, 2, rng(0))
    items = silent(w, config=config)
    assert len(items) == int((~fires_in(pool, w.firings.of(0), w.contexts.size)).sum()) > 0
    assert sum(item.weight for item in items) == pytest.approx(1)


def test_a_feature_that_fires_everywhere_has_no_silent_items() -> None:
    w = world(0)
    assert silent(World(w.contexts, np.ones_like(w.dense))) == []


# ---- the pool


@pytest.mark.parametrize("split", [0, 1])
def test_the_pool_holds_every_full_window_of_a_seeded_sample_of_contexts(split: int) -> None:
    w = world(0)
    pool = build_pool(w.contexts, split, 10, rng(1))
    rows = sorted(set(pool.row.tolist()))
    assert len(rows) == 10
    assert (w.contexts.split[rows] == split).all()
    expected = [(r, i) for r in rows for i in range(len(w.contexts.tokens[r]) // WINDOW)]
    assert list(zip(pool.row.tolist(), pool.window.tolist(), strict=True)) == expected
    assert sorted(set(build_pool(w.contexts, split, 10, rng(2)).row.tolist())) != rows
    everything = build_pool(w.contexts, split, 10**6, rng(0))
    assert len(everything) == int(w.contexts.n_windows[w.contexts.split == split].sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_what_fires_in_the_pool_is_read_off_the_activations(seed: int) -> None:
    w = world(seed)
    pool = build_pool(w.contexts, 0, 100, rng(0))
    slow = [
        bool(w.dense[0, r, at * WINDOW : (at + 1) * WINDOW].any()) for r, at in zip(pool.row, pool.window, strict=True)
    ]
    assert fires_in(pool, w.firings.of(0), w.contexts.size).tolist() == slow
    assert (
        len(fires_in(Pool(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)), w.firings.of(0), w.contexts.size))
        == 0
    )


# ---- tokens


@pytest.mark.parametrize("seed", SEEDS)
def test_the_windows_that_hold_a_token_are_those_of_a_slow_search(seed: int) -> None:
    w = world(seed)
    pool = build_pool(w.contexts, 1, 20, rng(seed))
    held = held_in(w.contexts, pool)
    for token in (*range(30), 30, -1):
        slow = [
            token in w.contexts.tokens[r][at * WINDOW : (at + 1) * WINDOW]
            for r, at in zip(pool.row.tolist(), pool.window.tolist(), strict=True)
        ]
        assert held.holding(token).tolist() == slow
    assert not held.holding(None).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_favourite_token_has_the_largest_summed_activation_of_the_split(seed: int) -> None:
    w = world(seed)
    for split in (0, 1):
        sums: Counter[int] = Counter()
        for r, p in zip(*w.dense[0].nonzero(), strict=True):
            if w.contexts.split[r] == split:
                sums[w.contexts.tokens[r][p]] += float(w.dense[0, r, p])
        assert favourite_token(w.contexts, split, w.firings, 0) == sums.most_common(1)[0][0]
    assert favourite_token(w.contexts, 0, w.firings, 99) is None


def test_token_counts_are_those_of_a_slow_count() -> None:
    w = world(0)
    slow = Counter(w.contexts.tokens[r][p] for r, p in zip(*w.dense[0].nonzero(), strict=True))
    assert sorted(token_counts(w.contexts, w.firings, 0).tolist()) == sorted(slow.values())


# ---- no cue in the place of a window, or of a firing in it


def test_neither_the_place_of_a_window_nor_of_a_firing_in_it_is_a_cue() -> None:
    places: dict[str, list[int]] = {"firing": [], "silent": [], "inside": []}
    for seed in range(60):
        w = world(seed, rate=0.02, ragged=False)
        fired, quiet = firing(w, seed=seed), silent(w, seed=seed)
        assert all(item.excerpt.start % WINDOW == 0 for item in fired + quiet)
        assert {len(item.excerpt.pieces) for item in fired + quiet} == {WINDOW}
        places["firing"] += [item.excerpt.start // WINDOW for item in fired]
        places["silent"] += [item.excerpt.start // WINDOW for item in quiet]
        places["inside"] += [p for item in fired for p, a in enumerate(item.excerpt.activations) if a > 0]
    for name, choices in (("firing", LENGTH // WINDOW), ("silent", LENGTH // WINDOW), ("inside", WINDOW)):
        counts = np.bincount(places[name], minlength=choices)
        expected = counts.sum() / choices
        chi_squared = ((counts - expected) ** 2 / expected).sum()
        assert chi_squared < choices - 1 + 4 * (2 * (choices - 1)) ** 0.5, name
