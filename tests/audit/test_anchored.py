"""Means of judges corrected by people: the bias of a judge goes, whatever it is."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp import toml
from autointerp.audit.anchored import corrected, more_to_rate
from tests import planted

FEATURES, EACH, BIAS = 60, 5, 0.6


def verdicts(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A judge that is BIAS too kind, and what people would say of every item."""
    rng = np.random.default_rng(seed)
    rows, said = [], []
    for feature, level in enumerate(rng.normal(1.5, 0.4, FEATURES)):
        for item in range(EACH):
            truth = float(np.clip(round(level + rng.normal(0, 0.4)), 0, 3))
            judge = float(np.clip(truth + BIAS + rng.normal(0, 0.3), 0, 3))
            at = ("d", feature, "e", f"x{feature}.{item}")
            said.append((*at, truth))
            for fires, control, value in ((True, "none", judge), (False, "none", 0.0), (True, "shuffled", 0.1)):
                name = at[3] if fires else f"silent {feature}.{item}"
                rows.append(("d", feature, "specificity", control, "e", "j", "r", name, f"bin{item}", fires, value))
    columns = ["dictionary", "feature", "question", "control", "explainer", "scorer", "rubric", "item", "stratum"]
    return (
        pd.DataFrame(rows, columns=[*columns, "fires", "value"]),
        pd.DataFrame(said, columns=["dictionary", "feature", "explainer", "excerpt", "rating"]).assign(control="none"),
    )


def test_a_kind_judge_is_corrected_and_the_number_is_anchored() -> None:
    table, people = verdicts()
    truth = people["rating"].mean()
    rated = people[people["feature"].isin(np.random.default_rng(1).permutation(FEATURES)[:25])]
    (row,) = corrected(table, pd.concat([rated, rated.assign(control="shuffled", rating=0.0)]))
    assert (row["metric"], row["control"], row["circularity"]) == ("specificity.mean", "ppi", "A")
    assert (row["n"], row["unscored"]) == (25, FEATURES - 25)
    assert row["low"] <= truth <= row["high"]
    judged = table[(table["control"] == "none") & table["fires"]]["value"].mean()
    assert abs(row["value"] - truth) < 0.2 < judged - truth


def test_two_people_are_averaged_and_skipped_items_are_not_rated() -> None:
    table, people = verdicts()
    both = pd.concat([people.assign(rating=people["rating"] + 0.2), people.assign(rating=people["rating"] - 0.2)])
    whole, averaged = next(iter(corrected(table, people))), next(iter(corrected(table, both)))
    assert averaged["value"] == pytest.approx(whole["value"]) == pytest.approx(people["rating"].mean(), abs=1e-9)
    half = people.assign(rating=people["rating"].where(people["feature"] % 2 == 0))
    assert next(iter(corrected(table, half)))["n"] == FEATURES / 2


def test_what_else_a_verdict_lacks_does_not_matter() -> None:
    table, people = verdicts()
    assert list(corrected(table.assign(logprob=np.nan), people)) == list(corrected(table, people))


def test_one_rated_item_speaks_for_its_whole_feature() -> None:
    # Features 0 to 3 have 1 to 4 items, of which one each was drawn and rated 0 to 3. The judge says 1 of everything,
    # so it is of no use: what is left is people's mean over features, (0 + 1 + 2 + 3) / 4.
    table, _ = verdicts()
    like = table[(table["control"] == "none") & table["fires"]].iloc[0].to_dict()
    items = [(feature, f"x{feature}.{at}") for feature in range(4) for at in range(feature + 1)]
    judged = pd.DataFrame([like | {"feature": f, "item": item, "stratum": "bin0", "value": 1.0} for f, item in items])
    said = {"dictionary": "d", "explainer": "e", "control": "none"}
    rated = pd.DataFrame([said | {"feature": f, "excerpt": f"x{f}.0", "rating": float(f)} for f in range(4)])
    (row,) = corrected(judged, rated)
    assert row["value"] == pytest.approx(1.5)


def test_how_many_more_features_would_halve_the_interval() -> None:
    """As many as the correction says; what rating everything would not reach is no number."""
    table, people = verdicts()
    drawn = np.random.default_rng(1).permutation(FEATURES)
    (few,), (many,) = (more_to_rate(table, people[people["feature"].isin(drawn[:n])]) for n in (4, 50))
    assert few.name == "more features to rate, e by j, d" and few.n == 4
    assert few.identified and 0 < few.value <= FEATURES - 4 and np.isnan(few.low)
    (now,), (then,) = (
        list(corrected(table, people[people["feature"].isin(drawn[: 4 + int(n)])])) for n in (0, few.value)
    )
    assert then["high"] - then["low"] == pytest.approx((now["high"] - now["low"]) / 2, rel=0.5)
    assert not many.identified and "No number" in many.note
    assert more_to_rate(table, people.iloc[:0]) == []


def test_too_few_ratings_correct_nothing() -> None:
    table, people = verdicts()
    assert list(corrected(table, people[people["feature"] == 3])) == []
    assert list(corrected(table, people.iloc[:0])) == []
    assert list(corrected(table, people.assign(dictionary="another"))) == []


def test_a_report_shows_what_people_correct(tmp_path: Path) -> None:
    """Everything is rated 2 by people: so is the corrected mean, whatever the judge said."""
    tree = planted.settings(planted.plant(tmp_path))
    judge = planted.scripted("judge_knowing") | {"scores": ["detection", "specificity"]}
    tree |= {"explainers": {"knows": planted.scripted("explain_knowing")}, "scorers": {"judge": judge}}
    settings = toml.build(tree, "test")
    run = autointerp.run(settings, out=tmp_path / "runs")
    assert "ppi" not in set(run.dictionaries()["control"])
    judged = pd.read_parquet(run.path / "verdicts.parquet")
    own = judged[(judged["question"] == "specificity") & (judged["control"] == "none") & judged["fires"]]
    (run.path / "ratings").mkdir()
    lines = [
        {"rater": "ann", "item": str(at), "dictionary": row["dictionary"], "feature": row["feature"],
         "explainer": "knows", "control": "none", "excerpt": row["item"], "rating": 2, "seconds": 1.0}
        for at, row in enumerate(own.to_dict("records"))
    ]  # fmt: skip
    (run.path / "ratings" / "ann.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = autointerp.run(settings, out=tmp_path / "runs")
    table = again.dictionaries()
    (row,) = table[table["control"] == "ppi"].to_dict("records")
    assert (row["metric"], row["value"], row["circularity"]) == ("specificity.mean", pytest.approx(2.0), "A")
    plain = table[(table["metric"] == "specificity.mean") & (table["control"] == "none")].iloc[0]
    assert plain["value"] == pytest.approx(3.0) and plain["circularity"] > "A"
    assert "prediction-powered" in again.report.read_text("utf-8")
