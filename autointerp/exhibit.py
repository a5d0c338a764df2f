"""Excerpts as a language model reads them: a line of JSON each, and pictures beside them that lines name by number.

Nothing but the content is shown. A picture's label stays here, and all pictures are as large as each other.
"""

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image as Picture
from PIL import ImageDraw

from autointerp.llm.protocol import Image
from autointerp.prompt import line, marked, neutral
from autointerp.records import Excerpt, Grid

SIDE = 256  # pixels: smaller pictures are enlarged towards it, since models read small ones badly
COLOUR, QUALITY = (255, 0, 160), 92


class Exhibits:
    """The pictures of one request, in the order in which its lines name them. `pictures` are PNG files by context."""

    def __init__(self, pictures: Mapping[int, bytes]) -> None:
        self._pictures = pictures
        self._shown: list[Image] = []

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(self._shown)

    def line(self, excerpt: Excerpt, marks: Sequence[bool] | None, data: Mapping[str, Any], **rest: Any) -> str:
        """A line with `rest`, the number of the excerpt's picture where it has one, and `data`."""
        if excerpt.grid is None:
            return line(**rest, **data)
        self._shown.append(shown(self._pictures[excerpt.context], excerpt.grid, tuple(on_patches(excerpt, marks))))
        return line(**rest, image=len(self._shown) - 1, **data)


def in_words(excerpt: Excerpt, marks: Sequence[bool] | None = None) -> dict[str, str]:
    """The text of an excerpt as data of its line, with its flagged tokens in marks; nothing where it is a picture."""
    pieces = [excerpt.pieces[at] for at in excerpt.in_text]
    if excerpt.grid is not None and not "".join(pieces).strip():
        return {}
    if marks is None:
        return {"text": neutral("".join(pieces))}
    return {"text": marked(pieces, [marks[at] for at in excerpt.in_text])}


def on_patches(excerpt: Excerpt, marks: Sequence[bool] | None) -> list[bool]:
    """The marks of an excerpt's patches; none where it is shown without marks."""
    assert excerpt.grid is not None
    return [] if marks is None else list(marks[excerpt.grid.positions])


@lru_cache(maxsize=4096)
def shown(png: bytes, grid: Grid, flags: tuple[bool, ...]) -> Image:
    """A picture, enlarged where it is small, with a line around each group of flagged patches (row by row)."""
    with Picture.open(io.BytesIO(png)) as file:
        picture = file.convert("RGB")
    times = max(1, SIDE // max(picture.size))
    picture = picture.resize((picture.width * times, picture.height * times), Picture.Resampling.BICUBIC)
    outline(picture, grid, flags)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=QUALITY, subsampling=0)  # a thin line's colour in full
    return Image("image/jpeg", target.getvalue())


def outline(picture: Picture.Image, grid: Grid, flags: Sequence[bool]) -> None:
    """Draw the border between flagged patches and all others."""
    pen = ImageDraw.Draw(picture)
    wide, high = picture.width / grid.columns, picture.height / grid.rows
    width = max(3, min(picture.size) // 80)

    def flagged(row: int, column: int) -> bool:
        inside = 0 <= row < grid.rows and 0 <= column < grid.columns
        return inside and flags[row * grid.columns + column]

    for at, flag in enumerate(flags):
        if not flag:
            continue
        row, column = divmod(at, grid.columns)
        left, top = column * wide, row * high
        right, bottom = min(left + wide, picture.width - 1), min(top + high, picture.height - 1)
        for other, ends in (
            ((row - 1, column), (left, top, right, top)),
            ((row + 1, column), (left, bottom, right, bottom)),
            ((row, column - 1), (left, top, left, bottom)),
            ((row, column + 1), (right, top, right, bottom)),
        ):
            if not flagged(*other):
                pen.line(ends, fill=COLOUR, width=width)
