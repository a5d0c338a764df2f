"""What tokens cost, by a dated table or the user's own word. What neither knows stays unknown."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from autointerp.config import PriceConfig

TABLE = Path(__file__).with_suffix(".toml")
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. Without a price of its own, a cached token costs what any input token costs.

    `up_to` bounds the input tokens of one request for which the price holds. `source` is an address or the config.
    """

    input: float
    output: float
    source: str
    date: str = ""
    up_to: int | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    batch_input: float | None = None
    batch_output: float | None = None

    def usd(self, input_tokens: int, output_tokens: int, cache_read: int = 0, cache_write: int = 0) -> float | None:
        """The price of one request; None where it is longer than the price holds for.

        `input_tokens` are all of them, those that the prompt cache gave or took among them.
        """
        if self.up_to is not None and input_tokens > self.up_to:
            return None
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        plain = input_tokens - cache_read - cache_write
        total = plain * self.input + cache_read * read + cache_write * write + output_tokens * self.output
        return total / MILLION

    def batched(self) -> "Price | None":
        """What the same costs in a batch, None where that is not known.

        Cached tokens cost less by the same factor as other input: both discounts count.
        """
        if self.batch_input is None or self.batch_output is None:
            return None
        factor = self.batch_input / self.input if self.input else 1.0
        read, write = (None if part is None else part * factor for part in (self.cache_read, self.cache_write))
        return replace(self, input=self.batch_input, output=self.batch_output, cache_read=read, cache_write=write)


def look_up(provider: str, model: str, own: Mapping[str, PriceConfig], today: date | None = None) -> Price | None:
    """The price of a model: the user's `own` by name or pattern, else the newest row that is in force."""
    for pattern, given in own.items():
        if fnmatchcase(model, pattern):
            return Price(**given.model_dump(), source="[prices] of the config")
    now = today or datetime.now(UTC).date()
    rows = [row for row in table() if row[0] == provider and row[1].fullmatch(model) and row[2] <= now]
    return max(rows, key=lambda row: row[2])[3] if rows else None


@cache
def table() -> list[tuple[str, re.Pattern[str], date, Price]]:
    """(provider, pattern of the model, first day, price)."""
    rows = []
    for row in tomllib.loads(TABLE.read_text("utf-8"))["price"]:
        provider, pattern, day = row.pop("provider"), row.pop("model"), row.pop("date")
        rows.append((provider, re.compile(pattern), day, Price(**row, date=day.isoformat())))
    return rows
