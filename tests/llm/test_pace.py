"""Haste: fewer in flight when the server throttles, more when it does not, and never more in a minute than allowed."""

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError, WorkPending
from autointerp.llm import client as client_module
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.pace import MINUTE, Pace, acquire, limiter
from autointerp.llm.protocol import Reply, Request, TransientError
from autointerp.llm.scripted import ScriptedProvider

THROTTLED = TransientError("slow down", throttled=True)


def questions(n: int) -> list[Request]:
    return [Request("shared", str(number)) for number in range(n)]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "sleep", lambda seconds: asyncio.sleep(0))


class Narrow:
    """Throttles whoever comes while `room` requests are in flight; `seen` holds the flights of those it served."""

    name, model = "narrow", "narrow-1"

    def __init__(self, room: int) -> None:
        self.room = room
        self.flying = 0
        self.seen: list[int] = []
        self.turned_away = 0

    async def complete(self, request: Request) -> Reply:
        if self.flying >= self.room:
            self.turned_away += 1
            raise THROTTLED
        self.flying += 1
        self.seen.append(self.flying)
        for _ in range(4):
            await asyncio.sleep(0)
        self.flying -= 1
        return Reply("fine", self.model)

    async def close(self) -> None:
        return None


async def take_turns(pace: Pace, outcomes: list[Exception | None]) -> None:
    """Turns that are all in flight together and end in the given order."""
    gates = [asyncio.Event() for _ in outcomes]

    async def one(gate: asyncio.Event, outcome: Exception | None) -> None:
        try:
            async with pace.turn(0):
                await gate.wait()
                if outcome is not None:
                    raise outcome
        except TransientError:
            return

    tasks = [asyncio.create_task(one(*pair)) for pair in zip(gates, outcomes, strict=True)]
    for gate, task in zip(gates, tasks, strict=True):
        await asyncio.sleep(0)
        gate.set()
        await task


def test_one_wave_of_throttling_halves_once_and_answers_grow_it_back_slowly() -> None:
    pace = Pace(16)
    asyncio.run(take_turns(pace, [THROTTLED] * 16))
    assert pace.limit == 8
    asyncio.run(take_turns(pace, [None] * 8))
    assert 8 < pace.limit <= 9
    for _ in range(40):
        asyncio.run(take_turns(pace, [None] * 8))
    assert pace.limit == 16


def test_other_trouble_does_not_slow_down() -> None:
    pace = Pace(8)
    asyncio.run(take_turns(pace, [TransientError("reset")] * 8))
    assert pace.limit == 8 and pace.flying == 0


@given(st.lists(st.sampled_from([None, THROTTLED, TransientError("reset")]), max_size=60), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_the_limit_stays_between_one_and_what_was_asked(outcomes: list[Exception | None], most: int) -> None:
    pace = Pace(most)

    async def in_turn() -> None:
        for start in range(0, len(outcomes), most):
            for outcome in outcomes[start : start + most]:
                await take_turns(pace, [outcome])
                assert 1 <= pace.limit <= most and pace.flying == 0

    asyncio.run(in_turn())


def test_a_narrow_server_is_found_out_and_everything_is_answered(ledger: Ledger) -> None:
    provider = Narrow(room=5)
    with Client(provider, ledger, concurrency=40, attempts=50) as client:
        replies = client.complete_all(questions(600))
    assert all(reply.text == "fine" for reply in replies)
    assert max(provider.seen) <= 5
    assert client.pace.limit < 12
    assert provider.turned_away < 300  # unpaced, each of 35 waiting ones would be turned away again and again


@pytest.mark.parametrize("per_minute", [1, 7, 10, 60, 1500])
def test_no_minute_holds_more_than_allowed(per_minute: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket's own clock is moved on by hand: 3 minutes, asking as fast as it allows."""
    sent: list[float] = []

    async def hurry() -> None:
        loop, now = asyncio.get_running_loop(), 0.0
        monkeypatch.setattr(loop, "time", lambda: now)
        bucket = limiter(per_minute)
        assert bucket is not None
        while now < 3 * MINUTE:
            if bucket.has_capacity(1):
                await bucket.acquire(1)
                sent.append(now)
            else:
                now += MINUTE / per_minute / 20
        monkeypatch.undo()

    asyncio.run(hurry())
    worst = max(sum(start <= other < start + MINUTE - 1e-6 for other in sent) for start in sent)
    assert per_minute * 0.8 <= worst <= per_minute + 1


def test_an_amount_larger_than_the_bucket_takes_its_time() -> None:
    async def take() -> float:
        bucket = limiter(60_000)  # at most 6,000 at once, then about 900 a second
        started = time.monotonic()
        await acquire(bucket, 6_090)
        return time.monotonic() - started

    assert 0.05 < asyncio.run(take()) < 2


@pytest.mark.parametrize(
    ("allowance", "slowest"), [({"requests_per_minute": 1200}, 0.25), ({"tokens_per_minute": 12_000}, 0.25)]
)
def test_a_client_keeps_to_its_allowance_and_the_wait_is_not_the_providers_delay(
    allowance: dict[str, float], slowest: float, ledger: Ledger
) -> None:
    """125 requests of 10 tokens: 120 go at once, the others at 18 a second."""
    provider = ScriptedProvider(lambda request: "fine")
    requests = [Request("", f"{number:04}", max_tokens=9) for number in range(125)]
    started = time.monotonic()
    with Client(provider, ledger, deadline=0.05, **allowance) as client:
        replies = client.complete_all(requests)
    assert all(reply.text == "fine" for reply in replies)
    assert slowest <= time.monotonic() - started < 5


# a provider that is down


def failing(until: int) -> Callable[[Request], object]:
    """Refuses the first `until` calls."""
    calls = iter(range(10**9))
    return lambda request: TransientError("out of order") if next(calls) < until else "fine"


def test_a_provider_that_is_down_stops_the_work_with_a_sentence(ledger: Ledger) -> None:
    answered = ScriptedProvider(lambda request: "fine" if int(request.content) < 10 else TransientError("out of order"))
    with (
        Client(answered, ledger, concurrency=1, attempts=3) as client,
        pytest.raises(WorkPending) as caught,
    ):
        client.complete_all(questions(100))
    assert str(caught.value) == (
        "You asked scripted for scripted, but 20 requests in a row failed for good (the last one: given up at attempt "
        "3: out of order), which leaves 90 of 100 requests unanswered: everything answered is kept, so run the same "
        "command again when it is back."
    )
    with Client(ScriptedProvider(lambda request: "fine"), ledger) as client:
        replies = client.complete_all(questions(100))
    assert sum(reply.cached for reply in replies) == 10


def test_those_in_flight_do_not_go_on_knocking(ledger: Ledger) -> None:
    """One request fails for good while the others are still at their first attempt: there is no second."""

    class Dying(Narrow):
        async def complete(self, request: Request) -> Reply:
            self.turned_away += 1
            for _ in range(0 if request.content == "0" else 50):
                await asyncio.sleep(0)
            raise TransientError("out of order")

    provider = Dying(room=0)
    with (
        Client(provider, ledger, concurrency=30, attempts=3, patience=1) as client,
        pytest.raises(WorkPending, match="leaves 30 of 30"),
    ):
        client.complete_all(questions(30))
    assert provider.turned_away == 3 + 29


def test_a_success_in_between_keeps_it_going(ledger: Ledger) -> None:
    provider = ScriptedProvider(lambda request: "fine" if int(request.content) % 5 == 4 else TransientError("reset"))
    with Client(provider, ledger, concurrency=1, attempts=1, patience=5) as client:
        replies = client.complete_all(questions(50))
    assert sum(not reply.failure for reply in replies) == 10


def test_the_same_client_tries_again_when_asked_again(ledger: Ledger) -> None:
    with Client(ScriptedProvider(failing(3)), ledger, concurrency=1, attempts=1, patience=3) as client:
        with pytest.raises(WorkPending):
            client.complete_all(questions(9))
        assert all(reply.text == "fine" for reply in client.complete_all(questions(9)))


def test_a_users_mistake_is_no_outage(ledger: Ledger) -> None:
    provider = ScriptedProvider(lambda request: UserError("you asked", "no", "mend it"))
    with Client(provider, ledger, patience=1) as client, pytest.raises(UserError, match="mend it"):
        client.complete_all(questions(3))
