"""Explanations that should fail are other features' own, and each role gets what it asked for."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autointerp.config import RunConfig
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.records import PICKED, SEEDED, Explanation
from autointerp.score.cases import GENERIC, GENERIC_IMAGES, Case, all_cases, taken
from autointerp.store import stable_hash
from autointerp.toml import build


def job(vectors: Mapping[str, torch.Tensor], seed: int = 0, sees: bool = False) -> Job:
    """What cases need of a job: feature vectors by dictionary, draws, and whether there are pictures."""
    return cast(
        Job,
        SimpleNamespace(
            dictionaries={name: SimpleNamespace(feature_vectors=rows) for name, rows in vectors.items()},
            sees=sees,
            rng=lambda *purpose: np.random.default_rng(stable_hash(seed, *purpose)),
        ),
    )


def unit(n: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def explained(feature: int, explainer: str = "ann", dictionary: str = "d", text: str | None = None) -> Explanation:
    text = f"{dictionary} {feature} by {explainer}" if text is None else text
    return Explanation(dictionary, feature, explainer, text, "", None, "", "")


def texts(cases: list[Case], control: str, explainer: str = "ann", dictionary: str = "d") -> dict[int, str]:
    return {
        case.feature: case.text
        for case in cases
        if (case.control, case.explainer, case.dictionary) == (control, explainer, dictionary)
    }


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20, unique=True), st.integers(0, 2**32))
def test_shuffled_deals_the_explanations_out_so_that_no_feature_keeps_its_own(features: list[int], seed: int) -> None:
    cases = all_cases(job({"d": unit(31)}, seed), [explained(feature) for feature in features])
    own, shuffled = texts(cases, "none"), texts(cases, "shuffled")
    assert list(own) == list(shuffled) == features
    assert sorted(own.values()) == sorted(shuffled.values())
    assert all(own[feature] != shuffled[feature] for feature in features)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=12, unique=True), st.integers(0, 1000))
def test_hard_shuffled_takes_the_nearest_other_feature_that_has_an_explanation(features: list[int], seed: int) -> None:
    vectors = unit(31, seed)
    hard = texts(all_cases(job({"d": vectors}), [explained(feature) for feature in features]), "hard_shuffled")
    for feature in features:
        closest = max(
            (float(vectors[feature].double() @ vectors[other].double()), other)
            for other in features
            if other != feature
        )
        assert hard[feature] == f"d {closest[1]} by ann"


def test_an_opposite_direction_is_far() -> None:
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.6, 0.8]])
    # cosines of row 0: -1, 0, 0.6; of row 1: -1, 0, -0.6; of row 3: 0.6, -0.6, 0
    every = all_cases(job({"d": vectors}), [explained(feature) for feature in range(4)])
    assert texts(every, "hard_shuffled")[0] == "d 3 by ann"
    named = all_cases(job({"d": vectors}), [explained(feature) for feature in (0, 1, 3)])
    assert texts(named, "hard_shuffled") == {0: "d 3 by ann", 1: "d 3 by ann", 3: "d 0 by ann"}


def test_generic_is_one_sentence_for_all() -> None:
    cases = all_cases(job({"d": unit(4)}), [explained(0), explained(3)])
    assert texts(cases, "generic") == {0: GENERIC, 3: GENERIC}
    cases = all_cases(job({"d": unit(4)}, sees=True), [explained(0), explained(3)])
    assert texts(cases, "generic") == {0: GENERIC_IMAGES, 3: GENERIC_IMAGES}


def test_the_generic_sentence_of_a_run_with_pictures_fits_them() -> None:
    cases = all_cases(job({"d": unit(4)}, sees=True), [explained(0), explained(3)])
    assert texts(cases, "generic") == {0: GENERIC_IMAGES, 3: GENERIC_IMAGES}


def test_a_single_explanation_has_nothing_to_be_shuffled_with() -> None:
    cases = all_cases(job({"d": unit(4)}), [explained(2)])
    assert [(case.control, case.text) for case in cases] == [("none", "d 2 by ann"), ("generic", GENERIC)]


def test_without_an_explanation_there_is_no_case_and_nobody_gets_the_empty_one() -> None:
    cases = all_cases(job({"d": unit(4)}), [explained(0), explained(1, text=""), explained(2)])
    assert {case.feature for case in cases} == {0, 2}
    assert all(case.text for case in cases)
    assert texts(cases, "shuffled") == texts(cases, "hard_shuffled") == {0: "d 2 by ann", 2: "d 0 by ann"}


def test_explanations_are_dealt_out_within_their_dictionary_and_explainer() -> None:
    given = [explained(f, e, d) for d in ("d", "e") for e in ("ann", "bob") for f in range(3)]
    cases = all_cases(job({"d": unit(3), "e": unit(3, 1)}), given)
    for case in cases:
        if case.control in ("shuffled", "hard_shuffled"):
            assert case.text.startswith(f"{case.dictionary} ") and case.text.endswith(f" by {case.explainer}")
    # and by draws of their own: 2 derangements of three things each, 16 ways in all
    drawn = {tuple(texts(cases, "shuffled", e, d).values()) for d in ("d", "e") for e in ("ann", "bob")}
    assert len(drawn) == 4


# what a role takes in

GROUPS = [(d, e) for d in ("d", "e") for e in ("ann", "bob")]
ALIVE = {"d": [4, 1, 3], "e": [2, 0]}


def evidence(picked: Sequence[int] = ()) -> dict[str, DictionaryEvidence]:
    """Features in the order of the draw; of "d", the picked ones stand after them."""
    found = {}
    for name, alive in ALIVE.items():
        side = DictionaryEvidence.__new__(DictionaryEvidence)
        by_hand = list(picked) if name == "d" else []
        selected = [SEEDED] * len(alive) + [PICKED] * len(by_hand)
        side.features = pd.DataFrame({"feature": alive + by_hand, "dead": False, "selected_by": selected})
        found[name] = side
    return found


CASES = [
    Case(dictionary, feature, explainer, control, "x")
    for dictionary, explainer in GROUPS
    for control in ("none", "shuffled", "hard_shuffled", "generic")
    for feature in ALIVE[dictionary]
]


MODEL = {"kind": "llm", "provider": "scripted", "model": "m"}


def settings(judge: dict[str, Any], audit: dict[str, Any] | None = None, **explainers: dict[str, Any]) -> RunConfig:
    """A run with two explainers, a judge, and another that the audit may cross with them, too."""
    tree = {
        "name": "it",
        "subject": {"model": "m"},
        "corpus": {"path": "c"},
        "dictionaries": {"d": {"path": "x"}, "e": {"path": "x"}},
        "explainers": {name: MODEL | explainers.get(name, {}) for name in ("ann", "bob")},
        "scorers": {"judge": MODEL | judge, "other": MODEL},
    }
    return build(tree | ({"audit": audit} if audit is not None else {}), "it")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, lambda case: True),
        ({"controls": ()}, lambda case: case.control == "none"),
        ({"controls": ("generic",)}, lambda case: case.control in ("none", "generic")),
        ({"dictionaries": ("e",)}, lambda case: case.dictionary == "e"),
        ({"explainers": ("bob",)}, lambda case: case.explainer == "bob"),
        # The first of the draw, not the lowest numbers; each dictionary has a draw of its own.
        ({"features": 1}, lambda case: (case.dictionary, case.feature) in {("d", 4), ("e", 2)}),
        ({"features": 9}, lambda case: True),
        (
            {"features": 2, "dictionaries": ("d",), "explainers": ("ann",), "controls": ("shuffled",)},
            lambda case: (
                (case.dictionary, case.explainer) == ("d", "ann")
                and case.feature in (4, 1)
                and case.control in ("none", "shuffled")
            ),
        ),
    ],
)
def test_a_role_takes_in_what_it_asked_for(given: dict[str, Any], wanted: Any) -> None:
    assert taken(settings(given), "judge", CASES, evidence()) == [case for case in CASES if wanted(case)]


def test_a_role_takes_in_every_picked_feature_whatever_its_limit() -> None:
    cases = [Case("d", feature, "ann", "none", "x") for feature in (4, 1, 3, 0, 2)]
    both = evidence(picked=(0, 2))
    assert [case.feature for case in taken(settings({"features": 1}), "judge", cases, both)] == [4, 0, 2]
    assert [case.feature for case in taken(settings({}), "judge", cases, both)] == [4, 1, 3, 0, 2]


def test_the_audit_alone_asks_nothing_of_picked_features() -> None:
    cases = [Case("d", feature, "bob", control, "x") for control in ("none", "paraphrased") for feature in (4, 1, 3, 0)]
    audit = CROSSED | {"features": 2, "paraphraser": {"provider": "scripted", "model": "p"}}
    crossed = taken(settings({"explainers": ["ann"]}, audit), "judge", cases, evidence(picked=(0,)))
    assert [(case.feature, case.control) for case in crossed] == [
        (4, "none"), (1, "none"), (4, "paraphrased"), (1, "paraphrased"),
    ]  # fmt: skip
    own = taken(settings({}, audit), "judge", cases, evidence(picked=(0,)))
    assert [case.feature for case in own if case.control == "none"] == [4, 1, 3, 0]
    assert [case.feature for case in own if case.control == "paraphrased"] == [4, 1]


# features chosen by hand


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True),
    st.sets(st.integers(0, 30), max_size=6),
    st.integers(0, 1000),
)
def test_a_drawn_feature_is_put_the_same_whatever_is_picked(features: list[int], more: set[int], seed: int) -> None:
    by_hand = sorted(more - set(features))
    vectors = {"d": unit(31, seed)}
    alone = all_cases(job(vectors, seed), [explained(feature) for feature in features])
    picked = {("d", feature) for feature in by_hand}
    both = all_cases(job(vectors, seed), [explained(feature) for feature in features + by_hand], picked)
    assert [case for case in both if case.feature in features] == alone
    own, foreign = texts(both, "none"), texts(both, "shuffled")
    drawn = {own[feature] for feature in features}
    for feature in by_hand:
        assert foreign[feature] in drawn
        assert texts(both, "hard_shuffled")[feature] != own[feature]


def test_picked_features_alone_exchange_explanations_among_themselves() -> None:
    picked = {("d", 0), ("d", 2), ("d", 3)}
    cases = all_cases(job({"d": unit(4)}), [explained(0), explained(2), explained(3)], picked)
    own, foreign = texts(cases, "none"), texts(cases, "shuffled")
    assert sorted(foreign.values()) == sorted(own.values())
    assert all(foreign[feature] != own[feature] for feature in own)
    (one, *_) = all_cases(job({"d": unit(4)}), [explained(2)], picked)
    assert one.control == "none"
    assert not texts(all_cases(job({"d": unit(4)}), [explained(2)], picked), "shuffled")


# what the audit adds

CROSSED = {"explainers": ["ann", "bob"], "scorers": ["judge", "other"]}


def test_the_audit_asks_what_roles_leave_out_of_the_first_features_alone() -> None:
    """A judge of one explainer is asked about the other, too, of two features, in the dictionary that it takes in."""
    judge = {"explainers": ["ann"], "dictionaries": ["d"], "controls": ["generic"]}
    found = taken(settings(judge, CROSSED | {"features": 2}), "judge", CASES, evidence())
    covered = {("d", feature, "ann") for feature in (4, 1, 3)}
    crossed = {("d", 4, "bob"), ("d", 1, "bob")}
    assert {(case.dictionary, case.feature, case.explainer) for case in found} == covered | crossed
    assert {case.control for case in found} == {"none", "generic"} and len(found) == 2 * 5
    assert taken(settings(judge, CROSSED | {"features": 0}), "judge", CASES, evidence()) == [
        case
        for case in CASES
        if (case.dictionary, case.explainer) == ("d", "ann") and case.control in ("none", "generic")
    ]


def test_an_explainer_that_is_crossed_explains_as_many_features_and_no_other_judge_reads_them() -> None:
    config = settings({}, CROSSED | {"features": 2}, ann={"features": 1, "dictionaries": ["d"]}, bob={"features": 3})
    assert [config.explained("ann", name) for name in ("d", "e")] == [2, 0]  # no more than its dictionary
    assert [config.explained("bob", name) for name in ("d", "e")] == [3, 3]
    assert [config.judged("ann", "judge", name) for name in ("d", "e")] == [2, 0]
    assert [config.taken_in("ann", "judge", name) for name in ("d", "e")] == [1, 0]
    third = config.model_copy(update={"scorers": config.scorers | {"third": config.scorers["other"]}})
    assert [third.judged("ann", "third", name) for name in ("d", "e")] == [1, 0]


def test_paraphrases_are_for_the_audit_and_for_detection_alone() -> None:
    own = [Case(d, feature, e, "paraphrased", "x") for d, e in GROUPS for feature in ALIVE[d]]
    audit = CROSSED | {"features": 2, "paraphraser": {"provider": "scripted", "model": "p"}}
    found = taken(settings({"controls": ()}, audit), "judge", own, evidence())
    assert {(case.dictionary, case.feature) for case in found} == {("d", 4), ("d", 1), ("e", 2), ("e", 0)}
    assert taken(settings({"scores": ["fuzzing"]}, audit), "judge", own, evidence()) == []
    assert taken(settings({}, CROSSED), "judge", own, evidence()) == []
