"""From contexts to sketches: prepare, fold every shard that is not done yet, merge, write one file per dictionary."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

from autointerp.collect import cluster, collector
from autointerp.collect.loss import losses
from autointerp.collect.parts import DamagedPart, Part, tree
from autointerp.collect.prepare import Prepared, differences, inputs, prepare, written
from autointerp.collect.sketch import Sketch
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.measure.dictionaries import Figures
from autointerp.progress import log, progress
from autointerp.store import atomic

LOCAL = "local"  # the label of the part of a run that is neither one of several workers nor on a cluster

__all__ = ["collect_part", "inputs", "load_figures", "load_sketch", "run"]


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Collect what no part holds yet and merge; return (outputs, facts)."""
    prepared = prepare(job)
    parts = durable_parts(job, prepared)
    done = {shard for part in parts.values() for shard in part.shards}
    missing = [shard for shard in prepared.shards if shard not in done]
    if parts:
        log.info("  %d of %d shards were already folded in", len(done), len(prepared.shards))
    if missing and job.config.collect.engine == "ray":
        parts["ray"] = cluster.collect(job, prepared, missing)
    elif missing:
        # An interrupted part goes on, so that its sums are added up in the order of one that was not.
        parts[LOCAL] = collect_local(job, prepared, missing, parts.get(LOCAL), LOCAL)
    whole = tree(sorted(parts.values(), key=lambda part: part.shards))
    return write(job, prepared, whole)


def collect_part(job: Job, index: int, count: int) -> None:
    """The shards of worker `index` (from 1) of `count`, made durable as a part; `run` merges what all workers left."""
    prepared = prepare(job)
    if count > len(prepared.shards):
        log.info("  there are %d shards, so some of %d workers have none", len(prepared.shards), count)
    label = f"{index}-of-{count}"
    path = part_path(job, label)
    part = None
    if path.exists():
        try:
            part = read_part(path, prepared)
        except DamagedPart as error:
            log.warning("  %s", error)
    missing = [s for s in prepared.shards if s % count == index - 1 and (part is None or s not in part.shards)]
    if missing:
        collect_local(job, prepared, missing, part, label)
    log.info("part %s is done; when all are, run `autointerp collect` without --shard", label)


def collect_local(job: Job, prepared: Prepared, shards: Sequence[int], part: Part | None, label: str) -> Part:
    n = sum(prepared.offsets[shard + 1] - prepared.offsets[shard] for shard in shards)

    def keep(part: Part) -> None:
        part.save(part_path(job, label), prepared.inputs)
        job.directory.publish()

    with progress("collecting contexts", n) as advance:
        return collector.collect(job, prepared, shards, part or collector.empty_part(job, prepared), keep, advance)


def part_path(job: Job, label: str) -> Path:
    return job.directory / "collect" / "parts" / f"{label}.safetensors"


def durable_parts(job: Job, prepared: Prepared) -> dict[str, Part]:
    """The parts on disk, by label. A damaged one is done again; two that hold the same shard are refused."""
    found: dict[str, Part] = {}
    owner: dict[int, Path] = {}
    for path in sorted((job.directory / "collect" / "parts").glob("*.safetensors")):
        try:
            part = read_part(path, prepared)
        except DamagedPart as error:
            log.warning("  %s", error)
            path.unlink()
            continue
        for shard in part.shards:
            if shard in owner:
                raise UserError(
                    f"you asked to merge the parts in {path.parent}",
                    f"{owner[shard].name} and {path.name} both hold shard {shard}",
                    "delete one of them",
                )
            owner[shard] = path
        found[path.stem] = part
    return found


def read_part(path: Path, prepared: Prepared) -> Part:
    """Raises UserError where the part was made from something else, and names it."""
    part, made_from = Part.load(path)
    changed = differences(made_from, prepared.inputs)
    if changed:
        raise UserError(
            f"you asked to merge {path}",
            f"it was collected before {', '.join(changed)} changed",
            "put that back, or delete the part",
        )
    return part


def write(job: Job, prepared: Prepared, whole: Part) -> tuple[list[Path], dict[str, Any]]:
    folder = job.directory / "collect"
    outputs = list(written(job).values())
    collector.check(job, whole)
    measured = losses(job, prepared)
    for name, sketch in whole.sketches.items():
        dictionary, totals, site = job.dictionaries[name], whole.totals[name], str(job.sites[name])
        moments = whole.moments[site]
        convention = {**dictionary.convention, "hook": site}
        if like := job.config.dictionaries[name].like:
            convention["held against"] = like
        if totals.negative:
            share = totals.negative / totals.nonzeros
            convention["negative values"] = f"{share:.2%} of nonzeros: in L0 and reconstruction, not firings"
        if totals.not_finite:
            convention["not finite"] = f"{totals.not_finite:,} activations, left out"
        figures = {
            "l0": totals.l0(moments),
            "explained_variance": totals.explained_variance(moments),
            "n_positions": moments.n,
            "losses": measured.get(name),
            "convention": convention,
        }
        path = folder / f"{name}.safetensors"
        with atomic(path) as temporary:
            save_file(sketch.state(), temporary, metadata={"figures": json.dumps(figures)})
        outputs.append(path)
    # Sites differ in what is too loud or broken; the one that lost most speaks for all.
    site, fewest = min(whole.moments.items(), key=lambda item: (item[1].n, item[0]))
    facts: dict[str, Any] = {
        "counts": {**prepared.counts, "positions": fewest.n},
        "masked": dict(sorted(fewest.masked.items())),
        "masked_at": site,
        "norm_limits": prepared.limits,
        "refused": prepared.refused,
        "split_hash": prepared.split_hash,
        "shards": len(prepared.shards),
    }
    log.info("  %s", ", ".join(f"{k} {v:,}" for k, v in {**facts["counts"], **facts["masked"]}.items()))
    return outputs, facts


def load_sketch(job: Job, name: str) -> tuple[Sketch, dict[str, Any]]:
    """A collected sketch and the whole-dictionary figures beside it."""
    path = job.directory / "collect" / f"{name}.safetensors"
    with safe_open(path, framework="pt") as handle:
        figures = json.loads(handle.metadata()["figures"])
        state = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118  # not a mapping
    return Sketch.from_state(state), figures


def load_figures(job: Job, name: str) -> tuple[Figures, dict[str, str]]:
    """What collection says of a whole dictionary, and the convention by which it was read."""
    sketch, figures = load_sketch(job, name)
    lost = figures["losses"]
    return (
        Figures(
            sketch.width,
            int((sketch.fired == 0).sum()),
            figures["l0"],
            figures["explained_variance"],
            figures["n_positions"],
            sketch.n_documents,
            {kind: np.array(values) for kind, values in lost.items()} if lost else None,
        ),
        figures["convention"],
    )
