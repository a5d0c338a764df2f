"""The one pass: forward to the deepest hook, encode with every dictionary, fold into sketches, shard by shard."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from autointerp.collect import draw
from autointerp.collect.parts import Moments, Part, Totals
from autointerp.collect.prepare import Prepared, read_contexts
from autointerp.collect.sketch import Sketch
from autointerp.dictionaries import Dictionary
from autointerp.errors import UserError
from autointerp.job import Job, Site
from autointerp.records import SPLITS, Context
from autointerp.subjects.positions import PositionRule

ENOUGH = 10_000  # positions that a verdict before the end needs: some small shard is always worse than the corpus
MAX_NEGATIVE = 0.05  # of a dictionary's nonzeros; the rest of a larger share would be evaluated as if it were all


def empty_part(job: Job, prepared: Prepared) -> Part:
    config = job.config
    sketches, d_in = {}, {}
    for name, dictionary in job.dictionaries.items():
        tracked = draw.tracked(job, name, dictionary.width, prepared.picked.get(name, ()))
        sketches[name] = Sketch(dictionary.width, config.seed, config.collect.keep, torch.from_numpy(tracked))
        d_in[str(job.sites[name])] = dictionary.d_in
    moments = {site: Moments(torch.zeros(d, dtype=torch.float64)) for site, d in d_in.items()}
    return Part([], sketches, {name: Totals() for name in sketches}, moments)


def collect(
    job: Job,
    prepared: Prepared,
    shards: Iterable[int],
    part: Part,
    keep: Callable[[Part], None],
    advance: Callable[[int], None],
) -> Part:
    """Fold shards into a part. `keep` makes it durable after each of them; `advance` is told of contexts done."""
    sites = sorted(set(job.sites.values()))
    rules = {site: PositionRule(job.config.positions, job.subject, prepared.limits) for site in sites}
    for shard in shards:
        contexts = list(read_contexts(job.directory / "collect" / "contexts.parquet", [shard]))
        cache = HiddenCache(job, prepared, shard)
        for start in range(0, len(contexts), job.config.collect.batch_size):
            batch = contexts[start : start + job.config.collect.batch_size]
            hidden = job.hidden([context.tokens for context in batch], sites, [context.image for context in batch])
            for site in sites:
                rule, moments = rules[site], part.moments[str(site)]
                mask = rule.mask([context.tokens for context in batch], hidden[site], str(site))
                cache.append(site, hidden[site])
                x = hidden[site][mask].float()
                moments.add(x)
                for name in (n for n, s in job.sites.items() if s == site):
                    fold(job.dictionaries[name], part.sketches[name], part.totals[name], batch, mask, x)
            advance(len(batch))
        for site, rule in rules.items():
            part.moments[str(site)].masked.update(rule.masked)
            rule.masked.clear()
        last = len(part.shards) + 1 == len(prepared.shards)
        check(job, part, 0 if last else ENOUGH)
        cache.close()
        part.shards = sorted([*part.shards, shard])
        keep(part)
    return part


def fold(dictionary: Dictionary, sketch: Sketch, totals: Totals, batch: list[Context], mask: Tensor, x: Tensor) -> None:
    """Encode the counted positions x [n, d] of one batch, where mask [contexts, length] holds, and fold them in."""
    context = torch.tensor([c.id for c in batch])
    split = torch.tensor([SPLITS.index(c.split) for c in batch], dtype=torch.int8)
    sketch.seen(context, mask.sum(1).cpu(), split, torch.tensor([c.document for c in batch]))
    rows, features, values = dictionary.encode_sparse(x)
    finite = values.isfinite()
    if not finite.all():
        totals.not_finite += int((~finite).sum())
        rows, features, values = rows[finite], features[finite], values[finite]
    totals.nonzeros += len(rows)
    if dictionary.transcoder:
        # It reconstructs another site, which is not collected here, so a residual would mean nothing.
        totals.residual_sq = float("nan")
    else:
        residual = x - dictionary.decode_sparse(rows, features, values, len(x), x)
        totals.residual_sq += float(torch.linalg.vector_norm(residual, dtype=torch.float64) ** 2)
    if dictionary.signed:
        totals.negative += int((values < 0).sum())
    activation = values * dictionary.feature_norms[features]
    firing = activation > 0  # a feature with a zero decoder row writes nothing, so it never fires
    rows, features, activation = rows[firing], features[firing].cpu(), activation[firing].cpu()
    owner, position = (index.cpu() for index in mask.nonzero()[rows].T)
    sketch.update(context[owner], position, features, activation, split[owner])


def check(job: Job, part: Part, least: int = 0) -> None:
    """Refuse what is broken or was misread, as far as `least` positions of its site show it."""
    limit = job.config.collect.max_nonfinite
    seen = {site: moments.n + moments.masked["not finite"] for site, moments in part.moments.items()}
    for site, moments in part.moments.items():
        broken = moments.masked["not finite"]
        if seen[site] >= least and broken > limit * seen[site]:
            raise UserError(
                f"you asked to collect at {site}",
                f"{broken:,} of {seen[site]:,} positions hold NaN or infinity",
                "try subject.dtype = float32 or bfloat16, or raise collect.max_nonfinite",
            )
    judged = {name: totals for name, totals in part.totals.items() if seen[str(job.sites[name])] >= least}
    for name, totals in judged.items():
        if totals.not_finite > limit * (totals.nonzeros + totals.not_finite):
            raise UserError(
                f"you asked for the dictionary {name!r}",
                f"{totals.not_finite:,} of {totals.nonzeros + totals.not_finite:,} activations are NaN or infinity",
                "check its files, or raise collect.max_nonfinite",
            )
        if totals.negative > MAX_NEGATIVE * totals.nonzeros:
            raise UserError(
                f"you asked for the dictionary {name!r}",
                f"{totals.negative / totals.nonzeros:.0%} of its values are negative, and only positive ones fire",
                "use a dictionary whose activation ends in a relu",
            )
    for name, totals in judged.items():
        if job.config.collect.gate and job.config.dictionaries[name].control is None:
            gate(name, job.dictionaries[name], totals, part.moments[str(job.sites[name])])


def gate(name: str, dictionary: Dictionary, totals: Totals, moments: Moments) -> None:
    """Refuse a dictionary that real activations show to be misread: a wrong b_dec, norm or orientation trips this."""
    variance, l0 = totals.explained_variance(moments), totals.l0(moments)
    if variance <= 0:
        raise UserError(
            f"you asked for the dictionary {name!r}",
            f"it explains {variance:.2f} of the variance of the hook's output, less than nothing",
            "check that hook and dictionary belong together, or set collect.gate = false",
        )
    expected = dictionary.expected_l0
    if expected and not expected / 2 <= l0 <= expected * 2:
        raise UserError(
            f"you asked for the dictionary {name!r}",
            f"{l0:.1f} features fire at a position where its config says {expected:g}",
            "check that hook and dictionary belong together, or set collect.gate = false",
        )


class HiddenCache:
    """Hook outputs of one shard on disk, float32 [contexts, length, d] a site, where all shards' fit the budget.

    Only a saving: replay runs the subject again where there is no cache. Not an output of the stage.
    """

    def __init__(self, job: Job, prepared: Prepared, shard: int) -> None:
        self.folder, self.shard = job.directory / "collect" / "hidden", shard
        self.n = prepared.offsets[shard + 1] - prepared.offsets[shard]
        self.files: dict[Site, BinaryIO] = {}
        widths = {site: job.dictionaries[name].d_in for name, site in job.sites.items()}
        size = 4.0 * prepared.offsets[-1] * job.length * sum(widths.values())
        self.fits = size <= job.config.collect.cache_gb * 2**30

    def append(self, site: Site, hidden: Tensor) -> None:
        if not self.fits:
            return
        if site not in self.files:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.files[site] = self._partial(site).open("wb")
            header = {"descr": "<f4", "fortran_order": False, "shape": (self.n, *hidden.shape[1:])}
            np.lib.format.write_array_header_1_0(self.files[site], header)
        self.files[site].write(hidden.float().cpu().numpy().astype("<f4", copy=False).tobytes())

    def close(self) -> None:
        """All contexts of the shard are there: from here on replay may read them."""
        for site, file in self.files.items():
            file.close()
            self._partial(site).rename(cached(self.folder, self.shard, site))

    def _partial(self, site: Site) -> Path:
        return cached(self.folder, self.shard, site).with_suffix(".partial")


def cached(folder: Path, shard: int, site: Site) -> Path:
    """Where the hook outputs of a shard lie."""
    return folder / f"{shard:06d} {site}.npy"
