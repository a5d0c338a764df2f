"""Coins deal out the items of a question: the truth of some says nothing of the others, and no side is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.judge.question import Shown, dealt
from tests.score.items import item


def shown(firing: int, silent: int) -> list[Shown]:
    return [
        Shown(item(f"word {at}", *([1.0, 0.0] if at < firing else [])), at < firing, {})
        for at in range(firing + silent)
    ]


def n_firing(items: list[Shown]) -> int:
    return sum(one.fires for one in items)


@given(st.integers(0, 24), st.integers(0, 24), st.integers(0, 2**32))
def test_items_are_left_out_only_where_the_other_side_has_run_out_and_half_of_each_stays(
    firing: int, silent: int, seed: int
) -> None:
    items = shown(firing, silent)
    found = dealt(items, np.random.default_rng(seed))
    assert [one for one in items if one in found] == found  # each at most once
    hits = n_firing(found)
    alarms = len(found) - hits
    assert hits == firing or alarms == silent
    assert 2 * hits >= firing and 2 * alarms >= silent


@pytest.mark.parametrize(("firing", "silent"), [(20, 20), (10, 20), (5, 20)])
def test_the_number_of_firing_items_varies_as_with_coins(firing: int, silent: int) -> None:
    # Of ten of the dealt items, in random order, 10 p fire, with the variance 10 p (1 - p) of coins. Drawn without
    # replacement from all n it would be (n - 10) / (n - 1) of that: 0.77, 0.69 or 0.63.
    rng, n = np.random.default_rng(0), firing + silent
    counts = [n_firing([items[at] for at in rng.permutation(len(items))[:10]]) for items in many(firing, silent, rng)]
    p = firing / n
    assert np.mean(counts) == pytest.approx(10 * p, rel=0.05)
    assert np.var(counts) > 10 * p * (1 - p) * (n - 10) / (n - 1) * 1.08


def many(firing: int, silent: int, rng: np.random.Generator) -> list[list[Shown]]:
    items = shown(firing, silent)
    return [dealt(items, rng) for _ in range(4000)]


def test_about_one_in_ten_is_left_out() -> None:
    kept = np.mean([len(items) for items in many(20, 20, np.random.default_rng(1))])
    assert 0.85 < kept / 40 < 0.95


def test_every_item_of_a_side_is_left_out_as_often_as_any_other() -> None:
    kept = dict.fromkeys(range(40), 0)
    for items in many(20, 20, np.random.default_rng(2)):
        for one in items:
            kept[int(one.item.excerpt.text.split()[1])] += 1
    # 0.9 of 4000 draws each; the standard error of a count is 19.
    assert max(kept.values()) - min(kept.values()) < 8 * 19
