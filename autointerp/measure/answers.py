"""From effects on prompts to what is said of a dictionary: prompts are the unit of every number. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from autointerp.measure.arrays import NAN
from autointerp.measure.causal import (
    TOP,
    agreement,
    error_share,
    fisher_mean,
    hit_rate,
    over_prompts,
    rank_correlation,
    ranks,
)
from autointerp.measure.intervals import Interval

NONE, RANDOM = "none", "random-feature"
CORRELATIONS = ("attribution.spearman_ablation", "activation.spearman_ablation")
OVERLAPS = ("attribution.overlap10", "activation.overlap10")
SIZE = "_size"  # effects counted by size, whichever way they go
LEFT_OUT = ".leave_one_out"
FISHER, CHANCE = ".fisher", ".p"
ERROR, LOUDNESS = "ablation.error_share", "ablation.loudness_rank"


def by_prompt(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row for each row of answers.parquet: n, the metrics, and under `METRIC random-feature` what chance does.

    Chance is a random order of the same active features, drawn by seed; of an overlap and a rank, what random features
    reach on average.
    """
    rng = np.random.default_rng(seed)
    return pd.DataFrame([of_prompt(row, rng) for row in answers.to_dict("records")], index=answers.index)


def of_prompt(row: Mapping[Any, Any], rng: np.random.Generator) -> dict[str, float]:
    activation, attribution, ablation, weight = (
        np.asarray(row[name], float) for name in ("activation", "attribution", "ablation", "weight")
    )
    n = len(activation)
    found: dict[str, float] = {"n": n, ERROR: error_share(row["features"], row["error"])}
    any_order = rng.permutation(n).astype(float)
    for suffix, magnitude in (("", False), (SIZE, True)):
        one = agreement(activation, attribution, ablation, magnitude=magnitude, weight=weight)
        effect = np.where(weight > 0, np.abs(ablation) if magnitude else ablation, 0.0)
        chance = rank_correlation(any_order, effect, weight) if n > 2 else NAN
        for name, value in zip(CORRELATIONS, (one.attribution_ablation, one.activation_ablation), strict=True):
            found[name + suffix] = value
            found[f"{name}{suffix} {RANDOM}"] = chance
        for name, hits in zip(OVERLAPS, (one.attributed_hits, one.loudest_hits), strict=True):
            found[name + suffix] = hits / TOP
            found[f"{name}{suffix} {RANDOM}"] = one.expected_hits / TOP
        found[LOUDNESS + suffix] = one.median_loudness
        found[f"{LOUDNESS}{suffix} {RANDOM}"] = (n + 1) / 2 if n else NAN
    return found


def summarise(prompts: pd.DataFrame, seed: int, resamples: int) -> list[dict[str, Any]]:
    """Rows of dictionaries.csv about one dictionary, from its rows of `by_prompt`.

    `X.leave_one_out` has the lowest and the highest mean without one prompt as its bounds.
    """
    rows: list[dict[str, Any]] = []

    def add(metric: str, control: str, found: Interval) -> None:
        blank = {"explainer": "", "scorer": "", "rubric": "", "circularity": "A"}
        rows.append({"metric": metric, "control": control, **blank, **asdict(found)})

    sizes = prompts["n"].to_numpy()
    for suffix in ("", SIZE):
        for metric in (*CORRELATIONS, *OVERLAPS, LOUDNESS):
            name = metric + suffix
            values = prompts[name].to_numpy(float)
            whole = over_prompts(values, seed, resamples)
            add(name, NONE, whole.mean)
            add(name, RANDOM, over_prompts(prompts[f"{name} {RANDOM}"].to_numpy(float), seed, resamples).mean)
            mean = whole.mean
            add(name + LEFT_OUT, NONE, Interval(mean.value, whole.lowest, whole.highest, mean.n, mean.unscored))
            if metric in CORRELATIONS:
                add(name + FISHER, NONE, fisher_mean(values, sizes, seed, resamples))
            if metric in OVERLAPS:
                hits = hit_rate(values * TOP, sizes)
                add(name + CHANCE, NONE, Interval(hits.p, NAN, NAN, hits.n, hits.unscored))
    add(ERROR, NONE, over_prompts(prompts[ERROR].to_numpy(float), seed, resamples).mean)
    return rows


def all_dictionaries(
    answers: pd.DataFrame, widths: Mapping[str, int], seed: int, resamples: int
) -> list[dict[str, Any]]:
    """`summarise` of every dictionary among `widths` that has answers."""
    found = []
    for name, width in widths.items():
        own = answers[answers["dictionary"] == name]
        if len(own):
            found += [
                {"dictionary": name, "width": width, **row} for row in summarise(by_prompt(own, seed), seed, resamples)
            ]
    return found


def mattered(row: Mapping[Any, Any], most: int) -> list[dict[str, Any]]:
    """The features at positions of one prompt whose ablation changed the answer most, by size, with their loudness.

    Loudness is the rank by activation among all that are active, 1 the loudest; equal ones share a mean rank.
    """
    ablation, activation = np.asarray(row["ablation"], float), np.asarray(row["activation"], float)
    loudness = ranks(activation)
    order: Sequence[int] = np.argsort(-np.abs(np.nan_to_num(ablation)), kind="stable")[:most].tolist()
    return [
        {
            "position": int(row["position"][at]),
            "feature": int(row["feature"][at]),
            "activation": float(activation[at]),
            "attribution": float(row["attribution"][at]),
            "ablation": float(ablation[at]),
            "loudness": float(loudness[at]),
        }
        for at in order
        if np.isfinite(ablation[at])
    ]
