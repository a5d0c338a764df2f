"""Exact activations of selected contexts: replay is the truth, the sketch only says where to look."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.collect.collector import cached
from autointerp.job import Job, Site
from autointerp.progress import progress
from autointerp.records import SPLITS, Excerpt, Grid
from autointerp.subjects.positions import PositionRule

CONTEXTS_AT_ONCE = 64


class Contexts:
    """The table of contexts, by row. Excerpts are the full windows on a fixed grid of a text, or a context as a whole.

    `size` are the positions in a window of each row, `n_windows` how many of them it has. A picture is a window of its
    own, and so is each text where `window` is 0. Ids and lengths of all are in memory (45 bytes a context); tokens and
    text only of those that were read, pictures not at all.
    """

    def __init__(self, path: Path, window: int) -> None:
        table = pq.read_table(path, columns=["id", "document", "split", "length", "grid"])
        self.path = path
        self.id: NDArray[np.int64] = table["id"].to_numpy()
        self.document: NDArray[np.int64] = table["document"].to_numpy()
        self.split: NDArray[np.int8] = pc.equal(table["split"], SPLITS[1]).to_numpy().astype(np.int8)
        length: NDArray[np.int64] = table["length"].to_numpy().astype(np.int64)
        start, rows, columns = (
            pc.fill_null(pc.struct_field(table["grid"], name), 0).to_numpy().astype(np.int64)
            for name in ("start", "rows", "columns")
        )
        self.patches: tuple[NDArray[np.int64], NDArray[np.int64]] = (start, start + rows * columns)
        self.size: NDArray[np.int64] = np.where((rows > 0) | (window == 0), length, max(window, 1))
        self.n_windows: NDArray[np.int64] = length // self.size
        metadata = pq.read_metadata(path)
        sizes = [metadata.row_group(shard).num_rows for shard in range(metadata.num_row_groups)]
        self.offsets: NDArray[np.int64] = np.cumsum([0, *sizes])  # first row of each shard, and the end
        self.tokens: dict[int, list[int]] = {}
        self.pieces: dict[int, list[str]] = {}
        self.grids: dict[int, Grid] = {}
        self.labels: dict[int, str] = {}
        self._by_id = np.argsort(self.id)

    def __len__(self) -> int:
        return len(self.id)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the given context ids; -1 (an empty slot of a reservoir) is left out."""
        wanted = np.unique(ids[ids >= 0])
        return np.sort(self._by_id[np.searchsorted(self.id, wanted, sorter=self._by_id)])

    def read(self, rows: NDArray[np.int64]) -> None:
        """Have tokens and text of these rows in memory."""
        new = np.array([row for row in np.unique(rows).tolist() if row not in self.tokens], dtype=np.int64)
        shard_of = np.searchsorted(self.offsets, new, side="right") - 1
        with pq.ParquetFile(self.path) as file:
            for shard in np.unique(shard_of).tolist():
                inside = new[shard_of == shard]
                columns = ["tokens", "pieces", "grid", "label"]
                table = file.read_row_group(shard, columns).take(inside - self.offsets[shard])
                self.tokens |= zip(inside.tolist(), table["tokens"].to_pylist(), strict=True)
                self.pieces |= zip(inside.tolist(), table["pieces"].to_pylist(), strict=True)
                self.labels |= zip(inside.tolist(), table["label"].to_pylist(), strict=True)
                grids = zip(inside.tolist(), table["grid"].to_pylist(), strict=True)
                self.grids |= {row: Grid(**grid) for row, grid in grids if grid}

    def images(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The pictures of some rows, ascending; empty where there is none. They are not kept."""
        return [image for _, image in read_images(self.path, rows, self.offsets)]

    def excerpt(self, row: int, window: int, activations: NDArray[np.float32] | None = None) -> Excerpt:
        """One window of a context that was read, with its activations [size], silent without."""
        size = int(self.size[row])
        start = window * size
        return Excerpt(
            context=int(self.id[row]),
            start=start,
            document=int(self.document[row]),
            pieces=tuple(self.pieces[row][start : start + size]),
            activations=(0.0,) * size if activations is None else tuple(activations.tolist()),
            grid=self.grids.get(row),
            label=self.labels[row],
        )

    def words(self, row: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these positions are words, not patches of a picture."""
        start, stop = self.patches
        return (position < start[row]) | (position >= stop[row])


def read_images(path: Path, rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """(row, picture) of ascending rows of contexts.parquet, a row group at a time; empty bytes without a picture."""
    shard_of = np.searchsorted(offsets, rows, side="right") - 1
    with pq.ParquetFile(path) as file:
        for shard in np.unique(shard_of).tolist():
            inside = rows[shard_of == shard]
            column = file.read_row_group(shard, ["image"])["image"].take(inside - offsets[shard])
            yield from zip(inside.tolist(), (image or b"" for image in column.to_pylist()), strict=True)


class Firings:
    """Nonzero activations of some features over some contexts, sorted by (feature, row, position)."""

    def __init__(
        self,
        feature: NDArray[np.int64],
        row: NDArray[np.int64],
        position: NDArray[np.int64],
        activation: NDArray[np.float32],
    ) -> None:
        order = np.lexsort((position, row, feature))
        self.feature, self.row = feature[order], row[order]
        self.position, self.activation = position[order], activation[order]

    def of(self, feature: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """(row, position, activation) of one feature."""
        start, stop = np.searchsorted(self.feature, [feature, feature + 1])
        return self.row[start:stop], self.position[start:stop], self.activation[start:stop]


class Replay:
    """Hook outputs and activations of contexts, from the disk cache of `collect` or by running the subject again."""

    def __init__(self, job: Job, contexts: Contexts) -> None:
        self.job, self.contexts = job, contexts
        self.rule = PositionRule(job.config.positions, job.subject, job.directory.facts("collect")["norm_limits"])

    def hidden(self, rows: NDArray[np.int64], site: Site) -> tuple[Tensor, Tensor]:
        """Hook outputs float32 [n, length, d] of some rows, ascending, and which positions count, bool [n, length]."""
        self.contexts.read(rows)
        folder = self.job.directory / "collect" / "hidden"
        shard_of = np.searchsorted(self.contexts.offsets, rows, side="right") - 1
        parts = []
        for shard in np.unique(shard_of).tolist():
            inside = rows[shard_of == shard]
            path = cached(folder, shard, site)
            if path.exists():
                kept = np.load(path, mmap_mode="r")[inside - self.contexts.offsets[shard]]
                parts.append(torch.from_numpy(np.array(kept)))
            else:
                parts.append(self._run(inside, site))
        hidden = torch.cat(parts)
        tokens = [self.contexts.tokens[row] for row in rows.tolist()]
        return hidden, self.rule.mask(tokens, hidden, str(site))

    def _run(self, rows: NDArray[np.int64], site: Site) -> Tensor:
        tokens = [self.contexts.tokens[row] for row in rows.tolist()]
        size = self.job.config.collect.batch_size
        starts = range(0, len(tokens), size)
        images = self.contexts.images(rows)
        parts = [self.job.hidden(tokens[at : at + size], [site], images[at : at + size])[site] for at in starts]
        return torch.cat([part.float().cpu() for part in parts])

    def firings(self, wanted: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]) -> dict[str, Firings]:
        """Activations a_i > 0 at the counted positions, of (features, rows) by dictionary; one pass for each site."""
        found: dict[str, list[list[NDArray[Any]]]] = {name: [] for name in wanted}
        for site in sorted({self.job.sites[name] for name in wanted}):
            readers = [name for name in wanted if self.job.sites[name] == site]
            rows = np.unique(np.concatenate([wanted[name][1] for name in readers]))
            with progress(f"reading activations at {site}", len(rows)) as advance:
                for start in range(0, len(rows), CONTEXTS_AT_ONCE):
                    part = rows[start : start + CONTEXTS_AT_ONCE]
                    hidden, mask = self.hidden(part, site)
                    for name in readers:
                        mine = torch.from_numpy(np.isin(part, wanted[name][1]))
                        found[name].append(self._encode(name, wanted[name][0], part, hidden, mask & mine[:, None]))
                    advance(len(part))
        return {
            name: Firings(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            for name, parts in found.items()
        }

    def _encode(
        self, name: str, features: NDArray[np.int64], rows: NDArray[np.int64], hidden: Tensor, mask: Tensor
    ) -> list[NDArray[Any]]:
        """(feature, row, position, activation) of the wanted features where the mask holds."""
        dictionary = self.job.dictionaries[name]
        wanted = torch.zeros(dictionary.width, dtype=torch.bool)
        wanted[torch.from_numpy(features)] = True
        wanted = wanted.to(dictionary.W_enc.device)
        owner, position = mask.nonzero(as_tuple=True)
        at, feature, value = dictionary.encode_sparse(hidden[mask].to(wanted.device))
        activation = value * dictionary.feature_norms[feature]
        keep = wanted[feature] & (activation > 0) & activation.isfinite()
        at, feature, activation = at[keep].cpu(), feature[keep].cpu(), activation[keep].cpu()
        return [feature.numpy(), rows[owner[at].numpy()], position[at].numpy(), activation.float().numpy()]
