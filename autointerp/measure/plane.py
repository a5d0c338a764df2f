"""A map on which features that point the same way lie near each other, those of several dictionaries together.

For looking at, not for measuring: t-SNE (van der Maaten and Hinton 2008) keeps who is near whom, not how far apart the
others are, nor how large or dense a group is. Templeton et al. 2024 show such neighbourhoods by UMAP; t-SNE is what
scikit-learn has. Cosines belong to `neighbours`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autointerp.measure.arrays import Floats, Ints

DIMENSIONS = 50  # kept before the map is made, which is what t-SNE is usually given
PERPLEXITY = 30.0  # about how many neighbours of each point are kept near


@dataclass(frozen=True, slots=True)
class Plane:
    """n points, each a feature: its place in the list of dictionaries [n], its row there [n], where it lies [n, 2].

    `note` says in a sentence how many of how many features are shown.
    """

    dictionary: Ints
    feature: Ints
    place: Floats
    note: str


def plane(vectors: Sequence[Tensor], points: int, seed: int) -> Plane:
    """Feature vectors [n_k, d] of each dictionary on one map of at most `points`, in order of dictionary and feature.

    Where there are more, a seeded sample of equal shares: a small dictionary is shown whole before a large one gets
    more. The rows are normalised, projected on the DIMENSIONS largest singular vectors about the origin, and normalised
    again, so distance goes by cosine. The same vectors and seed on one machine give the same map: one thread works,
    since the order in which several add up shows. Fewer than 4 points lie at their first two coordinates.
    """
    from sklearn.manifold import TSNE  # slow to import, and most processes need no map
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types; comes with TSNE

    assert points > 0, "a map has points"
    dictionary, feature = _sample([len(rows) for rows in vectors], points, seed)
    total = sum(len(rows) for rows in vectors)
    chosen = [rows[feature[dictionary == at]].float().cpu() for at, rows in enumerate(vectors)]
    note = f"All {total:,} features are shown."
    if dictionary.size < total:
        note = f"A random {dictionary.size:,} of {total:,} features are shown, in equal shares of each dictionary."
    if not dictionary.size:
        return Plane(dictionary, feature, np.empty((0, 2)), note)
    with threadpool_limits(1):
        unit = torch.nn.functional.normalize(torch.cat(chosen), dim=1).double().numpy()
        _, axes = np.linalg.eigh(unit.T @ unit)
        kept = unit @ axes[:, ::-1][:, :DIMENSIONS]
        kept /= np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)
        if len(kept) < 4:
            place = np.pad(kept[:, :2], ((0, 0), (0, max(0, 2 - kept.shape[1]))))
        else:
            perplexity = min(PERPLEXITY, (len(kept) - 1) / 3)
            place = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(kept).astype(float)
    return Plane(dictionary, feature, place, note)


def _sample(sizes: Sequence[int], points: int, seed: int) -> tuple[Ints, Ints]:
    """(dictionary, feature) of at most `points` features, ascending."""
    shares, left = np.zeros(len(sizes), np.int64), points
    for after, at in enumerate(np.argsort(sizes, kind="stable")):  # what a small one leaves goes to the larger
        shares[at] = min(sizes[at], left // (len(sizes) - after))
        left -= shares[at]
    rng = np.random.default_rng(seed)
    drawn = [np.sort(rng.choice(size, share, replace=False)) for size, share in zip(sizes, shares, strict=True)]
    return np.repeat(np.arange(len(sizes)), shares), np.concatenate([np.empty(0, np.int64), *drawn])
