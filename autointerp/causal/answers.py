"""What features do for answers: every dictionary on prompts with a right next word and some wrong ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autointerp import assets
from autointerp.causal import prompts
from autointerp.causal.attribute import Attribution, Choice, ablate_groups, attribute
from autointerp.causal.intervene import Reconstruction, place
from autointerp.causal.prompts import Prompt
from autointerp.config import CausalConfig
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.measure.arrays import Floats
from autointerp.measure.causal import TOP
from autointerp.subjects.positions import PositionRule

PROMPT, TWO_HOPS = "prompt", "two hops"  # which file a prompt is from
BASELINES = 3  # at least: what speaks for a word against one other may speak for both against a third
# A row for each prompt and dictionary, with a list over the active features at counted positions.
TABLE = pa.schema(
    [
        ("dictionary", pa.string()),
        ("kind", pa.string()),
        ("family", pa.string()),
        ("text", pa.string()),
        ("target", pa.string()),
        ("via", pa.string()),
        ("pieces", pa.list_(pa.string())),
        ("right", pa.bool_()),
        ("difference", pa.float64()),
        ("features", pa.float64()),
        ("error", pa.float64()),
        ("position", pa.list_(pa.int64())),
        ("feature", pa.list_(pa.int64())),
        ("activation", pa.list_(pa.float64())),
        ("attribution", pa.list_(pa.float64())),
        ("ablation", pa.list_(pa.float64())),
        ("weight", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the subject reads it, and which file it is from."""

    kind: str
    prompt: Prompt
    choice: Choice


def asked(job: Job, config: CausalConfig) -> tuple[list[Asked], dict[str, int]]:
    """The prompts of a run, and how many of each file were left out because an answer is not one token."""
    found, left_out = [], {}
    for kind, name in ((PROMPT, config.prompts), (TWO_HOPS, config.two_hops)):
        if name is None:
            continue
        path = file(name)
        lines = prompts.read(path)
        few = next((line for line in lines if len(line.baselines) < BASELINES), None)
        if few is not None:
            raise UserError(
                f"you asked for the prompts of {path}",
                f"{few.text!r} has {len(few.baselines)} baselines and needs at least {BASELINES}",
                "add wrong words of one token each",
            )
        read: list[Asked] = []
        for line in lines:
            try:
                read.append(Asked(kind, line, prompts.choice(job.subject, line)))
            except UserError as error:
                refused = error
        if not read:
            raise refused if lines else UserError(f"you asked for the prompts of {path}", "it has none", "add some")
        left_out[kind] = len(lines) - len(read)
        found += in_turn(read, config.n_prompts, job.rng("prompts")) if kind == PROMPT else read
    return found, left_out


def file(name: str) -> Path:
    path = assets.locate(name)
    if path is None or not path.is_file():
        raise UserError(f"you asked for {name}", "there is no such file", "check the path")
    return path


def in_turn(read: Sequence[Asked], n: int, rng: np.random.Generator) -> list[Asked]:
    """At most n prompts in a seeded order, one of each family after another: no large family is all there is."""
    by_family: dict[str, list[Asked]] = {}
    for at in rng.permutation(len(read)).tolist():
        by_family.setdefault(read[at].prompt.family, []).append(read[at])
    places = sorted((turn, family) for family, own in by_family.items() for turn in range(len(own)))
    return [by_family[family][turn] for turn, family in places[:n]]


def reconstruction(job: Job, name: str, writes: str = "") -> Reconstruction:
    """A dictionary of the run in its place."""
    site = job.sites[name]
    subject = job.shuffled_subject if site.shuffled else job.subject
    return place(subject, job.dictionaries[name], site.hook, writes)


def counted(job: Job, name: str, tokens: Sequence[int]) -> Tensor:
    """The positions of a context of its own that count, bool [length]."""
    site = job.sites[name]
    rule = PositionRule(job.config.positions, job.subject, job.directory.facts("collect")["norm_limits"])
    hidden = job.hidden([tokens], [site], length=len(tokens))[site]
    mask: Tensor = rule.mask([tokens], hidden, str(site))[0]
    return mask.cpu()


def measured(job: Job, at: Reconstruction, name: str, one: Asked, ablated: int) -> Iterator[dict[str, Any]]:
    """The row of one prompt and dictionary. Effects are means over its baselines."""
    found = attribute(at, one.choice, counted(job, name, one.choice.tokens))
    attribution = found.attribution.mean(axis=0)
    weight = weights(attribution, found.activation, ablated, job.rng("ablated", name, one.prompt.text))
    taken = np.flatnonzero(weight)
    ablation = np.full(len(weight), np.nan)
    ablation[taken] = ablate_groups(at, one.choice, only(found, taken), np.arange(len(taken))).mean(axis=0)
    pieces = job.subject.encode(one.prompt.text)[1]
    yield {
        "dictionary": name,
        "kind": one.kind,
        "family": one.prompt.family,
        "text": one.prompt.text,
        "target": one.prompt.target,
        "via": one.prompt.via,
        "pieces": [""] * (len(one.choice.tokens) - len(pieces)) + pieces,
        "right": bool(found.difference.min() > 0),
        "difference": float(found.difference.mean()),
        "features": float(found.features.mean()),
        "error": float(found.error.mean()),
        "position": found.position,
        "feature": found.feature,
        "activation": found.activation,
        "attribution": attribution,
        "ablation": ablation,
        "weight": weight,
    }


def weights(attribution: Floats, activation: Floats, n: int, rng: np.random.Generator) -> Floats:
    """For how many of the e active features each stands that is to be ablated, 0 for the others: [e], adding to e.

    The n with the largest attributions and the TOP loudest stand for themselves, n of the others, drawn, for these.
    """
    found = np.ones(len(attribution))
    first = np.zeros(len(attribution), dtype=bool)
    for values, most in ((np.abs(attribution), n), (activation, TOP)):
        first[np.argsort(-values, kind="stable")[:most]] = True
    rest = np.flatnonzero(~first)
    if len(rest) > n:
        found[rest] = 0.0
        found[rng.choice(rest, n, replace=False)] = len(rest) / n
    return found


def only(found: Attribution, taken: Any) -> Attribution:
    """Some of the active features of an attribution."""
    names = ("position", "feature", "activation", "reach")
    return replace(
        found, attribution=found.attribution[:, taken], **{name: getattr(found, name)[taken] for name in names}
    )


def unit(values: Floats, like: Tensor) -> Tensor:
    """A direction [d] as a unit vector of the kind of another tensor."""
    return torch.nn.functional.normalize(torch.as_tensor(values).to(like), dim=0)
