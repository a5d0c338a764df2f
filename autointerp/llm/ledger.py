"""Every answer ever paid for, in one SQLite file that runs and processes share.

A row is an answer as JSON under the hash of everything that could change it (`protocol.key`), and which run paid for
it. Prompts and answers are in it; keys, headers and addresses are not.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autointerp import assets
from autointerp.errors import UserError
from autointerp.llm.protocol import Reply, Request

VERSION = 1
BUSY_SECONDS = 60.0
CHECKPOINT_PAGES = 10_000  # of 4 KiB
TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL,
    stored TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    payer TEXT NOT NULL DEFAULT ''
)
"""
# Older ledgers get it when they are opened, and older programs do not mind it: no new format.
PAYER = "ALTER TABLE replies ADD COLUMN payer TEXT NOT NULL DEFAULT ''"
INSERT = """
INSERT INTO replies (key, provider, model, request, reply, payer) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
HOLDINGS = """
SELECT provider, model, COUNT(*), SUM(LENGTH(request) + LENGTH(reply)), MIN(stored), MAX(stored)
FROM replies GROUP BY provider, model ORDER BY provider, model
"""
SECONDS_PER_DAY = 86_400


def home() -> Path:
    """The ledger that all runs of this user share."""
    return assets.cache() / "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Holding:
    """What the ledger holds of one model. `first` and `last` are UTC; `size` is in bytes of JSON."""

    provider: str
    model: str
    replies: int
    size: int
    first: str
    last: str


class Ledger:
    """Replies by key. Safe from several processes, and from several threads where their calls do not overlap.

    Raises UserError where the file cannot be opened, is not a ledger, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # autocommit: a put is on disk when it returns
            self._database = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"you asked for the ledger {path}",
                f"it cannot be used ({error})",
                "move that file away or name another",
            ) from None

    def _prepare(self) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise sqlite3.DatabaseError(f"it has format {version} and this program knows {VERSION}")
        self._database.execute("PRAGMA journal_mode = WAL")
        # in WAL mode this survives the death of the process, not of the machine, and saves an fsync per reply
        self._database.execute("PRAGMA synchronous = NORMAL")
        # copying the log into the file waits for the disk, and so would every request in flight: do it seldom
        self._database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if version < VERSION:
            self._database.execute(TABLE)
            self._database.execute(f"PRAGMA user_version = {VERSION}")
        if not self._knows_payers():
            with self.writing(together=True) as database:
                if not self._knows_payers():  # another process may have been faster
                    database.execute(PAYER)

    def _knows_payers(self) -> bool:
        return any(column[1] == "payer" for column in self._database.execute("PRAGMA table_info(replies)"))

    def get(self, key: str) -> Reply | None:
        """The stored reply, marked as cached, or None."""
        row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return replace(Reply.of(json.loads(row[0])), cached=True) if row else None

    def payer(self, key: str) -> str | None:
        """The token of the budget that a stored reply was paid from, empty where nobody said; None without a reply."""
        row = self._database.execute("SELECT payer FROM replies WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def put(self, key: str, provider: str, model: str, request: Request, reply: Reply, payer: str = "") -> None:
        """Commit a reply. Where two processes asked the same at once the first answer stays, so later runs agree.

        `payer` is the token of the budget that it was paid from. Raises UserError where the disk will not take it: an
        answer that cannot be kept should not be paid for.
        """
        row = (key, provider, model, encode(request.described()), encode(reply.described()), payer)
        with self.writing() as database:
            database.execute(INSERT, row)

    @contextmanager
    def writing(self, together: bool = False) -> Iterator[sqlite3.Connection]:
        """The database, to be written to; what is done `together` is done as a whole or not at all.

        Raises UserError where the disk will not take it.
        """
        try:
            if together:
                self._database.execute("BEGIN IMMEDIATE")
            yield self._database
            if together:
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise UserError(
                f"you asked to keep what is paid for in the ledger {self.path}",
                f"it cannot be written ({error})",
                "make room on the disk, or end what holds the file, and run again",
            ) from None
        finally:
            if together and self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def holdings(self) -> list[Holding]:
        """What is held, by provider and model."""
        return [Holding(*row) for row in self._database.execute(HOLDINGS)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every reply with its request, oldest first, as JSON values."""
        columns = ("key", "provider", "model", "stored", "request", "reply")
        for row in self._database.execute(f"SELECT {', '.join(columns)} FROM replies ORDER BY stored, key"):
            found = dict(zip(columns, row, strict=True))
            yield found | {name: json.loads(found[name]) for name in ("request", "reply")}

    def prune(self, days: float | None = None, model: str | None = None) -> int:
        """Forget replies older than `days` and of a `model` (a name, or a pattern with * and ?); how many there were.

        The file shrinks. Raises UserError where another process is writing.
        """
        where, values = ["1"], []
        if days is not None:
            where.append("stored < datetime('now', ?)")
            values.append(f"-{days * SECONDS_PER_DAY:.0f} seconds")
        if model is not None:
            where.append("model GLOB ?")
            values.append(model)
        try:
            gone = self._database.execute(f"DELETE FROM replies WHERE {' AND '.join(where)}", values).rowcount
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise UserError(
                f"you asked to prune the ledger {self.path}", f"it is in use ({error})", "wait until no run is working"
            ) from None
        return gone

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def encode(value: object) -> str:
    """Compact JSON. Text stays ASCII, since a lone surrogate in a model's answer is no valid UTF-8."""
    return json.dumps(value, separators=(",", ":"))
