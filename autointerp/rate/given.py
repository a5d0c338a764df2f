"""Ratings that somebody brings in a CSV, as `ratings.write_csv` writes it: all of them are taken in, or none."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp import sheets
from autointerp.errors import UserError
from autointerp.rate.items import Task
from autointerp.ratings import COLUMNS, NAME, SCALE, Answers, Rating

ABOUT = ("dictionary", "feature", "explainer", "control", "excerpt")


def read(run: Path, source: Path, tasks: Mapping[str, Task]) -> tuple[int, int]:
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


def checked(row: Mapping[str | Any, Any], tasks: Mapping[str, Task], asked: str, line: int) -> Rating:
    """A row of a CSV as a rating. What it says of the item has to be true of it."""

    def refuse(found: str, next_step: str = "mend or remove that line; nothing was taken in") -> UserError:
        return UserError(asked, f"line {line} {found}", next_step)

    cell = {column: sheets.plain((row.get(column) or "").strip()) for column in COLUMNS}
    task = tasks.get(cell["item"])
    if task is None:
        raise refuse(f"is about {cell['item']!r}, which is no item of the run")
    if not NAME.fullmatch(cell["rater"]):
        raise refuse(f"has the rater {cell['rater']!r}, which is no name")
    if cell["rating"] not in ("", *(str(step) for step in SCALE)):
        raise refuse(f"has the rating {cell['rating']!r}, which is none of 0, 1, 2, 3 or nothing")
    rating = task.rated(cell["rater"], int(cell["rating"]) if cell["rating"] else None, duration(cell["seconds"]))
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
