"""Nearest vectors against a sorted list, chance against simulation and geometry."""

from math import cos, pi, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainccinv
from torch import Tensor

from autointerp.measure import neighbours
from autointerp.measure.neighbours import directions_like, nearest, nearest_others, threshold
from tests.directions import random_directions

patient = settings(deadline=None)  # the machine may be busy
# Corners of a cube in 4 dimensions, or nothing: cosines are multiples of 1/2 and exact, so ties are ties.
corners = st.lists(
    st.one_of(st.just([0] * 4), st.lists(st.sampled_from([-3, 3]), min_size=4, max_size=4)), min_size=2, max_size=12
)


def slow(vectors: Tensor, among: Tensor, k: int) -> list[list[tuple[int, float]]]:
    found = []
    for a in vectors.double().tolist():
        pairs = []
        for j, b in enumerate(among.double().tolist()):
            norm = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
            pairs.append((j, sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0))
        found.append(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k])
    return found


@settings(deadline=None, max_examples=60)
@given(corners, corners, st.integers(1, 6), st.integers(1, 7), st.integers(1, 7))
def test_nearest_equals_a_sorted_list_whatever_the_tile(
    rows: list[list[int]], among: list[list[int]], k: int, tile_rows: int, tile_columns: int
) -> None:
    a, b = torch.tensor(rows, dtype=torch.float32), torch.tensor(among, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "TILE_ROWS", tile_rows)
        patch.setattr(neighbours, "TILE_COLUMNS", tile_columns)
        found, expected = nearest(a, b, min(k, len(b))), slow(a, b, min(k, len(b)))
    assert found.index.tolist() == [[j for j, _ in row] for row in expected]
    assert found.cosine.tolist() == [[value for _, value in row] for row in expected]


def test_nearest_of_many_random_vectors() -> None:
    a, b = 7 * random_directions(50, 20, 1), random_directions(300, 20, 2)  # lengths do not count
    found = nearest(a, b, 5)
    cosine = (a.double() / 7 @ b.double().T).numpy()
    np.testing.assert_array_equal(found.index, np.argsort(-cosine, axis=1)[:, :5])
    np.testing.assert_allclose(found.cosine, np.sort(cosine, axis=1)[:, :-6:-1], atol=1e-6)
    assert nearest(a.to(torch.bfloat16), b).cosine.dtype == np.float64


def test_a_neighbour_has_to_exist() -> None:
    a = random_directions(3, 4, 0)
    assert nearest(a, a, 3).index[:, 0].tolist() == [0, 1, 2]
    for ask in (lambda: nearest(a, a, 4), lambda: nearest(a, a, 0)):
        with pytest.raises(AssertionError, match="have no"):
            ask()


def test_vectors_that_are_orthogonal_but_for_rounding_are_equally_near() -> None:
    among = torch.eye(6)[1:]
    among[:, 0] = torch.tensor([1e-8, 3e-8, -2e-8, 5e-8, -1e-8])
    found = nearest(torch.eye(6)[:1], among, 5)
    assert found.index.tolist() == [[0, 1, 2, 3, 4]]
    assert found.cosine.tolist() == [[0.0] * 5]


@patient
@given(corners, st.integers(1, 6))
def test_the_nearest_others_are_a_sorted_list_without_oneself(rows: list[list[int]], k: int) -> None:
    vectors, k = torch.tensor(rows, dtype=torch.float32), min(k, len(rows) - 1)
    asked = np.arange(len(rows))[::-2].copy()
    found = nearest_others(vectors, asked, k)
    for row, index, cosine in zip(asked.tolist(), found.index.tolist(), found.cosine.tolist(), strict=True):
        (everyone,) = slow(vectors[row : row + 1], vectors, len(rows))
        others = [(other, value) for other, value in everyone if other != row]
        assert cosine == [value for _, value in others[:k]]
        # Which of equals comes first or is left out is nobody's business; all are others, and each has its cosine.
        assert len(set(index)) == k and {(other, value) for other, value in zip(index, cosine, strict=True)} <= set(
            others
        )


# ---- chance


def test_directions_like_others_crowd_where_they_do() -> None:
    crowded = random_directions(500, 6, 0) * torch.tensor([5.0, 5, 1, 1, 1, 0])
    crowded = torch.nn.functional.normalize(crowded, dim=1)
    found = directions_like(crowded, 20_000, 1)
    assert torch.equal(found, directions_like(crowded, 20_000, 1))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(20_000))
    assert (found[:, 5] ** 2).max() < 1e-10  # a dimension that nothing uses stays unused
    own, theirs = ((rows**2).mean(dim=0) for rows in (found, crowded))
    assert own[:2].min() > 4 * own[2:5].max()  # of 25 before, as normalising evens them out
    assert own[2:5].min() > 0.05  # and not of 625
    torch.testing.assert_close(own, theirs, atol=0.07, rtol=0)
    # Against crowded vectors they reach larger cosines than directions that know nothing of the crowd.
    assert threshold(found[:999], crowded[:50], 0.05) > threshold(random_directions(999, 6, 1), crowded[:50], 0.05)


def test_directions_do_not_depend_on_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = random_directions(20, 6, 0) * torch.arange(1.0, 7)
    whole = directions_like(crowded, 50, 1).abs()
    monkeypatch.setattr(neighbours, "TILE_ROWS", 7)
    torch.testing.assert_close(directions_like(crowded, 50, 1).abs(), whole)


def test_threshold_by_hand() -> None:
    # Angles of 10, 20, … 90 degrees to the only vector: with 9 draws, a rate of 0.2 lets floor(0.2 * 10) = 2 reach it.
    angles = torch.arange(10, 100, 10) * pi / 180
    draws = torch.stack([angles.cos(), angles.sin()], dim=1)
    only = torch.tensor([[1.0, 0]])
    assert threshold(draws, only, 0.2) == pytest.approx(cos(20 * pi / 180), abs=1e-6)
    assert threshold(draws, only, 0.1) == pytest.approx(cos(10 * pi / 180), abs=1e-6)
    # To the nearer of two axes the angles are 10, 20, 30, 40, 40, 30, 20, 10, 0: the fourth smallest is 20.
    assert threshold(draws, torch.tensor([[1.0, 0], [0, 1]]), 0.4) == pytest.approx(cos(20 * pi / 180), abs=1e-6)
    with pytest.raises(AssertionError, match=r"9 directions cannot tell a rate of 0\.05"):
        threshold(draws, only, 0.05)


def test_a_share_of_the_rate_exceeds_the_threshold_by_chance() -> None:
    among = random_directions(200, 32, 0)
    rates = []
    for seed in range(20):
        tau = threshold(random_directions(399, 32, 100 + seed), among, 0.05)
        rates.append((nearest(random_directions(400, 32, 200 + seed), among).cosine > tau).mean())
    # The noise is that of 20 x 400 directions and of as many in tau: sqrt(2 * 0.05 * 0.95 / 8000) = 0.0034.
    assert np.mean(rates) == pytest.approx(0.05, abs=0.0105)


def independent_threshold(m: int, d: int, rate: float) -> float:
    """`threshold` in closed form for m independent random directions in d >= 2 dimensions, at a rate below 1/2.

    The square of a random cosine is Beta(1/2, (d - 1)/2), so P(cos > t) = P(Beta > t^2) / 2, and of m independent ones
    all stay below tau with chance 1 - rate where P(cos > tau) = 1 - (1 - rate)^(1/m).
    """
    return float(np.sqrt(betainccinv(0.5, (d - 1) / 2, -2 * np.expm1(np.log1p(-rate) / m))))


def test_the_threshold_among_independent_directions_is_that_of_the_closed_form() -> None:
    for m, d in ((1, 16), (50, 16), (50, 64)):
        maxima = random_directions(1500 * m, d, 0)[:, 0].reshape(1500, m).max(dim=1).values.numpy()
        assert (maxima > independent_threshold(m, d, 0.1)).mean() == pytest.approx(0.1, abs=0.025)  # 3 standard errors
    spread, close = random_directions(100, 32, 0), random_directions(1, 32, 0) + 0.05 * random_directions(100, 32, 1)
    draws = random_directions(1999, 32, 2)
    assert threshold(draws, spread, 0.05) == pytest.approx(independent_threshold(100, 32, 0.05), abs=0.02)
    # A hundred copies of one vector, nearly, are hardly more than one.
    assert threshold(draws, close, 0.05) < independent_threshold(3, 32, 0.05)
