"""Long work shows a bar on a terminal, plain lines in a log, and lines of JSON for machines that watch."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autointerp.errors import UserError

log = logging.getLogger("autointerp")
console = Console(stderr=True)
where: ContextVar[Mapping[str, str]] = ContextVar("where", default=MappingProxyType({}))  # the run and its stage
quiet = logging.getLogger("autointerp.quiet")  # what is said elsewhere, for machines alone
quiet.propagate = False
quiet.addHandler(logging.NullHandler())
quiet.setLevel(logging.INFO)


@contextmanager
def within(**names: str) -> Iterator[None]:
    """Everything logged meanwhile is about this run, or this stage of it."""
    token = where.set({**where.get(), **names})
    try:
        yield
    finally:
        where.reset(token)


class JsonLines(logging.Formatter):
    """time (UTC), level, run, stage, message and fields, one object a line; run and stage are empty outside of any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: where.get().get(name, "") for name in ("run", "stage")},
            "message": " ".join(record.getMessage().split()),
            "fields": fields,
        }
        return json.dumps(line, ensure_ascii=False, default=str)


@contextmanager
def log_json(path: str | Path | None) -> Iterator[None]:
    """Add what is logged meanwhile to a file, as lines of JSON. No path: nowhere."""
    if not path:
        yield
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"you asked for a log in {path}", f"it cannot be written ({error.strerror})", "name another file"
        ) from None
    handler.setFormatter(JsonLines())
    for logger in (logging.getLogger(), quiet):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (logging.getLogger(), quiet):
            logger.removeHandler(handler)
        handler.close()


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """What a line of JSON says beside its message, as a logger's `extra`."""
    return {"fields": values}


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that is called with the number of finished units."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=total)

            def move(n: int) -> None:
                bar.advance(task, n)

            yield move
        return
    done, shown = 0, 0

    def advance(n: int) -> None:
        nonlocal done, shown
        done += n
        if total and done * 4 // total > shown * 4 // total:
            shown = done
            log.info("  %s: %d of %d", label, done, total, extra=fields(done=done, total=total))

    yield advance
