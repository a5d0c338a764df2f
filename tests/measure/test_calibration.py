"""Judges whose errors are known: what calibration says of them, worked by hand or made by chance."""

from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from autointerp.measure import calibration
from autointerp.measure.calibration import answers, calibrate

STATES = {"rule": "rule", "broader": "broader", "narrower": "narrower", "wrong": "wrong"}
TRUE = {"rule": 1.0, "broader": 0.8, "narrower": 0.6, "wrong": 0.2}


def scores(values: dict[str, list[float]], scorer: str = "judge", grade: str = "B", **more: str) -> pd.DataFrame:
    """Scores of explainers over features 0, 1, …"""
    blank = {"dictionary": "exact", "metric": "detection.ap", "control": "none", "scorer": scorer, "circularity": grade}
    return pd.DataFrame(
        [
            {**blank, **more, "explainer": explainer, "feature": feature, "value": value}
            for explainer, column in values.items()
            for feature, value in enumerate(column)
        ]
    )


def truths(n: int, scorer: str = "judge") -> pd.DataFrame:
    return scores({states: [value] * n for states, value in TRUE.items()}, scorer)


def said(rows: list[calibration.Row], quantity: str, against: str = "", scorer: str = "judge") -> calibration.Row:
    (found,) = [row for row in rows if (row["quantity"], row["against"], row["scorer"]) == (quantity, against, scorer)]
    return found


def test_a_perfect_reader_is_off_by_nothing_and_beats_what_can_be_beaten() -> None:
    rows = calibrate(truths(6), truths(6), STATES, 0, 100)
    assert said(rows, "error")["value"] == said(rows, "bias")["value"] == 0
    assert said(rows, "rank")["value"] == pytest.approx(1)
    assert all(said(rows, "beats", against)["value"] == 1 for against in ("broader", "narrower", "wrong"))
    assert said(rows, "beats", "wrong")["low"] < 0.7  # six of six are no proof of all


def test_errors_are_worked_by_hand() -> None:
    given = scores({"rule": [0.9, 0.5], "broader": [0.8, 0.9], "narrower": [0.6, 0.6], "wrong": [0.4, 0.2]})
    rows = calibrate(given, truths(2), STATES, 0, 100)
    # feature 0: -0.1, 0, 0, +0.2; feature 1: -0.5, +0.1, 0, 0
    assert said(rows, "error")["value"] == pytest.approx(((0.1 + 0.2) / 4 + (0.5 + 0.1) / 4) / 2)
    assert said(rows, "bias")["value"] == pytest.approx((0.1 / 4 - 0.4 / 4) / 2)
    assert said(rows, "beats", "broader")["value"] == 0.5
    assert said(rows, "beats", "narrower")["value"] == 0.5
    assert said(rows, "beats", "wrong")["value"] == 1
    assert said(rows, "beats", "broader")["reader"] == 1


def test_ties_count_half_and_what_is_unscored_does_not_count() -> None:
    given = scores({"rule": [0.5, 0.5, nan], "wrong": [0.5, 0.1, 0.1], "writer": [0.5, nan, 0.9]})
    rows = calibrate(given, truths(3), STATES, 0, 100)
    wrong, writer = said(rows, "beats", "wrong"), said(rows, "beats", "writer")
    assert (wrong["value"], wrong["n"], wrong["unscored"]) == (0.75, 2, 1)
    assert (writer["value"], writer["n"], writer["unscored"]) == (0.5, 1, 2)
    assert isnan(float(str(writer["reader"])))  # nobody knows what a perfect reader makes of it


def test_an_arm_takes_the_worse_grade_and_judges_of_one_grade_are_taken_together() -> None:
    one = scores({"rule": [0.9] * 4, "wrong": [0.3] * 4}, "one")
    other = scores({"rule": [0.7] * 4, "wrong": [0.2] * 4}, "other")
    writer = scores({"writer": [0.8] * 4}, "one", "D")
    worse = scores({"rule": [0.2] * 4, "wrong": [0.2] * 4}, "a subject", "E")
    right = pd.concat([truths(4, name) for name in ("one", "other", "a subject")])
    rows = calibrate(pd.concat([one, other, writer, worse]), right, STATES, 0, 100)
    assert said(rows, "beats", "writer", "one")["circularity"] == "D"
    assert said(rows, "beats", "wrong", "one")["circularity"] == "B"
    together = [(row["circularity"], row["value"]) for row in rows if not row["scorer"]]
    assert together == [("B", pytest.approx((0.1 + 0.15) / 2)), ("E", pytest.approx(0.4))]


def test_the_order_of_a_judge_that_guesses_is_no_order() -> None:
    rng = np.random.default_rng(0)
    given = scores({states: rng.random(60).tolist() for states in STATES})
    found = said(calibrate(given, truths(60), STATES, 0, 200), "rank")
    assert float(str(found["low"])) < 0 < float(str(found["high"]))
    better = scores({s: (TRUE[s] + 0.05 * rng.standard_normal(60)).tolist() for s in STATES})
    assert float(str(said(calibrate(better, truths(60), STATES, 0, 200), "rank")["low"])) > 0.9


def test_controls_and_second_numbers_of_a_question_take_no_part() -> None:
    noise = [
        scores({"rule": [0.0] * 3}, control="shuffled"),
        scores({"rule": [0.0] * 3}, metric="detection.auroc"),
        scores({"": [0.0] * 3}, metric="detection.ap"),
    ]
    rows = calibrate(pd.concat([truths(3), *noise]), truths(3), STATES, 0, 100)
    assert {row["metric"] for row in rows} == {"detection.ap"}
    assert said(rows, "error")["value"] == 0


def verdicts(wrong: dict[str, np.ndarray], n: int, per: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Yes or no of judges over n features of `per` items, and the right answers; `wrong` says where they err."""
    rng = np.random.default_rng(1)
    true = rng.integers(2, size=n * per).astype(float)
    blank = {"dictionary": "exact", "question": "detection", "control": "none", "explainer": "rule", "rubric": "r"}
    tables = []
    for flip in (True, False):
        rows = [
            {**blank, "scorer": scorer, "feature": at // per, "item": str(at),
             "value": abs(true[at] - (flip and bool(errs[at])))}
            for scorer, errs in wrong.items()
            for at in range(n * per)
        ]  # fmt: skip
        tables.append(pd.DataFrame(rows))
    return tables[0], tables[1]


def test_answers_are_counted_item_by_item_and_shared_errors_found() -> None:
    rng = np.random.default_rng(2)
    n, per = 60, 10
    shared, own = rng.random(n * per) < 0.2, rng.random((2, n * per)) < 0.2
    tables = verdicts({"a": shared, "b": shared, "c": own[0]}, n, per)
    rows = list(answers(*tables, 0, 200))
    rates = {row["scorer"]: row["value"] for row in rows if row["quantity"] == "wrong_answers"}
    assert rates == {"a": pytest.approx(shared.mean()), "b": rates["a"], "c": pytest.approx(own[0].mean())}
    (r_err,) = [row for row in rows if row["quantity"] == "shared_error"]
    (n_eff,) = [row for row in rows if row["quantity"] == "effective_judges"]
    # Two judges that err alike and one apart: r_err = (1 + 0 + 0) / 3, n_eff = 3 / (1 + 2 / 3)
    assert float(str(r_err["value"])) == pytest.approx(1 / 3, abs=0.06)
    assert float(str(n_eff["value"])) == pytest.approx(1.8, abs=0.15)
    assert n_eff["reader"] == 3


def test_one_judge_shares_its_errors_with_nobody() -> None:
    rows = list(answers(*verdicts({"a": np.ones(20, bool)}, 4, 5), 0, 100))
    assert [row["quantity"] for row in rows] == ["wrong_answers"]
    assert rows[0]["value"] == 1


@pytest.mark.parametrize("change", [{"question": "specificity"}, {"control": "shuffled"}, {"rubric": ""}])
def test_only_a_judges_yes_or_no_to_real_explanations_is_counted(change: dict[str, str]) -> None:
    given, true = verdicts({"a": np.arange(20) % 4 == 0, "b": np.arange(20) % 5 == 0}, 4, 5)
    other = given.assign(value=1 - given["value"], **change)
    both = pd.concat([given, other]), pd.concat([true, true.assign(**change)])
    assert [row["value"] for row in answers(*both, 0, 100)] == [row["value"] for row in answers(given, true, 0, 100)]
