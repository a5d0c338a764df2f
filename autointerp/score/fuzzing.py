"""Are the marked tokens the ones that the explanation means? (Paulo et al. 2024)

Every item is a firing excerpt. In half of them, by a coin for each, the marks are moved: as many runs of the same
lengths on tokens where the feature is silent; in a picture, the same shape on silent patches. So neither the text nor
the number or length of the marks tells right from wrong, and an excerpt in which the marks cannot be moved is not used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.records import Item
from autointerp.score.marks import misplaced
from autointerp.score.question import Said, Shown, excerpt, given, unchanged

TOP_LOGPROBS = 0
entry, answers = unchanged, given


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing excerpts with right or wrong marks."""
    found = []
    for item in items:
        if not item.fires:
            continue
        wrong, right = misplaced(item.excerpt, item.excerpt, rng), bool(rng.integers(2))
        if wrong is not None:
            found.append(excerpt(item, right, item.excerpt.fires if right else wrong))
    return found


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    return Said(float(answer["right"]))
