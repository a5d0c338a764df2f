"""Caps on what one start of a run may spend, kept by reserving the most that a request can take before it is sent."""

from dataclasses import dataclass

from autointerp.config import BudgetConfig, LLMRole, RunConfig
from autointerp.errors import UserError, WorkPending
from autointerp.llm import prices
from autointerp.llm.wire import provider_name

ROUNDING = 1e-9  # sums of dollars are not exact


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


class Budget:
    """What the clients of a run have spent together, and what is reserved for requests in flight."""

    def __init__(self, caps: BudgetConfig | None = None) -> None:
        self.caps = caps or BudgetConfig()
        self.spent = Cost()
        self.reserved = Cost()

    def reserve(self, most: Cost) -> bool:
        """Set aside what a request can take at the most; False where that would pass a cap."""
        if self._passed(self.spent + self.reserved + most):
            return False
        self.reserved += most
        return True

    def settle(self, most: Cost, taken: Cost) -> None:
        """Put what a request took in the place of what was reserved for it."""
        self.reserved -= most
        self.spent += taken

    def reached(self, next_one: Cost) -> WorkPending:
        """The sentence for a request that does not fit."""
        cap = self._passed(self.spent + next_one)[0]
        limit, spent, more = (worded(getattr(part, cap), cap) for part in (self.caps, self.spent, next_one))
        return WorkPending(
            f"you asked to spend at most {limit} in one go",
            f"{spent} are spent and the next request may take {more}",
            f"everything answered is kept, so run the same command again to go on, or raise budget.{cap}",
        )

    def _passed(self, total: Cost) -> list[str]:
        """The caps that `total` is above."""
        found = []
        for name in ("usd", "requests", "tokens"):
            cap = getattr(self.caps, name)
            if cap is not None and getattr(total, name) > cap * (1 + ROUNDING):
                found.append(name)
        return found


def worded(amount: float, cap: str) -> str:
    return f"{amount:.4g} USD" if cap == "usd" else f"{amount:,.0f} {cap}"


def refuse_unpriced(config: RunConfig) -> None:
    """Raise UserError where dollars are the only cap and a role's price is unknown: the cap could not be kept."""
    caps = config.budget
    if caps.usd is None or caps.requests is not None or caps.tokens is not None:
        return
    for name, role in (config.explainers | config.scorers).items():
        if isinstance(role, LLMRole) and price_of(role, config) is None:
            raise UserError(
                f"you asked to spend at most {caps.usd:g} USD",
                f"the price of {role.model} ({name}) at {provider_name(role)} is not known",
                f"give it in [prices.{role.model!r}], or cap budget.requests or budget.tokens, too",
            )


def price_of(role: LLMRole, config: RunConfig) -> prices.Price | None:
    """What a role's tokens cost, where that is known."""
    return prices.look_up(provider_name(role), role.model, config.prices)
