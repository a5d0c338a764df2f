"""Directions and token lookups, against numpy, scikit-learn and arithmetic shown beside them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.evidence.replay import Replay
from autointerp.records import Excerpt, Grid, Item
from autointerp.score import baselines

# fit


def clouds(n: int = 60, d: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Silent and firing outputs that overlap, in dimensions of very different spread."""
    rng = torch.Generator().manual_seed(seed)
    spread = torch.tensor([1.0, 10.0, 0.1, 1.0, 5.0], dtype=torch.float64)[:d]
    silent = torch.randn(3 * n, d, generator=rng, dtype=torch.float64) * spread
    firing = (torch.randn(n, d, generator=rng, dtype=torch.float64) + torch.tensor([1.0, 0, 1, 0, -1])[:d]) * spread
    return silent, firing


def test_the_first_direction_is_the_difference_of_means() -> None:
    silent, firing = clouds()
    expected = firing.numpy().mean(0) - silent.numpy().mean(0)
    np.testing.assert_allclose(baselines.fit(silent, firing)[:, 0], expected)


def test_the_second_direction_is_logistic_regression_on_scaled_dimensions_with_balanced_classes() -> None:
    silent, firing = clouds()
    X = np.concatenate([silent, firing])
    scale = X.std(0, ddof=1)
    model = LogisticRegression(class_weight="balanced", max_iter=10_000, tol=1e-8)
    model.fit(X / scale, [0] * len(silent) + [1] * len(firing))
    np.testing.assert_allclose(baselines.fit(silent, firing)[:, 1], model.coef_[0] / scale, rtol=0.02, atol=5e-3)


def test_what_a_line_can_separate_is_separated_and_a_dead_dimension_does_no_harm() -> None:
    silent, firing = (torch.nn.functional.pad(part, (0, 1)) for part in clouds(300))
    silent[:, 0] -= 50
    directions = baselines.fit(silent, firing)
    assert directions.isfinite().all()
    # Between the two clouds lie 50 units of dimension 0; the probes may lean on others, too, but not on the dead one.
    assert (firing @ directions[:, 1]).min() > (silent @ directions[:, 1]).max()
    assert directions[-1].tolist() == [0, 0]


@pytest.mark.parametrize(("n_silent", "n_firing"), [(0, 3), (3, 0), (0, 0)])
def test_without_one_of_the_sides_there_is_no_direction(n_silent: int, n_firing: int) -> None:
    found = baselines.fit(torch.ones(n_silent, 4).double(), torch.ones(n_firing, 4).double())
    assert torch.equal(found, torch.zeros(4, 2, dtype=torch.float64))


def test_one_position_of_each_side_is_enough() -> None:
    found = baselines.fit(torch.zeros(1, 2).double(), torch.tensor([[0.0, 2.0]]).double())
    assert found[0].tolist() == [0, 0]
    assert (found[1] > 0).all()


# probes on a planted direction

WINDOW, WIDTH = 4, 6


class Planted:
    """Contexts whose hook outputs are noise, plus 6 along one axis where a feature fires; every first one is masked."""

    def __init__(self, n_contexts: int = 24) -> None:
        rng = torch.Generator().manual_seed(1)
        self.fires = torch.rand(n_contexts, 2 * WINDOW, generator=rng) < 0.15
        self.fires[:, 0] = False
        self.x = torch.randn(n_contexts, 2 * WINDOW, WIDTH, generator=rng)
        self.x[..., 2] += 6 * self.fires
        self.x[:, 0] = 1000  # an attention sink
        self.mask = torch.ones_like(self.fires)
        self.mask[:, 0] = False
        n = np.arange(n_contexts)
        self.contexts = SimpleNamespace(
            window=WINDOW, id=n + 100, rows=lambda ids: np.flatnonzero(np.isin(n + 100, ids))
        )
        self.job = SimpleNamespace(sites={"d": "site"})
        self.asked: list[list[int]] = []

    def hidden(self, rows: Any, site: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(rows.tolist())
        return self.x[rows], self.mask[rows]

    def items(self, contexts: Sequence[int]) -> tuple[Item, ...]:
        """Both windows of some contexts."""
        found = []
        for context in contexts:
            for start in (0, WINDOW):
                flags = self.fires[context, start : start + WINDOW].tolist()
                excerpt = Excerpt(context + 100, start, 0, ("a",) * WINDOW, tuple(map(float, flags)))
                found.append(Item(excerpt, "bin0" if any(flags) else "random", any(flags), 1.0))
        return tuple(found)

    def probes(self, explain: Sequence[int], score: Sequence[int]) -> tuple[dict[str, list[float]], tuple[Item, ...]]:
        items = {"explain": self.items(explain), "score": self.items(score)}
        side = SimpleNamespace(name="d", by_feature={7: SimpleNamespace(items=items)})
        found = baselines.probes(cast(DictionaryEvidence, side), [7], cast(Replay, self))
        return {name: values[7] for name, values in found.items()}, items["score"]


def test_probes_find_a_planted_direction_on_excerpts_they_were_not_fitted_on() -> None:
    found, items = Planted().probes(range(12), range(12, 24))
    assert {item.fires for item in items} == {True, False}
    assert found.keys() == {"probe", "probe_logistic"}
    for values in found.values():
        firing, silent = ([v for v, item in zip(values, items, strict=True) if item.fires == fires] for fires in (1, 0))
        assert min(firing) > max(silent)


def test_a_value_is_the_largest_projection_at_a_counted_position_of_the_window() -> None:
    planted = Planted()
    found, items = planted.probes(range(12), range(12, 24))
    counted = planted.mask & ~planted.fires
    silent_windows = torch.tensor([not item.fires for item in planted.items(range(12))]).repeat_interleave(WINDOW)
    silent = planted.x[:12][counted[:12] & silent_windows.view(12, -1)].double()
    direction = planted.x[:12][planted.fires[:12]].double().mean(0) - silent.mean(0)
    for value, item in zip(found["probe"], items, strict=True):
        context, start = item.excerpt.context - 100, item.excerpt.start
        positions = [at for at in range(start, start + WINDOW) if planted.mask[context, at]]
        assert value == pytest.approx(max(float(planted.x[context, at].double() @ direction) for at in positions))


def test_each_context_is_read_once_for_each_split_however_many_items_it_has() -> None:
    planted = Planted()
    planted.probes(range(12), range(12, 24))
    assert planted.asked == [list(range(12)), list(range(12, 24))]


def test_an_excerpt_without_a_counted_position_gets_nothing() -> None:
    planted = Planted()
    planted.mask[12, :WINDOW] = False
    found, _ = planted.probes(range(12), range(12, 24))
    assert (found["probe"][0], found["probe_logistic"][0]) == (0.0, 0.0)


# token lookup


def excerpt(text: str, *activations: float, context: int) -> Excerpt:
    pieces = tuple(text.split())
    return Excerpt(context, 0, context, pieces, activations or (0.0,) * len(pieces))


def item(text: str, *activations: float, context: int) -> Item:
    return Item(excerpt(text, *activations, context=context), "", bool(activations), 1.0)


def lookup(explain: list[Item], score: list[Item], firings: Sequence[tuple[int, int, float]] = ()) -> list[float]:
    """Over a pool of two excerpts to learn from, "boat at sea" and "a boat", and one of the other split."""
    pool = SimpleNamespace(
        excerpts=[excerpt("boat at sea", context=1), excerpt("a boat", context=2), excerpt("sea boat", context=3)],
        rows=lambda split: [0, 1] if split == "explain" else [2],
    )
    frame = pd.DataFrame(firings, columns=["window", "position", "activation"])
    side = SimpleNamespace(
        by_feature={5: SimpleNamespace(items={"explain": explain, "score": score})}, firings_of=lambda feature: frame
    )
    return baselines.lexical_floor(cast(DictionaryEvidence, side), [5], cast(PoolReader, pool))[5]


def test_a_token_predicts_its_mean_activation_over_the_pool_with_one_silent_occurrence_more() -> None:
    # boat: 2 occurrences with 6 and 3 in all: 9 / 3 = 3. sea: one with 4: 4 / 2 = 2. at, a: 0.
    firings = [(0, 0, 6.0), (1, 1, 3.0), (0, 2, 4.0)]
    score = [item("a boat at sea", context=9), item("at sea", context=9), item("at a", context=9)]
    assert lookup([], score, firings) == pytest.approx([3.0, 2.0, 0.0])


def test_firings_of_the_other_split_teach_nothing_and_unknown_tokens_predict_nothing() -> None:
    score = [item("sea boat", context=9), item("ship", context=9)]
    assert lookup([], score, [(2, 0, 50.0), (2, 1, 50.0)]) == [0.0, 0.0]


def test_excerpts_to_learn_from_that_are_not_in_the_pool_are_counted_too() -> None:
    # sea: 4 in the pool and 8 here, 2 occurrences: 12 / 3 = 4. ship, new: (5 + 1) / (2 + 1) = 2. boat: silent.
    explain = [item("sea ship ship", 8, 5, 1, context=8)]
    score = [item("boat", context=9), item("sea", context=9), item("ship", context=9)]
    assert lookup(explain, score, [(0, 2, 4.0)]) == pytest.approx([0.0, 4.0, 2.0])


def test_an_excerpt_of_the_pool_is_not_counted_twice() -> None:
    explain = [item("boat at sea", 6, 0, 0, context=1)]  # the pool's first
    # boat: 6 / (2 + 1) = 2
    assert lookup(explain, [item("boat", context=9)], [(0, 0, 6.0)]) == pytest.approx([2.0])


# labels


def picture(label: str, *activations: float, context: int, behind: str = "") -> Item:
    """A picture of two patches behind a special token, perhaps with a word behind it."""
    values = activations or (0.0, 0.0)
    pieces = ("", "", "", *([behind] if behind else []))
    excerpt = Excerpt(context, 0, context, pieces, (0.0, *values, *([0.0] if behind else [])), Grid(1, 1, 2), label)
    return Item(excerpt, "bin0" if activations else "random", bool(activations), 1.0)


def floor_of(
    pool: Sequence[Item], explain: Sequence[Item], score: Sequence[Item], firings: Sequence[tuple[int, int, float]]
) -> list[float]:
    """The lexical floor with a pool of these items, by the firings (window, position, activation) in it."""
    frame = pd.DataFrame(firings, columns=["window", "position", "activation"])
    reader = SimpleNamespace(excerpts=[one.excerpt for one in pool], rows=lambda split: list(range(len(pool))))
    side = SimpleNamespace(
        by_feature={5: SimpleNamespace(items={"explain": explain, "score": score})}, firings_of=lambda feature: frame
    )
    return baselines.lexical_floor(cast(DictionaryEvidence, side), [5], cast(PoolReader, reader))[5]


def test_a_word_of_a_label_predicts_the_mean_of_the_largest_activations_and_a_patch_predicts_nothing() -> None:
    pool = [picture("red boat, red", context=0), picture("red cow", context=1), picture("cow", context=2)]
    firings = [(0, 1, 6.0), (0, 2, 3.0), (1, 2, 3.0)]
    labels = ("RED", "boat", "cow", "moon", "", "moon boat")
    # red: 6 + 3 in 2 labels: 9 / 3. boat: 6 / 2. cow: 3 in one of 2: 3 / 3. What is in no label, or has none: 0.
    expected = [3.0, 3.0, 1.0, 0.0, 0.0, 3.0]
    assert floor_of(pool, [], [picture(label, context=9) for label in labels], firings) == pytest.approx(expected)


def test_pictures_to_learn_from_that_are_not_in_the_pool_are_counted_too() -> None:
    explain = [picture("red moon", 5.0, 2.0, context=7), picture("red", 6.0, context=0)]
    # red: 6 in the pool (not twice) and 5: 11 / 3. moon: 5 / 2.
    found = floor_of(
        [picture("red", context=0)], explain, [picture("red", context=9), picture("moon", context=9)], [(0, 1, 6.0)]
    )
    assert found == pytest.approx([11 / 3, 2.5])


def test_a_word_of_a_label_is_not_the_same_word_in_a_text() -> None:
    pool = [picture("red", context=0), item("red", context=1)]
    found = floor_of(pool, [], [picture("red", context=9), item("red", context=9)], [(1, 0, 4.0)])
    assert found == pytest.approx([0.0, 2.0])
    beside = picture("", context=9, behind="red")
    assert floor_of(pool, [], [beside], [(1, 0, 4.0)]) == pytest.approx([2.0])  # the text around a picture is text
