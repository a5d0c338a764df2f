"""The CSV files of a report: fixed columns, fixed order, RFC 4180, the same bytes for the same numbers."""

from io import StringIO
from pathlib import Path

import pandas as pd

from autointerp.store import write_text

# A spreadsheet would run these as formulas; an apostrophe makes them text.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

NAMES = dict.fromkeys(("dictionary", "explainer", "scorer", "rubric"), str)  # a name may look like a number


def write(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, text(frame))


def text(frame: pd.DataFrame) -> str:
    """One frame. Floats carry six significant digits: more would be noise that differs between machines."""
    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]) and not pd.api.types.is_bool_dtype(safe[column]):
            safe[column] = [
                f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in safe[column]
            ]
    written: str = safe.to_csv(index=False, float_format="%.6g", lineterminator="\r\n")
    return written


def read(source: Path | StringIO) -> pd.DataFrame:
    """A file as it was written. Only an empty cell is missing: an explanation may well be the word "null"."""
    return pd.read_csv(source, dtype=NAMES, keep_default_na=False, na_values=[""])


def as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it comes back from its file, so that two runs that agree there agree here."""
    return read(StringIO(text(frame)))
