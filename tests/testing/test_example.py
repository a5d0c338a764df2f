"""How to test a part of your own with `autointerp.testing`. The comments are for those who copy from here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autointerp.config import LLMRole
from autointerp.llm import openai
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Reply, Request
from autointerp.llm.scripted import Script
from autointerp.testing import FaultServer, ScriptedModel, fault_server, scripted_model, status

__all__ = ["fault_server", "scripted_model"]  # fixtures are used by name, so linters need to be told

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def test_a_scripted_model(scripted_model: Callable[[Script], ScriptedModel]) -> None:
    # The function gets the request and returns the answer: JSON, a string that the model wrote, or an exception.
    model = scripted_model(lambda request: {"answer": request.content.upper()})
    requests = [Request("the rubric", word, SCHEMA) for word in ("one", "two")]
    replies = model.client.complete_all(requests)
    assert [reply.answer["answer"] for reply in replies] == ["ONE", "TWO"]
    # Asked again, the answers come from the ledger: the model is not troubled.
    assert all(reply.cached for reply in model.client.complete_all(requests))
    assert model.asked == requests


def test_two_scripted_models_know_nothing_of_each_other(scripted_model: Callable[[Script], ScriptedModel]) -> None:
    def ask(model: ScriptedModel) -> Reply:
        return model.client.complete_all([Request("", "word")])[0]

    first, second = scripted_model(lambda request: "first"), scripted_model(lambda request: "second")
    assert (ask(first).text, ask(second).text) == ("first", "second")


def test_a_real_sdk_against_a_server_that_misbehaves(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the model writes, and what the next requests meet instead of a good answer.
    fault_server.answer = lambda request: '{"answer": "from the server"}'
    fault_server.plan(status(429, retry_after_ms="1"), status(503, "Loading model", retry_after_ms="1"))
    monkeypatch.setenv("MY_KEY", "secret")
    role = LLMRole(kind="llm", provider="openai", model="m", base_url=f"{fault_server.url}/v1", api_key_env="MY_KEY")
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Client(openai.open(role), ledger) as client:
        (reply,) = client.complete_all([Request("the rubric", "the item", SCHEMA)])
    assert reply.answer == {"answer": "from the server"}
    assert len(fault_server.received) == 3
    assert fault_server.received[-1].content == "the item"
    assert fault_server.answered["the item"] == 1
