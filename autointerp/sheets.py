"""The CSV files of a report: fixed columns, fixed order, RFC 4180, the same bytes for the same numbers."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd

from autointerp.store import write_text

# What a spreadsheet would run as a formula, in full width too, as the versions for East Asia read it, and behind white
# space, which an import may trim. An apostrophe makes it text. One that already has apostrophes gets another, so that
# `plain` gives back what was there.
FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")

TEXTS = (
    *("dictionary", "metric", "control", "explainer", "scorer", "rubric", "unscored_reason", "circularity"),
    *("selected_by", "explanation", "role", "requested", "resolved", "provider", "developer", "family", "generation"),
    *("model", "effect", "note", "law", "quantity", "against", "gate", "verdict", "sentence"),
)  # columns that hold text though all of it may look like numbers


def write(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, text(frame))


def text(frame: pd.DataFrame) -> str:
    """One frame. Floats carry six significant digits: more would be noise that differs between machines."""
    safe = spelled(frame, harmless)
    written: str = safe.to_csv(index=False, float_format="%.6g", lineterminator="\r\n")
    return written


def read(source: Path | StringIO) -> pd.DataFrame:
    """What `write` was given. Only an empty cell is missing: an explanation may well be the word "null"."""
    found = pd.read_csv(source, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
    return spelled(found, plain)


def as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it comes back from its file, so that two runs that agree there agree here."""
    return read(StringIO(text(frame)))


def spelled(frame: pd.DataFrame, spell: Callable[[str], str]) -> pd.DataFrame:
    """A frame with every text in it, the names of its columns among them, spelled another way."""
    made = frame.rename(columns=spell)
    for column in made.columns:
        if not pd.api.types.is_numeric_dtype(made[column]):
            made[column] = [spell(cell) if isinstance(cell, str) else cell for cell in made[column]]
    return made


def harmless(text: str) -> str:
    """Text that no spreadsheet runs and every reader takes: half of a surrogate pair and NUL become '?'."""
    kept = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
    return f"'{kept}" if FORMULA.match(kept) else kept


def plain(text: str) -> str:
    """The text that `harmless` has made harmless."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
