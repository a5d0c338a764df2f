"""The CSV files: what was written is what is read, by any reader, and no spreadsheet runs any of it."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp import sheets

ODD = [
    "two\nlines",
    "old\rMac",
    "Windows\r\nlines",
    'a "quoted" word',
    '"',
    ",",
    " led by a space",
    "followed by one ",
    "\u2028 ends no record",
    "\ufeffafter a mark of byte order",
    "NA",
    "null",
    "nan",
    "TRUE",
    "'tis",
    "ﬁ 漢字 🙂",
]
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\ttabbed",
    "  =1+1",
    "\u00a0=1+1",
    "\u3000＝1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(A1)",
    '=HYPERLINK("http://a.example","b")',
    "=cmd|' /C calc'!A0",
]


def written(path: Path, texts: list[str]) -> Path:
    sheets.write(path, pd.DataFrame({"dictionary": "d", "explanation": pd.Series(texts, dtype=object)}))
    return path


def read_by_pandas(path: Path) -> list[str]:
    return [str(cell) for cell in pd.read_csv(path, keep_default_na=False, dtype=str)["explanation"]]


def read_by_csv(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [row["explanation"] for row in csv.DictReader(handle, strict=True)]


def would_run(cell: str) -> bool:
    """By the first character that is seen, full-width forms among them. A tab or a new line in front may do it, too."""
    return cell.startswith(("\t", "\r", "\n")) or cell.lstrip().startswith(tuple("=+-@＝＋－＠"))


@pytest.mark.parametrize("read", [read_by_pandas, read_by_csv])
def test_other_readers_get_what_was_written(read: object, tmp_path: Path) -> None:
    assert callable(read)
    assert read(written(tmp_path / "odd.csv", ODD)) == ODD


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_for_a_spreadsheet_and_itself_for_us(text: str, tmp_path: Path) -> None:
    path = written(tmp_path / "formula.csv", [text])
    assert would_run(text)
    assert read_by_csv(path) == [f"'{text}"]
    assert sheets.read(path)["explanation"].tolist() == [text]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1) | st.text("'=+-@ \t\r\n\"", min_size=1))
)
def test_any_text_comes_back_and_none_would_run(texts: list[str], tmp_path: Path) -> None:
    kept = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    path = written(tmp_path / "any.csv", texts)
    assert read_by_csv(path) == read_by_pandas(path)
    assert not any(would_run(cell) for cell in read_by_csv(path))
    assert sheets.read(path)["explanation"].tolist() == kept


def test_what_no_reader_takes_becomes_a_question_mark(tmp_path: Path) -> None:
    path = written(tmp_path / "torn.csv", ["a\0b", "half \ud83d of a pair"])
    assert read_by_pandas(path) == read_by_csv(path) == ["a?b", "half ? of a pair"]


def test_names_of_dictionaries_and_columns_are_no_formulas(tmp_path: Path) -> None:
    frame = pd.DataFrame({"dictionary": ["-16k", "256"], "=metric.ap": [0.5, -0.25]})
    sheets.write(tmp_path / "names.csv", frame)
    lines = (tmp_path / "names.csv").read_bytes().decode().split("\r\n")
    assert lines == ["dictionary,'=metric.ap", "'-16k,0.5", "256,-0.25", ""]  # a negative number stays a number
    pd.testing.assert_frame_equal(sheets.read(tmp_path / "names.csv"), frame)


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"value": [1 / 3, 2e-7, 1e300, float("nan")], "n": [1, 2, 3, 4], "dead": [True, False] * 2})
    sheets.write(tmp_path / "one.csv", frame)
    noisy = frame.assign(value=frame["value"] * (1 + 1e-12))  # the last digits, which depend on the machine
    sheets.write(tmp_path / "other.csv", noisy)
    content = (tmp_path / "one.csv").read_bytes()
    assert content == (tmp_path / "other.csv").read_bytes()
    assert content.split(b"\r\n")[1:5] == [b"0.333333,1,True", b"2e-07,2,False", b"1e+300,3,True", b",4,False"]
