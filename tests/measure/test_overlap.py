"""Restricted cosines against a slow version and by hand, and children by the two definitions."""

from math import isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from autointerp.measure import overlap
from autointerp.measure.arrays import Activations
from autointerp.measure.overlap import agreement, restricted_cosine
from autointerp.measure.splitting import Step


def sparse(x: Any) -> Activations:
    return csc_array(np.asarray(x, np.float32))


def slow(x: list[float], y: list[float], firings: int) -> float:
    """The cosine over the positions where x fires and over those where y does; the larger."""
    found = []
    for where in (x, y):
        kept = [at for at, value in enumerate(where) if value > 0]
        if len(kept) < firings:
            return nan
        norm = sqrt(sum(x[at] ** 2 for at in kept)) * sqrt(sum(y[at] ** 2 for at in kept))
        found.append(sum(x[at] * y[at] for at in kept) / norm if norm else 0.0)
    return max(found)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 4), st.integers(1, 5))
def test_restricted_cosines_equal_a_slow_version(seed: int, positions: int, firings: int, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 4, (positions, 5)) * (rng.random((positions, 5)) < 0.5) for _ in range(2))
    of_a, of_b = rng.integers(0, 5, (2, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "COLUMNS", at_once)
        found = restricted_cosine(sparse(a), sparse(b), of_a, of_b, firings)
    expected = [slow(a[:, i].tolist(), b[:, j].tolist(), firings) for i, j in zip(of_a, of_b, strict=True)]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-12)
    assert found.both.tolist() == [int(((a[:, i] > 0) & (b[:, j] > 0)).sum()) for i, j in zip(of_a, of_b, strict=True)]


def test_a_child_that_follows_its_parent_on_a_part_overlaps_wholly() -> None:
    # The child fires on two of the parent's four positions, at half the activation: 1 where the child fires. Where the
    # parent does, it is (2 + 8) / (sqrt(4 + 16 + 1 + 9) sqrt(1 + 4)) = 0.816. The last never fires with it.
    parent = sparse([[2, 0], [4, 0], [1, 0], [3, 0], [0, 1]])
    child = sparse([[1, 0], [2, 0], [0, 0], [0, 0], [0, 5]])
    found = restricted_cosine(parent, child, np.array([0, 0, 1]), np.array([0, 1, 1]), firings=1)
    np.testing.assert_allclose(found.similarity, [1, 0, 1])
    assert found.both.tolist() == [2, 0, 1]
    # What fires once anywhere would overlap wholly with whatever fires there.
    rare = restricted_cosine(parent, child, np.array([0, 1]), np.array([0, 1]), firings=2)
    assert rare.similarity[0] == pytest.approx(1) and isnan(rare.similarity[1])
    silent = restricted_cosine(sparse(np.zeros((5, 1))), child, np.array([0]), np.array([0]), firings=0)
    assert isnan(silent.similarity[0])


def test_ten_firings_of_each_are_enough() -> None:
    always, one = sparse(np.ones((10, 1))), np.zeros(1, np.int64)
    assert restricted_cosine(always, always, one, one).similarity[0] == pytest.approx(1)
    assert isnan(restricted_cosine(always, sparse(np.arange(10)[:, None]), one, one).similarity[0])


def test_positions_are_shared_and_activations_are_not_negative() -> None:
    one = np.zeros(1, np.int64)
    with pytest.raises(AssertionError, match="same positions"):
        restricted_cosine(sparse([[1], [2]]), sparse([[1]]), one, one)
    with pytest.raises(AssertionError, match="at least 0"):
        restricted_cosine(sparse([[1]]), sparse([[-1]]), one, one)


def test_how_far_the_two_definitions_agree() -> None:
    step = Step(np.array([0, 0, 1, 1, 2, 0, 1]), np.array([0.9, 0.8, 0.7, 0.2, 0.9, 0.6, 0.6]), 0.5, 3)
    candidates = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [2, 0], [0, 1], [1, 0]])
    similarity = np.array([[0.9, 0.1], [0.3, 0.8], [0.5, nan], [0.7, 0.1], [nan, nan], [0.6, 0.5], [0.2, 0.3]])
    found = agreement(step, candidates, similarity)
    # Children by cosine are all but 3: of these 0, 2 and 5 overlap, 1 and 6 do not, 4 is unknown.
    assert (found.overlapping.value, found.overlapping.n, found.overlapping.unscored) == (3 / 5, 5, 1)
    # Overlapping are 0, 2 and 5 with their parents, 1 with another and 3, which has none; 6 overlaps with nobody.
    assert (found.nearest.value, found.nearest.n, found.nearest.unscored) == (3 / 5, 5, 1)
    with pytest.raises(AssertionError, match="first candidate"):
        agreement(step, candidates[:, ::-1], similarity)
