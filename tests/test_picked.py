"""Features chosen by hand stand beside the seeded sample: they are measured as it is, and it is as if they were not."""

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.measure.scores import PERCENTILE
from autointerp.plan import plan
from autointerp.rate.items import material
from autointerp.records import PICKED, SEEDED
from autointerp.report.gather.tables import NOTHING_DRAWN
from tests import planted as plant

DRAWN = 5


@dataclass(frozen=True)
class Ran:
    """A finished run and the requests that it made."""

    path: Path
    asked: Counter[str]

    def frame(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.path / "report" / f"{name}.csv", keep_default_na=False, na_values={"value": [""]})

    def lines(self, name: str, kept: Callable[[pd.Series], bool]) -> list[str]:
        """The lines of a CSV file, as they are, whose rows are kept."""
        rows = pd.read_csv(self.path / "report" / f"{name}.csv", keep_default_na=False)
        lines = (self.path / "report" / f"{name}.csv").read_text("utf-8").splitlines()
        return [line for line, (_, row) in zip(lines[1:], rows.iterrows(), strict=True) if kept(row)]

    def payload(self) -> dict[str, Any]:
        """The list of features that the page carries."""
        page = (self.path / "report" / "index.html").read_text("utf-8")
        found = re.search(r'<script[^>]*id="index"[^>]*>([^<]*)</script>', page)
        assert found is not None
        content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
        return content


def tree(planted: plant.Planted, features: int, picked: list[int]) -> dict[str, Any]:
    """Explainers and judges, one of each with the first feature of the draw alone; little of the corpus is read."""
    tree = plant.settings(planted)
    tree["collect"]["keep"] = 4
    tree["evidence"] |= {"features": features, "picked": {"rules": picked}, "pool": 16}
    tree["explainers"] = {
        "knows": plant.scripted("explain_knowing"),
        "again": plant.scripted("explain_knowing", sample=1, features=1),
        "lexical": {"kind": "lexical"},
    }
    tree["scorers"] = {
        "judge": plant.scripted("judge_knowing", explainers=["knows", "again"], controls=["shuffled", "hard_shuffled"]),
        "other": plant.scripted("judge_ignoring", explainers=["knows", "again"]),
        "rater": plant.scripted("judge_knowing", explainers=["knows"], scores=["specificity"], features=1),
    }
    tree["audit"] = {"explainers": ["knows", "again"], "scorers": ["judge", "other"], "features": 0}
    return tree


def rate(run: Path) -> None:
    """Somebody rates every excerpt that the judge of specificity was shown."""
    judged = pd.read_parquet(run / "verdicts.parquet").query(
        "question == 'specificity' and control == 'none' and fires"
    )
    (run / "ratings").mkdir()
    lines = [
        {"rater": "ann", "item": str(at), "dictionary": "rules", "feature": row["feature"], "explainer": "knows",
         "control": "none", "excerpt": row["item"], "rating": at % 4, "seconds": 1.0}
        for at, row in enumerate(judged.to_dict("records"))
    ]  # fmt: skip
    (run / "ratings" / "ann.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, list[int]], Ran]:
    """A run of the planted subject with nothing in its ledger."""
    planted = plant.plant(tmp_path_factory.mktemp("planted"))

    def run(features: int, picked: list[int]) -> Ran:
        folder = tmp_path_factory.mktemp("run")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
            plant.asked.clear()
            config = plant.write_config(folder / "run.toml", tree(planted, features, picked))
            path = autointerp.run(config, out=folder / "runs").path
            rate(path)
            autointerp.run(config, out=folder / "runs")
        return Ran(path, Counter(plant.fingerprint(request) for request in plant.asked))

    return run


@pytest.fixture(scope="module")
def without(go: Callable[[int, list[int]], Ran]) -> Ran:
    return go(DRAWN, [])


@pytest.fixture(scope="module")
def drawn(without: Ran) -> list[int]:
    """The alive features of the draw that can be scored."""
    found = without.frame("features")
    return sorted(set(found.loc[~found["dead"], "feature"]) & plant.SCORABLE)


@pytest.fixture(scope="module")
def picks(without: Ran, drawn: list[int]) -> dict[str, int]:
    """One that was drawn, two that can be scored and were not, one that is dead and was not met."""
    met = set(without.frame("features")["feature"])
    one, two, *_ = sorted(plant.SCORABLE - met)
    return {"drawn": drawn[0], "one": one, "two": two, "dead": min(plant.DEAD - met)}


@pytest.fixture(scope="module")
def with_picks(go: Callable[[int, list[int]], Ran], picks: dict[str, int]) -> Ran:
    return go(DRAWN, list(picks.values()))


@pytest.fixture(scope="module")
def alone(go: Callable[[int, list[int]], Ran], picks: dict[str, int]) -> Ran:
    return go(0, [picks["one"], picks["two"]])


def test_who_selected_a_feature_is_said_of_each(with_picks: Ran, picks: dict[str, int]) -> None:
    said = with_picks.frame("features").set_index("feature")["selected_by"].groupby(level=0).agg(set)
    by_hand = {picks["one"], picks["two"], picks["dead"]}
    assert {feature for feature, who in said.items() if who == {PICKED}} == by_hand
    assert {feature for feature, who in said.items() if who == {SEEDED}} == set(said.index) - by_hand
    assert picks["drawn"] in said.index
    facts = json.loads((with_picks.path / "manifest.json").read_text())["stages"]["evidence"]["facts"]
    assert facts["draws"]["rules"] == {
        "evaluated": DRAWN,
        "dead_met": len(said) - DRAWN - len(by_hand),
        "hand_picked": len(by_hand),
    }


@pytest.mark.parametrize("name", ["scores", "features"])
def test_rows_of_drawn_features_are_the_same_bytes(name: str, without: Ran, with_picks: Ran) -> None:
    met = set(without.frame("features")["feature"])
    assert without.lines(name, lambda row: True) == with_picks.lines(name, lambda row: row["feature"] in met)
    assert len(with_picks.frame(name)) > len(without.frame(name))


@pytest.mark.parametrize("name", ["dictionaries", "roles", "circularity"])
def test_no_number_of_a_dictionary_knows_of_the_picks(name: str, without: Ran, with_picks: Ran) -> None:
    rows = with_picks.lines(name, lambda row: row.get("control") != PICKED)
    assert without.lines(name, lambda row: True) == rows


def test_evidence_of_drawn_features_is_the_same(without: Ran, with_picks: Ran) -> None:
    met = set(without.frame("features")["feature"])
    for ending in ("", ".features", ".pool"):
        before, after = (
            pd.read_parquet(run.path / "evidence" / f"rules{ending}.parquet") for run in (without, with_picks)
        )
        kept = after[after["feature"].isin(met)].reset_index(drop=True)
        assert len(kept) < len(after)
        pd.testing.assert_frame_equal(before, kept)


def test_everything_that_is_asked_is_asked_again(without: Ran, with_picks: Ran) -> None:
    assert without.asked <= with_picks.asked
    assert sum(without.asked.values()) < sum(with_picks.asked.values())


def test_limits_of_a_draw_do_not_leave_out_what_was_asked_for_by_name(with_picks: Ran, picks: dict[str, int]) -> None:
    scores = with_picks.frame("scores").query("control == 'none'")
    for own in (scores.query("explainer == 'again'"), scores.query("scorer == 'rater'")):
        judged = set(own["feature"])
        assert judged > {picks["one"], picks["two"]}
        assert len(judged) == 3  # and the first of the draw
        shuffled = with_picks.frame("scores").query("control == 'shuffled' and metric == 'detection.ap'")
        assert {picks["one"], picks["two"]} <= set(shuffled["feature"])


def test_a_percentile_is_the_share_of_the_sample_that_is_beaten(
    with_picks: Ran, picks: dict[str, int], drawn: list[int]
) -> None:
    scores = with_picks.frame("scores").query("explainer == 'lexical' or explainer == 'knows'")
    scores = scores[(scores["control"] == "none") & (scores["scorer"] == "judge")].set_index(["feature", "metric"])
    values = scores["value"]
    for feature in [*drawn, picks["one"], picks["two"]]:
        own = values[feature, "detection.ap"]
        others = [values[other, "detection.ap"] for other in drawn if other != feature]
        beaten = np.mean([1.0 if own > other else 0.5 if own == other else 0.0 for other in others])
        assert values[feature, "detection.ap.percentile"] == pytest.approx(beaten)
        assert scores.loc[(feature, "detection.ap.percentile"), "n"] == len(others)


def test_the_mean_percentile_of_the_picks_stands_as_a_row_of_its_own(with_picks: Ran, picks: dict[str, int]) -> None:
    scores = with_picks.frame("scores").query("explainer == 'knows' and scorer == 'judge'")
    scores = scores[scores["metric"] == "detection.ap.percentile"]
    own = scores[scores["feature"].isin([picks["one"], picks["two"]])]["value"]
    rows = with_picks.frame("dictionaries")
    assert set(rows.loc[rows["metric"].str.endswith(PERCENTILE), "control"]) == {PICKED}
    (row,) = rows.query(
        "metric == 'detection.ap.percentile' and explainer == 'knows' and scorer == 'judge'"
    ).itertuples()
    assert (row.value, row.n, row.unscored) == (pytest.approx(own.mean(), abs=1e-5), 2, 0)
    assert float(row.low) < row.value < float(row.high)
    arm = scores["circularity"].unique()
    assert [row.circularity] == list(arm)


def test_the_page_says_which_and_how_many(without: Ran, with_picks: Ran, picks: dict[str, int]) -> None:
    content = with_picks.payload()
    columns = content["columns"]
    said = {
        feature: content["selections"][number]
        for feature, number in zip(columns["feature"], columns["selection"], strict=True)
    }
    assert {feature for feature, who in said.items() if who == PICKED} == {picks["one"], picks["two"], picks["dead"]}
    page = (with_picks.path / "report" / "index.html").read_text("utf-8")
    assert f"{DRAWN} features, drawn by seed 3 · 3 more hand-picked" in page
    assert "which share of the seeded sample do they beat" in page
    assert "nothing hand-picked" in (without.path / "report" / "index.html").read_text("utf-8")


def test_picked_features_alone_have_scores_and_no_mean(alone: Ran, picks: dict[str, int]) -> None:
    assert set(alone.frame("features")["selected_by"]) == {PICKED}
    scores = alone.frame("scores").query("metric == 'detection.ap' and control == 'none' and scorer == 'judge'")
    scores = scores[scores["explainer"] == "knows"]
    assert scores.set_index("feature")["value"].to_dict() == {picks["one"]: 1.0, picks["two"]: 1.0}
    places = alone.frame("scores").query("metric == 'detection.ap.percentile'")
    assert places["value"].isna().all()
    assert set(places["unscored_reason"]) == {"no feature drawn by seed to hold it against"}
    rows = alone.frame("dictionaries")
    of_features = rows[(rows["explainer"] != "") | rows["metric"].str.startswith(("lexical_floor", "probe"))]
    assert "detection.ap" in set(of_features["metric"])
    assert of_features["value"].isna().all()
    assert (of_features["n"] == 0).all()
    assert rows.set_index("metric").loc["dead_share", "value"] == len(plant.DEAD) / len(plant.RULES)
    page = (alone.path / "report" / "index.html").read_text("utf-8")
    assert NOTHING_DRAWN in page
    assert "No feature was drawn by seed" in page
    assert "no feature drawn by seed · 2 features hand-picked" in page


def test_people_are_asked_about_the_sample_alone(without: Ran, with_picks: Ran, alone: Ran) -> None:
    before, after = (material(run.path).tasks() for run in (without, with_picks))
    assert list(before) == list(after)
    with pytest.raises(UserError, match="no feature drawn by seed has an explanation"):
        material(alone.path)


def test_picks_have_their_part_in_the_plan(tmp_path: Path) -> None:
    planted = plant.plant(tmp_path)

    def asked(features: int, picked: list[int]) -> dict[str, int]:
        made = plan(RunConfig(**tree(planted, features, picked)))
        return {stage.what.split(":")[0]: stage.requests for stage in made.stages if stage.requests}

    few, more = asked(DRAWN, []), asked(DRAWN, [1, 3, 3])
    assert (few["knows"], more["knows"]) == (DRAWN, DRAWN + 2)
    assert (few["again"], more["again"]) == (1, 3)
    assert asked(0, [1, 3])["knows"] == 2
    with pytest.raises(ValueError, match="nothing would be evaluated"):
        asked(0, [])
