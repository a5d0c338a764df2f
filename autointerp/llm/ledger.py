"""Every answer ever paid for, in one SQLite file that runs and processes share.

A row is an answer as JSON under the hash of everything that could change it (`protocol.key`). Prompts and answers
are in it; keys, headers and addresses are not.
"""

import json
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from autointerp.errors import UserError
from autointerp.llm.protocol import Reply, Request

VERSION = 1
BUSY_SECONDS = 60.0
TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL,
    stored TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""


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
        if version < VERSION:
            self._database.execute(TABLE)
            self._database.execute(f"PRAGMA user_version = {VERSION}")

    def get(self, key: str) -> Reply | None:
        """The stored reply, marked as cached, or None."""
        row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return replace(Reply(**json.loads(row[0])), cached=True) if row else None

    def put(self, key: str, provider: str, model: str, request: Request, reply: Reply) -> None:
        """Commit a reply. Where two processes asked the same at once the first answer stays, so later runs agree."""
        self._database.execute(
            "INSERT INTO replies (key, provider, model, request, reply) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (key, provider, model, encode(asdict(request)), encode(asdict(replace(reply, cached=False)))),
        )

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
