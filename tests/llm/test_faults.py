"""What goes wrong between a question and its answer, through the real SDKs, the client and the judge's reading."""

import json
import time
from collections.abc import Callable

import pytest

from autointerp import rubric
from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.judge import asking, detection
from autointerp.judge.asking import Asked
from autointerp.judge.question import Said, Shown
from autointerp.llm import anthropic, openai
from autointerp.llm import client as client_module
from autointerp.llm.anthropic import AnthropicProvider
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.openai import OpenAIProvider
from autointerp.llm.protocol import Provider, Request
from autointerp.llm.wire import Endpoint
from autointerp.records import Excerpt, Item
from autointerp.testing import server as faults
from autointerp.testing.server import Fault, FaultServer, Received

RUBRIC = rubric.load("detection")
ITEMS = [Item(Excerpt(0, n, 0, (text,), (1.0,)), "bin0", True, 1.0) for n, text in enumerate(("a", "b", "c"))]
SHOWN = [Shown(item, True, {"text": item.excerpt.text}) for item in ITEMS]
ASKED = Asked("detection", RUBRIC, SHOWN, asking.request(detection, "letters", SHOWN, RUBRIC, 1024))
Open = Callable[..., Provider]


@pytest.fixture(params=["anthropic", "openai"])
def opened(request: pytest.FixtureRequest, server: FaultServer) -> Open:
    """Opens a provider on the server that waits `read_seconds` for the next byte."""
    if request.param == "anthropic":
        place = Endpoint("anthropic", "m", server.url, "key")
        return lambda read_seconds=10.0: AnthropicProvider(place, read_seconds=read_seconds)
    place = Endpoint("openai", "m", f"{server.url}/v1", "key")
    return lambda read_seconds=10.0: OpenAIProvider(place, True, read_seconds=read_seconds)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(client_module, "sleep", at_once)


def verdicts(request: Received) -> str:
    """Every excerpt fits."""
    lines = [json.loads(line) for line in request.content.split("\n")]
    return json.dumps({"answers": [{"id": line["id"], "fits": True} for line in lines if "id" in line]})


@pytest.mark.parametrize(
    ("fault", "n_asked"),
    [
        (faults.GOOD, 1),
        (faults.MISSING_IDS, 2),
        (faults.DUPLICATE_IDS, 2),
        (faults.PROSE, 2),
        (faults.FENCED, 1),
        (faults.CUT, 2),
        (faults.REFUSAL, 2),
        (faults.WRONG_SCHEMA, 2),
        (faults.NOT_JSON, 2),
        (faults.status(429, retry_after="0"), 2),
        (faults.status(529), 2),
        (faults.status(500), 2),
        (faults.BAD_GATEWAY, 2),
        (faults.HTML, 2),
        (faults.TRUNCATED, 2),
        (faults.EMPTY, 2),
        (faults.NULL, 2),
        (faults.DROPPED, 2),
        (faults.LOST, 2),
        (faults.slow(0.1), 1),
        (faults.stalled(0.05), 2),
    ],
)
def test_every_fault_is_mended_by_asking_once_more(
    fault: Fault, n_asked: int, opened: Open, server: FaultServer, ledger: Ledger
) -> None:
    server.answer = verdicts
    server.plan(fault)
    with Client(opened(), ledger) as client:
        (found,) = asking.judge(client, [ASKED])
    assert found == [Said(1.0)] * 3
    assert len(server.received) == n_asked


@pytest.mark.parametrize(
    ("fault", "values", "reason"),
    [
        (faults.MISSING_IDS, [1.0, 1.0, None], "no answer for this item"),
        (faults.DUPLICATE_IDS, [None, 1.0, None], "answer"),
        (faults.PROSE, [None] * 3, "not JSON"),
        (faults.REFUSAL, [None] * 3, "refused: I will not"),
        (faults.CUT, [None] * 3, "cut at max_tokens = 1024"),
    ],
)
def test_what_stays_useless_is_unscored_with_its_reason_and_touches_no_other_item(
    fault: Fault, values: list[float | None], reason: str, opened: Open, server: FaultServer, ledger: Ledger
) -> None:
    server.answer = verdicts
    server.choose = lambda request: fault
    with Client(opened(), ledger) as client:
        (found,) = asking.judge(client, [ASKED])
    assert [None if said.reason else said.value for said in found] == values
    assert all(reason in said.reason for said in found if said.reason)
    assert len(server.received) == 2


def test_an_error_inside_a_good_status_is_tried_again(opened: Open, server: FaultServer, ledger: Ledger) -> None:
    server.plan(faults.ERROR_INSIDE, faults.ERROR_INSIDE)
    with Client(opened(), ledger) as client:
        (reply,) = client.complete_all([Request("", "a")])
    assert (reply.text, len(server.received)) == (faults.ANSWER, 3)


def test_a_stall_ends_with_the_read_timeout(opened: Open, server: FaultServer, ledger: Ledger) -> None:
    server.plan(Fault(wait=1.0))
    started = time.monotonic()
    with Client(opened(read_seconds=0.2), ledger) as client:
        (reply,) = client.complete_all([Request("", "a")])
    assert reply.text == faults.ANSWER
    assert time.monotonic() - started < 1.0


def test_a_drip_that_outlasts_the_deadline_ends_with_it(opened: Open, server: FaultServer, ledger: Ledger) -> None:
    """No single gap is long enough for a read timeout."""
    server.plan(faults.slow(2.0))
    with Client(opened(read_seconds=1.0), ledger, deadline=0.5) as client:
        (reply,) = client.complete_all([Request("", "a")])
    assert reply.failure == "no answer within 0.5 s"


@pytest.mark.parametrize(("open_", "provider"), [(anthropic.open, "anthropic"), (openai.open, "openai")])
def test_without_a_key_the_sentence_names_provider_and_variable(
    open_: Open, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{provider.upper()}_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError) as caught:
        open_(LLMRole(kind="llm", provider=provider, model="model-1"))
    assert str(caught.value) == (
        f"You asked {provider} for model-1, but the variable {variable} holds no key: set {variable}, or name another "
        "variable in api_key_env."
    )
