"""Which numbers a gate is on, and the sentence of each verdict."""

from typing import Any

import pandas as pd
import pytest

from autointerp import toml
from autointerp.finished import GATES
from autointerp.measure import baseline
from autointerp.report.gather.gates import judged
from autointerp.report.sections.gates import tally
from tests.report.builders import LEXICAL, NAN, SELF, number

MEANS = pd.DataFrame(
    [
        number("small", 256, "detection.ap", 0.5, 0.1, LEXICAL),
        number("small", 256, "detection.ap", 0.4, 0.1, SELF),
        number("small", 256, "detection.ap", 0.2, 0.01, LEXICAL, "shuffled"),
        number("large", 512, "detection.ap", 0.8, 0.1, LEXICAL),
        number("random", 512, "detection.ap", 0.2, 0.01, LEXICAL),
        number("small", 256, "dead_share", 0.31),
        number("large", 512, "dead_share", NAN),
    ]
)


def gated(gates: dict[str, Any], changes: pd.DataFrame | None = None, name: str = "") -> pd.DataFrame:
    judge = {"kind": "embedding", "model": "x"}
    tree = {
        "name": "it",
        "subject": {"model": "x"},
        "corpus": {"path": "x"},
        "dictionaries": {
            "small": {"path": "x"},
            "large": {"path": "x"},
            "random": {"control": "random", "like": "large"},
        },
        "explainers": {"lexical": {"kind": "lexical"}, "self": {"kind": "lexical"}},
        "scorers": {"minilm": judge, "self": judge},
        "gates": gates,
    }
    found = judged(toml.build(tree, "test"), MEANS, changes, name)
    assert list(found.columns) == GATES
    return found


def on(gate: dict[str, Any], metric: str = "detection.ap") -> set[tuple[str, str, str]]:
    found = gated({metric: gate})
    return set(zip(found["dictionary"], found["explainer"], found["scorer"], strict=True))


def test_a_gate_is_on_every_arm_of_what_learned_something() -> None:
    everyone = {("small", "lexical", "minilm"), ("small", "self", "self"), ("large", "lexical", "minilm")}
    assert on({"below": 0.1}) == everyone
    assert on({"below": 0.1, "dictionary": "small"}) == {arm for arm in everyone if arm[0] == "small"}
    assert on({"below": 0.1, "explainer": "self"}) == {("small", "self", "self")}
    assert on({"below": 0.1, "scorer": "minilm"}) == {arm for arm in everyone if arm[2] == "minilm"}
    assert on({"below": 0.1, "dictionary": "random"}) == {("random", "lexical", "minilm")}


def test_sentences_say_the_number_and_how_sure_it_is() -> None:
    found = gated({"detection.ap": {"below": 0.65}, "dead_share": {"above": 0.3}})
    assert dict(zip(found["sentence"], found["verdict"], strict=True)) == {
        "detection.ap of small (lexical judged by minilm) is below 0.65: 0.500 [0.400, 0.600], n = 100.": "failed",
        "detection.ap of small (self judged by self) is below 0.65: 0.400 [0.300, 0.500], n = 100.": "failed",
        "detection.ap of large (lexical judged by minilm) is not below 0.65: 0.800 [0.700, 0.900], n = 100.": "passed",
        "dead_share of small is above 0.3: 0.310, which has no interval and decides alone.": "failed",
        "undecided: dead_share of large may be above 0.3: it could not be scored.": "undecided",
    }
    assert found["circularity"].tolist() == ["B", "E", "B", "A", "A"]
    assert tally(found) == "5 gates: 3 failed, 1 undecided, 1 passed"


def test_a_fall_is_of_the_difference() -> None:
    row = {"dictionary": "small", "metric": "detection.ap", "explainer": "lexical", "scorer": "minilm"}
    row |= {"rubric": "detection.cosine@1", "value": 0.5, "before": 0.55, "difference": -0.06, "low": -0.09}
    row |= {"high": -0.01, "n": 88, "unscored": 2, "by": "features", "circularity": "C"}
    changes = pd.DataFrame([row], columns=baseline.COLUMNS)
    found = gated({"detection.ap": {"fall": 0.005, "rise": 0.1}}, changes, "monday")
    rows = {(row["gate"], row["dictionary"], row["explainer"]): row for row in found.to_dict("records")}
    fell = rows["detection.ap fall", "small", "lexical"]
    assert [fell[column] for column in ("value", "low", "high", "limit")] == [-0.06, -0.09, -0.01, 0.005]
    assert (fell["verdict"], fell["circularity"]) == ("failed", "C")
    assert fell["sentence"].endswith(" fell by more than 0.005 since monday: −0.060 [−0.090, −0.010], n = 88.")
    assert rows["detection.ap rise", "small", "lexical"]["verdict"] == "passed"
    missing = rows["detection.ap fall", "large", "lexical"]
    assert missing["verdict"] == "undecided"
    assert missing["sentence"].endswith("since monday: monday has no such number, or has it by another rubric.")


@pytest.mark.parametrize(
    ("metric", "gate", "hint"),
    [
        ("detection.pa", {"above": 1.0}, "the nearest is detection.ap"),
        ("dead_share", {"above": 1.0, "explainer": "self"}, "not with these filters"),
    ],
)
def test_a_gate_on_nothing_leaves_a_row_without_a_dictionary(metric: str, gate: dict[str, Any], hint: str) -> None:
    found = gated({metric: gate})
    assert found["dictionary"].tolist() == [""]
    assert found["sentence"].tolist() == [f"{metric}: there is no such number in this run; {hint}."]
