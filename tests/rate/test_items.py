"""What is drawn to be rated: seeded, in the promised shares, what the judge saw, and told to nobody who rates."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from autointerp import toml
from autointerp.errors import UserError
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.judge.asking import rubric_of
from autointerp.rate import items, page
from autointerp.rate.items import Material
from autointerp.ratings import SCALE
from autointerp.score.cases import all_cases
from autointerp.score.llm import questions
from autointerp.store import RunDirectory
from tests import planted as plant
from tests.rate import rated


def ids(found: Material, n: int, seed: int) -> list[str]:
    return [task.id for task in items.draw(found, n, seed)]


def test_the_same_seed_draws_the_same_items_in_every_start(run: Path, found: Material) -> None:
    assert ids(found, 60, 3) == ids(items.material(run), 60, 3)
    assert ids(found, 60, 3)[:20] == ids(found, 20, 3)
    assert ids(found, 60, 3) != ids(found, 60, 4)
    assert len(set(ids(found, 60, 3))) == 60


@pytest.mark.parametrize("n", [16, 32, 48])
def test_a_quarter_is_silent_and_a_quarter_is_shuffled_each_without_regard_to_the_other(
    n: int, found: Material
) -> None:
    kinds = Counter((task.shown.fires, task.case.control) for task in items.draw(found, n, 1))
    of = n // 16
    assert kinds == {
        (True, "none"): 9 * of,
        (True, "shuffled"): 3 * of,
        (False, "none"): 3 * of,
        (False, "shuffled"): of,
    }


def test_features_come_first_then_excerpts(found: Material) -> None:
    """As often each, as far as each has such excerpts, in no order that repeats; no excerpt twice; marks on all."""
    tasks = items.draw(found, 48, 2)
    features = [task.case.feature for task in tasks]
    n = len(plant.SCORABLE)
    rounds = [features[at : at + n] for at in range(0, 2 * n, n)]
    assert set(features[: 2 * n]) == set(plant.SCORABLE)
    assert all(len(set(one)) >= n - 2 for one in rounds)
    assert rounds[0] != rounds[1]
    assert len({(task.case.feature, task.shown.item.excerpt.id) for task in tasks}) == 48
    assert all(any(task.shown.marks or ()) for task in tasks)
    assert {task.case.explainer for task in tasks} == {rated.KNOWS, rated.LEXICAL}


def test_a_draw_ends_where_there_is_no_more(found: Material) -> None:
    tasks = items.draw(found, 100_000, 0)
    assert len(tasks) == sum(len(shown) for shown in found.shown.values())
    assert {task.id for task in tasks} <= set(found.tasks())


def test_items_are_those_of_the_judge_with_the_same_marks_and_explanations(run: Path, found: Material) -> None:
    config = toml.load(run / "run.toml")
    job = Job(config, RunDirectory(run))
    role = config.scorers["zq-judge"]
    name, first = items.judge_of(config)
    assert (name, first) == ("zq-judge", role)
    assert first is not None
    evidence = {rated.DICTIONARY: items.DictionaryEvidence(run / "evidence", rated.DICTIONARY, "")}
    text = rubric_of(first, "specificity", config, False)
    asked = {
        (case.dictionary, case.feature, case.explainer, case.control, case.text, one.item.excerpt.id, one.marks_key)
        for case in all_cases(job, explain.read(run / "explanations.parquet"))
        for question in questions(job, first, case, {"specificity": text}, evidence, {}, False)
        for one in map(Seen, question.group)
    }
    for task in found.tasks().values():
        case = task.case
        key = (case.dictionary, case.feature, case.explainer, case.control, case.text)
        assert (*key, task.shown.item.excerpt.id, Seen(task.shown).marks_key) in asked
    verdicts = pd.read_parquet(run / "verdicts.parquet")
    judged = set(zip(verdicts["feature"], verdicts["item"], strict=True))
    assert {(task.case.feature, task.shown.item.excerpt.id) for task in found.tasks().values()} <= judged


class Seen:
    def __init__(self, shown: items.Shown) -> None:
        self.item = shown.item
        self.marks_key = tuple(shown.marks or ())


# blind


def test_nothing_that_is_served_tells_what_an_item_is(found: Material) -> None:
    with rated.served(found, 40) as served:
        pages = [served.ask("").body]
        for at in range(40):
            served.ask(f"item/{at}")
            served.answer(at, SCALE[at % 4])
        served.ask("item/40")
        served.ask("item")
        served.raw("/")
        served.answer(99, 0)
        told = [got.body + json.dumps(got.headers).encode() for got in served.seen]
        session = served.server.session
    for body in told:
        for name in (rated.DICTIONARY, rated.KNOWS, rated.LEXICAL, rated.RUN, "zq-", "judge_knowing"):
            assert name.encode() not in body
    strata = {item.stratum for shown in found.shown.values() for item in (one.item for one in shown)}
    assert {"bin0", "random"} <= strata
    # Beside what a rater is to read, an item says its place, how many there are and what the rater said of it.
    for got in served.seen:
        if got.headers["Content-Type"] != "application/json":
            continue
        said = got.json
        assert (said.pop("total"), said.pop("answered") <= 40) == (40, True)
        at = said.pop("at")
        if at == 40:
            assert not said
            continue
        task = session.tasks[at]
        assert said.pop("explanation") == task.case.text
        assert "".join(text for text, _ in said["spans"]) == task.shown.item.excerpt.text
        assert all(type(mark) is bool for _, mark in said.pop("spans"))
        assert said.pop("picture") is None
        assert said.pop("rating") in (None, *SCALE)
        assert said.pop("skipped") is False
        assert not said
    assert pages == [page.render(found.rubric)[0].encode()]  # the page itself is made from the rubric alone


def test_marks_are_the_spans(found: Material) -> None:
    for task in found.tasks().values():
        spans = page.spans(task)
        assert all(one[1] != other[1] for one, other in pairwise(spans))
        words = [word for text, marked in spans if marked for word in re.findall(r"\w+", text)]
        if task.shown.fires:
            assert set(words) <= set(plant.RULES[task.case.feature])
        assert words


def test_the_rubric_is_the_judge_s_word_for_word(found: Material) -> None:
    text, _ = page.render(found.rubric)
    assert found.rubric.id == "specificity"
    assert "3</kbd> <span>The feature cleanly identifies the activating text.</span>" in text
    for line in found.rubric.text.splitlines():
        assert line.split('{"')[0] in text


# what cannot be rated


def refused(run: str | Path) -> str:
    with pytest.raises(UserError) as error:
        items.material(run)
    assert re.fullmatch(r"You asked for the items of .+, but .+: .+\.", str(error.value))
    return str(error.value)


def test_a_path_that_is_no_run(tmp_path: Path) -> None:
    assert "that is no run" in refused(tmp_path / "nowhere")
    assert "that is no run" in refused(tmp_path)
    assert "it is elsewhere" in refused("s3://bucket/runs/night")


def test_a_manifest_that_cannot_be_read(run: Path) -> None:
    (run / "manifest.json").write_text("{")
    assert "its manifest.json cannot be read" in refused(run)


@pytest.mark.parametrize("stage", ["evidence", "explain"])
def test_a_run_that_has_not_come_so_far(stage: str, run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["stages"][stage]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert f"its {stage} stage has not run" in refused(run)


def test_a_run_whose_evidence_is_gone(run: Path) -> None:
    (run / "evidence" / f"{rated.DICTIONARY}.parquet").unlink()
    assert f"its evidence stage left no evidence/{rated.DICTIONARY}.parquet" in refused(run)


def test_a_run_without_explanations(run: Path) -> None:
    explanations = pd.read_parquet(run / "explanations.parquet")
    explanations["text"] = ""
    explanations.to_parquet(run / "explanations.parquet")
    assert "no feature drawn by seed has an explanation" in refused(run)
