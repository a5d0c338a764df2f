"""Which feature vectors point the same way, and how large a cosine chance alone gives.

Cosines of feature vectors d_i (Templeton et al. 2024, Scaling Monosemanticity, took them across dictionary sizes).
Vectors are float tensors [n, d] on any device, all of one hook; rows are normalised here, and a row of zeros has cosine
0 with everything. Cosines are computed in float32 and by tiles, so memory is that of a tile and of what is returned. A
dead feature still has a vector, which says nothing: give the rows of features that are alive.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autointerp.measure.arrays import Floats, Ints

TILE_ROWS, TILE_COLUMNS = 2048, 8192  # cosines that exist at once: 64 MiB
GRAIN = 2.0**20  # cosines are multiples of 1 / GRAIN, about what float32 tells apart


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of n vectors the k nearest, the nearest first: their rows [n, k] and their cosines [n, k], -1 to 1."""

    index: Ints
    cosine: Floats

    def __post_init__(self) -> None:
        assert self.index.shape == self.cosine.shape and self.index.ndim == 2, "a cosine for each neighbour"


def nearest(vectors: Tensor, among: Tensor, k: int = 1) -> Neighbours:
    """For each row of vectors [n, d] the k rows of among [m, d] with the largest cosine; equal ones by row.

    Processors differ in the last digits of a cosine, so these are rounded off: principal components, say, are
    orthogonal but for noise, and which of them is nearest should not depend on the machine. Needs 1 <= k <= m.
    """
    assert 1 <= k <= len(among), f"{len(among)} vectors have no {k} nearest"
    index = np.empty((len(vectors), k), np.int64)
    cosine = np.empty((len(vectors), k))
    for row in range(0, len(vectors), TILE_ROWS):
        rows = _unit(vectors[row : row + TILE_ROWS])
        best_value = rows.new_empty((len(rows), 0))
        best_index = torch.empty((len(rows), 0), dtype=torch.int64, device=rows.device)
        for column in range(0, len(among), TILE_COLUMNS):
            tile = rows @ _unit(among[column : column + TILE_COLUMNS].to(rows.device)).T
            tile.mul_(GRAIN).round_().div_(GRAIN)
            value, place = _largest(tile, min(k, tile.shape[1]))
            # What was found before stands in earlier columns, so a stable sort leaves equal cosines in order of row.
            value, place = torch.cat([best_value, value], 1), torch.cat([best_index, place + column], 1)
            order = value.argsort(dim=1, descending=True, stable=True)[:, :k]
            best_value, best_index = value.gather(1, order), place.gather(1, order)
        index[row : row + TILE_ROWS] = best_index.cpu().numpy()
        cosine[row : row + TILE_ROWS] = best_value.clamp(-1, 1).cpu().numpy()
    return Neighbours(index, cosine)


def nearest_others(vectors: Tensor, rows: Ints, k: int = 1) -> Neighbours:
    """For each of some rows [r] of vectors [n, d] the k nearest of the other n - 1. Needs 0 <= k < n."""
    found = nearest(vectors[torch.from_numpy(rows)], vectors, k + 1)
    # Where vectors repeat, a row may not be among its own k + 1 nearest, and the last of these is one too many.
    kept = np.argsort(found.index == rows[:, None], axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(found.index, kept, 1), np.take_along_axis(found.cosine, kept, 1))


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=1)


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(value, column) [n, k] of the k largest of values [n, m] in each row, equal ones by column."""
    if k == 1:
        first = values.max(dim=1, keepdim=True)  # of equal ones
        return first.values, first.indices
    top = values.topk(min(k + 1, values.shape[1]), dim=1)
    column, by_column = top.indices.sort(dim=1)
    value, order = top.values.gather(1, by_column).sort(dim=1, descending=True, stable=True)
    value, column = value[:, :k].contiguous(), column.gather(1, order)[:, :k].contiguous()
    # Where the first that is left out equals the last that is kept, topk chose between them as it liked.
    if values.shape[1] > k:
        for row in (top.values[:, k - 1] == top.values[:, k]).nonzero()[:, 0].tolist():
            column[row] = values[row].argsort(descending=True, stable=True)[:k]
    return value, column


# ---- chance


def directions_like(vectors: Tensor, n: int, seed: int) -> Tensor:
    """Unit vectors [n, d] that crowd where the rows of vectors [m, d] do.

    Before they are normalised they are normal with the second moments of the rows. Feature vectors crowd into some
    directions, in which any two of them have larger cosines than random ones; a cosine above what these reach is due to
    the pair, not to the crowding. Fewer than d rows span fewer dimensions, and so do these.
    """
    d = vectors.shape[1]
    moments = torch.zeros(d, d, dtype=torch.float64, device=vectors.device)
    for start in range(0, len(vectors), TILE_ROWS):
        rows = _unit(vectors[start : start + TILE_ROWS]).double()
        moments += rows.T @ rows
    variance, axes = torch.linalg.eigh(moments)
    normal = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return _unit(normal.to(vectors.device) * variance.clamp_min(0).sqrt() @ axes.T)


def threshold(directions: Tensor, among: Tensor, rate: float) -> float:
    """The cosine tau that the best of `among` [m, d] exceeds for a share `rate` of such directions, or for fewer.

    directions [B, d] are draws of the null, say `directions_like`; of each the largest cosine with
    any of the m vectors is taken. tau is the r-th largest of these with r = floor(rate (B + 1)): another draw exceeds
    it with chance r / (B + 1) exactly, over draws of all B + 1. Best with rate (B + 1) whole.

    The vectors looked at are the actual ones: where they are close to each other their cosines are too, and the largest
    of m is smaller than of m independent ones. More vectors or fewer dimensions raise tau.
    """
    allowed = int(rate * (len(directions) + 1) + 1e-9)
    assert 0 < allowed <= len(directions), f"{len(directions)} directions cannot tell a rate of {rate}"
    maxima = nearest(directions, among).cosine[:, 0]
    return float(np.sort(maxima)[-allowed])
