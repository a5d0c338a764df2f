"""The ledger: what was paid for stays, wherever and however often it is asked for."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from autointerp.errors import UserError
from autointerp.llm.ledger import Ledger
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
