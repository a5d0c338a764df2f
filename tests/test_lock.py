"""Two processes and one run: the second is told who the first is, and a killed one leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from autointerp.errors import WorkPending
from autointerp.lock import alone
from autointerp.mirror import Mirror
from autointerp.store import RunDirectory

ROOT = Path(__file__).parents[1]
HOLDING = """
import sys
from autointerp.store import RunDirectory
with RunDirectory.at(sys.argv[1], "night").alone(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Starts a process that is at work on the run until its stdin is closed."""
    with ExitStack() as processes:

        def start(worker: str = "") -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDING, str(tmp_path), worker],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            return process

        yield start


def test_the_second_is_told_who_is_at_work(holder: Holder, tmp_path: Path) -> None:
    process = holder()
    with pytest.raises(WorkPending) as told, RunDirectory.at(tmp_path, "night").alone():
        pytest.fail("both are at work")
    assert re.fullmatch(
        rf"You asked to work on the run 'night', but process {process.pid} on {re.escape(socket.gethostname())} "
        r"\(since \d\d \w{3} \d{4} \d\d:\d\d:\d\d UTC\) is at work on it: run it again when that is done\.",
        str(told.value),
    )
    process.communicate("")
    with RunDirectory.at(tmp_path, "night").alone():
        pass


def test_a_killed_process_leaves_no_lock(holder: Holder, tmp_path: Path) -> None:
    process = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock = tmp_path / "night" / "run.lock"
    assert f"process {process.pid} " in lock.read_text()  # what it left says so, and keeps nobody out
    with RunDirectory.at(tmp_path, "night").alone():
        assert f"process {os.getpid()} " in lock.read_text()
    assert lock.read_text() == ""


def test_workers_exclude_only_their_likes_and_the_whole(holder: Holder, tmp_path: Path) -> None:
    worker = holder("1-of-2")
    night = RunDirectory.at(tmp_path, "night")
    with night.alone("2-of-2"):
        pass
    for again in ("1-of-2", ""):
        with pytest.raises(WorkPending, match=rf"process {worker.pid} .* is at work"), night.alone(again):
            pytest.fail("both are at work")
    worker.communicate("")
    with night.alone(), pytest.raises(WorkPending, match=rf"process {os.getpid()} "), night.alone("1-of-2"):
        pytest.fail("a worker that the run has waited for must not start again beneath it")


def test_another_run_is_not_in_the_way(holder: Holder, tmp_path: Path) -> None:
    holder()
    with RunDirectory.at(tmp_path, "day").alone():
        pass


def test_what_goes_wrong_inside_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), alone(tmp_path / "a.lock", "you asked"):
            raise KeyError


def test_a_lock_is_not_sent_where_the_run_lives(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with alone(tmp_path / "here" / "run.lock", "you asked"):
        (tmp_path / "here" / "manifest.json").write_text("{}")
        Mirror((tmp_path / "there").as_uri(), tmp_path / "here").push()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["manifest.json"]
