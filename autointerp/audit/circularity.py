"""How much of a number rests on models grading models: one grade, A to E, from who took part in it."""

from collections.abc import Sequence
from itertools import combinations

from autointerp.config import Grade
from autointerp.llm.lineage import Lineage

MEANING: dict[Grade, str] = {
    "A": "anchored: no model wrote, chose or judged it",
    "B": "different, known lineages",
    "C": "a shared developer or family, or a lineage that is unknown",
    "D": "one model in two roles",
    "E": "the subject explains, generates or judges",
}


def grade(subject: Lineage, roles: Sequence[tuple[str, Lineage]]) -> Grade:
    """The grade of a number that the pretrained models in `roles` wrote, chose, generated or judged.

    `roles` are (role, model) pairs, text encoders included; lexical code, people and the subject's own measurements
    are not in it. One model under one role counts once, however often it is named.
    """
    if not roles:
        return "A"
    if any(model.model == subject.model for _, model in roles):
        return "E"
    held = {(role, model.model) for role, model in roles}
    if len({model for _, model in held}) < len(held):
        return "D"
    present = {subject, *(model for _, model in roles)}
    if not all(model.known for model in present):
        return "C"
    for one, other in combinations(present, 2):
        if one.developer == other.developer or one.family == other.family:
            return "C"
    return "B"


def worse(a: Grade, b: Grade) -> Grade:
    """The grade of a difference of two numbers."""
    return max(a, b)
