"""Features turned up in texts that the subject writes, and turned off in contexts where they are loudest.

A control is as hard a push another way: at every position the output moves by what the feature's activation changed,
along a random direction, or along that of a feature that fires about as often.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autointerp.causal.answers import counted, unit
from autointerp.causal.intervene import Intervention, Reconstruction, ablate, clamp, unit_rows
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.evidence.replay import Contexts
from autointerp.explain.lexical import WORD
from autointerp.job import Job
from autointerp.measure.steering import Curve, Written, above, beyond, curve, response
from autointerp.records import UNSCORED, Item, Score

NONE, RANDOM, MATCHED = "none", "random-feature", "density-matched"
UNSTEERED = "unsteered"
OWN = 4  # contexts in which a feature is turned off
TEXTS_AT_ONCE = 96
TEXTS = pa.schema(
    [
        ("dictionary", pa.string()),
        ("feature", pa.int64()),
        ("control", pa.string()),
        ("dose", pa.float64()),
        ("opening", pa.int64()),
        ("text", pa.string()),
        ("loss", pa.float64()),
        ("tokens", pa.int64()),
    ]
)
CURVES = pa.schema(
    [
        ("dictionary", pa.string()),
        ("feature", pa.int64()),
        ("control", pa.string()),
        ("dose", pa.float64()),
        ("gain", pa.float64()),
        ("off_target", pa.float64()),
        ("loss_rise", pa.float64()),
        ("off_distribution", pa.bool_()),
        ("text", pa.string()),
    ]
)
EFFECTS = pa.schema([("control", pa.string()), ("effect", pa.float64()), ("tokens", pa.int64())])


@dataclass(frozen=True, eq=False, slots=True)
class Steered:
    """A feature that is steered. `words` are those of its lexical explanation, without which `reason` says why.

    `directions` are its controls'.
    """

    dictionary: str
    feature: int
    maximum: float
    words: tuple[str, ...]
    reason: str
    directions: Mapping[str, Tensor]

    def push(self, control: str, change: Intervention) -> Intervention:
        return change if control == NONE else replace(change, directions=self.directions[control][None])


def controls_of(job: Job, at: Reconstruction, side: DictionaryEvidence, feature: int) -> dict[str, Tensor]:
    """A random direction, and that of another drawn feature whose density is nearest, where there is another."""
    own = unit_rows(at.dictionary, torch.tensor([feature], device=at.dictionary.W_dec.device))[0]
    found = {RANDOM: unit(job.rng("random direction", side.name, feature).normal(size=len(own)), own)}
    density = dict(zip(side.features["feature"].tolist(), side.features["density"].tolist(), strict=True))
    others = [other for other in side.drawn if other != feature]
    if others:
        nearest = min(others, key=lambda other: (abs(np.log(density[other] / density[feature])), other))
        found[MATCHED] = unit_rows(at.dictionary, torch.tensor([nearest], device=own.device))[0]
    return found


# ---- texts


def texts(
    job: Job,
    at: Reconstruction,
    openings: Sequence[Sequence[int]],
    masks: Sequence[Tensor],
    doses: Sequence[float],
    new_tokens: int,
    one: Steered | None = None,
) -> Iterator[dict[str, Any]]:
    """What the subject writes behind each opening at each dose, steered and with each control, as rows of TEXTS.

    Without a feature it is what it writes unsteered. An opening draws with the same luck everywhere. masks are the
    counted positions [length] of the openings; what is written counts, too.
    """
    arms = [(control, dose) for control in (NONE, *one.directions) for dose in doses] if one else [(UNSTEERED, np.nan)]
    wanted = [(control, dose, number) for control, dose in arms for number in range(len(openings))]
    longest = max(map(len, openings)) + new_tokens
    for control in dict.fromkeys(control for control, _, _ in wanted):
        own = [key for key in wanted if key[0] == control]
        for start in range(0, len(own), TEXTS_AT_ONCE):
            part = own[start : start + TEXTS_AT_ONCE]
            contexts = [openings[number] for _, _, number in part]
            edits = {}
            if one is not None:
                positions = torch.ones(len(part), longest, dtype=torch.bool)
                for row, (_, _, number) in enumerate(part):
                    positions[row, : len(masks[number])] = masks[number]
                values = torch.tensor([[dose * one.maximum] for _, dose, _ in part])
                edits = one.push(control, clamp(at, [one.feature], values, positions)).edits()
            seeds = [int(job.rng("steering", number).integers(2**31)) for _, _, number in part]
            written = at.subject.generate(contexts, new_tokens, edits, seeds)
            for (_, dose, number), tokens, loss in zip(part, written, own_loss(at, contexts, written), strict=True):
                yield {
                    "dictionary": one.dictionary if one else "",
                    "feature": one.feature if one else -1,
                    "control": control,
                    "dose": dose,
                    "opening": number,
                    "text": at.subject.decode(tokens),
                    "loss": loss,
                    "tokens": len(tokens),
                }


def own_loss(at: Reconstruction, contexts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[float]:
    """The loss of the subject, left alone, on what was written behind each context: a sum in nats, 0 of nothing."""
    whole = [[*context, *tokens] for context, tokens in zip(contexts, written, strict=True)]
    losses = at.subject.losses(whole, max(map(len, whole)), {})
    return [
        float(row[len(c) - 1 : len(w) - 1].double().sum()) for row, c, w in zip(losses, contexts, whole, strict=True)
    ]


def shape(rows: Sequence[Mapping[str, Any]], vocabularies: Sequence[frozenset[str]]) -> Written:
    """Rows of TEXTS, dose by dose and opening by opening, the unsteered ones last, as counts of words."""
    p = len({row["opening"] for row in rows})
    said = [WORD.findall(row["text"].lower()) for row in rows]
    hits = [[sum(word in own for word in words) for own in vocabularies] for words in said]
    return Written(
        np.array([len(words) for words in said], float).reshape(-1, p),
        np.array(hits, float).reshape(-1, p, len(vocabularies)),
        np.array([row["loss"] for row in rows], float).reshape(-1, p),
        np.array([row["tokens"] for row in rows], float).reshape(-1, p),
    )


# ---- own contexts


def effects(
    job: Job, at: Reconstruction, side: DictionaryEvidence, contexts: Contexts, one: Steered
) -> list[dict[str, Any]]:
    """Mean absolute change of the loss where the feature is turned off, over what follows its first firing."""
    shown = loudest(side.by_feature[one.feature].items["score"])
    rows = contexts.rows(np.array([item.excerpt.context for item in shown]))
    contexts.read(rows)
    ends = {item.excerpt.context: item.excerpt.start + 2 * len(item.excerpt.pieces) for item in shown}
    tokens = [contexts.tokens[row][: ends[int(contexts.id[row])]] for row in rows.tolist()]
    length = max(map(len, tokens))
    masks = torch.zeros(len(tokens), length, dtype=torch.bool)
    for row, own in enumerate(tokens):
        masks[row, : len(own)] = counted(job, one.dictionary, own)
    off = ablate(at, [one.feature], masks)
    clean = at.subject.losses(tokens, length, {})
    found = []
    for control in (NONE, *one.directions):
        change = (at.subject.losses(tokens, length, one.push(control, off).edits()) - clean).double()
        known = change[~change.isnan()]
        found.append({"control": control, "effect": float(known.abs().mean()), "tokens": known.numel()})
    return found


def loudest(items: Sequence[Item]) -> list[Item]:
    """The loudest firing excerpts, one of a context."""
    firing = sorted((item for item in items if item.fires), key=lambda item: (-item.excerpt.largest, item.excerpt.id))
    by_context: dict[int, Item] = {}
    for item in firing:
        by_context.setdefault(item.excerpt.context, item)
    return list(by_context.values())[:OWN]


# ---- scores


def summed(
    one: Steered,
    own: int,
    doses: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    unsteered: Sequence[Mapping[str, Any]],
    turned_off: Sequence[Mapping[str, Any]],
    vocabularies: Sequence[frozenset[str]],
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The scores of a steered feature, the `own`-th of its dictionary, and the rows of CURVES."""
    found: dict[str, dict[str, tuple[float, int]]] = {control: {} for control in (NONE, *one.directions)}
    curves: list[dict[str, Any]] = []
    if not rows:
        found[NONE] = {metric: (UNSCORED, 0) for metric in METRICS if metric.startswith("steering.")}
    for control in found if rows else ():
        written = shape([*(row for row in rows if row["control"] == control), *unsteered], vocabularies)
        said = response(written, own, doses)
        n = written.words.shape[1] // 2
        found[control] = {
            "steering.concept_rate": (said.gain, n),
            "steering.concept_rate_in_range": (said.in_range, n),
            "steering.best_dose": (said.dose, n),
            "steering.loss_rise": (said.loss_rise, n),
            "steering.off_target": (said.off_target, n),
            "steering.off_distribution": (UNSCORED if isnan(said.dose) else float(beyond(said.dose)), n),
        }
        curves += curve_rows(one, control, doses, curve(written, own), rows)
    for row in turned_off:
        found[row["control"]]["ablation.effect"] = (row["effect"], row["tokens"])
    shares = []
    for metric in ("steering.concept_rate", "ablation.effect"):
        value, n = found[NONE][metric]
        beside = {control: found[control].get(metric, (UNSCORED, 0))[0] for control in one.directions}
        found[NONE][f"{metric}.minus_random_feature"] = (value - beside[RANDOM], n)
        shares.append(above(value, list(beside.values())))
    known = [share for share in shares if not isnan(share)]
    found[NONE]["causal.above_random"] = (float(np.mean(known)) if known else UNSCORED, len(known))
    scores = [
        scored(one.dictionary, one.feature, metric, control, value, n, one.reason)
        for control, values in found.items()
        for metric, (value, n) in values.items()
    ]
    return scores, curves


def curve_rows(
    one: Steered, control: str, doses: Sequence[float], found: Curve, rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    first = {row["dose"]: row["text"] for row in rows if row["control"] == control and row["opening"] == 0}
    for at, dose in enumerate(doses):
        yield {
            "dictionary": one.dictionary,
            "feature": one.feature,
            "control": control,
            "dose": dose,
            "gain": float(found.gain[at]),
            "off_target": float(found.off_target[at]),
            "loss_rise": float(found.loss_rise[at]),
            "off_distribution": beyond(dose),
            "text": first[dose],
        }


NOTHING = "the subject wrote nothing to compare"
METRICS = (
    "steering.concept_rate",
    "steering.concept_rate_in_range",
    "steering.best_dose",
    "steering.loss_rise",
    "steering.off_target",
    "steering.off_distribution",
    "ablation.effect",
    "causal.above_random",
)


def scored(dictionary: str, feature: int, metric: str, control: str, value: float, n: int, reason: str = "") -> Score:
    """A score that no model wrote or judged; one without a value has a reason."""
    why = (reason or NOTHING) if isnan(value) else ""
    counted_in, left = (0, 1) if why else (n, 0)
    return Score(
        dictionary, feature, metric, control, "", "", "", value, UNSCORED, UNSCORED, counted_in, left, why, "A"
    )  # fmt: skip


def unable(dictionary: str, feature: int, reason: str) -> list[Score]:
    """The scores of a feature that cannot be steered."""
    return [scored(dictionary, feature, metric, NONE, UNSCORED, 0, reason) for metric in METRICS]
