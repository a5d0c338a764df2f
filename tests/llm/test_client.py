"""The client: nothing asked twice, order kept, waits as told, errors where they belong."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm import client as client_module
from autointerp.llm import openai
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Reply, Request, TransientError
from autointerp.llm.scripted import ScriptedProvider
from autointerp.testing import server as faults
from autointerp.testing.server import FaultServer

KEY = "sk-very-secret-0123456789"


def questions(*contents: str) -> list[Request]:
    return [Request("shared", content) for content in contents]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept, in seconds."""
    slept: list[float] = []

    async def record(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(client_module, "sleep", record)
    return slept


class Slow:
    """Answers after as many turns of the loop as the request's number says, and counts what is in flight."""

    name, model = "slow", "slow-1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.flying = self.most = 0

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.content)
        self.flying += 1
        self.most = max(self.most, self.flying)
        for _ in range(int(request.content)):
            await asyncio.sleep(0)
        self.flying -= 1
        return Reply(f"answer to {request.content}", self.model)

    async def close(self) -> None:
        return None


def test_order_is_kept_equal_requests_are_asked_once_and_flight_is_bounded(ledger: Ledger) -> None:
    provider, ticks = Slow(), []
    with Client(provider, ledger, concurrency=3) as client:
        contents = [str(n) for n in (9, 1, 5, 0, 9, 7, 3, 1)]
        replies = client.complete_all(questions(*contents), lambda: ticks.append(1))
    assert [reply.text for reply in replies] == [f"answer to {content}" for content in contents]
    assert sorted(provider.asked) == sorted(set(contents))
    assert provider.most == 3
    assert len(ticks) == len(contents)


def test_a_providers_own_bound_on_flight_wins(ledger: Ledger) -> None:
    provider = Slow()
    provider.max_concurrency = 1
    with Client(provider, ledger) as client:
        client.complete_all(questions("3", "2", "1"))
    assert provider.most == 1


def test_nothing_to_ask_is_fine(ledger: Ledger) -> None:
    with Client(Slow(), ledger) as client:
        assert client.complete_all([]) == []


def test_stored_answers_are_not_asked_again_but_another_sample_is(ledger: Ledger) -> None:
    provider = Slow()
    with Client(provider, ledger) as client:
        first = client.complete_all(questions("1", "2"))
        again = client.complete_all(questions("2", "1"))
        client.complete_all([Request("shared", "1", sample=1)])
        usage = client.usage("scorer")
    assert len(provider.asked) == 3
    assert not any(reply.cached for reply in first) and all(reply.cached for reply in again)
    assert (usage.role, usage.provider, usage.requests, usage.cached) == ("scorer", "slow", 5, 2)


def test_the_reply_is_in_the_ledger_before_anyone_sees_it(ledger: Ledger) -> None:
    provider = ScriptedProvider(lambda request: "fine")
    known: list[bool] = []

    def look() -> None:
        rows = ledger._database.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
        known.append(rows == len(known) + 1)

    with Client(provider, ledger, concurrency=1) as client:
        client.complete_all(questions("a", "b", "c"), look)
    assert known == [True, True, True]


def test_useless_answers_are_stored_too(ledger: Ledger) -> None:
    answers = ["no JSON"]
    provider = ScriptedProvider(lambda request: answers.pop())
    with Client(provider, ledger) as client:
        request = Request("", "a", {"type": "object"})
        (first,) = client.complete_all([request])
        (again,) = client.complete_all([request])
    assert first.failure == again.failure != "" and again.cached


def role(server: FaultServer) -> LLMRole:
    return LLMRole(kind="llm", provider="openai", model="m", base_url=f"{server.url}/v1", api_key_env="SERVER_KEY")


def test_retries_wait_as_the_server_asks(
    server: FaultServer, ledger: Ledger, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    server.plan(faults.status(429, retry_after="40"), faults.status(503, retry_after_ms="1500"), faults.HTML)
    with Client(openai.open(role(server)), ledger) as client:
        (reply,) = client.complete_all(questions("a"))
    assert reply.failure == "" and len(server.received) == 4
    assert 40 <= pauses[0] <= 50 and 1.5 <= pauses[1] <= 1.875
    assert len(pauses) == 3


def test_backoff_grows_and_is_bounded(ledger: Ledger, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    provider = ScriptedProvider(lambda request: TransientError("busy"))
    with Client(provider, ledger, attempts=9, deadline=1e6) as client:
        client.complete_all(questions("a"))
    assert pauses == sorted(pauses) and pauses[0] < pauses[3] and max(pauses) <= 30


def test_after_the_last_attempt_there_is_a_failure_and_nothing_stored(ledger: Ledger, pauses: list[float]) -> None:
    answers: list[Any] = [TransientError("busy")] * 3 + ["fine"]
    provider = ScriptedProvider(lambda request: answers.pop(0))
    with Client(provider, ledger, attempts=3) as client:
        (given_up,) = client.complete_all(questions("a"))
        (later,) = client.complete_all(questions("a"))
    assert "attempt 3" in given_up.failure and "busy" in given_up.failure
    assert (later.text, later.cached) == ("fine", False)


def test_a_question_is_lost_until_one_of_its_samples_has_a_useful_answer(ledger: Ledger, pauses: list[float]) -> None:
    busy, nothing = TransientError("busy"), ""
    weather: dict[tuple[str, int], Any] = {
        ("mended", 0): busy,
        ("useless", 0): nothing,
        ("useless", 1): nothing,
        ("useless, then lost", 0): nothing,
        ("useless, then lost", 1): busy,
        ("lost, then useless", 0): busy,
        ("lost, then useless", 1): nothing,
        ("lost", 0): busy,
        ("lost", 1): busy,
    }
    provider = ScriptedProvider(lambda request: weather.get((request.content, request.sample), "fine"))
    with Client(provider, ledger, attempts=2) as client:
        asked = questions("fine", *dict.fromkeys(content for content, _ in weather))
        replies = client.complete_all(asked)
        again = [replace(one, sample=1) for one, reply in zip(asked, replies, strict=True) if reply.failure]
        client.complete_all(again)
        assert (len(again), client.usage("r").lost) == (5, 3)
        weather.clear()
        client.complete_all(asked)
        client.complete_all(again)
        assert client.usage("r").lost == 0
    assert {row["request"]["content"] for row in ledger.rows()} == {request.content for request in asked}


def test_a_wait_beyond_the_deadline_is_not_begun(ledger: Ledger, pauses: list[float]) -> None:
    provider = ScriptedProvider(lambda request: TransientError("come tomorrow", 86_400.0))
    with Client(provider, ledger) as client:
        (reply,) = client.complete_all(questions("a"))
    assert "come tomorrow" in reply.failure and pauses == []


def test_a_hanging_provider_meets_the_deadline(ledger: Ledger) -> None:
    class Hanging(Slow):
        async def complete(self, request: Request) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

    with Client(Hanging(), ledger, deadline=0.02) as client:
        (reply,) = client.complete_all(questions("a"))
    assert "0.02 s" in reply.failure


def test_the_users_mistake_ends_the_call_and_keeps_what_was_paid_for(ledger: Ledger) -> None:
    class Refusing(Slow):
        async def complete(self, request: Request) -> Reply:
            if request.content == "1":
                raise UserError("you asked", "the key is wrong", "mend it")
            return await super().complete(request)

    provider = Refusing()
    with Client(provider, ledger, concurrency=2) as client:
        with pytest.raises(UserError, match="the key is wrong"):
            client.complete_all(questions("8", "1", "2", "3"))
        assert provider.asked == ["8"]
        assert client.complete_all(questions("8"))[0].cached


def test_connections_outlive_a_call(server: FaultServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    with Client(openai.open(role(server)), ledger) as client:
        for content in "abc":
            assert client.complete_all(questions(content))[0].text == faults.ANSWER


def test_it_works_where_a_loop_is_running(ledger: Ledger) -> None:
    async def notebook() -> list[Reply]:
        with Client(Slow(), ledger) as client:
            return client.complete_all(questions("1")) + client.complete_all(questions("2"))

    assert [reply.text for reply in asyncio.run(notebook())] == ["answer to 1", "answer to 2"]


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_an_interrupt_cancels_what_flies_and_leaves_the_client_usable(ledger: Ledger, in_a_loop: bool) -> None:
    cancelled: list[str] = []

    class Hanging(Slow):
        async def complete(self, request: Request) -> Reply:
            if request.content == "0":
                return await super().complete(request)
            self.asked.append(request.content)
            if len(self.asked) == 2:
                threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(request.content)
            raise AssertionError

    def interrupted(client: Client) -> None:
        with pytest.raises(KeyboardInterrupt):
            client.complete_all(questions("1", "2", "3"))

    async def notebook(client: Client) -> None:
        interrupted(client)

    with Client(Hanging(), ledger, concurrency=2) as client:
        if in_a_loop:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(notebook(client))
            loop.close()
        else:
            interrupted(client)
        assert sorted(cancelled) == ["1", "2"]
        assert client.complete_all(questions("0"))[0].text == "answer to 0"


def test_another_process_pays_for_nothing_and_no_key_reaches_the_disk(server: FaultServer, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from autointerp.config import LLMRole
from autointerp.llm import anthropic
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Request
role = LLMRole(kind="llm", provider="anthropic", model="m", base_url=sys.argv[2], api_key_env="SERVER_KEY")
with Ledger(Path(sys.argv[1])) as ledger, Client(anthropic.open(role), ledger) as client:
    for reply in client.complete_all([Request("shared", str(n)) for n in range(3)]):
        print(reply.text, reply.resolved, reply.cached)
"""
    folder = tmp_path / "cache"
    command = [sys.executable, "-c", code, str(folder / "ledger.sqlite"), server.url]
    environment = os.environ | {"SERVER_KEY": KEY}
    server.plan(faults.REFUSAL, faults.status(429, f"slow down, {KEY}", retry_after_ms="1"))
    outputs = []
    for _ in range(2):
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert len(server.received) == 4
    assert outputs[0].count("False") == outputs[1].count("True") == 3
    assert outputs[0].replace("False", "True") == outputs[1]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content and b"Bearer" not in content
