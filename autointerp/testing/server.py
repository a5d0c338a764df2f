"""A model server on 127.0.0.1 that speaks to the real SDKs of two providers and misbehaves when told to.

Served are `POST /v1/messages` and `POST /v1/chat/completions`, and batches of both (`batches`). Tokens are counted as a
quarter of the characters. Long shared beginnings are remembered, and a later request with the same one is told that so
many tokens came from the cache: for messages where the block asks for it, for chat completions always, as the
providers do.
"""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from autointerp.testing.batches import Batches, Outcome

MODEL = "served-model-1"
ANSWER = '{"answer": "yes"}'
CACHED_FROM = 16  # tokens: shorter beginnings are not cached
PIECES = 8  # of a dripping body


@dataclass(frozen=True)
class Fault:
    """What one request gets instead of a good answer: a whole response, or a good one with something wrong.

    `text` is written in the place of the model's answer, or makes it from the right one. `wait` passes before the
    response, `drip` while its body is sent, in seconds. `lost` closes the connection in the middle of a good
    response, `status` 0 before any. `item` is what becomes of a request in a batch: expired, canceled, or missing from
    the results, or there twice (duplicate).
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    text: str | Callable[[str], str] | None = None
    cut: bool = False
    usage: bool = True
    refusal: str = ""
    wait: float = 0.0
    drip: float = 0.0
    lost: bool = False
    item: str = ""


def status(code: int, message: str = "no", kind: str = "", **headers: str) -> Fault:
    """An error response. Headers are written with underscores."""
    error = {"type": "error", "error": {"type": kind, "code": kind, "message": message}}
    return Fault(code, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(error))


def without_last(text: str) -> str:
    """An answer per item, as judges give them, but the last is missing."""
    return json.dumps({"answers": json.loads(text)["answers"][:-1]})


def contradicted(text: str) -> str:
    """As many answers as items, but the last is about the first item again, and says the opposite."""
    answers = json.loads(text)["answers"]
    return json.dumps({"answers": [*answers[:-1], {**answers[0], "fits": not answers[0]["fits"]}]})


GOOD = Fault()
HTML = Fault(headers={"content-type": "text/html"}, body="<html>maintenance</html>")
BAD_GATEWAY = Fault(502, {"content-type": "text/html"}, "<html>bad gateway</html>")
TRUNCATED = Fault(body='{"id": "x", "choi')
EMPTY = Fault(body="{}")
NULL = Fault(body="null")
ERROR_INSIDE = Fault(body='{"error": {"code": 502, "message": "upstream is down"}}')
DROPPED = Fault(status=0)
LOST = Fault(lost=True)
REFUSAL = Fault(text="", refusal="I will not")
CUT = Fault(text='{"answer": "y', cut=True)
FENCED = Fault(text=lambda text: f"Here it is:\n```json\n{text}\n```\n")
PROSE = Fault(text=lambda text: f"Certainly! {text} I hope that this helps.")
WRONG_SCHEMA = Fault(text='{"answer": 7}')
NOT_JSON = Fault(text="yes, certainly")
MISSING_IDS = Fault(text=without_last)
DUPLICATE_IDS = Fault(text=contradicted)
NO_USAGE = Fault(usage=False)
EXPIRED, CANCELED = Fault(item="expired"), Fault(item="canceled")
MISSING, DUPLICATE = Fault(item="missing"), Fault(item="duplicate")


def slow(seconds: float) -> Fault:
    """A good answer, a few bytes at a time."""
    return Fault(drip=seconds)


def stalled(seconds: float) -> Fault:
    """Nothing for so long, then a closed connection."""
    return Fault(status=0, wait=seconds)


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def shared(self) -> str:
        """The part that many requests have in common."""
        if "system" in self.body:
            return plain(self.body["system"])
        return "".join(plain(m["content"]) for m in self.body["messages"] if m["role"] in ("system", "developer"))

    @property
    def content(self) -> str:
        """The part that is this request's own."""
        return "".join(plain(m["content"]) for m in self.body["messages"] if m["role"] == "user")


def plain(content: str | list[dict[str, Any]]) -> str:
    """The text of a message's content; images are left out."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def tokens(text: str) -> int:
    return -(-len(text) // 4)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "FaultServer"

    def do_GET(self) -> None:
        self.serve({})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"] or 0))
        form = self.headers["content-type"] != "application/json"
        self.serve({"form": raw.decode()} if form else json.loads(raw))

    def serve(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.path, headers, body)
        fault = self.server.record(request)
        time.sleep(fault.wait)
        if fault.status == 0:
            self.close_connection = True
        elif fault.body is not None:
            self.reply(fault.status, fault.body, fault)
        elif self.path == "/v1/messages" and {"temperature", "top_p", "top_k"} & set(body):
            self.reply(400, json.dumps({"type": "error", "error": {"message": "no sampling parameters"}}), fault)
        elif self.path in ("/v1/messages", "/v1/chat/completions"):
            written = self.server.answer(request) if not isinstance(fault.text, str) else fault.text
            text = fault.text(written) if callable(fault.text) else written
            make = message if self.path == "/v1/messages" else completion
            self.reply(fault.status, json.dumps(make(fault, request, text, self.server.cached(request))), fault)
            self.server.count(request, fault)
        else:
            code, text = self.server.batches.serve(self.command, self.path, body)
            self.reply(code, text, fault)

    def reply(self, code: int, body: str, fault: Fault) -> None:
        content = body.encode()
        self.send_response(code)
        for name, value in {"content-type": "application/json", **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if fault.lost:
            content, self.close_connection = content[: len(content) // 2], True
        size = -(-len(content) // PIECES) if fault.drip else len(content)
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            self.wfile.flush()
            time.sleep(fault.drip / PIECES)

    def log_message(self, format: str, *args: object) -> None:
        return None


def message(fault: Fault, request: Received, text: str, cached: tuple[int, int]) -> dict[str, Any]:
    """A response of the messages API. Tokens read from the cache or written to it are not part of input_tokens."""
    reason = "refusal" if fault.refusal else "max_tokens" if fault.cut else "end_turn"
    read, written = cached
    usage = {
        "input_tokens": tokens(request.shared) + tokens(request.content) - read - written,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": tokens(text),
    }
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": text}],
        "stop_reason": reason,
        "stop_details": {"type": "refusal", "category": "bio", "explanation": fault.refusal} if fault.refusal else None,
        "usage": usage if fault.usage else None,
    }


def completion(fault: Fault, request: Received, text: str, cached: tuple[int, int]) -> dict[str, Any]:
    """A response of the chat completions API. Cached tokens are part of prompt_tokens."""
    words = [{"token": word, "logprob": -0.5, "bytes": None} for word in text.split()]
    others = [{"token": str(n), "logprob": -1.0 - n, "bytes": None} for n in range(request.body.get("top_logprobs", 0))]
    logprobs = {"content": [{**word, "top_logprobs": others} for word in words], "refusal": None}
    sent, read = tokens(request.shared) + tokens(request.content), cached[0]
    usage = {
        "prompt_tokens": sent,
        "completion_tokens": tokens(text),
        "total_tokens": sent + tokens(text),
        "prompt_tokens_details": {"cached_tokens": read},
    }
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "finish_reason": "length" if fault.cut else "stop",
                "logprobs": logprobs if request.body.get("logprobs") else None,
                "message": {"role": "assistant", "content": text or None, "refusal": fault.refusal or None},
            }
        ],
        "usage": usage if fault.usage else None,
    }


class FaultServer(ThreadingHTTPServer):
    """Serves in a thread while in a `with` block.

    `received` holds every request in order of arrival; `answered` counts, by content, the answers of the model that
    were sent whole, and `lost` those that were made and cut off on the way. What the model writes is `answer` of the
    request; which fault a request meets is the next one of `plan`, or else what `choose` says. In a batch that is
    `choose_item`, and `answered` counts its answers, too.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.answered: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.batches = Batches(self.item)
        self.answer: Callable[[Received], str] = lambda request: ANSWER
        self.choose: Callable[[Received], Fault] = lambda request: GOOD
        self.choose_item: Callable[[Received], Fault] = lambda request: GOOD
        self._planned: deque[Fault] = deque()
        self._beginnings: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is: the base_url of an Anthropic client; that of an OpenAI client ends with /v1."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def plan(self, *faults: Fault) -> None:
        """The next requests get these, one each."""
        self._planned.extend(faults)

    def record(self, request: Received) -> Fault:
        with self._lock:
            self.received.append(request)
            return self._planned.popleft() if self._planned else self.choose(request)

    def count(self, request: Received, fault: Fault) -> None:
        with self._lock:
            (self.lost if fault.lost else self.answered)[request.content] += 1

    def item(self, path: str, body: dict[str, Any]) -> Outcome:
        """What becomes of a request in a batch."""
        request = Received(path, {}, body)
        fault = self.choose_item(request)
        if fault.item in ("expired", "canceled", "missing"):
            return Outcome(fault.item)
        if fault.status != 200:
            return Outcome("errored", fault.status, json.loads(fault.body or "{}"))
        text = self.answer(request) if not isinstance(fault.text, str) else fault.text
        text = fault.text(text) if callable(fault.text) else text
        make = message if path == "/v1/messages" else completion
        self.count(request, fault)
        return Outcome("succeeded", 200, make(fault, request, text, self.cached(request)), fault.item == "duplicate")

    def cached(self, request: Received) -> tuple[int, int]:
        """Tokens of the request's beginning that were (read from the cache, written to it)."""
        system = request.body.get("system", [])
        asked = request.path != "/v1/messages" or any("cache_control" in part for part in system)
        size = tokens(request.shared)
        if not asked or size < CACHED_FROM:
            return 0, 0
        with self._lock:
            known = request.shared in self._beginnings
            self._beginnings.add(request.shared)
        return (size, 0) if known else (0, size)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
