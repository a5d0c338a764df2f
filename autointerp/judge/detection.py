"""Which excerpts does the explanation fit? (Paulo et al. 2024)"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.judge.question import Said, Shown, dealt, excerpt, given, unchanged
from autointerp.records import Item

TOP_LOGPROBS = 0
entry, answers = unchanged, given


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing and silent excerpts, without marks."""
    return dealt([excerpt(item, item.fires) for item in items], rng)


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    return Said(float(answer["fits"]))
