"""Columns of a frame, whether a run made it or a CSV file holds it."""

from typing import Any

import pandas as pd


def texts(frame: pd.DataFrame, column: str) -> list[str]:
    """A column as strings, undoing what a CSV reader does: nan was an empty string, and 2.0 in such a column was 2."""
    empty = frame[column].isna().tolist()
    return ["" if nothing else worded(cell) for nothing, cell in zip(empty, frame[column].tolist(), strict=True)]


def worded(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def numbers(frame: pd.DataFrame, column: str) -> list[float]:
    """A column as floats, empty cells as nan."""
    return [float(cell) for cell in pd.to_numeric(frame[column], errors="coerce").tolist()]


def flags(frame: pd.DataFrame, column: str) -> list[bool]:
    """A column as booleans, whether it holds them or a CSV's words for them."""
    return [truth(cell) for cell in frame[column].tolist()]


def truth(cell: Any) -> bool:
    return False if pd.isna(cell) else str(cell).lower() in ("true", "1", "1.0", "yes")
