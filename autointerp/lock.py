"""One process at a time: who is at work on something, in words for the one that comes second."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from autointerp.errors import WorkPending


@contextmanager
def alone(path: Path, asked: str) -> Iterator[None]:
    """The lock at `path` while the block runs. It goes with its process, however that ends.

    The system keeps it, not the file, which only says who has it: one that is left behind locks nothing. Raises
    WorkPending where another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise WorkPending(
            asked, f"{path.read_text('utf-8') or 'another process'} is at work on it", "run it again when that is done"
        ) from None
    try:
        path.write_text(holder(), "utf-8")
        yield
    finally:
        with suppress(OSError):  # what ended the block says more than a full disk
            path.write_text("", "utf-8")
        lock.release()


def holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} (since {datetime.now(UTC):%d %b %Y %H:%M:%S} UTC)"
