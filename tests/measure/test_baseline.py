"""What changed between two runs, against arithmetic and simulated truth; verdicts at every place of an interval."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.measure.baseline import changes, moved, verdict
from autointerp.measure.intervals import Interval, difference_interval

NAN = float("nan")


def mean(metric: str, value: float, low: float = NAN, high: float = NAN, **more: Any) -> dict[str, Any]:
    """A row of dictionaries.csv, as a file gives it back: empty cells are nan."""
    blank = {"dictionary": "d", "width": 4, "control": "none", "explainer": NAN, "scorer": NAN, "rubric": NAN}
    row = {"metric": metric, "value": value, "low": low, "high": high, "n": 4, "unscored": 0, "circularity": "A"}
    return {**blank, **row, **more}


def scored(metric: str, values: dict[int, float], **more: Any) -> list[dict[str, Any]]:
    blank = {"dictionary": "d", "control": "none", "explainer": "e", "scorer": "s", "rubric": "r"}
    return [{**blank, "feature": f, "metric": metric, "value": v, **more} for f, v in values.items()]


ARM = {"explainer": "e", "scorer": "s", "rubric": "r"}


def compared(
    now: dict[int, float], before: dict[int, float], was: dict[str, Any] | None = None, resamples: int = 200
) -> pd.DataFrame:
    """Changes of one metric of one arm."""
    means, means_before = (pd.DataFrame([mean("m", 0.5, **{**ARM, **more})]) for more in ({}, was or {}))
    scores, scores_before = pd.DataFrame(scored("m", now)), pd.DataFrame(scored("m", before, **(was or {})))
    return changes(means, means_before, scores, scores_before, 0, resamples)


def test_a_difference_is_paired_over_features_scored_in_both() -> None:
    row = compared({0: 0.5, 1: 0.7, 2: NAN, 3: 0.9}, {0: 0.4, 1: 0.4, 2: 0.1, 9: 0.2}).iloc[0]
    # (0.5 - 0.4 + 0.7 - 0.4) / 2; feature 2 is unscored now, 3 was not asked then, 9 is not asked any more
    assert row["difference"] == pytest.approx(0.2)
    assert (row["n"], row["unscored"], row["by"]) == (2, 3, "features")
    assert row["low"] <= 0.2 <= row["high"]


def test_pairing_takes_out_what_features_differ_in() -> None:
    rng = np.random.default_rng(0)
    before = dict(enumerate(rng.uniform(0, 1, 100)))
    now = {feature: value - 0.03 + rng.normal(0, 0.02) for feature, value in before.items()}
    row = compared(now, before).iloc[0]
    assert row["high"] < -0.02
    apart = difference_interval(*(Interval(0.5, 0.44, 0.56, 100, 0) for _ in range(2)))
    assert row["high"] - row["low"] < (apart.high - apart.low) / 10


@pytest.mark.parametrize("was", [{"rubric": "r2"}, {"scorer": "t"}, {"dictionary": "d2"}, {"control": "shuffled"}])
def test_what_is_another_number_is_not_compared(was: dict[str, Any]) -> None:
    assert compared({0: 0.5}, {0: 0.4}, was).empty


def test_the_worse_grade_stands() -> None:
    assert compared({0: 0.5}, {0: 0.4}, {"circularity": "D"})["circularity"].tolist() == ["D"]


def test_numbers_of_whole_dictionaries() -> None:
    now = pd.DataFrame([mean("loss", 0.9, 0.8, 1.0), mean("l0", 32.0), mean("variance", NAN), mean("new", 1.0)])
    before = pd.DataFrame([mean("loss", 0.6, 0.56, 0.63), mean("l0", 30.0), mean("variance", 0.5)])
    nobody = pd.DataFrame(scored("m", {}), columns=["dictionary", "feature", "metric", "control", *ARM, "value"])
    found = changes(now, before, nobody, nobody, 0).set_index("metric")
    assert list(found.index) == ["loss", "l0", "variance"]
    loss = found.loc["loss"]
    # 0.3 - hypot(0.1, 0.03), 0.3 + hypot(0.1, 0.04)
    assert (loss["difference"], loss["low"], loss["high"]) == pytest.approx((0.3, 0.195597, 0.407703), abs=1e-6)
    assert (found.loc["l0", "difference"], found.loc["l0", "by"]) == (2.0, "point")
    assert np.isnan(found.loc["l0", "low"]) and loss["by"] == "runs"
    assert np.isnan(found.loc["variance", "difference"])
    assert moved(found).index.tolist() == ["loss"]


def test_the_difference_of_independent_numbers_covers_as_it_says() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.6, 0.03, 4000), rng.normal(0.5, 0.05, 4000)
    inside = 0
    for a, b in zip(one, other, strict=True):
        found = difference_interval(
            Interval(a, a - 1.96 * 0.03, a + 1.96 * 0.03, 9, 0), Interval(b, b - 0.098, b + 0.098, 9, 0)
        )
        inside += found.low <= 0.1 <= found.high
    assert 0.94 < inside / 4000 < 0.96


def test_a_gate_seldom_fails_where_nothing_changed_and_often_where_it_did() -> None:
    rng = np.random.default_rng(2)
    failed = {0.0: 0, -0.06: 0}
    for fall in failed:
        for _ in range(150):
            before = dict(enumerate(rng.uniform(0, 1, 40)))
            now = {feature: value + fall + rng.normal(0, 0.08) for feature, value in before.items()}
            row = compared(now, before).iloc[0]
            failed[fall] += verdict("fall", 0.0, row["difference"], row["low"], row["high"]) == "failed"
    assert failed[0.0] <= 11  # 2.5% of 150 are 4; 11 or more have a chance of 0.1%
    assert failed[-0.06] > 140


# verdicts


@pytest.mark.parametrize(
    ("kind", "limit", "low", "high", "expected"),
    [
        ("fall", 0.02, -0.05, -0.03, "failed"),
        ("fall", 0.02, -0.05, -0.02, "undecided"),
        ("fall", 0.02, -0.05, 0.01, "undecided"),
        ("fall", 0.02, -0.02, 0.01, "passed"),
        ("fall", 0.0, 0.01, 0.02, "passed"),
        ("rise", 0.1, 0.11, 0.2, "failed"),
        ("rise", 0.1, 0.09, 0.2, "undecided"),
        ("rise", 0.1, -0.3, 0.1, "passed"),
        ("above", 0.3, 0.31, 0.4, "failed"),
        ("above", 0.3, 0.3, 0.4, "undecided"),
        ("above", 0.3, 0.1, 0.3, "passed"),
        ("below", 0.0, -0.2, -0.1, "failed"),
        ("below", 0.0, -0.2, 0.1, "undecided"),
        ("below", 0.0, 0.0, 0.1, "passed"),
    ],
)
def test_a_verdict_takes_the_whole_interval(kind: Any, limit: float, low: float, high: float, expected: str) -> None:
    assert verdict(kind, limit, (low + high) / 2, low, high) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.31, "failed"), (0.3, "passed"), (0.29, "passed"), (NAN, "undecided")]
)
def test_a_number_without_an_interval_decides_alone(value: float, expected: str) -> None:
    assert verdict("above", 0.3, value, NAN, NAN) == expected


def test_half_an_interval_is_none_and_an_interval_without_a_number_decides_nothing() -> None:
    assert verdict("above", 0.3, 0.4, 0.2, NAN) == verdict("above", 0.3, 0.4, NAN, 0.5) == "failed"
    assert verdict("above", 0.3, NAN, 0.4, 0.5) == "undecided"


def test_an_interval_that_ends_at_0_has_not_moved() -> None:
    frame = pd.DataFrame({"low": [0.0, 0.1, -0.2, -0.2], "high": [0.1, 0.2, 0.0, -0.1]})
    assert moved(frame).index.tolist() == [1, 3]


numbers = st.floats(-1, 1, allow_nan=False)


@given(low=numbers, width=st.floats(0, 1), limit=st.floats(0, 1))
def test_falling_and_rising_are_mirror_images(low: float, width: float, limit: float) -> None:
    high = low + width
    assert verdict("fall", limit, low, low, high) == verdict("rise", limit, -low, -high, -low)
    assert verdict("below", limit, low, low, high) == verdict("above", -limit, -low, -high, -low)


@given(low=numbers, width=st.floats(0, 1), limit=numbers, looser=st.floats(0, 1))
def test_a_looser_limit_never_fails_what_a_tighter_one_does_not(
    low: float, width: float, limit: float, looser: float
) -> None:
    order = ["failed", "undecided", "passed"]
    found = [verdict("above", at, low, low, low + width) for at in (limit, limit + looser)]
    assert order.index(found[0]) <= order.index(found[1])
