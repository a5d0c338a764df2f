"""Rubrics: the shipped ones, the user's own before them, and what is wrong with a file in one sentence."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import autointerp
from autointerp import assets, config, rubric, toml
from autointerp.errors import UserError
from autointerp.explain import llm
from autointerp.job import Job
from tests import planted as plant

GOOD = """+++
id = "mine"
version = 3
scale = "one sentence"

[schema]
type = "object"
required = ["explanation"]

[schema.properties.explanation]
type = "string"
+++
Say what it is.
"""


def write(folder: Path, content: str, name: str = "mine") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(content, "utf-8")
    return folder


def refused(folder: Path, name: str = "mine", like: str = "") -> str:
    with pytest.raises(UserError, match=r"^You asked for .*, but .*: .*\.$") as caught:
        rubric.load(name, str(folder), like)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in assets.rubrics().glob("*.md")))
def test_the_shipped_ones_are_in_order(name: str) -> None:
    found = rubric.load(name)
    assert found.id == name
    assert found.name == f"{name}.{found.version}@{found.hash[:8]}"


def test_an_own_rubric_by_id_and_by_path(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", GOOD)
    found = rubric.load("mine", str(folder))
    assert (found.id, found.version, found.text) == ("mine", 3, "Say what it is.")
    assert rubric.load(str(folder / "mine.md")) == found
    (folder / "mine.md").rename(folder / "copy.md")  # a path names a file, so its name is free
    assert rubric.load(str(folder / "copy.md")) == found


def test_the_own_folder_comes_first_and_the_shipped_ones_stay_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", GOOD.replace('"mine"', '"explain"'), "explain")
    assert rubric.load("explain", str(folder)).text == "Say what it is."
    assert rubric.load("explain").text != "Say what it is."
    assert rubric.load("detection", str(folder)) == rubric.load("detection")


def test_what_is_not_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", GOOD)
    assert (
        "use one of detection, detection_images, explain, explain_images, fuzzing, fuzzing_images, generate, mine, "
        "paraphrase, simulation, specificity, specificity_images or a path to a .md file" in refused(folder, "intent")
    )
    assert "there is no such folder" in refused(tmp_path / "nowhere")
    assert "there is no nowhere.md" in refused(folder, "nowhere.md")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('id = "mine"', 'id = "yours"', "its id is 'yours', which is not the name of the file"),
        ('id = "mine"', "id = 7", "id = 7 is not text"),
        ("version = 3", 'version = "3"', "version = '3' is not a number"),
        ("version = 3", "version = true", "version = True is not a number"),
        ("version = 3", "", "version is missing"),
        ("version = 3", "version = 3\nauthor = 'me'", "'author' is not a known key"),
        ('scale = "one sentence"', 'scale = ""', "scale = '' is not text"),
        ('type = "string"', 'type = "sentence"', "its schema is no JSON schema at $.properties.explanation.type"),
        ('required = ["explanation"]', 'required = "explanation"', "its schema is no JSON schema at $.required"),
        ("Say what it is.\n", " \n", "there is no text after the front matter"),
        ("+++\nSay", "Say", "has no front matter in TOML between +++ lines"),
        ("version = 3", "version 3", "has no front matter in TOML between +++ lines"),
    ],
)
def test_faults(old: str, new: str, found: str, tmp_path: Path) -> None:
    assert old in GOOD
    assert found in refused(write(tmp_path / "own", GOOD.replace(old, new, 1)))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    write(tmp_path / "own", GOOD)
    (tmp_path / "own" / "mine.md").write_bytes(b"+++\n\xff\xfe+++")
    assert "has no front matter" in refused(tmp_path / "own")


def test_an_answer_must_have_the_part_that_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", GOOD)
    assert rubric.load("mine", str(folder), "explain").version == 3
    assert "does not require 'answers', a part of an answer that is read" in refused(folder, like="detection")


def settings(**explainer: Any) -> dict[str, Any]:
    return {
        "name": "base",
        "subject": {"model": "m"},
        "corpus": {"path": "c"},
        "dictionaries": {"d": {"path": "w"}},
        "explainers": {"e": {"kind": "llm", "provider": "scripted", "model": "m", **explainer}},
        "scorers": {"s": {"kind": "embedding", "model": "m"}},
    }


def job(built: config.RunConfig, sees: bool = False) -> Job:
    """What a rubric needs of a job: its settings, and whether there are pictures."""
    return cast(Job, SimpleNamespace(config=built, sees=sees))


@pytest.mark.parametrize(("sees", "name"), [(False, "explain"), (True, "explain_images")])
def test_a_run_with_pictures_asks_the_shipped_rubric_for_them(sees: bool, name: str) -> None:
    built = toml.build(settings(), "it")
    role = built.explainers["e"]
    assert isinstance(role, config.LLMExplainer)
    assert llm.rubric_of(role, job(built, sees)).id == name


@pytest.mark.parametrize(
    ("question", "sees", "name"),
    [
        ("detection", True, "detection_images"),
        ("detection", False, "detection"),
        ("fuzzing", True, "fuzzing_images"),
        ("specificity", True, "specificity_images"),
        ("simulation", True, "simulation"),  # there is only one of it
    ],
)
def test_a_shipped_rubric_is_that_for_pictures_where_there_are_some_and_it_exists(
    question: str, sees: bool, name: str
) -> None:
    assert rubric.default(question, sees, None) == name
    assert rubric.load(name, None, question).id == name


def test_a_run_asks_its_own_rubrics(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", GOOD)
    built = toml.build(settings(rubric="mine") | {"rubrics": str(folder)}, "it")
    role = built.explainers["e"]
    assert isinstance(role, config.LLMExplainer)
    for sees in (False, True):
        assert llm.rubric_of(role, job(built, sees)).text == "Say what it is."
    answers = toml.build(settings(rubric="detection") | {"rubrics": str(folder)}, "it")
    with pytest.raises(UserError, match="does not require 'explanation'"):
        llm.rubric_of(answers.explainers["e"], job(answers))


def test_rubrics_of_the_folder_stand_in_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    shipped = (assets.rubrics() / "detection.md").read_text("utf-8")
    tree = plant.settings(plant.plant(tmp_path / "planted"))
    tree["rubrics"] = str(write(tmp_path / "own", re.sub(r"version = \d+", "version = 9", shipped), "detection"))
    scores = autointerp.run(plant.write_config(tmp_path / "own.toml", tree), out=tmp_path / "runs").scores()
    judged = scores[scores["scorer"] == "judge"]
    assert set(judged["rubric"].str.split("@").str[0]) == {"detection.9"}


def test_entries_of_a_list_need_their_parts_too(tmp_path: Path) -> None:
    text = (assets.rubrics() / "detection.md").read_text().replace('"detection"', '"mine"').replace("fits", "suits")
    folder = write(tmp_path / "own", text)
    assert "does not require 'answers.fits', a part of an answer that is read" in refused(folder, like="detection")
    assert rubric.load("mine", str(folder)).id == "mine"


def test_a_rubric_of_ones_own_goes_before_the_shipped_one_for_pictures(tmp_path: Path) -> None:
    (tmp_path / "detection.md").write_bytes((assets.rubrics() / "detection.md").read_bytes())
    assert rubric.default("detection", True, str(tmp_path)) == "detection"
    assert rubric.default("fuzzing", True, str(tmp_path)) == "fuzzing_images"
    (tmp_path / "detection_images.md").write_bytes((assets.rubrics() / "detection_images.md").read_bytes())
    assert rubric.default("detection", True, str(tmp_path)) == "detection_images"
