"""How specific is the feature to what the explanation says, from 0 to 3, over its range of activations?

The rubric is that of Templeton et al. 2024 (Scaling Monosemanticity), word for word. Silent excerpts are mixed in with
marks as firing ones have them, and another feature's explanation comes as the control `shuffled`, in requests that
look the same: without both, a rating says nothing of the rater's false alarms (METHODS of the report).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.judge.marks import misplaced
from autointerp.judge.question import Said, Shown, dealt, excerpt, given, unchanged
from autointerp.records import Item

TOP_LOGPROBS = 0
SILENT_SHARE = 3  # one silent excerpt for so many firing ones
entry, answers = unchanged, given


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing excerpts with their firings marked, and silent ones marked at random like one of them."""
    firing = [item for item in items if item.fires]
    silent = [item for item in items if not item.fires]
    found = [excerpt(item, True, item.excerpt.fires) for item in firing]
    for at in rng.permutation(len(silent))[: -(-len(firing) // SILENT_SHARE)]:
        # Marks on a picture are like those on another picture, marks in a text like those in another text.
        seen = silent[at].excerpt.grid is not None
        alike = [item for item in firing if (item.excerpt.grid is not None) == seen]
        flags = misplaced(silent[at].excerpt, alike[int(rng.integers(len(alike)))].excerpt, rng) if alike else None
        if flags is not None:
            found.append(excerpt(silent[at], False, flags))
    return dealt(found, rng)


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    return Said(float(answer["rating"]))
