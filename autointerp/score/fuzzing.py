"""Are the marked tokens the ones that the explanation means? (Paulo et al. 2024)

Every item is a firing excerpt. In half of them, by a coin for each, the marks are moved: as many runs of the same
lengths on tokens where the feature is silent. So neither the text nor the number or length of the marks tells right
from wrong, and an excerpt in which the marks cannot be moved is not used at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.prompt import marked
from autointerp.records import Item
from autointerp.score.marks import elsewhere, runs
from autointerp.score.question import Said, Shown, given, unchanged

TOP_LOGPROBS = 0
entry, answers = unchanged, given


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing excerpts with right or wrong marks."""
    found = []
    for item in items:
        if not item.fires:
            continue
        excerpt = item.excerpt
        wrong, right = elsewhere(excerpt, runs(excerpt), rng), bool(rng.integers(2))
        if wrong is not None:
            flags = list(excerpt.fires) if right else wrong
            found.append(Shown(item, right, {"text": marked(excerpt.pieces, flags)}))
    return found


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    return Said(float(answer["right"]))
