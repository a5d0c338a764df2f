"""Two finished runs of the planted subject in one report, and runs that cannot be compared."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autointerp
from autointerp.errors import UserError
from autointerp.report.several.runs import compare
from tests import planted as plant
from tests.compare import planted_sizes as sizes
from tests.compare.planted_sizes import CHILDREN


def fewer(tree: dict[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    """The settings of a cheap run: no comparison of its own."""
    return {**{key: value for key, value in tree.items() if key != "compare"}, "name": name, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `small` of the rules and a control, `large` of rules and children by another seed, and one not finished."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        tree = sizes.settings(sizes.plant_sizes(folder / "planted"))
        rules, children, axes = (tree["dictionaries"][name] for name in ("rules", "children", "axes"))
        runs = (
            fewer(tree, "small", dictionaries={"rules": rules, "axes": axes}),
            fewer(tree, "large", dictionaries={"rules": rules, "children": children}, seed=5),
        )
        for run in runs:
            autointerp.run(plant.write_config(folder / f"{run['name']}.toml", run), out=folder)
        half = fewer(tree, "half", dictionaries={"rules": rules})
        autointerp.run(plant.write_config(folder / "half.toml", half), out=folder, only="collect")
    return folder


@pytest.fixture(scope="module")
def union(folder: Path) -> Path:
    plant.asked.clear()
    found = compare([folder / "small", folder / "large"], folder)
    assert not plant.asked
    return found


def frame(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "report" / f"{name}.csv", dtype={"dictionary": str})


def test_it_is_called_after_the_runs_and_holds_every_file(union: Path) -> None:
    assert union.name == "small-and-large"
    assert {path.name for path in (union / "report").iterdir()} >= {
        "index.html", "dictionaries.csv", "features.csv", "scores.csv", "roles.csv", "costs.csv", "laws.csv",
    }  # fmt: skip


def test_a_dictionary_keeps_its_name_where_it_is_alone_with_it(union: Path) -> None:
    expected = {"small/rules", "large/rules", "axes", "children"}
    for name in ("dictionaries", "features", "scores"):
        assert set(frame(union, name)["dictionary"]) == expected
    page = (union / "report" / "index.html").read_text("utf-8")
    assert "held against small/rules" in page


@pytest.mark.parametrize("run", ["small", "large"])
def test_scores_are_those_of_the_runs(folder: Path, union: Path, run: str) -> None:
    every, own = frame(union, "scores"), frame(folder / run, "scores")
    for name in own["dictionary"].unique():
        called = f"{run}/{name}" if name == "rules" else name
        theirs = every[every["dictionary"] == called].drop(columns="dictionary").reset_index(drop=True)
        mine = own[own["dictionary"] == name].drop(columns="dictionary").reset_index(drop=True)
        pd.testing.assert_frame_equal(theirs, mine)


def test_sizes_of_different_runs_are_one_chain_in_which_nothing_stands_twice(union: Path) -> None:
    steps = pd.read_parquet(union / "compare" / "steps.parquet")
    assert set(zip(steps["smaller"], steps["larger"], strict=True)) == {("large/rules", "children")}
    assert (steps["cosine"] > steps["threshold"]).sum() == len(CHILDREN)


def test_the_same_dictionary_in_two_runs_is_compared_feature_by_feature(union: Path) -> None:
    every, scores = frame(union, "dictionaries"), frame(union, "scores")
    row = every[(every["metric"] == "contrast.detection.ap.paired") & every["dictionary"].str.endswith("/rules")]
    assert len(row) == 1
    name, other = row["dictionary"].iloc[0], row["control"].iloc[0]
    own = scores[(scores["metric"] == "detection.ap") & (scores["control"] == "none")]
    table = own.pivot_table(index="feature", columns="dictionary", values="value")
    assert row["value"].iloc[0] == pytest.approx((table[name] - table[other]).mean(), rel=1e-3, abs=1e-5)


def test_a_role_that_means_different_things_is_called_by_its_run(folder: Path, tmp_path: Path) -> None:
    tree = autointerp.toml.load(folder / "large" / "run.toml").model_dump(mode="json", exclude_none=True)
    tree |= {"name": "worded"}
    tree["explainers"]["lexical"]["words"] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        autointerp.run(plant.write_config(tmp_path / "worded.toml", tree), out=tmp_path)
    union = compare([folder / "large", tmp_path / "worded"], tmp_path)
    assert set(frame(union, "scores")["explainer"].dropna()) == {"large/lexical", "worded/lexical"}
    assert {"explainer large/lexical", "explainer worded/lexical"} <= set(frame(union, "roles")["role"])
    assert set(frame(union, "scores")["scorer"].dropna()) == {"judge"}


def changed(folder: Path, target: Path, old: str, new: str) -> Path:
    """A copy of the run `large` whose run.toml says something else."""
    shutil.copytree(folder / "large", target, ignore=shutil.ignore_patterns("hidden"))
    text = (target / "run.toml").read_text("utf-8")
    assert re.search(old, text)
    (target / "run.toml").write_text(re.sub(old, new, text, count=1), "utf-8")
    return target


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "window = 8",
            "window = 4",
            r"evidence.window is 8 in small and 4 in other: run one .* --set evidence.window=",
        ),
        ("prevalence = 0.2", "prevalence = 0.3", r"score.prevalence is 0.2 in small and 0.3 in other"),
    ],
)
def test_other_settings_are_refused_by_name(folder: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    other = changed(folder, tmp_path / "other", old, new)
    with pytest.raises(UserError, match=said):
        compare([folder / "small", other], tmp_path)
    assert not (tmp_path / "small-and-other").exists()


def test_runs_at_other_hooks_are_refused(folder: Path, tmp_path: Path) -> None:
    tree = sizes.settings(plant.Planted(folder / "planted", {}))
    elsewhere = tree["dictionaries"]["rules"] | {"hook": "model.layers.0"}
    other = fewer(tree, "other", dictionaries={"rules": elsewhere})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        autointerp.run(plant.write_config(tmp_path / "other.toml", other), out=tmp_path)
    with pytest.raises(UserError, match=r"small reads model.embed_tokens and other reads model.layers.0"):
        compare([folder / "small", tmp_path / "other"], tmp_path)


def test_what_changed_since_a_run_is_refused(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path / "other", "skip_first = true", "skip_first = false")
    with pytest.raises(UserError, match="positions changed since it ran"):
        compare([folder / "small", other], tmp_path)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (["small"], "one run has nothing beside it"),
        (["small", "nowhere"], "it is no run directory"),
        (["small", "half"], "its stage evidence has not run"),
        (["small", "small"], "another run is called 'small', too"),
    ],
)
def test_what_is_no_pair_of_finished_runs_is_refused(folder: Path, runs: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compare([folder / run for run in runs], folder)
