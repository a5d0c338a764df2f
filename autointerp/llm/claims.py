"""Which requests are in which batch: rows beside the ledger's replies, written before anything is submitted.

A batch begins as an intent: its requests are claimed in one transaction, and a request has one claim at the most, so
that no two processes submit it. The provider's id is added when the batch is accepted, before it is ever asked after.
An answer takes the place of its claim in one transaction. What came back without an answer keeps a row that no batch
holds, with the number of batches it has been through.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from autointerp.llm.budget import Cost
from autointerp.llm.ledger import Ledger, encode
from autointerp.llm.protocol import Reply, Request

# Ledgers of older versions get these tables, too, and older programs do not mind them: no new format.
TABLES = (
    """CREATE TABLE IF NOT EXISTS batches (
        token TEXT PRIMARY KEY,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        payer TEXT NOT NULL,
        id TEXT,
        created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        state TEXT NOT NULL DEFAULT 'intended'
    )""",
    """CREATE TABLE IF NOT EXISTS claims (
        key TEXT PRIMARY KEY,
        token TEXT,
        request TEXT NOT NULL,
        usd REAL NOT NULL,
        tokens INTEGER NOT NULL,
        batches INTEGER NOT NULL DEFAULT 0,
        failure TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX IF NOT EXISTS claims_of ON claims (token)",
)
CLAIM = """
INSERT INTO claims (key, token, request, usd, tokens) SELECT ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = ?1)
ON CONFLICT (key) DO UPDATE SET token = excluded.token, usd = excluded.usd, tokens = excluded.tokens
WHERE claims.token IS NULL
"""
ANSWER = """
INSERT INTO replies (key, provider, model, request, reply, payer)
SELECT key, ?, ?, request, ?, ? FROM claims WHERE key = ? AND token = ? ON CONFLICT DO NOTHING
"""
OPEN = """
SELECT token, provider, model, payer, id, created, COUNT(*) FROM batches JOIN claims USING (token)
WHERE {} GROUP BY token ORDER BY created, token
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with `requests` unanswered requests. `id` is the provider's, None while it is not known to be accepted.

    `token` is ours, `payer` the budget in which it is reserved, `created` when it was written down (UTC).
    """

    token: str
    provider: str
    model: str
    payer: str
    id: str | None
    created: datetime
    requests: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that the ledger does not hold. `token` is that of the batch that it is in, None where it is in none.

    `batches` counts those that came back without its answer, and `failure` says why the last one did.
    """

    token: str | None
    batches: int
    failure: str


class Claims:
    """The claims in one ledger. Raises UserError where the disk will not take them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        with ledger.writing() as database:
            for table in TABLES:
                database.execute(table)
        self._database = database

    def held(self, keys: Iterable[str]) -> dict[str, Claim]:
        """The claims on `keys`."""
        rows = self._database.execute(
            "SELECT key, token, batches, failure FROM claims WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        return {key: Claim(*rest) for key, *rest in rows}

    def open(self, keys: Iterable[str] | None = None) -> list[Batch]:
        """Batches with unanswered requests, oldest first: all, or those that hold one of `keys`."""
        if keys is None:
            rows = self._database.execute(OPEN.format("1"))
        else:
            held = "token IN (SELECT token FROM claims WHERE key IN (SELECT value FROM json_each(?)))"
            rows = self._database.execute(OPEN.format(held), (json.dumps(list(keys)),))
        return [
            Batch(token, provider, model, payer, id_, datetime.fromisoformat(created).replace(tzinfo=UTC), n)
            for token, provider, model, payer, id_, created, n in rows
        ]

    def ids(self, provider: str) -> frozenset[str]:
        """The ids of all batches of a provider that were ever accepted."""
        rows = self._database.execute("SELECT id FROM batches WHERE provider = ? AND id IS NOT NULL", (provider,))
        return frozenset(id_ for (id_,) in rows)

    def requests(self, token: str) -> dict[str, Request]:
        """The unanswered requests of a batch, without their images."""
        rows = self._database.execute("SELECT key, request FROM claims WHERE token = ?", (token,))
        return {key: Request.of(json.loads(request)) for key, request in rows}

    def intend(
        self, provider: str, model: str, payer: str, requests: Mapping[str, tuple[Request, Cost]]
    ) -> tuple[Batch, set[str]]:
        """A new batch, written down, and the keys claimed for it: those that no reply and no other batch has."""
        token, created = uuid4().hex, datetime.now(UTC).replace(microsecond=0)
        claimed = set()
        with self._ledger.writing(together=True) as database:
            database.execute(
                "INSERT INTO batches (token, provider, model, payer, created) VALUES (?, ?, ?, ?, ?)",
                (token, provider, model, payer, created.strftime("%Y-%m-%d %H:%M:%S")),
            )
            for key, (request, most) in requests.items():
                row = (key, token, encode(request.described()), most.usd, most.tokens)
                if database.execute(CLAIM, row).rowcount:
                    claimed.add(key)
        return Batch(token, provider, model, payer, None, created, len(claimed)), claimed

    def submitted(self, token: str, id_: str) -> None:
        """The provider has accepted the batch."""
        with self._ledger.writing() as database:
            database.execute("UPDATE batches SET id = ?, state = 'submitted' WHERE token = ?", (id_, token))

    def answered(self, batch: Batch, key: str, reply: Reply) -> Cost | None:
        """Put a reply in the place of its claim; what was reserved for it. None where the batch has no such claim."""
        with self._ledger.writing(together=True) as database:
            values = (batch.provider, batch.model, encode(reply.described()), batch.payer, key, batch.token)
            database.execute(ANSWER, values)
            gone = "DELETE FROM claims WHERE key = ? AND token = ? RETURNING usd, tokens"
            rows = database.execute(gone, (key, batch.token)).fetchall()
        return next((Cost(usd, 1, tokens) for usd, tokens in rows), None)

    def failed(self, batch: Batch, key: str, why: str) -> Cost | None:
        """Let go of a request that came back without an answer; what was reserved for it, None if it was not held."""
        with self._ledger.writing() as database:
            free = "UPDATE claims SET token = NULL, batches = batches + 1, failure = ? WHERE key = ? AND token = ?"
            rows = database.execute(f"{free} RETURNING usd, tokens", (why, key, batch.token)).fetchall()
        return next((Cost(usd, 1, tokens) for usd, tokens in rows), None)

    def release(self, batch: Batch) -> Cost:
        """Forget a batch of which nothing was done, as if it had never been; what was reserved for it."""
        with self._ledger.writing(together=True) as database:
            held = "SELECT COALESCE(SUM(usd), 0), COUNT(*), COALESCE(SUM(tokens), 0) FROM claims WHERE token = ?"
            usd, requests, tokens = database.execute(held, (batch.token,)).fetchone()
            database.execute("DELETE FROM claims WHERE token = ? AND batches = 0", (batch.token,))
            database.execute("UPDATE claims SET token = NULL WHERE token = ?", (batch.token,))
            database.execute("DELETE FROM batches WHERE token = ?", (batch.token,))
        return Cost(usd, requests, tokens)

    def collected(self, batch: Batch) -> None:
        """All has been read that the batch had to give. Its id stays known."""
        with self._ledger.writing() as database:
            database.execute("UPDATE batches SET state = 'collected' WHERE token = ?", (batch.token,))

    def batch(self, name: str) -> Batch | None:
        """The open batch with this id of the provider's, or this token of ours."""
        return next((batch for batch in self.open() if name in (batch.id, batch.token)), None)

    def forget(self, keys: Collection[str]) -> None:
        """Drop what no batch holds of `keys`: they start anew when they are next asked for."""
        with self._ledger.writing() as database:
            database.execute(
                "DELETE FROM claims WHERE token IS NULL AND key IN (SELECT value FROM json_each(?))",
                (json.dumps(list(keys)),),
            )
