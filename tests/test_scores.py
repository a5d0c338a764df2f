"""All scores of one run with a judge and a writer that know the rules, held against what they have to be."""

from typing import Any

import pandas as pd
import pytest

import autointerp
from tests import planted as plant

QUESTIONS = ["detection", "fuzzing", "simulation", "specificity"]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("scores")
    planted = plant.plant(folder / "planted", n_documents=96)
    tree: dict[str, Any] = plant.settings(planted)
    tree["scorers"] = {
        "judge": plant.scripted("judge_knowing", explainers=["knows"], scores=QUESTIONS),
        "reader": {
            "kind": "surprisal",
            "model": str(planted.folder / "subject"),
            "explainers": ["knows"],
            "controls": ["shuffled"],
            "features": 3,
        },
    }
    tree["generators"] = {
        "writer": plant.scripted("write_knowing", explainers=["knows"], texts=6, near_misses=4),
    }
    return autointerp.run(plant.write_config(folder / "all.toml", tree), out=folder).scores()


def of(scores: pd.DataFrame, metric: str, control: str = "none") -> pd.Series:
    found = scores[(scores["metric"] == metric) & (scores["control"] == control)].set_index("feature")["value"]
    assert len(found)
    return found.dropna()


@pytest.mark.parametrize(
    "metric", ["detection.ap", "detection.f1", "detection.f1_corpus", "detection.balanced_accuracy"]
)
def test_a_judge_that_knows_the_rule_finds_every_firing_excerpt(scores: pd.DataFrame, metric: str) -> None:
    assert (of(scores, metric) == 1).all()


def test_it_tells_right_marks_from_wrong_ones(scores: pd.DataFrame) -> None:
    found = of(scores, "fuzzing.ap")
    assert len(found) >= 8
    assert (found == 1).all()
    assert (of(scores, "fuzzing.f1") == 1).all()


def test_its_simulation_is_right_but_for_loudness(scores: pd.DataFrame) -> None:
    """Features of one word are loud or silent; among others a constant 10 misses that words differ in loudness."""
    found = of(scores, "simulation.pearson")
    alone = [feature for feature in found.index if len(plant.RULES[feature]) == 1]
    assert (found.loc[alone] > 0.999).all()
    assert found.min() > 0.7


def test_firing_is_rated_3_and_marks_on_silent_text_0(scores: pd.DataFrame) -> None:
    for marginal in ("mean", "density_weighted", "mass_weighted"):
        assert (of(scores, f"specificity.{marginal}") == 3).all()
    assert (of(scores, "specificity.silent") == 0).all()


def test_texts_with_the_words_make_the_feature_fire_and_near_misses_do_not(scores: pd.DataFrame) -> None:
    for metric in ("generated", "generated_strong"):
        assert (of(scores, f"sensitivity.{metric}") == 1).all()
    assert (of(scores, "sensitivity.near_miss") == 0).all()


def test_explanations_of_others_fail_and_every_control_is_a_row(scores: pd.DataFrame) -> None:
    for metric in ("detection.ap", "fuzzing.ap", "simulation.pearson", "specificity.mean", "sensitivity.generated"):
        for control in ("shuffled", "hard_shuffled", "generic"):
            own, theirs = of(scores, metric), of(scores, metric, control)
            assert theirs.mean() < own.mean() - 0.2, (metric, control)
            gain = of(scores, f"{metric}.minus_{control}")
            pd.testing.assert_series_equal(gain, (own - theirs).dropna(), check_names=False)


def test_always_yes_is_what_arithmetic_says(scores: pd.DataFrame) -> None:
    # At a share of firing excerpts p, recall is 1 and precision p: F1 = 2 p / (1 + p), 1/3 at the default 0.2.
    assert of(scores, "detection.f1", "always_all").unique().tolist() == pytest.approx([1 / 3])
    assert of(scores, "detection.f1", "always_none").unique().tolist() == [0]


def test_excerpts_alone_are_the_ceiling(scores: pd.DataFrame) -> None:
    """An excerpt that begins a text of its own loses its first word, which never counts."""
    own, written = of(scores, "sensitivity.original"), of(scores, "sensitivity.generated")
    assert ((own > 0) & (own <= 1)).all()
    assert (own < 1).any()
    expected = (written / own).dropna()
    pd.testing.assert_series_equal(of(scores, "sensitivity.normalised"), expected, check_names=False)


def test_surprisal_is_scored_for_the_features_that_were_asked_for(scores: pd.DataFrame) -> None:
    found = scores[(scores["metric"] == "surprisal.ap") & (scores["control"] == "none")]
    assert len(found) == 3
    assert found["value"].between(0, 1).any()


def test_every_empty_value_has_a_reason(scores: pd.DataFrame) -> None:
    empty = scores[scores["value"].isna()]
    assert len(empty)
    assert (empty["unscored_reason"].fillna("") != "").all()
