"""Explanations from files: what a CSV and an export say is what is read, and what is wrong with one is said."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autointerp
from autointerp.config import GivenExplainer
from autointerp.errors import UserError
from autointerp.explain import given
from tests import planted as plant

SOURCE = "20-gemmascope-res-16k"


def record(index: int | str, description: str | None, **more: Any) -> dict[str, Any]:
    """A record with the fields of an export."""
    return {
        "id": f"c{index}",
        "modelId": "gemma-2-2b",
        "layer": SOURCE,
        "index": str(index) if isinstance(index, int) else index,
        "authorId": "somebody",
        "description": description,
        "embedding": "[0.0, 1.0]",
        "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4o-mini",
    } | more


def write(path: Path, *records: Any) -> Path:
    lines = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0) if path.suffix == ".gz" else lines.encode())
    return path


def read(path: Path, *dictionaries: str, **settings: Any) -> dict[tuple[str, int], tuple[str, str]]:
    found = given.read(GivenExplainer(kind="given", path=str(path), **settings), dictionaries or ("16k",))
    return {key: (one.text, one.author) for key, one in found.items()}


def refused(path: Path, *dictionaries: str, **settings: Any) -> str:
    with pytest.raises(UserError, match=r"^You asked for the explanations in .*, but .*: .*\.$") as caught:
        read(path, *dictionaries, **settings)
    return str(caught.value)


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_an_export_by_lines(name: str, tmp_path: Path) -> None:
    path = write(
        tmp_path / name,
        record(0, " LaTeX\u2028 formatting \n elements"),
        "",
        record(27, "dogs", explanationModelName=None),
        record(5, ""),
        record(6, None),
        record("16383", "the last", explanationModelName="claude-3-5-sonnet"),
    )
    assert read(path) == {
        ("16k", 0): ("LaTeX formatting elements", "gpt-4o-mini"),
        ("16k", 27): ("dogs", ""),
        ("16k", 16383): ("the last", "claude-3-5-sonnet"),
    }


def test_a_line_ends_where_json_lines_end(tmp_path: Path) -> None:
    line = json.dumps(record(1, "a\u2028b\x85c"), ensure_ascii=False)
    assert read(write(tmp_path / "x.jsonl", line)) == {("16k", 1): ("a b c", "gpt-4o-mini")}


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_export_in_one_list(wrapped: bool, tmp_path: Path) -> None:
    rows = [record(0, "cats"), record(1, "dogs")]
    (tmp_path / "x.json").write_text(json.dumps({"explanationsCount": 2, "explanations": rows} if wrapped else rows))
    assert read(tmp_path / "x.json") == {("16k", 0): ("cats", "gpt-4o-mini"), ("16k", 1): ("dogs", "gpt-4o-mini")}


def test_a_folder_of_batches(tmp_path: Path) -> None:
    for batch in range(12):
        write(tmp_path / "explanations" / f"batch-{batch}.jsonl.gz", record(batch, f"number {batch}"))
    (tmp_path / "explanations" / "notes.txt").write_text("not part of it")
    assert read(tmp_path / "explanations") == {("16k", n): (f"number {n}", "gpt-4o-mini") for n in range(12)}
    (tmp_path / "empty").mkdir()
    assert "holds no .json, .jsonl or .jsonl.gz" in refused(tmp_path / "empty")


# sources


def test_sources_are_taken_for_the_dictionaries_they_are_said_to_be(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.jsonl",
        record(0, "twenty"),
        record(0, "twelve", layer="12-res"),
        record(0, "stray", layer="9-res"),
    )
    found = read(path, "a", "b", sources={SOURCE: "b", "12-res": "a"})
    assert found == {("a", 0): ("twelve", "gpt-4o-mini"), ("b", 0): ("twenty", "gpt-4o-mini")}


def test_what_belongs_where_is_never_guessed(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", record(0, "x"))
    two = write(tmp_path / "two.jsonl", record(0, "x"), record(0, "y", layer="12-res"))
    for path, dictionaries in ((one, ("a", "b")), (two, ("a",)), (two, ("a", "b"))):
        assert "say with sources which belongs to which" in refused(path, *dictionaries)
    said = refused(one, "a", sources={"12-res": "a"})
    assert f"nothing of the source '12-res', only of {SOURCE}" in said


def test_one_export_is_about_one_model(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", record(0, "x"), record(1, "y", modelId="gemma-2-2b-it"))
    assert "several models, gemma-2-2b and gemma-2-2b-it" in refused(path)


# authors


def test_the_config_knows_better_who_wrote_them(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", record(0, "x"), record(1, "y", explanationModelName=None))
    assert {author for _, author in read(path, author="gpt-4o").values()} == {"gpt-4o"}
    role = GivenExplainer(kind="given", path=str(path))
    assert given.authors(role, ["16k"]) == {"gpt-4o-mini", "unknown"}
    assert given.authors(role.model_copy(update={"author": "human", "path": "nowhere"}), ["16k"]) == {"human"}


def test_several_for_one_feature_are_refused_or_those_of_one_author_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", record(3, "x"), record(3, "y", explanationModelName="o3"), record(4, "z"))
    said = refused(path)
    assert "feature 3 of 16k has more than one, by gpt-4o-mini and o3: keep one, or take those of one author" in said
    assert read(path, only="o3") == {("16k", 3): ("y", "o3")}
    assert read(path, only="gpt-4o-mini").keys() == {("16k", 3), ("16k", 4)}
    assert "none is by 'gpt-5'; its authors are gpt-4o-mini, o3: name one of these" in refused(path, only="gpt-5")


# what is broken


@pytest.mark.parametrize(
    "line",
    ['{"modelId": "gemma', "[]", "null", '"text"', "{}", json.dumps(record("twelve", "x")), "[" * 100_000]
    + [json.dumps(record(1, "x") | change) for change in ({"index": -1}, {"index": 1.5}, {"index": True}, {"layer": 3})]
    + [json.dumps({"layer": SOURCE, "index": 1}), json.dumps(record(1, "x") | {"description": 7})],
)
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    assert "line 3 of x.jsonl is no record with layer, index and description: mend or remove it" in refused(
        write(tmp_path / "x.jsonl", record(0, "x"), "", line)
    )
    assert "line 2 of x.jsonl is no record with layer, index and description, the first of 2 such" in refused(
        write(tmp_path / "x.jsonl", record(0, "x"), line, record(2, "y"), line)
    )


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08 broken", b"", gzip.compress(b"x" * 999, mtime=0)[:20], b"plain"])
def test_a_torn_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(content)
    said = refused(tmp_path / "x.jsonl.gz")
    assert "x.jsonl.gz cannot be read" in said or not content


def test_other_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert "the whole of x.json is no record" in refused(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[1, 2]")
    assert "record 1 of x.json is no record" in refused(tmp_path / "x.json")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    assert "x.jsonl cannot be read" in refused(tmp_path / "x.jsonl")
    assert "cannot be read" in refused(tmp_path / "nothing.jsonl")
    assert "it has the sources none for the dictionaries 16k" in refused(write(tmp_path / "empty.jsonl"))


# CSV


def test_a_csv_may_name_the_author_of_each_row(tmp_path: Path) -> None:
    rows = ["dictionary,feature,explanation,author", "a,0,cats,gpt-5.5", 'a,1,"None",human', "b,0,dogs,", "b,1,,o3"]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(rows))
    assert read(path) == {("a", 0): ("cats", "gpt-5.5"), ("a", 1): ("None", "human"), ("b", 0): ("dogs", "")}
    assert read(path, only="human") == {("a", 1): ("None", "human")}
    assert "leave sources out" in refused(path, sources={"x": "a"})


def test_authors_of_an_export_stand_in_the_roles_and_grades_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    tree = plant.settings(plant.plant(tmp_path / "planted"))
    texts = {0: ("boat, wave, sail", "gpt-4o-mini"), 1: ("cow, horse", "claude-3-5-sonnet"), 2: ("dead", "o3")}
    path = write(
        tmp_path / "explanations" / "batch-0.jsonl.gz",
        *(record(n, f"any of: {text}", explanationModelName=author) for n, (text, author) in texts.items()),
    )
    tree["explainers"] = {"knows": {"kind": "given", "path": str(path), "sources": {SOURCE: "rules"}}}
    run = autointerp.run(plant.write_config(tmp_path / "given.toml", tree), out=tmp_path / "runs")
    roles = pd.read_csv(run.path / "report" / "roles.csv", keep_default_na=False)
    theirs = roles[roles["role"] == "explainer knows"]
    assert theirs[["requested", "developer"]].to_numpy().tolist() == [
        ["claude-3-5-sonnet", "Anthropic"],
        ["gpt-4o-mini", "OpenAI"],
    ]
    scores = run.scores().query("metric == 'detection.ap' and control == 'none'").set_index("feature")
    assert scores.loc[[0, 1], "value"].tolist() == [1, 1]
