"""Which features get evaluated: drawn before anything is looked at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEEDED, PICKED = "seeded draw", "hand-picked"


@dataclass(frozen=True, slots=True)
class Draw:
    """The features of one dictionary, in the order of the draw. `dead` were met on the way: counted, not hidden."""

    features: tuple[int, ...]
    dead: tuple[int, ...]
    selected_by: str


def draw(fired: NDArray[np.int64], n: int, picked: tuple[int, ...], rng: np.random.Generator) -> Draw:
    """The first n alive features of a seeded permutation of all; or the hand-picked ones, labelled so."""
    order = np.array(list(dict.fromkeys(picked)), dtype=np.int64) if picked else rng.permutation(len(fired))
    alive: list[int] = []
    dead: list[int] = []
    for feature in order:
        (alive if fired[feature] else dead).append(int(feature))
        if len(alive) == n and not picked:
            break
    return Draw(tuple(alive), tuple(dead), PICKED if picked else SEEDED)
