"""The ledger: what was paid for stays, wherever and however often it is asked for."""

import json
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from autointerp import cli
from autointerp.errors import UserError
from autointerp.llm.ledger import Ledger, home
from autointerp.llm.protocol import Reply, Request

REQUEST = Request("shared", "item", {"type": "object"}, sample=2)
REPLY = Reply("text \ud800 ü", "resolved", {"a": [1, None]}, "", 3, None, 0.5)


def start(path: Path, code: str) -> subprocess.Popen[str]:
    """A process that has a ledger open and runs `code`."""
    prelude = (
        "import os, sys; from pathlib import Path; from autointerp.llm.ledger import Ledger; "
        "from autointerp.llm.protocol import Reply, Request; ledger = Ledger(Path(sys.argv[1])); "
    )
    return subprocess.Popen([sys.executable, "-c", prelude + code, str(path)], stderr=subprocess.PIPE, text=True)


def test_reply_comes_back_equal_and_marked_as_cached(ledger: Ledger) -> None:
    assert ledger.get("k") is None
    ledger.put("k", "p", "m", REQUEST, REPLY)
    stored = ledger.get("k")
    assert stored is not None and stored.cached
    assert stored == Reply("text \ud800 ü", "resolved", {"a": [1, None]}, "", 3, None, 0.5, cached=True)


def test_first_answer_stays(ledger: Ledger) -> None:
    ledger.put("k", "p", "m", REQUEST, Reply("first", "r"))
    ledger.put("k", "p", "m", REQUEST, Reply("second", "r"))
    stored = ledger.get("k")
    assert stored is not None and stored.text == "first"


def test_put_survives_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    process = start(path, "ledger.put('k', 'p', 'm', Request('', 'c'), Reply('paid', 'r')); os._exit(9)")
    process.communicate(timeout=60)
    assert process.returncode == 9
    with Ledger(path) as ledger:
        stored = ledger.get("k")
    assert stored is not None and stored.text == "paid"


def test_processes_open_and_write_one_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    code = "[ledger.put(f'{who}.{i}', 'p', 'm', Request('', 'c'), Reply('t', 'r')) for i in range(40)]"
    writers = [start(path, f"who = {who}; {code}") for who in range(4)]
    assert [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers] == [("", 0)] * 4
    with Ledger(path) as ledger:
        assert all(ledger.get(f"{writer}.{i}") for writer in range(4) for i in range(40))


def test_a_file_that_is_no_ledger_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database" * 50)
    with pytest.raises(UserError, match=r"notes\.txt"):
        Ledger(path)
    assert path.read_text().startswith("these are notes")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="99"):
        Ledger(path)


def test_ledgers_from_before_payers_were_kept_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.put("k", "p", "m", REQUEST, REPLY)
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE replies DROP COLUMN payer")
    openers = [
        start(path, f"ledger.put('new{who}', 'p', 'm', Request('', 'c'), Reply('t', 'r'), 'x')") for who in "abc"
    ]
    assert [(opener.communicate(timeout=60)[1], opener.returncode) for opener in openers] == [("", 0)] * 3
    with Ledger(path) as ledger:
        assert ledger.get("k") == replace(REPLY, cached=True)
        assert [ledger.payer(key) for key in ("k", "newa", "newb", "newc", "none")] == ["", "x", "x", "x", None]


# what it holds


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The user's own ledger: 3 replies of one model, 2 of another that are a year old."""
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    ledger = Ledger(home())
    for number in range(3):
        ledger.put(f"a{number}", "openai", "gpt-6-luna", Request("shared", f"item {number}"), REPLY)
    for number in range(2):
        ledger.put(f"b{number}", "anthropic", "claude-haiku-5-5", Request("shared", "x" * 50_000), REPLY)
    ledger._database.execute("UPDATE replies SET stored = datetime('now', '-365 days') WHERE provider = 'anthropic'")
    return ledger


def command(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["ledger", *map(str, words)])


def test_stats_count_replies_and_bytes(filled: Ledger) -> None:
    found = {row.model: row for row in filled.holdings()}
    assert (found["gpt-6-luna"].replies, found["claude-haiku-5-5"].replies) == (3, 2)
    assert 100_000 < found["claude-haiku-5-5"].size < 102_000
    assert found["claude-haiku-5-5"].last < found["gpt-6-luna"].first
    shown = command("stats").output
    assert re.search(r"anthropic\W+claude-haiku-5-5\W+2\W+100,", shown)
    assert re.search(r"all\W+5\W", shown)


def test_export_writes_every_reply_and_it_can_be_read_back(filled: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out" / "replies.jsonl"
    assert command("export", path).exit_code == 0
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["key"] for row in rows] == ["b0", "b1", "a0", "a1", "a2"]
    for row in rows:
        assert replace(Reply(**row["reply"]), cached=True) == filled.get(row["key"])
    assert Request(**rows[2]["request"]) == Request("shared", "item 0")
    assert command("export").output == path.read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("--days", "30"), {"gpt-6-luna"}),
        (("--days", "400"), {"gpt-6-luna", "claude-haiku-5-5"}),
        (("--model", "gpt-*"), {"claude-haiku-5-5"}),
        (("--model", "gpt"), {"gpt-6-luna", "claude-haiku-5-5"}),
        (("--model", "gpt-6-luna", "--days", "30"), {"gpt-6-luna", "claude-haiku-5-5"}),
    ],
)
def test_prune_by_age_and_model(filled: Ledger, words: tuple[str, ...], left: set[str]) -> None:
    assert command("prune", *words).exit_code == 0
    assert {row.model for row in filled.holdings()} == left


def test_prune_gives_the_space_back(filled: Ledger) -> None:
    filled._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = home().stat().st_size
    assert command("prune", "--model", "claude*").output == "2 replies thrown away\n"
    assert home().stat().st_size < before / 3


def test_prune_needs_to_be_told_what(filled: Ledger) -> None:
    ended = command("prune")
    assert isinstance(ended.exception, UserError)
    assert "give --days, --model or both" in str(ended.exception)
    assert len(filled.holdings()) == 2


def test_pruning_under_a_writer_says_that_it_is_in_use(filled: Ledger) -> None:
    with sqlite3.connect(home()) as other:
        other.execute("BEGIN IMMEDIATE")
        filled._database.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(UserError, match=r"in use \(database is locked\): wait"):
            filled.prune(days=0)
        with pytest.raises(UserError, match="cannot be written"):
            filled.put("k", "p", "m", REQUEST, REPLY)
        other.rollback()
    assert len(filled.holdings()) == 2
