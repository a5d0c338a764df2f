"""How what the page carries is packed, and what repeats in it is numbered."""

import base64
import gzip
import json
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autointerp.report.words.wording import visible


@dataclass(slots=True)
class Vocabulary:
    """Numbers for values that repeat."""

    places: dict[Hashable, int] = field(default_factory=dict)

    def index(self, value: Hashable) -> int:
        return self.places.setdefault(value, len(self.places))

    def indices(self, values: Iterable[Hashable]) -> list[int]:
        return [self.index(value) for value in values]

    def values(self) -> list[Any]:
        return list(self.places)


@dataclass(frozen=True, slots=True)
class Block:
    """One script element: its id and its packed content."""

    id: str
    content: str


def pack(identifier: str, content: Any) -> Block:
    return squeeze(identifier, visible(json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)))


def squeeze(identifier: str, text: str) -> Block:
    """No timestamp goes in: equal reports are equal bytes."""
    raw = text.encode("utf-8", "replace")
    return Block(identifier, base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode("ascii"))


def short(value: float) -> float | int | None:
    """Four significant digits, which is more than any of these numbers knows; None where there is no number."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded
