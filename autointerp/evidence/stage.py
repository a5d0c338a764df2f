"""From sketches to evidence: draw features, replay the contexts that matter, choose items, write them down."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from autointerp.collect.draw import Draw, beside, check_picked, draw, order
from autointerp.collect.sketch import Sketch
from autointerp.collect.stage import load_sketch
from autointerp.errors import UserError
from autointerp.evidence.replay import Contexts, Firings, Replay
from autointerp.evidence.selection import (
    Pool,
    bin_shares,
    build_pool,
    favourite_token,
    fires_in,
    firing_items,
    held_in,
    silent_items,
    token_counts,
    window_key,
    window_shares,
)
from autointerp.job import Job
from autointerp.measure.neighbours import nearest_others
from autointerp.measure.statistics import token_entropy
from autointerp.progress import log, progress
from autointerp.records import SPLITS, Excerpt, Item, Split, as_row
from autointerp.store import GRID, digest_of, write_table

NEIGHBOURS = 3  # per feature, by cosine of feature vectors: where near negatives come from
TOO_FEW_FIRING, TOO_FEW_SILENT = "too few firing excerpts", "too few silent excerpts"

ITEMS = pa.schema(
    [
        ("feature", pa.int64()),
        ("split", pa.string()),
        ("stratum", pa.string()),
        ("fires", pa.bool_()),
        ("weight", pa.float64()),
        ("context", pa.int64()),
        ("start", pa.int32()),
        ("document", pa.int64()),
        ("pieces", pa.list_(pa.string())),
        ("activations", pa.list_(pa.float32())),
        ("grid", GRID),
        ("label", pa.string()),
    ]
)
FEATURES = pa.schema(
    [
        ("feature", pa.int64()),
        ("dead", pa.bool_()),
        ("selected_by", pa.string()),
        ("n_fired", pa.int64()),
        ("density", pa.float64()),
        ("max_activation", pa.float64()),
        ("token_entropy", pa.float64()),
        ("base_rate", pa.float64()),
        ("neighbours", pa.list_(pa.int64())),
        ("reason", pa.string()),
        ("histogram", pa.list_(pa.int64())),
    ]
)
POOL = pa.schema(
    [
        ("split", pa.string()),
        ("context", pa.int64()),
        ("start", pa.int32()),
        ("document", pa.int64()),
        ("pieces", pa.list_(pa.string())),
        ("grid", GRID),
        ("label", pa.string()),
    ]
)
POOL_FIRINGS = pa.schema(
    [("feature", pa.int64()), ("window", pa.int32()), ("position", pa.int32()), ("activation", pa.float32())]
)
TABLES = ("", ".features", ".pool")  # of a dictionary, by the ending of the file's name


def inputs(job: Job) -> dict[str, str]:
    collected = job.directory.records()["collect"]
    return {
        "collect": digest_of(collected.outputs),
        "evidence": digest_of([job.config.evidence.model_dump(), job.config.seed]),
    }


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write evidence/<dictionary>.parquet (items), .features.parquet and .pool.parquet, and the shared pool.parquet."""
    config, folder = job.config.evidence, job.directory / "evidence"
    contexts = Contexts(job.directory / "collect" / "contexts.parquet", config.window)
    pools = [build_pool(contexts, s, config.pool, job.rng("pool", name)) for s, name in enumerate(SPLITS)]
    if min(map(len, pools)) == 0:
        raise UserError(
            f"you asked for excerpts of {config.window} tokens",
            "no context of one split is that long",
            "lower evidence.window or give longer documents",
        )
    contexts.read(np.concatenate([pool.row for pool in pools]))
    replay = Replay(job, contexts)
    outputs, draws, disagreements = [folder / "pool.parquet"], {}, {}
    write_table(outputs[0], pool_rows(contexts, pools), POOL)
    seeded: dict[str, Choice] = {}
    by_hand: dict[str, Choice] = {}
    for name in job.dictionaries:
        sketch, _ = load_sketch(job, name)
        drawn, named = selected(job, name, sketch)
        seeded[name] = choose(job, name, sketch, drawn, contexts, pools)
        if named.features or named.dead:
            by_hand[name] = choose(job, name, sketch, named, contexts, pools)
        draws[name] = {
            "evaluated": len(drawn.features),
            "dead_met": len(drawn.dead),
            "hand_picked": len(named.features) + len(named.dead),
        }
    # Read apart: a drawn feature is seen over the same contexts whatever was picked beside it.
    read = [
        (choices, replay.firings({n: (c.read, c.rows) for n, c in choices.items()})) for choices in (seeded, by_hand)
    ]
    with progress("choosing evidence", len(seeded)) as advance:
        for name in seeded:
            both = [(choices[name], firings[name]) for choices, firings in read if name in choices]
            parts = [tables(job, name, choice, contexts, pools, firings) for choice, firings in both]
            for suffix in TABLES:
                path = folder / f"{name}{suffix}.parquet"
                write_table(path, pa.concat_tables([part[suffix] for part in parts]))
                outputs.append(path)
            disagreements[name] = sum(disagreement(contexts, choice, firings) for choice, firings in both)
            advance(1)
    log.info("  %s", ", ".join(f"{n}: {d['evaluated']} features{picked_too(d)}" for n, d in draws.items()))
    short = int((contexts.n_windows == 0).sum())
    if short:
        log.info("  %d contexts are shorter than one excerpt of %d tokens and give no evidence", short, config.window)
    return outputs, {"draws": draws, "replay_disagreements": disagreements, "contexts_without_excerpt": short}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is looked at of one dictionary: its features, where each stands in the sketch, and which contexts.

    `neighbours` [n, NEIGHBOURS] are the nearest other features by cosine.
    """

    sketch: Sketch
    drawn: Draw
    features: NDArray[np.int64]
    tracked: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def read(self) -> NDArray[np.int64]:
        """The features whose activations are read again."""
        return np.union1d(self.features, self.neighbours.ravel())


def selected(job: Job, name: str, sketch: Sketch) -> tuple[Draw, Draw]:
    """The seeded draw of a dictionary, and what was picked by hand beside it."""
    config, width, fired = job.config.evidence, job.dictionaries[name].width, sketch.fired.numpy()
    picked = config.picked.get(name, ())
    check_picked(name, width, picked)
    drawn = draw(order(job, name, width), fired, config.features)
    return drawn, beside(drawn, picked, fired)


def picked_too(drawn: dict[str, int]) -> str:
    return f" and {drawn['hand_picked']} hand-picked" if drawn["hand_picked"] else ""


def choose(job: Job, name: str, sketch: Sketch, drawn: Draw, contexts: Contexts, pools: list[Pool]) -> Choice:
    dictionary = job.dictionaries[name]
    features = np.array(drawn.features, dtype=np.int64)
    tracked = sketch.rows(torch.from_numpy(features)).numpy()
    if (tracked < 0).any():
        raise UserError(
            f"you picked feature {features[tracked < 0][0]} of {name!r}",
            f"only {len(sketch.tracked):,} of its {dictionary.width:,} features were tracked when it was collected",
            "raise collect.tracked, or delete the run's folder collect/",
        )
    k = min(NEIGHBOURS, dictionary.width - 1)
    nearest = nearest_others(dictionary.feature_vectors, features, k).index
    kept = [
        sketch.reservoir(kind, split)[0].numpy()[tracked]
        for kind in ("strongest", "uniform", "weighted")
        for split in (0, 1)
    ]
    rows = np.union1d(contexts.rows(np.concatenate(kept)), np.concatenate([pool.row for pool in pools]))
    return Choice(sketch, drawn, features, tracked, nearest, rows)


def tables(
    job: Job, name: str, choice: Choice, contexts: Contexts, pools: list[Pool], firings: Firings
) -> dict[str, pa.Table]:
    """The three tables of one dictionary, by the ending of their file's name."""
    config, sketch, drawn = job.config.evidence, choice.sketch, choice.drawn
    held = [held_in(contexts, pool) for pool in pools]
    items: list[tuple[int, Split, Item]] = []
    summary: list[dict[str, Any]] = []
    columns = (column.tolist() for column in (choice.features, choice.tracked, choice.neighbours))
    for feature, row, near in zip(*columns, strict=True):
        maximum, firing = float(sketch.max[feature]), firings.of(feature)
        prior = bin_shares(sketch.histogram[row].numpy(), maximum, config.bins)
        shares = window_shares(pools, firing, maximum, contexts.size, config.bins, prior)
        favourite = favourite_token(contexts, 0, firings, feature)
        reason = ""
        for split, split_name in enumerate(SPLITS):
            rng = job.rng("items", name, feature, split_name)
            firing_side = firing_items(contexts, config, split, firing, maximum, shares, rng)
            others = [firings.of(other) for other in near]
            holds = held[split].holding(favourite)
            silent_side = silent_items(contexts, config, pools[split], firing, others, holds, rng)
            if len(firing_side) < config.min_firing:
                reason = reason or TOO_FEW_FIRING
            elif len(silent_side) < 3:
                reason = reason or TOO_FEW_SILENT
            items += [(feature, split_name, item) for item in firing_side + silent_side]
        summary.append(
            {
                "feature": feature,
                "dead": False,
                "selected_by": drawn.selected_by,
                "n_fired": int(sketch.fired[feature]),
                "density": int(sketch.fired[feature]) / sketch.n_positions,
                "max_activation": maximum,
                "token_entropy": token_entropy(token_counts(contexts, firings, feature)),
                "base_rate": float(fires_in(pools[1], firing, contexts.size).mean()),
                "neighbours": near,
                "reason": reason,
                "histogram": sketch.histogram[row].tolist(),
            }
        )
    for feature in drawn.dead:
        nothing = {
            "n_fired": 0,
            "density": 0.0,
            "max_activation": 0.0,
            "neighbours": [],
            "reason": "never fired",
            "histogram": [],
        }
        summary.append({"feature": feature, "dead": True, "selected_by": drawn.selected_by, **nothing})
    made = (
        item_table(items),
        pa.Table.from_pylist(summary, FEATURES),
        pool_firings(pools, firings, choice.features, contexts.size),
    )
    return dict(zip(TABLES, made, strict=True))


def disagreement(contexts: Contexts, choice: Choice, firings: Firings) -> int:
    """Strongest contexts in which replay does not find the feature firing (padding, low precision)."""
    missing = 0
    kept = [choice.sketch.reservoir("strongest", split)[0] for split in (0, 1)]
    for feature, at in zip(choice.features.tolist(), choice.tracked.tolist(), strict=True):
        fired = set(contexts.id[np.unique(firings.of(feature)[0])].tolist())
        for identifiers in kept:
            missing += sum(identifier not in fired for identifier in identifiers[at].tolist() if identifier >= 0)
    return missing


def item_table(chosen: Sequence[tuple[int, Split, Item]]) -> pa.Table:
    """Items with their feature and split, column by column: as rows they would take as long as to be chosen."""
    of_items = {name: [getattr(item, name) for _, _, item in chosen] for name in ("stratum", "fires", "weight")}
    excerpts = [item.excerpt for _, _, item in chosen]
    grids = [excerpt.grid and as_row(excerpt.grid) for excerpt in excerpts]
    of_excerpts = {field.name: [getattr(excerpt, field.name) for excerpt in excerpts] for field in fields(Excerpt)}
    features, splits = ([one[at] for one in chosen] for at in (0, 1))
    return pa.table({"feature": features, "split": splits} | of_items | of_excerpts | {"grid": grids}, ITEMS)


def pool_rows(contexts: Contexts, pools: list[Pool]) -> list[dict[str, Any]]:
    return [
        {"split": split, **as_row(contexts.excerpt(int(r), int(w)))}
        for split, pool in zip(SPLITS, pools, strict=True)
        for r, w in zip(pool.row, pool.window, strict=True)
    ]


def pool_firings(pools: list[Pool], firings: Firings, features: NDArray[np.int64], size: NDArray[np.int64]) -> pa.Table:
    """Every firing of the evaluated features in the pool; `window` is the row of pool.parquet."""
    key = np.concatenate([pool.key for pool in pools])
    by_key = np.argsort(key)
    own = np.isin(firings.feature, features)
    row, position = firings.row[own], firings.position[own]
    wanted = window_key(row, position, size)
    at = by_key[np.minimum(np.searchsorted(key, wanted, sorter=by_key), len(key) - 1)]
    inside = key[at] == wanted
    found = (firings.feature[own], at, position % size[row], firings.activation[own])
    return pa.table(dict(zip(POOL_FIRINGS.names, (column[inside] for column in found), strict=True)), POOL_FIRINGS)
