"""Dictionaries whose parents, neurons and missing concepts are known, compared by a whole run."""

import itertools
import math
from pathlib import Path

import pandas as pd
import pytest

import autointerp
from autointerp.compare import tables
from autointerp.compare.tables import SCHEMAS, Comparison
from autointerp.pipeline import Run
from tests import planted as plant
from tests.compare import planted_sizes as sizes
from tests.compare.planted_sizes import CHILDREN, CONCEPTS, MISSING, NOVEL, PSEUDO
from tests.planted import DEAD, RULES, VOCABULARY


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("sizes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        tree = sizes.settings(sizes.plant_sizes(folder / "planted"))
        return autointerp.run(plant.write_config(folder / "sizes.toml", tree), out=folder)


@pytest.fixture(scope="module")
def found(finished: Run) -> Comparison:
    return tables.read(finished.path / "compare")


def value(run: Run, dictionary: str, metric: str, control: str = "none") -> float:
    frame = run.dictionaries()
    rows = frame[(frame["dictionary"] == dictionary) & (frame["metric"] == metric) & (frame["control"] == control)]
    assert len(rows) == 1
    return float(rows["value"].iloc[0])


def test_every_child_finds_its_parent_and_strangers_find_none(found: Comparison) -> None:
    steps = found.steps
    assert set(zip(steps["smaller"], steps["larger"], strict=True)) == {("rules", "children")}
    child = steps["cosine"] > steps["threshold"]
    parents = dict(zip(steps.loc[child, "feature"], steps.loc[child, "nearest"], strict=True))
    assert parents == {at: rule for at, (rule, _) in enumerate(CHILDREN)}
    assert set(steps.loc[~child, "feature"]) == set(range(len(CHILDREN), len(CHILDREN) + len(NOVEL)))


def test_rows_of_splitting_are_what_was_planted(finished: Run) -> None:
    alive = [len(words) for rule, words in enumerate(RULES) if rule not in DEAD]
    split = sum(n > 1 for n in alive) / len(alive)
    assert value(finished, "children", "splitting.children") == pytest.approx(sum(alive) / len(alive), rel=1e-4)
    assert value(finished, "children", "splitting.split") == pytest.approx(split, rel=1e-4)
    assert value(finished, "children", "splitting.lost") == 0
    novel = len(NOVEL) / (len(CHILDREN) + len(NOVEL))
    assert value(finished, "children", "splitting.novel") == pytest.approx(novel, rel=1e-4)
    assert value(finished, "children", "splitting.novel", "random") > 0.8
    assert value(finished, "children", "splitting.overlapping") == 1  # where a child fires, its parent does
    assert value(finished, "children", "splitting.same_parent") == 1


def test_descendants_hang_below_their_roots(found: Comparison) -> None:
    chains = found.chains
    assert chains["root"].nunique() == 3
    below = chains[chains["generation"] == 1]
    assert (below["parent"] == below["root"]).all()
    for root, group in below.groupby("root"):
        assert set(group["feature"]) == {at for at, (rule, _) in enumerate(CHILDREN) if rule == root}


def test_neighbours_are_the_nearest_in_each_dictionary_and_never_the_feature_itself(found: Comparison) -> None:
    near = found.neighbours
    assert {*near["dictionary"]} == {*near["other"]} == {"rules", "children"}  # no control
    assert not ((near["dictionary"] == near["other"]) & (near["feature"] == near["neighbour"])).any()
    assert near.groupby(["dictionary", "feature", "other"]).size().max() == 5
    for at, (rule, _) in enumerate(CHILDREN):
        own = near[(near["dictionary"] == "children") & (near["feature"] == at)]
        parents = own[own["other"] == "rules"]
        assert parents["neighbour"].iloc[0] == rule
        assert parents["cosine"].iloc[0] > parents["chance"].iloc[0]
        assert parents["cosine"].is_monotonic_decreasing


def test_neurons_are_found_where_a_feature_is_one(finished: Run, found: Comparison) -> None:
    """The hook itself has a neuron for each word, so a child of one word is one."""
    alike = found.neurons.set_index(["dictionary", "feature"])
    assert len(alike.loc["children"]) == len(CHILDREN) + len(NOVEL)
    heard = 0
    for at, (_, word) in enumerate(CHILDREN):
        row = alike.loc[("children", at)]
        if row["neuron"] >= 0:  # else it is silent on the contexts that were read
            assert row["neuron"] == VOCABULARY.index(word)
            assert row["correlation"] > 0.99
            assert row["chance"] < 0.9
            heard += 1
    assert heard > 15
    assert value(finished, "children", "neurons.alone") == 0
    assert value(finished, "children", "neurons.alone", "shifted") > 0


def test_a_concept_without_a_feature_is_missing_and_the_feature_of_another_is_named(
    finished: Run, found: Comparison
) -> None:
    rows = found.concepts
    assert set(rows["way"]) == {"search", "loudest"}
    assert len(rows) == 2 * 3 * sum(len(CONCEPTS[name]) + len(PSEUDO[name]) for name in CONCEPTS)
    own = rows[(rows["dictionary"] == "children") & ~rows["pseudo"] & (rows["way"] == "loudest")].set_index("concept")
    assert own.loc[MISSING, "found"] == 0
    for word in set(itertools.chain(*CONCEPTS.values())) - {MISSING}:
        assert own.loc[word, "found"] == 1
        assert CHILDREN[int(own.loc[word, "feature"])][1] == word
        assert own.loc[word, "precision"] == 1
    n = sum(map(len, CONCEPTS.values()))
    assert value(finished, "children", "completeness.loudest") == pytest.approx((n - 1) / n, rel=1e-4)
    assert value(finished, "children", "completeness.loudest.sea") == 1
    assert value(finished, "children", "completeness.loudest", "pseudo") == 0
    # A rule of three words is nobody's own feature; the one of a single word is.
    rules = rows[(rows["dictionary"] == "rules") & ~rows["pseudo"] & (rows["way"] == "loudest")]
    assert set(rules.loc[rules["found"] == 1, "concept"]) == {"tide"}


def test_frequencies_are_those_of_the_corpus(finished: Run, found: Comparison) -> None:
    counted = found.concepts.drop_duplicates("concept").set_index("concept")["occurrences"]
    corpus = finished.path.parent / "planted" / "corpus.jsonl"
    words = " ".join(pd.read_json(corpus, lines=True)["text"]).split()
    assert counted.to_dict() == {word: words.count(word) for word in counted.index}


def test_too_few_sizes_are_a_sentence_in_laws(finished: Run) -> None:
    laws = pd.read_csv(finished.path / "report" / "laws.csv")
    assert laws.columns.tolist() == ["law", "quantity", "value", "low", "high", "n", "note"]
    power = laws[laws["law"].str.contains("explained variance")]
    assert power["value"].isna().all()
    assert "at least 4" in power["note"].iloc[0]
    assert (laws["value"].notna() | laws["note"].notna()).all()


def test_effects_are_worked_out_from_the_scores(finished: Run) -> None:
    scores, frame = finished.scores(), finished.dictionaries()
    own = scores[(scores["metric"] == "detection.ap") & (scores["control"] == "none")]
    mean = own.groupby("dictionary")["value"].mean()
    for name, other in (("rules", "axes"), ("children", "rules")):
        rows = frame[(frame["dictionary"] == name) & (frame["control"] == other)].set_index("metric")
        row = rows.loc["contrast.detection.ap"]
        assert row["value"] == pytest.approx(mean[name] - mean[other], rel=1e-4)
        assert row["n"] == own[own["dictionary"].isin([name, other])]["value"].notna().sum()
        assert -1 <= rows.loc["contrast.detection.ap.rank_biserial", "value"] <= 1
    assert "contrast.detection.ap.paired" not in frame[frame["dictionary"] == "rules"]["metric"].to_numpy()
    pairs = frame[(frame["dictionary"] == "children") & (frame["metric"] == "contrast.detection.ap.paired")].iloc[0]
    assert pairs["n"] + pairs["unscored"] == sum(rule not in DEAD for rule in range(len(RULES)))


def test_every_table_has_its_columns_and_every_number_a_value_or_a_reason(finished: Run, found: Comparison) -> None:
    for name, columns in SCHEMAS.items():
        assert getattr(found, name).columns.tolist() == list(columns)
    numbers = found.numbers
    assert ((numbers["unscored"] > 0) | numbers["value"].notna()).all()
    assert not numbers.duplicated(["dictionary", "metric", "control", "explainer", "scorer"]).any()
    assert set(numbers["dictionary"]) <= set(finished.dictionaries()["dictionary"])


def test_nothing_is_done_twice_and_only_a_setting_of_its_own_reruns_it(
    finished: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    config = finished.path / "run.toml"
    autointerp.run(config, out=finished.path.parent)
    assert not [message for message in caplog.messages if "running, because" in message]
    caplog.clear()
    autointerp.run(config, ("compare.chains=2",), out=finished.path.parent)
    ran = [message.split()[0] for message in caplog.messages if "running, because" in message]
    assert ran == ["compare", "report"]
    autointerp.run(config, ("compare.chains=3",), out=finished.path.parent)


def test_without_the_setting_there_is_no_stage(finished: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "autointerp")
    assert math.isfinite(value(finished, "children", "splitting.children"))
    planted = plant.settings(plant.Planted(Path("/nowhere"), {}))
    assert autointerp.pipeline.stages_of(autointerp.toml.build(planted, "a config")).keys() == {
        "collect", "evidence", "explain", "score", "report",
    }  # fmt: skip
