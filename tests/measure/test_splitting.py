"""Dictionaries planted in such a way that children, novelty and descent are known."""

from collections import Counter
from itertools import pairwise
from math import isnan, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autointerp.measure.intervals import wilson
from autointerp.measure.neighbours import threshold
from autointerp.measure.splitting import NONE, Step, descendants, step, summary
from tests.directions import random_directions

D = 24
TAU = 0.6


def axis(*weights: tuple[int, float]) -> Tensor:
    """A vector with the given weights on a few axes."""
    vector = torch.zeros(D)
    for at, weight in weights:
        vector[at] = weight
    return vector


# Three features; the second splits in two, the third is gone, the fourth is new and then splits in three.
SMALL = torch.stack([axis((0, 1.0)), axis((1, 1.0)), axis((2, 1.0))])
MIDDLE = torch.stack(
    [
        axis((1, 0.8), (3, 0.6)),
        axis((0, 1.0)),
        axis((1, 0.8), (3, -0.6)),
        axis((4, 1.0), (2, 0.5)),  # cosine with the third 0.5 / sqrt(1.25) = 0.447, below TAU
    ]
)
LARGE = torch.stack(
    [
        axis((4, 1.0), (2, 0.5), (6, 0.5)),
        axis((1, 0.8), (3, 0.6), (5, 0.3)),
        axis((4, 1.0), (2, 0.5), (7, 0.5)),
        axis((4, 1.0), (2, 0.5), (8, 0.5)),
        axis((9, 1.0)),
        axis((0, 1.0), (10, 0.1)),
    ]
)
CHAIN = [step(SMALL, MIDDLE, TAU), step(MIDDLE, LARGE, TAU)]


def test_children_and_novel_features_of_planted_dictionaries() -> None:
    first, second = CHAIN
    assert first.parent.tolist() == [1, 0, 1, NONE] and first.children.tolist() == [1, 2, 0]
    assert second.parent.tolist() == [3, 0, 3, 3, NONE, 1] and second.children.tolist() == [1, 1, 0, 3]
    assert first.nearest[3] == 2 and first.cosine[3] == pytest.approx(0.5 / sqrt(1.25))  # the nearest, yet no parent
    np.testing.assert_allclose(first.cosine[:3], [0.8, 1, 0.8], atol=1e-6)
    # A cosine equal to the threshold is not above it.
    exact = Step(np.array([0, 0]), np.array([0.5, 0.5000001]), 0.5, 1)
    assert exact.parent.tolist() == [NONE, 0] and exact.children.tolist() == [1]


def test_a_step_is_summed_up() -> None:
    found = summary(CHAIN[1], seed=0)
    assert found.counts.tolist() == [1, 2, 0, 1]  # none: 1, one child: 2, three: 1
    assert (found.children.value, found.children.n) == (5 / 4, 4)
    assert found.children.low < 5 / 4 < found.children.high
    assert (found.split.value, found.split.low, found.split.high) == pytest.approx((1 / 4, *wilson(1, 4)))
    assert (found.lost.value, found.lost.n) == (1 / 4, 4)
    assert (found.novel.value, found.novel.low, found.novel.high) == pytest.approx((1 / 6, *wilson(1, 6)))
    assert summary(CHAIN[0], seed=0).split.value == 1 / 3  # two children are a split
    empty = summary(Step(np.empty(0, np.int64), np.empty(0), 0.5, 2), seed=0)
    assert empty.counts.tolist() == [2] and (empty.lost.value, empty.split.value) == (1, 0) and isnan(empty.novel.value)


def test_the_tree_below_a_feature() -> None:
    middle, large = descendants(CHAIN, 1)
    assert middle.feature.tolist() == [0, 2] and middle.parent.tolist() == [1, 1]
    assert large.feature.tolist() == [1] and large.parent.tolist() == [0]
    np.testing.assert_allclose(large.cosine, 1 / sqrt(1.09), atol=1e-6)  # (0.64 + 0.36) / sqrt(1 * (1 + 0.09))
    assert [generation.feature.tolist() for generation in descendants(CHAIN, 2)] == [[], []]
    for wrong in ([], CHAIN[::-1]):
        with pytest.raises(AssertionError):
            descendants(wrong, 0)
    with pytest.raises(AssertionError, match="smallest dictionary"):
        descendants(CHAIN, 3)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(0, 2**32))
def test_every_feature_descends_from_its_ancestor_and_from_no_other(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = [Step(rng.integers(m, size=n), rng.uniform(0, 1, n), 0.4, m) for m, n in pairwise(sizes)]
    for each in chain:
        counted = Counter(each.parent.tolist())
        assert each.children.tolist() == [counted[i] for i in range(each.smaller)]
        assert each.children.sum() + counted[NONE] == each.nearest.size
    ancestor = list(range(sizes[-1]))  # of each feature of the largest, climbing step by step
    for each in chain[::-1]:
        ancestor = [int(each.parent[at]) if at != NONE else NONE for at in ancestor]
    for i in range(sizes[0]):
        generations = descendants(chain, i)
        assert generations[-1].feature.tolist() == [j for j, at in enumerate(ancestor) if at == i]
        above = [i]
        for each, generation in zip(chain, generations, strict=True):
            assert set(generation.parent.tolist()) <= set(above)
            np.testing.assert_array_equal(generation.parent, each.parent[generation.feature])
            np.testing.assert_array_equal(generation.cosine, each.cosine[generation.feature])
            above = generation.feature.tolist()


def test_random_directions_are_novel_and_split_features_are_not() -> None:
    small = random_directions(100, 64, 0)
    tau = threshold(random_directions(999, 64, 1), small, 0.01)
    noise = random_directions(400, 64, 2) * 0.8
    split, control = step(small, small.repeat(4, 1) + noise, tau), step(small, random_directions(400, 64, 3), tau)
    assert (split.parent == np.tile(np.arange(100), 4)).mean() > 0.98
    assert summary(split, 0).children.value > 3.9
    novel = summary(control, 0).novel
    assert novel.value > 0.97 and novel.n == 400  # 0.99 -+ 3 standard errors, with as much again in tau
