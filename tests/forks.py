"""Processes that start at once: each is forked off one that has done nothing but import what they need."""

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection

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


def command(words: list[str], environment: dict[str, str], said: Connection) -> None:
    """What `python -m autointerp` does with these words, its stderr going to `said`."""
    os.environ |= environment
    os.dup2(said.fileno(), sys.stderr.fileno())
    sys.argv = ["autointerp", *words]
    cli.main()
