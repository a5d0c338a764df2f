"""What the subject loses when a dictionary's reconstruction stands in for the hook's output."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from autointerp.collect.prepare import Prepared
from autointerp.dictionaries import Dictionary
from autointerp.job import Job, Site
from autointerp.progress import progress
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.subject import At

Read = tuple[list[int], bytes | None]  # the tokens of a context and its picture


def losses(job: Job, prepared: Prepared) -> dict[str, dict[str, list[float]]]:
    """Next-token losses of some contexts, drawn by seed, by dictionary: lists with one entry a context.

    `clean` is the subject's own loss, `substituted` with the reconstruction, `ablated` with 0 in its place; all are
    sums in nats over the `positions` counted ones whose next token is known. Only counted positions are replaced.
    Empty for a subject without a loss, and without the transcoders, whose output belongs elsewhere.
    """
    names = [name for name, dictionary in job.dictionaries.items() if not dictionary.transcoder]
    if not job.subject.has_loss or not job.config.collect.loss_contexts or not names:
        return {}
    contexts = draw(job, prepared)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    sites = sorted({job.sites[name] for name in names})
    size = job.config.collect.batch_size
    with progress("measuring loss", (2 * len(sites) + len(names)) * len(contexts)) as advance:

        def measure(site: Site, replace: Callable[[Tensor], Tensor]) -> Tensor:
            parts = []
            for _, same in groupby(contexts, key=lambda read: read[1] is not None):
                alike = list(same)
                for start in range(0, len(alike), size):
                    batch = alike[start : start + size]
                    parts.append(one_batch(job, prepared, batch, site, replace))
                    advance(len(batch))
            return torch.cat(parts)

        for site in sites:
            clean, ablated = measure(site, lambda x: x), measure(site, torch.zeros_like)
            # What the subject itself says nothing about (NaN behind one of its own) is left out, and only that.
            known = ~clean.isnan()
            for name in (n for n in names if job.sites[n] == site):
                substituted = measure(site, reconstruct(job.dictionaries[name]))
                found[name] = {
                    "clean": sums(clean, known),
                    "substituted": sums(substituted, known),
                    "ablated": sums(ablated, known),
                    "positions": known.sum(1).tolist(),
                }
    return found


def sums(loss: Tensor, known: Tensor) -> list[float]:
    """The sum over the known positions of each context; nan where the loss is nan at one of them."""
    return torch.where(known, loss, 0.0).sum(1).tolist()


def draw(job: Job, prepared: Prepared) -> list[Read]:
    """Tokens and pictures of `loss_contexts` contexts, a seeded choice of all; those with a picture come last."""
    n = min(job.config.collect.loss_contexts, prepared.offsets[-1])
    rows = np.sort(job.rng("loss").permutation(prepared.offsets[-1])[:n])
    found: list[Read] = []
    with pq.ParquetFile(job.directory / "collect" / "contexts.parquet") as file:
        for shard in prepared.shards:
            first, end = prepared.offsets[shard : shard + 2]
            inside = rows[(rows >= first) & (rows < end)] - first
            if len(inside):
                table = file.read_row_group(shard, ["tokens", "image"]).take(inside)
                found += zip(table["tokens"].to_pylist(), table["image"].to_pylist(), strict=True)
    return sorted(found, key=lambda read: read[1] is not None)


def reconstruct(dictionary: Dictionary) -> Callable[[Tensor], Tensor]:
    def replace(x: Tensor) -> Tensor:
        return dictionary.decode_sparse(*dictionary.encode_sparse(x), len(x), x)

    return replace


def one_batch(
    job: Job, prepared: Prepared, batch: Sequence[Read], site: Site, replace: Callable[[Tensor], Tensor]
) -> Tensor:
    """Losses in nats, float64 [n, length - 1], with the counted outputs x [m, d] of the site replaced.

    The output at a position predicts the next token: nan where a position does not count or has none.
    """
    subject = job.shuffled_subject if site.shuffled else job.subject
    rule = PositionRule(job.config.positions, subject, prepared.limits)
    tokens = [ids for ids, _ in batch]
    seen: dict[str, Any] = {}

    def edit(hidden: Tensor, _: At) -> Tensor:
        mask = seen["mask"] = rule.mask(tokens, hidden, str(site))
        changed = hidden.clone()
        changed[mask] = replace(hidden[mask].float()).to(hidden.dtype)
        return changed

    loss = subject.losses(tokens, job.length, {site.hook: edit}, [image or b"" for _, image in batch])
    return loss.double().masked_fill(~seen["mask"][:, :-1], torch.nan).cpu()
