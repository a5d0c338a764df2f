"""Configs as TOML: what was written is what is read back, presets load, a mistake is named."""

import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp import assets, toml
from autointerp.errors import UserError

BASE: dict[str, Any] = {
    "name": "base",
    "subject": {"model": "some/model"},
    "corpus": {"path": "corpus.jsonl"},
    "dictionaries": {"256": {"path": "w256"}, "512": {"path": "w512", "hook": "layers.3"}},
    "explainers": {"lexical": {"kind": "lexical"}, "file": {"kind": "given", "path": "mine.csv"}},
    "scorers": {"encoder": {"kind": "embedding", "model": "encoder"}},
}
MODEL = {"kind": "llm", "provider": "scripted", "model": "m"}
GIVEN = {"kind": "given", "path": "explanations.jsonl"}
AUDIT = {"explainers": ["lexical", "file"], "scorers": ["encoder", "judge"]}


names = st.text(string.ascii_letters + string.digits + "._- äß", min_size=1, max_size=8).filter(
    lambda name: not name.startswith(".")
)
# TOML holds all of Unicode but surrogates; a lone carriage return and control characters have to be escaped.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Valid configs with settings of every kind."""
    dictionaries = draw(st.dictionaries(names, st.fixed_dictionaries({"path": texts}, optional={"hook": texts})))
    dictionaries = dictionaries or {"only": {"path": "x"}}
    some = st.lists(st.sampled_from(sorted(dictionaries)), max_size=2, unique=True)
    role: dict[str, st.SearchStrategy[Any]] = {"features": st.integers(1, 99), "dictionaries": some}
    model: dict[str, st.SearchStrategy[Any]] = {
        "kind": st.just("llm"),
        "provider": st.just("scripted"),
        "model": texts,
    }
    lexical = st.fixed_dictionaries({"kind": st.just("lexical")}, optional=role | {"words": st.integers(1, 9)})
    writing = {"examples": st.integers(1, 30), "silent": st.integers(0, 30), "show_values": st.booleans()}
    llm = st.fixed_dictionaries(model, optional=role | writing | {"base_url": texts, "sample": st.integers(0, 999)})
    sources = st.dictionaries(texts, st.sampled_from(sorted(dictionaries)), max_size=2)
    brought = st.fixed_dictionaries(
        {"kind": st.just("given"), "path": texts}, optional={"author": texts, "only": texts, "sources": sources}
    )
    explainers = draw(st.dictionaries(names, lexical | llm | brought, min_size=1, max_size=3))
    known = st.lists(st.sampled_from(sorted(explainers)), max_size=2, unique=True)
    encoder = st.fixed_dictionaries({"kind": st.just("embedding"), "model": texts}, optional=role)
    judge = st.fixed_dictionaries(model, optional=role | {"items": st.integers(4, 50), "explainers": known})
    picked = st.dictionaries(st.sampled_from(sorted(dictionaries)), st.lists(st.integers(0, 2**40), max_size=3))
    return {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True)),
        "seed": draw(st.integers(0, 2**62)),
        "subject": {"model": draw(texts)},
        "corpus": {"path": draw(texts), "explain_share": draw(st.floats(0.01, 0.99))},
        "dictionaries": dictionaries,
        "explainers": explainers,
        "scorers": draw(st.dictionaries(names, encoder | judge, min_size=1, max_size=3)),
        "evidence": {"picked": draw(picked), "window": draw(st.integers(4, 128))},
        "circularity": draw(st.fixed_dictionaries({}, optional={"allow": texts.filter(lambda t: len(t) >= 8)})),
    }


@settings(deadline=None)  # the first config that names a kind loads it
@given(trees())
def test_dump_and_load_round_trip(tree: dict[str, Any]) -> None:
    built = toml.build(tree, "it")
    assert toml.build(tomllib.loads(toml.dump(built)), "its dump") == built


def test_dump_holds_every_setting_that_has_a_value() -> None:
    dumped = tomllib.loads(toml.dump(toml.build(BASE, "base")))
    assert dumped["corpus"]["context_length"] == 128
    assert dumped["scorers"]["encoder"]["batch_size"] == 64
    assert "allow" not in dumped["circularity"]  # TOML has no nothing: what is absent is the default


@pytest.mark.parametrize("name", assets.presets())
def test_presets_load(name: str) -> None:
    preset = toml.load(name)
    assert preset.name == name
    assert toml.build(tomllib.loads(toml.dump(preset)), name) == preset
    assert set(tomllib.loads((assets.PACKAGE / "presets" / f"{name}.toml").read_text("utf-8"))["scorers"])


def test_a_file_wins_over_a_preset_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo-text").write_text(tomlkit.dumps(BASE), "utf-8")
    assert toml.load("demo-text").name == "base"


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("corpus.contexts=7", lambda c: c.corpus.contexts == 7),
        ("positions.norm_limit=0", lambda c: c.positions.norm_limit == 0),
        ("positions.skip_first=false", lambda c: c.positions.skip_first is False),
        ("corpus.path=plain words", lambda c: c.corpus.path == "plain words"),
        ("corpus.path='a = b'", lambda c: c.corpus.path == "a = b"),
        ("corpus.path=a=b", lambda c: c.corpus.path == "a=b"),
        ("dictionaries.1024.path=w1024", lambda c: c.dictionaries["1024"].path == "w1024"),
        ("evidence.picked={256 = [1, 2]}", lambda c: c.evidence.picked == {"256": (1, 2)}),
        (" seed = 5", lambda c: c.seed == 5),
        ("explainers.lexical.words=2", lambda c: c.explainers["lexical"].words == 2),
    ],
)
def test_overrides(override: str, read: Any, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(tomlkit.dumps(BASE), "utf-8")
    assert read(toml.load(tmp_path / "base.toml", (override,)))


def test_the_last_override_wins(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(tomlkit.dumps(BASE), "utf-8")
    assert toml.load(tmp_path / "base.toml", ("seed=1", "seed=2")).seed == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dictionaries": {}}, "dictionaries = {}"),
        ({"dictionaries": {"a/b": {"path": "x"}}}, "dictionaries.'a/b' is not a usable name"),
        ({"explainers": {".x": {"kind": "lexical"}}}, "explainers.'.x' is not a usable name"),
        ({"explainers": {"x": {"kind": "lexical", "dictionaries": ["7"]}}}, "explainers.x.dictionaries names '7'"),
        ({"explainers": {"x": {}}}, "explainers.x needs kind = one of 'given', 'lexical', 'llm', 'rule'"),
        (
            {"scorers": {"x": {"kind": "lexical"}}},
            "scorers.x needs kind = one of 'embedding', 'llm', 'surprisal', and there is no 'lexical'",
        ),
        ({"scorers": {"x": 3}}, "scorers.x = 3"),
        ({"scorers": {"x": {"kind": ["llm"]}}}, "there is no ['llm']"),
        ({"scorers": {"llm": {"kind": "llm", "provider": "openai"}}}, "scorers.llm.model is missing"),
        ({"scorers": {"x": {"kind": "embedding", "model": "m", "aggregate": 1}}}, "valid ones are explainers"),
        ({"explainers": {"x": MODEL | {"candidates": 3}}}, "candidates = 3 needs chosen_by, the scorer that takes one"),
        ({"explainers": {"x": MODEL | {"chosen_by": "encoder"}}}, "'encoder' has nothing to choose from"),
        (
            {"explainers": {"x": MODEL | {"candidates": 3, "chosen_by": "judge"}}},
            "explainers.x.chosen_by = 'judge' is none of the scorers ['encoder']",
        ),
        ({"explainers": {"x": MODEL | {"silent": -1}}}, "explainers.x.silent = -1"),
        ({"explainers": {"x": GIVEN | {"sources": {"20-res": "7"}}}}, "explainers.x.sources names '7'"),
        ({"audit": AUDIT | {"scorers": ["encoder", "nobody"]}}, "audit.scorers names 'nobody'"),
        ({"audit": AUDIT | {"explainers": ["file", "file"]}}, "audit.explainers names 'file' twice"),
        ({"audit": AUDIT | {"feature": 3}}, "audit.feature is not a known key; the nearest is 'features'"),
        ({"audit": AUDIT | {"paraphraser": MODEL | {"rubrick": "x"}}}, "the nearest is 'rubric'"),
        (
            {
                "scorers": {"encoder": MODEL, "judge": MODEL},
                "audit": AUDIT | {"paraphraser": MODEL | {"dictionaries": ["7"]}},
            },
            "audit.paraphraser.dictionaries names '7'",
        ),
        ({"name": "../up"}, "name = '../up'"),
        ({"subject": {}}, "subject.model is missing"),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=r"^You asked to run it, but .*: mend the config and run again\.$") as caught:
        toml.build(BASE | change, "it")
    assert problem in str(caught.value)


def test_an_explainer_may_be_called_like_a_kind() -> None:
    """The tag that tells explainers apart must not be mistaken for the name that somebody gave one."""
    for name in ("lexical", "llm", "given", "words"):
        with pytest.raises(UserError, match=f"explainers.{name}.wrods is not a known key; the nearest is 'words'"):
            toml.build(BASE | {"explainers": {name: {"kind": "lexical", "wrods": 3}}}, "it")


@pytest.mark.parametrize("name", ["pool", "positions", "a.pool", "a.features"])
def test_a_dictionary_cannot_take_the_name_of_a_file_of_the_run(name: str) -> None:
    tree = {**BASE, "dictionaries": {name: {"path": "w256"}}}
    with pytest.raises(UserError, match="would take the name of a file of the run"):
        toml.build(tree, "a config")
