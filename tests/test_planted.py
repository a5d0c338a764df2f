"""A run on planted features says what is true of them, and a judge's failures stay visible as failures."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

import autointerp
from autointerp import cli
from autointerp.collect.sketch import Sketch
from tests import planted as plant
from tests.planted import RULES, Planted

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def run(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose explainer and judge know the rules."""
    folder = tmp_path_factory.mktemp("run")
    config = plant.write_config(folder / "planted.toml", plant.settings(planted))
    return autointerp.run(config, out=folder / "runs").path


Play = Callable[..., Path]


@pytest.fixture
def play(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A run with another explainer or judge, and nothing in the ledger yet; gives its folder."""
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    plant.asked.clear()

    def go(explainer: str = "explain_knowing", judge: str = "judge_knowing", **judging: Any) -> Path:
        tree = plant.settings(planted)
        tree["explainers"] = {"knows": plant.scripted(explainer)}
        tree["scorers"] = {"judge": plant.scripted(judge, **judging)}
        config = plant.write_config(tmp_path / "play.toml", tree)
        return autointerp.run(config, out=tmp_path / "runs").path

    return go


def facts(run: Path, stage: str) -> Any:
    return json.loads((run / "manifest.json").read_text())["stages"][stage]["facts"]


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "report" / f"{name}.csv", keep_default_na=False, na_values={"value": [""]})


def items(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "evidence" / "rules.parquet")


def contexts(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "collect" / "contexts.parquet")


def word_counts(planted: Planted) -> Counter[str]:
    """How often each word stands at a position that counts, straight from the text."""
    return Counter(word for _, line in planted.lines() for word in plant.counted(line))


# collect


def test_fired_counts_maxima_and_the_dead_are_those_of_the_text(planted: Planted, run: Path) -> None:
    sketch = Sketch.from_state(load_file(run / "collect" / "rules.safetensors"))
    counts = word_counts(planted)
    alive = [f for f in range(len(RULES)) if f not in plant.DEAD]
    fired = [sum(counts[word] for word in RULES[f]) if f in alive else 0 for f in range(len(RULES))]
    maxima = [max((plant.activation(f, w) for w in RULES[f] if counts[w]), default=0.0) for f in range(len(RULES))]
    assert min(fired[f] for f in alive) > 0
    assert sketch.fired.tolist() == fired
    assert sketch.n_positions == sum(counts.values())
    assert sketch.n_contexts == len(planted.lines())
    assert sketch.n_documents == len(planted.documents)
    np.testing.assert_allclose(sketch.max.numpy(), maxima, rtol=1e-5)
    in_contexts = [sum(any(w in plant.counted(line) for w in RULES[f]) for _, line in planted.lines()) for f in alive]
    assert sketch.fired_contexts[alive].tolist() == in_contexts


def test_what_is_masked_is_counted(planted: Planted, run: Path) -> None:
    lines = [line for _, line in planted.lines()]
    masked = facts(run, "collect")["masked"]
    assert masked["first"] == len(lines)
    assert masked["special"] == sum(line.count(plant.END) for line in lines) > 0
    tails = sum(len(line) < plant.LENGTH for lines in planted.documents.values() for line in lines)
    assert facts(run, "collect")["counts"]["tails_dropped"] == tails > 0


def test_the_position_rule_is_what_kills_the_opener(planted: Planted, tmp_path: Path) -> None:
    tree = plant.settings(planted)
    tree["positions"]["skip_first"] = False
    config = plant.write_config(tmp_path / "first.toml", tree)
    path = autointerp.run(config, out=tmp_path / "runs", only="collect").path
    sketch = Sketch.from_state(load_file(path / "collect" / "rules.safetensors"))
    assert int(sketch.fired[RULES.index((plant.OPENER,))]) == len(planted.lines())
    assert sketch.n_positions == sum(word_counts(planted).values()) + len(planted.lines())


def test_features_csv_tells_the_truth_about_every_feature(planted: Planted, run: Path) -> None:
    features = table(run, "features").drop_duplicates("feature").set_index("feature")
    counts = word_counts(planted)
    assert set(features.index) == set(range(len(RULES)))
    assert set(features.index[features["dead"]]) == plant.DEAD
    for feature, row in features.iterrows():
        fired = 0 if feature in plant.DEAD else sum(counts[word] for word in RULES[feature])
        assert row["n_fired"] == fired
        assert row["density"] == pytest.approx(fired / sum(counts.values()), rel=1e-5)


def test_explained_variance_and_l0_equal_direct_computation(planted: Planted, run: Path) -> None:
    words = [word for _, line in planted.lines() for word in plant.counted(line)]
    x = np.zeros((len(words), len(plant.VOCABULARY)))
    x[np.arange(len(words)), [plant.VOCABULARY.index(word) for word in words]] = [plant.loudness(w) for w in words]
    w = {name: tensor.double().numpy() for name, tensor in plant.weights().items()}
    hidden = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = np.where(hidden > w["threshold"], hidden, 0)
    residual = x - (f @ w["W_dec"] + w["b_dec"])
    told = table(run, "dictionaries").set_index("metric")["value"]
    assert told["l0"] == pytest.approx((f > 0).sum() / len(words), rel=1e-5)
    assert told["explained_variance"] == pytest.approx(1 - (residual**2).sum() / ((x - x.mean(0)) ** 2).sum(), rel=1e-5)
    assert told["dead_share"] == len(plant.DEAD) / len(RULES)


# evidence


def test_every_label_is_true_to_the_rule(planted: Planted, run: Path) -> None:
    lines = {" ".join(line): line for _, line in planted.lines()}
    text = {row.id: "".join(row.pieces).strip() for row in contexts(run).itertuples()}
    seen: Counter[tuple[str, str]] = Counter()
    for item in items(run).itertuples():
        window = lines[text[item.context]][item.start : item.start + plant.WINDOW]
        assert "".join(item.pieces).split() == list(window)
        first = item.start == 0
        truth = [
            0.0 if (first and at == 0) or word == plant.END else plant.activation(item.feature, word)
            for at, word in enumerate(window)
        ]
        np.testing.assert_allclose(item.activations, truth, rtol=1e-5)
        assert item.fires == any(truth)
        assert item.fires == item.stratum.startswith("bin")
        seen[item.split, item.stratum] += 1
    # No same_token: the rules are about words, and a word of a rule fires wherever it counts.
    strata = ("bin0", "bin1", "bin2", "random", "near")
    assert set(seen) == {(split, stratum) for split in ("explain", "score") for stratum in strata}


def test_firing_windows_stand_in_the_interval_of_one_of_their_firings(run: Path) -> None:
    maxima = pd.read_parquet(run / "evidence" / "rules.features.parquet").set_index("feature")["max_activation"]
    firing = items(run).query("fires")
    for item in firing.itertuples():
        intervals = np.ceil(np.array(item.activations) / maxima[item.feature] * 3)
        assert int(item.stratum.removeprefix("bin")) + 1 in intervals


def test_weights_add_to_one_on_each_side(run: Path) -> None:
    sums = items(run).groupby(["feature", "split", "fires"])["weight"].sum()
    np.testing.assert_allclose(sums, 1)


def test_the_splits_share_no_document(run: Path) -> None:
    found = items(run)
    by_split = {split: set(side["document"]) for split, side in found.groupby("split")}
    assert by_split["explain"]
    assert by_split["score"]
    assert not by_split["explain"] & by_split["score"]
    told = contexts(run).groupby("split")["document"].agg(set)
    assert not told["explain"] & told["score"]
    assert by_split["explain"] <= told["explain"]
    assert by_split["score"] <= told["score"]
    assert not found.duplicated(["feature", "context", "start"]).any()


def test_replay_agrees_with_the_sketch(run: Path) -> None:
    assert facts(run, "evidence")["replay_disagreements"] == {"rules": 0}
    assert facts(run, "evidence")["draws"] == {
        "rules": {"evaluated": len(RULES) - len(plant.DEAD), "dead_met": len(plant.DEAD), "hand_picked": 0}
    }


# explain


def test_the_lexical_explainer_names_planted_words_and_no_others(run: Path) -> None:
    explanations = table(run, "features").query("explainer == 'lexical'")
    assert set(explanations["feature"]) == plant.SCORABLE
    words = 0
    for feature, sentence in zip(explanations["feature"], explanations["explanation"], strict=True):
        on = re.split(r"after |in text with ", sentence)[0]
        named = re.findall("“(.*?)”", on)
        assert named
        assert set(named) <= set(RULES[feature])
        words += len(named)
    assert words > len(explanations)  # the louder words of rules of several, not one each


# score


def test_a_judge_that_knows_the_rules_is_perfect_and_its_control_is_not(run: Path) -> None:
    scores = table(run, "scores").query("explainer == 'knows'").set_index(["feature", "metric", "control"])["value"]
    for feature in plant.SCORABLE:
        right, shuffled = scores[feature, "detection.ap", "none"], scores[feature, "detection.ap", "shuffled"]
        assert right == 1
        assert shuffled < 0.5
        assert scores[feature, "detection.ap.minus_shuffled", "none"] == pytest.approx(right - shuffled, abs=1e-5)


def test_a_feature_that_cannot_be_scored_says_why_in_every_metric(run: Path) -> None:
    scores = table(run, "scores")
    rare = scores[scores["feature"] == plant.TOO_RARE]
    assert set(rare["metric"]) == set(scores["metric"])
    assert rare["value"].isna().all()
    assert set(rare["unscored_reason"]) == {"too few firing excerpts"}
    means = table(run, "dictionaries").query("metric == 'detection.ap'")
    assert means["n"].tolist() == [len(plant.SCORABLE)] * 5  # the score and its four controls
    assert means["unscored"].tolist() == [1] * 5


def test_a_judge_that_ignores_the_explanation_has_no_advantage_over_the_control(play: Play) -> None:
    scores = table(play(judge="judge_ignoring"), "scores")
    for metric in ("ap", "ap_corpus", "auroc"):
        advantage = scores[scores["metric"] == f"detection.{metric}.minus_shuffled"].dropna(subset="value")
        assert len(advantage) == len(plant.SCORABLE)
        assert (advantage["value"] == 0).all()


def test_what_the_judge_left_open_is_what_was_planted(play: Play) -> None:
    run = play(judge="judge_failing")
    questions = [request for request in plant.asked if "description" in request.content]
    failed = [request for request in questions if plant.fails(request)]
    first = [request for request in failed if request.sample == 0]
    assert len(first) == len(failed) / 2  # each is asked once more, and only once
    assert 0 < len(first) < len(questions)
    verdicts = pd.read_parquet(run / "verdicts.parquet").query("question == 'detection'")
    missing = verdicts[verdicts["value"].isna()]
    # Two controls of a feature may be the same explanation: then one question has both answers.
    assert len(missing) >= sum(len(plant.excerpts(request)) for request in first)
    assert len(missing.drop_duplicates(["feature", "item"])) < len(verdicts.drop_duplicates(["feature", "item"]))
    assert (missing["reason"].str.startswith("the answer is not JSON")).all()
    assert (verdicts["reason"].eq("") == verdicts["value"].notna()).all()
    per_case = missing.groupby(["feature", "control"]).size()
    scores = table(run, "scores").query("metric == 'detection.ap'")
    for row in scores.itertuples():
        if row.feature != plant.TOO_RARE:
            judged = "none" if row.control == "permuted" else row.control  # permuted: the same verdicts again
            assert row.unscored == per_case.get((row.feature, judged), 0)
            assert row.n + row.unscored == len(verdicts.query("feature == @row.feature and control == @judged"))
    real = scores[(scores["control"] == "none") & scores["value"].notna()]
    assert (real["value"] == 1).all()  # what was answered was answered rightly: failures did not turn into zeros


@pytest.mark.parametrize("who", ["judge", "explainer"])
def test_nonsense_leaves_everything_unscored_and_the_run_says_so(
    who: str, planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = plant.settings(planted)
    tree["explainers"] = {"knows": plant.scripted("explain_nonsense" if who == "explainer" else "explain_knowing")}
    tree["scorers"] = {"judge": plant.scripted("judge_nonsense" if who == "judge" else "judge_knowing")}
    config = plant.write_config(tmp_path / "nonsense.toml", tree)
    monkeypatch.setattr("sys.argv", ["autointerp", "run", str(config), "--out", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "12 of 12 features have no detection.ap" in capsys.readouterr().err
    scores = table(tmp_path / "runs" / "planted", "scores")
    judged = scores[(scores["scorer"] == "judge") & (scores["metric"] == "detection.ap")]
    assert set(judged.query("control == 'none'")["feature"]) == plant.SCORABLE | {plant.TOO_RARE}
    assert judged["value"].isna().all()
    assert (judged["unscored_reason"] != "").all()
    means = table(tmp_path / "runs" / "planted", "dictionaries").query("metric == 'detection.ap' and control == 'none'")
    assert means["value"].isna().all()
    assert means["unscored"].tolist() == [12]


def test_judges_see_no_document_of_the_explain_split_and_explainers_none_of_the_other(
    planted: Planted, play: Play
) -> None:
    run = play(judge="judge_knowing", items=12)
    sides: dict[str, set[str]] = {"explain": set(), "score": set()}
    for row in contexts(run).itertuples():
        for start in range(0, plant.LENGTH, plant.WINDOW):
            sides[row.split].add(" ".join("".join(row.pieces[start : start + plant.WINDOW]).split()))
    only = {split: texts - sides["score" if split == "explain" else "explain"] for split, texts in sides.items()}
    shown: dict[str, set[str]] = {"explain": set(), "score": set()}
    for request in plant.asked:
        judging = "description" in request.content
        lines = [json.loads(line) for line in request.content.split("\n") if line.startswith("{")]
        texts = {line["text"] for line in lines if "text" in line}
        shown["score" if judging else "explain"] |= {
            " ".join(text.replace("[[", "").replace("]]", "").split()) for text in texts
        }
    assert shown["score"]
    assert shown["explain"]
    assert shown["score"] <= sides["score"]
    assert shown["explain"] <= sides["explain"]
    assert not shown["score"] & only["explain"]
    verdicts = pd.read_parquet(run / "verdicts.parquet")
    of_score = {f"{identifier:016x}" for identifier in contexts(run).query("split == 'score'")["id"]}
    assert set(verdicts["item"].str.split(".").str[0]) <= of_score


def test_the_two_arms_are_asked_about_the_same_items_in_the_same_order(play: Play) -> None:
    verdicts = pd.read_parquet(play() / "verdicts.parquet").query("question == 'detection'")
    for _, case in verdicts.groupby("feature"):
        real, control = (case[case["control"] == name]["item"].tolist() for name in ("none", "shuffled"))
        assert real == control
        assert case[case["control"] == "none"]["fires"].nunique() == 2
