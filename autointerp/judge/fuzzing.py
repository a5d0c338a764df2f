"""Are the marked tokens the ones that the explanation means? (Paulo et al. 2024)

Every item is a firing excerpt. In half of them, by a coin for each, the marks are moved: as many runs of the same
lengths on tokens where the feature is silent; in a picture, the marks of another one of the feature's, which gets its
own. So neither the text nor the number, length or place of the marks tells right from wrong, and an excerpt in which
the marks cannot be moved is not used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.judge.marks import misplaced, partners
from autointerp.judge.question import Said, Shown, excerpt, given, unchanged
from autointerp.records import Item

TOP_LOGPROBS = 0
entry, answers = unchanged, given


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing excerpts with right or wrong marks."""
    found, firing = [], [item for item in items if item.fires]
    for item, other in zip(firing, partners([item.excerpt for item in firing], rng), strict=True):
        if other is None:
            continue
        wrong, right = misplaced(item.excerpt, other, rng), bool(rng.integers(2))
        if wrong is not None:
            found.append(excerpt(item, right, item.excerpt.fires if right else wrong))
    return found


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    return Said(float(answer["right"]))
