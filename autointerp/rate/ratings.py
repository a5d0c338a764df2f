"""What people said, kept in the run directory: ratings/<rater>.jsonl, a line for every answer, never rewritten.

A line is on the disk before the rater sees the next item. A later answer to the same item replaces the earlier one when
they are read; a line that a crash has torn is left out.
"""

import csv
import getpass
import io
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd

from autointerp.errors import UserError
from autointerp.report import csv as safe

if TYPE_CHECKING:  # items need all that stages need, and reading ratings does not
    from autointerp.rate.items import Task

log = logging.getLogger("autointerp")
SCALE = (0, 1, 2, 3)
NAME = re.compile(r"\w[\w.@-]{0,63}")  # of a rater, and so of a file
ABOUT = ("dictionary", "feature", "explainer", "control", "excerpt")
TYPES = {"feature": "int64", "rating": "float64", "seconds": "float64"}


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer; the fields are the columns of the CSV. `rating` is None where the item was skipped."""

    rater: str
    item: str
    dictionary: str
    feature: int
    explainer: str
    control: str
    excerpt: str
    rating: int | None
    seconds: float


COLUMNS = tuple(field.name for field in fields(Rating))


def of(task: "Task", rater: str, rating: int | None, seconds: float) -> Rating:
    case = task.case
    about = (case.dictionary, case.feature, case.explainer, case.control, task.shown.item.excerpt.id)
    return Rating(rater, task.id, *about, rating, round(seconds, 2))


def user() -> str:
    """The name of who is at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        return "somebody"


def path_of(run: Path, rater: str) -> Path:
    if not NAME.fullmatch(rater):
        raise UserError(
            f"you asked to keep the ratings of {rater!r}",
            "that cannot be the name of a file",
            "use at most 64 letters, digits and . _ @ -, the first a letter or a digit",
        )
    return run / "ratings" / f"{rater}.jsonl"


class Answers:
    """The answers of one rater, open for more."""

    def __init__(self, run: Path, rater: str) -> None:
        self.path, self.rater = path_of(run, rater), rater
        self.path.parent.mkdir(exist_ok=True)
        self._latest = latest(self.path)
        self._lock = Lock()
        self._file = self.path.open("ab", buffering=0)
        self._torn = not (b"\n" + self.path.read_bytes()).endswith(b"\n")
        sync_folder(self.path.parent)

    def __contains__(self, item: str) -> bool:
        return item in self._latest

    def __getitem__(self, item: str) -> Rating:
        return self._latest[item]

    def add(self, ratings: Iterable[Rating]) -> None:
        """Returns once they are on the disk."""
        with self._lock:
            new = list(ratings)
            self._write("".join(json.dumps(asdict(rating)) + "\n" for rating in new).encode())
            self._latest |= {rating.item: rating for rating in new}

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        """What a crash or a full disk has torn stays a line of its own."""
        data, self._torn = b"\n" * self._torn + data, True
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())
        self._torn = False


def sync_folder(path: Path) -> None:
    """Have the names of the files in a folder on the disk, too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def latest(path: Path) -> dict[str, Rating]:
    """The last answer to each item in a file, in the order in which they were first given."""
    found: dict[str, Rating] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else (), 1):
        if not line:
            continue
        rating = parsed(line, path.stem)
        if rating is None:
            log.warning("line %d of %s is torn or no rating and is left out", number, path)
        else:
            found[rating.item] = rating
    return found


def parsed(line: bytes, rater: str) -> Rating | None:
    """A line of a file of `rater`; None where it is no whole one."""
    try:
        rating = Rating(**{**json.loads(line), "rater": rater})
    except (ValueError, TypeError):
        return None
    whole = isinstance(rating.item, str) and isinstance(rating.feature, int) and isinstance(rating.seconds, int | float)
    return rating if whole and rating.rating in (None, *SCALE) else None


def read(run: str | Path) -> pd.DataFrame:
    """One row for each (rater, item), by rater and in the order of rating. A skipped item has no rating: nan."""
    files = sorted((Path(run) / "ratings").glob("*.jsonl"))
    rows = [asdict(rating) for path in files for rating in latest(path).values()]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(TYPES)


def write_csv(run: str | Path, target: Path) -> int:
    """Export all ratings of a run; how many."""
    found = read(run)
    if found.empty:
        raise UserError(f"you asked for the ratings of {run}", "it has none", f"rate it with `autointerp rate {run}`")
    found["rating"] = found["rating"].astype("Int64")
    try:
        safe.write(target, found)
    except OSError as error:
        raise UserError(f"you asked to write {target}", f"that failed ({error})", "name another file") from None
    return len(found)


def read_csv(run: Path, source: Path, tasks: Mapping[str, "Task"]) -> tuple[int, int]:
    """Take in ratings from a CSV, all or none: how many are new, and how many were there. `tasks` are the run's."""
    asked = f"you asked for the ratings in {source}"
    try:
        text = source.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(asked, f"they cannot be read ({error})", "check the file") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    by_rater: dict[str, list[Rating]] = {}
    try:
        missing = [column for column in ("rater", "item", "rating") if column not in (rows.fieldnames or ())]
        if missing:
            raise UserError(asked, f"it has no column {missing[0]!r}", f"its columns are to be {', '.join(COLUMNS)}")
        for row in rows:
            rating = checked(row, tasks, asked, rows.line_num)
            by_rater.setdefault(rating.rater, []).append(rating)
    except csv.Error as error:
        raise UserError(asked, f"what follows line {rows.line_num} is no CSV ({error})", "mend the file") from None
    new = there = 0
    for rater, ratings in by_rater.items():
        answers = Answers(run, rater)
        fresh = [rating for rating in ratings if rating.item not in answers or answers[rating.item] != rating]
        if fresh:
            answers.add(fresh)
        answers.close()
        new, there = new + len(fresh), there + len(ratings) - len(fresh)
    return new, there


def checked(row: Mapping[str | Any, Any], tasks: Mapping[str, "Task"], asked: str, line: int) -> Rating:
    """A row of a CSV as a rating. What it says of the item has to be true of it."""

    def refuse(found: str, next_step: str = "mend or remove that line; nothing was taken in") -> UserError:
        return UserError(asked, f"line {line} {found}", next_step)

    cell = {column: safe.plain((row.get(column) or "").strip()) for column in COLUMNS}
    task = tasks.get(cell["item"])
    if task is None:
        raise refuse(f"is about {cell['item']!r}, which is no item of the run")
    if not NAME.fullmatch(cell["rater"]):
        raise refuse(f"has the rater {cell['rater']!r}, which is no name")
    if cell["rating"] not in ("", *(str(step) for step in SCALE)):
        raise refuse(f"has the rating {cell['rating']!r}, which is none of 0, 1, 2, 3 or nothing")
    rating = of(task, cell["rater"], int(cell["rating"]) if cell["rating"] else None, duration(cell["seconds"]))
    for column in ABOUT:
        if cell[column] and cell[column] != str(getattr(rating, column)):
            raise refuse(f"says {column} {cell[column]!r}, and the item is of {getattr(rating, column)!r}")
    if math.isnan(rating.seconds):
        raise refuse(f"has {cell['seconds']!r} seconds, which is no duration")
    return rating


def duration(cell: str) -> float:
    """Seconds, 0 where nothing is said and nan where it is no duration."""
    try:
        seconds = float(cell or 0)
    except ValueError:
        return math.nan
    return seconds if 0 <= seconds < math.inf else math.nan
