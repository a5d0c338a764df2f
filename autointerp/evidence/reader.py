"""Evidence as the later stages read it back: items by feature, the shared pool, and what fires in it."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from autointerp.evidence.replay import Contexts, read_images
from autointerp.records import PICKED, SPLITS, Evidence, Excerpt, Grid, Item, Split


class PoolReader:
    """The windows of pool.parquet, by row. The first belong to `explain`, the others to `score`."""

    def __init__(self, folder: Path) -> None:
        rows = pq.read_table(folder / "pool.parquet").to_pylist()
        self.split: list[Split] = [row["split"] for row in rows]
        self.excerpts = [excerpt_of(row) for row in rows]

    def rows(self, split: Split) -> list[int]:
        return [row for row, name in enumerate(self.split) if name == split]


def read_pictures(job_folder: Path, contexts: Iterable[int]) -> dict[int, bytes]:
    """The pictures of these contexts, as PNG files by context; those without a picture are left out."""
    path, wanted = job_folder / "collect" / "contexts.parquet", np.array(sorted(set(contexts)), dtype=np.int64)
    table = Contexts(path, 0)
    rows = table.rows(wanted)
    return {int(table.id[row]): image for row, image in read_images(path, rows, table.offsets) if image}


class DictionaryEvidence:
    """All evidence of one dictionary.

    `features` is a frame with one row per drawn or picked feature, dead ones among them; `firings` has the columns
    feature, window (row of the pool), position (within it) and activation.
    """

    def __init__(self, folder: Path, name: str, split_hash: str) -> None:
        self.folder, self.name, self.split_hash = folder, name, split_hash
        self.features: pd.DataFrame = pd.read_parquet(folder / f"{name}.features.parquet")

    @cached_property
    def alive(self) -> list[int]:
        """The features that fire: the drawn ones, in the order of the draw, then the hand-picked ones."""
        return [int(f) for f in self.features.loc[~self.features["dead"], "feature"]]

    @cached_property
    def picked(self) -> frozenset[int]:
        """The hand-picked features, dead ones among them."""
        return frozenset(self.features.loc[self.features["selected_by"] == PICKED, "feature"].tolist())

    @cached_property
    def drawn(self) -> list[int]:
        """The alive features of the draw, in its order, without those that are there because they were picked."""
        return [feature for feature in self.alive if feature not in self.picked]

    def first(self, n: int, by_name: bool = True) -> list[int]:
        """The first n features of the draw and, where somebody asks for them `by_name`, the picked ones."""
        return self.drawn[:n] + [feature for feature in self.alive if feature in self.picked and by_name]

    @cached_property
    def reasons(self) -> dict[int, str]:
        """Why a feature cannot be scored; empty where it can."""
        return dict(zip(self.features["feature"].tolist(), self.features["reason"].tolist(), strict=True))

    @cached_property
    def firings(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{self.name}.pool.parquet").set_index("feature").sort_index(kind="stable")

    def firings_of(self, feature: int) -> pd.DataFrame:
        return self.firings.loc[[feature]] if feature in self.firings.index else self.firings.iloc[:0]

    @cached_property
    def by_feature(self) -> dict[int, Evidence]:
        grouped: dict[int, dict[Split, list[Item]]] = {}
        for row in pq.read_table(self.folder / f"{self.name}.parquet").to_pylist():
            item = Item(excerpt_of(row), row["stratum"], row["fires"], row["weight"])
            grouped.setdefault(row["feature"], {split: [] for split in SPLITS})[row["split"]].append(item)
        maxima = dict(zip(self.features["feature"], self.features["max_activation"], strict=True))
        return {
            feature: Evidence(
                self.name, feature, float(maxima[feature]), {s: tuple(sides[s]) for s in SPLITS}, self.split_hash
            )
            for feature, sides in grouped.items()
        }


def picked_of(evidence: Mapping[str, DictionaryEvidence]) -> frozenset[tuple[str, int]]:
    """The hand-picked features of all dictionaries, as (dictionary, feature)."""
    return frozenset((name, feature) for name, side in evidence.items() for feature in side.picked)


def excerpt_of(row: dict[str, Any]) -> Excerpt:
    """A row of an items or pool table; the pool keeps activations apart, so its excerpts come with zeros."""
    pieces = tuple(row["pieces"])
    activations = row.get("activations") or [0.0] * len(pieces)
    grid = Grid(**row["grid"]) if row["grid"] else None
    return Excerpt(row["context"], row["start"], row["document"], pieces, tuple(activations), grid, row["label"])
