"""Which features get evaluated: drawn before anything is looked at, and those that were picked by hand beside them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.records import PICKED, SEEDED


@dataclass(frozen=True, slots=True)
class Draw:
    """Features of one dictionary, in the order they were drawn or named; the `dead` met on the way are counted."""

    features: tuple[int, ...]
    dead: tuple[int, ...]
    selected_by: str


# Controls whose feature i stands for feature i of the original: they are drawn as it is, feature for feature.
NUMBERED = ("density_matched", "permuted", "shuffled_subject")


def order(job: Job, name: str, width: int) -> NDArray[np.int64]:
    """The features that can be evaluated: the first of a seeded permutation of all."""
    entry = job.config.dictionaries[name]
    drawn_as = entry.like if entry.control in NUMBERED else name
    return job.rng("draw", drawn_as).permutation(width)[: job.config.collect.tracked]


def tracked(job: Job, name: str, width: int, picked: Iterable[int]) -> NDArray[np.int64]:
    """The features whose reservoirs are kept: those that can be drawn, and those that were picked."""
    check_picked(name, width, picked)
    return np.union1d(order(job, name, width), np.array(list(picked), dtype=np.int64))


def check_picked(name: str, width: int, picked: Iterable[int]) -> None:
    for feature in picked:
        if not 0 <= feature < width:
            raise UserError(
                f"you picked feature {feature} of {name!r}",
                f"it has the features 0 to {width - 1}",
                f"correct evidence.picked.{name}",
            )


def draw(order: Iterable[int], fired: NDArray[np.int64], n: int) -> Draw:
    """The first n alive features of an order and the dead ones met on the way; of n = 0, none of either."""
    alive: list[int] = []
    dead: list[int] = []
    for feature in order:
        if len(alive) == n:
            break
        (alive if fired[feature] else dead).append(int(feature))
    return Draw(tuple(alive), tuple(dead), SEEDED)


def beside(drawn: Draw, picked: Iterable[int], fired: NDArray[np.int64]) -> Draw:
    """The picked features that were not drawn. One that was had been chosen before anybody looked: it stays drawn."""
    named = [feature for feature in dict.fromkeys(picked) if feature not in {*drawn.features, *drawn.dead}]
    return Draw(
        tuple(feature for feature in named if fired[feature]),
        tuple(feature for feature in named if not fired[feature]),
        PICKED,
    )
