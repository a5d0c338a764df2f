"""The audit of whole runs: a preference that judges were given is found, one that nobody has is not.

The families are those of `tests.styled`, as providers resolve them: what a model is asked for by tells nothing here.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp import toml
from autointerp.explain import stage as explain
from autointerp.pipeline import Run, audit
from autointerp.rate import items
from tests import planted, styled

BOTH, NOBODY, ONE = ("partial", "partial"), ("fair", "fair"), ("partial", "fair")
HARM = "the families are crossed on purpose"


def by(function: str, **more: Any) -> dict[str, Any]:
    return planted.scripted_in("tests.styled", function, **more)


def tree(plant: planted.Planted, name: str, tastes: tuple[str, str], **audit: Any) -> dict[str, Any]:
    """A run of two families, each with an explainer and a judge; audited if anything is said of an audit."""
    found = planted.settings(plant, name)
    judge = {"scores": ["detection", "specificity"], "controls": ["shuffled"]}
    found |= {
        "explainers": {"claude": by("claude_opus_5_writes"), "gpt": by("gpt_5_writes")},
        "scorers": {
            "by claude": by(f"claude_opus_5_{tastes[0]}", **judge),
            "by gpt": by(f"gpt_5_{tastes[1]}", **judge),
        },
        "score": {"resamples": 1000},
        "circularity": {"allow": HARM},
    }
    if audit:
        found["audit"] = {"explainers": ["claude", "gpt"], "scorers": ["by claude", "by gpt"]} | audit
    return found


def ran(tree: dict[str, Any], out: Path) -> Run:
    return autointerp.run(toml.build(tree, "test"), out=out)


def effects(run: Run) -> dict[str, dict[str, Any]]:
    """The rows of circularity.csv by effect, empty cells as nan."""
    table = pd.read_csv(run.path / "report" / "circularity.csv")
    assert not table["effect"].duplicated().any()
    return {row["effect"]: row for row in table.to_dict("records")}


def of_paraphrases(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    scores = run.scores()
    return scores[scores["control"] == "paraphrased"], scores[scores["metric"] == "detection.ap"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> planted.Planted:
    return planted.plant(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


REWORDED = {"paraphraser": {"provider": "scripted", "model": "tests.styled:mistral_large_rewords"}}


@pytest.fixture(scope="module")
def biased(plant: planted.Planted, out: Path) -> Run:
    """Both judges are partial, and a model of a third family paraphrases."""
    return ran(tree(plant, "biased", BOTH, **REWORDED), out)


@pytest.fixture(scope="module")
def fair(plant: planted.Planted, out: Path) -> Run:
    return ran(tree(plant, "fair", NOBODY, **REWORDED), out)


# what is found


def test_a_preference_of_both_is_found_and_paraphrases_undo_it(biased: Run) -> None:
    found = effects(biased)
    own, change = found["self-preference"], found["paraphrase change"]
    assert own["identified"] and own["low"] > 0.2 and own["n"] == len(planted.SCORABLE)
    assert change["identified"] and change["low"] > 0.2
    # All of it goes: what is left, over the same features, is of the size of the noise of a fair run.
    assert change["value"] == pytest.approx(own["value"], abs=own["power"])
    assert "after Holm" in change["note"] and "family" not in change["note"]
    assert found["circular share"]["low"] > 0.2


def test_where_nobody_prefers_nothing_is_found(fair: Run, biased: Run) -> None:
    found = effects(fair)
    for name in ("self-preference", "paraphrase change"):
        assert found[name]["identified"] and found[name]["low"] < 0 < found[name]["high"]
        assert abs(found[name]["value"]) < 0.3 * effects(biased)[name]["value"]


def test_of_one_partial_family_half_is_found_and_who_it_is_stays_open(
    plant: planted.Planted, out: Path, biased: Run
) -> None:
    found = effects(ran(tree(plant, "one", ONE, paraphraser=None), out))
    own, both = found["self-preference"], effects(biased)["self-preference"]["value"]
    assert own["low"] > 0 and own["value"] == pytest.approx(both / 2, abs=0.3 * both)
    families = [row for name, row in found.items() if name.startswith("self-preference of")]
    assert len(families) == 2 and not any(row["identified"] for row in families)
    assert not found["paraphrase change"]["identified"] and "[audit.paraphraser]" in found["paraphrase change"]["note"]


def test_unknown_lineages_are_nobodys_kin(plant: planted.Planted, out: Path) -> None:
    settings = tree(plant, "unknown", BOTH, features=100)
    settings["scorers"]["by claude"]["model"] = settings["scorers"]["by gpt"]["model"] = "tests.styled:nameless_partial"
    found = effects(ran(settings, out))
    for name in ("self-preference", "same-family gap", "circular share"):
        assert not found[name]["identified"] and np.isnan(found[name]["value"]) and found[name]["note"]
    assert found["kappa among judges, detection"]["value"] == pytest.approx(1)  # one model under two names


def test_judges_that_slip_apart_agree_with_the_activations_more_than_with_each_other(fair: Run) -> None:
    """Each says what is true of seven items in ten, so they say the same of 0.7^2 + 0.3^2, less than six."""
    found = effects(fair)
    apart = found["kappa among judges, detection"]
    for judge in ("by claude", "by gpt"):
        assert found[f"kappa with the activations, {judge}"]["low"] > apart["high"]


# who took part


def test_the_paraphraser_is_a_model_in_its_rows(biased: Run) -> None:
    own, detection = of_paraphrases(biased)
    roles = pd.read_csv(biased.path / "report" / "roles.csv").set_index("role")
    assert roles.loc["paraphraser", "resolved"] == styled.MISTRAL and roles.loc["paraphraser", "known"]
    costs = pd.read_csv(biased.path / "report" / "costs.csv").set_index("role")
    assert costs.loc["paraphraser", "requests"] == 2 * len(planted.SCORABLE)
    assert set(own["metric"].str.split(".").str[0]) == {"detection"}
    cells = detection[detection["control"] == "paraphrased"].groupby(["explainer", "scorer"]).size()
    assert len(cells) == 4 and (cells == cells.iloc[0]).all()
    texts = explain.read(biased.path / "paraphrases.parquet")
    assert {text.author and (text.author.requested, text.author.resolved) for text in texts if text.text} == {
        ("tests.styled:mistral_large_rewords", styled.MISTRAL)
    }
    verdicts = pd.read_parquet(biased.path / "verdicts.parquet")
    asked = verdicts[verdicts["question"] == "detection"].groupby(["control", "scorer", "explainer", "feature"])["item"]
    shown = asked.apply(tuple)
    assert all(len(set(one)) == 1 for _, one in shown.loc[["none", "paraphrased"]].groupby("feature"))


def test_what_is_not_paraphrased_is_unscored_for_a_reason_and_a_related_paraphraser_is_named(
    plant: planted.Planted, out: Path
) -> None:
    related = {"provider": "scripted", "model": "tests.styled:gpt_5_rewords"}
    run = ran(tree(plant, "related", BOTH, features=9, paraphraser=related), out)
    own, detection = of_paraphrases(run)
    missing = {f for f in set(own["feature"]) & planted.SCORABLE if len(planted.RULES[f]) > 1}
    reasons = own[own["feature"].isin(missing)]["unscored_reason"]
    assert missing and set(reasons) == {"the paraphraser wrote nothing"}
    first = detection[detection["control"] == "paraphrased"]
    assert first["feature"].nunique() == 9 < detection[detection["control"] == "none"]["feature"].nunique()
    change = effects(run)["paraphrase change"]
    assert change["identified"] and change["n"] == len(set(first["feature"]) & planted.SCORABLE - missing)
    assert "is of the family of the explainer gpt, the judge by gpt." in change["note"]
    assert set(first["circularity"]) == {"D"}  # it judges, or writes, what it rewords


# what it costs


def test_a_cheap_main_arm_is_crossed_on_the_first_features_alone(plant: planted.Planted, out: Path) -> None:
    settings = tree(plant, "cheap", BOTH, features=8)
    settings["scorers"]["by claude"]["explainers"], settings["scorers"]["by gpt"]["explainers"] = ["gpt"], ["claude"]
    run = ran(settings, out)
    scores = run.scores()
    own = scores[(scores["metric"] == "detection.ap") & (scores["control"] == "none")]
    cells = {key: set(cell["feature"]) for key, cell in own.groupby(["explainer", "scorer"])}
    crossed = cells["claude", "by claude"]
    assert crossed == cells["gpt", "by gpt"] and len(crossed) == 8
    assert crossed < cells["claude", "by gpt"] == cells["gpt", "by claude"]
    assert effects(run)["self-preference"]["n"] == len(crossed & planted.SCORABLE)
    table = run.features()
    assert set(table[table["explainer"] == "claude"]["scorer"]) == {"by gpt"}  # the one that judged all of them


# a finished run


def test_a_second_run_does_nothing_and_a_finished_run_is_audited_as_it_is(
    plant: planted.Planted, tmp_path: Path, caplog: pytest.LogCaptureFixture, biased: Run
) -> None:
    settings = tree(plant, "plain", BOTH)
    plain = ran(settings, tmp_path)
    caplog.set_level("INFO", "autointerp")
    audited = audit(plain.path)
    assert [message.split()[0] for message in caplog.messages if "running, because" in message] == ["report"]
    one, other = (effects(run)["self-preference"] for run in (audited, biased))
    assert {name: one[name] for name in ("value", "low", "high", "n")} == pytest.approx(
        {name: other[name] for name in ("value", "low", "high", "n")}
    )
    for again, stages in (
        (lambda: audit(biased.path), 1),
        (lambda: ran(tree(plant, "biased", BOTH, **REWORDED), biased.path.parent), 5),
    ):
        caplog.clear()
        again()
        assert len(caplog.messages) == stages and all("nothing to do" in message for message in caplog.messages)


# people


def test_people_tell_who_is_partial_at_equal_quality(biased: Run, tmp_path: Path) -> None:
    """Two people who know the rules, one of whom is a step too strict with a third of the items."""
    folder = tmp_path / "biased"
    shutil.copytree(biased.path, folder)
    found = items.material(folder)
    for rater, strict in (("ann", 0), ("bob", 3)):
        lines = []
        for at, task in enumerate(items.draw(found, 150, 0)):
            words = set(styled.words_of(task.case.text))
            pieces = zip(task.shown.item.excerpt.pieces, task.shown.marks or (), strict=True)
            right = {piece.strip() for piece, mark in pieces if mark} <= words
            lines.append(
                {
                    "rater": rater, "item": task.id, "dictionary": "rules", "feature": task.case.feature,
                    "explainer": task.case.explainer, "control": task.case.control,
                    "excerpt": task.shown.item.excerpt.id, "rating": max(0, 3 * right - (at % 3 < strict / 3)),
                    "seconds": 1.0,
                }
            )  # fmt: skip
        (folder / "ratings").mkdir(exist_ok=True)
        (folder / "ratings" / f"{rater}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = audit(folder)
    rows = effects(run)
    fair_share = 1 - styled.SLIPS / 10
    assert rows["equal opportunity"]["low"] > 0
    assert rows["equal opportunity"]["value"] == pytest.approx(1 - fair_share, abs=0.1)
    assert "after Holm" in rows["equal opportunity"]["note"]
    assert rows["alpha among people"]["value"] > 0.8
    for judge in ("by claude", "by gpt"):
        assert 0.3 < rows[f"kappa with people, {judge}"]["value"] < rows["alpha among people"]["value"]
        assert rows[f"kappa with people, {judge}"]["value"] < rows[f"alpha of people and judge, {judge}"]["value"]
    more = [row for name, row in rows.items() if name.startswith("more features to rate, ")]
    assert len(more) == 4 and all(row["note"] for row in more)
    assert not effects(biased)["equal opportunity"]["identified"]
    assert "Nobody has rated: `autointerp rate`" in effects(biased)["equal opportunity"]["note"]
