"""Absorption planted and found, against a version made of sets, and what the null promises."""

from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from autointerp.measure import absorption as module
from autointerp.measure.absorption import absorption, counterparts
from autointerp.measure.arrays import Activations, Bools, Ints
from autointerp.measure.splitting import NONE, Step


def sparse(x: Any) -> Activations:
    return csc_array(np.asarray(x, np.float32))


def family(parent: list[int]) -> Step:
    """A step in which feature j of the larger has the given parent, or none."""
    nearest = np.array(parent)
    return Step(np.maximum(nearest, 0), np.where(nearest >= 0, 0.9, 0.1), 0.5, max(parent) + 1)


def planted(rng: np.random.Generator, absorbed: float, others: int = 200) -> tuple[Activations, Activations, Ints]:
    """A parent that fires on a tenth of 4,000 positions; its counterpart (0) does, too, but where it was absorbed.

    Child 1 fires on half of the parent's positions, child 2 on a fifth; where a child fires the counterpart is silent
    with the given chance. `others` fire at random, as often as child 1 or less.
    """
    positions = 4000
    parent = rng.random(positions) < 0.1
    children = [parent & (rng.random(positions) < share) for share in (0.5, 0.2)]
    counterpart = parent & ~((children[0] | children[1]) & (rng.random(positions) < absorbed))
    background = rng.random((positions, others)) < rng.uniform(0.01, 0.05, others)
    larger = np.column_stack([counterpart, *children, background])
    return sparse(parent[:, None] * 2.0), sparse(larger * rng.uniform(1, 3, larger.shape)), np.arange(positions) // 40


def test_planted_absorption_is_found() -> None:
    rng = np.random.default_rng(0)
    step, counterpart = family([0, 0, 0] + [NONE] * 200), np.array([0])
    for rate in (0.0, 0.5, 1.0):
        smaller, larger, document = planted(rng, rate)
        (found,) = absorption(step, counterpart, smaller, larger, document, np.array([0]), seed=1)
        assert (found.counterpart, found.n_children, found.reason) == (0, 2, "")
        assert found.fired == smaller.nnz == pytest.approx(400, abs=60)
        # Some child fires on 1 - 0.5 * 0.8 = 0.6 of the parent's positions, and the counterpart is silent there alone.
        assert found.absorbed.value == found.silent.value == pytest.approx(0.6 * rate, abs=0.08)
        # Where the counterpart still fires, 0.6 (1 - rate) of 1 - 0.6 rate have a child.
        assert found.beside == pytest.approx(0.6 * (1 - rate) / (1 - 0.6 * rate), abs=0.08)
        if rate:
            assert found.absorbed.low < 0.6 * rate < found.absorbed.high
            assert found.null < 0.15 * found.absorbed.value and found.p == 1 / 200
        else:
            assert (found.absorbed.high, found.null, found.p) == (0, 0, 1)
        assert found.absorbed.n == found.documents == len(set((np.flatnonzero(smaller.toarray()) // 40).tolist()))


def test_children_that_fire_at_random_are_like_their_stand_ins() -> None:
    # The counterpart is silent on half of the parent's positions, and children fire without regard to either.
    step, counterpart = family([0] * 4 + [NONE] * 150), np.array([0])
    p, taken = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        parent = rng.random(1000) < 0.2
        larger = rng.random((1000, 154)) < 0.1
        larger[:, 0] = parent & (rng.random(1000) < 0.5)
        smaller = sparse(parent[:, None])
        (found,) = absorption(
            step, counterpart, smaller, sparse(larger), np.arange(1000) // 10, np.array([0]), seed, 39, 20
        )
        p.append(found.p)
        assert found.null == pytest.approx(0.5 * (1 - 0.9**3), abs=0.1)
        taken.append(found.absorbed.value / found.silent.value - found.beside)
    # p <= 0.05 in 5 of 100 runs on average, fewer where counts are equal; 12 has a chance below 1%.
    assert np.mean(np.array(p) <= 0.05) < 0.12 and 0.4 < np.mean(p) < 0.65
    assert np.mean(taken) == pytest.approx(0, abs=0.03)


def fires(activations: Activations) -> list[set[int]]:
    dense = activations.toarray()
    return [set(np.flatnonzero(dense[:, column]).tolist()) for column in range(dense.shape[1])]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 3), st.integers(1, 12), st.integers(1, 7))
def test_absorption_equals_a_version_made_of_sets(seed: int, positions: int, m: int, n: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    smaller, larger = (
        sparse(rng.integers(0, 3, (positions, k)) * (rng.random((positions, k)) < rng.random(k))) for k in (m, n)
    )
    parent, counterpart = rng.integers(-1, m, n), rng.integers(-1, n, m)
    step = Step(np.maximum(parent, 0), np.where(parent >= 0, 0.9, 0.1), 0.5, m)
    document = rng.integers(0, 4, positions)
    seen: list[tuple[Ints, Ints]] = []

    def counted(activations: Activations, kept: Ints, stand_ins: Ints) -> Any:
        found = original(activations, kept, stand_ins)
        sets = fires(activations)
        assert found.tolist() == [len(set(kept.tolist()) & set().union(*(sets[j] for j in row))) for row in stand_ins]
        seen.append((kept, stand_ins))
        return found

    original = module._counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", rows)
        patch.setattr(module, "_counts", counted)
        results = list(absorption(step, counterpart, smaller, larger, document, np.arange(m), 0, 9, 50))
    small, large = fires(smaller), fires(larger)
    for i, found in enumerate(results):
        children = [j for j in range(n) if parent[j] == i and j != counterpart[i] and large[j]]
        assert (found.feature, found.counterpart, found.fired) == (i, counterpart[i], len(small[i]))
        assert (found.n_children, found.documents) == (len(children), len({document[t] for t in small[i]}))
        if not small[i] or counterpart[i] == NONE or not children:
            assert found.reason and isnan(found.absorbed.value) and isnan(found.silent.value) and isnan(found.p)
            assert (found.absorbed.n, found.absorbed.unscored) == (found.documents, 1)
            continue
        silent = small[i] - large[counterpart[i]]
        absorbed = silent & set().union(*(large[j] for j in children))
        assert found.silent.value == pytest.approx(len(silent) / len(small[i]))
        assert found.absorbed.value == pytest.approx(len(absorbed) / len(small[i]))
        both = small[i] - silent
        with_child = both & set().union(*(large[j] for j in children))
        np.testing.assert_equal(found.beside, len(with_child) / len(both) if both else np.nan)
        spare = [j for j in range(n) if large[j] and j not in children and j != counterpart[i]]
        assert (found.reason != "") == isnan(found.null) == isnan(found.p) == (len(spare) < 2 * len(children))
        if not found.reason:
            kept, stand_ins = seen.pop(0)
            assert set(kept.tolist()) == silent and stand_ins.shape == (9, len(children))
            assert all(set(row) <= set(spare) and len(set(row)) == len(row) for row in stand_ins.tolist())


def test_stand_ins_fire_about_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MATCHED", 6)
    fired = np.arange(1, 101)  # feature j fires j + 1 times
    drawn = module._stand_ins(fired, 50, np.array([20, 80]), np.random.default_rng(0), 500)
    assert drawn is not None
    # The six nearest in number but the children and the counterpart; those of 80 are on both sides of it.
    assert set(drawn[:, 0].tolist()) == {17, 18, 19, 21, 22, 23}
    assert set(drawn[:, 1].tolist()) == {77, 78, 79, 81, 82, 83}
    ends = module._stand_ins(fired, 50, np.array([0, 99]), np.random.default_rng(0), 500)
    assert ends is not None
    assert set(ends[:, 0].tolist()) == set(range(1, 7)) and set(ends[:, 1].tolist()) == set(range(93, 99))
    # Where no more than six are left, all of them stand in.
    few = module._stand_ins(fired[:8], 6, np.array([7]), np.random.default_rng(0), 500)
    assert few is not None and set(few[:, 0].tolist()) == set(range(6))


def test_a_feature_is_measured_alike_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    one, larger, document = planted(rng, 0.5)
    smaller = sparse(np.hstack([one.toarray(), rng.random((4000, 2)) < 0.1]))
    step, counterpart = family([0, 0, 0] + [1] * 10 + [2] * 10 + [NONE] * 180), np.array([0, 3, 13])
    together = list(absorption(step, counterpart, smaller, larger, document, np.array([2, 0, 1]), seed=3, draws=19))
    assert [found.feature for found in together] == [2, 0, 1]
    for found in together:
        (alone,) = absorption(step, counterpart, smaller, larger, document, np.array([found.feature]), 3, 19)
        assert alone == found
    others = list(absorption(step, counterpart, smaller, larger, document, np.array([2, 0, 1]), seed=4, draws=19))
    assert [found.absorbed.value for found in others] == [found.absorbed.value for found in together]
    assert [found.null for found in others] != [found.null for found in together]


def test_documents_are_the_clusters() -> None:
    # Twenty documents of one firing each that is absorbed in half of them, and the same firings ten times over.
    absorbed: Bools = np.arange(20) % 2 == 0
    for repeats in (1, 10):
        here = np.repeat(absorbed, repeats)
        larger = sparse(np.column_stack([~here, here, *np.tile(np.eye(here.size)[:4], 1)]))
        smaller = sparse(np.ones((here.size, 1)))
        document = np.repeat(np.arange(20), repeats)
        (found,) = absorption(
            family([0, 0] + [NONE] * 4), np.array([0]), smaller, larger, document, np.array([0]), seed=0
        )
        assert (found.absorbed.value, found.absorbed.n) == (0.5, 20)
        bounds = found.absorbed.low, found.absorbed.high
        assert bounds == pytest.approx((0.25, 0.75), abs=0.06)  # 0.5 -+ 2.09 sqrt(0.25 / 19), whatever the repeats
    (lone,) = absorption(
        family([0, 0] + [NONE] * 4), np.array([0]), smaller, larger, np.zeros(200, np.int64), np.array([0]), seed=0
    )
    assert lone.absorbed.value == 0.5 and isnan(lone.absorbed.low) and lone.absorbed.n == 1


def test_counterparts_are_the_nearest_above_the_threshold() -> None:
    larger = torch.tensor([[0.0, 1, 0], [1, 0.2, 0], [1, 0, 0], [0, 0, 1]])
    smaller = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, -1, 0]])
    assert counterparts(smaller, larger, 0.9).tolist() == [2, NONE, NONE]
    assert counterparts(smaller, larger, 0.7).tolist() == [2, 0, NONE]


def test_both_dictionaries_are_read_on_the_same_positions() -> None:
    step, one = family([0, 0]), np.zeros(1, np.int64)
    with pytest.raises(AssertionError, match="same positions"):
        list(absorption(step, one, sparse([[1]]), sparse([[1, 1], [1, 1]]), one, one, 0))
