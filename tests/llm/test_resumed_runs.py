"""Runs that were stopped or met bad weather: the next start knows what was spent, and fills the gaps."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.errors import UserError, WorkPending
from autointerp.llm import client as client_module
from autointerp.llm.protocol import Request
from autointerp.pipeline import run
from autointerp.testing import server as faults
from autointerp.testing.server import Fault, FaultServer, Received
from tests import planted as plant

COST = ["role", "requests", "cached", "input_tokens", "output_tokens", "price_usd"]


def played(request: Received) -> str:
    """The planted explainer and judge, behind HTTP."""
    asked = Request(request.shared, request.content)
    return json.dumps((plant.explain_knowing if "ACTIVE" in request.content else plant.judge_knowing)(asked))


@pytest.fixture
def tree(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A run whose explainer and judge are asked through the real SDK, at a known price."""
    monkeypatch.setenv("SERVER_KEY", "key")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client_module, "sleep", lambda seconds: asyncio.sleep(0))
    server.answer = played
    tree = plant.settings(plant.plant(tmp_path / "planted"))
    role = {"kind": "llm", "provider": "openai", "model": "m", "base_url": f"{server.url}/v1"}
    role["api_key_env"] = "SERVER_KEY"
    tree["explainers"] = {"knows": role}
    tree["scorers"] = {"judge": role | {"controls": ["shuffled"]}}
    tree["prices"] = {"m": {"input": 2.0, "output": 10.0, "batch_input": 1.0, "batch_output": 5.0}}
    return tree


@pytest.fixture
def undisturbed(tree: dict[str, Any], server: FaultServer, tmp_path: Path) -> Path:
    """The folder of the same run when all is well, with a ledger of its own."""
    with pytest.MonkeyPatch.context() as apart:
        apart.setenv("AUTOINTERP_CACHE", str(tmp_path / "undisturbed-cache"))
        run(plant.write_config(tmp_path / "undisturbed.toml", tree), out=tmp_path / "undisturbed")
    server.received.clear()
    server.answered.clear()
    return tmp_path / "undisturbed"


def reports(out: Path) -> dict[str, bytes]:
    files = (out / "planted" / "report").glob("*.csv")
    return {path.name: path.read_bytes() for path in files if path.name != "costs.csv"}


def costs(out: Path) -> list[dict[str, Any]]:
    table = pd.read_csv(out / "planted" / "report" / "costs.csv")[COST]
    return table.round(6).to_dict("records")


def is_question(request: Received) -> bool:
    """One in five, always the same ones."""
    return sum(request.content.encode()) % 5 == 0


# gaps


def test_the_next_start_asks_again_for_what_got_no_answer(
    server: FaultServer, tree: dict[str, Any], undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    config = plant.write_config(tmp_path / "planted.toml", tree)
    server.choose = lambda request: faults.status(500) if is_question(request) else faults.GOOD

    def start() -> list[str]:
        """The stages that ran, with the reason."""
        caplog.clear()
        run(config, out=tmp_path)
        return [m for m in caplog.messages if "running, because" in m]

    assert len(start()) == 5
    stages = json.loads((tmp_path / "planted" / "manifest.json").read_text())["stages"]
    lost = {name: stages[name]["facts"]["usage"][0]["lost"] for name in ("explain", "score")}
    assert min(lost.values()) > 0
    assert (
        f"{'score':<9} {lost['score']} requests got no answer: run again to ask for them once more" in caplog.messages
    )
    assert "given up at attempt 5" in (tmp_path / "planted" / "report" / "scores.csv").read_text()
    assert reports(tmp_path) != reports(undisturbed)

    server.choose = lambda request: faults.GOOD
    ran = start()
    assert ran[0] == f"explain   running, because {lost['explain']} requests got no answer last time"
    assert ran[1] == "score     running, because explanations changed"
    assert ran[2].startswith("report    running, because explain, score changed")
    assert reports(tmp_path) == reports(undisturbed)
    assert costs(tmp_path) == costs(undisturbed)
    assert set(server.answered.values()) == {1}  # nothing was paid twice
    before = len(server.received)
    assert start() == []
    assert len(server.received) == before


def test_as_long_as_it_gets_no_answer_a_stage_is_tried_again_and_changes_nothing(
    server: FaultServer, tree: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    config = plant.write_config(tmp_path / "planted.toml", tree)
    server.choose = lambda request: (
        faults.DROPPED if is_question(request) and "ACTIVE" not in request.content else faults.GOOD
    )
    run(config, out=tmp_path)
    first, n = reports(tmp_path), len(server.answered)
    caplog.clear()
    run(config, out=tmp_path)
    (said,) = [message for message in caplog.messages if "running, because" in message]
    assert re.fullmatch(r"score     running, because \d+ requests got no answer last time", said)
    assert reports(tmp_path) == first
    assert (len(server.answered), set(server.answered.values())) == (n, {1})


def test_in_batches_too(server: FaultServer, tree: dict[str, Any], undisturbed: Path, tmp_path: Path) -> None:
    tree["scorers"]["judge"] = tree["scorers"]["judge"] | {"batch": True}
    config = plant.write_config(tmp_path / "planted.toml", tree)
    server.choose_item = lambda request: faults.EXPIRED if is_question(request) else faults.GOOD

    def finish() -> int:
        """Starts until it ends well."""
        for starts in range(1, 20):
            try:
                run(config, out=tmp_path)
            except WorkPending:
                continue
            return starts
        raise AssertionError("it does not end")

    assert finish() > 1
    left = pd.read_parquet(tmp_path / "planted" / "verdicts.parquet")["reason"]
    assert left.str.contains("given up after 3 batches").any()
    server.choose_item = lambda request: faults.GOOD
    assert finish() > 1
    assert reports(tmp_path) == reports(undisturbed)
    assert set(server.batches.succeeded.values()) == {1}
    assert finish() == 1


# what it cost


def test_costs_are_those_of_all_starts(
    server: FaultServer, tree: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    config = plant.write_config(tmp_path / "planted.toml", tree)
    starts = 0
    while True:
        starts += 1
        try:
            run(config, (f"budget.requests={15 * starts}",), out=tmp_path)
        except WorkPending:
            continue
        break
    assert starts > 3
    assert costs(tmp_path) == costs(undisturbed)
    assert {row["cached"] for row in costs(tmp_path)} == {0}
    # another run has the answers for nothing
    run(config, ("name='other'",), out=tmp_path)
    other = pd.read_csv(tmp_path / "other" / "report" / "costs.csv")
    assert (other["requests"] == other["cached"]).all() and (other["price_usd"] == 0).all()


def test_a_role_that_is_done_while_another_waits_keeps_its_costs(
    server: FaultServer, tree: dict[str, Any], tmp_path: Path
) -> None:
    judge = tree["scorers"]["judge"] | {"batch": True}
    tree["scorers"] = {"one": judge, "two": judge | {"model": "n"}}
    tree["prices"]["n"] = tree["prices"]["m"]
    config = plant.write_config(tmp_path / "planted.toml", tree)
    outcomes: dict[str, Fault] = {}

    def second_round(request: Received) -> Fault:
        """The first answer of the second judge is long in coming."""
        first = request.body["model"] == "n" and not outcomes
        return outcomes.setdefault(request.content, faults.EXPIRED) if first else faults.GOOD

    server.choose_item = second_round
    for _ in range(2):
        with pytest.raises(WorkPending):
            run(config, out=tmp_path)
    run(config, out=tmp_path)
    explained, one, two = costs(tmp_path)
    assert explained["requests"] > 0 and explained["cached"] == 0
    assert one["requests"] == two["requests"] and one["cached"] == two["cached"] == 0
    assert one["price_usd"] == pytest.approx(two["price_usd"], rel=0.01)  # each judge has an order of its own


def test_unknown_prices_and_lineages_stay_unknown_and_both_names_are_kept(tree: dict[str, Any], tmp_path: Path) -> None:
    del tree["prices"]
    run(plant.write_config(tmp_path / "planted.toml", tree), out=tmp_path)
    report = tmp_path / "planted" / "report"
    spent = pd.read_csv(report / "costs.csv")
    assert set(spent["role"]) == {"explainer knows", "scorer judge"}
    assert spent["price_usd"].isna().all() and (spent["input_tokens"] > 0).all()
    roles = pd.read_csv(report / "roles.csv").set_index("role").loc["scorer judge"]
    assert (roles["requested"], roles["resolved"]) == ("m", faults.MODEL)
    assert (roles["developer"], bool(roles["known"])) == ("unknown", False)


# elsewhere


@pytest.mark.parametrize("end", ["budget", "interrupt", "mistake"])
def test_another_machine_knows_what_was_spent(
    end: str,
    server: FaultServer,
    tree: dict[str, Any],
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = plant.write_config(tmp_path / "planted.toml", tree)
    away = f"file://{tmp_path / 'away'}"
    caps: dict[str, tuple[str, type[BaseException]]] = {
        "budget": ("budget.requests=40", WorkPending),
        "interrupt": ("budget.requests=1000", KeyboardInterrupt),
        "mistake": ("budget.requests=1000", UserError),
    }
    cap, error = caps[end]
    if end == "mistake":
        server.choose = lambda request: faults.status(401) if len(server.received) > 40 else faults.GOOD
    if end == "interrupt":
        monkeypatch.setattr(client_module.Client, "complete_all", interrupted(client_module.Client.complete_all))
    with pytest.raises(error):
        run(config, (cap,), out=away)
    monkeypatch.undo()
    spent = lines(tmp_path / "away" / "planted")
    assert len(spent) > 1
    assert {"explain", "score"} - set(stages(tmp_path / "away")) == {"score"}

    n = len(server.received)
    server.choose = lambda request: faults.GOOD
    monkeypatch.setenv("SERVER_KEY", "key")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "another-machine"))
    with pytest.raises(WorkPending, match=r"asked to spend at most \d+ requests, but \d+ requests are spent"):
        run(config, ("budget.requests=12",), out=away)
    assert len(server.received) == n
    run(config, out=away)
    assert lines(tmp_path / "away" / "planted")[: len(spent)] == spent
    assert reports(tmp_path / "away") == reports(undisturbed)


def test_what_a_killed_start_could_not_send_is_not_forgotten_here(
    tree: dict[str, Any], server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plant.write_config(tmp_path / "planted.toml", tree)
    away = f"file://{tmp_path / 'away'}"
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr("autointerp.job.Job.close", lambda job: None)
        with pytest.raises(WorkPending):
            run(config, ("budget.requests=40",), out=away)
    assert len(lines(tmp_path / "away" / "planted")) < 81
    n = len(server.received)
    with pytest.raises(WorkPending):
        run(config, ("budget.requests=40",), out=away)
    assert len(server.received) == n == 40
    assert len(lines(tmp_path / "away" / "planted")) == 81  # the token; for each request what it may take and has taken


def interrupted(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is interrupted at the end of its third call."""
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        result = method(*arguments)
        if calls == 3:
            raise KeyboardInterrupt
        return result

    return call


def lines(folder: Path) -> list[str]:
    return (folder / "spending.log").read_text().splitlines()


def stages(out: Path) -> list[str]:
    return list(json.loads((out / "planted" / "manifest.json").read_text())["stages"])
