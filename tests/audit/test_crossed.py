"""The crossed design of a run: what is read off its scores and verdicts, and what is found of planted kinship."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp import toml
from autointerp.audit import crossed
from autointerp.audit.crossed import UNKNOWN, families
from autointerp.errors import UserError
from autointerp.measure.circularity import shared_error
from autointerp.pipeline import audit
from tests import planted

CLAUDE, GPT, OTHER = ("anthropic", "claude-opus-5-5", ""), ("openai", "gpt-6.1-sol", ""), ("openai", "my-model", "")
ROLES: Any = SimpleNamespace(
    explainers={"by claude": [CLAUDE], "by gpt": [GPT], "by code": []},
    scorers={"claude": [CLAUDE], "gpt": [GPT]},
    paraphraser=[],
)
EXPLAINERS, JUDGES = ("by claude", "by gpt"), ("claude", "gpt")


def table(n: int, kinship: float, seed: int = 0) -> pd.DataFrame:
    """scores.parquet of n features: kinship in both own cells, a lenient judge, a better explainer, hard features."""
    rng = np.random.default_rng(seed)
    rows = []
    for feature, ease in enumerate(rng.normal(0.5, 0.1, n)):
        for e, explainer in enumerate(EXPLAINERS):
            for j, judge in enumerate(JUDGES):
                true = ease + 0.1 * e + 0.05 * j + kinship * (e == j) + rng.normal(0, 0.05)
                for control, value in (("none", true), ("shuffled", 0.3 + 0.05 * j), ("permuted", 0.2)):
                    rows.append(("d", feature, "detection.ap", control, explainer, judge, value))
    names = ["dictionary", "feature", "metric", "control", "explainer", "scorer", "value"]
    return pd.DataFrame(rows, columns=names).sample(frac=1, random_state=seed)


def effects(scores: pd.DataFrame, roles: Any = ROLES) -> dict[str, Any]:
    made = crossed.design(scores, roles, EXPLAINERS, JUDGES)
    nothing = np.empty((2, 0)), np.empty(0, dtype=np.int64)
    return {row["effect"]: row for row in crossed.rows(crossed.audit(made, nothing, None, 0, 500))}


def test_families_are_those_of_known_lineages_alone() -> None:
    known: dict[str, int] = {}
    two_of_one = [CLAUDE, ("anthropic", "claude-opus-5-5", "claude-opus-5-5-20260601")]
    found = families([[CLAUDE], [GPT], [OTHER], [], two_of_one, [CLAUDE, GPT], [CLAUDE, OTHER]], known)
    assert found.tolist() == [0, 1, UNKNOWN, UNKNOWN, 0, UNKNOWN, UNKNOWN]


def test_whose_kin_the_paraphraser_is_is_said() -> None:
    known: dict[str, int] = {}
    claudes = families([[CLAUDE]], known)
    said = [crossed.related([model], ["by claude"], ["claude"], (claudes, claudes), known) for model in (CLAUDE, GPT)]
    assert said == ["The paraphraser is of the family of the explainer by claude, the judge claude.", ""]
    assert "not known" in crossed.related([OTHER], ["by claude"], ["claude"], (claudes, claudes), known)


@pytest.mark.parametrize("kinship", [0.0, 0.1])
def test_planted_kinship_is_found_and_nothing_else_looks_like_it(kinship: float) -> None:
    found = effects(table(80, kinship))
    own = next(row for name, row in found.items() if name.startswith("self"))
    assert own["identified"] and own["low"] <= kinship <= own["high"]
    assert own["value"] == pytest.approx(kinship, abs=0.02)
    assert "after Holm" in own["note"] and own["n"] == 80
    # Own cells are at 0.5 + (0 + 0.15) / 2 and kinship, and shuffled explanations at (0.3 + 0.35) / 2.
    assert found["circular share"]["value"] == pytest.approx(kinship / (0.25 + kinship), abs=0.04)
    # Claude gives its own and the better explanation 0.55 and half of the kinship, shuffled ones 0.3, by guessing 0.2.
    assert found["owed to the explanation, claude"]["value"] == pytest.approx(0.25 + kinship / 2, abs=0.03)
    assert found["leaked share, claude"]["value"] == pytest.approx(0.1 / (0.35 + kinship / 2), abs=0.03)


def test_each_effect_has_its_place_in_the_table() -> None:
    kinds = [name.split(",")[0].split(" of family")[0] for name in effects(table(10, 0.1))]
    by_judge = ["owed to the explanation", "leaked share"] * 2
    assert kinds == [
        "self-preference", "same-family gap", "self-preference", "self-preference", "circular share", *by_judge,
        "paraphrase change", "equal opportunity",
    ]  # fmt: skip


def test_one_judge_that_says_yes_or_no_shares_its_errors_with_nobody() -> None:
    made = crossed.design(table(10, 0.1), ROLES, EXPLAINERS, JUDGES)
    alone = crossed.audit(made, (np.arange(10.0)[None] % 2, np.arange(10)), None, 0, 50)
    assert not [effect.name for effect in alone if effect.name in ("shared error", "effective judges")]


def test_a_feature_counts_where_every_cell_was_asked() -> None:
    scores = table(20, 0.1)
    scores = scores[~((scores["feature"] == 3) & (scores["explainer"] == "by gpt") & (scores["scorer"] == "gpt"))]
    made = crossed.design(scores, ROLES, EXPLAINERS, JUDGES)
    assert made.y.shape == made.shuffled.shape == (19, 2, 2)
    row = scores[(scores["feature"] == 5) & (scores["control"] == "none")].set_index(["explainer", "scorer"])["value"]
    expected = [[row[e, j] for j in JUDGES] for e in EXPLAINERS]
    np.testing.assert_allclose(made.y[[f for f in range(20) if f != 3].index(5)], expected)


def test_errors_of_the_same_items_stand_in_one_column() -> None:
    rows = [
        ("d", feature, "detection", "none", "e", judge, "r", item, True, value)
        for feature, item, said in ((1, "x", (1, 0)), (1, "y", (1, 1)), (2, "x", (0, 0)))
        for judge, value in zip(JUDGES, said, strict=True)
    ]
    rows.append(("d", 2, "detection", "none", "e", "gpt", "r", "z", False, 1.0))  # claude said nothing of it
    rows.append(("d", 2, "detection", "shuffled", "e", "gpt", "r", "x", True, 1.0))
    names = ["dictionary", "feature", "question", "control", "explainer", "scorer", "rubric", "item", "fires", "value"]
    wrong, clusters = crossed.errors(pd.DataFrame(rows, columns=names), JUDGES)
    assert wrong.tolist() == [[0, 0, 1], [1, 0, 1]]
    assert clusters.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("shared", "r_err"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_judges_that_err_apart_share_no_error_though_they_can_only_err_one_way(shared: float, r_err: float) -> None:
    """A fifth of the answers is wrong; `shared` of the items are answered by one coin for both judges."""
    rng = np.random.default_rng(5)
    n, per = 200, 20
    fires, coin = rng.random(n * per) < 0.5, rng.random((3, n * per)) < 0.2
    together = rng.random(n * per) < shared
    blank = {"dictionary": "d", "question": "detection", "control": "none", "explainer": "e", "rubric": "r"}
    frames = [
        pd.DataFrame(
            {
                **blank,
                "scorer": judge,
                "feature": np.arange(n * per) // per,
                "item": np.arange(n * per).astype(str),
                "fires": fires,
                "value": (fires ^ np.where(together, coin[0], own)).astype(float),
            }
        )
        for judge, own in zip(JUDGES, coin[1:], strict=True)
    ]
    r, n_eff = shared_error(*crossed.errors(pd.concat(frames), JUDGES), 0, 400)
    assert r.value == pytest.approx(r_err, abs=0.05)
    assert n_eff.value == pytest.approx(2 / (1 + r_err), rel=0.1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A planted run with two explainers and two judges of unknown lineage."""
    found = planted.settings(planted.plant(tmp_path_factory.mktemp("crossed")))
    knows = planted.scripted("explain_knowing")
    found["explainers"] = {
        "knows": knows,
        "again": knows | {"sample": 1},
        "talks": planted.scripted("explain_nonsense"),
    }
    found["scorers"] = {"judge": planted.scripted("judge_knowing"), "other": planted.scripted("judge_ignoring")}
    return found


def test_an_audit_is_part_of_the_report_and_of_its_files(tree: dict[str, Any], tmp_path: Path) -> None:
    asked = tree | {"audit": {"explainers": ["knows", "again", "talks"], "scorers": ["judge", "other"]}}
    run = autointerp.run(toml.build(asked, "test"), out=tmp_path)
    found = pd.read_csv(run.path / "report" / "circularity.csv")
    assert found.columns.tolist() == ["effect", "value", "low", "high", "n", "power", "identified", "note"]
    own = found[found["effect"].str.startswith("self")].iloc[0]
    assert not own["identified"] and np.isnan(own["value"]) and own["note"]  # lineages are unknown: nobody's kin
    page = run.report.read_text("utf-8")
    assert 'id="audit"' in page and "unidentified" in page


def test_a_finished_run_can_be_audited(tree: dict[str, Any], tmp_path: Path) -> None:
    run = autointerp.run(toml.build(tree, "test"), out=tmp_path)
    assert not (run.path / "report" / "circularity.csv").exists()
    before = (run.path / "scores.parquet").read_bytes()
    audited = audit(run.path)
    assert (audited.path / "report" / "circularity.csv").exists()
    assert (run.path / "scores.parquet").read_bytes() == before
    with pytest.raises(UserError, match="it is no run directory"):
        audit(tmp_path)
    tree = tree | {"name": "few", "scorers": {"judge": tree["scorers"]["judge"]}}
    few = autointerp.run(toml.build(tree, "test"), out=tmp_path)
    with pytest.raises(
        UserError, match="the run has 1 scorers that are language models, and a crossed design needs two"
    ):
        audit(few.path)
