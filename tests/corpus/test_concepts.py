"""Concept lists: what is read of a file, and what a list cannot be."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.config import GeneralisationConfig
from autointerp.corpus.concepts import Member, read
from autointerp.errors import UserError

ROWS = [
    {"document": "cat", "concept": "animal", "topic": "life", "form": "en", "text": "cat"},
    {"document": "cat", "concept": "animal", "topic": "life", "form": "de", "text": "Katze"},
    {"document": "dog", "concept": "animal", "topic": "life", "form": "en", "text": "dog"},
    {"document": "oak", "concept": "plant", "topic": "life", "form": "en", "text": "oak"},
    {"document": "oak", "concept": "plant", "topic": "life", "form": "de", "text": "Eiche"},
]


def write(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    path = folder / f"list.{kind}"
    if kind == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_members(tmp_path: Path, kind: str) -> None:
    config = GeneralisationConfig(path=str(write(tmp_path, ROWS, kind)), group_column="topic")
    assert read(config) == [Member(r["document"], r["concept"], "life", r["form"], r["text"], b"") for r in ROWS]


def test_words_that_look_like_nothing_or_like_numbers_are_words(tmp_path: Path) -> None:
    rows = [dict(ROWS[0], text="null"), dict(ROWS[1], text="007"), dict(ROWS[3], text="NA")]
    assert [member.text for member in read(GeneralisationConfig(path=str(write(tmp_path, rows, "csv"))))] == [
        "null", "007", "NA",
    ]  # fmt: skip
    rows = [dict(ROWS[0], document=7, text="1"), dict(ROWS[1], document=7), dict(ROWS[3])]
    assert read(GeneralisationConfig(path=str(write(tmp_path, rows, "jsonl"))))[0].document == "7"


def test_pictures_are_members_and_empty_rows_are_not(tmp_path: Path) -> None:
    rows = [
        {**ROWS[0], "image": None},
        {"document": "cat", "concept": "animal", "form": "drawn", "text": None, "image": b"a file"},
        {"document": "oak", "concept": "plant", "form": "drawn", "text": None, "image": b"another"},
        {"document": "elm", "concept": "plant", "form": "en", "text": "  ", "image": None},
    ]
    members = read(GeneralisationConfig(path=str(write(tmp_path, rows, "parquet"))))
    assert [(m.document, m.form, m.text, m.image) for m in members] == [
        ("cat", "en", "cat", b""), ("cat", "drawn", "", b"a file"), ("oak", "drawn", "", b"another"),
    ]  # fmt: skip


def test_only_the_forms_that_are_asked_for_are_read(tmp_path: Path) -> None:
    rows = [*ROWS, dict(ROWS[0], form="fr", text="chat")]
    config = GeneralisationConfig(path=str(write(tmp_path, rows, "csv")), forms=("en", "fr"))
    assert {member.form for member in read(config)} == {"en", "fr"}


@pytest.mark.parametrize(
    ("rows", "settings", "sentence"),
    [
        (ROWS, {"forms": ("en", "xx")}, r"it has no form 'xx', but de, en: set generalisation\.forms"),
        ([*ROWS, dict(ROWS[0], form="fr", text="")], {}, "every member of the form 'fr' is empty"),
        ([*ROWS, dict(ROWS[0], form="fr", concept="plant")], {}, "the document 'cat' belongs to 2 concepts"),
        ([*ROWS, dict(ROWS[0], document="x", topic="else")], {"group_column": "topic"}, "'animal' belongs to 2 groups"),
        ([r for r in ROWS if r["form"] == "en"], {}, "all of it has one form, 'en'"),
        (ROWS, {"concept_column": "class"}, "has no column 'class', but document, concept, topic, form, text"),
        (ROWS, {"text_column": "name"}, "has no column 'name'"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_mean_what_it_says_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        read(GeneralisationConfig(path=str(write(tmp_path, rows, "csv")), **settings))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"list\.parquet cannot be read"):
        read(GeneralisationConfig(path=str(tmp_path / "list.parquet")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"the folder holds no \.parquet, \.jsonl or \.csv"):
        read(GeneralisationConfig(path=str(tmp_path / "empty")))
    (tmp_path / "list.txt").write_text("cat")
    with pytest.raises(UserError, match=r"list\.txt"):
        read(GeneralisationConfig(path=str(tmp_path / "list.txt")))
