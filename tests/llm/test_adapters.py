"""The adapters of the two SDKs, against a server that misbehaves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm import anthropic, openai
from autointerp.llm.protocol import Provider, Reply, Request, TransientError
from autointerp.llm.wire import Endpoint
from tests.faults import server as faults
from tests.faults.server import FaultServer

KEY = "sk-very-secret-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 9}},
    "required": ["answer"],
    "additionalProperties": False,
}
QUESTION = Request("the rubric", "the item", SCHEMA, max_tokens=50)


@dataclass
class Dialect:
    name: str
    open: Callable[[LLMRole], Provider]
    suffix: str

    def role(self, server: FaultServer, **settings: Any) -> LLMRole:
        settings = {"base_url": server.url + self.suffix, "api_key_env": "SERVER_KEY"} | settings
        return LLMRole(kind="llm", provider=self.name, model="asked-model", **settings)

    def ask(self, server: FaultServer, request: Request = QUESTION, **settings: Any) -> Reply:
        async def once() -> Reply:
            provider = self.open(self.role(server, **settings))
            try:
                return await provider.complete(request)
            finally:
                await provider.close()

        return asyncio.run(once())


@pytest.fixture(params=["anthropic", "openai"])
def dialect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Dialect:
    monkeypatch.setenv("SERVER_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    if request.param == "anthropic":
        return Dialect("anthropic", anthropic.open, "")
    return Dialect("openai", openai.open, "/v1")


def test_answer_names_the_model_that_answered_and_counts_all_input_tokens(
    dialect: Dialect, server: FaultServer
) -> None:
    reply = dialect.ask(server)
    assert (reply.answer, reply.failure, reply.resolved) == ({"answer": "yes"}, "", faults.MODEL)
    assert (reply.input_tokens, reply.output_tokens) == (27, 3)


def test_request_carries_key_model_and_both_parts(dialect: Dialect, server: FaultServer) -> None:
    dialect.ask(server)
    (received,) = server.received
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body["model"] == "asked-model"
    assert "the rubric" in str(received.body) and "the item" in str(received.body)


def test_anthropic_sends_a_cached_rubric_a_reduced_schema_and_no_sampling(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    Dialect("anthropic", anthropic.open, "").ask(server)
    body = server.received[0].body
    assert not {"temperature", "top_p", "top_k", "seed"} & set(body)
    assert body["system"] == [{"type": "text", "text": "the rubric", "cache_control": {"type": "ephemeral"}}]
    assert "maxLength" not in body["output_config"]["format"]["schema"]["properties"]["answer"]


def test_compatible_server_gets_fixed_sampling_and_the_nested_schema(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    Dialect("openai", openai.open, "/v1").ask(server)
    body = server.received[0].body
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0, 0, 50)
    assert body["response_format"]["json_schema"] == {"name": "answer", "strict": True, "schema": SCHEMA}


def test_hosted_openai_gets_no_sampling(server: FaultServer) -> None:
    place = Endpoint("openai", "gpt-6-luna", server.url + "/v1", KEY)

    async def once() -> Reply:
        provider = openai.OpenAIProvider(place)
        try:
            return await provider.complete(QUESTION)
        finally:
            await provider.close()

    asyncio.run(once())
    body = server.received[0].body
    assert body["max_completion_tokens"] == 50
    assert not {"temperature", "seed", "top_p", "max_tokens"} & set(body)


def test_without_schema_the_text_is_the_reply(dialect: Dialect, server: FaultServer) -> None:
    server.plan(faults.NOT_JSON)
    reply = dialect.ask(server, Request("", "the item"))
    assert (reply.text, reply.answer, reply.failure) == ("yes, certainly", None, "")
    assert not {"system", "output_config", "response_format"} & set(server.received[0].body)


def test_fenced_json_is_read(dialect: Dialect, server: FaultServer) -> None:
    server.plan(faults.FENCED)
    assert dialect.ask(server).answer == {"answer": "yes"}


def test_missing_usage_is_none(dialect: Dialect, server: FaultServer) -> None:
    server.plan(faults.NO_USAGE)
    reply = dialect.ask(server)
    assert (reply.input_tokens, reply.output_tokens, reply.answer) == (None, None, {"answer": "yes"})


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (faults.REFUSAL, "refused: I will not"),
        (faults.CUT, "cut at max_tokens = 50"),
        (faults.WRONG_SCHEMA, "does not fit its schema at $.answer"),
        (faults.NOT_JSON, "not JSON"),
        (faults.Fault(text=""), "nothing"),
        (faults.Fault(text='{"answer": NaN}'), "not JSON"),
        (faults.Fault(text="[" * 100_000), "not JSON"),
    ],
)
def test_useless_answers_are_failures_with_a_reason(
    dialect: Dialect, server: FaultServer, fault: faults.Fault, why: str
) -> None:
    server.plan(fault)
    reply = dialect.ask(server)
    assert why in reply.failure and reply.answer is None
    assert (reply.text, reply.resolved) == (fault.text, faults.MODEL)


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(429),
        faults.status(408),
        faults.status(500),
        faults.status(503, "Loading model"),
        faults.status(529),
        faults.Fault(502, {"content-type": "text/html"}, "<html>bad gateway</html>"),
        faults.HTML,
        faults.TRUNCATED,
        faults.EMPTY,
        faults.NULL,
        faults.DROPPED,
    ],
)
def test_passing_trouble_is_transient_and_tried_once(
    dialect: Dialect, server: FaultServer, fault: faults.Fault
) -> None:
    server.plan(fault)
    with pytest.raises(TransientError):
        dialect.ask(server)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(
    dialect: Dialect, server: FaultServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.plan(faults.status(429, **headers))
    with pytest.raises(TransientError) as caught:
        dialect.ask(server)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (401, f"wrong key {KEY}", "check the key in SERVER_KEY"),
        (403, "no access", "check the key in SERVER_KEY"),
        (402, "no credit", "quota is spent"),
        (404, "no such model", "check model and base_url"),
        (400, "prompt is too long: 9000 tokens > 4096", "longer context"),
        (413, "body", "longer context"),
        (422, "what is top_q", "check the settings"),
        (400, "unsupported parameter: max_tokens", "check the settings"),
    ],
)
def test_what_only_the_user_can_mend_says_how_and_hides_the_key(
    dialect: Dialect, server: FaultServer, code: int, message: str, hint: str
) -> None:
    server.plan(faults.status(code, message))
    with pytest.raises(UserError) as caught:
        dialect.ask(server)
    assert hint in str(caught.value) and "asked-model" in str(caught.value)
    assert KEY not in str(caught.value)


def test_openai_spent_quota_comes_as_429_and_is_not_retried(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    server.plan(faults.status(429, "pay", "insufficient_quota"))
    with pytest.raises(UserError, match="quota is spent"):
        Dialect("openai", openai.open, "/v1").ask(server)


def test_openai_policy_rejection_is_a_refusal_not_the_users_mistake(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    server.plan(faults.status(400, "flagged", "content_filter"))
    assert "refused" in Dialect("openai", openai.open, "/v1").ask(server).failure


def test_openai_router_error_inside_a_good_response_is_transient(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    server.plan(faults.ROUTER_ERROR)
    with pytest.raises(TransientError, match="upstream is down"):
        Dialect("openai", openai.open, "/v1").ask(server)


def test_missing_key_names_the_variable_and_the_provider(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"{dialect.name.upper()}_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=f"(?s){dialect.name}.*{variable}"):
        dialect.open(LLMRole(kind="llm", provider=dialect.name, model="m"))
    monkeypatch.delenv("SERVER_KEY")
    with pytest.raises(UserError, match="SERVER_KEY"):
        dialect.open(
            LLMRole(kind="llm", provider=dialect.name, model="m", base_url="http://h", api_key_env="SERVER_KEY")
        )


def test_the_providers_own_key_is_not_sent_to_another_server(
    dialect: Dialect, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{dialect.name.upper()}_API_KEY", KEY)
    dialect.ask(server, api_key_env=None)
    assert KEY not in str(server.received[0].headers)


def test_two_servers_have_two_names_and_credentials_in_the_address_none(dialect: Dialect) -> None:
    def name(url: str) -> str:
        return dialect.open(LLMRole(kind="llm", provider=dialect.name, model="m", base_url=url)).name

    assert name("http://one:1/v1") != name("http://two:1/v1")
    assert "hush" not in name("http://user:hush@one:1/v1")
