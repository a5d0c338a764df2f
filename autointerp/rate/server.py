"""The page on this machine alone: behind an address that nobody can guess, for one rater.

Web pages from elsewhere may send requests to this port, or have their own name resolve to this machine. So a request
needs the token, our own host and, to change anything, our own origin; and it is answered from a fixed list of paths.
"""

import hmac
import json
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from autointerp import ratings
from autointerp.errors import UserError
from autointerp.evidence.reader import read_pictures
from autointerp.rate import items, page
from autointerp.rate.items import Material, Task
from autointerp.ratings import SCALE, Answers

log = logging.getLogger("autointerp")
LOCAL = "127.0.0.1"
LONGEST = 4096  # bytes of a request's body
PATIENCE = 30  # seconds for a request to arrive
A_DAY = 86400.0


class Session:
    """One rater at one draw. Items are known to the page by their place in it."""

    def __init__(self, found: Material, tasks: Sequence[Task], rater: str) -> None:
        self.found, self.tasks = found, tasks
        self.answers = Answers(found.path, rater)

    @cached_property
    def pictures(self) -> dict[int, bytes]:
        excerpts = [task.shown.item.excerpt for task in self.tasks]
        contexts = {excerpt.context for excerpt in excerpts if excerpt.grid is not None}
        return read_pictures(self.found.path, contexts) if contexts else {}

    @property
    def answered(self) -> int:
        """How many items are rated or skipped."""
        return sum(task.id in self.answers for task in self.tasks)

    @property
    def rated(self) -> int:
        return sum(self.answers[task.id].rating is not None for task in self.tasks if task.id in self.answers)

    def first_left(self) -> int:
        """The place of the first item without an answer; behind the last where all have one."""
        return next((at for at, task in enumerate(self.tasks) if task.id not in self.answers), len(self.tasks))

    def item(self, at: int) -> dict[str, Any]:
        """What the page shows at a place; behind the last item nothing but that all is done."""
        state = {"at": at, "total": len(self.tasks), "answered": self.answered}
        if at == len(self.tasks):
            return state
        task = self.tasks[at]
        given = self.answers[task.id].rating if task.id in self.answers else None
        skipped = task.id in self.answers and given is None
        return {**state, "rating": given, "skipped": skipped, **page.view(task, self.pictures)}

    def answer(self, at: int, rating: int | None, seconds: float) -> None:
        """Keep an answer. It is on the disk when this returns."""
        self.answers.add([self.tasks[at].rated(self.answers.rater, rating, min(seconds, A_DAY))])


@dataclass(frozen=True, slots=True)
class Answered:
    """A response."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, session: Session, port: int) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        text, self.policy = page.render(session.found.rubric)
        self.page = text.encode("utf-8", "replace")
        super().__init__((LOCAL, port), Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would look up a name for the address
        self.server_name, self.server_port = LOCAL, int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://{LOCAL}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (f"{LOCAL}:{self.server_port}", f"localhost:{self.server_port}")


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        self.respond(self.get)

    def do_POST(self) -> None:
        self.respond(self.post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Other methods, and what is no request at all."""
        self.send(Answered(404))

    def respond(self, answer: Callable[[str], Answered]) -> None:
        self.send(self.admitted(answer))

    def admitted(self, answer: Callable[[str], Answered]) -> Answered:
        """The answer to a request that has the token and our host."""
        _, token, *rest = self.path.split("/", 2) if self.path.startswith("/") else ("", "")
        if not rest or not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return Answered(404)
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            return Answered(403)
        return answer(rest[0])

    def get(self, path: str) -> Answered:
        session = self.server.session
        if path == "":
            return Answered(200, self.server.page, "text/html; charset=utf-8")
        if path == "item":
            return as_json(session.item(session.first_left()))
        number = path.removeprefix("item/")
        if number == path or not (number.isascii() and number.isdecimal() and len(number) < 10):
            return Answered(404)
        return as_json(session.item(int(number))) if int(number) <= len(session.tasks) else Answered(404)

    def post(self, path: str) -> Answered:
        if path != "answer":
            return Answered(404)
        if self.headers.get_all("Origin", []) != [f"http://{self.headers['Host']}"]:
            return Answered(403)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST or self.headers.get_content_type() != "application/json":
            return Answered(400)
        session = self.server.session
        said = answer_of(self.rfile.read(int(length)), len(session.tasks))
        if said is None:
            return Answered(400)
        try:
            session.answer(*said)
        except OSError as error:
            log.error("an answer could not be kept: %s", error)
            return Answered(500)
        return as_json(session.item(session.first_left()))

    def send(self, answer: Answered) -> None:
        self.send_response(answer.status)
        for name, value in (
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Content-Security-Policy", self.server.policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        return "autointerp"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a request line holds the token."""


def as_json(value: Any) -> Answered:
    return Answered(200, json.dumps(value).encode(), "application/json")


def answer_of(body: bytes, total: int) -> tuple[int, int | None, float] | None:
    """(place, rating, seconds) of a request, None where it is not well-formed."""
    try:
        said = json.loads(body)
        at, rating, seconds = said["at"], said["rating"], said["seconds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    fits = (
        type(at) is int
        and 0 <= at < total
        and (rating is None or (type(rating) is int and rating in SCALE))
        and type(seconds) in (int, float)
        and 0 <= seconds < math.inf
    )
    return (at, rating, float(seconds)) if fits else None


def serve(run: str | Path, n: int, seed: int, port: int, rater: str, say: Callable[[str], None]) -> None:
    """Have a person rate until the command is interrupted."""
    found = items.material(run)
    ratings.path_of(found.path, rater)
    tasks = items.draw(found, n, seed)
    if not tasks:
        raise UserError(
            f"you asked to rate {run}",
            "no feature of it has excerpts to show",
            "give it more contexts and run it again",
        )
    if len(tasks) < n:
        log.warning("%d items instead of %d: there are no more in this run", len(tasks), n)
    session = Session(found, tasks, rater)
    try:
        server = Server(session, port)
    except OSError as error:
        raise UserError(
            f"you asked for port {port}", f"it cannot be had ({error.strerror})", "leave --port out"
        ) from None
    session.pictures  # noqa: B018  read before the first request
    say(f"{session.answered} of {len(tasks)} items have an answer by {rater}. Rate the others here, end with Ctrl-C:")
    say(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    say(f"{session.rated} of {len(tasks)} items are rated by {rater}, in {session.answers.path}")
