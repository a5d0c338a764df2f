"""Pictures to look at, and what a test needs of a model that sees them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from autointerp.subjects.subject import Seen, Subject


def noise(seed: int = 0, width: int = 32, height: int = 32) -> Image.Image:
    """A picture in which no two patches are alike."""
    levels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


def spot(row: int, column: int, rows: int = 4, columns: int = 4, side: int = 32) -> Image.Image:
    """A black picture with one white cell of a grid."""
    levels = np.zeros((side, side, 3), dtype=np.uint8)
    high, wide = side // rows, side // columns
    levels[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = 255
    return Image.fromarray(levels)


def seen(subject: Subject, hooks: Sequence[str], pictures: Sequence[Image.Image]) -> list[Seen]:
    return [subject.look(picture, "", hooks) for picture in pictures]
