"""Caps: never passed, whatever comes back, and what was paid for is kept."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.config import BudgetConfig
from autointerp.errors import UserError, WorkPending
from autointerp.llm import client as client_module
from autointerp.llm.budget import Budget, Cost, Journal, Meter
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.prices import Price
from autointerp.llm.protocol import Reply, Request, TransientError

PRICE = Price(1.0, 10.0, "test")


class Till:
    """Answers after some turns of the loop, using what `usage` says of (input, output) tokens, and adds it up.

    A usage of None is a reply that is lost although the work was done: billed as asked, 100 in and 20 out.
    """

    name, model = "till", "till-1"

    def __init__(self, usage: list[tuple[int, int] | None]) -> None:
        self.usage = usage
        self.taken: list[tuple[int, int]] = []

    async def complete(self, request: Request) -> Reply:
        found = self.usage[int(request.content.split()[0]) % len(self.usage)]
        for _ in range(int(request.content.split()[0]) % 3):
            await asyncio.sleep(0)
        self.taken.append(found or (100, 20))
        if found is None:
            raise TransientError("cut off", billed=True)
        return Reply("fine", self.model, input_tokens=found[0], output_tokens=found[1])

    async def close(self) -> None:
        return None

    def totals(self) -> dict[str, float]:
        tokens_in, tokens_out = (sum(part) for part in zip(*self.taken, strict=True)) if self.taken else (0, 0)
        return {
            "requests": len(self.taken),
            "tokens": tokens_in + tokens_out,
            "usd": (tokens_in * PRICE.input + tokens_out * PRICE.output) / 1e6,
        }


def questions(n: int) -> list[Request]:
    """Of 200 bytes, so estimated at 100 tokens, and of 20 at the most to answer."""
    return [Request("", f"{number} ".ljust(200, "x"), max_tokens=20) for number in range(n)]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "sleep", lambda seconds: asyncio.sleep(0))


usages = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 100), st.integers(0, 20))), min_size=1, max_size=8)
caps = st.one_of(
    st.builds(BudgetConfig, requests=st.integers(0, 40)),
    st.builds(BudgetConfig, tokens=st.integers(0, 4000)),
    st.builds(BudgetConfig, usd=st.floats(0, 0.01)),
    st.builds(BudgetConfig, usd=st.floats(0, 0.01), tokens=st.integers(0, 4000)),
)


@given(usages, caps, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_no_cap_is_ever_passed_and_nothing_stays_reserved(
    usage: list[tuple[int, int] | None], cap: BudgetConfig, flight: int
) -> None:
    provider, budget = Till(usage), Budget(cap)
    with (
        Ledger(Path(":memory:")) as ledger,
        Client(provider, ledger, flight, attempts=2, patience=1000, budget=budget, price=PRICE) as client,
    ):
        pending = False
        try:
            client.complete_all(questions(30))
        except WorkPending:
            pending = True
        priced = client.usage("r").price_usd
    totals = provider.totals()
    for name, limit in cap.model_dump(exclude_none=True).items():
        assert totals[name] <= limit * (1 + 1e-9)
    assert budget.reserved.requests == budget.reserved.tokens == 0
    assert abs(budget.reserved.usd) < 1e-12
    assert (budget.spent.requests, budget.spent.tokens) == (totals["requests"], totals["tokens"])
    assert budget.spent.usd == pytest.approx(totals["usd"])
    assert priced is not None and priced <= totals["usd"] * (1 + 1e-9)
    if pending:  # it stopped for want of room, not too early
        room = Budget(cap)
        assert not room.reserve(budget.spent + Cost(300e-6, 1, 120))


def test_a_cap_that_is_never_met_changes_nothing(ledger: Ledger) -> None:
    provider, budget = Till([(50, 10)]), Budget(BudgetConfig(requests=10, tokens=600))
    with Client(provider, ledger, budget=budget) as client:
        assert len(client.complete_all(questions(6))) == 6
    assert budget.spent == Cost(0, 6, 360)


def test_work_goes_on_from_where_it_stopped_and_nothing_is_paid_twice(ledger: Ledger) -> None:
    provider = Till([(50, 10)])
    for left in (23, 16, 9, 2):
        with (
            Client(provider, ledger, concurrency=4, budget=Budget(BudgetConfig(requests=7))) as client,
            pytest.raises(WorkPending, match=f"which leaves {left} of 30 requests unanswered"),
        ):
            client.complete_all(questions(30))
    with Client(provider, ledger, concurrency=4, budget=Budget(BudgetConfig(requests=7))) as client:
        replies = client.complete_all(questions(30))
    assert len(provider.taken) == 30
    assert all(reply.text == "fine" for reply in replies)


def test_the_sentence_says_cap_spent_and_more(ledger: Ledger) -> None:
    budget = Budget(BudgetConfig(usd=0.0005))
    with (
        Client(Till([(50, 10)]), ledger, concurrency=1, budget=budget, price=PRICE) as client,
        pytest.raises(WorkPending) as caught,
    ):
        client.complete_all(questions(9))
    # a request takes 50 + 100 millionths and may take 100 + 200; two fit below 500, and then 300 + 300 do not
    assert str(caught.value) == (
        "You asked to spend at most 0.0005 USD, but 0.0003 USD are spent and the next request may take 0.0003 USD, "
        "which leaves 7 of 9 requests unanswered: everything answered is kept, so raise budget.usd and run again to "
        "go on."
    ), caught.value


def test_two_clients_share_a_budget(ledger: Ledger) -> None:
    budget, provider = Budget(BudgetConfig(requests=5)), Till([(1, 1)])
    with Client(provider, ledger, budget=budget) as explainer:
        explainer.complete_all(questions(3))
    with Client(provider, ledger, budget=budget) as judge, pytest.raises(WorkPending):
        judge.complete_all(questions(9))
    assert len(provider.taken) == 5


@pytest.mark.parametrize("usage", [(None, None), (50, None), (None, 10)])
def test_a_reply_without_its_whole_usage_took_the_most_it_can_have(usage: tuple[int | None, int | None]) -> None:
    meter, most = Meter("till-1", PRICE, Budget()), Cost(0.5, 1, 300)
    reply = Reply("fine", "till-1", input_tokens=usage[0], output_tokens=usage[1])
    assert meter.taken(reply, most) == most and meter.paid(reply) is None


def test_answers_from_the_ledger_take_nothing(ledger: Ledger) -> None:
    provider = Till([(1, 1)])
    with Client(provider, ledger) as client:
        client.complete_all(questions(5))
    with Client(provider, ledger, budget=Budget(BudgetConfig(requests=0)), price=PRICE) as client:
        client.complete_all(questions(5))
        usage = client.usage("r")
    assert (usage.requests, usage.cached, usage.price_usd) == (5, 5, 0.0)


def test_what_was_never_sent_takes_nothing(ledger: Ledger) -> None:
    class Closed(Till):
        async def complete(self, request: Request) -> Reply:
            raise TransientError("was not reached")

    budget = Budget(BudgetConfig(requests=1))
    with Client(Closed([]), ledger, attempts=3, budget=budget) as client:
        client.complete_all(questions(3))
    assert budget.spent == Cost()


@pytest.mark.parametrize("price", [None, Price(1.0, 1.0, "test", up_to=50)])
def test_dollars_alone_refuse_what_has_no_price(ledger: Ledger, price: Price | None) -> None:
    provider: Any = Till([(1, 1)])
    with (
        Client(provider, ledger, budget=Budget(BudgetConfig(usd=1)), price=price) as client,
        pytest.raises(UserError, match="the price of till-1 is not known for a request of about 100 tokens"),
    ):
        client.complete_all(questions(1))
    assert provider.taken == []
    with Client(provider, ledger, budget=Budget(BudgetConfig(usd=1, requests=9)), price=price) as client:
        client.complete_all(questions(1))
        assert re.fullmatch("None", str(client.usage("r").price_usd)) if price is None else True


# over several starts


def test_all_starts_of_a_run_count_and_a_death_has_taken_what_it_had_reserved(ledger: Ledger, tmp_path: Path) -> None:
    def begun() -> Budget:
        return Budget(BudgetConfig(requests=7), Journal(tmp_path / "spending.log"))

    first = begun()
    with Client(Till([(50, 10)]), ledger, budget=first) as client:
        client.complete_all(questions(4))
    second = begun()
    assert second.spent == Cost(0.0, 4, 240) and second.token == first.token
    assert second.reserve(Cost(0.0, 2, 300))  # and the process dies
    third = begun()
    assert third.spent == Cost(0.0, 6, 540)
    assert third.reserve(Cost(0.0, 1, 1)) and not third.reserve(Cost(0.0, 1, 1))


def test_a_run_that_asks_nothing_leaves_no_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "spending.log")
    Budget(BudgetConfig(requests=1), journal).settle(Cost(), Cost())
    journal.close()
    assert not list(tmp_path.iterdir())


def test_a_journal_that_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "spending.log").write_text("token\n0.1 2\n")
    with pytest.raises(UserError, match="delete the file to count from nothing"):
        Journal(tmp_path / "spending.log")
