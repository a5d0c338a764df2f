"""Caps on what a run may spend, kept by reserving the most that a request can take before it is sent."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from autointerp.config import BudgetConfig, LLMRole, RunConfig
from autointerp.errors import UserError, WorkPending
from autointerp.llm import prices
from autointerp.llm.prices import Price
from autointerp.llm.protocol import Reply, Request
from autointerp.llm.providers import batching, open_provider
from autointerp.llm.wire import provider_name

ROUNDING = 1e-9  # sums of dollars are not exact
FEWEST_BYTES_PER_TOKEN = 2  # fewer than texts have, so that a reservation is not passed


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars (0 where the price is unknown), requests, and input and output tokens together."""

    usd: float = 0.0
    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.usd + other.usd, self.requests + other.requests, self.tokens + other.tokens)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.usd - other.usd, self.requests - other.requests, self.tokens - other.tokens)


class Journal:
    """What a run has spent in all its starts: a line for each change, in a file beside the manifest.

    What is reserved is a change, too, and so is what comes back of it: a start that is killed has taken all that it
    had reserved, as far as anyone knows. `token` names the file for as long as it is there.
    """

    def __init__(self, path: Path) -> None:
        self.total = Cost()
        self.token = uuid4().hex
        self._path = path
        self._file: BinaryIO | None = None
        self._read()

    def add(self, change: Cost) -> None:
        """Written when it returns, as far as the death of the process goes."""
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(f"{change.usd!r} {change.requests} {change.tokens}\n".encode())
        except OSError as error:
            asked, found = f"you asked to keep what is spent in {self._path}", f"it cannot be written ({error})"
            raise UserError(asked, found, "make room on the disk and run again") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        file = self._path.open("ab", buffering=0)
        if file.tell() == 0:
            file.write(f"{self.token}\n".encode())
        return file

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            self.token, *lines = self._path.read_text("ascii").splitlines()
            for line in lines:
                usd, requests, tokens = line.split()
                self.total += Cost(float(usd), int(requests), int(tokens))
        except (OSError, ValueError) as error:
            asked, found = f"you asked to go on with what is spent in {self._path}", f"it cannot be read ({error})"
            raise UserError(asked, found, "mend that line, or delete the file to count from nothing") from None


class Budget:
    """What the clients of a run have spent together, and what is reserved for requests in flight.

    With a `journal`, earlier starts count. `token` is the name under which batches remember who reserved them, and the
    ledger who paid. `counted` are the keys of answers that are among some client's costs already.
    """

    def __init__(self, caps: BudgetConfig | None = None, journal: Journal | None = None) -> None:
        self.caps = caps or BudgetConfig()
        self.spent = journal.total if journal else Cost()
        self.reserved = Cost()
        self.token = journal.token if journal else uuid4().hex
        self.counted: set[str] = set()
        self._journal = journal

    def reserve(self, most: Cost) -> bool:
        """Set aside what a request can take at the most; False where that would pass a cap."""
        if self._passed(self.spent + self.reserved + most):
            return False
        self.reserved += most
        self._note(most)
        return True

    def settle(self, most: Cost, taken: Cost) -> None:
        """Put what a request took in the place of what was reserved for it."""
        self.reserved -= most
        self.spent += taken
        self._note(taken - most)

    def reached(self, next_one: Cost) -> WorkPending:
        """The sentence for a request that does not fit."""
        cap = self._passed(self.spent + next_one)[0]
        limit, spent, more = (worded(getattr(part, cap), cap) for part in (self.caps, self.spent, next_one))
        return WorkPending(
            f"you asked to spend at most {limit}",
            f"{spent} are spent and the next request may take {more}",
            f"everything answered is kept, so raise budget.{cap} and run again to go on",
        )

    def _note(self, change: Cost) -> None:
        if self._journal and change != Cost():
            self._journal.add(change)

    def _passed(self, total: Cost) -> list[str]:
        """The caps that `total` is above."""
        found = []
        for name in ("usd", "requests", "tokens"):
            cap = getattr(self.caps, name)
            if cap is not None and getattr(total, name) > cap * (1 + ROUNDING):
                found.append(name)
        return found


@dataclass(frozen=True, slots=True)
class Meter:
    """What requests to one model take from a budget: at the most beforehand, and in the end. `price` may be unknown."""

    model: str
    price: Price | None
    budget: Budget

    def most(self, request: Request, size: int) -> Cost:
        """What a request of `size` bytes can take: an estimate of its input on the high side, and all of max_tokens."""
        tokens = math.ceil(size / FEWEST_BYTES_PER_TOKEN)
        usd = self.price.usd(tokens, request.max_tokens) if self.price else None
        caps = self.budget.caps
        if usd is None and caps.usd is not None and caps.requests is None and caps.tokens is None:
            raise UserError(
                f"you asked to spend at most {caps.usd:g} USD",
                f"the price of {self.model} is not known for a request of about {tokens:,} tokens",
                "give it in [prices], or cap budget.requests or budget.tokens, too",
            )
        return Cost(usd or 0.0, 1, tokens + request.max_tokens)

    def paid(self, reply: Reply) -> float | None:
        """US dollars, None where the price or the usage is unknown."""
        if self.price is None or reply.input_tokens is None or reply.output_tokens is None:
            return None
        return self.price.usd(
            reply.input_tokens, reply.output_tokens, reply.cache_read_tokens, reply.cache_write_tokens
        )

    def taken(self, reply: Reply, most: Cost) -> Cost:
        """What a reply took; the most it can have, where the server does not say."""
        if reply.input_tokens is None or reply.output_tokens is None:
            return most
        usd = most.usd if reply.price_usd is None else reply.price_usd
        return Cost(usd, 1, reply.input_tokens + reply.output_tokens)


def worded(amount: float, cap: str) -> str:
    return f"{amount:.4g} USD" if cap == "usd" else f"{amount:,.0f} {cap}"


def refuse_unpriced(config: RunConfig) -> None:
    """Raise UserError where dollars are the only cap and a role's price is unknown: the cap could not be kept."""
    caps = config.budget
    if caps.usd is None or caps.requests is not None or caps.tokens is not None:
        return
    for name, role in config.roles.items():
        if isinstance(role, LLMRole) and price_of(role, config) is None:
            raise UserError(
                f"you asked to spend at most {caps.usd:g} USD",
                f"the price of {role.model} ({name}) at {provider_name(role)}{' in batches' * role.batch} is not known",
                f"give it in [prices.{role.model!r}], or cap budget.requests or budget.tokens, too",
            )


def refuse_unbatched(config: RunConfig) -> None:
    """Raise UserError where a role asks in batches and its provider takes none, before anything is loaded."""
    for role in config.roles.values():
        if isinstance(role, LLMRole) and role.batch:
            batching(open_provider(role))


def price_of(role: LLMRole, config: RunConfig) -> Price | None:
    """What a role's tokens cost, in batches where it asks in batches, if that is known."""
    price = prices.look_up(provider_name(role), role.model, config.prices)
    return price.batched() if price and role.batch else price
