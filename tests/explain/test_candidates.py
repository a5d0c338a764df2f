"""Candidates in a run: the right one is chosen, on held-back explain documents alone, and the grade knows by whom."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import autointerp
from autointerp import pipeline, toml
from autointerp.explain import choosers, stage
from autointerp.explain.llm import DRAWS
from autointerp.llm.protocol import Request
from autointerp.records import Explanation
from tests import planted as plant
from tests.planted import RULES, Planted

HERE = __name__
asked: dict[str, list[Request]] = {"drafts": [], "judge": []}


def drafts(request: Request) -> Any:
    """Three explanations: one that fits everything, the true rule, and a word that another feature reads."""
    asked["drafts"].append(request)
    number = request.sample // 2 // DRAWS
    truth = plant.explain_knowing(request)
    return [{"explanation": "any of: the, a, of, and, in, to"}, truth, {"explanation": "any of: comet"}][number]


def judge(request: Request) -> Any:
    asked["judge"].append(request)
    return plant.judge_knowing(request)


def stubborn(request: Request) -> Any:
    """Useless at first, then the number of the sample that it was asked for."""
    asked["drafts"].append(request)
    return {"explanation": f"sample {request.sample}"} if request.sample % 2 else "banana"


def other(request: Request) -> Any:
    return plant.judge_knowing(request)


def scripted(function: str, **more: Any) -> dict[str, Any]:
    return {"kind": "llm", "provider": "scripted", "model": f"{HERE}:{function}", **more}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"), n_documents=96)


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    for requests in asked.values():
        requests.clear()


@pytest.fixture
def tree(planted: Planted) -> dict[str, Any]:
    """Three candidates, and one judge that only chooses beside one that scores."""
    tree = plant.settings(planted)
    tree["evidence"] |= {"per_bin": 6, "negatives": 12}
    tree["explainers"] = {"several": scripted("drafts", candidates=3, chosen_by="picks", examples=4)}
    tree["scorers"] = {"picks": scripted("judge", explainers=[]), "scores": scripted("other")}
    return tree


def explained(tree: dict[str, Any], folder: Path) -> list[Explanation]:
    out = folder / "runs"
    for only in ("collect", "evidence", "explain"):
        path = autointerp.run(plant.write_config(folder / "planted.toml", tree), out=out, only=only).path
    return stage.read(path / "explanations.parquet")


def texts_of(requests: Sequence[Request], first: int) -> set[str]:
    lines = [line for request in requests for line in request.content.split("\n")[first:]]
    return {re.sub(r"\[\[|\]\]", "", json.loads(line)["text"]) for line in lines if line.startswith("{")}


def test_the_candidate_that_fits_is_taken(tree: dict[str, Any], tmp_path: Path) -> None:
    found = [one for one in explained(tree, tmp_path) if one.text]
    picked = [one for one in found if one.chooser is not None]
    assert len(picked) >= 5
    for one in picked:
        assert one.text == f"any of: {', '.join(RULES[one.feature])}"
        assert one.chooser is not None and one.chooser.resolved == f"{HERE}:judge"
    for one in found:
        if one.chooser is None:  # too few excerpts to hold any back: one candidate
            assert one.text.startswith("any of: the")
    counts = pd.Series([request.sample for request in asked["drafts"]]).value_counts()
    assert counts[0] == len(found)
    assert counts[2 * DRAWS] == counts[4 * DRAWS] == len(picked)
    facts = json.loads((tmp_path / "runs/planted/manifest.json").read_text())["stages"]["explain"]["facts"]
    assert facts["unchosen"] == len(found) - len(picked)
    assert {usage["role"] for usage in facts["usage"]} == {"explainer several", "chooser several"}


def test_what_decides_was_shown_to_no_explainer_and_comes_from_explain_documents(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["explainers"]["several"]["features"] = 1
    picked = [one for one in explained(tree, tmp_path) if one.chooser is not None]
    assert len(picked) == 1
    table = pd.read_parquet(tmp_path / "runs/planted/evidence/rules.parquet")
    table = table[table["feature"] == picked[0].feature]
    table["text"] = table["pieces"].map("".join)
    decided, shown = texts_of(asked["judge"], 1), texts_of(asked["drafts"], 0)
    assert decided and shown
    explain = table[table["split"] == "explain"]
    assert decided | shown <= set(explain["text"])
    documents = [set(explain[explain["text"].isin(texts)]["document"]) for texts in (decided, shown)]
    assert not documents[0] & documents[1]


def test_no_score_item_can_change_the_choice(tree: dict[str, Any], tmp_path: Path) -> None:
    before = explained(tree, tmp_path)
    path = tmp_path / "runs/planted/evidence/rules.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rng = np.random.default_rng(0)
    for row in rows:
        if row["split"] == "score":
            row |= {
                "fires": not row["fires"],
                "pieces": [str(word) for word in rng.permutation(row["pieces"])],
                "activations": [float(value) for value in rng.random(len(row["pieces"]))],
                "weight": float(rng.random()),
                "document": int(rng.integers(1000)),
            }
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    job = pipeline.open_job(toml.load(tmp_path / "planted.toml"), tmp_path / "runs")
    try:
        stage.run(job)
    finally:
        job.close()
    assert stage.read(tmp_path / "runs/planted/explanations.parquet") == before


def test_an_encoder_can_choose(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Words:
        """A vector with an axis for each word of the vocabulary."""

        sees = False

        def __init__(self, role: Any) -> None:
            assert role.model == "encoder"

        def texts(self, texts: Sequence[str]) -> np.ndarray:
            words = [set(re.findall(r"\w+", text)) for text in texts]
            return np.array([[float(word in held) for word in plant.VOCABULARY] for held in words], dtype=np.float32)

    monkeypatch.setattr(choosers, "open_encoder", Words)
    tree["scorers"]["picks"] = {"kind": "embedding", "model": "encoder", "explainers": []}
    found = [one for one in explained(tree, tmp_path) if one.chooser is not None]
    assert len(found) >= 5
    assert all(one.chooser and one.chooser.provider == "transformers" for one in found)
    right = [one.text == f"any of: {', '.join(RULES[one.feature])}" for one in found]
    assert np.mean(right) > 0.8


def test_equal_candidates_need_no_choice(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["explainers"]["several"] |= plant.scripted("explain_knowing")
    found = [one for one in explained(tree, tmp_path) if one.text]
    assert {one.text for one in found} == {f"any of: {', '.join(RULES[one.feature])}" for one in found}
    assert {one.chooser for one in found} == {None}
    assert not asked["judge"]


def test_a_chooser_that_answers_nothing_leaves_the_first(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["scorers"]["picks"] = plant.scripted("judge_nonsense", explainers=[])
    found = [one for one in explained(tree, tmp_path) if one.text]
    assert {one.text for one in found} == {"any of: the, a, of, and, in, to"}
    assert {one.chooser for one in found} == {None}


def test_the_chooser_is_in_the_grade_and_in_the_table_of_roles(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["scorers"]["picks"]["explainers"] = ["several"]  # it judges what it chose
    autointerp.run(plant.write_config(tmp_path / "planted.toml", tree), out=tmp_path / "runs")
    report = tmp_path / "runs" / "planted" / "report"
    roles = pd.read_csv(report / "roles.csv", keep_default_na=False).set_index("role")
    assert roles.index.tolist() == ["subject", "explainer several", "chooser several", "scorer picks", "scorer scores"]
    assert roles.loc["chooser several", "resolved"] == f"{HERE}:judge"
    scores = pd.read_csv(report / "scores.csv", keep_default_na=False)
    grades = scores.groupby("scorer")["circularity"].agg(set)
    assert grades["picks"] == {"D"}
    assert grades["scores"] == {"C"}
    costs = pd.read_csv(report / "costs.csv")
    assert costs["role"].tolist() == ["explainer several", "chooser several", "scorer picks", "scorer scores"]


def test_another_sample_writes_anew_and_is_never_answered_with_the_first(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["explainers"] = {f"s{n}": scripted("stubborn", sample=n) for n in range(3)}
    found = [one for one in explained(tree, tmp_path) if one.text]
    assert {one.explainer: one.text for one in found} == {"s0": "sample 1", "s1": "sample 3", "s2": "sample 5"}
    assert len({one.feature for one in found}) * 6 == len(asked["drafts"])
