"""What all workers of a run agree on before the first forward pass over the corpus.

The contexts, drawn once and cut into shards (a row group each, no document in two); the norm limit of every site; the
controls that have to be fitted. Whoever comes first writes it down, under a lock; the others read it.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from autointerp import assets, plugins
from autointerp.config import LLMExplainer, LLMScorer
from autointerp.corpus import sources
from autointerp.corpus import text as corpus
from autointerp.dictionaries import Dictionary, controls, form_of, hub
from autointerp.errors import UserError
from autointerp.job import Job, Site
from autointerp.llm import capabilities
from autointerp.records import Context, Grid
from autointerp.store import GRID, atomic, digest, digest_of, write_text
from autointerp.subjects.positions import PositionRule

CALIBRATION_CONTEXTS = 32  # the norm limit is read off so many, whatever the batch size, so that batches cannot move it
FITTING_CONTEXTS = 64  # controls are fitted on so many
FITTED = ("neurons", "pca", "random", "density_matched")  # controls that need the hook's output
SHARD_BYTES = 64 * 2**20  # of pictures, before a shard ends: it is held in memory
CONTEXTS = pa.schema(
    [
        ("id", pa.int64()),
        ("document", pa.int64()),
        ("name", pa.string()),
        ("split", pa.string()),
        ("length", pa.int32()),
        ("tokens", pa.list_(pa.int32())),
        ("pieces", pa.list_(pa.string())),
        ("image", pa.binary()),
        ("grid", GRID),
        ("label", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`offsets` are the first context of each shard and the end; `limits` the norm limits by site.

    `picked` are the features that were hand-picked then, by dictionary; later picks need not be tracked. `refused` are
    names of pictures that could not be read, by reason. `files` are the hashes of what was written beside it.
    """

    inputs: dict[str, str]
    offsets: tuple[int, ...]
    limits: dict[str, float]
    picked: dict[str, tuple[int, ...]]
    counts: dict[str, int]
    refused: dict[str, list[str]]
    split_hash: str
    files: dict[str, str]

    @property
    def shards(self) -> range:
        return range(len(self.offsets) - 1)


def inputs(job: Job) -> dict[str, str]:
    """What collection depends on, by name. Batch size, device, engine and cache change no result and are not here."""
    config = job.config
    collect = config.collect
    found = {
        "autointerp": assets.version(),
        "subject": digest_of([config.subject.model, config.subject.dtype, fingerprint(config.subject.model)]),
        "corpus settings": digest_of(config.corpus.model_dump()),
        "positions": digest_of(config.positions.model_dump()),
        "collect": digest_of(
            [config.seed, collect.keep, collect.tracked, collect.shard_contexts, collect.loss_contexts, collect.gate]
        ),
    }
    found |= {f"corpus file {origin}": value for origin, value in sources.fingerprints(config.corpus.path).items()}
    for path in config.corpus.trained_on:
        files = sources.fingerprints(path).items()
        found |= {f"file {origin} of {path} (trained_on)": value for origin, value in files}
    for name, entry in config.dictionaries.items():
        origin = config.dictionaries[entry.like or name]
        found[f"dictionary {name}"] = digest_of([origin.hook, entry.control, content_of(str(origin.path))])
    paths = [entry.path for entry in config.dictionaries.values() if entry.path is not None]
    return found | plugins.added(plugins.FORMAT, (form_of(hub.find(path), path).name for path in paths))


def fingerprint(model: str) -> str:
    """The content behind a local model; a hub id stands for itself."""
    location = assets.locate(model)
    return model if location is None else digest(location)


def content_of(name: str) -> str:
    """What is behind a dictionary's name: a commit of the hub, or files; a single file is read with configs near it."""
    location = hub.find(name)
    if hub.source(location):
        return hub.source(location)
    near = [location.with_name("cfg.json"), location.with_name("config.json"), location.parent.parent / "config.json"]
    read = [location, *(path for path in near if location.is_file() and path.exists())]
    return digest_of([digest(path) for path in read])


def prepare(job: Job) -> Prepared:
    """Read what was prepared from the same inputs, or draw, calibrate and fit, after clearing what others left."""
    folder = job.directory / "collect"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = inputs(job)
    with FileLock(folder.with_name("collect.lock")):
        found = read(folder)
        if found is None or found.inputs != wanted:
            if found is not None:
                refuse_to_drop(job, found, ", ".join(differences(found.inputs, wanted)))
            shutil.rmtree(folder)  # what other inputs left
        elif all(path.exists() and digest(path) == found.files[name] for name, path in written(job).items()):
            return found
        drawn = draw_contexts(job, folder / "contexts.parquet", folder / "scratch")
        counts, refused, offsets, split_hash = drawn
        if counts.get("pictures"):
            refuse_blind(job)
        first = first_of_documents(read_contexts(folder / "contexts.parquet", range(len(offsets) - 1)))
        limits = calibrate(job, first)
        fit_controls(job, first, limits)
        files = {name: digest(path) for name, path in written(job).items()}
        made = Prepared(wanted, tuple(offsets), limits, job.config.evidence.picked, counts, refused, split_hash, files)
        write_text(folder / "prepared.json", json.dumps(asdict(made), indent=1) + "\n")
        job.directory.publish()
        return made


def refuse_blind(job: Job) -> None:
    """A model that would be shown pictures and cannot see: better said now than when its first request is made."""
    for name, role in job.config.roles.items():
        if isinstance(role, LLMExplainer | LLMScorer) and capabilities.blind(role):
            raise UserError(
                f"you asked for the {name} by {role.model}",
                "the corpus has pictures and it is not known to take images",
                "name a model with vision, or say in capabilities of the role that it can",
            )


def refuse_to_drop(job: Job, found: Prepared, changed: str) -> None:
    """What was collected in part is worth a question; a finished collection is simply made anew."""
    record = job.directory.records().get("collect")
    finished = record is not None and not differences(found.inputs, record.inputs)
    if not finished and any((job.directory / "collect" / "parts").glob("*.safetensors")):
        raise UserError(
            f"you asked to go on with {job.directory.path}",
            f"since it was begun, {changed} changed, and some of its shards are collected",
            f"put that back, give the run another name, or delete {job.directory / 'collect'}",
        )


def written(job: Job) -> dict[str, Path]:
    """What `prepare` writes beside its own record, by name."""
    folder = job.directory / "collect"
    names = [name for name, entry in job.config.dictionaries.items() if entry.control in FITTED]
    return {
        "contexts": folder / "contexts.parquet",
        **{name: folder / "controls" / f"{name}.safetensors" for name in names},
    }


def read(folder: Path) -> Prepared | None:
    try:
        content: dict[str, Any] = json.loads((folder / "prepared.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Prepared(**{**content, "offsets": tuple(content["offsets"])})


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def draw_contexts(job: Job, path: Path, scratch: Path) -> tuple[dict[str, int], dict[str, list[str]], list[int], str]:
    """Write the contexts, a row group a shard.

    Returns (counts, names of refused pictures by reason, offsets of the shards, a hash of the split).
    """
    config = job.config
    counts: dict[str, int] = {}
    refused: dict[str, list[str]] = {}
    offsets, split_hash = [0], hashlib.sha256()
    rows: list[dict[str, Any]] = []
    pictures = 0  # bytes of them in the rows
    stream = corpus.draw(config.corpus, job.subject, job.hooks, config.seed, counts, refused, scratch)
    with (
        closing(stream),
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, CONTEXTS, compression="zstd") as writer,
    ):

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema=CONTEXTS), row_group_size=len(rows))
            offsets.append(offsets[-1] + len(rows))
            rows.clear()

        for drawn in stream:
            context = drawn.context
            full = len(rows) >= config.collect.shard_contexts or pictures >= SHARD_BYTES
            if full and rows[-1]["document"] != context.document:
                flush()
                pictures = 0
            pictures += len(context.image)
            rows.append(
                {
                    "id": context.id,
                    "document": context.document,
                    "name": drawn.name,
                    "split": context.split,
                    "length": len(context.tokens),
                    "tokens": context.tokens,
                    "pieces": drawn.pieces,
                    "image": context.image or None,
                    "grid": asdict(context.grid) if context.grid else None,
                    "label": drawn.label,
                }
            )
            split_hash.update(f"{context.document:016x}{context.split}".encode())
        flush()
    return counts, refused, offsets, split_hash.hexdigest()


def read_contexts(path: Path, shards: range | list[int]) -> Iterator[Context]:
    with pq.ParquetFile(path) as file:
        for shard in shards:
            table = file.read_row_group(shard, ["id", "document", "split", "tokens", "image", "grid"])
            for row in table.to_pylist():
                grid = Grid(**row["grid"]) if row["grid"] else None
                yield Context(row["id"], row["document"], row["split"], tuple(row["tokens"]), row["image"] or b"", grid)


def first_of_documents(contexts: Iterator[Context]) -> list[Context]:
    """The first context of each of the first documents, and more of these where there are not enough documents."""
    found: list[Context] = []
    others: list[Context] = []
    for context in contexts:
        known = bool(found) and context.document == found[-1].document
        (others if known else found).append(context)
        if len(found) == FITTING_CONTEXTS:
            return found
        del others[FITTING_CONTEXTS:]
    return [*found, *others][:FITTING_CONTEXTS]


def calibrate(job: Job, first: list[Context]) -> dict[str, float]:
    """The norm limit of every site, off the first contexts. Refuses a dictionary that cannot read its site."""
    rule = PositionRule(job.config.positions, job.subject)
    first = first[:CALIBRATION_CONTEXTS]
    tokens = [context.tokens for context in first]
    hidden = hidden_of(job, first, set(job.sites.values()))
    for name, dictionary in job.originals.items():
        check_fit(name, dictionary, job.sites[name], hidden[job.sites[name]])
    for site, output in hidden.items():
        rule.calibrate(tokens, output, str(site))
    return rule.limits


def check_fit(name: str, dictionary: Dictionary, site: Site, hidden: Tensor) -> None:
    if hidden.shape[2] != dictionary.d_in:
        raise UserError(
            f"you asked for the dictionary {name!r} at {site}",
            f"it reads {dictionary.d_in} dimensions and the hook gives {hidden.shape[2]}",
            "choose the hook it was trained on",
        )


def fit_controls(job: Job, first: list[Context], limits: dict[str, float]) -> None:
    """Fit the controls that need the hook's output, on the counted positions of the first contexts."""
    wanted = {name: entry for name, entry in job.config.dictionaries.items() if entry.control in FITTED}
    if not wanted:
        return
    tokens = [context.tokens for context in first]
    rule = PositionRule(job.config.positions, job.subject, limits)
    hidden = hidden_of(job, first, {job.sites[name] for name in wanted})
    for name, entry in wanted.items():
        site, like = job.sites[name], job.originals[str(entry.like)]
        x = hidden[site][rule.mask(tokens, hidden[site], str(site))].float()
        if not len(x):
            raise UserError(
                f"you asked for the control {name!r}",
                f"no position of the first {len(first)} contexts counts at {site}",
                "check the subject and what positions leaves out",
            )
        seed = int(job.rng("control", name).integers(2**62))
        if entry.control == "random":
            fitted = controls.random(like, x, seed)
        elif entry.control == "density_matched":
            fitted = controls.density_matched(like, x, seed)
        else:
            fitted = (controls.pca if entry.control == "pca" else controls.neurons)(like, x)
        with atomic(job.directory / "collect" / "controls" / f"{name}.safetensors") as temporary:
            controls.save(fitted, temporary)


def hidden_of(job: Job, contexts: Sequence[Context], sites: set[Site]) -> dict[Site, Tensor]:
    """Hook outputs of some contexts at once, batch by batch."""
    size = job.config.collect.batch_size
    batches = [contexts[start : start + size] for start in range(0, len(contexts), size)]
    parts = [job.hidden([c.tokens for c in batch], sites, [c.image for c in batch]) for batch in batches]
    return {site: torch.cat([part[site] for part in parts]) for site in sites}
