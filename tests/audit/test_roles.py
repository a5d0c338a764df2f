"""Who took part: the grade of an arm counts whoever wrote, chose or judged, as asked for and as it answered."""

from pathlib import Path
from typing import Any

import pytest

from autointerp import config, toml
from autointerp.audit.roles import Roles
from autointerp.errors import GateFailed
from autointerp.pipeline import refuse_circular
from autointerp.records import Author, Explanation

CLAUDE, GPT, GEMINI = "claude-opus-5-5", "gpt-6.1-sol", "gemini-2.5-pro"


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "llm", "provider": "scripted", "model": name, **more}


def run(explainer: dict[str, Any], **scorers: dict[str, Any]) -> config.RunConfig:
    tree = {
        "name": "base",
        "subject": {"model": "meta-llama/Llama-3.1-8B"},
        "corpus": {"path": "c"},
        "dictionaries": {"d": {"path": "w"}},
        "explainers": {"e": explainer},
        "scorers": scorers,
    }
    return toml.build(tree, "it")


def written(author: Author | None, chooser: Author | None = None, text: str = "x") -> Explanation:
    return Explanation("d", 0, "e", text, "" if text else "why", author, "", "", chooser)


def by(name: str, role: str = "explainer") -> Author:
    return Author(role, "scripted", name, name)


def test_a_chooser_is_part_of_the_number_before_and_after_the_run() -> None:
    plan = run(
        model(CLAUDE, candidates=3, chosen_by="picks"),
        picks=model(GPT),
        other=model(GEMINI),
    )
    before = {scorer: grade for _, scorer, grade in Roles(plan).arms()}
    assert before == {"picks": "D", "other": "B"}
    assert [row.role for row in Roles(plan).rows()] == [
        "subject",
        "explainer e",
        "chooser e",
        "scorer picks",
        "scorer other",
    ]
    after = Roles(plan, [written(by(CLAUDE), by(GPT, "chooser"))])
    assert {scorer: grade for _, scorer, grade in after.arms()} == before


@pytest.mark.parametrize(
    ("chooser", "grade"),
    [(None, "B"), (GPT, "B"), (CLAUDE, "D"), ("claude-haiku-5-5", "C"), ("mine", "C"), ("llama-3.1-8b", "E")],
)
def test_the_chooser_counts_as_it_answered(chooser: str | None, grade: str) -> None:
    plan = run(model(CLAUDE, candidates=2, chosen_by="picks"), picks=model(GPT, explainers=[]), other=model(GEMINI))
    author = Author("chooser", "scripted", chooser, chooser) if chooser else None
    explanations = [written(by(CLAUDE)), written(by(CLAUDE), author)]
    assert [grade for _, _, grade in Roles(plan, explanations).arms()] == [grade]


def test_an_encoder_that_chooses_is_a_model_too() -> None:
    encoder = {"kind": "embedding", "model": "all-MiniLM-L6-v2"}
    plan = run(model(CLAUDE, candidates=3, chosen_by="encoder"), encoder=encoder, other=model(GPT))
    assert {scorer: grade for _, scorer, grade in Roles(plan).arms()} == {"encoder": "D", "other": "B"}


def given(folder: Path, content: str, **more: Any) -> config.RunConfig:
    (folder / "x.csv").write_text(content)
    return run({"kind": "given", "path": str(folder / "x.csv"), **more}, judge=model(GPT))


def test_who_wrote_a_file_is_read_from_it_before_the_run(tmp_path: Path) -> None:
    head = "dictionary,feature,explanation,author\nd,0,x,"

    def grades(content: str, **more: Any) -> list[str]:
        return [grade for _, _, grade in Roles(given(tmp_path, content, **more)).arms()]

    assert grades(head + CLAUDE) == ["B"]
    assert grades(head + "human") == grades(head + CLAUDE, author="human") == ["B"]
    assert grades(head) == ["C"]  # unknown stays unknown
    assert grades(head + GPT) == ["D"]
    assert grades(f"{head}{CLAUDE}\nd,1,y,{GPT}") == ["D"]  # the worst of its authors
    assert grades(head + GPT, author=CLAUDE) == ["B"]


def test_what_people_wrote_has_no_model(tmp_path: Path) -> None:
    plan = given(tmp_path, "dictionary,feature,explanation,author\nd,0,x,human")
    for roles in (Roles(plan), Roles(plan, [written(None)])):
        assert [(row.role, row.resolved, row.lineage) for row in roles.rows()][1] == ("explainer e", "human", None)


def crossed(paraphraser: str | None, **audit: Any) -> config.RunConfig:
    plan = run(model(CLAUDE), cheap=model(GPT), kin=model(CLAUDE, explainers=[]))
    tree = plan.model_dump(exclude_none=True)
    tree["explainers"]["f"] = model(GPT)
    asked = {"explainers": ["e", "f"], "scorers": ["cheap", "kin"], **audit}
    asked |= {"paraphraser": model(paraphraser)} if paraphraser else {}
    return toml.build(tree | {"audit": asked}, "it")


def test_pairs_that_the_audit_crosses_are_graded_too() -> None:
    def graded(plan: config.RunConfig, control: str = "none") -> dict[tuple[str, str], str]:
        return {(explainer, scorer): grade for explainer, scorer, grade in Roles(plan).arms(control)}

    alone = {("e", "cheap"): "B", ("f", "cheap"): "D"}
    assert graded(crossed(None, features=0)) == alone
    assert graded(crossed(None)) == alone | {("e", "kin"): "D", ("f", "kin"): "B"}
    assert graded(crossed(GEMINI)) == graded(crossed(None))
    assert graded(crossed(None), "paraphrased") == {}


@pytest.mark.parametrize(
    ("paraphraser", "grade"),
    [(GEMINI, "B"), ("gpt-5.5", "C"), (GPT, "D"), ("mine", "C"), ("llama-3.1-8b", "E")],
)
def test_who_paraphrases_is_in_the_number_of_paraphrases_alone(paraphraser: str, grade: str) -> None:
    plan = crossed(paraphraser)
    before, after = Roles(plan), Roles(plan, paraphrases=[written(by(paraphraser, "paraphraser"))])
    for roles in (before, after):
        assert roles.arm("e", "cheap", "paraphrased") == grade
        assert roles.arm("e", "cheap") == roles.arm("e", "cheap", "shuffled") == "B"
        assert [row.requested for row in roles.rows() if row.role == "paraphraser"] == [paraphraser]
    # An alias counts as what it answers as.
    disguised = Author("paraphraser", "scripted", GEMINI, "llama-3.1-8b")
    assert Roles(crossed(GEMINI), paraphrases=[written(disguised)]).arm("e", "cheap", "paraphrased") > "B"


def test_the_policy_sees_paraphrases() -> None:
    """Claude explains, GPT and Gemini judge: none of them may paraphrase."""
    tree = crossed(None).model_dump(exclude_none=True)
    tree["explainers"] = {"e": model(CLAUDE), "f": {"kind": "lexical"}}
    tree["scorers"] = {"cheap": model(GPT), "kin": model(GEMINI)}
    for paraphraser, refused in (("mistral-large", False), ("claude-haiku-5-5", True), (GPT, True)):
        tree["audit"]["paraphraser"] = model(paraphraser)
        plan = toml.build(tree, "it")
        if refused:
            with pytest.raises(GateFailed, match="but paraphrased explanations by 'e' judged by"):
                refuse_circular(plan, Roles(plan))
        else:
            refuse_circular(plan, Roles(plan))
