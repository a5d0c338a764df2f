"""Ten thousand requests in bad weather, and a hundred sudden deaths: nothing is lost and nothing is paid twice."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from autointerp.llm import client as client_module
from autointerp.llm.anthropic import AnthropicProvider
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.openai import OpenAIProvider
from autointerp.llm.protocol import Provider, Request
from autointerp.llm.wire import Endpoint
from autointerp.testing import server as faults
from autointerp.testing.server import Fault, FaultServer, Received

N, SHARE = 10_000, 0.2
# An answer never comes into being: the server says so, is gone, or sends something else in its place.
UNANSWERED = (
    faults.status(429, retry_after_ms="5"),
    faults.status(429, retry_after="0"),
    faults.status(500),
    faults.BAD_GATEWAY,
    faults.status(529),
    faults.HTML,
    faults.TRUNCATED,
    faults.EMPTY,
    faults.NULL,
    faults.ERROR_INSIDE,
    faults.DROPPED,
    faults.stalled(0.05),
)
# An answer is made and sent whole, though some are no use.
ANSWERED = (faults.slow(0.05), faults.REFUSAL, faults.CUT, faults.WRONG_SCHEMA, faults.FENCED, faults.PROSE)
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_storm_loses_nothing_and_pays_nothing_twice(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's own count: who has a reply was answered once; who gave up, never.

    The exception is an answer that was cut off on the way (`LOST`): it may have to be paid for, cannot be kept, and
    is asked for again. The server counts those apart.
    """
    rng = random.Random(dialect)

    def weather(request: Received) -> Fault:
        if rng.random() >= SHARE:
            return faults.GOOD
        return rng.choice((*UNANSWERED, *ANSWERED, faults.LOST))

    async def short(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    monkeypatch.setattr(client_module, "sleep", short)
    requests = [Request("the rubric", f"item {number}", SCHEMA) for number in range(N // 2)]
    with FaultServer() as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        server.choose = weather
        provider: Provider
        if dialect == "anthropic":
            provider = AnthropicProvider(Endpoint("anthropic", "m", server.url, "key"))
        else:
            provider = OpenAIProvider(Endpoint("openai", "m", f"{server.url}/v1", "key"), True)
        # an attempt fails with 0.2 * 13/19, so some 13 requests fail three times
        with Client(provider, ledger, concurrency=32, attempts=3) as client:
            replies = client.complete_all(requests)
        usage = client.usage("storm")
        stored = {row["request"]["content"] for row in ledger.rows()}
    assert len(replies) == len(requests) == usage.requests
    for request, reply in zip(requests, replies, strict=True):
        kept = request.content in stored
        assert (reply.answer is not None) != bool(reply.failure)
        assert kept != reply.failure.startswith("given up")
        assert server.answered[request.content] == kept
    gave_up = sum(reply.failure.startswith("given up") for reply in replies)
    useless = Counter(reply.failure.split(" ")[0] for reply in replies if reply.failure)
    assert 0 < gave_up < 0.01 * len(requests)
    assert {"refused:", "cut", "the"} <= set(useless)
    assert server.answered.total() == len(stored) == len(requests) - gave_up
    assert 0 < server.lost.total() < 0.05 * len(requests)
    assert len(server.received) > 1.1 * len(requests)


ASKING = """
import os, random, signal, sys, time
from pathlib import Path
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Request
from autointerp.llm.scripted import ScriptedProvider

folder, n_deaths = Path(sys.argv[1]), int(sys.argv[2])
rng = random.Random(0)

def ask(life):
    handed = os.open(folder / "handed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    made = os.open(folder / "made", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def answer(request):
        os.write(made, f"{request.content}\\n".encode())
        return f"answer to {request.content} " + "x" * 2000
    with Ledger(folder / "ledger.sqlite") as ledger, Client(ScriptedProvider(answer), ledger, concurrency=4) as client:
        for number in range(10**6):
            (reply,) = client.complete_all([Request("rubric", f"{life}.{number}")])
            os.write(handed, f"{life}.{number}\\n".encode())

for life in range(n_deaths):
    child = os.fork()
    if child == 0:
        ask(life)
        os._exit(1)
    time.sleep(rng.uniform(0.005, 0.08))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.mark.slow
def test_a_hundred_deaths_lose_no_reply_that_was_handed_over(tmp_path: Path) -> None:
    """A fresh process asks as fast as it can until it is killed without warning, a hundred times on one ledger."""
    n_deaths = 100
    subprocess.run(
        [sys.executable, "-c", ASKING, str(tmp_path), str(n_deaths)],
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    handed, made = ((tmp_path / name).read_text().splitlines() for name in ("handed", "made"))
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        stored = {row["request"]["content"]: row["reply"]["text"] for row in ledger.rows()}
    assert set(handed) <= set(stored)
    assert all(text == f"answer to {content} " + "x" * 2000 for content, text in stored.items())
    assert len(made) - len(stored) <= n_deaths  # at most the one in flight at each death
    assert len({content.split(".")[0] for content in handed}) > 0.3 * n_deaths  # the others died before their first
    assert len(handed) > 3 * n_deaths
