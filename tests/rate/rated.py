"""A planted run to rate, with names that occur nowhere else, and a page of it that is served."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autointerp
from autointerp.rate import items
from autointerp.rate.items import Material
from autointerp.rate.server import Server, Session
from tests import planted as plant

DICTIONARY, KNOWS, LEXICAL, RUN = "zq-dictionary", "zq-knows", "zq-lexical", "zq-run"


def tree(folder: Path) -> dict[str, Any]:
    """Settings of a small run whose judge is asked for specificity, too."""
    tree = plant.settings(plant.plant(folder / "planted"), RUN)
    tree["dictionaries"] = {DICTIONARY: tree["dictionaries"]["rules"]}
    tree["explainers"] = {KNOWS: plant.scripted("explain_knowing"), LEXICAL: {"kind": "lexical"}}
    tree["scorers"] = {"zq-judge": plant.scripted("judge_knowing", scores=["specificity"])}
    return tree


def make(folder: Path) -> Path:
    """The directory of a finished run."""
    autointerp.run(plant.write_config(folder / "run.toml", tree(folder)), out=folder)
    return folder / RUN


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Page:
    """A page that is served, and every answer it gave."""

    server: Server
    seen: list[Got]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Got:
        """One request with the token; `headers` replace what a browser would send, "" leaves one out."""
        return self.raw(f"/{self.server.token}/{path}", method, body, **headers)

    def raw(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Got:
        port = self.server.server_port
        sent = {"Host": f"127.0.0.1:{port}"}
        if body is not None:
            sent |= {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"}
            sent |= {"Content-Length": str(len(body))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        got = Got(reply.status, dict(reply.getheaders()), reply.read())
        connection.close()
        self.seen.append(got)
        return got

    def answer(self, at: int, rating: object, seconds: object = 1.5, **headers: str) -> Got:
        body = json.dumps({"at": at, "rating": rating, "seconds": seconds}).encode()
        return self.ask("answer", "POST", body, **headers)


@contextmanager
def served(found: Material, n: int = 40, seed: int = 0, rater: str = "ann") -> Iterator[Page]:
    session = Session(found, items.draw(found, n, seed), rater)
    server = Server(session, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Page(server, [])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        session.answers.close()
