"""Adjusted p-values against arithmetic in a comment, a slow version, and their promises."""

from math import isnan, nan
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.measure import multiplicity
from autointerp.measure.arrays import Floats

patient = settings(deadline=None)  # the machine may be busy
families = st.lists(st.floats(0, 1) | st.just(nan), max_size=20).map(lambda p: np.array(p, float))


def test_holm_by_hand() -> None:
    # 0.01 * 4 = 0.04; 0.02 * 3 = 0.06; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, held to 0.06.
    np.testing.assert_allclose(
        multiplicity.holm(np.array([0.04, 0.01, 0.03, nan, 0.02])), [0.06, 0.04, 0.06, nan, 0.06]
    )
    np.testing.assert_allclose(multiplicity.holm(np.array([0.6, 0.7])), [1, 1])


def slow_holm(p: list[float]) -> list[float]:
    """The largest product at or before each in order of size."""
    return [min(1, max(q * sum(r >= q for r in p) for q in p if q <= own)) for own in p]


@patient
@given(families)
def test_holm_equals_a_slow_version(p: Floats) -> None:
    made = ~np.isnan(p)
    np.testing.assert_allclose(multiplicity.holm(p)[made], slow_holm(p[made].tolist()))


@patient
@given(families, st.randoms(use_true_random=False))
def test_adjusted_p_keep_order_and_bounds_and_leave_nan_out_of_the_family(p: Floats, random: Random) -> None:
    made = ~np.isnan(p)
    order = random.sample(range(p.size), p.size)
    adjusted = multiplicity.holm(p)
    assert (np.isnan(adjusted) == ~made).all()
    np.testing.assert_array_equal(adjusted[made], multiplicity.holm(p[made]))
    np.testing.assert_array_equal(multiplicity.holm(p[order]), adjusted[order])
    assert (adjusted[made] >= p[made]).all()
    assert (adjusted[made] <= np.minimum(1, p[made] * made.sum())).all()  # never more than Bonferroni
    assert (np.diff(adjusted[made][np.argsort(p[made])]) >= 0).all()


@pytest.mark.filterwarnings("error")
def test_adjusted_p_at_their_ends() -> None:
    assert multiplicity.holm(np.array([])).size == 0
    assert isnan(multiplicity.holm(np.array([nan]))[0])
    assert multiplicity.holm(np.array([0.03])) == 0.03
