"""The nouns of the project: small frozen records that stages hand to one another through the run directory."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Split = Literal["explain", "score"]
SPLITS: tuple[Split, Split] = ("explain", "score")  # their index is the int8 that sketches store
SEEDED, PICKED = "seeded draw", "hand-picked"  # who selected a feature


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the patches of a picture stand among the positions of its context: row by row, from `start` on."""

    start: int
    rows: int
    columns: int

    @property
    def positions(self) -> slice:
        return slice(self.start, self.start + self.rows * self.columns)


@dataclass(frozen=True, slots=True)
class Context:
    """One forward unit: a run of tokens that never crosses a document, a picture, or a picture with text around it.

    `id` is a 63-bit hash of document and position, so shards agree on it without talking to each other. `tokens` has an
    id for every position, patches among them. `image` is the picture as the subject sees it, a PNG file.
    """

    id: int
    document: int
    split: Split
    tokens: tuple[int, ...]
    image: bytes = b""
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The unit that is shown and judged: the window `start : start + len(tokens)` of a context, or all of it.

    Windows lie on a fixed grid, so where a feature fires inside one says nothing about how it was chosen.
    `pieces` are the tokens as text; `activations` are a_i at the same positions, 0 where masked or silent. An excerpt
    with a picture has its `grid`. `label` are the corpus's own words for what it shows or means, if it has some, which
    no judge is told that can see the picture or read the text.
    """

    context: int
    start: int
    document: int
    pieces: tuple[str, ...]
    activations: tuple[float, ...]
    grid: Grid | None = None
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.context:016x}.{self.start}"

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def fires(self) -> tuple[bool, ...]:
        return tuple(a > 0 for a in self.activations)

    @property
    def in_text(self) -> tuple[int, ...]:
        """The positions that are no patches of a picture."""
        found = list(range(len(self.pieces)))
        if self.grid is not None:
            del found[self.grid.positions]
        return tuple(found)

    @property
    def largest(self) -> float:
        return max(self.activations)


@dataclass(frozen=True, slots=True)
class Item:
    """An excerpt as evidence about one feature: its stratum, its truth, and how much of the population it stands for.

    `stratum` is bin0, bin1, … (the linear interval over (0, max] of its largest activation) or, where it is silent,
    random, near or same_token. `weight` is the share of the firing (or of the silent) excerpts of the corpus that the
    item represents; over the items of one feature and split the firing weights add to 1, and so do the silent ones.
    """

    excerpt: Excerpt
    stratum: str
    fires: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one feature before anyone explains it. `items` never mixes documents across splits."""

    dictionary: str
    feature: int
    max_activation: float
    items: dict[Split, tuple[Item, ...]]
    split_hash: str


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote or judged: the model as requested and as the provider resolved it; code and people have no model."""

    role: str
    provider: str
    requested: str
    resolved: str


class Model(NamedTuple):
    """A pretrained model that takes part: who serves it, and its name as asked for and, once known, as it answered."""

    provider: str
    requested: str
    resolved: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sentence about a feature. `text` is empty when there is none, and `reason` then says why.

    `chooser` is the model that took it from among several candidates, None where nobody chose.
    """

    dictionary: str
    feature: int
    explainer: str
    text: str
    reason: str
    author: Author | None
    rubric: str
    split_hash: str
    chooser: Author | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judge's raw answer about one item. `value` is nan when there is none, and `reason` then says why.

    `fires` is the truth that the question is about, `activation` the largest one in the item. A simulation also keeps
    what was `predicted` for each token beside the true `activations`. Kept for ever: every score can be recomputed
    from verdicts without a model.
    """

    dictionary: str
    feature: int
    question: str
    control: str
    explainer: str
    scorer: str
    rubric: str
    item: str
    stratum: str
    fires: bool
    weight: float
    value: float
    reason: str = ""
    activation: float = 0.0
    predicted: tuple[float, ...] = ()
    activations: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One number about one feature. `value` is nan when unscored, and `reason` then says why."""

    dictionary: str
    feature: int
    metric: str
    control: str
    explainer: str
    scorer: str
    rubric: str
    value: float
    low: float
    high: float
    n: int
    unscored: int
    reason: str
    circularity: str


def as_row(record: Any) -> dict[str, Any]:
    """The fields of a record by name, as a row of a table; a record within it becomes a dict as well.

    Tuples stay what they are: dataclasses.asdict copies them element by element, which was most of the time that
    evidence took to write.
    """
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    return {name: as_row(value) if is_dataclass(value) else value for name, value in values}


UNSCORED = float("nan")


def is_scored(value: float) -> bool:
    return not np.isnan(value)
