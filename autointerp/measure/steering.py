"""Does a feature make the subject write what its words say? Counts of words in texts, dose by dose.

The best dose is the luckiest of several, so it is chosen on one half of the openings and measured on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.measure.arrays import NAN, Floats

IN_RANGE = (0.0, 1.0)  # doses between which an activation is one that the feature has in the corpus


@dataclass(frozen=True, eq=False, slots=True)
class Written:
    """Texts at d doses from p openings, with the unsteered ones as the last row.

    words [d + 1, p], hits [d + 1, p, v] of the words of each of v features; loss [d + 1, p], the sum in nats over
    tokens [d + 1, p].
    """

    words: Floats
    hits: Floats
    loss: Floats
    tokens: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """What a dose adds over the unsteered texts from the same openings, [d] each.

    gain: share of written words that are words of the feature. off_target: mean absolute change of that share for the
    other features, nan where there is none. loss_rise: nats a token.
    """

    gain: Floats
    off_target: Floats
    loss_rise: Floats


@dataclass(frozen=True, slots=True)
class Response:
    """At the dose that was best on every other opening, on those left; `in_range` likewise among IN_RANGE doses."""

    dose: float
    gain: float
    off_target: float
    loss_rise: float
    in_range: float


def curve(written: Written, own: int) -> Curve:
    """Over all openings together: shares of sums, so a text of few words weighs little. nan where all are empty."""
    words, tokens = written.words.sum(axis=1), written.tokens.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = written.hits.sum(axis=1) / words[:, None]
        loss = written.loss.sum(axis=1) / tokens
    change = rate[:-1] - rate[-1]
    others = np.delete(change, own, axis=1)
    off = np.abs(others).mean(axis=1) if others.shape[1] else np.full(len(change), NAN)
    return Curve(change[:, own], off, loss[:-1] - loss[-1])


def response(written: Written, own: int, doses: Sequence[float]) -> Response:
    """Of equally good doses the smallest counts. All nan where nothing can be chosen."""
    chosen, held = (curve(half(written, side), own) for side in (0, 1))
    best = first_best(chosen.gain, doses)
    inside = first_best(np.where([IN_RANGE[0] <= dose <= IN_RANGE[1] for dose in doses], chosen.gain, NAN), doses)
    if best is None:
        return Response(NAN, NAN, NAN, NAN, NAN)
    return Response(
        doses[best],
        float(held.gain[best]),
        float(held.off_target[best]),
        float(held.loss_rise[best]),
        NAN if inside is None else float(held.gain[inside]),
    )


def half(written: Written, side: int) -> Written:
    """Every other opening."""
    return Written(*(values[:, side::2] for values in (written.words, written.hits, written.loss, written.tokens)))


def first_best(gain: Floats, doses: Sequence[float]) -> int | None:
    known = [at for at in np.argsort(np.abs(doses), kind="stable").tolist() if not np.isnan(gain[at])]
    return max(known, key=lambda at: gain[at], default=None)


def beyond(dose: float) -> bool:
    """Whether a dose makes activations that the feature never has: what comes of it is off-distribution."""
    return not IN_RANGE[0] <= dose <= IN_RANGE[1]


def above(value: float, controls: Sequence[float]) -> float:
    """Share of controls that a value exceeds, ties counting half; nan without a value or without a control."""
    known = [control for control in controls if not np.isnan(control)]
    if np.isnan(value) or not known:
        return NAN
    return float(np.mean([(value > control) + (value == control) / 2 for control in known]))
