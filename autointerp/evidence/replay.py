"""Exact activations of selected contexts: replay is the truth, the sketch only says where to look."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from autointerp.job import Job
from autointerp.records import SPLITS, Excerpt

CONTEXTS_AT_ONCE = 64


class Contexts:
    """The table of contexts, by row. `windows` are the full windows on a fixed grid that excerpts are taken from."""

    def __init__(self, path: Path, window: int) -> None:
        table = pq.read_table(path)
        self.id: NDArray[np.int64] = table["id"].to_numpy()
        self.document: NDArray[np.int64] = table["document"].to_numpy()
        self.name: list[str] = table["name"].to_pylist()
        self.split: NDArray[np.int64] = np.array([SPLITS.index(s) for s in table["split"].to_pylist()])
        self.tokens: list[list[int]] = table["tokens"].to_pylist()
        self.pieces: list[list[str]] = table["pieces"].to_pylist()
        self.window = window
        self._row = {int(identifier): row for row, identifier in enumerate(self.id)}

    def __len__(self) -> int:
        return len(self.id)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the given context ids; -1 (an empty slot of a reservoir) is left out."""
        return np.array(sorted({self._row[int(i)] for i in ids.ravel() if i >= 0}), dtype=np.int64)

    @cached_property
    def n_windows(self) -> NDArray[np.int64]:
        """Full windows of each context."""
        return np.array([len(tokens) // self.window for tokens in self.tokens])

    def excerpt(self, row: int, window: int, activations: NDArray[np.float32]) -> Excerpt:
        """One window of a context, with its activations [window]."""
        start = window * self.window
        return Excerpt(
            context=int(self.id[row]),
            start=start,
            document=int(self.document[row]),
            pieces=tuple(self.pieces[row][start : start + self.window]),
            activations=tuple(float(a) for a in activations),
        )


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
        folder = job.directory / "collect"
        self.masks = {hook: mask.numpy() for hook, mask in load_file(folder / "positions.safetensors").items()}
        self.cached = {
            path.name.removesuffix(".npy"): np.load(path, mmap_mode="r") for path in (folder / "hidden").glob("*.npy")
        }

    def hidden(self, rows: Sequence[int] | NDArray[np.int64], hook: str) -> Tensor:
        """Hook outputs float32 [n, length, d] of some contexts."""
        if hook in self.cached:
            return torch.from_numpy(np.array(self.cached[hook][np.asarray(rows)]))
        tokens = [self.contexts.tokens[row] for row in rows]
        size, length = self.job.config.collect.batch_size, self.job.config.corpus.context_length
        parts = [
            self.job.subject.hidden(tokens[start : start + size], length, [hook])[hook].float().cpu()
            for start in range(0, len(tokens), size)
        ]
        return torch.cat(parts)

    def counted(self, rows: NDArray[np.int64], hook: str) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]:
        """For some contexts at a time: (rows, row of each counted position, position, hook output [n, d])."""
        for start in range(0, len(rows), CONTEXTS_AT_ONCE):
            part = rows[start : start + CONTEXTS_AT_ONCE]
            mask = torch.from_numpy(self.masks[hook][part])
            owner, position = mask.nonzero(as_tuple=True)
            yield part, owner, position, self.hidden(part, hook)[mask]

    def firings(self, name: str, features: NDArray[np.int64], rows: NDArray[np.int64]) -> Firings:
        """Activations a_i > 0 of the given features at the counted positions of the given contexts."""
        dictionary, hook = self.job.dictionaries[name], self.job.hooks[name]
        device = dictionary.W_enc.device
        wanted = torch.zeros(dictionary.width, dtype=torch.bool, device=device)
        wanted[torch.from_numpy(features).to(device)] = True
        norms = dictionary.feature_norms
        found = []
        for part, owner, position, x in self.counted(rows, hook):
            at, feature, value = dictionary.encode_sparse(x.to(device))
            activation = value * norms[feature]
            keep = wanted[feature] & (activation > 0)
            at, feature, activation = at[keep].cpu(), feature[keep].cpu(), activation[keep].cpu()
            found.append((feature, torch.from_numpy(part)[owner[at]], position[at], activation))
        columns = [torch.cat(column).numpy() for column in zip(*found, strict=True)]
        return Firings(columns[0], columns[1], columns[2], columns[3].astype(np.float32))
