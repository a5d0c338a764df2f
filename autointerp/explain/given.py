"""Explanations that somebody brings: a CSV with the columns dictionary, feature, explanation."""

from pathlib import Path

import pandas as pd

from autointerp import assets
from autointerp.errors import UserError

COLUMNS = ("dictionary", "feature", "explanation")


def read(path: str) -> dict[tuple[str, int], str]:
    """Explanations by (dictionary, feature). The last of several for one feature would hide the others: refused."""
    source = assets.locate(path) or Path(path)
    try:
        table = pd.read_csv(source, dtype={"dictionary": str, "explanation": str}, encoding="utf-8")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(
            f"you asked for the explanations in {path}", f"they cannot be read ({error})", "mend the file"
        ) from None
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise UserError(
            f"you asked for the explanations in {path}",
            f"the column {missing[0]!r} is not there; it has {', '.join(table.columns)}",
            f"give the columns {', '.join(COLUMNS)}",
        )
    number = pd.to_numeric(table["feature"], errors="coerce")
    stray = table["feature"][number.isna() | (number % 1 != 0)].astype(str)
    if len(stray):
        raise UserError(
            f"you asked for the explanations in {path}", f"{stray.iloc[0]!r} is not the number of a feature", "mend it"
        )
    twice = table.duplicated(["dictionary", "feature"])
    if twice.any():
        row = table[twice].iloc[0]
        raise UserError(
            f"you asked for the explanations in {path}",
            f"feature {row['feature']} of {row['dictionary']} has more than one",
            "keep one, or give each author a file of its own",
        )
    table = table.dropna(subset=["explanation"])
    return {(d, int(f)): t for d, f, t in zip(table["dictionary"], table["feature"], table["explanation"], strict=True)}
