"""A Hugging Face hub on 127.0.0.1, as much of it as its real library asks for to list a repository and download files.

Give HF_ENDPOINT its url, in a process of its own: the library reads that when it is imported.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 3  # files in one page of a listing: the real hub's pages are longer, but it has them


@dataclass(frozen=True)
class Repository:
    """Files by path, as of one commit. `access` is open, gated or private."""

    files: dict[str, bytes]
    refs: tuple[str, ...] = ("main",)
    access: str = "open"
    commit: str = field(init=False)

    def __post_init__(self) -> None:
        content = hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()
        object.__setattr__(self, "commit", content)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Hub"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path).strip("/")
        self.server.received.append(f"{self.command} {path}")
        if self.server.status:
            return self.reply(self.server.status)
        api = path.startswith("api/models/")
        owner, name, what, rest = (path.removeprefix("api/models/") + "///").split("/", 3)
        repository = self.server.repositories.get(f"{owner}/{name}")
        if repository is None or repository.access == "private":
            return self.refuse(401, "RepoNotFound", "Invalid username or password.")
        refs = [ref for ref in (*repository.refs, repository.commit) if rest == ref or rest.startswith(f"{ref}/")]
        if not refs:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        inside = rest.rstrip("/").removeprefix(refs[0]).strip("/")
        if api and what == "revision":
            return self.reply(200, json.dumps({"id": f"{owner}/{name}", "sha": repository.commit}).encode())
        if api and what == "tree":
            return self.tree(repository, int(parse_qs(url.query).get("cursor", ["0"])[0]))
        if repository.access == "gated":
            return self.refuse(401, "GatedRepo", "Access to this model is restricted.")
        if inside not in repository.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        content = repository.files[inside]
        self.reply(200, content, {"ETag": f'"{oid(content)}"', "X-Repo-Commit": repository.commit})

    def tree(self, repository: Repository, start: int) -> None:
        rows = [
            {"type": "file", "path": path, "size": len(content), "oid": oid(content)}
            for path, content in sorted(repository.files.items())
        ]
        following = f"{self.server.url}{urlsplit(self.path).path}?cursor={start + PAGE}"
        more = {"Link": f'<{following}>; rel="next"'} if start + PAGE < len(rows) else {}
        self.reply(200, json.dumps(rows[start : start + PAGE]).encode(), more)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.reply(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})

    def reply(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return None


def oid(content: bytes) -> str:
    """The name that git gives to a file of this content, which is its ETag too."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(ThreadingHTTPServer):
    """Serves in a thread while in a `with` block. `received` holds every request as "GET path", in order of arrival."""

    daemon_threads = True

    def __init__(self, repositories: dict[str, Repository]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.received: list[str] = []
        self.status = 0  # where not 0, what every request is answered with
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
