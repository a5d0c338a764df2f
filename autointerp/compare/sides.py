"""The dictionaries that are held against each other: what they are made of and what is known of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autointerp.collect.stage import load_figures, load_sketch
from autointerp.dictionaries import Dictionary
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.measure.arrays import Ints
from autointerp.measure.dictionaries import Figures


@dataclass(frozen=True, eq=False)
class Side:
    """One dictionary: its weights, where it reads, which of its features fire, and which were evaluated.

    alive: features that fire, ascending. drawn: those of the seeded draw that fire, in its order; evaluated: these and
    the hand-picked ones. `like` is the dictionary that a control is held against, empty for one that learned something.
    """

    name: str
    site: str
    dictionary: Dictionary
    alive: Ints
    drawn: tuple[int, ...]
    evaluated: tuple[int, ...]
    figures: Figures
    like: str = ""

    @property
    def width(self) -> int:
        return self.dictionary.width

    @cached_property
    def vectors(self) -> Tensor:
        """Feature vectors [alive, d], in the order of `alive`."""
        return self.dictionary.feature_vectors[torch.from_numpy(self.alive)].float()

    def rows(self, features: Iterable[int]) -> Ints:
        """Where features that are alive stand in `alive`."""
        return np.searchsorted(self.alive, np.array(list(features), dtype=np.int64))

    def same_as(self, other: "Side") -> bool:
        """Whether the two have the same feature vectors, feature by feature."""
        own, theirs = self.dictionary.W_dec, other.dictionary.W_dec
        return own.shape == theirs.shape and bool(torch.equal(own, theirs))


def sides_of(job: Job) -> list[Side]:
    """All dictionaries of a run that was scored, in the order of its config."""
    split_hash = job.directory.facts("collect")["split_hash"]
    found = []
    for name, dictionary in job.dictionaries.items():
        sketch, _ = load_sketch(job, name)
        figures, convention = load_figures(job, name)
        side = DictionaryEvidence(job.directory / "evidence", name, split_hash)
        alive = np.flatnonzero(sketch.fired.numpy()).astype(np.int64)
        like = job.config.dictionaries[name].like or ""
        found.append(
            Side(name, convention["hook"], dictionary, alive, tuple(side.drawn), tuple(side.alive), figures, like)
        )
    return found


def renamed(sides: Sequence[Side], names: Mapping[str, str]) -> list[Side]:
    return [replace(side, name=names[side.name], like=names.get(side.like, "")) for side in sides]


def chains_of(sides: Sequence[Side]) -> list[list[Side]]:
    """For each site its dictionaries that learned something, smallest first; the site with most of them comes first.

    What has the same feature vectors as one before it, as the same dictionary in two runs has, is in no chain twice.
    Without a feature that fires there is nothing to compare.
    """
    by_site: dict[str, list[Side]] = {}
    for side in sorted(sides, key=lambda side: (side.width, side.name)):
        chain = by_site.setdefault(side.site, [])
        if not side.like and side.alive.size and not any(side.same_as(other) for other in chain):
            chain.append(side)
    return sorted((chain for chain in by_site.values() if chain), key=lambda chain: (-len(chain), chain[0].site))
