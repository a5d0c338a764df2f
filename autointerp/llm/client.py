"""Asking a model many questions: the ledger first, then the provider, with retries, a deadline and a bound on haste."""

import asyncio
import math
import time
from asyncio import sleep
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type

from autointerp.errors import UserError, WorkPending
from autointerp.llm.batches import Batches
from autointerp.llm.budget import Budget, Cost, Meter
from autointerp.llm.capabilities import Capabilities, refuse
from autointerp.llm.claims import Claims
from autointerp.llm.ledger import Ledger
from autointerp.llm.pace import Pace, pause
from autointerp.llm.prices import Price
from autointerp.llm.protocol import (
    Provider,
    Reply,
    Request,
    TransientError,
    Usage,
    input_bytes,
    key,
)
from autointerp.llm.providers import batching

T = TypeVar("T")
ANYTHING = Capabilities(vision=True, logprobs=True)  # a provider that does not say is taken to know its model
BYTES_PER_TOKEN = 4  # about what English has; providers count by such an estimate, too


class Client:
    """One model in one role. Owns the provider and an event loop, to which the provider's connections are bound.

    `complete_all` has at most `concurrency` requests in flight, fewer where the provider has a smaller
    `max_concurrency` or throttles. A request is tried up to `attempts` times within `deadline` seconds, waits for a
    place in flight not counted. Whatever the model answered is in the ledger before anyone sees it, useless answers
    included; to ask again, raise the request's `sample`. After `patience` requests in a row that failed for good the
    provider counts as down and WorkPending is raised; it is also raised before a request would pass the `budget`,
    where `price` says what its tokens cost. Not for use from two threads at once.

    With `batch`, `complete_all` asks in batches instead (see `batches` for what is promised), waits `batch_wait`
    seconds for them, and raises WorkPending where they take longer.
    """

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        concurrency: int = 16,
        attempts: int = 5,
        deadline: float = 300.0,
        patience: int = 20,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        batch: bool = False,
        batch_wait: float = 0.0,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._concurrency = min(concurrency, getattr(provider, "max_concurrency", concurrency))
        self._attempts = attempts
        self._deadline = deadline
        self._patience = patience
        self._budget = budget or Budget()
        self._meter = Meter(provider.model, price, self._budget)
        self._claims = Claims(ledger)
        self._batches = Batches(batching(provider), ledger, self._meter, batch_wait) if batch else None
        self._failed = self._failed_in_a_row = 0
        self._down: WorkPending | None = None
        self._usage = Usage("", provider.name, provider.model)
        self._lost: set[str] = set()  # keys of the first samples of what has no answer
        self.resolved: set[str] = set()  # what the provider answered as, for every reply so far
        self.pace = Pace(self._concurrency, requests_per_minute, tokens_per_minute)
        self._runner = asyncio.Runner()

    async def complete(self, request: Request) -> Reply:
        """The reply, from the ledger or the provider.

        Without an answer in time the reply is a `failure`, which is not stored. Raises UserError for what only the
        user can mend, and WorkPending where the provider is down or the budget would be passed.
        """
        return await self._complete(self._key(request), request)

    async def _complete(self, address: str, request: Request) -> Reply:
        stored = self._ledger.get(address)
        if stored is not None:
            return self._count(address, request, stored)
        attempts = 0
        try:
            async with asyncio.timeout(self._deadline) as clock:

                async def attempt() -> Reply:
                    nonlocal attempts
                    attempts += 1
                    return await self._ask(request, clock)

                try:
                    reply = await attempt()
                except TransientError as error:
                    reply = await self._insist(attempt, error, clock)
        except TransientError as error:
            return self._give_up(request, f"given up at attempt {attempts}: {error}")
        except TimeoutError:
            return self._give_up(request, f"no answer within {self._deadline:g} s")
        self._failed_in_a_row = 0
        name, model = self._provider.name, self._provider.model
        self._ledger.put(address, name, model, request, reply, self._budget.token)
        return self._count(address, request, reply)

    def complete_all(self, requests: Sequence[Request], done: Callable[[], None] = lambda: None) -> list[Reply]:
        """The replies, in the order of the requests. `done` is called once per request, as they are answered.

        Equal requests are asked once. The first error stops new requests and is raised when those in flight have
        come back, since they are paid for; an interrupt cancels them. WorkPending says how many are left.
        """
        return self._apart(lambda: self._runner.run(self._complete_all(requests, done)))

    async def _complete_all(self, requests: Sequence[Request], done: Callable[[], None]) -> list[Reply]:
        addresses = [self._key(request) for request in requests]
        waiting: dict[str, list[int]] = {}
        for position, address in enumerate(addresses):
            waiting.setdefault(address, []).append(position)
        replies: dict[str, Reply] = {}
        if self._batches is not None:
            replies = await self._in_batches(self._batches, {at: requests[held[0]] for at, held in waiting.items()})
            for _ in requests:
                done()
            return [replies[address] for address in addresses]
        self._refuse_held(waiting)
        pending = deque(waiting.items())
        errors: list[Exception] = []
        self._failed, self._failed_in_a_row, self._down = 0, 0, None

        async def work() -> None:
            while pending and not errors:
                address, positions = pending.popleft()
                try:
                    replies[address] = await self._complete(address, requests[positions[0]])
                    for _ in positions:
                        done()
                except Exception as error:  # raised below
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(pending))):
                group.create_task(work())
        if errors and isinstance(errors[0], WorkPending):
            unanswered = len(waiting) - len(replies) + self._failed
            left_over = f"{errors[0].found}, which leaves {unanswered:,} of {len(waiting):,} requests unanswered"
            raise WorkPending(errors[0].asked, left_over, errors[0].next_step) from errors[0]
        if errors:
            raise errors[0]
        return [replies[address] for address in addresses]

    async def _in_batches(self, batches: Batches, asked: Mapping[str, Request]) -> dict[str, Reply]:
        stored = {address: self._ledger.get(address) for address in asked}
        found = {address: reply for address, reply in stored.items() if reply is not None}
        missing = {address: request for address, request in asked.items() if address not in found}
        found |= await batches.complete(missing) if missing else {}
        for address, reply in found.items():
            if self._ledger.payer(address) is None:
                self._miss(asked[address], reply)
            else:
                self._count(address, asked[address], reply)
        return found

    def _refuse_held(self, addresses: Iterable[str]) -> None:
        """What is in a batch is on its way and paid for: it is not asked a second time."""
        n = sum(claim.token is not None for claim in self._claims.held(addresses).values())
        if n:
            raise UserError(
                f"you asked {self._provider.name} for {self._provider.model} without batch = true",
                f"{n:,} of these requests are in a batch that was submitted before",
                "set batch = true and run again until it is done, or see `autointerp ledger batches`",
            )

    @property
    def gives_logprobs(self) -> bool:
        return getattr(self._provider, "capabilities", ANYTHING).logprobs

    def usage(self, role: str) -> Usage:
        """What this client has answered so far: `requests` in all, of which `cached` cost this run nothing.

        Tokens and seconds (summed over requests, so more than the clock shows) are those of the others, whichever
        start of the run asked them.
        """
        return replace(self._usage, role=role, lost=len(self._lost))

    def finish(self) -> None:
        """The work that was asked for is done: what had no answer is asked anew when it is next asked for."""
        if self._batches is not None:
            self._batches.finish()

    def close(self) -> None:
        """Close the provider; the ledger, which others may share, stays open."""
        self._apart(self._shut)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        self.close()

    def _key(self, request: Request) -> str:
        """The request's address in the ledger. What the model cannot give is refused here, before anything is sent."""
        provider = self._provider
        refuse(request, getattr(provider, "capabilities", ANYTHING), provider.name, provider.model)
        return key(provider.name, provider.model, request, getattr(provider, "parameters", None))

    async def _insist(
        self, attempt: Callable[[], Awaitable[Reply]], error: TransientError, clock: asyncio.Timeout
    ) -> Reply:
        """Go on after a first attempt that ended in `error`, as often as attempts and the clock allow.

        The first is made outside since few requests need a second, and tenacity costs as much as all the rest here.
        """
        made = [error]

        async def again() -> Reply:
            if made:
                raise made.pop()
            return await attempt()

        retrying = AsyncRetrying(
            sleep=sleep,
            stop=lambda state: state.attempt_number >= self._attempts or state.upcoming_sleep >= left(clock),
            wait=pause,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        reply: Reply = await retrying(again)
        return reply

    async def _ask(self, request: Request, clock: asyncio.Timeout) -> Reply:
        """One attempt. The deadline stands still while it waits for its turn: that is not the provider's delay."""
        if self._down:
            raise self._down
        size = input_bytes(request)
        most = self._meter.most(request, size)
        taken = most  # where the reply is lost, the work may have been done and has to be paid for
        remaining = left(clock)
        clock.reschedule(None)
        async with self.pace.turn(request.max_tokens + size // BYTES_PER_TOKEN, lambda: self._admit(most)):
            started = time.monotonic()
            clock.reschedule(asyncio.get_running_loop().time() + remaining)
            try:
                reply = await self._provider.complete(request)
                reply = replace(
                    reply, seconds=time.monotonic() - started, cached=False, price_usd=self._meter.paid(reply)
                )
                taken = self._meter.taken(reply, most)
            except TransientError as error:
                taken = most if error.billed else Cost()
                raise
            finally:
                self._budget.settle(most, taken)
        return reply

    def _admit(self, most: Cost) -> bool:
        """Reserve what a request may take. Where nothing is in flight whose reservation could come back, raise."""
        if self._budget.reserve(most):
            return True
        if self.pace.flying:
            return False
        raise self._budget.reached(most)

    def _give_up(self, request: Request, failure: str) -> Reply:
        """A failed reply; or WorkPending, where one more failure means that the provider is down."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row < self._patience:
            self._failed += 1
            return self._miss(request, Reply("", "", failure=failure, price_usd=0.0))
        self._down = WorkPending(
            f"you asked {self._provider.name} for {self._provider.model}",
            f"{self._failed_in_a_row} requests in a row failed for good (the last one: {failure})",
            "everything answered is kept, so run the same command again when it is back",
        )
        raise self._down

    def _miss(self, request: Request, reply: Reply) -> Reply:
        """Note that no answer has come, which a useful answer to another sample of the question makes good."""
        self._lost.add(self._key(replace(request, sample=0)))
        self._usage = replace(self._usage, requests=self._usage.requests + 1)
        return reply

    def _count(self, address: str, request: Request, reply: Reply) -> Reply:
        """Put an answer among the costs: once in a run, and only if the run has paid for it, in whichever start."""
        usage, budget = self._usage, self._budget
        if reply.resolved:
            self.resolved.add(reply.resolved)
        if self._lost and not reply.failure:
            self._lost.discard(self._key(replace(request, sample=0)))
        if address in budget.counted or self._ledger.payer(address) != budget.token:
            self._usage = replace(usage, requests=usage.requests + 1, cached=usage.cached + 1)
        else:
            budget.counted.add(address)
            price = None if usage.price_usd is None or reply.price_usd is None else usage.price_usd + reply.price_usd
            self._usage = replace(
                usage,
                requests=usage.requests + 1,
                input_tokens=usage.input_tokens + (reply.input_tokens or 0),
                output_tokens=usage.output_tokens + (reply.output_tokens or 0),
                cache_read_tokens=usage.cache_read_tokens + reply.cache_read_tokens,
                price_usd=price,
                seconds=usage.seconds + reply.seconds,
            )
        return reply

    def _shut(self) -> None:
        with self._runner:
            self._runner.run(self._provider.close())

    def _apart(self, work: Callable[[], T]) -> T:
        """Run `work`, in a thread of its own where this one is busy with another loop, as a notebook's is."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return work()
        with ThreadPoolExecutor(1) as pool:
            try:
                return pool.submit(work).result()
            except KeyboardInterrupt:
                self._runner.get_loop().call_soon_threadsafe(self._cancel)
                raise

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._runner.get_loop()):
            task.cancel()


def left(clock: asyncio.Timeout) -> float:
    """Seconds until the clock strikes."""
    when = clock.when()
    return math.inf if when is None else when - asyncio.get_running_loop().time()
