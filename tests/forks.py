"""Processes that start at once: each is forked off one that has done nothing but import what they need."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import TextIO

from autointerp import cli

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "typer.testing",
        "autointerp.cli",
        "autointerp.pipeline",
        "autointerp.llm.anthropic",
        "autointerp.llm.openai",
    ]
)


def life(words: list[str], environment: dict[str, str], said: Connection) -> None:
    os.environ |= environment
    os.dup2(said.fileno(), sys.stderr.fileno())
    sys.argv = ["autointerp", *words]
    cli.main()


@contextmanager
def command(*words: object, **environment: str) -> Iterator[tuple[ForkServerProcess, TextIO]]:
    """A process that does what `python -m autointerp` does with these words, and its stderr; waited for at the end."""
    heard, said = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=life, args=([str(word) for word in words], environment, said))
    process.start()
    said.close()
    with heard, open(heard.fileno(), encoding="utf-8", closefd=False) as stderr:
        yield process, stderr
    process.join()
