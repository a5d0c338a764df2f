"""The one pass: forward to the deepest hook, encode with every dictionary, fold into sketches."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from autointerp import assets
from autointerp.collect.sketch import Sketch
from autointerp.corpus import text as corpus
from autointerp.dictionaries import Dictionary
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.measure.dictionaries import Figures
from autointerp.measure.statistics import explained_variance
from autointerp.progress import log, progress
from autointerp.records import SPLITS, Context
from autointerp.store import atomic, digest, digest_of, write_table
from autointerp.subjects.positions import PositionRule

# The norm limit is read off this many contexts, whatever the batch size, so that batches cannot change it.
CALIBRATION_CONTEXTS = 32
CONTEXTS = pa.schema(
    [
        ("id", pa.int64()),
        ("document", pa.int64()),
        ("name", pa.string()),
        ("split", pa.string()),
        ("tokens", pa.list_(pa.int32())),
        ("pieces", pa.list_(pa.string())),
    ]
)


@dataclass
class Moments:
    """Sums over the counted positions of one hook, float64."""

    n: int
    sum_x: Tensor  # [d]
    sum_sq: float  # of |x|^2

    def add(self, x: Tensor) -> None:
        wide = x.double()
        self.n += len(x)
        self.sum_x += wide.sum(0).cpu()
        self.sum_sq += float(wide.square().sum())


@dataclass
class Totals:
    """Sums over the counted positions of one dictionary's hook, float64."""

    moments: Moments
    nonzeros: int = 0
    residual_sq: float = 0.0  # of |x - x_hat|^2

    @property
    def l0(self) -> float:
        return self.nonzeros / max(self.moments.n, 1)

    @property
    def explained_variance(self) -> float:
        moments = self.moments
        return explained_variance(moments.sum_x.numpy(), moments.sum_sq, moments.n, self.residual_sq)


def inputs(job: Job) -> dict[str, str]:
    """What collection depends on. Batch size, device and cache do not change a result and so are not here."""
    config = job.config
    found = {
        "subject": digest_of([config.subject.model, config.subject.dtype, fingerprint(config.subject.model)]),
        "corpus": digest_of([config.corpus.model_dump(), [digest(p) for p in corpus_files(config.corpus.path)]]),
        "trained_on": digest_of([digest(p) for path in config.corpus.trained_on for p in corpus_files(path)]),
        "positions": digest_of(config.positions.model_dump()),
        "collect": digest_of([config.collect.keep, config.seed, config.collect.gate]),
    }
    for name, entry in config.dictionaries.items():
        found[f"dictionary {name}"] = digest_of([entry.hook, fingerprint(entry.path)])
    return found


def corpus_files(path: str) -> list[Path]:
    return corpus.files(path)


def fingerprint(name: str) -> str:
    """The content behind a name. A dictionary given as one file is read with the config beside it."""
    location = assets.locate(name)
    if location is None:
        return name
    beside = [location.with_name(other) for other in ("cfg.json", "config.json")] if location.is_file() else []
    return digest_of([digest(path) for path in (location, *beside) if path.exists()])


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Collect, write one file per dictionary and the table of contexts; return (outputs, facts)."""
    config, directory = job.config, job.directory
    drawn = corpus.build(config.corpus, job.subject, config.seed)
    hooks = sorted(set(job.hooks.values()))
    sketches = {
        name: Sketch(dictionary.width, config.seed, config.collect.keep)
        for name, dictionary in job.dictionaries.items()
    }
    moments = {
        job.hooks[name]: Moments(0, torch.zeros(dictionary.d_in, dtype=torch.float64), 0.0)
        for name, dictionary in job.dictionaries.items()
    }
    totals = {name: Totals(moments[job.hooks[name]]) for name in job.dictionaries}
    rule = PositionRule(config.positions, job.subject)
    cache = HiddenCache.create(job, len(drawn.contexts), hooks)
    masks = {hook: np.zeros((len(drawn.contexts), config.corpus.context_length), dtype=bool) for hook in hooks}

    with progress("collecting contexts", len(drawn.contexts)) as advance:
        for start, batch, hidden in batches(job, drawn.contexts, hooks, rule):
            stop = start + len(batch)
            for hook in hooks:
                mask = rule.mask([context.tokens for context in batch], hidden[hook], hook)
                masks[hook][start:stop] = mask.cpu().numpy()
                cache.write(hook, start, hidden[hook])
                x = hidden[hook][mask].float()
                moments[hook].add(x)
                for name in (n for n, h in job.hooks.items() if h == hook):
                    fold(job.dictionaries[name], sketches[name], totals[name], batch, mask, x)
            advance(len(batch))

    if config.collect.gate:
        for name, dictionary in job.dictionaries.items():
            gate(name, dictionary, totals[name])
    outputs = [directory / "collect" / "contexts.parquet"]
    rows = (
        {"id": c.id, "document": c.document, "name": name, "split": c.split, "tokens": c.tokens, "pieces": pieces}
        for c, pieces, name in zip(drawn.contexts, drawn.pieces, drawn.names, strict=True)
    )
    write_table(outputs[0], list(rows), CONTEXTS)
    for name, sketch in sketches.items():
        path = directory / "collect" / f"{name}.safetensors"
        figures = {
            "l0": totals[name].l0,
            "explained_variance": totals[name].explained_variance,
            "n_positions": totals[name].moments.n,
            "convention": {**job.dictionaries[name].convention, "hook": job.hooks[name]},
        }
        with atomic(path) as temporary:
            save_file(sketch.state(), temporary, metadata={"figures": json.dumps(figures)})
        outputs.append(path)
    path = directory / "collect" / "positions.safetensors"
    with atomic(path) as temporary:
        save_file({hook: torch.from_numpy(mask) for hook, mask in masks.items()}, temporary)
    outputs.append(path)
    cache.close()  # only now: a cache of contexts that no table holds would be read as that of others
    split_hash = digest_of(sorted({(name, c.split) for c, name in zip(drawn.contexts, drawn.names, strict=True)}))
    facts: dict[str, Any] = {
        "counts": {**drawn.counts, "positions": max(m.n for m in moments.values())},
        "masked": {reason: count // len(hooks) for reason, count in sorted(rule.masked.items())},
        "norm_limits": rule.limits,
        "split_hash": split_hash,
    }
    log.info("  %s", ", ".join(f"{k} {v:,}" for k, v in {**facts["counts"], **facts["masked"]}.items()))
    return outputs, facts


def batches(
    job: Job, contexts: tuple[Context, ...], hooks: list[str], rule: PositionRule
) -> Iterator[tuple[int, list[Context], dict[str, Tensor]]]:
    """Forward passes in order. The first contexts are held back until the norm limit has been read off them."""
    size = job.config.collect.batch_size
    held: list[tuple[int, list[Context], dict[str, Tensor]]] = []
    for start in range(0, len(contexts), size):
        batch = list(contexts[start : start + size])
        hidden = job.subject.hidden([c.tokens for c in batch], job.config.corpus.context_length, hooks)
        for name, hook in job.hooks.items():
            check_fit(name, job.dictionaries[name], hook, hidden[hook])
        held.append((start, batch, hidden))
        if start + size >= min(CALIBRATION_CONTEXTS, len(contexts)):
            first = [c.tokens for _, part, _ in held for c in part][:CALIBRATION_CONTEXTS]
            for hook in hooks:
                if hook not in rule.limits:
                    rule.calibrate(first, torch.cat([h[hook] for _, _, h in held])[:CALIBRATION_CONTEXTS], hook)
            yield from held
            held = []


def check_fit(name: str, dictionary: Dictionary, hook: str, hidden: Tensor) -> None:
    if dictionary.signed:
        raise UserError(
            f"you asked for the dictionary {name!r}",
            "its activations can be negative, and a sketch holds positive ones",
            "use a dictionary whose activation ends in a relu",
        )
    if hidden.shape[2] != dictionary.d_in:
        raise UserError(
            f"you asked for the dictionary {name!r} at {hook}",
            f"it reads {dictionary.d_in} dimensions and the hook gives {hidden.shape[2]}",
            "choose the hook it was trained on",
        )


def fold(dictionary: Dictionary, sketch: Sketch, totals: Totals, batch: list[Context], mask: Tensor, x: Tensor) -> None:
    """Encode the counted positions x [n, d] of one batch, where mask [contexts, length] holds, and fold them in."""
    context = torch.tensor([c.id for c in batch])
    split = torch.tensor([SPLITS.index(c.split) for c in batch], dtype=torch.int8)
    sketch.seen(context, mask.sum(1).cpu(), split, torch.tensor([c.document for c in batch]))
    rows, features, values = dictionary.encode_sparse(x)
    totals.nonzeros += len(rows)
    if dictionary.transcoder:
        # It reconstructs another site, which is not collected here, so a residual would mean nothing.
        totals.residual_sq = float("nan")
    else:
        residual = x - dictionary.decode_sparse(rows, features, values, len(x), x)
        totals.residual_sq += float(torch.linalg.vector_norm(residual, dtype=torch.float64) ** 2)
    activation = values * dictionary.feature_norms[features]
    firing = activation > 0  # a feature with a zero decoder row writes nothing, so it never fires
    rows, features, activation = rows[firing], features[firing].cpu(), activation[firing].cpu()
    owner, position = (index.cpu() for index in mask.nonzero()[rows].T)
    sketch.update(context[owner], position, features, activation, split[owner])


def gate(name: str, dictionary: Dictionary, totals: Totals) -> None:
    """Refuse a dictionary that real activations show to be misread: a wrong b_dec, norm or orientation trips this."""
    if totals.explained_variance <= 0:
        raise UserError(
            f"you asked for the dictionary {name!r}",
            f"it explains {totals.explained_variance:.2f} of the variance of the hook's output, less than nothing",
            "check that hook and dictionary belong together, or set collect.gate = false",
        )
    expected = dictionary.expected_l0
    if expected and not expected / 2 <= totals.l0 <= expected * 2:
        raise UserError(
            f"you asked for the dictionary {name!r}",
            f"{totals.l0:.1f} features fire at a position where its config says {expected:g}",
            "check that hook and dictionary belong together, or set collect.gate = false",
        )


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
    dead = int((sketch.fired == 0).sum())
    return (
        Figures(
            sketch.width, dead, figures["l0"], figures["explained_variance"], figures["n_positions"], sketch.n_documents
        ),
        figures["convention"],
    )


class HiddenCache:
    """Hook outputs on disk, float32 [contexts, length, d] per hook, as far as they fit the budget; else nothing.

    Only a saving: replay runs the subject again where there is no cache. Not an output of the stage.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int] | None) -> None:
        self.folder, self.shape = folder, shape
        self.arrays: dict[str, np.memmap[Any, Any]] = {}

    @classmethod
    def create(cls, job: Job, n_contexts: int, hooks: list[str]) -> "HiddenCache":
        d = next(iter(job.dictionaries.values())).d_in
        shape = (n_contexts, job.config.corpus.context_length, d)
        fits = 4 * float(np.prod(shape)) * len(hooks) <= job.config.collect.cache_gb * 2**30
        same = all(dictionary.d_in == d for dictionary in job.dictionaries.values())
        folder = job.directory / "collect" / "hidden"
        for old in folder.glob("*"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, shape if fits and same else None)

    def write(self, hook: str, start: int, hidden: Tensor) -> None:
        if self.shape is None:
            return
        if hook not in self.arrays:
            path = self.folder / f"{hook}.partial"
            self.arrays[hook] = np.lib.format.open_memmap(path, "w+", np.float32, self.shape)
        self.arrays[hook][start : start + len(hidden)] = hidden.float().cpu().numpy()

    def close(self) -> None:
        for hook, array in self.arrays.items():
            array.flush()
            (self.folder / f"{hook}.partial").rename(self.folder / f"{hook}.npy")
