"""The table of contexts: texts in windows, pictures whole, and files read no more than is needed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collect.prepare import CONTEXTS
from autointerp.evidence.replay import Contexts, read_images
from autointerp.records import Grid

TEXT, PICTURE, BOTH = "text", "picture", "both"
# sort, length, grid: texts of different lengths, pictures alone, and one with text behind it
ROWS: list[tuple[str, int, Grid | None]] = [
    (TEXT, 20, None),
    (PICTURE, 17, Grid(1, 4, 4)),
    (TEXT, 7, None),
    (BOTH, 14, Grid(1, 2, 3)),
    (PICTURE, 6, Grid(0, 2, 3)),
    (TEXT, 3, None),
]


def row(at: int, sort: str, length: int, grid: Grid | None) -> dict[str, Any]:
    return {
        "id": 1000 - at,
        "document": at // 2,
        "name": f"d{at // 2}",
        "split": ("explain", "score")[at % 2],
        "length": length,
        "tokens": list(range(100 * at, 100 * at + length)),
        "pieces": [f"{at}.{position} " for position in range(length)],
        "image": b"png %d" % at if grid else None,
        "grid": asdict(grid) if grid else None,
        "label": sort if grid else "",
    }


def write(path: Path, rows: list[dict[str, Any]], shard: int) -> Path:
    with pq.ParquetWriter(path, CONTEXTS) as writer:
        for start in range(0, len(rows), shard):
            writer.write_table(pa.Table.from_pylist(rows[start : start + shard], schema=CONTEXTS))
    return path


@pytest.fixture(params=[2, 4, 6], ids=["three shards", "two shards", "one shard"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = [row(at, *content) for at, content in enumerate(ROWS)]
    return write(tmp_path / "contexts.parquet", rows, int(request.param))


@pytest.mark.parametrize(
    ("window", "size", "n_windows"),
    [
        (4, [4, 17, 4, 14, 6, 4], [5, 1, 1, 1, 1, 0]),
        (7, [7, 17, 7, 14, 6, 7], [2, 1, 1, 1, 1, 0]),
        (0, [20, 17, 7, 14, 6, 3], [1, 1, 1, 1, 1, 1]),
    ],
)
def test_texts_are_cut_into_windows_and_pictures_are_whole(
    window: int, size: list[int], n_windows: list[int], path: Path
) -> None:
    contexts = Contexts(path, window)
    assert contexts.size.tolist() == size
    assert contexts.n_windows.tolist() == n_windows
    assert contexts.split.tolist() == [0, 1] * 3
    assert len(contexts) == 6


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=8), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_windows_hold_no_position_twice_and_lose_less_than_one_of_a_context(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, bool]], window: int
) -> None:
    rows = [row(at, "x", n, Grid(0, 1, n) if seen else None) for at, (n, seen) in enumerate(drawn)]
    contexts = Contexts(write(tmp_path_factory.mktemp("drawn") / "contexts.parquet", rows, 3), window)
    contexts.read(np.arange(len(rows)))
    for at, (n, seen) in enumerate(drawn):
        excerpts = [contexts.excerpt(at, w) for w in range(contexts.n_windows[at])]
        shown = [piece for excerpt in excerpts for piece in excerpt.pieces]
        assert shown == rows[at]["pieces"][: len(shown)]
        assert n - len(shown) < (1 if seen or not window else window)


def test_an_excerpt_knows_its_grid_its_label_and_its_activations(path: Path) -> None:
    contexts = Contexts(path, 4)
    contexts.read(np.array([0, 1]))
    text, picture = contexts.excerpt(0, 2), contexts.excerpt(1, 0, np.arange(17, dtype=np.float32))
    assert (text.start, text.pieces, text.grid, text.label) == (8, ("0.8 ", "0.9 ", "0.10 ", "0.11 "), None, "")
    assert (picture.start, picture.grid, picture.label) == (0, Grid(1, 4, 4), "picture")
    assert picture.activations == tuple(range(17))
    assert len(picture.pieces) == 17
    assert text.activations == (0.0,) * 4


def test_patches_are_no_words(path: Path) -> None:
    contexts = Contexts(path, 4)
    for at, (_, length, grid) in enumerate(ROWS):
        positions = np.arange(length)
        patches = range(grid.start, grid.start + grid.rows * grid.columns) if grid else ()
        words = contexts.words(np.full(length, at), positions)
        assert words.tolist() == [position not in patches for position in positions]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [1, 4], [0, 5], [3], []])
def test_pictures_come_by_row_and_are_empty_for_texts(rows: list[int], path: Path) -> None:
    contexts = Contexts(path, 4)
    expected = [b"png %d" % at if ROWS[at][2] else b"" for at in rows]
    wanted = np.array(rows, dtype=np.int64)
    assert contexts.images(wanted) == expected
    assert list(read_images(path, wanted, contexts.offsets)) == list(zip(rows, expected, strict=True))


def test_only_rows_that_were_asked_for_are_in_memory(path: Path) -> None:
    contexts = Contexts(path, 4)
    contexts.read(np.array([1, 2]))
    contexts.read(np.array([2, 4]))
    assert contexts.tokens.keys() == contexts.pieces.keys() == {1, 2, 4}
    assert contexts.grids == {1: Grid(1, 4, 4), 4: Grid(0, 2, 3)}
    assert contexts.tokens[2] == list(range(200, 207))
    assert contexts.rows(np.array([999, -1, 1000, 999])).tolist() == [0, 1]
