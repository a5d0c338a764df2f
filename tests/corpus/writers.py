"""Texts to draw from, and files that hold them."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MULTIBYTE = "Zoë paid 3 € for a 🦜 (👩🏽‍🚀 laughed), naïve – 東京\r\n\tdone \n"
Row = dict[str, Any]


def prose(seed: int, words: int = 40) -> str:
    """Words that differ between seeds from the first on."""
    rng = Random(seed)
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(2, 6))) for _ in range(words))


def rows_of(n: int, words: int = 40) -> list[Row]:
    return [{"document": f"doc{i}", "text": prose(i, words)} for i in range(n)]


def jsonl(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text(jsonl(rows), "utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
