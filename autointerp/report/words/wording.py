"""How numbers look on the page: two decimals, a real minus sign, thousands apart, and a word where there is none."""

import math
import re
from collections.abc import Sequence

from autointerp.report.data import PADDING, Counts, Estimate

# Embeddings, overrides and isolates turn around what follows them, beyond their own text.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The same text without characters that reorder their surroundings unseen: each shows as a replacement mark."""
    return TURNING.sub("\ufffd", text)


def count(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{int(value):,}"


def decimal(value: float, digits: int = 2) -> str:
    """A score. Rounding to zero loses the sign, since a reader would take −0.00 for a statement."""
    if math.isnan(value):
        return "unscored"
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def signed(value: float) -> str:
    text = decimal(value)
    return f"+{text}" if value > 0 and float(text) else text


def interval(estimate: Estimate) -> str:
    return f"[{decimal(estimate.low)}, {decimal(estimate.high)}]" if estimate.bounded else "[no interval]"


def told(estimate: Estimate) -> str:
    """What a number does not say itself, for who points at it."""
    grade = f", grade {estimate.grade}" if estimate.grade else ""
    return f"{interval(estimate)}, n {count(estimate.n)}, unscored {count(estimate.unscored)}{grade}"


def percent(share: float) -> str:
    """A share with two significant digits below one percent, where an SAE's densities live."""
    if math.isnan(share):
        return "unknown"
    value = 100 * share
    return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%" if value >= 1 else f"{value:.2g}%"


def money(value: float) -> str:
    return "price unknown" if math.isnan(value) else f"${value:,.2f}"


def listing(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def plural(n: float, noun: str) -> str:
    return f"{count(n)} {noun}" + ("" if n == 1 else "s")


MASKED = {
    "first": "at the first position",
    "special": "on special tokens",
    "norm": "above the norm limit",
    "not finite": "with NaN or infinity",
}


def masks(counts: Counts) -> dict[str, int]:
    """How many positions were left out, by reason in words; padding is no position, and a reason never met is none."""
    return {MASKED.get(reason, reason): n for reason, n in counts.masked.items() if n and reason != PADDING}


def model_name(identifier: str) -> str:
    """The part of a model id, path or package path that a reader recognises."""
    return identifier.rstrip("/").rsplit("/", 1)[-1] or identifier
