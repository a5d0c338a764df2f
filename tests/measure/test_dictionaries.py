"""What is said about a dictionary, from hand-made scores of its features."""

import math

import numpy as np
import pandas as pd
import pytest

from autointerp.measure.dictionaries import COLUMNS, SHARE, Figures, summarise
from autointerp.measure.intervals import mean_interval, superiority_interval, wilson

FIGURES = {"d": Figures(width=8, dead=2, l0=3.0, explained_variance=0.9, n_positions=100, n_documents=10)}
NAN = math.nan


def rows(
    explainer: str, values: list[float], metric: str = "detection.ap", grade: str = "B"
) -> list[dict[str, object]]:
    """One score a feature, by one judge."""
    blank = {"dictionary": "d", "metric": metric, "control": "none", "scorer": "ben", "rubric": "", "low": 0, "high": 1}
    return [
        blank | {"feature": feature, "explainer": explainer, "value": value, "circularity": grade}
        for feature, value in enumerate(values)
    ]


def told(scores: list[dict[str, object]], entropies: dict[tuple[str, int], float] | None = None) -> pd.DataFrame:
    table = summarise(pd.DataFrame(scores), FIGURES, entropies or {}, ["d"], seed=0, resamples=200)
    return table.set_index(["metric", "explainer"])


def test_features_of_one_token_stand_apart() -> None:
    # Entropies of 0 and 0.9 bits are below one bit, 1 and 4 are not; a feature without an entropy is no exception.
    entropies = {("d", 0): 0.0, ("d", 1): 0.9, ("d", 2): 1.0, ("d", 3): 4.0}
    table = told(rows("ann", [0.9, 0.7, 0.4, 0.2, 0.3]), entropies)
    assert table.loc[("detection.ap", "ann"), "value"] == pytest.approx(0.5)
    single, many = (table.loc[(f"detection.ap.{kind}", "ann")] for kind in ("single_token", "many_tokens"))
    assert (single["value"], single["n"]) == (pytest.approx(0.8), 2)
    assert (many["value"], many["n"]) == (pytest.approx(0.3), 3)


def test_an_unscored_feature_is_counted_on_its_side() -> None:
    table = told(rows("ann", [0.9, NAN, 0.4]), {("d", 0): 0.0, ("d", 1): 0.0, ("d", 2): 3.0})
    single = table.loc[("detection.ap.single_token", "ann")]
    assert (single["n"], single["unscored"]) == (1, 1)


def divided(table: pd.DataFrame) -> set[tuple[str, str]]:
    """Which numbers stand once more by kind of feature: metric and control."""
    parts = table.reset_index()[["metric", "control"]].itertuples(index=False, name=None)
    return {(metric, control) for metric, control in parts if metric.endswith((".single_token", ".many_tokens"))}


def test_only_primary_numbers_are_divided_and_no_controls() -> None:
    both_kinds = {("d", 0): 0.0}
    control = [row | {"control": "shuffled"} for row in rows("ann", [0.5, 0.6])]
    table = told(rows("ann", [0.1, 0.2]) + rows("ann", [0.1, 0.2], "detection.auroc") + control, both_kinds)
    assert divided(table) == {("detection.ap.single_token", "none"), ("detection.ap.many_tokens", "none")}


@pytest.mark.parametrize("entropy", [0.0, 3.0])
def test_features_of_one_kind_are_not_divided(entropy: float) -> None:
    assert not divided(told(rows("ann", [0.1, 0.2]), {("d", 0): entropy, ("d", 1): entropy}))


def test_a_share_has_wilsons_bounds_and_a_mean_a_bootstraps() -> None:
    values = [1.0, 0.0, 1.0, 1.0]
    table = told(rows("ann", values) + rows("", values, SHARE))
    share, mean = table.loc[(SHARE, "")], table.loc[("detection.ap", "ann")]
    assert (share["value"], share["low"], share["high"]) == pytest.approx((3 / 4, *wilson(3, 4)))
    expected = mean_interval(np.array(values), 0, 200)
    assert (mean["value"], mean["low"], mean["high"]) == (expected.value, expected.low, expected.high)


def test_a_table_of_no_dictionary_has_its_columns() -> None:
    assert summarise(pd.DataFrame(rows("ann", [0.1])), {}, {}, [], 0, 10).columns.tolist() == COLUMNS


def test_two_explainers_that_rank_features_alike_agree() -> None:
    scores = rows("ann", [0.1, 0.2, 0.3, 0.4, 0.5]) + rows("bob", [0.2, 0.3, 0.5, 0.6, 0.9], grade="D")
    found = told(scores).loc[("agreement.detection.ap", "ann and bob")]
    assert found["value"] == 1
    assert (found["n"], found["unscored"], found["circularity"]) == (5, 0, "D")


def test_agreement_is_over_the_features_that_both_have() -> None:
    # Ranks over features 0, 2, 3, 4: ann 1 2 3 4, bob 2 1 3 4; rho = 1 - 6 (1 + 1) / (4 (16 - 1)) = 0.8
    scores = rows("ann", [0.1, 0.2, 0.3, 0.4, 0.5]) + rows("bob", [0.3, NAN, 0.2, 0.6, 0.9])
    found = told(scores).loc[("agreement.detection.ap", "ann and bob")]
    assert found["value"] == pytest.approx(0.8)
    assert (found["n"], found["unscored"]) == (4, 1)
    assert found["low"] <= found["value"] <= found["high"]


def test_agreement_with_an_explainer_that_nobody_scored_is_unknown() -> None:
    found = told(rows("ann", [NAN] * 5) + rows("bob", [0.1, 0.2, 0.3, 0.4, 0.5]))
    agreed = found.loc[("agreement.detection.ap", "ann and bob")]
    assert math.isnan(agreed["value"]) and (agreed["n"], agreed["unscored"]) == (0, 5)


def test_one_explainer_agrees_with_nobody() -> None:
    assert not any(metric.startswith("agreement") for metric, _ in told(rows("ann", [0.1, 0.2])).index)


def test_a_difference_is_paired() -> None:
    gains = np.array([0.1, 0.2, NAN, 0.3])
    found = told(rows("ann", gains.tolist(), "detection.ap.minus_shuffled")).loc[("detection.ap.minus_shuffled", "ann")]
    assert (found["value"], found["n"], found["unscored"]) == (pytest.approx(0.2), 3, 1)


# features chosen by hand


def test_picked_features_count_in_no_number_but_their_own() -> None:
    entropies = {("d", feature): 0.0 if feature % 2 else 3.0 for feature in range(7)}
    seeded = [0.2, 0.4, 0.6, 0.8, 0.3]
    both = rows("ann", seeded) + rows("bob", seeded[::-1]) + rows("", [1.0, 0.0, 1.0, 0.0, 0.0], SHARE)
    picks = rows("ann", [0.9, 0.1]) + rows("bob", [0.7, 0.9]) + rows("", [1.0, 1.0], SHARE)
    picks = [row | {"feature": 5 + int(row["feature"])} for row in picks]
    picked = {("d", 5), ("d", 6)}
    alone = summarise(pd.DataFrame(both), FIGURES, entropies, ["d"], 0, 200)
    beside = summarise(pd.DataFrame(both + picks), FIGURES, entropies, ["d"], 0, 200, picked)
    pd.testing.assert_frame_equal(alone, beside)


def test_the_mean_percentile_is_of_the_picked_features_alone() -> None:
    metric = "detection.ap.percentile"
    placed = rows("ann", [0.0, 0.25, 0.5, 0.75, 1.0, 0.9, 0.7, NAN], metric)
    table = summarise(
        pd.DataFrame(placed).assign(n=40), FIGURES, {}, ["d"], 0, 200, {("d", 5), ("d", 6), ("d", 7), ("e", 0)}
    )
    (row,) = table[table["metric"] == metric].to_dict("records")
    assert (row["control"], row["value"], row["n"], row["unscored"]) == ("hand-picked", pytest.approx(0.8), 2, 1)
    assert (row["low"], row["high"]) == superiority_interval(row["value"], 2, 40)
    assert row["circularity"] == "B"
    unpicked = summarise(pd.DataFrame(placed).assign(n=40), FIGURES, {}, ["d"], 0, 200)
    assert metric not in set(unpicked["metric"])


def test_without_a_seeded_sample_there_is_no_mean() -> None:
    scores = pd.DataFrame(rows("ann", [0.9, 0.7]) + rows("ann", [NAN, NAN], "detection.ap.percentile")).assign(n=0)
    table = summarise(scores, FIGURES, {}, ["d"], 0, 200, {("d", 0), ("d", 1)}).set_index("metric")
    mean, place = table.loc["detection.ap"], table.loc["detection.ap.percentile"]
    assert (math.isnan(mean["value"]), mean["n"], mean["unscored"], mean["circularity"]) == (True, 0, 0, "B")
    assert (math.isnan(place["value"]), place["n"], place["unscored"]) == (True, 0, 2)
