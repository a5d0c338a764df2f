"""The doctor: what is missing is found before a run, without a request, and what is there is not called missing."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub
import pytest

from autointerp import doctor, toml
from autointerp.doctor import Finding, examine, refuse_missing
from autointerp.errors import UserError
from autointerp.llm.ledger import Ledger, home
from tests import planted as plant
from tests.planted import Planted

SECRET = "sk-never-to-be-shown"
HOSTED = {"kind": "llm", "provider": "anthropic", "model": "claude-sonnet-5-5"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def tree(planted: Planted) -> dict[str, Any]:
    return plant.settings(planted)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no cache and no key of the user's."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for variable in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def found(tree: dict[str, Any]) -> dict[str, Finding]:
    rows = examine(toml.build(tree, "it"))
    assert len({row.what for row in rows}) == len(rows)
    assert all(row.next_step for row in rows if row.state == "missing")
    return {row.what: row for row in rows}


def missing(tree: dict[str, Any]) -> set[str]:
    return {what for what, row in found(tree).items() if row.state == "missing"}


def test_nothing_is_missing_where_a_run_starts(tree: dict[str, Any], tmp_path: Path) -> None:
    rows = found(tree)
    assert not missing(tree)
    assert rows["dictionary rules"].found == f"SAELens, 16 features of {len(plant.VOCABULARY)} dimensions"
    assert rows["hook of rules"] == Finding("hook of rules", "ok", plant.HOOK)
    assert rows["corpus"].found.startswith("1 file, the first document of ")
    refuse_missing(list(rows.values()), "you asked")
    assert not list(tmp_path.iterdir())  # and nothing is written, not even a ledger


def test_without_a_config_it_is_about_this_machine() -> None:
    rows = {row.what: row for row in examine(None)}
    assert {"Python", "packages", "device cpu", "ledger", "folder of runs", "folder of cache"} <= set(rows)
    assert {f"extra {extra}" for extra in doctor.EXTRAS} <= set(rows)
    assert not any(what.startswith(("subject", "corpus", "dictionary")) for what in rows)


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        ({"subject": {"model": "/nowhere/model"}}, "subject", "there is no /nowhere/model"),
        ({"subject": {"model": "package:no_such_package/x.gguf"}}, "subject", "is not installed"),
        ({"subject": {"model": "python:no_such_module:make"}}, "subject", "there is no module no_such_module"),
        ({"corpus": {"path": "nowhere.jsonl"}}, "corpus", "there is no such file or folder"),
        ({"dictionaries": {"x": {"path": "/nowhere"}}}, "dictionary x", "there is no such folder or file"),
        ({"scorers": {"judge": HOSTED}}, "scorer judge", "the variable ANTHROPIC_API_KEY holds no key"),
        (
            {"scorers": {"judge": {"kind": "llm", "provider": "local", "model": "nowhere.gguf"}}},
            "scorer judge",
            "there is no such file",
        ),
        (
            {"scorers": {"judge": {"kind": "llm", "provider": "antropic", "model": "x"}}},
            "scorer judge",
            "there is none; known are",
        ),
        ({"scorers": {"judge": {"kind": "embedding", "model": "./nowhere"}}}, "scorer judge", "there is no ./nowhere"),
        ({"explainers": {"mine": {"kind": "given", "path": "no.csv", "author": "human"}}}, "explainer mine", "no.csv"),
        ({"circularity": {}}, "circularity", "no number be graded worse than B"),
        ({"budget": {"usd": 5.0}}, "budget", "is not known"),
        ({"generalisation": {"path": "nowhere.csv"}}, "concept list", "there is no such file or folder"),
        ({"subject": {"model": "planted:planted/rules.toml", "device": "cuda:7"}}, "subject.device", "asks for cuda:7"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], what: str, said: str, tree: dict[str, Any]) -> None:
    tree |= change
    tree["scorers"]["judge"].pop("explainers", None)
    assert said in found(tree)[what].found
    assert what in missing(tree)


def test_a_wrong_hook_is_found_without_the_weights(tree: dict[str, Any], planted: Planted, tmp_path: Path) -> None:
    bare = tmp_path / "subject"
    bare.mkdir()
    shutil.copy(planted.folder / "subject" / "config.json", bare)  # no weights at all
    tree["subject"] = {"model": str(bare)}
    assert found(tree)["hook of rules"].state == "ok"
    tree["dictionaries"]["rules"]["hook"] = "model.layers.7"
    assert missing(tree) == {"hook of rules"}
    tree["dictionaries"]["rules"]["hook"] = "model.layers.0"
    assert not missing(tree)


@pytest.mark.parametrize(
    ("subject", "hook"),
    [
        ("planted:planted/rules.toml", "superposed"),
        ("emoji-clip/emoji-clip-4m", "vision_model.encoder.layers.3+text_model.encoder.layers.3"),
    ],
)
def test_hooks_of_other_subjects(subject: str, hook: str, tree: dict[str, Any]) -> None:
    tree["subject"] = {"model": subject}
    tree["dictionaries"]["rules"]["hook"] = hook
    assert found(tree)["hook of rules"] == Finding("hook of rules", "ok", hook)
    tree["dictionaries"]["rules"]["hook"] = f"{hook}.nowhere"
    assert "hook of rules" in missing(tree)


def test_a_folder_that_is_no_model_or_no_dictionary(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    tree["subject"] = {"model": str(tmp_path / "hollow")}
    tree["dictionaries"]["rules"]["path"] = str(tmp_path / "hollow")
    assert missing(tree) == {"subject", "dictionary rules"}
    assert "fit no known format" in found(tree)["dictionary rules"].found


def test_a_dictionary_that_names_no_hook(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["dictionaries"]["rules"]["path"] = str(plant.write_dictionary(tmp_path / "bare", metadata={}))
    assert missing(tree) == {"hook of rules"}
    assert found(tree)["hook of rules"].next_step == "set dictionaries.rules.hook"


def test_a_large_dictionary_is_recognised_and_not_read(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LARGEST_GB", 1e-6)
    monkeypatch.setattr(doctor, "load_dictionary", lambda _: pytest.fail("it was read"))
    assert found(tree)["dictionary rules"] == Finding("dictionary rules", "ok", "saelens, not read here: it is large")


def test_ids_of_the_hub_are_notes_until_the_cache_has_them(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["subject"] = {"model": "google/gemma-2-2b"}
    tree["dictionaries"] = {"hub": {"path": "owner/saes@main/layer_12", "hook": "model.layers.12"}}
    rows = found(tree)
    assert {rows[what].state for what in ("subject", "dictionary hub", "hook of hub")} == {"note"}
    for repository, file in (("google--gemma-2-2b", "config.json"), ("owner--saes", "layer_12/params.npz")):
        store = tmp_path / "hub" / f"models--{repository}"
        (store / "refs").mkdir(parents=True)
        (store / "refs" / "main").write_text("a" * 40)
        cached = store / "snapshots" / ("a" * 40) / file
        cached.parent.mkdir(parents=True)
        cached.write_text(json.dumps({}))
    rows = found(tree)
    assert {rows[what].state for what in ("subject", "dictionary hub")} == {"ok"}


def test_a_key_is_found_and_never_shown(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tree["scorers"] = {"judge": HOSTED | {"api_key_env": "THEIRS"}}
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert "THEIRS" in found(tree)["scorer judge"].found
    monkeypatch.setenv("THEIRS", SECRET)
    row = found(tree)["scorer judge"]
    assert row == Finding("scorer judge", "ok", "claude-sonnet-5-5 by anthropic, the key is in THEIRS")
    assert SECRET not in str(found(tree))


def test_an_extra_is_missing_only_where_it_is_needed(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    there = doctor.lacking
    monkeypatch.setattr(doctor, "lacking", lambda one: "is not installed" if one.name == "ray" else there(one))
    assert found(tree)["extra ray"].state == "note"
    tree["collect"]["engine"] = "ray"
    assert missing(tree) == {"extra ray"}
    assert found(tree)["extra ray"].next_step == "pip install 'autointerp[ray]'"


def test_versions_are_held_against_the_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: "0.0.1" if name == "numpy" else version(name)
    )
    row = next(row for row in examine(None) if row.what == "package numpy")
    assert row.state == "missing"
    assert row.found == "is 0.0.1, needs >=2.0"
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    assert next(row for row in examine(None) if row.what == "Python").state == "missing"


def test_a_ledger_that_does_not_open() -> None:
    home().parent.mkdir()
    Ledger(home()).close()
    assert next(row for row in examine(None) if row.what == "ledger").found.endswith("holds 0 answers")
    home().write_bytes(b"no database" * 1000)
    assert next(row for row in examine(None) if row.what == "ledger").state == "missing"


def test_a_disk_that_is_nearly_full_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**8)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert next(row for row in examine(None) if row.what == "folder of runs").state == "note"
    (tmp_path / "file").write_text("")
    rows = {row.what: row for row in examine(None, tmp_path / "file" / "runs")}
    assert rows["folder of runs"].state == "missing"
    assert next(row for row in examine(None, "s3://bucket/runs") if row.what == "folder of runs").state == "note"


def test_the_sentence_counts_what_is_missing() -> None:
    rows = [Finding("a", "ok", "x"), Finding("b", "missing", "gone", "find it"), Finding("c", "missing", "too", "y")]
    with pytest.raises(UserError, match=r"^You asked, but b: gone, and 1 more missing: find it\.$"):
        refuse_missing(rows, "you asked")
    refuse_missing(rows[:1], "you asked")
