"""A key is in the environment and in the headers that are sent, and nowhere else: every byte of a run is looked at."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Request
from autointerp.testing import server as faults
from autointerp.testing.server import FaultServer, Received
from tests import planted as plant

ROOT = Path(__file__).parents[2]
KEYS = {"ONE_KEY": "sk-ant-recognisable-0123456789", "OTHER_KEY": "sk-proj-recognisable-9876543210"}


def played(request: Received) -> str:
    """The planted explainer and judge, behind HTTP."""
    asked = Request(request.shared, request.content)
    part = plant.explain_knowing if "ACTIVE" in request.content.split("\n") else plant.judge_knowing
    return json.dumps(part(asked))


@pytest.mark.parametrize(
    ("level", "batch"), [("warning", False), ("debug", False), pytest.param("debug", True, marks=pytest.mark.slow)]
)
def test_a_whole_run_writes_no_key(level: str, batch: bool, server: FaultServer, tmp_path: Path) -> None:
    server.answer = played
    answered: set[str] = set()

    def echo(request: Received) -> faults.Fault:
        """Every seventh request gets its own key back in an error message, every eleventh is lost."""
        key = request.headers["authorization"].removeprefix("Bearer ")
        if batch:
            return (
                faults.status(429, f"not with {key}", retry_after_ms="1") if len(server.received) < 3 else faults.GOOD
            )
        if len(server.received) % 7 == 0:
            return faults.status((429, 500, 529)[len(server.received) % 3], f"not with {key}", retry_after_ms="1")
        return faults.LOST if len(server.received) % 11 == 0 else faults.GOOD

    def echo_item(request: Received) -> faults.Fault:
        """The same inside a batch, for every item that is asked for the first time."""
        first = request.content not in answered
        answered.add(request.content)
        key = KEYS["ONE_KEY" if request.path == "/v1/messages" else "OTHER_KEY"]
        return faults.status(500, f"not with {key}") if first else faults.GOOD

    server.choose, server.choose_item = echo, echo_item
    tree = plant.settings(plant.plant(tmp_path / "planted", n_documents=24))
    # A wait of a second lets a start see what came of its batches: two starts do what would take three without.
    role: dict[str, Any] = {
        "kind": "llm",
        "model": "served",
        "concurrency": 4,
        "batch": batch,
        "batch_wait": float(batch),
    }
    one = role | {"provider": "anthropic", "base_url": server.url, "api_key_env": "ONE_KEY"}
    other = role | {"provider": "openai", "base_url": f"{server.url}/v1", "api_key_env": "OTHER_KEY"}
    tree["explainers"] = {"lexical": {"kind": "lexical"}} if batch else {"knows": one}
    tree["scorers"] = {"one": one, "other": other} if batch else {"judge": other}  # both of a stage submit at once
    tree["prices"] = {"served": {"input": 1.0, "output": 2.0, "batch_input": 1.0, "batch_output": 2.0}}
    config = plant.write_config(tmp_path / "run" / "planted.toml", tree)
    written = tmp_path / "run"
    environment = (
        os.environ
        | KEYS
        | {
            "PYTHONPATH": str(ROOT),
            "AUTOINTERP_CACHE": str(written / "cache"),
            "OPENAI_LOG": level,
            "ANTHROPIC_LOG": level,
        }
    )
    Ledger(written / "cache" / "ledger.sqlite").close()
    with sqlite3.connect(written / "cache" / "ledger.sqlite") as watching:
        watching.execute("BEGIN").execute("SELECT * FROM replies").fetchall()  # keeps the write-ahead log on the disk
        codes: list[int] = []
        while not codes or (codes[-1] == 75 and len(codes) < 9):
            done = subprocess.run(
                [sys.executable, "-m", "autointerp", "run", str(config), "--out", str(written)],
                env=environment,
                capture_output=True,
                check=False,
            )
            codes.append(done.returncode)
            with (written / "log").open("ab") as log:
                log.write(done.stdout + done.stderr)
        assert codes[-1] in (0, 3), (written / "log").read_text()
        assert (len(codes) > 1) == batch
        files = [path for path in written.rglob("*") if path.is_file()]
        names = {
            "ledger.sqlite-wal",
            "spending.log",
            "manifest.json",
            "index.html",
            "costs.csv",
            "verdicts.parquet",
            "log",
        }
        assert names <= {path.name for path in files}
        assert len((written / "cache" / "ledger.sqlite-wal").read_bytes()) > 10_000
        for path in files:
            content = path.read_bytes()
            for key in KEYS.values():
                assert key.encode() not in content, path
            assert b"Bearer sk" not in content, path
    watching.close()
    assert {r.headers["authorization"] for r in server.received} == {f"Bearer {key}" for key in KEYS.values()}
    costs = pd.read_csv(written / "planted" / "report" / "costs.csv").set_index("role")
    assert (costs["price_usd"] > 0).all()
    expected = (costs["input_tokens"] * 1.0 + costs["output_tokens"] * 2.0) / 1e6
    assert costs["price_usd"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)
