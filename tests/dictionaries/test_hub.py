"""Dictionaries named by their place on the hub: the real library, in a process of its own, against a hub made here."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from autointerp.dictionaries import Dictionary, hub, load_dictionary
from autointerp.errors import UserError
from tests.faults.hub import Hub, Repository

FIXTURES = Path(__file__).parent / "fixtures"
TOKEN = "hf_" + "s3cret" * 6
LOAD = """
import json, sys
from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from tests.dictionaries.test_hub import described
for name in sys.argv[1:]:
    try:
        print(json.dumps(described(load_dictionary(name))))
    except UserError as error:
        print(json.dumps({"error": str(error)}))
"""


def described(dictionary: Dictionary) -> dict[str, Any]:
    """A dictionary as JSON: a digest for every tensor, everything else as it is."""
    return {
        name: hashlib.sha256(value.numpy().tobytes()).hexdigest() if isinstance(value, Tensor) else value
        for name, value in vars(dictionary).items()
    }


def files(fixture: str, folder: str) -> dict[str, bytes]:
    source = FIXTURES / fixture / "dictionary"
    return {f"{folder}/{path.name}".lstrip("/"): path.read_bytes() for path in source.iterdir()}


SCOPE = {
    **files("gemma_scope_1", "layer_20/width_16k/average_l0_71"),
    **files("gemma_scope_1", "layer_20/width_16k/average_l0_139"),
    **files("gemma_scope_1", "layer_3/width_16k/average_l0_7"),
}
REPOSITORIES = {
    "a/scope": Repository(SCOPE | {"README.md": b"# weights"}, ("main", "feature/x", "refs/pr/1")),
    "a/file": Repository(SCOPE),
    "a/sparse": Repository(
        files("sparsify_topk", "layers.3.mlp") | files("sparsify_topk", "layers.4.mlp") | {"config.json": b"{}"}
    ),
    "a/root": Repository(files("saelens_topk", "") | {"sparsity.safetensors": b"", "trainer_state.pt": b""}),
    "a/steps": Repository(
        {f"trainer_0/{'checkpoints/ae_9.pt' if name == 'ae.pt' else name}": content
         for name, content in files("dictionary_learning_gated", "").items()}
    ),
    "a/model": Repository({"config.json": b"{}", "model.bin": b""}),
    "a/other": Repository({"7.pt": (FIXTURES / "openai_topk" / "dictionary.pt").read_bytes()}),
    "a/gated": Repository(SCOPE, access="gated"),
    "a/private": Repository(SCOPE, access="private"),
}  # fmt: skip
COMMIT = REPOSITORIES["a/scope"].commit
L0_71 = "layer_20/width_16k/average_l0_71"


def load(url: str, cache: Path, *names: str, **more: str) -> list[dict[str, Any]]:
    """What `load_dictionary` gives for each name, or its error, one after the other in one process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names], env=environment | more, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with Hub(REPOSITORIES) as running:
        yield running


NAMES = {
    "folder": f"a/scope/{L0_71}",
    "file": f"a/file/{L0_71}/params.npz",
    "hookpoint": "a/sparse@main/layers.3.mlp",
    "root": "a/root",
    "checkpoint": "a/steps/trainer_0/checkpoints/ae_9.pt",
    "other name": "a/other/7.pt",
    "commit": f"a/scope@{COMMIT}/{L0_71}",
    "slash": f"a/scope@feature%2Fx/{L0_71}",
    "pull request": f"hf://a/scope@refs/pr/1/{L0_71}/",
    "no repository": "b/nothing/layer_1",
    "private": "a/private",
    "gated": f"a/gated/{L0_71}",
    "no revision": f"a/scope@{COMMIT[:7]}/{L0_71}",
    "no commit": f"a/scope@{'0' * 40}/{L0_71}",
    "near": "a/scope/layer_20/width_16k/average_l0_70",
    "above": "a/scope/layer_20",
    "no root": "a/scope",
    "no file": "a/scope/README.txt",
    "none": "a/model",
    "unnamed": "a/other",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def loaded(server: Hub, cache: Path) -> dict[str, dict[str, Any]]:
    return dict(zip(NAMES, load(server.url, cache, *NAMES.values()), strict=True))


def asked(server: Hub, repository: str) -> list[str]:
    """The files of a repository whose content was requested."""
    return [line.split("/", 4)[4] for line in server.received if line.startswith(f"GET {repository}/resolve/")]


# ---- what is found


@pytest.mark.parametrize(
    ("name", "fixture", "place"),
    [
        ("folder", "gemma_scope_1", f"a/scope, commit {COMMIT}, {L0_71}"),
        ("file", "gemma_scope_1", f"a/file, commit {REPOSITORIES['a/file'].commit}, {L0_71}/params.npz"),
        ("hookpoint", "sparsify_topk", f"a/sparse, commit {REPOSITORIES['a/sparse'].commit}, layers.3.mlp"),
        ("root", "saelens_topk", f"a/root, commit {REPOSITORIES['a/root'].commit}"),
        ("checkpoint", "dictionary_learning_gated", "trainer_0/checkpoints/ae_9.pt"),
        ("other name", "openai_topk", "7.pt"),
        ("commit", "gemma_scope_1", f"commit {COMMIT}"),
        ("slash", "gemma_scope_1", f"commit {COMMIT}"),
        ("pull request", "gemma_scope_1", f"commit {COMMIT}"),
    ],
)
def test_a_dictionary_on_the_hub_is_the_one_on_disk_and_says_where_it_came_from(
    name: str, fixture: str, place: str, loaded: dict[str, dict[str, Any]]
) -> None:
    (path,) = (FIXTURES / fixture).glob("dictionary*")
    expected, found = described(load_dictionary(path)), loaded[name]
    assert "error" not in found, found
    assert place in found["convention"].pop("source")
    by_path = {"convention", "hook", "expected_l0"}
    assert {key: found[key] for key in expected if key not in by_path} == {
        key: expected[key] for key in expected if key not in by_path
    }
    assert "source" not in expected["convention"]


def test_what_the_path_says_counts_in_the_cache_as_it_does_in_a_folder(
    loaded: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for repository, folder, name in (("a/scope", L0_71, "folder"), ("a/sparse", "layers.3.mlp", "hookpoint")):
        for path, content in REPOSITORIES[repository].files.items():
            (tmp_path / repository / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / repository / path).write_bytes(content)
        here = described(load_dictionary(tmp_path / repository / folder))
        assert (loaded[name]["hook"], loaded[name]["expected_l0"]) == (here["hook"], here["expected_l0"])
        assert loaded[name]["convention"]["hook"] == here["convention"]["hook"]
    assert loaded["folder"]["expected_l0"] == 71 and "layer 20" in loaded["folder"]["convention"]["hook"]
    assert loaded["hookpoint"]["hook"] == "layers.3.mlp"


@pytest.mark.usefixtures("loaded")
def test_only_the_files_that_were_needed_are_downloaded_and_each_once(server: Hub) -> None:
    assert asked(server, "a/scope") == [f"{L0_71}/params.npz"]
    assert asked(server, "a/file") == [f"{L0_71}/params.npz"]
    assert sorted(asked(server, "a/sparse")) == ["layers.3.mlp/cfg.json", "layers.3.mlp/sae.safetensors"]
    assert sorted(asked(server, "a/root")) == ["cfg.json", "sae_weights.safetensors"]
    assert sorted(asked(server, "a/steps")) == ["trainer_0/checkpoints/ae_9.pt", "trainer_0/config.json"]
    assert asked(server, "a/model") == []


# ---- what is not


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no repository", "there is no such folder or file, nor a repository b/nothing on the hub that you may read"),
        ("private", "nor a repository a/private on the hub that you may read: check the name, or run `hf auth login`"),
        ("gated", "a/gated is gated and does not let you in: ask for access on its page, then run `hf auth login`"),
        ("no revision", f"a/scope has no revision '{COMMIT[:7]}': name a branch, a tag or all 40 digits of a commit"),
        ("no commit", f"a/scope has no revision '{'0' * 40}'"),
        ("near", f"a/scope@main has no dictionary at 'layer_20/width_16k/average_l0_70': choose among {L0_71}, layer_"),
        ("above", "choose among layer_20/width_16k/average_l0_139, layer_20/width_16k/average_l0_71."),
        ("no root", "a/scope@main has none at its root: choose among layer_20/width_16k/average_l0_1"),
        ("no file", "a/scope@main has no dictionary at 'README.txt'"),
        ("none", "a/model@main has none at its root: use a repository that holds SAELens"),
        ("unnamed", "a/other@main has none at its root: choose among 7.pt"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_one_sentence(name: str, sentence: str, loaded: dict[str, dict[str, Any]]) -> None:
    error = loaded[name]["error"]
    assert error.startswith(f"You asked for the dictionary {NAMES[name]!r}, but ")
    assert sentence in error and "\n" not in error


@pytest.mark.parametrize(
    "name",
    ["/nowhere/at/all", "./a/b", "../a/b", "~/a/b", "alone", "a//b", "a/b/../../c", "a/b@", "datasets/a/b", "a b/c"],
)
def test_what_cannot_be_on_the_hub_is_not_looked_for_there(name: str) -> None:
    with pytest.raises(UserError, match="no such folder or file, and a dictionary on the hub is named owner/name"):
        hub.parse(name)


def test_an_address_with_a_token_in_it_is_not_repeated() -> None:
    with pytest.raises(UserError, match=r"'https://huggingface\.co/a/b'") as caught:
        hub.parse(f"https://user:{TOKEN}@huggingface.co/a/b")
    assert TOKEN not in str(caught.value)


def test_a_local_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "scope").symlink_to(FIXTURES / "gemma_scope_1" / "dictionary")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "download", lambda name: pytest.fail("looked for on the hub"))
    assert "source" not in load_dictionary("a/scope").convention


# ---- without the hub


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("offline", "HF_HUB_OFFLINE is set and the cache does not hold all of it: unset it once"),
        ("gone", "the hub cannot be reached and the cache does not hold all of it: go online"),
        ("broken", "the hub answers with status 500 and the cache does not hold all of it: try again later"),
    ],
)
def test_the_cache_is_used_where_the_hub_is_out_of_reach(way: str, reason: str, server: Hub, cache: Path) -> None:
    url = "http://127.0.0.1:9" if way == "gone" else server.url
    names = [f"a/scope/{L0_71}", f"a/scope@{COMMIT}/{L0_71}", "a/scope/x", "b/unknown"]
    if way == "offline":  # the library asks for half a minute before it gives up on a file of a known repository
        names += ["a/scope/layer_3/width_16k/average_l0_7", f"a/scope@{'1' * 40}/{L0_71}"]
    before, server.status = len(server.received), 500 if way == "broken" else 0
    try:
        here, commit, nowhere, *missing = load(url, cache, *names, HF_HUB_OFFLINE="1" if way == "offline" else "0")
    finally:
        server.status = 0
    assert here["convention"]["source"] == commit["convention"]["source"] == f"a/scope, commit {COMMIT}, {L0_71}"
    assert here["W_enc"] == described(load_dictionary(FIXTURES / "gemma_scope_1" / "dictionary"))["W_enc"]
    assert "a/scope@main has no dictionary at 'x': choose among" in nowhere["error"]
    assert all(reason in each["error"] for each in missing)
    assert way == "broken" or len(server.received) == before


def test_what_another_tool_left_in_the_cache_is_enough_offline(cache: Path, tmp_path: Path) -> None:
    """Such a cache has no listing of the repository."""
    storage = tmp_path / "hub" / "models--a--scope"
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(COMMIT)
    (storage / "snapshots" / COMMIT / L0_71).mkdir(parents=True)
    (storage / "snapshots" / COMMIT / L0_71 / "params.npz").write_bytes(SCOPE[f"{L0_71}/params.npz"])
    found, missing = load("http://127.0.0.1:9", tmp_path, f"a/scope/{L0_71}", "a/scope/layer_3", HF_HUB_OFFLINE="1")
    assert found["convention"]["source"] == f"a/scope, commit {COMMIT}, {L0_71}"
    assert f"choose among {L0_71}" in missing["error"]


def test_a_token_that_the_hub_refuses_is_not_shown(tmp_path: Path) -> None:
    with Hub(REPOSITORIES) as server:
        server.status = 401
        (refused,) = load(server.url, tmp_path, "a/scope")
    assert "the hub refuses your token for a/scope: run `hf auth login`" in refused["error"]
