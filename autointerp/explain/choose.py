"""Several candidates for one feature, and which of them is taken.

Candidates are written from a part of the feature's `explain` items, and the one that a judge finds again best in the
other part is taken. The division is by document, and `score` items are never seen here: choosing on them would make
the best of several lucky guesses look like a good explanation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from autointerp.measure.ranking import average_precision
from autointerp.measure.weights import at_prevalence
from autointerp.records import Item, is_scored

HELD_SHARE = 0.25  # of the firing and of the silent items
MIN_ITEMS = 4  # of each sort, at least, on either side of the division


@dataclass(frozen=True, slots=True)
class Division:
    """What candidates are written from, and what they are chosen on. No document is in both."""

    shown: tuple[Item, ...]
    held: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """How well a sentence fits each item, nan where there is no answer, and the model that said so, as resolved."""

    values: tuple[float, ...]
    resolved: str


Judge = Callable[[Sequence[tuple[str, Sequence[Item]]]], Sequence[Judged]]  # of (sentence, items), in order


@dataclass(frozen=True, slots=True)
class Ballot:
    """The candidates for one feature and the items that decide between them."""

    candidates: tuple[str, ...]
    held: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate that was taken, by its place. `resolved` is the model that chose, None where none could."""

    candidate: int
    resolved: str | None


def divide(items: Sequence[Item], rng: np.random.Generator) -> Division:
    """Whole documents are held back, in random order, until they hold HELD_SHARE of the items of each sort.

    Nothing is held back where that would leave fewer than MIN_ITEMS firing or silent items on either side. Held items
    come in random order: they are a judge's question, and their order must not be a cue.
    """
    total = count(items)
    wanted = {fires: n_held(n) for fires, n in total.items()}
    held: list[Item] = []
    for document in rng.permutation(sorted({item.excerpt.document for item in items})):
        own = [item for item in items if item.excerpt.document == document]
        before, after = count(held), count([*held, *own])
        useful = any(before[item.fires] < wanted[item.fires] for item in own)
        if useful and all(total[fires] - after[fires] >= MIN_ITEMS for fires in total):
            held += own
    if min(count(held).values()) < MIN_ITEMS:
        return Division(tuple(items), ())
    chosen = {id(item) for item in held}
    shown = tuple(item for item in items if id(item) not in chosen)
    return Division(shown, tuple(held[at] for at in rng.permutation(len(held))))


def n_held(n: int) -> int:
    """How many of n items of a sort are to be held back."""
    return max(MIN_ITEMS, ceil(HELD_SHARE * n))


def count(items: Sequence[Item]) -> dict[bool, int]:
    firing = sum(item.fires for item in items)
    return {True: firing, False: len(items) - firing}


def choose(ballots: Sequence[Ballot], judge: Judge, prevalence: float) -> list[Choice]:
    """The candidate of each ballot with the highest average precision on the held items, the first of equal ones.

    Candidates are compared on the items that have an answer for all of them; one without any answer is out. Where
    that leaves nothing to compare, the first is taken and nobody has chosen.
    """
    judged = iter(judge([(text, ballot.held) for ballot in ballots for text in ballot.candidates]))
    return [best(ballot, [next(judged) for _ in ballot.candidates], prevalence) for ballot in ballots]


def best(ballot: Ballot, judged: Sequence[Judged], prevalence: float) -> Choice:
    answered = [at for at, one in enumerate(judged) if any(is_scored(value) for value in one.values)]
    values = np.array([judged[at].values for at in answered]).reshape(len(answered), len(ballot.held))
    common = ~np.isnan(values).any(axis=0)
    fires = np.array([item.fires for item in ballot.held])[common]
    weights = at_prevalence(fires, np.array([item.weight for item in ballot.held])[common], prevalence)
    found = [average_precision(fires, row[common], weights) for row in values]
    if not found or np.isnan(found).any():
        return Choice(0, None)
    winner = answered[int(np.argmax(found))]
    return Choice(winner, judged[winner].resolved)
