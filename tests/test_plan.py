"""What a run would ask for: explainers with their candidates and choosers."""

from pathlib import Path
from typing import Any

import pytest

from autointerp import plan, toml
from tests import planted as plant

EACH = 8 + plan.TOKENS_PER_EXCERPT_OVERHEAD  # tokens of an excerpt of 8


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """10 features; 3 intervals of 8 firing excerpts and 20 silent ones."""
    tree = plant.settings(plant.plant(tmp_path_factory.mktemp("planted"), n_documents=4))
    tree["evidence"] |= {"features": 10, "per_bin": 8, "negatives": 20}
    return tree


def planned(tree: dict[str, Any], **explainer: Any) -> list[plan.StagePlan]:
    role = plant.scripted("explain_knowing", **explainer)
    made = plan.plan(toml.build({**tree, "explainers": {"knows": role}}, "it"))
    return [stage for stage in made.stages if stage.stage == "explain"]


def excerpts(stage: plan.StagePlan, per_request: int) -> bool:
    """Whether each request of a stage has so many excerpts, beside its rubric."""
    shared, rest = divmod(stage.input_tokens, stage.requests)
    return rest == 0 and (shared - per_request * EACH) == pytest.approx(170, abs=50)


@pytest.mark.parametrize(
    ("settings", "n"),
    [
        ({}, 10 + 5),
        ({"examples": 8, "silent": 0}, 8),
        ({"examples": 8, "silent": 3}, 11),
        ({"examples": 100, "silent": 100}, 24 + 20),  # no more than there are
    ],
)
def test_explaining(settings: dict[str, Any], n: int, tree: dict[str, Any]) -> None:
    (stage,) = planned(tree, **settings)
    assert stage.requests == 10
    assert excerpts(stage, n)


def test_candidates_are_written_and_chosen(tree: dict[str, Any]) -> None:
    write, choose = planned(tree, candidates=4, chosen_by="judge")
    (single,) = planned(tree)
    assert (write.requests, write.input_tokens) == (40, 4 * single.input_tokens)
    # A quarter of 24 and of 20 is held back, 11 items in requests of 5, 5 and 1.
    assert choose.what.startswith("knows chosen by judge: ")
    assert choose.requests == 40 * 3
    assert choose.output_tokens == 40 * 11 * plan.ANSWER_TOKENS


def test_an_encoder_that_chooses_asks_nobody(tree: dict[str, Any]) -> None:
    encoder = {"kind": "embedding", "model": "encoder"}
    _, choose = planned({**tree, "scorers": {"near": encoder}}, candidates=4, chosen_by="near")
    assert (choose.what, choose.requests, choose.price) == ("knows chosen by near: encoder", 0, "0")


def test_what_the_audit_crosses_is_counted(tree: dict[str, Any]) -> None:
    """Two explainers and two judges, each of the other family alone; 4 of 10 features are crossed and paraphrased."""
    knows = plant.scripted("explain_knowing")
    crossed = tree | {
        "explainers": {"one": knows, "two": knows | {"features": 2}},
        "scorers": {
            "of one": plant.scripted("judge_knowing", explainers=["one"], controls=["shuffled"]),
            "of two": plant.scripted("judge_knowing", explainers=["two"], controls=["shuffled"]),
        },
    }
    asked = {"explainers": ["one", "two"], "scorers": ["of one", "of two"], "features": 4}
    paraphraser = {"provider": "scripted", "model": "m"}

    def requests(**audit: Any) -> dict[str, int]:
        made = plan.plan(toml.build(crossed | ({"audit": asked | audit} if audit else {}), "it"))
        return {stage.what.partition(":")[0]: stage.requests for stage in made.stages if stage.requests}

    each = 9  # requests for 24 + 20 items by fives
    assert requests() == {"one": 10, "two": 2, "of one": 2 * 10 * each, "of two": 2 * 2 * each}
    assert requests(features=0) == requests()
    more = {"one": 10, "two": 4, "of one": 2 * (10 + 4) * each, "of two": 2 * (4 + 4) * each}
    assert requests(features=4) == more
    assert requests(paraphraser=paraphraser) == more | {
        "paraphraser": 8,
        "of one": more["of one"] + 8 * each,
        "of two": more["of two"] + 8 * each,
    }


def test_a_comparison_says_what_it_reads(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "seas.csv").write_text("concept,pseudo\nboat,\nwave,\nsome,x\n", "utf-8")
    lines = "".join(f"seas,{opener} {{concept}}\n" for opener in ("to", "at", "in", "a"))
    (tmp_path / "templates.csv").write_text(f"category,template\n{lines}", "utf-8")
    asked = {"contexts": 30, "concepts": str(tmp_path), "neurons": [plant.HOOK]}
    made = plan.plan(toml.build({**tree, "compare": asked}, "it"))
    (stage,) = (stage for stage in made.stages if stage.stage == "compare")
    assert stage.what == "1 dictionaries on 30 contexts, the neurons of model.embed_tokens, 3 words in 12 sentences"
    assert stage.requests == 0
    assert "compare" not in {stage.stage for stage in plan.plan(toml.build(tree, "it")).stages}
