"""The CSV files of a report: fixed columns, fixed order, RFC 4180, the same bytes for the same numbers."""

from pathlib import Path

import pandas as pd

from autointerp.store import write_text

# A spreadsheet would run these as formulas; an apostrophe makes them text.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(path: Path, frame: pd.DataFrame) -> None:
    """One frame. Floats carry six significant digits: more would be noise that differs between machines."""
    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]) and not pd.api.types.is_bool_dtype(safe[column]):
            safe[column] = [
                f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in safe[column]
            ]
    write_text(path, safe.to_csv(index=False, float_format="%.6g", lineterminator="\r\n"))
