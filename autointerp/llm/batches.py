"""Asking in batches: half the price, for an answer within a day, and never paid twice.

What is promised, wherever the process dies and whoever else works with the same ledger:

* A request is claimed, on disk, before it is submitted, and its claim ends when its answer is in the ledger, when the
  provider says that it did not answer it, or when it is certain that it was never accepted. Only one process at a
  time claims, submits and collects (a lock beside the ledger that ends with its process).
* The provider's id of a batch is on disk before it is first asked after. Between the provider's acceptance and that
  lies the one dangerous moment: a process that dies there leaves an intent without an id. The next start looks for
  the batch at the provider, twice and GRACE seconds apart since a list may lag behind, before it submits anew.
  Batches of OpenAI carry our token, so this is certain at once. Batches of Anthropic carry nothing of ours until they
  have ended, so the run waits (exit 75) while a batch of the same size and time that it does not know is running, and
  then looks at the ids in its results; it neither takes a stranger's batch for its own nor submits beside its own.
* Not promised: a provider whose list is more than GRACE seconds late, clocks more than SKEW apart, batches deleted or
  results expired at the provider (Anthropic keeps them for 29 days) before a run has come for them, another account's
  key in the start after a death, a power loss, and several machines on one ledger file.
"""

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from json import dumps
from typing import Any, TypeVar

from filelock import AsyncFileLock, Timeout
from tenacity import AsyncRetrying, retry_if_exception_type

from autointerp.errors import UserError, WorkPending
from autointerp.llm.budget import Cost, Meter
from autointerp.llm.claims import Batch, Claims
from autointerp.llm.ledger import Ledger
from autointerp.llm.pace import pause
from autointerp.llm.protocol import BatchIntent, BatchProvider, Reply, Request, TransientError, input_bytes
from autointerp.progress import log

T = TypeVar("T")
ROUNDS = 3  # batches that a request goes through without an answer before it is given up
ATTEMPTS = 5  # at reaching the provider for one step
LONGEST_PAUSE = 60.0  # seconds: a provider that asks for more is asked again by the next start
GRACE = 60.0  # seconds after which a batch that was accepted stands in the provider's list
POLL = 30.0  # seconds between two looks at a batch
LOCK = 60.0  # seconds to wait for another process
AGAIN = "everything answered is kept, so run the same command again later"
REST = 100  # bytes around the requests of a batch, and between two of them


class Batches:
    """The requests of one model, asked in batches. `wait` is how many seconds to wait for answers before giving back.

    Belongs to one event loop.
    """

    def __init__(self, provider: BatchProvider, ledger: Ledger, meter: Meter, wait: float = 0.0) -> None:
        self._provider = provider
        self._ledger = ledger
        self._meter = meter
        self._wait = wait
        self._claims = Claims(ledger)
        self._replies: dict[str, Reply] = {}  # fetched by this process
        self._given_up: set[str] = set()

    async def complete(self, asked: Mapping[str, Request]) -> dict[str, Reply]:
        """The replies to requests by key. What no batch answers in ROUNDS rounds is a `failure`, which is not stored.

        Raises WorkPending where answers are still to come or the budget would be passed, and UserError for what only
        the user can mend, both when all that has an answer is in the ledger.
        """
        until = time.monotonic() + self._wait
        while True:
            try:
                async with self._alone():
                    replies = await self._step(asked)
                if len(replies) == len(asked):
                    return replies
                pending = self._unfinished(asked)
            except WorkPending as error:
                pending = error
            remaining = until - time.monotonic()
            if remaining <= 0 or not self._claims.open(asked):  # nothing is on its way: waiting will not help
                raise pending
            log.info("  waiting up to %.0f s: %s", remaining, pending.found)
            await sleep(min(POLL, remaining))

    def finish(self) -> None:
        """Forget what was given up, now that the work is done that it was part of.

        Any sooner, and each start that waits for the rest would ask again for what was given up.
        """
        self._claims.forget(self._given_up)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """No other process claims, submits or collects meanwhile. The lock goes with the process, however it ends."""
        path = f"{self._ledger.path}.batches"
        lock = AsyncFileLock(path)
        try:
            await lock.acquire(timeout=LOCK)
        except Timeout:
            found = f"another process is at work on batches of the same ledger ({path})"
            raise WorkPending(self._asked, found, "run the same command again when it is done") from None
        try:
            yield
        finally:
            await lock.release(force=True)

    async def _step(self, asked: Mapping[str, Request]) -> dict[str, Reply]:
        """Fetch what is there and submit what is in no batch; the replies so far."""
        errors: list[UserError | WorkPending] = []
        for batch in self._claims.open(asked):
            try:
                known = batch if batch.id else await self._recovered(batch)
                if known is not None:
                    await self._collect(known)
            except Unreached:
                raise  # nor would it be reached for the others
            except (UserError, WorkPending) as error:
                errors.append(error)
        if errors:
            raise next((error for error in errors if isinstance(error, UserError)), errors[0])
        replies: dict[str, Reply] = {}
        wanted: dict[str, Request] = {}
        held = self._claims.held(asked)
        for key, request in asked.items():
            reply = self._replies.get(key) or self._ledger.get(key)
            claim = held.get(key)
            if reply is not None:
                replies[key] = reply
            elif claim is None or (claim.token is None and claim.batches < ROUNDS):
                wanted[key] = request
            elif claim.token is None:
                self._given_up.add(key)
                why = f"given up after {claim.batches} batches: {claim.failure}"
                replies[key] = Reply("", "", failure=why, price_usd=0.0)
        await self._submit(wanted, asked)
        return replies

    def _unfinished(self, asked: Mapping[str, Request]) -> WorkPending:
        open_ = self._claims.open(asked)
        n = sum(claim.token is not None for claim in self._claims.held(asked).values())
        since = f"; the oldest is of {open_[0].created:%Y-%m-%d %H:%M} UTC" if open_ else ""
        found = (
            f"{n:,} of {len(asked):,} requests are in {len(open_)} unfinished batch{'es' * (len(open_) != 1)}{since}"
        )
        return WorkPending(self._asked, found, AGAIN)

    # a batch that is there

    async def _collect(self, batch: Batch) -> None:
        """If the batch has ended, put its answers into the ledger, and let go of what it has not answered.

        The first error that only the user can mend is raised when everything else has been kept.
        """
        assert batch.id is not None
        id_ = batch.id
        state = await self._insist(lambda: self._provider.batch_state(id_))
        if state.refused:
            self._give_back(batch, self._claims.release(batch))
            raise state.refused
        if not state.ended:
            return
        requests = self._claims.requests(batch.token)
        errors: list[UserError] = []

        async def fetch() -> None:
            async for key, outcome in self._provider.batch_results(id_, requests):
                if key not in requests:
                    log.warning("  batch %s has a result for a request that is not in it", id_)
                elif isinstance(outcome, Reply):
                    self._keep(batch, key, outcome)
                else:
                    self._let_go(batch, key, outcome)
                    if isinstance(outcome, UserError):
                        self._claims.forget([key])
                        errors.append(outcome)

        await self._insist(fetch)  # what a connection that broke had brought is kept, and passed over the second time
        for key in self._claims.requests(batch.token):
            self._let_go(batch, key, TransientError(f"the batch is {state.said} and has no result for it"))
        self._claims.collected(batch)
        if errors:
            raise errors[0]

    def _keep(self, batch: Batch, key: str, reply: Reply) -> None:
        reply = replace(reply, price_usd=self._meter.paid(reply))
        most = self._claims.answered(batch, key, reply)
        if most is not None:
            self._replies[key] = reply
            self._give_back(batch, most - self._meter.taken(reply, most))

    def _let_go(self, batch: Batch, key: str, error: Exception) -> None:
        most = self._claims.failed(batch, key, str(error))
        if most is not None and not (isinstance(error, TransientError) and error.billed):
            self._give_back(batch, most)

    def _give_back(self, batch: Batch, unused: Cost) -> None:
        """To the budget that it came from. Another run's never learns of it, which is on the safe side."""
        if batch.payer == self._meter.budget.token:
            self._meter.budget.settle(Cost(), Cost() - unused)

    # a new batch

    async def _submit(self, wanted: Mapping[str, Request], asked: Mapping[str, Request]) -> None:
        """As many as the budget has room for, in batches of the provider's size. Raises WorkPending for the others."""
        budget, provider = self._meter.budget, self._provider
        for chunk in chunks(provider, wanted):
            reserved: dict[str, tuple[Request, Cost]] = {}
            refused: Cost | None = None
            for key in chunk:
                most = self._meter.most(wanted[key], input_bytes(wanted[key]))
                if not budget.reserve(most):
                    refused = most
                    break
                reserved[key] = (wanted[key], most)
            if reserved:
                batch, claimed = self._claims.intend(provider.name, provider.model, budget.token, reserved)
                for key, (_, most) in reserved.items():
                    # what is in a batch counts as spent until its answer says what it took
                    budget.settle(most, most if key in claimed else Cost())
                await self._launch(batch, [chunk[key] for key in reserved if key in claimed])
            if refused is not None:
                cap = budget.reached(refused)
                if not self._claims.open(asked):
                    raise cap
                first = self._unfinished(asked)
                raise WorkPending(first.asked, f"{first.found}; for more of them {cap.found}", AGAIN)

    async def _launch(self, batch: Batch, entries: list[dict[str, Any]]) -> None:
        """Submit a batch that is written down. If it surely was not accepted, it is forgotten."""

        sure = True  # that it was not accepted, should this end in an error

        async def attempt() -> str:
            nonlocal sure
            try:
                return await self._provider.submit_batch(batch.token, entries)
            except TransientError as error:
                if not error.billed:
                    raise
                sure = False
                found = await self._found(batch)
                sure = True
                if found is None:
                    raise
                return found

        if not entries:
            self._claims.release(batch)
            return
        try:
            id_ = await self._insist(attempt)
        except (UserError, WorkPending):
            if sure:
                self._give_back(batch, self._claims.release(batch))
            raise
        self._claims.submitted(batch.token, id_)
        log.info("  %d requests submitted to %s in a batch", len(entries), self._provider.name)

    async def _recovered(self, batch: Batch) -> Batch | None:
        """The batch of a process that died before it knew the id; None where it was never accepted."""
        found = await self._found(batch)
        if found is None:
            self._give_back(batch, self._claims.release(batch))
            return None
        self._claims.submitted(batch.token, found)
        return replace(batch, id=found)

    async def _found(self, batch: Batch) -> str | None:
        """The provider's id of a batch, None where it surely was not accepted. WorkPending where that is not known."""
        keys = frozenset(self._claims.requests(batch.token))
        intent = BatchIntent(batch.token, keys, batch.created, self._claims.ids(batch.provider))
        for last in (False, True):
            try:
                found = await self._insist(lambda: self._provider.find_batch(intent))
            except Unreached as error:
                unknown = f"it is not known whether a batch of {batch.requests:,} requests was accepted ({error.found})"
                raise WorkPending(self._asked, unknown, AGAIN) from error
            if found is not None or last:
                return found
            log.info("  a batch is not in the list of %s: looking again in %.0f s", batch.provider, GRACE)
            await sleep(GRACE)
        return None

    # the provider

    @property
    def _asked(self) -> str:
        return f"you asked {self._provider.name} for {self._provider.model} in batches"

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call that is repeated where that may help, else Unreached."""
        retrying = AsyncRetrying(
            sleep=sleep,
            stop=lambda state: state.attempt_number >= ATTEMPTS or state.upcoming_sleep > LONGEST_PAUSE,
            wait=pause,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )

        async def attempt() -> T:  # tenacity does not see that a lambda is to be awaited
            return await call()

        try:
            result: T = await retrying(attempt)
        except TransientError as error:
            raise Unreached(self._asked, str(error), AGAIN) from error
        return result


class Unreached(WorkPending):
    """The provider does not do what it is asked for now."""


def chunks(provider: BatchProvider, wanted: Mapping[str, Request]) -> Iterator[dict[str, dict[str, Any]]]:
    """The entries of requests by key, as many at a time as a batch takes."""
    limits = provider.batch_limits
    found: dict[str, dict[str, Any]] = {}
    total = REST
    for key, request in wanted.items():
        entry = provider.batch_entry(key, request)
        size = len(dumps(entry)) + REST
        if found and (len(found) == limits.requests or total + size > limits.size):
            yield found
            found, total = {}, REST
        found[key] = entry
        total += size
    if found:
        yield found
