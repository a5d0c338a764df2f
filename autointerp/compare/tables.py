"""What comparing finds: tables of one row a fact, as they lie in compare/ of a run."""

from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import pyarrow as pa

from autointerp.store import write_table

NUMBER, COUNT, WORD, FLAG = pa.float64(), pa.int64(), pa.string(), pa.bool_()
SCHEMAS = {
    # rows of dictionaries.csv
    "numbers": {
        "dictionary": WORD, "width": COUNT, "metric": WORD, "control": WORD, "explainer": WORD, "scorer": WORD,
        "rubric": WORD, "value": NUMBER, "low": NUMBER, "high": NUMBER, "n": COUNT, "unscored": COUNT,
        "circularity": WORD,
    },
    # rows of laws.csv
    "laws": {"law": WORD, "quantity": WORD, "value": NUMBER, "low": NUMBER, "high": NUMBER, "n": COUNT, "note": WORD},
    # of each evaluated feature its nearest in every dictionary of its site, and the cosine that chance seldom exceeds
    "neighbours": {
        "dictionary": WORD, "feature": COUNT, "other": WORD, "neighbour": COUNT, "cosine": NUMBER, "chance": NUMBER,
    },
    # of each feature of a larger dictionary its nearest in the next smaller one; it is a child above the threshold
    "steps": {
        "smaller": WORD, "larger": WORD, "feature": COUNT, "nearest": COUNT, "cosine": NUMBER, "threshold": NUMBER,
    },
    # how many features of a smaller dictionary have so many children; control random: in random directions
    "children": {"smaller": WORD, "larger": WORD, "control": WORD, "children": COUNT, "features": COUNT},
    # the descendants of some features of the smallest dictionary, which is its own parent
    "chains": {
        "root": COUNT, "generation": COUNT, "dictionary": WORD, "feature": COUNT, "parent": COUNT, "cosine": NUMBER,
    },
    "absorption": {
        "dictionary": WORD, "feature": COUNT, "larger": WORD, "counterpart": COUNT, "children": COUNT, "fired": COUNT,
        "documents": COUNT, "absorbed": NUMBER, "low": NUMBER, "high": NUMBER, "silent": NUMBER, "beside": NUMBER,
        "null": NUMBER, "p": NUMBER, "reason": WORD,
    },
    "neurons": {
        "dictionary": WORD, "feature": COUNT, "module": WORD, "neuron": COUNT, "correlation": NUMBER, "chance": NUMBER,
    },
    # which feature was found for which word; `way` is how its candidates were chosen
    "concepts": {
        "dictionary": WORD, "way": WORD, "category": WORD, "concept": WORD, "pseudo": FLAG, "sets_threshold": FLAG,
        "occurrences": COUNT, "frequency": NUMBER, "found": NUMBER, "feature": COUNT, "auroc": NUMBER,
        "precision": NUMBER, "threshold": NUMBER,
    },
    "map": {"site": WORD, "dictionary": WORD, "feature": COUNT, "x": NUMBER, "y": NUMBER},
    # what has to be said beside the numbers
    "notes": {"about": WORD, "note": WORD},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """A frame for each of SCHEMAS."""

    numbers: pd.DataFrame
    laws: pd.DataFrame
    neighbours: pd.DataFrame
    steps: pd.DataFrame
    children: pd.DataFrame
    chains: pd.DataFrame
    absorption: pd.DataFrame
    neurons: pd.DataFrame
    concepts: pd.DataFrame
    map: pd.DataFrame
    notes: pd.DataFrame

    @property
    def searched(self) -> pd.DataFrame:
        """Every decision about a concept whose candidates were searched for among all features."""
        return self.concepts[self.concepts["way"] == "search"]


Rows = list[dict[str, object]]


def comparison(rows: dict[str, Rows]) -> Comparison:
    """From the rows of each table; what has none is empty and keeps its columns."""
    return Comparison(
        **{
            name: pa.Table.from_pylist(rows.get(name, []), schema=pa.schema(list(columns.items()))).to_pandas()
            for name, columns in SCHEMAS.items()
        }
    )


def write(folder: Path, found: Comparison) -> list[Path]:
    paths = []
    for field in fields(found):
        paths.append(folder / f"{field.name}.parquet")
        write_table(paths[-1], getattr(found, field.name))
    return paths


def read(folder: Path) -> Comparison:
    return Comparison(**{name: pd.read_parquet(folder / f"{name}.parquet") for name in SCHEMAS})
