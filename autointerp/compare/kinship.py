"""Who points the same way: neighbours, parents and children across sizes, the descendants of a feature, and a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from autointerp.compare.sides import Side
from autointerp.compare.tables import Rows
from autointerp.measure import neighbours as measure
from autointerp.measure import splitting
from autointerp.measure.arrays import Ints
from autointerp.measure.intervals import Interval
from autointerp.measure.plane import plane
from autointerp.measure.splitting import Step
from autointerp.store import stable_hash

NEAREST = 5  # neighbours shown of a feature in each dictionary
CANDIDATES = 10  # features of the smaller dictionary that one of the larger may overlap with
NULL, RATE = 1999, 0.01  # directions that a threshold is read off, and how many of them may exceed it


@dataclass(frozen=True, eq=False)
class Link:
    """From one dictionary of a chain to the next: the step, and of each of the larger its candidates as parents [n, k].

    Features are places in `alive` of the two sides.
    """

    smaller: Side
    larger: Side
    step: Step
    candidates: Ints


@dataclass(frozen=True, eq=False)
class Chance:
    """Directions [NULL, d] that crowd as the feature vectors of each side do, by name."""

    directions: Mapping[str, Tensor]

    def threshold(self, side: Side, among: Side) -> float:
        """The cosine with any of `among` that few of the directions of `side` exceed."""
        return measure.threshold(self.directions[side.name], among.vectors, RATE)


def chance(chain: Sequence[Side], seed: int) -> Chance:
    return Chance(
        {
            side.name: measure.directions_like(side.vectors, NULL, stable_hash(seed, "chance", side.name))
            for side in chain
        }
    )


def links(chain: Sequence[Side], chance: Chance) -> list[Link]:
    """The steps of a chain."""
    return [link(smaller, larger, chance.threshold(larger, smaller)) for smaller, larger in pairwise(chain)]


def link(smaller: Side, larger: Side, tau: float) -> Link:
    near = measure.nearest(larger.vectors, smaller.vectors, min(CANDIDATES, smaller.alive.size))
    return Link(smaller, larger, Step(near.index[:, 0], near.cosine[:, 0], tau, smaller.alive.size), near.index)


def step_rows(found: Link, seed: int, resamples: int) -> tuple[Rows, Rows, Rows]:
    """(rows of dictionaries.csv, of `steps`, of `children`) of one step and of random directions in its place."""
    smaller, larger = found.smaller, found.larger
    drawn = measure.directions_like(larger.vectors, larger.alive.size, stable_hash(seed, "control", larger.name))
    control = splitting.step(smaller.vectors, drawn, found.step.threshold)
    numbers: Rows = []
    children: Rows = []
    for word, step in (("none", found.step), ("random", control)):
        told = splitting.summary(step, seed, resamples)
        for metric in ("children", "split", "lost", "novel"):
            numbers.append(number(larger, f"splitting.{metric}", getattr(told, metric), word))
        children += [
            {"smaller": smaller.name, "larger": larger.name, "control": word, "children": n, "features": int(times)}
            for n, times in enumerate(told.counts)
        ]
    tau = found.step.threshold
    numbers.append(number(larger, "splitting.threshold", Interval(tau, np.nan, np.nan, NULL, 0)))
    steps: Rows = [
        {"smaller": smaller.name, "larger": larger.name, "feature": feature, "nearest": nearest, "cosine": cosine,
         "threshold": tau}
        for feature, nearest, cosine in zip(
            larger.alive.tolist(), smaller.alive[found.step.nearest].tolist(), found.step.cosine.tolist(), strict=True
        )
    ]  # fmt: skip
    return numbers, steps, children


def number(
    side: Side,
    metric: str,
    found: Interval,
    control: str = "none",
    arm: tuple[str, str, str] = ("", "", ""),
    grade: str = "A",
) -> dict[str, object]:
    """A row of dictionaries.csv; `arm` is explainer, scorer and rubric."""
    explainer, scorer, rubric = arm
    unscored = found.unscored or int(np.isnan(found.value))
    return {
        "dictionary": side.name, "width": side.width, "metric": metric, "control": control, "explainer": explainer,
        "scorer": scorer, "rubric": rubric, "value": found.value, "low": found.low, "high": found.high, "n": found.n,
        "unscored": unscored, "circularity": grade,
    }  # fmt: skip


def neighbours(sides: Sequence[Side], chance: Chance) -> Rows:
    """The nearest features of every evaluated feature, in its own dictionary and in every other one of its chain."""
    rows: Rows = []
    for side in sides:
        own = side.rows(side.evaluated)
        for other in sides:
            apart = 1 if other is side else 0
            k = min(NEAREST, other.alive.size - apart)
            if not own.size or k < 1:
                continue
            near = measure.nearest(side.vectors[torch.from_numpy(own)], other.vectors, k + apart)
            tau = chance.threshold(side, other)
            for place, feature in enumerate(side.evaluated):
                found = zip(other.alive[near.index[place]].tolist(), near.cosine[place].tolist(), strict=True)
                kept = [item for item in found if not apart or item[0] != feature][:k]
                rows += [
                    {"dictionary": side.name, "feature": feature, "other": other.name, "neighbour": neighbour,
                     "cosine": cosine, "chance": tau}
                    for neighbour, cosine in kept
                ]  # fmt: skip
    return rows


def chains(found: Sequence[Link], n: int, rng: np.random.Generator) -> Rows:
    """The descendants of n features of the smallest dictionary: those evaluated first, then others, drawn by seed."""
    if not found:
        return []
    first = found[0].smaller
    others = rng.permutation(first.alive).tolist()
    roots = list(dict.fromkeys([*first.drawn, *others]))[:n]
    rows: Rows = []
    for root, place in zip(roots, first.rows(roots).tolist(), strict=True):
        rows.append(
            {"root": root, "generation": 0, "dictionary": first.name, "feature": root, "parent": root, "cosine": 1.0}
        )
        for at, generation in enumerate(splitting.descendants([link.step for link in found], place)):
            smaller, larger = found[at].smaller, found[at].larger
            rows += [
                {"root": root, "generation": at + 1, "dictionary": larger.name, "feature": int(larger.alive[feature]),
                 "parent": int(smaller.alive[parent]), "cosine": cosine}
                for feature, parent, cosine in zip(
                    generation.feature, generation.parent, generation.cosine.tolist(), strict=True
                )
            ]  # fmt: skip
    return rows


def on_map(chain: Sequence[Side], points: int, seed: int) -> tuple[Rows, str]:
    """Features of a chain on one map, and a sentence that says how many."""
    found = plane([side.vectors for side in chain], points, stable_hash(seed, "map") % 2**32)
    rows: Rows = [
        {"site": chain[at].site, "dictionary": chain[at].name, "feature": int(chain[at].alive[feature]), "x": x, "y": y}
        for at, feature, (x, y) in zip(found.dictionary.tolist(), found.feature, found.place.tolist(), strict=True)
    ]
    return rows, found.note
