"""How loud every feature of a dictionary gets in a text, whether it stands alone or is an excerpt of the corpus."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array
from torch import Tensor

from autointerp.dictionaries import Dictionary
from autointerp.evidence.replay import CONTEXTS_AT_ONCE, Contexts, Replay
from autointerp.evidence.selection import build_pool
from autointerp.job import Job, Site
from autointerp.measure.arrays import Activations, Floats, Ints
from autointerp.progress import progress
from autointerp.records import SPLITS, Split
from autointerp.subjects.positions import PositionRule

TEXTS_AT_ONCE = 64
STEP = 32
Parts = list[tuple[Ints, Ints, Floats]]  # (row, feature, largest activation) of each batch


def largest_by_owner(dictionary: Dictionary, x: Tensor, owner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(owner, feature, largest a_i) over the positions x [n, d] of each owner [n], where a feature fires."""
    at, feature, value = dictionary.encode_sparse(x.float())
    activation = (value * dictionary.feature_norms[feature]).float()
    keep = (activation > 0) & activation.isfinite()
    key, group = torch.unique(owner[at[keep]] * dictionary.width + feature[keep], return_inverse=True)
    largest = torch.zeros(len(key), device=x.device).scatter_reduce_(0, group, activation[keep], "amax")
    return key // dictionary.width, key % dictionary.width, largest


def largest(dictionary: Dictionary, x: Tensor, owner: Ints) -> tuple[Ints, Ints, Floats]:
    """The same as arrays, wherever x is."""
    device = dictionary.W_enc.device
    found = largest_by_owner(dictionary, x.to(device), torch.from_numpy(owner).to(device))
    owners, features, values = (column.cpu().numpy() for column in found)
    return owners, features, values


def stacked(parts: Parts, n: int, width: int) -> Activations:
    """Batches as one array [n, width]."""
    rows, features, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return csc_array((values, (rows, features)), shape=(n, width), dtype=np.float32)


def in_texts(job: Job, texts: Sequence[str], names: Sequence[str]) -> dict[str, Activations]:
    """The largest activation at the counted positions of each text, [texts, width] for each dictionary named.

    A text is one context: the subject's own special tokens around it, cut at the length of a context. It is padded to
    the next multiple of STEP tokens: by its own length, so that no other text can move its activations.
    """
    rule = PositionRule(job.config.positions, job.subject, job.directory.facts("collect")["norm_limits"])
    most = job.config.corpus.context_length
    tokens = [job.subject.alone(text, most) for text in texts]
    sites = {job.sites[name] for name in names}
    parts: dict[str, Parts] = {name: [] for name in names}
    with progress("measuring the subject on texts", len(texts)) as advance:
        for length, batch in batches([min(most, -(-len(ids) // STEP) * STEP) for ids in tokens]):
            contexts = [tokens[at] for at in batch]
            hidden = job.hidden(contexts, sites, length=length)
            for site in sites:
                mask = rule.mask(contexts, hidden[site], str(site))
                owner = np.array(batch)[mask.nonzero()[:, 0].cpu().numpy()]
                for name in (name for name in names if job.sites[name] == site):
                    parts[name].append(largest(job.dictionaries[name], hidden[site][mask], owner))
            advance(len(batch))
    return {name: stacked(parts.pop(name), len(texts), job.dictionaries[name].width) for name in names}


def batches(padded: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """(length, places): up to TEXTS_AT_ONCE texts that are padded to the same length."""
    for length in sorted(set(padded)):
        alike = [at for at, own in enumerate(padded) if own == length]
        for start in range(0, len(alike), TEXTS_AT_ONCE):
            yield length, alike[start : start + TEXTS_AT_ONCE]


@dataclass(frozen=True, eq=False)
class Heard:
    """The excerpts of a pool: their texts, documents [n], and activations [n, width] by dictionary."""

    texts: list[str]
    document: Ints
    activations: dict[str, Activations]


def in_pool(job: Job, contexts: Contexts, split: Split, dictionaries: Mapping[str, tuple[Site, Dictionary]]) -> Heard:
    """The largest activation in each excerpt of the pool of a split: those of the evidence, for every dictionary."""
    code = SPLITS.index(split)
    pool = build_pool(contexts, code, job.config.evidence.pool, job.rng("pool", split))
    replay = Replay(job, contexts)
    rows = np.unique(pool.row)
    first = np.zeros(len(contexts), np.int64)  # number of the first excerpt of each context
    first[rows] = np.searchsorted(pool.row, rows)
    parts: dict[str, Parts] = {name: [] for name in dictionaries}
    with progress("reading the corpus", len(rows)) as advance:
        for start in range(0, len(rows), CONTEXTS_AT_ONCE):
            part = rows[start : start + CONTEXTS_AT_ONCE]
            for site in sorted({site for site, _ in dictionaries.values()}):
                hidden, mask = replay.hidden(part, site)
                owner, position = (index.numpy() for index in mask.nonzero(as_tuple=True))
                window = position // contexts.size[part][owner]
                inside = window < contexts.n_windows[part][owner]
                x, excerpt = hidden[mask][inside], (first[part][owner] + window)[inside]
                for name, (own, dictionary) in dictionaries.items():
                    if own == site:
                        parts[name].append(largest(dictionary, x, excerpt))
            advance(len(part))
    texts = [contexts.excerpt(row, window).text for row, window in zip(pool.row.tolist(), pool.window, strict=True)]
    found = {name: stacked(parts.pop(name), len(pool), d.width) for name, (_, d) in dictionaries.items()}
    return Heard(texts, contexts.document[pool.row], found)
