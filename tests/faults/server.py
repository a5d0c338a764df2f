"""A model server on 127.0.0.1 that speaks to the real SDKs and misbehaves when told to."""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MODEL = "served-model-1"
ANSWER = '{"answer": "yes"}'


@dataclass(frozen=True)
class Fault:
    """What one request gets instead of a good answer: a whole response, or a good one with a changed text or ending."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    text: str = ANSWER
    ending: str = ""
    usage: bool = True
    refusal: str = ""


def status(code: int, message: str = "no", kind: str = "", **headers: str) -> Fault:
    """An error response. Headers are written with underscores."""
    error = {"type": "error", "error": {"type": kind, "code": kind, "message": message}}
    return Fault(code, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(error))


HTML = Fault(headers={"content-type": "text/html"}, body="<html>maintenance</html>")
TRUNCATED = Fault(body='{"id": "x", "choi')
EMPTY = Fault(body="{}")
NULL = Fault(body="null")
ROUTER_ERROR = Fault(body='{"error": {"code": 502, "message": "upstream is down"}}')
DROPPED = Fault(status=0)
REFUSAL = Fault(text="", refusal="I will not")
CUT = Fault(text='{"answer": "y', ending="cut")
FENCED = Fault(text='Here it is:\n```json\n{"answer": "yes"}\n```\n')
WRONG_SCHEMA = Fault(text='{"answer": 7}')
NOT_JSON = Fault(text="yes, certainly")
NO_USAGE = Fault(usage=False)


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FaultServer"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server.record(Received(self.path, headers, body))
        if fault.status == 0:
            self.close_connection = True
            return
        if fault.body is not None:
            return self.reply(fault.status, fault.body, fault.headers)
        if self.path == "/v1/messages":
            if {"temperature", "top_p", "top_k"} & set(body):
                return self.reply(
                    400, json.dumps({"type": "error", "error": {"message": "no sampling parameters"}}), {}
                )
            return self.reply(200, json.dumps(message(fault)), fault.headers)
        if self.path == "/v1/chat/completions":
            return self.reply(200, json.dumps(completion(fault)), fault.headers)
        self.reply(404, "{}", {})

    def reply(self, code: int, body: str, headers: dict[str, str]) -> None:
        content = body.encode()
        self.send_response(code)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return None


def message(fault: Fault) -> dict[str, Any]:
    reason = "refusal" if fault.refusal else "max_tokens" if fault.ending == "cut" else "end_turn"
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": fault.text}],
        "stop_reason": reason,
        "stop_details": {"type": "refusal", "category": "bio", "explanation": fault.refusal} if fault.refusal else None,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 20, "output_tokens": 3} if fault.usage else None,
    }


def completion(fault: Fault) -> dict[str, Any]:
    answer = {"role": "assistant", "content": fault.text or None, "refusal": fault.refusal or None}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "length" if fault.ending == "cut" else "stop", "message": answer}],
        "usage": {"prompt_tokens": 27, "completion_tokens": 3, "total_tokens": 30} if fault.usage else None,
    }


class FaultServer(ThreadingHTTPServer):
    """Serves in a thread while in a `with` block. `received` holds every request in order of arrival."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self._planned: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def plan(self, *faults: Fault) -> None:
        """The next requests get these, one each; later ones get good answers."""
        self._planned.extend(faults)

    def record(self, request: Received) -> Fault:
        with self._lock:
            self.received.append(request)
            return self._planned.popleft() if self._planned else Fault()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
