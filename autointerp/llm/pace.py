"""When the next request may go: how many are in flight, and how fast they may follow one another."""

import random
from asyncio import Condition
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter
from tenacity import RetryCallState, wait_random_exponential

from autointerp.llm.protocol import TransientError

MINUTE = 60.0
BURST = 0.1  # of a minute's allowance may go at once after a pause
backoff = wait_random_exponential(multiplier=1, max=30)


class Pace:
    """At most `limit` requests in flight, and at most so many requests and tokens in any minute.

    `limit` starts at `concurrency`, is halved when the server throttles and grows by one for every round of answers
    after that (additive increase, multiplicative decrease). Requests that were already in flight when it was halved
    say nothing new, so they do not halve it again. Belongs to one event loop.
    """

    def __init__(
        self, concurrency: int, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self.limit = float(concurrency)
        self.flying = 0
        self._most = float(concurrency)
        self._round = 0
        self._changed = Condition()
        self._requests = limiter(requests_per_minute)
        self._tokens = limiter(tokens_per_minute)

    @asynccontextmanager
    async def turn(self, tokens: int, admit: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
        """Wait for a place in flight, hold it for the block, and learn from how the block ends.

        `admit` is asked whenever a place is free, and again after another request has landed; it raises where
        waiting cannot help.
        """
        async with self._changed:
            while self.flying >= int(self.limit) or not admit():
                await self._changed.wait()
            self.flying += 1
        round_ = self._round
        try:
            await acquire(self._requests, 1)
            await acquire(self._tokens, tokens)
            yield
            self.limit = min(self._most, self.limit + 1 / self.limit)
        except TransientError as error:
            if error.throttled and round_ == self._round:
                self.limit = max(1.0, self.limit / 2)
                self._round += 1
            raise
        finally:
            self.flying -= 1
            async with self._changed:
                self._changed.notify_all()


def pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asked for and a bit more, so that not all come back at once."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TransientError) else None
    return backoff(state) if asked is None else asked * random.uniform(1, 1.25)


def limiter(per_minute: float | None) -> AsyncLimiter | None:
    """A bucket whose burst and refill together never pass `per_minute` within a minute."""
    if per_minute is None:
        return None
    burst = max(1.0, BURST * per_minute)
    return AsyncLimiter(burst, MINUTE * burst / (per_minute - burst + 1))


async def acquire(bucket: AsyncLimiter | None, amount: float) -> None:
    """Take `amount`, in pieces where it is more than the bucket holds."""
    while bucket is not None and amount > 0:
        piece = min(amount, bucket.max_rate)
        await bucket.acquire(piece)
        amount -= piece
