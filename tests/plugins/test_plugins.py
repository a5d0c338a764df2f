"""What users' packages add: found by entry point, refused in a sentence, and one of the run like what is built in."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import autointerp
from autointerp import plugins, toml
from autointerp.audit.roles import Roles
from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from autointerp.finished import Run
from tests import planted as plant

ROOT = Path(__file__).parents[2]
SCORER = (Path(__file__).parent / "keyword_scorer.py").read_text("utf-8")
POINTS = {"autointerp.scorers": {"keyword": "keyword_scorer"}}
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package on the path as pip leaves it: modules, and a folder that says what it brings.

    `points` are its entry points, as {group: {name: value}}. What was imported is forgotten at the end.
    """
    before = set(sys.modules)

    def put(package: str, version: str, points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> None:
        folder = tmp_path / f"{package}-{version}"
        about = folder / f"{package}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        sections = (f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in own.items()) for group, own in points.items())
        (about / "entry_points.txt").write_text("".join(sections))
        for name, code in modules.items():
            (folder / f"{name}.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(str(folder))

    yield put
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> plant.Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(planted: plant.Planted) -> dict[str, Any]:
    """A run whose one scorer is the example, with the explainer that knows the rules and the lexical one."""
    return plant.settings(planted) | {"scorers": {"mine": {"kind": "keyword"}}}


def run(tree: dict[str, Any], out: Path) -> Run:
    return autointerp.run(toml.build(tree, "the test"), out=out)


# the worked example


def test_the_example_is_short_and_stands_in_the_readme() -> None:
    assert len(SCORER.splitlines()) <= 30
    assert f"```python\n{SCORER}```" in (ROOT / "README.md").read_text("utf-8")


def test_a_users_scorer_is_one_of_the_run(install: Install, tree: dict[str, Any], tmp_path: Path) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    finished = run(tree, tmp_path)
    scores = finished.scores().query("scorer == 'mine' and explainer == 'knows'")
    own = scores.query("metric == 'keyword.ap'").pivot_table(index="feature", columns="control", values="value")
    # The words of a rule, all of three letters and more, are in the excerpts where it fires, and in no other.
    assert set(own.index) == plant.SCORABLE
    assert (own["none"] == 1.0).all()
    assert {"none", "shuffled", "hard_shuffled", "generic", "permuted"} == set(own.columns)
    assert (own["none"] - own["shuffled"]).mean() > 0.4
    gains = scores.query("metric == 'keyword.ap.minus_shuffled'").set_index("feature")["value"].dropna()
    np.testing.assert_allclose(gains, own["none"] - own["shuffled"], atol=1e-5)
    assert {"keyword.auroc", "keyword.ap_corpus", "keyword.ap.percentile", "keyword.ap.minus_generic"} <= set(
        scores["metric"]
    )
    rows = finished.dictionaries().query("metric == 'keyword.ap' and explainer == 'knows' and scorer == 'mine'")
    for control in ("none", "shuffled"):
        row = rows[rows["control"] == control]
        assert row["value"].item() == pytest.approx(own[control].mean(), abs=1e-5)
        assert row["n"].item() == len(plant.SCORABLE)
    assert row["low"].item() < row["value"].item() < row["high"].item()
    alone = finished.scores().query("metric == 'keyword.ap' and control == 'none' and feature == @plant.TOO_RARE")
    assert len(alone) == 2 and alone["value"].isna().all() and (alone["unscored_reason"] != "").all()
    assert "keyword.ap" in finished.report.read_text("utf-8")


def test_code_that_judges_leaves_the_grade_to_who_explained(
    install: Install, tree: dict[str, Any], tmp_path: Path
) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    finished = run(tree, tmp_path)
    grades = finished.scores().query("scorer == 'mine'").groupby("explainer")["circularity"].unique().map(list)
    assert grades.to_dict() == {"lexical": ["A"], "knows": ["C"]}
    roles = pd.read_csv(finished.path / "report" / "roles.csv", keep_default_na=False).set_index("role")
    assert roles.loc["scorer mine", ["requested", "developer"]].tolist() == ["keyword code", ""]


def test_another_version_runs_the_stage_again_and_the_manifest_says_which(
    install: Install, tree: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    run(tree, tmp_path)
    caplog.clear()
    run(tree, tmp_path)
    assert all("nothing to do" in message for message in caplog.messages)
    install("keywords", "1.1", POINTS, {"keyword_scorer": SCORER})
    caplog.clear()
    finished = run(tree, tmp_path)
    ran = {m[1]: m[2] for message in caplog.messages if (m := re.match(r"(\w+) +running, because (.*)", message))}
    assert ran == {"score": "scorer keyword changed"}
    inputs = json.loads((finished.path / "manifest.json").read_text())["stages"]["score"]["inputs"]
    assert inputs["scorer keyword"] == "keywords 1.1"


def test_a_setting_is_checked_by_the_plugins_own_record(install: Install, tree: dict[str, Any]) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    for changed, said in [
        ({"leters": 4}, "scorers.mine.leters is not a known key; the nearest is 'letters'"),
        ({"letters": 0}, "scorers.mine.letters = 0: input should be greater than or equal to 1"),
        ({"explainers": ["nobody"]}, "scorers.mine.explainers names 'nobody'"),
    ]:
        with pytest.raises(UserError) as caught:
            toml.build(tree | {"scorers": {"mine": {"kind": "keyword", **changed}}}, "it")
        assert said in str(caught.value)
    built = toml.build(tree | {"scorers": {"mine": {"kind": "keyword", "letters": 5}}}, "it")
    assert tomllib.loads(toml.dump(built))["scorers"]["mine"]["letters"] == 5
    assert toml.build(tomllib.loads(toml.dump(built)), "its dump") == built


# the other groups

EXPLAINER = """
from autointerp.config import ExplainerRole
from autointerp.explain.explainer import Written
from autointerp.records import Author, Model

class Settings(ExplainerRole):
    model: str = ""

def models(role, config):
    return [Model("mine", role.model)] if role.model else []

def explain(role, work):
    author = Author("explainer", "mine", role.model, role.model) if role.model else None
    found = {}
    for key in work.keys:
        marked = {p for item in work.items(key) for p, f in zip(item.excerpt.pieces, item.excerpt.fires) if f}
        found[key] = Written("any of: " + ", ".join(sorted(word.strip() for word in marked)), author=author)
    return found
"""


@pytest.mark.parametrize(("model", "grade"), [("", "A"), ("gpt-6.1-sol", "C")])
def test_a_users_explainer_is_one_of_the_run(
    model: str, grade: str, install: Install, tree: dict[str, Any], tmp_path: Path
) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    install("loudest", "2.0", {"autointerp.explainers": {"loudest": "loudest"}}, {"loudest": EXPLAINER})
    tree["explainers"] = {"reads": {"kind": "loudest", "model": model, "features": 6}}
    built = toml.build(tree, "it")
    assert [g for _, _, g in Roles(built).arms()] == [grade]
    finished = run(tree, tmp_path)
    told = finished.features().dropna(subset=["explanation"])
    assert len(told) >= 4
    for feature, text in zip(told["feature"], told["explanation"], strict=True):
        assert set(text.removeprefix("any of: ").split(", ")) <= set(plant.RULES[feature])
    assert set(finished.scores().query("explainer == 'reads'")["circularity"]) == {grade}
    inputs = json.loads((finished.path / "manifest.json").read_text())["stages"]["explain"]["inputs"]
    assert inputs["explainer loudest"] == "loudest 2.0"


FORMAT = """
import torch
from autointerp.dictionaries import Dictionary

def matches(path):
    return path.suffix == ".mine"

def load(path):
    raw = torch.load(path, weights_only=True)
    return Dictionary(raw["e"], raw["b"], raw["d"], raw["c"], "relu", convention={"format": "mine"})
"""


def test_a_users_format_is_read(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "it.mine"
    torch.save({"e": torch.eye(3), "b": torch.zeros(3), "d": 2 * torch.eye(3), "c": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="fit no known format"):
        load_dictionary(path)
    install("mine", "1", {"autointerp.formats": {"mine": "mine_format"}}, {"mine_format": FORMAT})
    assert load_dictionary(path).feature_norms.tolist() == [2.0, 2.0, 2.0]
    greedy = FORMAT.replace('path.suffix == ".mine"', "True")
    install("greedy", "3", {"autointerp.formats": {"all": "all_format"}}, {"all_format": greedy})
    with pytest.raises(UserError, match=r"fit several formats, all \(greedy 3\) and mine \(mine 1\)"):
        load_dictionary(path)


def test_the_version_of_a_format_is_an_input_of_collection(
    install: Install, planted: plant.Planted, tree: dict[str, Any], tmp_path: Path
) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    own = "from autointerp.dictionaries import saelens\ndef matches(path):\n    return (path / 'mine').exists()\n"
    own += "def load(path):\n    return saelens.load(path / 'mine')\n"
    install("mine", "1", {"autointerp.formats": {"mine": "mine_format"}}, {"mine_format": own})
    plant.write_dictionary(tmp_path / "nested" / "mine")
    tree["dictionaries"]["rules"]["path"] = str(tmp_path / "nested")
    finished = autointerp.run(toml.build(tree, "it"), out=tmp_path, only="collect")
    inputs = json.loads((finished.path / "manifest.json").read_text())["stages"]["collect"]["inputs"]
    assert inputs["dictionary format mine"] == "mine 1"


# what is wrong with a plugin is said in one sentence


def refusal(tree: dict[str, Any], tmp_path: Path) -> str:
    with pytest.raises(UserError) as caught:
        run(tree, tmp_path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", "that of keywords 1.0 cannot be loaded (ModuleNotFoundError: No module named"),
        ("1 / 0", "that of keywords 1.0 cannot be loaded (ZeroDivisionError: division by zero)"),
        ("", "that of keywords 1.0 (keyword_scorer) has no Settings and no models and no verdicts"),
        ("Settings = models = verdicts = 3", "the Settings of keywords 1.0 are not made from ScorerRole"),
        (SCORER.replace("work.verdict(", "Work(work.job, 'you', [], {}, work.pool).verdict("), "'keyword' as 'you'"),
        (SCORER.replace('"keyword", item', '"probe", item'), "it answers 'probe' as 'mine', and was asked keyword"),
        (SCORER.replace("len(held))", "float('nan'))"), "and gives no reason"),
        (SCORER.replace("work.verdict(case,", "work.verdict(type(case)('rules', 99, '', '', ''),"), "not asked about"),
    ],
)
def test_a_broken_plugin_is_named(code: str, said: str, install: Install, tree: dict[str, Any], tmp_path: Path) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": code})
    assert said in refusal(tree, tmp_path)


def test_who_asks_a_model_and_names_none_is_refused(install: Install, tree: dict[str, Any], tmp_path: Path) -> None:
    sly = SCORER.replace(
        "    for case in work.cases:\n",
        "    from autointerp.config import LLMRole\n"
        "    work.client(LLMRole(kind='llm', provider='scripted', model='tests.planted:judge_nonsense'))\n"
        "    for case in work.cases:\n",
    )
    install("keywords", "1.0", POINTS, {"keyword_scorer": sly})
    assert "it has asked a language model and names none that takes part" in refusal(tree, tmp_path)


def test_an_explainer_that_leaves_features_out_is_refused(
    install: Install, tree: dict[str, Any], tmp_path: Path
) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    silent = EXPLAINER.replace("    return found\n", "    return {}\n")
    install("loudest", "2.0", {"autointerp.explainers": {"loudest": "loudest"}}, {"loudest": silent})
    tree["explainers"] = {"reads": {"kind": "loudest"}}
    assert "it said nothing of 11 of 11 features" in refusal(tree, tmp_path)


def test_two_packages_that_bring_one_name_are_both_named(
    install: Install, tree: dict[str, Any], tmp_path: Path
) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    install("others", "0.3", POINTS, {})
    assert "keywords 1.0 and others 0.3 each bring one of that name: uninstall" in refusal(tree, tmp_path)
    install("shadow", "1", {"autointerp.scorers": {"embedding": "keyword_scorer"}}, {})
    tree["scorers"] = {"mine": {"kind": "embedding", "model": "m"}}
    assert re.search(r"autointerp \S+ and shadow 1 each bring", refusal(tree, tmp_path))


def test_an_unknown_kind_is_met_with_what_there_is(install: Install, tree: dict[str, Any], tmp_path: Path) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    tree["scorers"] = {"mine": {"kind": "keywrod"}}
    said = "scorers.mine needs kind = one of 'embedding', 'keyword', 'llm', 'surprisal', and there is no 'keywrod'"
    assert said in refusal(tree, tmp_path)


def test_what_nobody_asks_for_breaks_nothing(install: Install, tree: dict[str, Any]) -> None:
    install("keywords", "1.0", POINTS, {"keyword_scorer": SCORER})
    install("broken", "1", {group.name: {"broken": "no_such_module"} for group in plugins.GROUPS[2:]}, {})
    assert toml.build(tree, "it").scorers["mine"].kind == "keyword"
    with pytest.raises(UserError, match="that of broken 1 cannot be loaded"):
        toml.build(tree | {"scorers": {"mine": {"kind": "broken"}}}, "it")


# what comes with autointerp


@pytest.mark.parametrize("group", plugins.GROUPS, ids=lambda group: group.noun)
def test_what_is_built_in_comes_through_the_same_door(group: plugins.Group) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(declared) == {one.name for one in plugins.GROUPS}
    own = {
        p.name: p.value for p in entry_points(group=group.name) if p.dist is not None and p.dist.name == "autointerp"
    }
    assert own == declared[group.name]
    for name in own:
        assert plugins.find(group, name).package.startswith("autointerp ")
    assert plugins.added(group, own) == {}


@pytest.mark.parametrize("dropped", ["embedding = ", "[autointerp.formats]"])
def test_a_checkout_that_was_installed_before_says_so(
    dropped: str, tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registrations of an older version, before those of today on the path."""
    points = [p for group in plugins.GROUPS for p in entry_points(group=group.name)]
    about = tmp_path / "old" / "autointerp-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: autointerp\nVersion: 0.1.0\n")
    lines = [f"[{p.group}]\n{p.name} = {p.value}\n" for p in sorted(points)]
    (about / "entry_points.txt").write_text("".join(line for line in lines if dropped not in line))
    monkeypatch.syspath_prepend(str(about.parent))
    tree["scorers"], rules = {"mine": {"kind": "embedding", "model": "m"}}, tree["dictionaries"]["rules"]["path"]
    said = "what is installed of autointerp does not know it: install it again: `make setup`, or `pip install -e .`"
    with pytest.raises(UserError) as caught:
        load_dictionary(rules) if "formats" in dropped else toml.build(tree, "it")
    assert said in str(caught.value)


def test_reading_a_config_loads_only_the_kinds_that_it_names() -> None:
    code = (
        "import sys, autointerp, autointerp.cli, autointerp.config, autointerp.plugins as plugins\n"
        "print([plugins.names(group) != [] for group in plugins.GROUPS], 'torch' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[True, True, True, True] False\n"
