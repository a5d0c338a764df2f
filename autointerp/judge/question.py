"""What a question to a judge consists of; each of detection, fuzzing, simulation and specificity is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from autointerp.exhibit import in_words
from autointerp.llm.protocol import Reply
from autointerp.records import UNSCORED, Item


@dataclass(frozen=True, slots=True)
class Shown:
    """An item as it is put to a judge, who sees `data`, an id, and its picture if it has one, with `marks` on it.

    `fires` is the truth that the question is about. `marks` are flags by position, None for a picture without marks.
    """

    item: Item
    fires: bool
    data: Mapping[str, Any]
    marks: Sequence[bool] | None = None


class Said(NamedTuple):
    """What a judge said of one item: a number, or nan and the reason; for a simulation, one for each token, too."""

    value: float = UNSCORED
    reason: str = ""
    predicted: tuple[float, ...] = ()


class Question(Protocol):
    """A module of this package. Its rubric has the same name, and answers in a list `answers` of objects with an id.

    `TOP_LOGPROBS` asks for so many alternatives to each token of the answer, from models that give them.
    """

    TOP_LOGPROBS: int

    def show(self, items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
        """The items of one feature as they are shown, in any order."""
        ...

    def entry(self, schema: dict[str, Any], group: Sequence[Shown]) -> dict[str, Any]:
        """The rubric's schema of one entry, narrowed to what is shown."""
        ...

    def answers(self, reply: Reply) -> Sequence[Mapping[str, Any]]:
        """The entries of an answer that fits the rubric's schema."""
        ...

    def read(self, answer: Mapping[str, Any], shown: Shown) -> Said:
        """What one entry says."""
        ...


def unchanged(schema: dict[str, Any], group: Sequence[Shown]) -> dict[str, Any]:
    return schema


def excerpt(item: Item, fires: bool, marks: Sequence[bool] | None = None) -> Shown:
    """An item shown as the excerpt that it is, with marks or without."""
    return Shown(item, fires, in_words(item.excerpt, marks), marks)


def dealt(shown: Sequence[Shown], rng: np.random.Generator) -> list[Shown]:
    """The items that coins deal out, one after another, until they ask for a firing or a silent one and none is left.

    Of all items one could tell the truth of the last from that of the others. With a coin for each (heads as often as
    items fire), the truth of an item says nothing of any other's, as long as no request holds most of those dealt.
    About one in ten is left out; where it would be more than half of the firing or of the silent ones, they are dealt
    anew.
    """
    sides = [[at for at, one in enumerate(shown) if one.fires == fires] for fires in (False, True)]
    share = len(sides[True]) / max(len(shown), 1)
    while True:
        queues = [rng.permutation(side).tolist() for side in sides]
        found: list[int] = []
        while queue := queues[rng.random() < share]:
            found.append(queue.pop())
        if all(2 * len(queue) <= len(side) for queue, side in zip(queues, sides, strict=True)):
            return [shown[at] for at in sorted(found)]


def given(reply: Reply) -> Sequence[Mapping[str, Any]]:
    """The entries as they were written."""
    entries: Sequence[Mapping[str, Any]] = reply.answer["answers"]
    return entries
