"""Batches through the real SDKs: nothing lost and nothing paid twice, wherever it stops and whatever comes back."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from autointerp import cli
from autointerp.config import BudgetConfig
from autointerp.errors import UserError, WorkPending
from autointerp.llm import batches as batching
from autointerp.llm.anthropic import AnthropicProvider
from autointerp.llm.budget import Budget, Cost, Journal
from autointerp.llm.claims import Claims
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger, home
from autointerp.llm.openai import OpenAIProvider
from autointerp.llm.prices import Price
from autointerp.llm.protocol import BatchLimits, Reply, Request
from autointerp.llm.scripted import ScriptedProvider
from autointerp.llm.wire import Endpoint
from autointerp.testing import server as faults
from autointerp.testing.server import Fault, FaultServer, Received
from tests.forks import FORKS

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
PRICE = Price(1.0, 10.0, "test", batch_input=0.5, batch_output=5.0)


def questions(*names: object) -> list[Request]:
    return [Request("the rubric", f"item {name}", SCHEMA, max_tokens=20) for name in names]


def echo(request: Received) -> str:
    return json.dumps({"answer": request.content})


def provider_of(dialect: str, url: str) -> AnthropicProvider | OpenAIProvider:
    if dialect == "anthropic":
        return AnthropicProvider(Endpoint("anthropic", "m", url, "key"))
    return OpenAIProvider(Endpoint("openai", "m", f"{url}/v1", "key"))


@dataclass
class Desk:
    """Asks in batches, each time as a new start of a program would."""

    dialect: str
    server: FaultServer
    path: Path
    settings: dict[str, Any] = field(default_factory=dict)
    client: Client | None = None

    def ask(self, requests: list[Request], batch: bool = True, **settings: Any) -> list[Reply]:
        provider = provider_of(self.dialect, self.server.url)
        limits = settings.pop("limits", None)
        if limits:
            provider.batch_limits = limits
        settings = self.settings | settings
        with Ledger(self.path) as ledger, Client(provider, ledger, batch=batch, **settings) as self.client:
            return self.client.complete_all(requests)

    def finish(self, requests: list[Request], **settings: Any) -> tuple[list[Reply], int]:
        """Start after start, until there are answers; how many starts it took."""
        for starts in range(1, 12):
            try:
                return self.ask(requests, **settings), starts
            except WorkPending:
                continue
        raise AssertionError("it does not end")

    def sizes(self) -> list[int]:
        return [len(batch.outcomes) for batch in self.server.batches.made]

    def once(self) -> bool:
        """Whether the server has answered every request that it has answered exactly once."""
        return set(self.server.batches.succeeded.values()) == {1}


@pytest.fixture(params=["anthropic", "openai"])
def desk(request: pytest.FixtureRequest, server: FaultServer, tmp_path: Path) -> Desk:
    server.answer = echo
    return Desk(request.param, server, tmp_path / "ledger.sqlite")


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been slept, in seconds."""
    slept: list[float] = []

    async def nap(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(batching, "sleep", nap)
    return slept


def posts(server: FaultServer) -> int:
    """Batches that reached the server, taken or not."""
    return sum(r.path in ("/v1/messages/batches", "/v1/batches") and bool(r.body) for r in server.received)


# when all is well


def test_one_start_submits_and_the_next_has_the_answers(desk: Desk) -> None:
    asked = questions(*range(5))
    with pytest.raises(WorkPending, match=r"5 of 5 requests are in 1 unfinished batch; the oldest is of .* UTC"):
        desk.ask(asked)
    replies = desk.ask(asked)
    assert [reply.answer["answer"] for reply in replies] == [request.content for request in asked]
    assert all(reply.input_tokens and reply.output_tokens and not reply.cached for reply in replies)
    assert all(reply.cached for reply in desk.ask(asked))
    assert (desk.sizes(), desk.once()) == ([5], True)


def test_a_wait_ends_it_in_one_start(desk: Desk, naps: list[float]) -> None:
    desk.server.batches.polls = 4
    replies = desk.ask(questions(1, 2), batch_wait=1000)
    assert len(replies) == 2 and naps == [batching.POLL] * 5


def test_unfinished_batches_are_asked_after_and_not_submitted_again(desk: Desk) -> None:
    desk.server.batches.polls = 3
    replies, starts = desk.finish(questions(1, 2))
    assert (len(replies), starts, desk.sizes()) == (2, 5, [2])


def test_the_answer_is_that_of_the_ordinary_mode(desk: Desk, tmp_path: Path) -> None:
    asked = questions("fine", "refused", "cut", "wrong", "fenced")
    faulty = {"item refused": faults.REFUSAL, "item cut": faults.CUT, "item wrong": faults.WRONG_SCHEMA}
    faulty["item fenced"] = faults.FENCED
    desk.server.choose_item = lambda request: faulty.get(request.content, faults.GOOD)
    replies, _ = desk.finish(asked)
    desk.server.choose = desk.server.choose_item
    desk.path = tmp_path / "another.sqlite"
    ordinary = desk.ask(asked, batch=False)
    for one, other in zip(replies, ordinary, strict=True):
        assert (one.text, one.answer, one.failure, one.resolved) == (
            other.text, other.answer, other.failure, other.resolved,
        )  # fmt: skip
    assert [bool(reply.failure) for reply in replies] == [False, True, True, True, False]


def test_the_ordinary_mode_and_batches_share_the_ledger(desk: Desk) -> None:
    desk.ask(questions(1, 2), batch=False)
    replies, _ = desk.finish(questions(1, 2, 3))
    assert desk.sizes() == [1] and [reply.cached for reply in replies] == [True, True, False]


def test_equal_requests_go_once_and_keep_their_places(desk: Desk) -> None:
    replies, _ = desk.finish(questions(1, 2, 1))
    assert [reply.answer["answer"] for reply in replies] == ["item 1", "item 2", "item 1"]
    assert desk.sizes() == [2]


def test_limits_of_number_and_size_split(desk: Desk) -> None:
    with pytest.raises(WorkPending, match="7 of 7 requests are in 3 unfinished batches"):
        desk.ask(questions(*range(7)), limits=BatchLimits(3, 10**9))
    assert desk.sizes() == [3, 3, 1]
    assert len(desk.ask(questions(*range(7)))) == 7
    longer = [Request("", "x" * 5000 + str(n)) for n in range(5)]
    desk.finish(longer, limits=BatchLimits(10, 12_000))
    assert desk.sizes()[3:] == [2, 2, 1]
    sent = [
        len(r.body["form"]) if "form" in r.body else len(json.dumps(r.body)) for r in desk.server.received if r.body
    ]
    assert max(sent[-9:]) < 12_000
    assert desk.once()


def test_results_for_others_are_kept_for_them(desk: Desk) -> None:
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2, 3))
    assert desk.ask(questions(2))[0].answer == {"answer": "item 2"}
    assert all(reply.cached for reply in desk.ask(questions(1, 3)))


# what goes wrong inside a batch


@pytest.mark.parametrize(
    "fault",
    [faults.EXPIRED, faults.CANCELED, faults.MISSING, faults.status(429), faults.status(500), faults.status(529)],
)
def test_what_has_no_answer_goes_into_a_new_batch(fault: Fault, desk: Desk) -> None:
    bad = {"item 1", "item 3"}

    def first_time(request: Received) -> Fault:
        if request.content in bad:
            bad.remove(request.content)
            return fault
        return faults.GOOD

    desk.server.choose_item = first_time
    replies, _ = desk.finish(questions(*range(5)))
    assert not any(reply.failure for reply in replies)
    assert (desk.sizes(), desk.once()) == ([5, 2], True)


def test_after_some_rounds_it_is_given_up_with_a_reason_and_asked_anew_by_the_next_run(desk: Desk) -> None:
    def weather(request: Received) -> Fault:
        return faults.EXPIRED if request.content == "item 1" else faults.GOOD

    desk.server.choose_item = weather
    replies, _ = desk.finish(questions(0, 1, 2))
    assert "given up after 3 batches" in replies[1].failure and "expired" in replies[1].failure
    assert desk.sizes() == [3, 1, 1]
    desk.server.choose_item = lambda request: faults.GOOD
    replies, _ = desk.finish(questions(0, 1, 2))
    assert not replies[1].failure and desk.sizes() == [3, 1, 1, 1]


def test_a_request_given_up_stays_so_until_the_work_that_it_is_part_of_is_done(desk: Desk) -> None:
    desk.server.choose_item = lambda request: faults.EXPIRED if request.content == "item 0" else faults.GOOD

    def work() -> list[Reply]:
        """Two calls of one client, as a stage makes them: the second asks for what the first did not bring."""
        provider = provider_of(desk.dialect, desk.server.url)
        with Ledger(desk.path) as ledger, Client(provider, ledger, batch=True) as client:
            first = client.complete_all(questions(0, 1))
            return first + client.complete_all(questions("second"))

    for _ in range(9):
        try:
            replies = work()
            break
        except WorkPending:
            continue
    assert [bool(reply.failure) for reply in replies] == [True, False, False]
    assert desk.sizes() == [2, 1, 1, 1]


def test_a_result_twice_counts_once_and_one_of_another_batch_not_at_all(desk: Desk) -> None:
    desk.server.choose_item = lambda request: faults.DUPLICATE
    replies, _ = desk.finish(questions(1, 2))
    assert len(replies) == 2
    with Ledger(desk.path) as ledger:
        assert len(list(ledger.rows())) == 2


def test_an_error_that_only_the_user_can_mend_is_raised_when_the_rest_is_kept(desk: Desk) -> None:
    bad = ["item 2"]
    desk.server.choose_item = lambda request: faults.status(400) if request.content in bad else faults.GOOD
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2, 3))
    with pytest.raises(UserError, match="refused the request"):
        desk.ask(questions(1, 2, 3))
    bad.clear()
    replies, _ = desk.finish(questions(1, 2, 3))
    assert [reply.cached for reply in replies] == [True, False, True]
    assert (desk.sizes(), desk.once()) == ([3, 1], True)


def test_an_error_in_one_batch_leaves_the_answers_of_the_others(desk: Desk) -> None:
    desk.server.choose_item = lambda request: faults.status(400) if request.content == "item 0" else faults.GOOD
    with pytest.raises(WorkPending):
        desk.ask(questions(0, 1, 2, 3), limits=BatchLimits(2, 10**9))
    with pytest.raises(UserError, match="refused the request"):
        desk.ask(questions(0, 1, 2, 3))
    assert all(reply.cached for reply in desk.ask(questions(1, 2, 3), batch=False))


def test_a_canceled_batch_is_submitted_anew(desk: Desk) -> None:
    desk.server.batches.polls = 5
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2))
    with desk.server.batches._lock:
        desk.server.batches._cancel(desk.server.batches.made[0].id)
    desk.server.batches.polls = 0
    replies, _ = desk.finish(questions(1, 2))
    assert len(replies) == 2 and desk.sizes() == [2, 2]


# what goes wrong with a batch


@pytest.mark.parametrize("fault", [faults.status(429, retry_after_ms="5"), faults.status(529)])
def test_a_batch_that_is_throttled_away_is_submitted_again(fault: Fault, desk: Desk) -> None:
    desk.server.plan(fault, fault)
    replies, starts = desk.finish(questions(1, 2))
    assert (len(replies), starts, desk.sizes()) == (2, 2, [2])


def test_a_server_that_takes_no_batch_leaves_no_trace(desk: Desk, tmp_path: Path) -> None:
    desk.server.choose = lambda request: faults.status(429)
    budget = Budget(BudgetConfig(requests=2))
    with pytest.raises(WorkPending, match="answered 429"):
        desk.ask(questions(1, 2), budget=budget)
    assert budget.spent + budget.reserved == Cost()
    desk.server.choose = lambda request: faults.GOOD
    assert len(desk.finish(questions(1, 2))[0]) == 2
    assert desk.sizes() == [2]


@pytest.mark.parametrize("fault", [faults.LOST, faults.DROPPED, faults.status(500), faults.HTML, faults.TRUNCATED])
def test_no_answer_to_a_submission_is_looked_into_before_another(fault: Fault, desk: Desk, naps: list[float]) -> None:
    if desk.dialect == "openai":
        desk.server.plan(faults.GOOD)  # the upload
    desk.server.plan(fault)
    replies, _ = desk.finish(questions(1, 2))
    assert (len(replies), desk.sizes(), desk.once()) == (2, [2], True)
    taken = fault is faults.LOST
    assert (batching.GRACE in naps) == (not taken)
    assert posts(desk.server) == (1 if taken else 2)


@pytest.mark.parametrize("fault", [faults.status(500), faults.status(429), faults.DROPPED, faults.LOST, faults.HTML])
def test_polls_and_results_that_fail_are_repeated(fault: Fault, desk: Desk) -> None:
    with pytest.raises(WorkPending):
        desk.ask(questions(*range(20)))
    desk.server.plan(fault, faults.GOOD, fault, faults.GOOD, fault)
    assert len(desk.ask(questions(*range(20)))) == 20
    assert (desk.sizes(), desk.once()) == ([20], True)


def test_a_provider_that_is_down_ends_the_start_and_keeps_the_batch(desk: Desk) -> None:
    with pytest.raises(WorkPending):
        desk.ask(questions(1))
    desk.server.choose = lambda request: faults.BAD_GATEWAY
    with pytest.raises(WorkPending, match="answered 502"):
        desk.ask(questions(1))
    desk.server.choose = lambda request: faults.GOOD
    assert len(desk.ask(questions(1))) == 1 and desk.sizes() == [1]


def test_where_the_list_is_refused_too_nothing_is_submitted_again(desk: Desk) -> None:
    def no_list(request: Received) -> Fault:
        if request.body:
            return faults.LOST if "batches" in request.path else faults.GOOD
        return faults.status(403)

    desk.server.choose = no_list
    for _ in range(2):
        with pytest.raises(UserError, match="403"):
            desk.ask(questions(1, 2))
    desk.server.choose = lambda request: faults.GOOD
    assert len(desk.finish(questions(1, 2))[0]) == 2
    assert (desk.sizes(), desk.once()) == ([2], True)


def test_a_server_without_batches_is_refused_in_a_sentence(desk: Desk) -> None:
    desk.server.choose = lambda request: faults.status(404, "no such path")
    with pytest.raises(UserError, match="leave batch out of the role"):
        desk.ask(questions(1))
    desk.server.choose = lambda request: faults.GOOD
    assert len(desk.finish(questions(1))[0]) == 1


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("invalid_json_line", UserError, "check the settings"),
        ("token_limit_exceeded", WorkPending, "fewer requests wait"),
    ],
)
def test_a_batch_that_fails_validation_is_forgotten(
    code: str, error: type[Exception], said: str, server: FaultServer, tmp_path: Path
) -> None:
    desk = Desk("openai", server, tmp_path / "ledger.sqlite")
    server.batches.refused, server.batches.polls = (code, "not like this"), 3
    budget = Budget(BudgetConfig(requests=2))
    for _ in range(4):  # validation is slow
        with pytest.raises(WorkPending, match="2 of 2 requests are in 1 unfinished batch"):
            desk.ask(questions(1, 2), budget=budget)
    with pytest.raises(error, match=rf"refused one \(not like this\): .*{said}"):
        desk.ask(questions(1, 2), budget=budget)
    assert budget.spent.requests == 0
    server.batches.refused, server.batches.polls = None, 0
    assert len(desk.finish(questions(1, 2), budget=budget)[0]) == 2
    assert len(server.batches.made) == 2


def test_results_that_are_gone_are_not_paid_again_without_a_word(desk: Desk) -> None:
    with pytest.raises(WorkPending):
        desk.ask(questions(1))
    desk.server.batches.made.clear()
    with pytest.raises(UserError, match="autointerp ledger batches"):
        desk.ask(questions(1))
    assert posts(desk.server) == 1


# money


def test_the_budget_takes_batch_prices_and_is_settled_by_the_answers(desk: Desk) -> None:
    budget = Budget()
    price = PRICE.batched()
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2), budget=budget, price=price)
    reserved = budget.spent
    assert reserved.requests == 2 and budget.reserved.requests == 0
    replies = desk.ask(questions(1, 2), budget=budget, price=price)
    sent, answered = (sum(getattr(reply, name) for reply in replies) for name in ("input_tokens", "output_tokens"))
    assert budget.spent.tokens == sent + answered < reserved.tokens
    assert budget.spent.usd == pytest.approx((sent * 0.5 + answered * 5) / 1e6)
    assert budget.spent.usd < reserved.usd
    assert desk.client is not None and desk.client.usage("r").price_usd == pytest.approx(budget.spent.usd)


def test_the_usage_of_the_last_start_is_that_of_all_and_of_this_run_alone(desk: Desk) -> None:
    outcomes = iter([faults.EXPIRED])
    desk.server.choose_item = lambda request: next(outcomes, faults.GOOD)
    budget = Budget()
    replies, starts = desk.finish(questions(1, 2, 3), budget=budget, price=PRICE.batched())
    assert desk.client is not None and starts == 3
    usage = desk.client.usage("r")
    assert (usage.requests, usage.cached) == (3, 0)
    assert usage.price_usd == pytest.approx(sum(reply.price_usd or 0 for reply in replies))
    desk.ask(questions(1, 2, 3), budget=budget, price=PRICE.batched())
    assert (desk.client.usage("r").cached, desk.client.usage("r").price_usd) == (3, 0.0)


def test_a_cap_stops_before_submitting_and_over_all_starts(desk: Desk, tmp_path: Path) -> None:
    def start(cap: int) -> list[Reply]:
        budget = Budget(BudgetConfig(requests=cap), Journal(tmp_path / "spending.log"))
        return desk.ask(questions(*range(5)), budget=budget)

    with pytest.raises(WorkPending, match=r"3 of 5 requests are in 1 unfinished batch.*3 requests are spent"):
        start(3)
    for _ in range(3):
        with pytest.raises(WorkPending, match=r"asked to spend at most 3 requests, but 3 requests are spent"):
            start(3)
    assert desk.sizes() == [3]
    with pytest.raises(WorkPending, match="2 of 2 requests are in 1"):
        start(5)
    assert len(start(5)) == 5
    assert (desk.sizes(), desk.once()) == ([3, 2], True)
    assert Journal(tmp_path / "spending.log").total.requests == 5


def test_what_came_to_nothing_goes_back_to_the_budget(desk: Desk, tmp_path: Path) -> None:
    outcomes = iter([faults.EXPIRED, faults.GOOD])
    desk.server.choose_item = lambda request: next(outcomes)
    for _ in range(2):
        with pytest.raises(WorkPending):
            desk.ask(questions(1), budget=Budget(BudgetConfig(requests=1), Journal(tmp_path / "spending.log")))
    (reply,) = desk.ask(questions(1), budget=Budget(BudgetConfig(requests=1), Journal(tmp_path / "spending.log")))
    assert not reply.failure
    total = Journal(tmp_path / "spending.log").total
    assert total == Cost(0.0, 1, (reply.input_tokens or 0) + (reply.output_tokens or 0))


def test_a_batch_of_another_run_is_paid_by_that_one(desk: Desk, tmp_path: Path) -> None:
    first, second = (Journal(tmp_path / name) for name in ("first.log", "second.log"))
    with pytest.raises(WorkPending):
        desk.ask(questions(1), budget=Budget(journal=first))
    desk.ask(questions(1), budget=Budget(journal=second))
    assert Journal(tmp_path / "first.log").total.requests == 1
    assert Journal(tmp_path / "second.log").total == Cost()


# who may


def test_a_provider_without_batches_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="this provider takes none: leave batch out"):
        Client(ScriptedProvider(lambda request: "x"), ledger, batch=True)


def test_the_ordinary_mode_does_not_ask_what_is_in_a_batch(desk: Desk) -> None:
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2))
    with pytest.raises(UserError, match="1 of these requests are in a batch that was submitted before"):
        desk.ask(questions(2, 3), batch=False)
    with Ledger(desk.path) as ledger:
        claims = Claims(ledger)
        claims.release(claims.open()[0])
    assert len(desk.ask(questions(2, 3), batch=False)) == 2


def test_a_lock_that_another_process_holds_is_waited_for_and_then_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(batching, "LOCK", 0.05)
    with (
        FileLock(f"{desk.path}.batches"),
        pytest.raises(WorkPending, match="another process is at work on batches of the same ledger"),
    ):
        desk.ask(questions(1))
    assert posts(desk.server) == 0


def test_open_batches_are_listed_and_can_be_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(desk.path.parent))
    monkeypatch.setenv("COLUMNS", "200")
    desk.path = home()
    with pytest.raises(WorkPending):
        desk.ask(questions(1, 2))

    def command(*words: str) -> Result:
        return CliRunner().invoke(cli.app, ["ledger", "batches", *words])

    assert re.search(rf"batch_0\W+{desk.dialect}\W+m\W+2\W", command().output)
    assert isinstance(command("--forget", "batch_7").exception, UserError)
    assert "batch_0" not in command("--forget", "batch_0").output
    assert len(desk.ask(questions(1, 2), batch=False)) == 2


# sudden ends


def dying(method: Callable[..., Any], n: int) -> Callable[..., Any]:
    """The method, at whose n-th call the process is killed."""
    calls = count(1)

    def die(*args: Any, **more: Any) -> Any:
        if next(calls) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **more)

    return die


def life(dialect: str, url: str, folder: Path, place: str, n: int, grace: float) -> None:
    """A start of a program that asks eight questions in batches, to be killed at the n-th call of a method."""
    batching.GRACE = grace
    if place:
        owner, _, name = place.partition(".")
        kind = {"claims": Claims, "provider": type(provider_of(dialect, url)), "budget": Budget}[owner]
        setattr(kind, name, dying(getattr(kind, name), n))
    budget = Budget(journal=Journal(folder / "spending.log"))
    provider = provider_of(dialect, url)
    with Ledger(folder / "ledger.sqlite") as ledger, Client(provider, ledger, batch=True, budget=budget) as client:
        try:
            replies = client.complete_all(questions(*range(8)))
        except WorkPending:
            sys.exit(75)
    (folder / "answers").write_text("|".join(reply.answer["answer"] for reply in replies))


def start(desk: Desk, place: str = "", n: int = 1, grace: float = 0.0) -> ForkServerProcess:
    process = FORKS.Process(target=life, args=(desk.dialect, desk.server.url, desk.path.parent, place, n, grace))
    process.start()
    return process


def ended(process: ForkServerProcess) -> int:
    process.join(timeout=120)
    assert process.exitcode in (0, 75, -signal.SIGKILL)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "n", "submits"),
    [
        ("budget.reserve", 3, 1),  # before anything is written down
        ("claims.intend", 1, 1),
        ("provider.submit_batch", 1, 1),  # written down, not submitted
        ("claims.submitted", 1, 1),  # accepted, the id not yet known to the disk
        ("provider.batch_state", 1, 1),
        ("provider.batch_results", 1, 1),
        ("claims.answered", 4, 1),  # in the middle of the results
        ("claims.collected", 1, 1),
    ],
)
def test_killed_anywhere_it_goes_on_and_pays_once(place: str, n: int, submits: int, desk: Desk) -> None:
    codes = []
    for _ in range(2):
        codes.append(ended(start(desk, place, n)))
        if codes[-1] == -signal.SIGKILL:
            break
    assert codes[-1] == -signal.SIGKILL
    while codes[-1] != 0:
        codes.append(ended(start(desk)))
        assert len(codes) < 6
    assert (desk.path.parent / "answers").read_text().split("|") == [f"item {number}" for number in range(8)]
    assert desk.once() and desk.sizes() == [8] * submits
    spent = Journal(desk.path.parent / "spending.log").total
    # a start that was killed may leave something reserved, but never less than was taken
    assert 8 <= spent.requests <= 16


@pytest.mark.slow
def test_an_intent_waits_while_a_batch_like_it_is_running_and_is_not_submitted_beside_it(
    server: FaultServer, tmp_path: Path
) -> None:
    """The dangerous moment of a provider whose batches bear no mark: certain, but only when that batch has ended."""
    server.answer = echo
    desk = Desk("anthropic", server, tmp_path / "ledger.sqlite")
    server.batches.polls = 10**6
    assert ended(start(desk, "claims.submitted")) == -signal.SIGKILL
    with pytest.raises(WorkPending, match="batch_0, which has not ended, may be the batch of a start that died"):
        desk.ask(questions(*range(8)))
    assert desk.sizes() == [8]
    server.batches.polls = 0
    server.batches.made[0].looks = 1
    assert len(desk.ask(questions(*range(8)))) == 8
    assert desk.sizes() == [8] and desk.once()


@pytest.mark.slow
def test_a_strangers_batch_of_the_same_size_is_not_taken_for_ours(desk: Desk) -> None:
    stranger = Desk(desk.dialect, desk.server, desk.path.with_name("stranger.sqlite"))
    assert ended(start(desk, "provider.submit_batch")) == -signal.SIGKILL
    stranger.finish(questions(*range(100, 108)))
    replies, _ = desk.finish(questions(*range(8)))
    assert [reply.answer["answer"] for reply in replies] == [f"item {number}" for number in range(8)]
    assert desk.sizes() == [8, 8] and desk.once()


@pytest.mark.slow
def test_two_processes_at_once_submit_once(desk: Desk) -> None:
    # One has written down what it submits and the server has not heard of it when the other comes to look.
    desk.server.choose = lambda request: Fault(wait=0.5) if "batches" in request.path and request.body else faults.GOOD
    for _ in range(2):
        outcomes = [ended(process) for process in [start(desk), start(desk)]]
    assert outcomes == [0, 0]
    assert desk.sizes() == [8] and desk.once()
    assert Journal(desk.path.parent / "spending.log").total.requests == 8
