"""How numbers look on the page: two decimals, a real minus sign, thousands apart, and a word where there is none."""

import math
import re
from collections.abc import Sequence

from autointerp.report.data import PADDING, Counts, Estimate

# Embeddings, overrides and isolates turn around what follows them, beyond their own text.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The same text without characters that reorder their surroundings unseen: each shows as a replacement mark."""
    return TURNING.sub("\ufffd", text)


def count(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{int(value):,}"


def decimal(value: float, digits: int = 2) -> str:
    """A score. Rounding to zero loses the sign, since a reader would take −0.00 for a statement."""
    if math.isnan(value):
        return "unscored"
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def signed(value: float) -> str:
    text = decimal(value)
    return f"+{text}" if value > 0 and float(text) else text


def interval(estimate: Estimate) -> str:
    return f"[{decimal(estimate.low)}, {decimal(estimate.high)}]" if estimate.bounded else "[no interval]"


def told(estimate: Estimate) -> str:
    """What a number does not say itself, for who points at it."""
    grade = f", grade {estimate.grade}" if estimate.grade else ""
    return f"{interval(estimate)}, n {count(estimate.n)}, unscored {count(estimate.unscored)}{grade}"


def percent(share: float) -> str:
    """A share with two significant digits below one percent, where an SAE's densities live."""
    if math.isnan(share):
        return "unknown"
    value = 100 * share
    return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%" if value >= 1 else f"{value:.2g}%"


def money(value: float) -> str:
    return "price unknown" if math.isnan(value) else f"${value:,.2f}"


def listing(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def plural(n: float, noun: str) -> str:
    return f"{count(n)} {noun}" + ("" if n == 1 else "s")


MASKED = {
    "first": "at the first position",
    "special": "on special tokens",
    "norm": "above the norm limit",
    "not finite": "with NaN or infinity",
}


def masks(counts: Counts) -> dict[str, int]:
    """How many positions were left out, by reason in words; padding is no position, and a reason never met is none."""
    return {MASKED.get(reason, reason): n for reason, n in counts.masked.items() if n and reason != PADDING}


def model_name(identifier: str) -> str:
    """The part of a model id, path or package path that a reader recognises."""
    return identifier.rstrip("/").rsplit("/", 1)[-1] or identifier


QUESTIONS = {
    "lexical_floor": "floor",
    "generalisation": "",
    "causal": "",
    "probe_logistic": "logistic probe",
    "sensitivity": "",
}
NUMBERS = {
    "ap": "average precision",
    "ap_corpus": "average precision at the corpus rate",
    "f1": "F1",
    "f1_corpus": "F1 at the corpus rate",
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "pearson": "correlation",
    "pearson_corpus": "correlation at the corpus rate",
    "retrieval": "retrieval",
    "retrieval_base": "base rate of firing",
    "retrieval_strong": "retrieval, ≥ 10% of maximum",
    "generated": "texts written for it",
    "generated_strong": "texts written for it, ≥ 10% of maximum",
    "near_miss": "near misses",
    "near_miss_strong": "near misses, ≥ 10% of maximum",
    "original": "its own excerpts, alone",
    "original_strong": "its own excerpts, alone, ≥ 10% of maximum",
    "normalised": "written over own",
    "normalised_strong": "written over own, ≥ 10% of maximum",
    "mean": "even over intervals",
    "density_weighted": "a typical firing",
    "mass_weighted": "a typical unit of activation",
    "silent": "on silent excerpts",
}
NUMBERS |= {
    "carries_over": "share that carries over",
    "auroc_home": "AUROC in the form it was found in",
    "auroc_text": "AUROC in other languages",
    "auroc_image": "AUROC in pictures",
    "fire_rate": "fires on its concept",
    "rank": "rank among all features",
}
NUMBERS |= {
    "spearman_ablation": "rank correlation with ablation",
    "overlap10": "share of the ten that mattered",
    "loudness_rank": "rank by loudness of the ten that mattered",
    "error_share": "share through the error term",
    "concept_rate": "writes its words, over unsteered",
    "concept_rate_in_range": "the same within its range",
    "off_distribution": "best dose beyond its range",
    "off_target": "change of other features' words",
    "effect": "change of the loss",
    "above_random": "share of controls exceeded",
}
SUFFIXES = {
    "single_token": "single-token features",
    "many_tokens": "other features",
    "percentile": "share of the seeded sample that is beaten",
}
LABELS = {
    "loss_rise": "loss rise, nats a token",
    "sensitivity.retrieval": "retrieval sensitivity",
    "splitting.children": "children of one of the next smaller",
    "splitting.split": "of these, with two and more",
    "splitting.lost": "of these, with none",
    "splitting.novel": "features without a parent",
    "splitting.threshold": "cosine of a parent, above",
    "splitting.overlapping": "children that fire with their parent",
    "splitting.same_parent": "same parent by firing",
    "absorption.absorbed": "another child in its place",
    "absorption.silent": "counterpart silent",
    "absorption.beside": "a child beside it",
    "neurons.alone": "like no neuron",
    "neurons.correlation": "largest correlation",
    "completeness.search": "concepts found, of all features",
    "completeness.loudest": "concepts found, of the five loudest",
    "completeness.search_threshold": "precision needed, of all features",
    "completeness.loudest_threshold": "precision needed, of the five loudest",
    "completeness.missed_by_loudest": "missed by the five loudest",
}


def label(metric: str) -> str:
    """A metric in words, for the head of a column; its name in the CSV files stands below."""
    metric, _, control = metric.partition(".minus_")
    if metric.startswith("agreement."):
        return f"agreement on {label(metric.removeprefix('agreement.'))}"
    question, _, number = metric.partition(".")
    number, _, suffix = number.partition(".")
    words = [QUESTIONS.get(question, question.replace("_", " ")), NUMBERS.get(number, number.replace("_", " "))]
    said = LABELS.get(f"{question}.{number}".strip("."), ", ".join(word for word in words if word))
    if suffix:
        said += f", {SUFFIXES.get(suffix, suffix)}"
    return f"{said} over {control.replace('_', ' ')}" if control else said
