"""What a rater said is kept: through a kill, a torn line and a round trip through a spreadsheet."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autointerp import cli, ratings
from autointerp.errors import UserError
from autointerp.rate import items
from autointerp.rate.items import Material
from autointerp.ratings import COLUMNS, Answers, Rating
from tests.rate import rated

ROOT = Path(__file__).parents[2]
ONE = Rating("ann", "i0", "d", 3, "e", "none", "00.0", 2, 1.5)


def rate(run: Path, *said: Rating) -> Path:
    for rating in said:
        answers = Answers(run, rating.rater)
        answers.add([rating])
        answers.close()
    return run / "ratings" / "ann.jsonl"


def some(found: Material, rater: str = "ann", n: int = 6) -> list[Rating]:
    tasks = items.draw(found, n, 0)
    given = [2, None, 0, 3, 1, 2]
    return [task.rated(rater, given[at % 6], at + 0.25) for at, task in enumerate(tasks)]


def test_a_later_answer_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    rate(tmp_path, ONE, replace(ONE, item="i1", rating=None), replace(ONE, rating=0), replace(ONE, rater="ben"))
    found = ratings.read(tmp_path)
    assert list(found.columns) == list(COLUMNS)
    assert found[["rater", "item"]].values.tolist() == [["ann", "i0"], ["ann", "i1"], ["ben", "i0"]]
    assert found["rating"].tolist()[::2] == [0, 2]
    assert found["rating"].isna().tolist() == [False, True, False]


def test_a_run_without_ratings_has_an_empty_frame(tmp_path: Path) -> None:
    assert list(ratings.read(tmp_path).columns) == list(COLUMNS)
    assert ratings.read(tmp_path).empty


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_last_line_is_left_out_and_said(cut: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = rate(tmp_path, ONE, replace(ONE, item="i1"))
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert ratings.read(tmp_path)["item"].tolist() == ["i0"]
    assert f"line 2 of {path} is torn or no rating and is left out" in caplog.text
    rate(tmp_path, replace(ONE, item="i2"))  # what follows stands on a line of its own
    assert ratings.read(tmp_path)["item"].tolist() == ["i0", "i2"]


@pytest.mark.parametrize("line", [b"\xff", b"null", b"[]", b"{}", b"\x00\x00", json.dumps({"rating": 9}).encode()])
def test_a_line_that_is_no_rating(line: bytes, tmp_path: Path) -> None:
    path = rate(tmp_path, ONE)
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert ratings.read(tmp_path)["item"].tolist() == ["i0"]


KILLED = """
import os, sys, signal, threading
from pathlib import Path
from autointerp.ratings import Answers, Rating
answers = Answers(Path(sys.argv[1]), "ann")
for at in range(1000):
    answers.add([Rating("ann", f"i{at}", "d", at, "e", "none", "00.0", at % 4, 1.0)])
    os.write(1, f"{at}\\n".encode())
"""


def test_a_kill_loses_no_answer_that_was_acknowledged(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, bufsize=0
    ) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read()
    acknowledged = 20 + rest.count(b"\n")
    assert acknowledged < 1000
    found = ratings.read(tmp_path)
    assert len(found) in (acknowledged, acknowledged + 1)
    assert found["item"].tolist() == [f"i{at}" for at in range(len(found))]


def test_an_answer_is_on_the_disk_before_the_page_is_told(found: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    with rated.served(found, 3) as served:
        path = served.server.session.answers.path
        monkeypatch.setattr("os.fsync", lambda handle: synced.append(path.read_bytes().count(b"\n")))
        assert served.answer(0, 2).status == 200
        assert synced == [1]
        monkeypatch.setattr("os.fsync", full)
        assert served.answer(1, 2).status == 500


def test_an_answer_torn_by_a_full_disk_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(tmp_path, "ann")
    answers.add([ONE])
    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            answers.add([replace(ONE, item="i1")])
    assert "i1" not in answers
    with answers.path.open("r+b") as file:  # half of it had found room
        file.truncate(answers.path.stat().st_size - 9)
    answers.add([replace(ONE, item="i2")])
    answers.close()
    assert ratings.read(tmp_path)["item"].tolist() == ["i0", "i2"]


def full(handle: int) -> None:
    raise OSError(28, "No space left on device")


# CSV

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["autointerp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_round_trip_through_a_csv(command: Command, found: Material, tmp_path: Path) -> None:
    rate(found.path, *some(found), *some(found, "ben", 3))
    before, sheet = ratings.read(found.path), tmp_path / "out.csv"
    assert command("export", "ratings", found.path, sheet) == (0, f"9 ratings in {sheet}\n", "")
    assert pd.read_csv(sheet).columns.tolist() == list(COLUMNS)
    assert command("import", "ratings", found.path, sheet)[1] == "0 ratings taken in, 9 were there\n"
    for path in (found.path / "ratings").iterdir():
        path.unlink()
    assert command("import", "ratings", found.path, sheet)[1] == "9 ratings taken in, 0 were there\n"
    pd.testing.assert_frame_equal(ratings.read(found.path), before)


def test_a_csv_needs_three_columns_and_may_have_others(command: Command, found: Material, tmp_path: Path) -> None:
    item, sheet = some(found)[0].item, tmp_path / "in.csv"
    sheet.write_text(f"note,rating,item,rater\r\nfine,3,{item},cleo\r\n", "utf-8-sig")
    assert command("import", "ratings", found.path, sheet)[0] == 0
    (row,) = ratings.read(found.path).to_dict("records")
    assert (row["rater"], row["rating"], row["seconds"], row["dictionary"]) == ("cleo", 3, 0, rated.DICTIONARY)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ann,0123456789abcdef,1", "line 3 is about '0123456789abcdef', which is no item of the run"),
        ("ann,{item},4", "line 3 has the rating '4', which is none of 0, 1, 2, 3 or nothing"),
        ("ann,{item},1.0", "line 3 has the rating '1.0'"),
        ("ann,{item},-1", "line 3 has the rating '-1'"),
        ("../x,{item},1", "line 3 has the rater '../x', which is no name"),
        (",{item},1", "line 3 has the rater ''"),
        ("ann,{item},1,soon", "line 3 has 'soon' seconds, which is no duration"),
        ("ann,{item},1,-2", "line 3 has '-2' seconds"),
        ("ann,{item},1,2,other", "line 3 says dictionary 'other', and the item is of 'zq-dictionary'"),
        ('ann,"{item},1', "what follows line 2 is no CSV"),
        ("", ""),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_taken_in(
    line: str, said: str, command: Command, found: Material, tmp_path: Path
) -> None:
    item, sheet = some(found)[0].item, tmp_path / "in.csv"
    sheet.write_text(f"rater,item,rating,seconds,dictionary\nann,{item},1,2,\n{line.format(item=item)}\n")
    code, _, err = command("import", "ratings", found.path, sheet)
    if not said:
        assert code == 0
        return
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert re.fullmatch(r"You asked for the ratings in .+, but .+: .+\.", err.strip())
    assert ratings.read(found.path).empty


def test_files_that_cannot_be_read_or_written(command: Command, found: Material, tmp_path: Path) -> None:
    code, _, err = command("import", "ratings", found.path, tmp_path / "nowhere.csv")
    assert code == 2 and "they cannot be read" in err
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    code, _, err = command("import", "ratings", found.path, tmp_path / "in.csv")
    assert code == 2 and "it has no column 'rater': its columns are to be rater, item" in err
    code, _, err = command("export", "ratings", found.path, tmp_path / "out.csv")
    assert code == 2 and "it has none" in err
    rate(found.path, ONE)
    code, _, err = command("export", "ratings", found.path, tmp_path)
    assert code == 2 and "that failed" in err
    with pytest.raises(UserError, match="cannot be the name of a file"):
        Answers(found.path, "../ann")
