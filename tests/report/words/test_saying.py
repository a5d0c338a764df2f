"""A difference is claimed where its whole interval lies on one side of 0."""

import dataclasses

import pytest
import torch

from autointerp.dictionaries import controls
from autointerp.dictionaries.canonical import Dictionary
from autointerp.report.data import Estimate
from autointerp.report.words import saying
from tests.report.builders import NAN, estimate


@pytest.mark.parametrize(
    ("item", "verdict"),
    [
        (estimate(0.2, 0.1, 0.3), "above"), (estimate(-0.2, -0.3, -0.1), "below"),
        (estimate(0.1, 0.0, 0.2), "undecided"),
        (estimate(0.2), "undecided"), (estimate(NAN), "unscored"), (None, "unscored"),
    ],
)  # fmt: skip
def test_sign(item: Estimate | None, verdict: str) -> None:
    assert saying.sign(item) == verdict


def test_difference_adds_margins_in_squares() -> None:
    # margins 0.03 and 0.04 on each side: sqrt(0.0009 + 0.0016) = 0.05
    found = saying.difference(estimate(0.7, 0.67, 0.73), estimate(0.6, 0.56, 0.64))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.05, 0.15))


def test_difference_takes_the_worse_grade() -> None:
    better, worse = estimate(0.7, 0.6, 0.8), dataclasses.replace(estimate(0.5, 0.4, 0.6), grade="D")
    assert saying.difference(better, worse).grade == "D"


def test_the_same_firings_are_known_by_the_words_of_the_control() -> None:
    eye = torch.eye(3)
    like = Dictionary(
        W_enc=eye, b_enc=torch.zeros(3), W_dec=eye, b_dec=torch.zeros(3), activation="relu", convention={}
    )
    assert controls.permuted(like, 0).convention["control"] == saying.SAME_FIRINGS
