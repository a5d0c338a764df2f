"""A planted subject that sees: every feature is a known rule about colours, so what a run says can be checked.

Pictures have 4 x 4 cells of pure colours, and the subject's one convolution puts out for each cell, in the channel of
its colour, how loud that colour is. Feature j of the dictionary reads the channels of `RULES[j]`. Explainers and judges
are the functions at the end, put in place of a model by the scripted provider; those that see know only what they
decode from the pictures of their request.
"""

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import nn

from autointerp import toml
from autointerp.exhibit import COLOUR, SIDE
from autointerp.llm.protocol import Image, Request
from autointerp.pipeline import STAGES, do, open_job
from tests.planted import answered, asked_for, described, recorded, scripted_in, write_dictionary

GRID, CELL = 4, 8  # cells on a side, pixels of a cell's side
SIZE = GRID * CELL
COLOURS = {
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "white": (255, 255, 255),
}
NAMES = tuple(COLOURS)
BY_VALUE = {value: name for name, value in COLOURS.items()}
GROUND = "white"
HOOK = "fires"
RULES: tuple[tuple[str, ...], ...] = (
    ("red",),
    ("blue",),
    ("green", "yellow"),
    ("cyan",),
    ("magenta",),
    ("black", "cyan"),
    ("red", "blue"),  # suppressed by its bias: dead
    (GROUND,),  # in every picture: too few silent excerpts
)
SUPPRESSED, EVERYWHERE = 6, 7
SCORABLE = frozenset(range(len(RULES))) - {SUPPRESSED, EVERYWHERE}
NORMS = (0.5, 1.0, 2.0, 0.25, 1.0, 4.0, 1.0, 2.0)  # |W_dec|: never left at 1 on purpose
Cells = tuple[str, ...]  # the colours of a picture, row by row


def loudness(colour: str) -> float:
    """What the subject puts out where it sees a colour."""
    return 0.5 * (1 + NAMES.index(colour))


def activation(feature: int, colour: str) -> float:
    """a_i on a cell, worked out from the weights by hand: f = loudness / norm, times the norm."""
    return loudness(colour) if colour in RULES[feature] and feature != SUPPRESSED else 0.0


class Colours(nn.Module):
    """[n, 3, 32, 32] with values from 0 to 1, to [n, 8, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, len(COLOURS), CELL, stride=CELL)
        self.fires = nn.ReLU()
        corners = torch.tensor(list(COLOURS.values())) / 255
        loud = torch.tensor([loudness(colour) for colour in NAMES])
        with torch.no_grad():
            # The sum of signs times values is largest, the number of ones, at the colour itself, and 1 less elsewhere.
            signs = (2 * corners - 1) * 2 * loud[:, None] / CELL**2
            self.cells.weight.copy_(signs[:, :, None, None].expand_as(self.cells.weight))
            self.cells.bias.copy_((0.5 - corners.sum(1)) * 2 * loud)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.fires(self.cells(pixels))


def colours() -> nn.Module:
    return Colours()


def random_eyes() -> nn.Module:
    """A few convolutions that nobody trained: [n, 3, h, w] to [n, 16, h / 8, w / 8]."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 8, stride=8),
        nn.GELU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(16, 16, 3, padding=1),
    )
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=draws) / max(tensor[0].numel(), 9) ** 0.5)
    return model


@dataclass(frozen=True)
class Sighted:
    """The folder with dictionary/ and corpus.parquet, and the pictures by document."""

    folder: Path
    pictures: dict[str, Cells]


def plant(folder: Path, n_pictures: int = 400, seed: int = 0) -> Sighted:
    """Beside the pictures the corpus has one that is damaged, one that is there twice, and a text."""
    write_dictionary(folder / "dictionary", weights(), architecture="standard", metadata={"hook_name": HOOK})
    rng = random.Random(seed)
    drawn: dict[Cells, None] = {}
    while len(drawn) < n_pictures:
        drawn[draw(rng)] = None
    pictures = {f"d{number:03}": cells for number, cells in enumerate(drawn)}
    rows = [{"document": name, "image": png(cells), "colours": label(cells)} for name, cells in pictures.items()]
    rows.append({"document": "again", "image": png(next(iter(drawn))), "colours": "again"})
    rows.append({"document": "damaged", "image": png(draw(rng))[:60], "colours": "damaged"})
    rows.append({"document": "text", "text": "the red boat and the blue sea"})
    schema = pa.schema(
        [("document", pa.string()), ("image", pa.binary()), ("colours", pa.string()), ("text", pa.string())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "corpus.parquet")
    return Sighted(folder, pictures)


def draw(rng: random.Random) -> Cells:
    """A white picture with one to four coloured cells."""
    cells = [GROUND] * GRID**2
    for at in rng.sample(range(GRID**2), rng.randint(1, 4)):
        cells[at] = rng.choice([name for name in NAMES if name != GROUND])
    return tuple(cells)


def label(cells: Cells) -> str:
    return " ".join(sorted(set(cells) - {GROUND}))


def png(cells: Sequence[str]) -> bytes:
    values = np.array([COLOURS[name] for name in cells], dtype=np.uint8).reshape(GRID, GRID, 3)
    target = io.BytesIO()
    Picture.fromarray(values.repeat(CELL, 0).repeat(CELL, 1)).save(target, "PNG")
    return target.getvalue()


def cells_in(image: bytes) -> Cells:
    """What a picture shows, from the bytes of a file without loss."""
    with Picture.open(io.BytesIO(image)) as file:
        middles = np.asarray(file)[CELL // 2 :: CELL, CELL // 2 :: CELL].reshape(-1, 3)
    return tuple(BY_VALUE[tuple(int(v) for v in value)] for value in middles)


def weights() -> dict[str, torch.Tensor]:
    """A ReLU dictionary of the rules, with decoder rows of the lengths NORMS and encoder columns that undo them."""
    reads = torch.tensor([[float(name in rule) for rule in RULES] for name in NAMES])
    norms = torch.tensor(NORMS)
    bias = torch.zeros(len(RULES))
    bias[SUPPRESSED] = -100.0
    rows = reads.T / reads.T.norm(dim=1, keepdim=True)
    return {
        "W_enc": (reads / norms).contiguous(),
        "W_dec": (rows * norms[:, None]).contiguous(),
        "b_enc": bias,
        "b_dec": torch.zeros(len(NAMES)),
    }


def played(tree: dict[str, Any], out: Path) -> Path:
    """The folder of a run that has been scored."""
    job = open_job(toml.build(tree, "the test"), out)
    try:
        for name in ("collect", "evidence", "explain", "score"):
            do(job, name, STAGES[name])
    finally:
        job.close()
    return job.directory.path


def settings(sighted: Sighted, name: str = "sighted") -> dict[str, Any]:
    """A complete run with small numbers: an explainer and a judge that see, and the lexical explainer."""
    return {
        "name": name,
        "seed": 3,
        "subject": {
            "model": f"python:{__name__}:colours",
            "device": "cpu",
            "picture": {"size": SIZE, "mean": [0, 0, 0], "std": [1, 1, 1]},
        },
        "corpus": {"path": str(sighted.folder / "corpus.parquet"), "contexts": 1000, "label_columns": ["colours"]},
        "positions": {"norm_limit": 0.0},
        "dictionaries": {"rules": {"path": str(sighted.folder / "dictionary")}},
        "collect": {"keep": 8, "batch_size": 16, "loss_contexts": 0, "gate": False},
        "evidence": {"features": len(RULES), "bins": 2, "per_bin": 9, "negatives": 9, "min_firing": 3, "pool": 512},
        "explainers": {"sees": scripted("explain_seeing"), "lexical": {"kind": "lexical"}},
        "scorers": {
            "judge": scripted("judge_seeing", explainers=["sees"], scores=["detection", "fuzzing", "specificity"])
        },
        "score": {"resamples": 100},
        "circularity": {"allow": "the judge is a function whose rule is known"},
    }


def scripted(function: str, **more: Any) -> dict[str, Any]:
    """A role played by a function of this module."""
    return scripted_in(__name__, function, **more)


# What is to be seen in a picture of a request


def decoded(image: Image) -> NDArray[np.uint8]:
    """[side, side, 3]; a JPEG file, and nothing else."""
    assert image.media_type == "image/jpeg"
    with Picture.open(io.BytesIO(image.data), formats=["JPEG"]) as file:
        return np.asarray(file.convert("RGB"))


def cells_of(image: Image) -> list[str]:
    """The colours in the middles of the cells, row by row."""
    pixels, side = decoded(image), SIDE // GRID
    middles = pixels.reshape(GRID, side, GRID, side, 3)[:, side // 4 : -side // 4, :, side // 4 : -side // 4]
    values = np.where(np.median(middles, axis=(1, 3)) > 127, 255, 0).reshape(-1, 3)
    return [BY_VALUE[tuple(int(v) for v in value)] for value in values]


def line_in(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels have the colour of the line, give or take what JPEG does to it."""
    return np.abs(pixels.astype(int) - COLOUR).max(axis=-1) < 32


def outlined(image: Image) -> list[bool]:
    """The cells inside a line, row by row: one comes in from the left and turns inside out at every line it crosses."""
    line, side = line_in(decoded(image)), SIDE // GRID
    found = []
    for row in range(GRID):
        inside = False
        heights = slice(row * side + side // 4, (row + 1) * side - side // 4)
        for column in range(GRID):
            edge = column * side
            inside ^= bool(line[heights, max(edge - 1, 0) : edge + 2].mean() > 0.9)
            found.append(inside)
    return found


def rows(lines: Sequence[str], request: Request) -> list[tuple[dict[str, Any], Image]]:
    """The lines of a question with the picture that each names."""
    told = [json.loads(line) for line in lines]
    return [(row, request.images[row["image"]]) for row in told]


def marked_colours(image: Image) -> set[str]:
    return {name for name, inside in zip(cells_of(image), outlined(image), strict=True) if inside}


# The functions in the place of a model


@recorded
def explain_seeing(request: Request) -> dict[str, str]:
    """Names the colours inside the lines of what is active."""
    lines = request.content.split("\n")
    stop = lines.index("SILENT") if "SILENT" in lines else len(lines)
    found = {name for _, image in rows(lines[1:stop], request) for name in marked_colours(image)}
    return {"explanation": f"any of: {', '.join(sorted(found))}"}


@recorded
def judge_seeing(request: Request) -> dict[str, Any]:
    """Whether a picture has a cell of a described colour; or, of the outlined cells, whether all are of them."""
    words, field = described(request), asked_for(request)
    shown = rows(request.content.split("\n")[1:], request)
    if field == "fits":
        return answered(request, [bool(words & set(cells_of(image))) for _, image in shown])
    held = [marked_colours(image) for _, image in shown]
    return answered(request, [found <= words if field == "right" else 3 * (found <= words) for found in held])


@recorded
def judge_blind(request: Request) -> dict[str, Any]:
    """The same answer to everything."""
    answer = 2 if asked_for(request) == "rating" else True
    return answered(request, [answer] * (len(request.content.split("\n")) - 1))
