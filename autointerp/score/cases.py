"""What is put to a judge about a feature: its own explanation, and explanations that should fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch

from autointerp.config import ALL, PARAPHRASED, CaseControl, RunConfig
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.measure.statistics import derangement
from autointerp.records import UNSCORED, Explanation, Item, Verdict

CONTROLS: tuple[CaseControl, ...] = get_args(CaseControl)
GENERIC = "Text of various kinds."  # fits everything, and so tells nothing
GENERIC_IMAGES = "Pictures and texts of various kinds."


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


def all_cases(job: Job, explanations: Sequence[Explanation]) -> list[Case]:
    """Every explanation on its own feature, then as the controls, within (dictionary, explainer).

    `shuffled` deals the explanations out anew so that none stays (a derangement); `hard_shuffled` takes that of the
    feature whose decoder direction is nearest, among those that have one; `generic` is one sentence for all.
    """
    generic = GENERIC_IMAGES if job.sees else GENERIC
    cases = []
    for (dictionary, explainer), group in grouped(explanations).items():
        texts: dict[str, list[str]] = {
            "none": [e.text for e in group],
            "generic": [generic] * len(group),
        }
        if len(group) > 1:
            texts["shuffled"] = shuffled(group, job.rng("shuffled", dictionary, explainer))
            nearest = nearest_of(job, dictionary, [e.feature for e in group])
            texts["hard_shuffled"] = [group[other].text for other in nearest]
        for control in ("none", *CONTROLS):
            for explanation, text in zip(group, texts.get(control, ()), strict=control in texts):
                cases.append(Case(dictionary, explanation.feature, explainer, control, text))
    return cases


def grouped(explanations: Sequence[Explanation]) -> dict[tuple[str, str], list[Explanation]]:
    """The explanations that have a text, by dictionary and explainer."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in explanations:
        if explanation.text:
            groups.setdefault((explanation.dictionary, explanation.explainer), []).append(explanation)
    return groups


def shuffled(group: Sequence[Explanation], rng: np.random.Generator) -> list[str]:
    """For each of at least two explanations the text of another one."""
    return [group[other].text for other in derangement(len(group), rng)]


def nearest_of(job: Job, dictionary: str, features: Sequence[int]) -> list[int]:
    """For each feature the place, among `features`, of the other one with the largest cosine of feature vectors."""
    vectors = job.dictionaries[dictionary].feature_vectors[list(features)].float().cpu()
    cosine = vectors @ vectors.T
    cosine.fill_diagonal_(-torch.inf)
    nearest: list[int] = cosine.argmax(dim=1).tolist()
    return nearest


def taken(
    config: RunConfig, judge: str, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]
) -> list[Case]:
    """The cases that a scorer or generator takes in: the pairs that it judges, its controls, the first features."""
    place = {name: {feature: at for at, feature in enumerate(side.alive)} for name, side in evidence.items()}
    controls = {"none", PARAPHRASED, *config.judges[judge].controls}
    return [
        case
        for case in cases
        if case.control in controls
        and place[case.dictionary].get(case.feature, ALL)
        < config.judged(case.explainer, judge, case.dictionary, case.control)
    ]
