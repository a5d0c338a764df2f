"""Every feature of every dictionary on the same positions: do parents and children fire together, and who gives way?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array, hstack

from autointerp.compare.kinship import Link, number
from autointerp.compare.sides import Side
from autointerp.compare.tables import Rows
from autointerp.evidence.replay import CONTEXTS_AT_ONCE, Contexts, Replay
from autointerp.job import Job, Site
from autointerp.measure import absorption as measure
from autointerp.measure.arrays import Activations, Floats, Ints
from autointerp.measure.dictionaries import share
from autointerp.measure.intervals import mean_interval
from autointerp.measure.neurons import Likeness, likeness, shifts, unlike
from autointerp.measure.overlap import EDGE, agreement, restricted_cosine
from autointerp.measure.splitting import NONE
from autointerp.progress import log, progress
from autointerp.store import stable_hash

SHIFTS = 3  # of the activations against the neurons, to see what chance makes of the largest correlation


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read: activations [T, width] by dictionary, document [T] of each position, and which contexts."""

    activations: dict[str, Activations]
    document: Ints
    rows: Ints


def read(job: Job, chain: Sequence[Side], contexts: Contexts, n: int) -> Reading:
    """Every feature of a chain on n contexts of the score split, drawn by seed; sparse, 8 bytes a firing."""
    site = Site(chain[0].site)
    rows = np.flatnonzero(contexts.split == 1)
    rows = np.sort(job.rng("compare", "contexts").permutation(rows)[:n])
    replay = Replay(job, contexts)
    parts: dict[str, list[tuple[Ints, Ints, Floats]]] = {side.name: [] for side in chain}
    document: list[Ints] = []
    seen = 0
    with progress(f"reading every feature at {site}", len(rows)) as advance:
        for start in range(0, len(rows), CONTEXTS_AT_ONCE):
            part = rows[start : start + CONTEXTS_AT_ONCE]
            hidden, mask = replay.hidden(part, site)
            x = hidden[mask]
            for side in chain:
                at, feature, value = side.dictionary.encode_sparse(x.to(side.dictionary.W_enc.device))
                activation = (value * side.dictionary.feature_norms[feature]).float()
                keep = (activation > 0) & activation.isfinite()
                at, feature, activation = (tensor[keep].cpu() for tensor in (at + seen, feature, activation))
                parts[side.name].append((at.numpy(), feature.numpy(), activation.numpy()))
            owner = mask.nonzero()[:, 0].numpy()
            document.append(contexts.document[part][owner])
            seen += len(owner)
            advance(len(part))
    activations: dict[str, Activations] = {}
    for side in chain:
        position, which, how = (np.concatenate(column) for column in zip(*parts.pop(side.name), strict=True))
        activations[side.name] = csc_array((how, (position, which)), shape=(seen, side.width), dtype=np.float32)
    return Reading(activations, np.concatenate(document), rows)


def overlap_rows(found: Link, activations: Mapping[str, Activations], seed: int) -> Rows:
    """Children by cosine beside children by activation, and pairs put together at random."""
    smaller, larger = found.smaller, found.larger
    a = activations[smaller.name][:, smaller.alive]
    b = activations[larger.name][:, larger.alive]
    n, k = found.candidates.shape
    pairs = found.candidates.ravel(), np.repeat(np.arange(n), k)
    together = agreement(found.step, found.candidates, restricted_cosine(a, b, *pairs).similarity.reshape(n, k))
    child = np.flatnonzero(found.step.parent != NONE)
    rng = np.random.default_rng(stable_hash(seed, "strangers", larger.name))
    strange = rng.choice(np.arange(smaller.alive.size), n)
    by_chance = restricted_cosine(a, b, strange[child], child).similarity
    return [
        number(larger, "splitting.overlapping", together.overlapping),
        number(
            larger, "splitting.overlapping", share(np.where(np.isnan(by_chance), np.nan, by_chance > EDGE)), "random"
        ),
        number(larger, "splitting.same_parent", together.nearest),
    ]


def absorption_rows(
    found: Link, reading: Reading, n: int, rng: np.random.Generator, seed: int, resamples: int
) -> tuple[Rows, Rows]:
    """(rows of dictionaries.csv, of `absorption`) of n features with two children and more, drawn by seed."""
    smaller, larger = found.smaller, found.larger
    general = np.flatnonzero(found.step.children > 1)
    asked = np.sort(rng.permutation(general)[:n])
    own = measure.counterparts(smaller.vectors, larger.vectors, found.step.threshold)
    each = list(
        measure.absorption(
            found.step,
            own,
            reading.activations[smaller.name][:, smaller.alive],
            reading.activations[larger.name][:, larger.alive],
            reading.document,
            asked,
            seed,
            resamples=resamples,
        )
    )
    rows: Rows = [
        {
            "dictionary": smaller.name,
            "feature": int(smaller.alive[one.feature]),
            "larger": larger.name,
            "counterpart": int(larger.alive[one.counterpart]) if one.counterpart != NONE else NONE,
            "children": one.n_children,
            "fired": one.fired,
            "documents": one.documents,
            "absorbed": one.absorbed.value,
            "low": one.absorbed.low,
            "high": one.absorbed.high,
            "silent": one.silent.value,
            "beside": one.beside,
            "null": one.null,
            "p": one.p,
            "reason": one.reason,
        }
        for one in each
    ]
    columns = {
        ("absorbed", "none"): [one.absorbed.value for one in each],
        ("absorbed", "random"): [one.null for one in each],
        ("silent", "none"): [one.silent.value for one in each],
        ("beside", "none"): [one.beside for one in each],
    }
    numbers = [
        number(larger, f"absorption.{metric}", mean_interval(np.array(values, float), seed, resamples), control)
        for (metric, control), values in columns.items()
    ]
    return numbers, rows


def neuron_rows(
    job: Job, chain: Sequence[Side], contexts: Contexts, reading: Reading, modules: Sequence[str], resamples: int
) -> tuple[Rows, Rows, str]:
    """(rows of dictionaries.csv, of `neurons`, a note) of the drawn features; a pass of the subject for each module."""
    features = [(side, feature) for side in chain for feature in side.drawn]
    if not features or not modules:
        return [], [], ""
    columns = [reading.activations[side.name][:, list(side.drawn)] for side in chain if side.drawn]
    activations = csc_array(hstack(columns))
    seed, positions = job.config.seed, reading.document.size
    longest = int(np.unique(reading.document, return_counts=True)[1].max(initial=0))
    moves, note = np.empty(0, np.int64), "Too few positions were read to shift them past their own documents."
    for n in range(SHIFTS, 0, -1):
        if positions >= (n + 1) * longest:
            moves, note = shifts(n, positions, longest, stable_hash(seed, "shifts")), ""
            break
    each = [
        likeness(
            activations, outputs(job, contexts, reading.rows, Site(chain[0].site), job.subject.resolve(module)), moves
        )
        for module in modules
    ]
    best, module_of = most_alike(each)
    chance = best.null.mean(axis=0) if len(best.null) else np.full(len(features), np.nan)
    rows: Rows = [
        {"dictionary": side.name, "feature": feature, "module": modules[module_of[at]], "neuron": int(best.neuron[at]),
         "correlation": float(best.correlation[at]), "chance": float(chance[at])}
        for at, (side, feature) in enumerate(features)
    ]  # fmt: skip
    numbers: Rows = []
    for side in chain:
        own = np.array([other is side for other, _ in features], bool)
        if not own.any():
            continue
        part = Likeness(best.neuron[own], best.correlation[own], best.null[:, own])
        told = unlike(part, seed, resamples)
        numbers += [
            number(side, "neurons.alone", told.alone),
            number(side, "neurons.alone", told.by_chance, "shifted"),
            number(side, "neurons.correlation", mean_interval(np.abs(part.correlation), seed, resamples)),
            number(side, "neurons.correlation", mean_interval(chance[own], seed, resamples), "shifted"),
        ]
    return numbers, rows, note


def most_alike(each: Sequence[Likeness]) -> tuple[Likeness, Ints]:
    """Over several modules the neuron that each feature is most like, and in which module that is."""
    strength = np.stack([np.nan_to_num(np.abs(one.correlation), nan=-1) for one in each])
    module = strength.argmax(axis=0)
    neuron, correlation = (
        np.stack([getattr(one, name) for one in each])[module, np.arange(module.size)]
        for name in ("neuron", "correlation")
    )
    return Likeness(neuron, correlation, np.fmax.reduce([one.null for one in each])), module


def outputs(job: Job, contexts: Contexts, rows: Ints, site: Site, module: str) -> Iterator[Floats]:
    """The outputs [t, N] of a module at the positions that count at a site, batch by batch."""
    replay = Replay(job, contexts)
    size = job.config.collect.batch_size
    log.info("  reading the neurons of %s", module)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        _, mask = replay.hidden(part, site)
        tokens = [contexts.tokens[row] for row in part.tolist()]
        found = job.hidden(tokens, [Site(module)], contexts.images(part))[Site(module)]
        yield found[mask.to(found.device)].to(torch.float64).cpu().numpy()
