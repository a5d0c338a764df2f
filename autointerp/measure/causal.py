"""Does what is loud matter, and does attribution know what matters? Ablation effects are the truth of both questions.

A prompt is the unit: the effects of its active features share one text, one answer and one forward pass, so pooled over
prompts they would count as far more than they are. Everything is computed within a prompt, then over prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autointerp.measure.arrays import NAN, Floats, Ints
from autointerp.measure.correlation import pearson
from autointerp.measure.intervals import Interval, mean_interval

TOP = 10  # as many as Templeton et al. 2024 compare


@dataclass(frozen=True, slots=True)
class Agreement:
    """One prompt with n active features. A value that cannot be computed is nan, and `reasons` says by its name why.

    attribution_ablation, activation_ablation: Spearman correlations over the n. attributed_hits, loudest_hits: how many
    of the `top` most attributed and of the `top` loudest are among the `top` by ablation. expected_hits: how many of
    `top` random ones would be. loudness: the ranks by activation, 1 the loudest, of the `top` by ablation, the one that
    mattered most first.
    """

    n: int
    attribution_ablation: float
    activation_ablation: float
    attributed_hits: float
    loudest_hits: float
    expected_hits: float
    loudness: tuple[float, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def median_loudness(self) -> float:
        return float(np.median(self.loudness)) if self.loudness else NAN


def agreement(
    activation: Floats,
    attribution: Floats,
    ablation: Floats,
    top: int = TOP,
    magnitude: bool = False,
    weight: Floats | None = None,
) -> Agreement:
    """Activation, attribution and ablation effect of the n active features of a prompt, or features at positions, [n].

    `weight` [n] is for how many of them each one that was ablated stands, itself included, so that it adds to n; where
    it is 0 the effect is not known. Loudness and attribution are known of all, and their ranks are exact; what needs
    the order by ablation is then an estimate (Horvitz and Thompson 1952), and the hits lean towards what was ablated on
    purpose, since what it missed may not have been drawn.

    Effects count with their sign: what speaks for the target comes first, what speaks against it last, as in
    Templeton et al. 2024. With `magnitude` they count by size. An activation has no sign, so only then could its
    correlation reach 1 where features speak on both sides.
    """
    activation, attribution, ablation = (np.asarray(values, float) for values in (activation, attribution, ablation))
    n = ablation.size
    weight = np.ones(n) if weight is None else np.asarray(weight, float)
    ablation = np.where(weight > 0, ablation, 0.0)
    broken = int((~np.isfinite([activation, attribution, ablation]).all(axis=0)).sum()) if n else 0
    if broken:
        why = f"{broken} of {n} active features have no finite value"
        names = (
            "attribution_ablation",
            "activation_ablation",
            "attributed_hits",
            "loudest_hits",
            "expected_hits",
            "loudness",
        )
        return Agreement(n, NAN, NAN, NAN, NAN, NAN, (), dict.fromkeys(names, why))
    if magnitude:
        attribution, ablation = np.abs(attribution), np.abs(ablation)
    reasons, found = {}, {}
    for name, values in (("attribution_ablation", attribution), ("activation_ablation", activation)):
        found[name] = rank_correlation(values, ablation, weight) if n > 2 else NAN
        if n <= 2:
            reasons[name] = f"{n} active features have no correlation worth the name"
        elif np.isnan(found[name]):
            idle = np.ptp(ablation[weight > 0]) == 0
            reasons[name] = f"all {'ablation effects' if idle else name.split('_')[0] + 's'} are equal"
    hits = {"attributed_hits": attribution, "loudest_hits": activation, "expected_hits": np.ones(n)}
    for name, values in hits.items():
        found[name] = overlap(values, ablation, top, weight) if n > top else NAN
        if n <= top:
            reasons[name] = f"{n} active features are all among the first {top}"
    if not n:
        reasons["loudness"] = "no feature is active"
    known = np.flatnonzero(weight > 0)
    order = known[np.argsort(-ablation[known], kind="stable")][:top]
    return Agreement(n=n, **found, loudness=tuple(ranks(activation)[order].tolist()), reasons=reasons)


def ranks(values: Floats, weight: Floats | None = None) -> Floats:
    """1 for the largest value; equal ones share their mean rank. A value of weight w counts as w equal ones."""
    weight = np.ones(len(values)) if weight is None else weight
    _, place = np.unique(-values, return_inverse=True)
    level = np.bincount(place, weight)
    found: Floats = (np.cumsum(level) - level + (level + 1) / 2)[place]
    return found


def rank_correlation(x: Floats, y: Floats, weight: Floats) -> float:
    """Spearman correlation of x [n], known throughout, with y [n], known where weight [n] is above 0; nan if constant.

    With weights of 1 the same number as scipy's spearmanr.
    """
    known = weight > 0
    rank_x, rank_y = ranks(x)[known], ranks(y[known], weight[known])
    if not known.any() or np.ptp(rank_x) == 0 or np.ptp(rank_y) == 0:
        return NAN
    return float(pearson(rank_x, rank_y, weight[known]))


def overlap(x: Floats, y: Floats, top: int, weight: Floats | None = None) -> float:
    """How many of the `top` largest of x [n] are among the `top` largest of y [n].

    top where the orders agree, top^2 / n by chance. Where equal values straddle the edge, the mean over all ways to
    break the tie, in x and y apart: so a constant overlaps with anything as chance does. With `weight` [n] only the
    y of weight above 0 are known, each standing for so many.
    """
    weight = np.ones(len(y)) if weight is None else weight
    known = weight > 0
    both = membership(x, top)[known] * membership(y[known], top, weight[known])
    return float((weight[known] * both).sum())


def membership(values: Floats, top: int, weight: Floats | None = None) -> Floats:
    """The chance of each value [n] to be among the `top` largest when ties are broken at random.

    Times `weight` [n], for how many each stands, they add to top.
    """
    weight = np.ones(len(values)) if weight is None else weight
    _, place = np.unique(-values, return_inverse=True)
    level = np.bincount(place, weight)
    chance: Floats = np.clip((top - (np.cumsum(level) - level)) / level, 0, 1)[place]
    return chance


def error_share(features: float, error: float) -> float:
    """|error| / (|error| + |features|): of what moves the answer, to first order, the part that no feature holds.

    `features` is the sum of attributions, `error` the gradient times the error term; what a dictionary writes whatever
    fires is in neither. 0: all of it runs through features. 1: none of it. nan where both are 0.
    """
    total = abs(features) + abs(error)
    return abs(error) / total if total else NAN


# ---- over prompts


@dataclass(frozen=True, slots=True)
class OverPrompts:
    """A mean over prompts, its bootstrap over them, and the lowest and highest mean when one prompt is left out."""

    mean: Interval
    lowest: float
    highest: float


def over_prompts(values: Floats, seed: int, resamples: int = 2000) -> OverPrompts:
    """Of one value a prompt [n]; nan values are unscored. One prompt alone leaves nothing: nan."""
    scored = np.asarray(values, float)
    scored = scored[~np.isnan(scored)]
    rest = (scored.sum() - scored) / (scored.size - 1) if scored.size > 1 else np.array([NAN])
    return OverPrompts(mean_interval(values, seed, resamples), float(rest.min()), float(rest.max()))


def fisher_mean(correlations: Floats, sizes: Ints, seed: int, resamples: int = 2000) -> Interval:
    """tanh of the mean of arctanh r over prompts: correlations [n], each over `sizes` [n] features; nan is unscored.

    A rank correlation of 1 over m features stands for one anywhere above the next lower value, 1 - 12 / (m (m^2 - 1)),
    and counts as half way up to 1: otherwise one prompt in full agreement would make the mean 1.
    """
    r, m = np.asarray(correlations, float), np.asarray(sizes, float)
    most = 1 - 6 / np.maximum(m * (m**2 - 1), 6.0)
    found = mean_interval(np.arctanh(np.clip(r, -most, most)), seed, resamples)
    value, low, high = np.tanh([found.value, found.low, found.high]).tolist()
    return Interval(value, low, high, found.n, found.unscored)


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of n prompts as a share of all there could be, what random features would reach, and how often so many."""

    rate: float
    random: float
    p: float
    n: int
    unscored: int


def hit_rate(hits: Floats, sizes: Ints, top: int = TOP) -> Hits:
    """Hits among `top` on each prompt [n] against `top` random ones of its `sizes` [n] active features.

    Under the null the hits of a prompt are hypergeometric, those of all prompts their convolution; p is the exact
    chance of at least as many, what ties leave of a hit rounded down. nan hits are unscored; without any, rate, random
    and p are nan.
    """
    from scipy.stats import hypergeom

    hits, sizes = np.asarray(hits, float), np.asarray(sizes)
    scored = ~np.isnan(hits)
    n, unscored = int(scored.sum()), int((~scored).sum())
    if not n:
        return Hits(NAN, NAN, NAN, 0, unscored)
    chance = np.ones(1)
    for size in sizes[scored]:
        chance = np.convolve(chance, hypergeom.pmf(np.arange(top + 1), size, top, top))
    total = int(np.floor(hits[scored].sum() + 1e-9))
    rate, random = hits[scored].mean() / top, (top / sizes[scored]).mean()
    return Hits(float(rate), float(random), float(min(1.0, chance[total:].sum())), n, unscored)
