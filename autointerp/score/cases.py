"""What is put to a judge about a feature: its own explanation, and explanations that should fail."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np

from autointerp.config import PARAPHRASED, CaseControl, RunConfig
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.measure.neighbours import nearest_others
from autointerp.measure.statistics import derangement
from autointerp.records import UNSCORED, Explanation, Item, Verdict

CONTROLS: tuple[CaseControl, ...] = get_args(CaseControl)
GENERIC = "Text of various kinds."  # fits everything, and so tells nothing
GENERIC_IMAGES = "Pictures and texts of various kinds."

Key = tuple[str, int]  # (dictionary, feature)


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence to be judged on a feature's evidence: its own explanation, or one that stands in as a control."""

    dictionary: str
    feature: int
    explainer: str
    control: str
    text: str

    def verdict(self, question: str, scorer: str, rubric: str = "", **rest: Any) -> Verdict:
        """A verdict on this case; `rest` are the fields about the item and what was said of it."""
        fields: dict[str, Any] = {"item": "", "stratum": "", "fires": False, "weight": 1.0, "value": UNSCORED} | rest
        return Verdict(self.dictionary, self.feature, question, self.control, self.explainer, scorer, rubric, **fields)


def about(item: Item) -> dict[str, Any]:
    """The fields of a verdict that say what an item is."""
    return {
        "item": item.excerpt.id,
        "stratum": item.stratum,
        "fires": item.fires,
        "weight": item.weight,
        "activation": item.excerpt.largest,
    }


def all_cases(job: Job, explanations: Sequence[Explanation], picked: Set[Key] = frozenset()) -> list[Case]:
    """Every explanation on its own feature, then as the controls, within (dictionary, explainer).

    `shuffled` deals the explanations out anew so that none stays (a derangement); `hard_shuffled` takes that of the
    feature whose decoder direction is nearest, among those that have one; `generic` is one sentence for all.

    Drawn features come first and exchange explanations among themselves, so that nothing changes for them when others
    are picked by hand. A picked one is put beside what anybody could have drawn: its shuffled explanation is that of a
    drawn feature, or of another picked one where none was drawn. Its hard one is the nearest of all.
    """
    cases = []
    for (dictionary, explainer), group in grouped(explanations).items():
        drawn = [one for one in group if (dictionary, one.feature) not in picked]
        by_hand = [one for one in group if (dictionary, one.feature) in picked]
        rng = job.rng("shuffled", dictionary, explainer)
        if drawn:
            cases += put(job, drawn, drawn, shuffled(drawn, rng))
        if by_hand:
            foreign = [anyone(job, drawn, one) for one in by_hand] if drawn else shuffled(by_hand, rng)
            cases += put(job, by_hand, group, foreign)
    return cases


def put(job: Job, group: Sequence[Explanation], others: Sequence[Explanation], foreign: Sequence[str]) -> list[Case]:
    """The cases of some explanations by one explainer, which are among `others`, with their shuffled texts if any."""
    dictionary, explainer = group[0].dictionary, group[0].explainer
    texts: dict[str, Sequence[str]] = {
        "none": [one.text for one in group],
        "generic": [GENERIC_IMAGES if job.sees else GENERIC] * len(group),
    }
    if foreign:
        texts["shuffled"] = foreign
    if len(others) > 1:
        vectors = job.dictionaries[dictionary].feature_vectors[[one.feature for one in others]]
        nearest = nearest_others(vectors, np.arange(len(others))).index[:, 0]
        nearest_text = {one.feature: others[at].text for one, at in zip(others, nearest, strict=True)}
        texts["hard_shuffled"] = [nearest_text[one.feature] for one in group]
    return [
        Case(dictionary, one.feature, explainer, control, text)
        for control in ("none", *CONTROLS)
        for one, text in zip(group, texts.get(control, ()), strict=control in texts)
    ]


def grouped(explanations: Sequence[Explanation]) -> dict[tuple[str, str], list[Explanation]]:
    """The explanations that have a text, by dictionary and explainer."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in explanations:
        if explanation.text:
            groups.setdefault((explanation.dictionary, explanation.explainer), []).append(explanation)
    return groups


def shuffled(group: Sequence[Explanation], rng: np.random.Generator) -> list[str]:
    """For each explanation the text of another one; nothing where there is no other."""
    return [group[other].text for other in derangement(len(group), rng)] if len(group) > 1 else []


def anyone(job: Job, drawn: Sequence[Explanation], one: Explanation) -> str:
    """The text of a drawn feature, as likely one as another."""
    rng = job.rng("shuffled", one.dictionary, one.explainer, one.feature)
    return drawn[int(rng.integers(len(drawn)))].text


def taken(
    config: RunConfig, judge: str, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]
) -> list[Case]:
    """The cases that a scorer or generator takes in: the pairs that it judges, its controls, the first features."""
    controls = {"none", PARAPHRASED, *config.judges[judge].controls}

    @cache
    def first(explainer: str, dictionary: str, control: str) -> frozenset[int]:
        # The audit alone asks nothing of picked features.
        own = control != PARAPHRASED and config.taken_in(explainer, judge, dictionary) > 0
        return frozenset(evidence[dictionary].first(config.judged(explainer, judge, dictionary, control), own))

    return [
        case
        for case in cases
        if case.control in controls and case.feature in first(case.explainer, case.dictionary, case.control)
    ]
