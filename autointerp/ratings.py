"""What people said, kept in the run directory: ratings/<rater>.jsonl, a line for every answer, never rewritten.

A line is on the disk before the rater sees the next item. A later answer to the same item replaces the earlier one when
they are read; a line that a crash has torn is left out.
"""

import getpass
import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Lock

import pandas as pd

from autointerp import sheets
from autointerp.errors import UserError

log = logging.getLogger("autointerp")
SCALE = (0, 1, 2, 3)
NAME = re.compile(r"\w[\w.@-]{0,63}")  # of a rater, and so of a file
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
        sheets.write(target, found)
    except OSError as error:
        raise UserError(f"you asked to write {target}", f"that failed ({error})", "name another file") from None
    return len(found)
