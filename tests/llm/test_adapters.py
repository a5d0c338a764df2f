"""The adapters of the two SDKs, against a server that misbehaves."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm import anthropic, capabilities, openai
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.prices import Price
from autointerp.llm.protocol import Image, Provider, Reply, Request, TokenLogprob, TransientError
from autointerp.llm.wire import Endpoint
from autointerp.testing import server as faults
from autointerp.testing.server import FaultServer

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
    assert (reply.input_tokens, reply.output_tokens) == (5, 5)  # a quarter of 10 + 8, and of 17 characters


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
    assert body["prompt_cache_key"] == hashlib.sha256(b"the rubric").hexdigest()[:32]
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


def test_retry_after_may_be_a_date_to_come(dialect: Dialect, server: FaultServer) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    server.plan(faults.status(529, retry_after=date))
    with pytest.raises(TransientError) as caught:
        dialect.ask(server)
    assert caught.value.retry_after == pytest.approx(90, abs=10) and caught.value.throttled


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
        (400, "prompt is too long: 9000 tokens > 4096", "about 38 tokens and 50 for the answer"),
        (400, "prompt is too long: 9000 tokens > 4096", "lower examples, items_per_request, evidence.window or max"),
        (400, "The model `asked-model` does not exist", "check model and base_url"),
        (400, "output_config.format.schema: unsupported keyword", "set capabilities.structured = false"),
        (400, "Invalid schema for response_format 'answer'", "simplify the schema of the rubric"),
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
    server.plan(faults.ERROR_INSIDE)
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


# the prompt cache


def test_shared_beginnings_come_from_the_providers_cache_and_are_counted(
    dialect: Dialect, server: FaultServer, ledger: Ledger
) -> None:
    rubric, n = "a long rubric " * 100, 50  # 1,400 characters, 350 tokens
    price = Price(1.0, 0.0, "test", cache_read=0.1, cache_write=1.25)
    with Client(dialect.open(dialect.role(server)), ledger, concurrency=1, price=price) as client:
        replies = client.complete_all([Request(rubric, f"item {number:03}", SCHEMA) for number in range(n)])
        usage = client.usage("scorer")
        again = client.complete_all([Request(rubric, "item 000", SCHEMA)])[0]
    assert [reply.cache_read_tokens for reply in replies] == [0] + [350] * (n - 1)
    assert usage.input_tokens == n * (350 + 2)
    assert usage.cache_read_tokens / usage.input_tokens == pytest.approx(0.975, abs=0.001)
    # 2 tokens of each item at 1, 49 times 350 at 0.1, and 350 written at 1.25 (messages) or sent at 1 (completions)
    first = 350 * 1.25 if dialect.name == "anthropic" else 350
    assert usage.price_usd == pytest.approx((n * 2 + 49 * 35 + first) / 1e6)
    assert again.cached and again.cache_read_tokens == 0 and again.price_usd == replies[0].price_usd


def test_a_compatible_server_gets_no_key_to_the_cache(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    Dialect("openai", openai.open, "/v1").ask(server)
    assert "prompt_cache_key" not in server.received[0].body


# images, log-probabilities, and what a model does not take

PICTURES = (Image("image/png", b"\x89PNG one"), Image("image/jpeg", b"\xff\xd8 two"))
LOOK = Request("the rubric", "which one?", SCHEMA, images=PICTURES)


def test_images_stand_before_the_text_in_their_order(dialect: Dialect, server: FaultServer) -> None:
    assert dialect.ask(server, LOOK, capabilities={"vision": True}).answer == {"answer": "yes"}
    parts = server.received[0].body["messages"][-1]["content"]
    assert [part["type"].removesuffix("_url") for part in parts] == ["text", "image", "text", "image", "text"]
    assert [part["text"] for part in parts[::2]] == ["image 0", "image 1", "which one?"]
    for part, picture in zip(parts[1::2], PICTURES, strict=True):
        if dialect.name == "anthropic":
            source = part["source"]
            assert (source["type"], source["media_type"]) == ("base64", picture.media_type)
            data = source["data"]
        else:
            kind, _, data = part["image_url"]["url"].partition(",")
            assert kind == f"data:{picture.media_type};base64"
        assert base64.b64decode(data) == picture.data


def test_the_ledger_knows_images_by_their_hash(server: FaultServer, dialect: Dialect, ledger: Ledger) -> None:
    big = Image("image/png", os.urandom(300_000))
    other = Image("image/png", big.data[:-1] + b"x")
    requests = [Request("", "what is it?", images=images) for images in ((big,), (other,), (other, big), ())]
    with Client(dialect.open(dialect.role(server, capabilities={"vision": True})), ledger) as client:
        client.complete_all(requests)
        assert all(reply.cached for reply in client.complete_all(requests))
    assert len(server.received) == 4
    rows = list(ledger.rows())
    assert sum(holding.size for holding in ledger.holdings()) < 5000
    assert hashlib.sha256(big.data).hexdigest() in str(rows)


@pytest.mark.parametrize(
    ("request_", "settings", "found"),
    [
        (LOOK, {"vision": False}, "it is not known to take images"),
        (LOOK, {"vision": True, "max_images": 1}, "a request has 2 images and it takes 1"),
        (replace(QUESTION, top_logprobs=5), {"logprobs": False}, "it is not known to give log-probabilities"),
        (Request("", "x" * 9000), {"context": 2000}, "a request of 9,000 bytes and 1,024 tokens of answer is too long"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_anything_is_sent(
    dialect: Dialect, server: FaultServer, ledger: Ledger, request_: Request, settings: dict[str, Any], found: str
) -> None:
    with (
        Client(dialect.open(dialect.role(server, capabilities=settings)), ledger) as client,
        pytest.raises(UserError, match=found),
    ):
        client.complete_all([QUESTION, request_])
    assert server.received == []


def test_without_structured_output_or_sampling_nothing_of_it_is_sent_and_the_answer_is_still_checked(
    dialect: Dialect, server: FaultServer
) -> None:
    server.plan(faults.GOOD, faults.WRONG_SCHEMA)
    nothing = {"structured": False, "temperature": False, "seed": False}
    assert dialect.ask(server, capabilities=nothing).answer == {"answer": "yes"}
    assert "does not fit its schema" in dialect.ask(server, capabilities=nothing).failure
    assert not {"response_format", "output_config", "temperature", "seed"} & set(server.received[0].body)


def test_what_is_sent_beside_the_request_is_part_of_the_ledgers_key(
    server: FaultServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    dialect = Dialect("openai", openai.open, "/v1")
    for settings in ({}, {"temperature": False}, {"structured": False}, {"vision": True}):
        with Client(dialect.open(dialect.role(server, capabilities=settings)), ledger) as client:
            client.complete_all([QUESTION])
    assert len(server.received) == 3  # vision changes nothing for a request without images


def test_log_probabilities_are_read_and_come_back_from_the_ledger(
    server: FaultServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    dialect = Dialect("openai", openai.open, "/v1")
    asked = replace(QUESTION, top_logprobs=2)
    with Client(dialect.open(dialect.role(server)), ledger) as client:
        (fresh,), (stored,) = client.complete_all([asked]), client.complete_all([asked])
        (plain,) = client.complete_all([QUESTION])
    assert (server.received[0].body["logprobs"], server.received[0].body["top_logprobs"]) == (True, 2)
    assert "logprobs" not in server.received[1].body and plain.logprobs is None
    assert fresh.logprobs is not None and fresh.logprobs[0] == TokenLogprob(
        '{"answer":', -0.5, (("0", -1.0), ("1", -2.0))
    )
    assert stored.cached and stored.logprobs == fresh.logprobs


@pytest.mark.parametrize(
    ("provider", "model", "can", "cannot"),
    [
        ("anthropic", "claude-haiku-5-5", "vision structured", "logprobs temperature seed"),
        ("openai", "gpt-6-luna", "vision structured", "logprobs temperature seed"),
        ("openai", "gpt-4o-mini-2024-07-18", "vision structured logprobs temperature seed", ""),
        ("openai", "gpt-3.5-turbo", "logprobs temperature seed", "vision structured"),
        ("openai", "o3-mini", "structured", "vision logprobs temperature"),
        ("compatible", "Qwen/Qwen2.5-VL-7B-Instruct", "vision structured logprobs temperature seed", ""),
        ("compatible", "Qwen/Qwen2.5-7B-Instruct", "structured logprobs temperature seed", "vision"),
        ("compatible", "meta-llama/Llama-3.2-11B-Vision-Instruct", "vision", ""),
        ("nobody", "model", "", "vision structured logprobs temperature seed"),
    ],
)
def test_capabilities_go_by_provider_and_name(provider: str, model: str, can: str, cannot: str) -> None:
    found = capabilities.look_up(provider, model)
    assert all(getattr(found, name) for name in can.split())
    assert not any(getattr(found, name) for name in cannot.split())
