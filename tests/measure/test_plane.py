"""A map of planted families of directions: who belongs together lies together."""

import numpy as np
import pytest
import torch

from autointerp.measure.plane import plane
from tests.directions import random_directions


def families(n: int, each: int, seed: int) -> torch.Tensor:
    """n families of directions, one after the other; lengths say nothing."""
    rows = random_directions(n, 64, 0).repeat_interleave(each, 0) + 0.5 * random_directions(n * each, 64, seed)
    return rows * torch.linspace(0.1, 9, n * each)[:, None]


def test_families_of_two_dictionaries_lie_together() -> None:
    small, large = families(8, 5, 1), families(8, 15, 2)
    found = plane([small, large], 1000, 0)
    assert found.dictionary.tolist() == [0] * 40 + [1] * 120
    assert found.feature.tolist() == [*range(40), *range(120)]
    assert found.note == "All 160 features are shown."
    family = np.append(np.arange(40) // 5, np.arange(120) // 15)
    distance = np.linalg.norm(found.place[:, None] - found.place, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (family[distance.argmin(axis=1)] == family).mean() > 0.97  # by chance 1/8
    np.testing.assert_array_equal(found.place, plane([small, large], 1000, 0).place)


def test_a_map_of_too_many_is_a_seeded_sample() -> None:
    rows = [random_directions(n, 8, 0) for n in (3, 50, 50)]
    found = plane(rows, 21, 4)
    assert np.bincount(found.dictionary).tolist() == [3, 9, 9]  # three of the first, and the others share the rest
    assert found.feature[:3].tolist() == [0, 1, 2] and found.place.shape == (21, 2) and np.isfinite(found.place).all()
    for at in range(3):
        mine = found.feature[found.dictionary == at]
        assert len(set(mine.tolist())) == len(mine) and (np.diff(mine) > 0).all() and mine.max() < len(rows[at])
    assert found.note == "A random 21 of 103 features are shown, in equal shares of each dictionary."
    assert found.feature.tolist() == plane(rows, 21, 4).feature.tolist() != plane(rows, 21, 5).feature.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_a_map_of_a_few(n: int) -> None:
    found = plane([random_directions(n, 3, 0)], 10, 0)
    assert found.place.shape == (n, 2) and np.isfinite(found.place).all() and len(np.unique(found.place, axis=0)) == n


def test_a_map_of_three_shows_their_two_main_directions() -> None:
    rows = torch.tensor([[1.0, 0.2, 0.1], [5.0, 4.0, 1.0], [0.1, 0.3, 0.2]])
    unit = np.array([row / np.linalg.norm(row) for row in rows.numpy().astype(float)])
    expected = unit @ np.linalg.svd(unit)[2][:2].T
    np.testing.assert_allclose(abs(plane([rows], 10, 0).place), abs(expected), atol=1e-6)  # an axis has no sign
