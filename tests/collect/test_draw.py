"""Which features are evaluated: a seeded order, its first alive ones, and the dead met on the way."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.collect.draw import NUMBERED, beside, draw, order, tracked
from autointerp.errors import UserError
from autointerp.records import PICKED, SEEDED


def job(controls: dict[str, str], limit: int = 50) -> Any:
    """A run of a dictionary and controls of it, in which at most `limit` features can be drawn."""
    dictionaries = {name: SimpleNamespace(like="own", control=control) for name, control in controls.items()}
    dictionaries["own"] = SimpleNamespace(like=None, control=None)
    return SimpleNamespace(
        config=SimpleNamespace(dictionaries=dictionaries, collect=SimpleNamespace(tracked=limit)),
        rng=lambda *purpose: np.random.default_rng([*"/".join(map(str, purpose)).encode()]),
    )


def test_a_control_is_drawn_like_its_dictionary_where_its_features_are_the_same_ones() -> None:
    run = job({**{control: control for control in NUMBERED}, "random": "random"})
    own = order(run, "own", 400).tolist()
    assert len(set(own)) == 50 and own != sorted(own)
    assert all(order(run, control, 400).tolist() == own for control in NUMBERED)
    assert order(run, "random", 400).tolist() != own


def test_picked_features_are_tracked_beside_what_can_be_drawn() -> None:
    run = job({}, limit=3)
    drawn = order(run, "own", 400).tolist()
    assert tracked(run, "own", 400, (0, 399, drawn[1])).tolist() == sorted({0, 399, *drawn})


@pytest.mark.parametrize("feature", [-1, 400])
def test_a_picked_feature_that_is_not_there_is_named(feature: int) -> None:
    with pytest.raises(UserError, match=f"picked feature {feature} of 'own'") as raised:
        tracked(job({}), "own", 400, (7, feature))
    assert "0 to 399" in str(raised.value) and "evidence.picked.own" in str(raised.value)


@given(
    fired=st.lists(st.integers(0, 2), min_size=1, max_size=40),
    n=st.integers(0, 45),
    seed=st.integers(0, 99),
)
def test_the_draw_walks_an_order_and_counts_the_dead_it_meets(fired: list[int], n: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(fired))
    alive: list[int] = []
    dead: list[int] = []
    for feature in order.tolist():
        if len(alive) < n:
            (alive if fired[feature] else dead).append(feature)
    found = draw(order, np.array(fired), n)
    assert (list(found.features), list(found.dead), found.selected_by) == (alive, dead, SEEDED)


def test_a_larger_draw_begins_with_the_smaller() -> None:
    rng = np.random.default_rng(0)
    fired, order = (rng.random(200) < 0.6).astype(np.int64), rng.permutation(200)
    small, large = (draw(order, fired, n) for n in (10, 60))
    assert large.features[:10] == small.features
    assert large.dead[: len(small.dead)] == small.dead


def test_hand_picked_features_keep_their_order_and_are_labelled() -> None:
    fired = np.array([0, 5, 0, 7, 1, 2])
    nobody = draw((), fired, 0)
    found = beside(nobody, (4, 2, 1, 4), fired)
    assert (nobody.features, nobody.dead) == ((), ())
    assert (found.features, found.dead, found.selected_by) == ((4, 1), (2,), PICKED)


def test_what_was_drawn_stays_drawn_when_it_is_picked_too() -> None:
    fired = np.array([0, 5, 0, 7, 1, 2])
    drawn = draw((0, 3, 2, 1), fired, 1)  # 0 is dead and met on the way, 2 is not met
    assert (drawn.features, drawn.dead) == ((3,), (0,))
    found = beside(drawn, (3, 0, 2, 5), fired)
    assert (found.features, found.dead) == ((5,), (2,))
