"""Dose curves against counts made by hand, and a dose that is chosen on one half of the openings alone."""

from math import isnan

import numpy as np
import pytest

from autointerp.measure import steering
from autointerp.measure.arrays import Floats
from autointerp.measure.steering import Written

DOSES = (-1.0, 0.5, 1.0, 5.0)


def written(hits: Floats, words: float = 10, loss: float = 20) -> Written:
    """hits [d + 1, p] of the words of a first feature, none of those of a second, in texts of as many words."""
    both = np.stack([hits, np.zeros_like(hits)], axis=2)
    return Written(np.full(hits.shape, words), both, np.full(hits.shape, loss), np.full(hits.shape, 10.0))


def test_a_curve_by_hand() -> None:
    # Two openings: 3 + 1 of 20 words, 8 + 8; unsteered 2 + 0 of 20.
    texts = written(np.array([[3.0, 1], [8, 8], [2, 0]]))
    texts.loss[1] = [40, 60]
    found = steering.curve(texts, 0)
    assert found.gain == pytest.approx([2 / 20, 14 / 20])
    assert found.loss_rise == pytest.approx([0, (100 - 40) / 20])
    assert found.off_target == pytest.approx([0, 0])
    # Of the second feature the first one's words are off target.
    assert steering.curve(texts, 1).off_target == pytest.approx([2 / 20, 14 / 20])
    fewer = written(np.array([[0.0, 0], [8, 8], [2, 0]]))
    assert steering.curve(fewer, 1).off_target == pytest.approx([2 / 20, 14 / 20])  # less of them is off target, too
    alone = Written(texts.words, texts.hits[:, :, :1], texts.loss, texts.tokens)
    assert np.isnan(steering.curve(alone, 0).off_target).all()


def test_the_dose_is_chosen_on_every_other_opening_and_measured_on_the_rest() -> None:
    # On openings 0 and 2 the dose 5 is best, on 1 and 3 the dose 1: what is reported is dose 5 on 1 and 3.
    hits = np.array([[0.0, 0, 0, 0], [1, 5, 1, 5], [2, 9, 2, 9], [6, 3, 6, 3], [0, 1, 0, 1]])
    found = steering.response(written(hits), 0, DOSES)
    assert (found.dose, found.gain) == (5.0, pytest.approx(0.2))
    assert found.in_range == pytest.approx(0.8)  # the best dose up to 1 is 1 on 0 and 2
    turned = steering.response(written(hits[:, ::-1]), 0, DOSES)
    assert (turned.dose, turned.gain) == (1.0, pytest.approx(0.2))


def test_the_best_of_doses_that_do_nothing_gains_nothing_on_average() -> None:
    rng = np.random.default_rng(0)
    gains, lucky = [], []
    for _ in range(500):
        texts = written(rng.binomial(10, 0.2, size=(5, 8)).astype(float))
        gains.append(steering.response(texts, 0, DOSES).gain)
        lucky.append(steering.curve(texts, 0).gain.max())
    assert abs(np.mean(gains)) < 0.015  # the standard error is 0.09 / sqrt(500)
    assert np.mean(lucky) > 0.03  # which the same texts would have claimed


def test_equal_doses_and_empty_texts() -> None:
    flat = steering.response(written(np.ones((5, 4))), 0, DOSES)
    assert (flat.dose, flat.gain) == (0.5, 0)
    empty = steering.response(written(np.zeros((5, 4)), words=0), 0, DOSES)
    assert isnan(empty.dose) and isnan(empty.gain) and isnan(empty.in_range)
    outside = steering.response(written(np.ones((2, 4))), 0, (5.0,))
    assert outside.dose == 5.0 and isnan(outside.in_range)


def test_what_is_beyond_the_range_and_above_its_controls() -> None:
    assert [steering.beyond(dose) for dose in (-1.0, 0.0, 1.0, 1.01)] == [True, False, False, True]
    assert steering.above(2.0, [1.0, 2.0, 3.0, np.nan]) == pytest.approx(0.5)
    assert isnan(steering.above(np.nan, [1.0])) and isnan(steering.above(1.0, [np.nan]))
