"""A whole run whose judge is asked in batches, through the real SDK: it stops with 75 and ends as any run does."""

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp import cli, toml
from autointerp.errors import UserError, WorkPending
from autointerp.llm.protocol import Request
from autointerp.pipeline import run
from autointerp.plan import plan
from autointerp.testing import server as faults
from autointerp.testing.server import FaultServer, Received
from tests import planted as plant


def judged(request: Received) -> str:
    return json.dumps(plant.judge_knowing(Request(request.shared, request.content)))


@pytest.fixture
def tree(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("SERVER_KEY", "key")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    server.answer = judged
    tree = plant.settings(plant.plant(tmp_path / "planted"))
    judge = {"kind": "llm", "provider": "openai", "model": "m", "base_url": f"{server.url}/v1"}
    tree["scorers"] = {"judge": {**judge, "api_key_env": "SERVER_KEY", "explainers": ["knows"]}}
    return tree


def scores(out: Path) -> bytes:
    return (out / "planted" / "report" / "scores.csv").read_bytes()


def test_a_run_in_batches_gives_the_scores_of_any_run(
    server: FaultServer, tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(plant.write_config(tmp_path / "ordinary.toml", tree), out=tmp_path / "ordinary")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "another-cache"))
    tree["scorers"]["judge"]["batch"] = True
    config = plant.write_config(tmp_path / "batches.toml", tree)
    once = iter([faults.EXPIRED, faults.NOT_JSON])  # one goes into a new batch, one is asked a second time
    server.choose_item = lambda request: next(once, faults.GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["autointerp", "run", str(config), "--out", "batches"])
    codes = []
    for _ in range(4):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        codes.append(ended.value.code or 0)
    assert codes == [75, 75, 75, 0]
    assert scores(tmp_path / "batches") == scores(tmp_path / "ordinary")
    assert [len(batch.outcomes) for batch in server.batches.made][1:] == [1, 1]
    assert set(server.batches.succeeded.values()) == {1}


def test_all_roles_of_a_stage_submit_before_it_stops(server: FaultServer, tree: dict[str, Any], tmp_path: Path) -> None:
    judge = tree["scorers"]["judge"] | {"batch": True}
    tree["scorers"] = {"one": judge, "two": judge | {"model": "n"}}
    config = plant.write_config(tmp_path / "two.toml", tree)
    with pytest.raises(WorkPending, match=r"openai@127\.0\.0\.1:\d+/v1 for m in batches"):
        run(config, out=tmp_path)
    assert len(server.batches.made) == 2
    run(config, out=tmp_path)
    assert len(server.batches.made) == 2


def test_a_role_that_cannot_have_batches_is_refused_before_anything_is_loaded(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["explainers"]["knows"]["batch"] = True
    config = plant.write_config(tmp_path / "refused.toml", tree)
    with pytest.raises(UserError, match="this provider takes none"):
        run(config, out=tmp_path)
    assert not (tmp_path / "planted" / "collect").exists()
    notes = plan(toml.load(config)).notes
    assert any("knows: You asked scripted" in note and "takes none" in note for note in notes)


def test_the_plan_shows_the_price_of_batches(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["prices"] = {"m": {"input": 200.0, "output": 1000.0, "batch_input": 100.0, "batch_output": 500.0}}

    def price(batch: bool) -> tuple[str, float]:
        tree["scorers"]["judge"]["batch"] = batch
        made = plan(toml.load(plant.write_config(tmp_path / "priced.toml", tree)))
        (stage,) = (stage for stage in made.stages if stage.stage == "score")
        return stage.what, float(stage.price)

    assert price(True)[0] == "judge: detection by m, in batches"
    assert price(True)[1] == pytest.approx(price(False)[1] / 2, abs=0.01)
