"""How the page makes a claim: sentences in parts, and what they may say of a number and of two.

A sentence claims a difference only where its whole interval lies on one side of 0, and says "not measurably"
otherwise: an interval around 0 is no proof of equality.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from autointerp.measure.intervals import Interval, difference_interval
from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.frames import numbers, texts
from autointerp.report.words.wording import decimal, interval, listing, signed

Sign = Literal["above", "below", "undecided", "unscored"]
FEW = 30  # below this many features a bootstrap interval is too narrow
SAME_FIRINGS = "decoder rows permuted"  # a control that fires where its original does, so that detection has to agree


@dataclass(frozen=True, slots=True)
class Sentence:
    """Text in parts, some of them strong, and the circularity grades of the numbers in it."""

    parts: tuple[tuple[str, bool], ...]
    grades: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.parts)


def say(*parts: str | tuple[str], grades: tuple[str, ...] = ()) -> Sentence:
    """Strings are plain; a string in a 1-tuple is strong."""
    return Sentence(
        tuple((part, False) if isinstance(part, str) else (part[0], True) for part in parts),
        tuple(sorted({grade for grade in grades if grade})),
    )


def together(sentences: Iterable[Sentence | None]) -> Sentence:
    """One paragraph, whose grades stand once at its end."""
    kept = [sentence for sentence in sentences if sentence]
    parts = [part for i, sentence in enumerate(kept) for part in ((((" ", False),) if i else ()) + sentence.parts)]
    return Sentence(tuple(parts), tuple(sorted({grade for sentence in kept for grade in sentence.grades})))


def sign(estimate: Estimate | None) -> Sign:
    """On which side of 0 the whole interval lies. Without an interval nothing is decided."""
    if estimate is None or not estimate.scored:
        return "unscored"
    if not estimate.bounded:
        return "undecided"
    return "above" if estimate.low > 0 else "below" if estimate.high < 0 else "undecided"


def difference(larger: Estimate, smaller: Estimate) -> Estimate:
    """Of two independent samples of features."""
    found = difference_interval(*(Interval(e.value, e.low, e.high, e.n, e.unscored) for e in (larger, smaller)))
    return Estimate(found.value, found.low, found.high, found.n, 0, max(larger.grade, smaller.grade))


def by_sign(report: Report, metric: str, arm: Arm | None) -> dict[Sign, list[str]]:
    groups: dict[Sign, list[str]] = {"above": [], "undecided": [], "below": [], "unscored": []}
    for name in report.names:
        groups[sign(report.estimate(name, metric, arm))].append(name)
    return groups


def gains_over_controls(report: Report, name: str) -> dict[str, list[tuple[str, Estimate]]]:
    """By how much the detection of a dictionary exceeds that of each of its controls, by sign.

    "agrees" holds the controls that fire where the dictionary does, so that no difference is to be expected.
    """
    arm = report.headline
    own = report.estimate(name, "detection.ap", arm) if arm else None
    groups: dict[str, list[tuple[str, Estimate]]] = {"above": [], "undecided": [], "below": [], "agrees": []}
    for control in report.controls:
        note, theirs = report.notes[control], report.estimate(control, "detection.ap", arm)
        if note.like == name and own and theirs and own.scored and theirs.scored:
            gain = difference(own, theirs)
            verdict = sign(gain)
            expected = verdict == "undecided" and note.control == SAME_FIRINGS
            groups["agrees" if expected else verdict].append((control, gain))
    return groups


def told(estimate: Estimate) -> str:
    return f"{signed(estimate.value)} {interval(estimate)}"


def place_words(report: Report, names: list[str]) -> str:
    if len(names) == len(report.names) and len(names) > 2:
        return f"all {len(names)} dictionaries"
    return "both dictionaries" if len(names) == len(report.names) == 2 else listing(names)


def spread(values: list[float]) -> str:
    """One number, or from the smallest to the largest."""
    low, high = decimal(min(values)), decimal(max(values))
    return low if low == high else f"{low} to {high}"


def unscored_reasons(report: Report, dictionaries: Sequence[str], arm: Arm | None = None) -> list[tuple[str, int]]:
    """Why drawn features have no primary score, under one arm or under all, the most frequent reason first."""
    names = ("dictionary", "metric", "control", "explainer", "scorer", "unscored_reason")
    columns = [texts(report.scores, name) for name in names]
    features = (int(feature) for feature in report.scores["feature"])
    rows = zip(*columns, features, numbers(report.scores, "value"), strict=True)
    missing = Counter(
        reason or "no reason given"
        for name, metric, control, explainer, scorer, reason, feature, value in rows
        if name in dictionaries and metric == "detection.ap" and control == "none" and math.isnan(value)
        if (name, feature) not in report.picked
        if arm is None or (explainer, scorer) == (arm.explainer, arm.scorer)
    )
    return sorted(missing.items(), key=lambda item: (-item[1], item[0]))
