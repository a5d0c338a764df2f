"""What a harness needs of a model under study, whatever it reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from autointerp.errors import UserError
from autointerp.records import Grid

Modality = Literal["text", "image"]
At = tuple[Tensor, Tensor]  # rows [m, 1] and positions [1, k]: values[at] is the part [m, k] of values [n, length]
Edit = Callable[[Tensor, At], Tensor]  # what becomes of the output [m, k, d] of a module, and where it belongs
BOTH = "+"  # between the two modules of a hook on two towers, one for each modality


class Subject(Protocol):
    """A model, and how documents become what it reads: positions with an id each, and pictures where it sees them.

    A context is a sequence of ids, one a position. Where it comes with a picture (the bytes of a PNG file, as the
    subject sees it), the patches have ids, too: a placeholder, as vision-language models have it.
    """

    model: nn.Module
    name: str
    device: torch.device
    special_ids: frozenset[int]
    prefix: list[int]
    suffix: list[int]

    def resolve(self, hook: str) -> str:
        """The path of the module (or of both modules) that a hook means."""
        ...

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        """What documents have to be made of for all these hooks to put out something."""
        ...

    def length(self, hooks: Sequence[str], context_length: int) -> int:
        """Positions that every context is padded to."""
        ...

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Ids of a text without special tokens, and the piece of the text that each stands for."""
        ...

    def alone(self, text: str, length: int) -> list[int]:
        """A text as a context of its own."""
        ...

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> "Seen":
        """A picture, perhaps with text, as a context."""
        ...

    def hidden(
        self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str], images: Sequence[bytes] = ()
    ) -> dict[str, Tensor]:
        """Hook outputs [n, length, d]. `images` are the pictures of the contexts, empty where one has none."""
        ...

    @property
    def has_loss(self) -> bool: ...

    def losses(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor: ...

    def logits(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor:
        """Logits of the token behind each context, float32 [n, vocabulary]."""
        ...

    def generate(
        self,
        contexts: Sequence[Sequence[int]],
        max_new_tokens: int,
        edits: Mapping[str, Edit],
        seeds: Sequence[int] | None = None,
        temperature: float = 1.0,
        images: Sequence[bytes] = (),
    ) -> list[list[int]]:
        """The tokens that follow each context: the likeliest ones, or drawn, with a seed for each context."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        ...

    def shuffled(self, seed: int) -> "Subject": ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as a context: its ids, the pieces of text they stand for, the PNG that the subject sees, its grid."""

    tokens: Sequence[int]
    pieces: Sequence[str]
    image: bytes
    grid: Grid


class WithoutLoss:
    """A subject that predicts nothing of what it reads."""

    name: str
    has_loss = False

    def losses(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor:
        raise NotImplementedError("nobody asks where has_loss is False")

    def logits(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor:
        raise says_nothing(self.name)

    def generate(
        self,
        contexts: Sequence[Sequence[int]],
        max_new_tokens: int,
        edits: Mapping[str, Edit],
        seeds: Sequence[int] | None = None,
        temperature: float = 1.0,
        images: Sequence[bytes] = (),
    ) -> list[list[int]]:
        raise says_nothing(self.name)

    def decode(self, tokens: Sequence[int]) -> str:
        raise says_nothing(self.name)


def says_nothing(name: str) -> UserError:
    return UserError(
        f"you asked what the subject {name!r} says next",
        "it predicts no tokens",
        "name a language model with its output layer, or leave causal evidence out",
    )


def choose_device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    # Not mps: it has no float64, in which the sums behind explained variance are kept.
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def permuted(model: nn.Module, seed: int) -> None:
    """Permute the entries of every weight matrix of a model: its sizes and scales stay, nothing it learned.

    The control of Bricken et al. 2023 (Towards Monosemanticity); biases and norm scales stay.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def padded(rows: Sequence[Tensor], length: int) -> Tensor:
    """Outputs [n_i, d] of different lengths as one, zeros behind them: [n, length, d]."""
    found = rows[0].new_zeros((len(rows), length, rows[0].shape[-1]))
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found


Processor = Any  # of transformers, which is untyped
