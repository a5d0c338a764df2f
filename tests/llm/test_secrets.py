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


@pytest.mark.parametrize("level", ["warning", "debug"])
def test_a_whole_run_writes_no_key(level: str, server: FaultServer, tmp_path: Path) -> None:
    server.answer = played

    def echo(request: Received) -> faults.Fault:
        """Every seventh request gets its own key back in an error message, every eleventh is lost."""
        key = request.headers["authorization"].removeprefix("Bearer ")
        if len(server.received) % 7 == 0:
            return faults.status((429, 500, 529)[len(server.received) % 3], f"not with {key}", retry_after_ms="1")
        return faults.LOST if len(server.received) % 11 == 0 else faults.GOOD

    server.choose = echo
    tree = plant.settings(plant.plant(tmp_path / "planted", n_documents=24))
    role: dict[str, Any] = {"kind": "llm", "model": "served", "concurrency": 4}
    one = role | {"provider": "anthropic", "base_url": server.url, "api_key_env": "ONE_KEY"}
    other = role | {"provider": "openai", "base_url": f"{server.url}/v1", "api_key_env": "OTHER_KEY"}
    tree["explainers"] = {"knows": one}
    tree["scorers"] = {"judge": other}
    tree["prices"] = {"served": {"input": 1.0, "output": 2.0}}
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
        done = subprocess.run(
            [sys.executable, "-m", "autointerp", "run", str(config), "--out", str(written)],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr.decode()
        (written / "log").write_bytes(done.stdout + done.stderr)
        files = [path for path in written.rglob("*") if path.is_file()]
        assert {"ledger.sqlite-wal", "index.html", "costs.csv", "verdicts.parquet", "log"} <= {p.name for p in files}
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
