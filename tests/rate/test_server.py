"""The page is for this machine, this address and its own script alone; what a corpus holds stays text."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from autointerp import ratings
from autointerp.errors import UserError
from autointerp.exhibit import shown as picture_of
from autointerp.rate import items, page
from autointerp.rate.items import Material, Task
from autointerp.rate.server import serve
from autointerp.records import Grid
from tests import sighted as sight
from tests.rate import rated

ROOT = Path(__file__).parents[2]
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> {{7*7}} \u202e'


def test_the_page_and_its_headers(found: Material) -> None:
    with rated.served(found) as served:
        got = served.ask("")
    assert got.status == 200
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "connect-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (got.headers["X-Content-Type-Options"], got.headers["Cache-Control"]) == ("nosniff", "no-store")
    assert not re.findall(rb"(?:src|href|action)=[\"'](?!data:)", got.body)
    assert b"style=" not in got.body


def test_without_the_token_there_is_nothing(found: Material) -> None:
    with rated.served(found) as served:
        token = served.server.token
        wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
        for path in (
            "/",
            "",
            "/item",
            "/item/0",
            f"/{token}",
            f"/{wrong}/",
            f"/{wrong}/item/0",
            f"/x/{token}/",
            "/%C3/",
        ):
            assert served.raw(path or "*").status == 404, path
        assert served.raw("/answer", "POST", b"{}").status == 404
        assert all(got.body == b"" for got in served.seen)
    assert len(token) >= 32


def test_tokens_differ(found: Material) -> None:
    with rated.served(found) as one, rated.served(found) as other:
        assert one.server.token != other.server.token


def test_unknown_paths_and_methods(found: Material) -> None:
    with rated.served(found, 5) as served:
        paths = (
            "x",
            "item/6",
            "item/-1",
            "item/1x",
            "item/",
            "item/%31",
            "item/0/",
            "../item",
            "item/0?x",
            "item/" + "9" * 5000,
        )
        for path in paths:
            assert served.ask(path).status == 404, path
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
            assert served.ask("item/0", method).status == 404
        assert served.ask("item/0", "POST", b"{}").status == 404
        assert served.ask("item/5").status == 200  # the end


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_another_host_is_refused(host: str, found: Material) -> None:
    """As a page elsewhere would send whose name resolves to this machine."""
    with rated.served(found) as served:
        name = host.format(port=served.server.server_port)
        assert served.ask("", Host=name).status == 403
        assert served.answer(0, 1, Host=name).status == 403
        assert not served.server.session.answered


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:{port}", ""]
)
def test_another_origin_cannot_answer(origin: str, found: Material) -> None:
    with rated.served(found) as served:
        assert served.answer(0, 1, Origin=origin.format(port=served.server.server_port)).status == 403
        assert not served.server.session.answered


def test_localhost_is_this_machine_too(found: Material) -> None:
    with rated.served(found) as served:
        name = f"localhost:{served.server.server_port}"
        assert served.ask("", Host=name).status == 200
        assert served.answer(0, 1, Host=name, Origin=f"http://{name}").status == 200


def test_only_the_loopback_answers(found: Material) -> None:
    with rated.served(found) as served:
        assert served.server.socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection(("127.0.0.2", served.server.server_port), timeout=2)


@pytest.mark.parametrize(
    ("at", "rating", "seconds"),
    [(0, 4, 1), (0, -1, 1), (0, "3", 1), (0, 2.0, 1), (0, True, 1), (40, 1, 1), (-1, 1, 1), (True, 1, 1), ("0", 1, 1),
     (0, 1, -1), (0, 1, "1"), (0, 1, float("nan")), (0, 1, float("inf")), (0, [1], 1)],
)  # fmt: skip
def test_an_answer_that_is_none(at: object, rating: object, seconds: object, found: Material) -> None:
    with rated.served(found, 40) as served:
        assert served.answer(at, rating, seconds).status == 400
        assert not served.server.session.answered


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 4000, b" " * 5000])
def test_a_body_that_is_none(body: bytes, found: Material) -> None:
    with rated.served(found) as served:
        assert served.ask("answer", "POST", body).status == 400


def test_a_form_of_another_page_is_no_answer(found: Material) -> None:
    with rated.served(found) as served:
        assert served.answer(0, 1, Content_Type="text/plain").status == 400
        assert served.answer(0, 1, Content_Length="").status == 400


def test_rating_goes_on_to_what_is_left(found: Material) -> None:
    with rated.served(found, 3) as served:
        assert served.ask("item").json["at"] == 0
        assert served.answer(1, 3).json["at"] == 0
        assert served.answer(0, None).json["at"] == 2
        assert [served.ask(f"item/{at}").json["rating"] for at in range(3)] == [None, 3, None]
        assert [served.ask(f"item/{at}").json["skipped"] for at in range(3)] == [True, False, False]
        assert served.answer(2, 0).json == {"at": 3, "total": 3, "answered": 3}
        assert served.server.session.rated == 2
    with rated.served(found, 5) as again:
        assert again.ask("item").json["at"] == 3
        assert again.ask("item/1").json["rating"] == 3
    with rated.served(found, 3, rater="ben") as other:
        assert other.ask("item").json["at"] == 0


def test_hostile_text_is_data(found: Material) -> None:
    task = hostile(items.draw(found, 1, 0)[0])
    seen = page.view(task, {})
    text = HOSTILE.replace("\u202e", "\ufffd")
    assert seen["explanation"] == text
    assert "".join(part for part, _ in seen["spans"]).startswith(text)
    with rated.served(found) as served:
        served.server.session.tasks = [task]
        got = served.ask("item/0")
    assert got.headers["Content-Type"] == "application/json"
    assert got.json["explanation"] == text


def hostile(task: Task) -> Task:
    excerpt = task.shown.item.excerpt
    pieces = (HOSTILE, *excerpt.pieces[1:-1], "\ud800")
    item = replace(task.shown.item, excerpt=replace(excerpt, pieces=pieces))
    return replace(task, case=replace(task.case, text=HOSTILE), shown=replace(task.shown, item=item))


def test_a_rubric_is_text(found: Material) -> None:
    text, _ = page.render(replace(found.rubric, text=f"3: {HOSTILE}"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_picture_is_shown_as_the_judge_sees_it(found: Material) -> None:
    """With its marks drawn on, and nothing of its label."""
    cells = tuple(["red"] * 3 + ["white"] * 13)
    png = sight.png(cells)
    task = items.draw(found, 1, 0)[0]
    grid = Grid(0, sight.GRID, sight.GRID)
    marks = [True] * 3 + [False] * 13
    excerpt = replace(
        task.shown.item.excerpt, context=5, pieces=("",) * 16, activations=(0.0,) * 16, grid=grid, label="a label"
    )
    shown = replace(task.shown, item=replace(task.shown.item, excerpt=excerpt), marks=marks)
    seen = page.view(replace(task, shown=shown), {5: png})
    assert seen["spans"] == []
    assert seen["picture"].startswith("data:image/jpeg;base64,")
    assert page.base64.b64decode(seen["picture"].partition(",")[2]) == picture_of(png, grid, tuple(marks)).data
    assert "label" not in json.dumps(seen)


# the command


def test_the_command_says_where_and_ends_with_what_is_done(run: Path) -> None:
    command = [sys.executable, "-m", "autointerp", "rate", str(run), "--items", "4", "--rater", "ann"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("0 of 4 items have an answer by ann.")
        address = process.stdout.readline().strip()
        origin = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/[\w-]{32}/", address)
        assert origin is not None
        for at, rating in ((0, 2), (1, None)):
            body = json.dumps({"at": at, "rating": rating, "seconds": 1}).encode()
            headers = {"Origin": origin[1], "Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(f"{address}answer", body, headers)).read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == f"1 of 4 items are rated by ann, in {run / 'ratings' / 'ann.jsonl'}\n"
    assert "Traceback" not in err and "GET" not in err
    assert ratings.read(run)["rating"].notna().sum() == 1


def test_a_port_that_is_taken(run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"^You asked for port \d+, but it cannot be had"):
            serve(run, 3, 0, taken.getsockname()[1], "ann", print)


def test_a_rater_who_is_no_file_name(run: Path) -> None:
    for name in ("../x", "", ".hidden", "a/b", "a\nb"):
        with pytest.raises(UserError, match="cannot be the name of a file"):
            serve(run, 3, 0, 0, name, print)
    assert not (run / "ratings").exists()
