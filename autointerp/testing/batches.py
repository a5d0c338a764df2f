"""The batches of the fault server: those of `/v1/messages/batches`, and `/v1/files` with `/v1/batches`.

Requests are answered when their batch is submitted; a batch ends at the look after `polls` others, a look being one at
it or at a list that it is in. Results come in the reverse order.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock
from typing import Any
from urllib.parse import parse_qs, urlsplit

MESSAGES, COMPLETIONS = "/v1/messages", "/v1/chat/completions"
KINDS = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}


@dataclass(frozen=True)
class Outcome:
    """What becomes of a request in a batch: succeeded, errored (with the status that it would have had), expired,
    canceled or missing; the body is the response. With `twice` it stands twice in the results."""

    kind: str
    status: int = 200
    body: dict[str, Any] = field(default_factory=dict)
    twice: bool = False


@dataclass
class Batch:
    id: str
    path: str
    outcomes: dict[str, Outcome]
    created: float
    metadata: dict[str, str]
    looks: int = 0
    canceled: bool = False


class Batches:
    """`polls` is how many looks find a batch unfinished, a third of them validating where batches are validated.

    `refused` is (code, message) of the error with which validation fails. `succeeded` counts by id the requests that
    were answered, and so have to be paid for.
    """

    def __init__(self, answer: Callable[[str, dict[str, Any]], Outcome]) -> None:
        self.polls = 0
        self.refused: tuple[str, str] | None = None
        self.succeeded: Counter[str] = Counter()
        self.made: list[Batch] = []
        self.files: dict[str, str] = {}
        self._answer = answer
        self._lock = RLock()

    def serve(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """(status, body) of the response."""
        address = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        for verb, pattern, handler in self._routes():
            match = re.fullmatch(pattern, address.path)
            if match and verb == method:
                with self._lock:
                    try:
                        found = handler(*match.groups(), body=body, query=query)
                    except KeyError as error:
                        missing = {"type": "not_found_error", "message": f"there is no {error.args[0]}"}
                        return 404, json.dumps({"type": "error", "error": missing})
                return 200, found if isinstance(found, str) else json.dumps(found)
        return 404, "{}"

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        messages, one = rf"{MESSAGES}/batches", r"/([^/]+)"
        return [
            ("POST", messages, self._submit_messages),
            ("GET", messages, lambda **how: self._list(MESSAGES, "after_id", **how)),
            ("GET", messages + one, lambda id_, **how: self._message_batch(self._look(id_))),
            ("POST", messages + one + "/cancel", lambda id_, **how: self._message_batch(self._cancel(id_))),
            ("GET", messages + one + "/results", self._message_results),
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files" + one + "/content", lambda id_, **how: self.files[id_]),
            ("POST", "/v1/batches", self._submit_file),
            ("GET", "/v1/batches", lambda **how: self._list(COMPLETIONS, "after", **how)),
            ("GET", "/v1/batches" + one, lambda id_, **how: self._file_batch(self._look(id_))),
            ("POST", "/v1/batches" + one + "/cancel", lambda id_, **how: self._file_batch(self._cancel(id_))),
        ]

    # both

    def _submit(self, path: str, requests: dict[str, dict[str, Any]], metadata: dict[str, str]) -> Batch:
        outcomes = {} if self.refused else {id_: self._answer(path, body) for id_, body in requests.items()}
        self.succeeded.update(id_ for id_, outcome in outcomes.items() if outcome.kind == "succeeded")
        batch = Batch(f"batch_{len(self.made)}", path, outcomes, time.time(), metadata)
        self.made.append(batch)
        return batch

    def _batch(self, id_: str) -> Batch:
        return {batch.id: batch for batch in self.made}[id_]

    def _look(self, id_: str) -> Batch:
        batch = self._batch(id_)
        batch.looks += 1
        return batch

    def _cancel(self, id_: str) -> Batch:
        batch = self._batch(id_)
        if not self._ended(batch):
            self.succeeded.subtract(id_ for id_, outcome in batch.outcomes.items() if outcome.kind == "succeeded")
            batch.outcomes = {id_: Outcome("canceled") for id_ in batch.outcomes}
            batch.canceled = True
        return batch

    def _ended(self, batch: Batch) -> bool:
        return batch.canceled or batch.looks > self.polls

    def _list(self, path: str, cursor: str, body: object, query: dict[str, str]) -> dict[str, Any]:
        """Newest first, a page at a time."""
        batches = [batch for batch in reversed(self.made) if batch.path == path]
        if cursor in query:
            at = [batch.id for batch in batches].index(query[cursor])
            batches = batches[at + 1 :]
        page = batches[: int(query.get("limit", 20))]
        show = self._message_batch if path == MESSAGES else self._file_batch
        for batch in page:
            batch.looks += 1
        edges = {"first_id": page[0].id, "last_id": page[-1].id} if page else {}
        return {"object": "list", "data": [show(b) for b in page], "has_more": len(page) < len(batches), **edges}

    # messages

    def _submit_messages(self, body: dict[str, Any], query: object) -> dict[str, Any]:
        requests = {one["custom_id"]: one["params"] for one in body["requests"]}
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id_) for id_ in requests)
        return self._message_batch(self._submit(MESSAGES, requests, {}))

    def _message_batch(self, batch: Batch) -> dict[str, Any]:
        ended = self._ended(batch)
        kinds = Counter(outcome.kind.replace("missing", "succeeded") for outcome in batch.outcomes.values())
        counts = {kind: kinds[kind] * ended for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else len(batch.outcomes), **counts},
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat(),
            "expires_at": datetime.fromtimestamp(batch.created + 86_400, UTC).isoformat(),
            "results_url": f"{MESSAGES}/batches/{batch.id}/results" if ended else None,
        }

    def _message_results(self, id_: str, body: object, query: object) -> str:
        lines = []
        for key, outcome in reversed(self._batch(id_).outcomes.items()):
            result: dict[str, Any] = {"type": outcome.kind}
            if outcome.kind == "succeeded":
                result["message"] = outcome.body
            elif outcome.kind == "errored":
                error = {**outcome.body["error"], "type": KINDS[outcome.status]}
                result["error"] = {"type": "error", "error": error}
            if outcome.kind != "missing":
                lines += [json.dumps({"custom_id": key, "result": result}) + "\n"] * (1 + outcome.twice)
        return "".join(lines)

    # files

    def _upload(self, body: dict[str, Any], query: object) -> dict[str, Any]:
        """Of a multipart form: the part with the file."""
        form = body["form"]
        part = next(p for p in form.split("--" + form.split("\r\n")[0][2:]) if 'name="file"' in p)
        id_ = f"file_{len(self.files)}"
        self.files[id_] = part.partition("\r\n\r\n")[2].removesuffix("\r\n")
        return {"id": id_, "object": "file", "purpose": "batch"}

    def _submit_file(self, body: dict[str, Any], query: object) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        requests = {line["custom_id"]: line["body"] for line in lines}
        return self._file_batch(self._submit(body["endpoint"], requests, body.get("metadata") or {}))

    def _file_batch(self, batch: Batch) -> dict[str, Any]:
        ended = self._ended(batch)
        shown: dict[str, Any] = {
            "id": batch.id,
            "object": "batch",
            "created_at": int(batch.created),
            "metadata": batch.metadata,
        }
        if not ended:
            validating = batch.looks * 3 <= self.polls
            return {**shown, "status": "validating" if validating else "in_progress"}
        if self.refused:
            code, said = self.refused
            errors = {"object": "list", "data": [{"code": code, "message": said}]}
            return {**shown, "status": "failed", "errors": errors}
        kinds = {outcome.kind for outcome in batch.outcomes.values()}
        status = "cancelled" if batch.canceled else "expired" if "expired" in kinds else "completed"
        good: list[str] = []
        bad: list[str] = []
        for key, outcome in reversed(batch.outcomes.items()):
            response = {"status_code": outcome.status, "request_id": "r", "body": outcome.body}
            line: dict[str, Any] = {"id": "l", "custom_id": key, "response": response, "error": None}
            if outcome.kind in ("expired", "canceled"):
                error = {"code": f"batch_{outcome.kind}", "message": f"this request is {outcome.kind}"}
                line |= {"response": None, "error": error}
            if outcome.kind != "missing":
                lines = good if outcome.kind == "succeeded" else bad
                lines += [json.dumps(line)] * (1 + outcome.twice)
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                self.files[f"{batch.id}_{name}"] = "\n".join(lines)
                shown[name] = f"{batch.id}_{name}"
        return {**shown, "status": status}
