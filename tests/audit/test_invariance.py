"""How judges agree with each other and with people: worked by hand on a few items, beside scikit-learn."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from autointerp import ratings
from autointerp.audit import crossed, invariance
from tests.krippendorff import ordinal_alpha

JUDGES = ("a", "b")
VERDICT = ["dictionary", "feature", "question", "control", "explainer", "scorer", "rubric", "item", "fires", "value"]


def judged(rows: list[tuple[Any, ...]], question: str = "specificity") -> pd.DataFrame:
    """Verdicts from (feature, item, explainer, control, fires, what a says, what b says)."""
    found = [
        ("d", feature, question, control, explainer, judge, "r", item, fires, value)
        for feature, item, explainer, control, fires, *said in rows
        for judge, value in zip(JUDGES, said, strict=True)
    ]
    return pd.DataFrame(found, columns=VERDICT).sample(frac=1, random_state=0)


def rated(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Ratings from (rater, feature, item, explainer, control, rating)."""
    found = [
        (rater, f"{at}", "d", feature, explainer, control, item, rating, 1.0)
        for at, (rater, feature, item, explainer, control, rating) in enumerate(rows)
    ]
    return pd.DataFrame(found, columns=list(ratings.COLUMNS)).astype(ratings.TYPES)


NOBODY = rated([])
nan = np.nan
# Eight items of four features; b gave no answer to the last.
ITEMS = [
    (1, "x", "e", "none", True, 3, 3), (1, "y", "e", "shuffled", True, 0, 1), (2, "x", "e", "none", True, 2, 3),
    (2, "z", "f", "none", False, 0, 0), (3, "u", "f", "none", True, 3, 2), (3, "v", "f", "shuffled", True, 1, 0),
    (4, "u", "e", "none", True, 3, 3), (4, "w", "e", "shuffled", False, 0, nan),
]  # fmt: skip
SAID = [(3, 3), (0, nan), (2, 3), (0, 1), (3, 3), (nan, 0), (nan, nan), (1, 0)]  # by ann and bob
PEOPLE = rated(
    [
        (rater, *item[:4], rating)
        for item, both in zip(ITEMS, SAID, strict=True)
        for rater, rating in zip(("ann", "bob"), both, strict=True)
    ]
)


def often(table: pd.DataFrame) -> pd.DataFrame:
    """The same of eight times as many features: kappa stays, and no resample is without any of them."""
    return pd.concat([table.assign(feature=table["feature"] + 10 * n) for n in range(8)], ignore_index=True)


def effects(verdicts: pd.DataFrame, people: pd.DataFrame) -> dict[str, Any]:
    return {effect.name: effect for effect in invariance.agreements(often(verdicts), often(people), JUDGES, 0, 200)}


def test_judges_and_people_are_compared_over_the_items_that_both_rated() -> None:
    found = effects(judged(ITEMS), PEOPLE)
    # Means 3, 0, 2.5, 0.5, 3, 0, nobody, 0.5: to the nearest step, a half up.
    people = [3, 0, 3, 1, 3, 0, 1]
    with_a = cohen_kappa_score([3, 0, 2, 0, 3, 1, 0], people, labels=range(4), weights="quadratic")
    with_b = cohen_kappa_score([3, 1, 3, 0, 2, 0], people[:6], labels=range(4), weights="quadratic")
    between = cohen_kappa_score([3, 0, 2, 0, 3, 1], [3, 1, 3, 0, 2, 0], labels=range(4), weights="quadratic")
    assert found["kappa with people, a"].value == pytest.approx(with_a)
    assert found["kappa with people, b"].value == pytest.approx(with_b)
    assert found["kappa among judges, specificity"].value == pytest.approx(between)
    both = np.tile(np.array(SAID, float).T, 8)
    a = np.tile(np.array([item[5] for item in ITEMS], float), 8)
    rated_by_somebody = ~np.isnan(both).all(axis=0)
    assert found["alpha among people"].value == pytest.approx(ordinal_alpha(both))
    assert found["alpha of people and judge, a"].value == pytest.approx(
        ordinal_alpha(np.vstack([both, np.where(rated_by_somebody, a, nan)]))
    )


def test_without_ratings_judges_are_compared_over_all_items() -> None:
    found = effects(judged(ITEMS), NOBODY)
    assert list(found) == ["kappa among judges, specificity"]
    between = cohen_kappa_score([3, 0, 2, 0, 3, 1, 3], [3, 1, 3, 0, 2, 0, 3], labels=range(4), weights="quadratic")
    assert found["kappa among judges, specificity"].value == pytest.approx(between)
    assert found["kappa among judges, specificity"].note == "Over all items of specificity."


def test_one_person_says_nothing_of_people_among_themselves() -> None:
    assert "alpha among people" not in effects(judged(ITEMS), PEOPLE[PEOPLE["rater"] == "ann"])


def test_detection_is_held_against_the_activations() -> None:
    rows = [(f, i, e, c, fires, int(a > 1), b if b != b else int(b > 1)) for f, i, e, c, fires, a, b in ITEMS]
    rows = [row for row in rows if row[3] == "none"] + [(5, "q", "e", "shuffled", True, 0, 0)]  # no control counts
    found = effects(judged(rows, "detection"), NOBODY)
    fires, a, b = [1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 1]
    assert found["kappa with the activations, a"].value == pytest.approx(cohen_kappa_score(a, fires))
    assert found["kappa among judges, detection"].value == pytest.approx(cohen_kappa_score(a, b))
    wrong = [(*row[:5], 1 - row[5], row[6]) for row in rows]
    turned = effects(judged(wrong, "detection"), NOBODY)
    assert turned["kappa with the activations, a"].value == pytest.approx(cohen_kappa_score([0, 0, 1, 0, 0], fires))
    assert turned["kappa with the activations, b"].value == pytest.approx(1)


def test_an_encoder_is_no_judge_that_says_yes_or_no() -> None:
    near = judged(ITEMS, "detection").assign(rubric="")
    assert effects(near, NOBODY) == {}


def test_confusions_count_what_a_judge_says_where_people_say_something() -> None:
    table = invariance.confusions(judged(ITEMS), PEOPLE, JUDGES)
    assert len(table) == 2 * 16 and table.columns.tolist() == ["scorer", "people", "judge", "count"]
    own = {key: n for key, n in table.set_index(["scorer", "people", "judge"])["count"].items() if n}
    assert own == {
        ("a", 3, 3): 2, ("a", 3, 2): 1, ("a", 0, 0): 1, ("a", 0, 1): 1, ("a", 1, 0): 2,
        ("b", 3, 3): 2, ("b", 3, 2): 1, ("b", 0, 1): 1, ("b", 0, 0): 1, ("b", 1, 0): 1,
    }  # fmt: skip
    assert invariance.confusions(judged(ITEMS), NOBODY, JUDGES).empty


def test_equal_opportunity_asks_of_own_explanations_that_people_rated() -> None:
    made: Any = SimpleNamespace(explainers=("e", "g"), judges=("b", "nobody", "a"))
    found = invariance.opportunity(judged(ITEMS), PEOPLE, made)
    assert found is not None
    high, good, features = found
    # (1, x) and (2, x) are by e, one of the design; (4, u) nobody rated; f is none of the design.
    assert high.shape == (2, 2, 3) and len(set(features.tolist())) == 2
    np.testing.assert_array_equal(high[:, 0], [[1, nan, 1], [1, nan, 0]])
    np.testing.assert_array_equal(good, [[1, nan], [1, nan]])
    assert np.isnan(high[:, 1]).all()
    assert invariance.opportunity(judged(ITEMS), NOBODY, made) is None
    nowhere: Any = SimpleNamespace(explainers=("g",), judges=JUDGES)
    assert invariance.opportunity(judged(ITEMS), PEOPLE, nowhere) is None


def test_nobody_has_rated_is_said() -> None:
    table = np.full((3, 2, 2), 0.5)
    numbers = np.array([0, 1]), np.array([0, 1])
    made = crossed.Design(("e", "f"), JUDGES, numbers, ("x", "y"), table, table, table, table, None)
    nothing = np.empty((2, 0)), np.empty(0, dtype=np.int64)
    found = {effect.name: effect for effect in crossed.audit(made, nothing, None, 0, 100)}
    assert found["equal opportunity"].note == "Nobody has rated: `autointerp rate`."
    assert not found["equal opportunity"].identified and not found["paraphrase change"].identified
