"""Asking a model many questions: the ledger first, then the provider, with retries, a deadline and a bound on haste."""

import asyncio
import random
import time
from asyncio import sleep
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Provider, Reply, Request, TransientError, Usage, key

T = TypeVar("T")
backoff = wait_random_exponential(multiplier=1, max=30)


class Client:
    """One model in one role. Owns the provider and an event loop, to which the provider's connections are bound.

    `complete_all` has at most `concurrency` requests in flight, fewer where the provider has a smaller
    `max_concurrency`. A request is tried up to `attempts` times within `deadline` seconds. Whatever the model
    answered is in the ledger before anyone sees it, useless answers included; to ask again, raise the request's
    `sample`. Not for use from two threads at once.
    """

    def __init__(
        self, provider: Provider, ledger: Ledger, concurrency: int = 16, attempts: int = 5, deadline: float = 300.0
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._concurrency = min(concurrency, getattr(provider, "max_concurrency", concurrency))
        self._attempts = attempts
        self._deadline = deadline
        self._usage = Usage("", provider.name, provider.model)
        self.resolved: set[str] = set()  # what the provider answered as, for every reply so far
        self._runner = asyncio.Runner()

    async def complete(self, request: Request) -> Reply:
        """The reply, from the ledger or the provider.

        Without an answer in time the reply is a `failure`, which is not stored. Raises UserError.
        """
        address = key(self._provider.name, self._provider.model, request)
        stored = self._ledger.get(address)
        if stored is not None:
            return self._count(stored)
        retrying = AsyncRetrying(
            sleep=sleep,
            stop=stop_after_attempt(self._attempts) | stop_before_delay(self._deadline),
            wait=pause,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._deadline):
                reply: Reply = await retrying(self._ask, request)
        except TransientError as error:
            return self._count(unanswered(f"given up at attempt {retrying.statistics['attempt_number']}: {error}"))
        except TimeoutError:
            return self._count(unanswered(f"no answer within {self._deadline:g} s"))
        self._ledger.put(address, self._provider.name, self._provider.model, request, reply)
        return self._count(reply)

    def complete_all(self, requests: Sequence[Request], done: Callable[[], None] = lambda: None) -> list[Reply]:
        """The replies, in the order of the requests. `done` is called once per request, as they are answered.

        Equal requests are asked once. The first error stops new requests and is raised when those in flight have
        come back, since they are paid for; an interrupt cancels them.
        """
        return self._apart(lambda: self._runner.run(self._complete_all(requests, done)))

    async def _complete_all(self, requests: Sequence[Request], done: Callable[[], None]) -> list[Reply]:
        addresses = [key(self._provider.name, self._provider.model, request) for request in requests]
        waiting: dict[str, list[int]] = {}
        for position, address in enumerate(addresses):
            waiting.setdefault(address, []).append(position)
        pending = deque(waiting.items())
        replies: dict[str, Reply] = {}
        errors: list[Exception] = []

        async def work() -> None:
            while pending and not errors:
                address, positions = pending.popleft()
                try:
                    replies[address] = await self.complete(requests[positions[0]])
                    for _ in positions:
                        done()
                except Exception as error:  # raised below
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(pending))):
                group.create_task(work())
        if errors:
            raise errors[0]
        return [replies[address] for address in addresses]

    def usage(self, role: str) -> Usage:
        """What this client has answered so far: `requests` in all, of which `cached` came from the ledger.

        Tokens and seconds (summed over requests, so more than the clock shows) are those of the others.
        """
        return replace(self._usage, role=role)

    def close(self) -> None:
        """Close the provider; the ledger, which others may share, stays open."""
        self._apart(self._shut)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _ask(self, request: Request) -> Reply:
        started = time.monotonic()
        reply = await self._provider.complete(request)
        return replace(reply, seconds=time.monotonic() - started, cached=False)

    def _count(self, reply: Reply) -> Reply:
        usage = self._usage
        if reply.resolved:
            self.resolved.add(reply.resolved)
        if reply.cached:
            self._usage = replace(usage, requests=usage.requests + 1, cached=usage.cached + 1)
        else:
            self._usage = replace(
                usage,
                requests=usage.requests + 1,
                input_tokens=usage.input_tokens + (reply.input_tokens or 0),
                output_tokens=usage.output_tokens + (reply.output_tokens or 0),
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


def pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asked for and a bit more, so that not all come back at once."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TransientError) else None
    return backoff(state) if asked is None else asked * random.uniform(1, 1.25)


def unanswered(failure: str) -> Reply:
    return Reply("", "", failure=failure)
