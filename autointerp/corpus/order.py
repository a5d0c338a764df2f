"""Documents in the order of a key, however many there are: a sort whose rows go to disk when they become too many."""

import sys
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

BUCKET_BYTES = 64 * 2**20  # of rows in memory at a time
BITS = 8  # of the key that choose a bucket: 256 of them, which is 16 GiB of text before a bucket is divided again
DEPTH = 3  # how often one is divided, at most; what is too large even then is a single document
ROW_BYTES = 256  # a row besides its text: the tuple, the key, the name


class Row(NamedTuple):
    """Part of a document: the document's 63-bit key, whether this part trained a dictionary, its name, what it holds.

    A part is a text, or a picture (the bytes of its file), perhaps with text around it and a label in words.
    """

    key: int
    trained: bool
    name: str
    text: str
    image: bytes = b""
    label: str = ""


COUNTED = pa.schema([("key", pa.int64()), ("trained", pa.bool_())])
SCHEMA = pa.schema(
    [*COUNTED, ("name", pa.large_string()), ("text", pa.large_string()), ("image", pa.large_binary()),
     ("label", pa.large_string())]
)  # fmt: skip
OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


def scatter(rows: Iterable[Row], folder: Path, depth: int = 0) -> tuple[list[Row], list[Path]]:
    """Rows that fit the memory, as they came, and no files; or no rows, and one file for each range of keys in order.

    `folder` is made for the files, and only then.
    """
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(row)
        size += ROW_BYTES + sys.getsizeof(row.text) + len(row.image)
        if size > BUCKET_BYTES and depth < DEPTH:
            spill(held, folder, depth)
            held, size = [], 0
    if not folder.exists():
        return held, []
    spill(held, folder, depth)
    return [], sorted(folder.iterdir())


def spill(rows: Iterable[Row], folder: Path, depth: int) -> None:
    """Append rows to the files of their ranges. No file stays open: there may be more than a process may have."""
    folder.mkdir(parents=True, exist_ok=True)
    ranges: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        ranges[row.key >> (63 - BITS * (depth + 1)) & ((1 << BITS) - 1)].append(row)
    for number, members in ranges.items():
        batch = pa.record_batch(list(zip(*members, strict=True)), schema=SCHEMA)
        file = folder / f"{number:05}.rows"
        with file.open("ab") as end, pa.ipc.new_stream(end, SCHEMA, options=OPTIONS) as stream:
            stream.write_batch(batch)


def batches(file: Path, fields: list[int] | None = None) -> Iterator[pa.RecordBatch]:
    """What was appended to a file, piece by piece; of a piece only some fields, and only those are read."""
    with pa.memory_map(str(file)) as pieces:
        while pieces.tell() < pieces.size():
            yield from pa.ipc.open_stream(pieces, options=pa.ipc.IpcReadOptions(included_fields=fields))


def in_order(rows: list[Row], files: list[Path], depth: int = 0) -> Generator[Row, None, None]:
    """The rows of `scatter` by key, those of one key as they came. A file is removed when it has been read."""
    rows.sort(key=attrgetter("key"))
    yield from rows
    for file in files:
        again = (
            Row(*values) for b in batches(file) for values in zip(*(c.to_pylist() for c in b.columns), strict=True)
        )
        yield from in_order(*scatter(again, file.with_suffix(""), depth + 1), depth + 1)
        file.unlink()


def tally(rows: list[Row], files: list[Path]) -> tuple[int, int]:
    """Of the rows of `scatter`: how many documents they make, and how many of these trained in part."""
    held = pa.record_batch([[row.key for row in rows], [row.trained for row in rows]], schema=COUNTED)
    found = trained = 0
    for part in chain([[held]], (batches(file, fields=[0, 1]) for file in files)):
        table = pa.Table.from_batches(part)
        found += pc.count_distinct(table["key"]).as_py()
        trained += pc.count_distinct(table.filter(table["trained"])["key"]).as_py()
    return found, trained
