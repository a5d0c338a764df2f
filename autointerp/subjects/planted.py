"""A subject whose features are known rules about real text: what a run says of them can be held against the truth.

    planted:planted/rules.toml        the shipped rules; or the path of rules of your own

It is code, not a trained network. A rule is loud or quiet by the word that it fires on, every word has a feature of its
own beside the rules (384 features share all words), and two modules put the same loudness out in two ways:

    rules        each rule is a direction at right angles to all others; words lie in 16 dimensions beside them
    superposed   rules and words are directions in 96 dimensions, far fewer than there are features

The first can be read without error, so what is lost there is lost in explaining and judging. The second has to be
learned, as a dictionary learns a model, and is read with the errors that dictionaries make.

A hidden state depends on the text of its context alone. Where rules are added, taken away or put in another order, the
directions are other ones, and dictionaries have to be made anew (datasets/planted/train.py).
"""

import copy
import json
from collections.abc import Sequence
from functools import cache

import numpy as np
import regex
import torch
from PIL import Image
from torch import Tensor, nn

from autointerp import assets
from autointerp.store import stable_hash
from autointerp.subjects import rules
from autointerp.subjects.hooks import resolve, run_to_hooks
from autointerp.subjects.subject import Modality, Seen, WithoutLoss, padded, permuted

PIECE = regex.compile(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s")  # words, numbers, marks, gaps: all of a text
CHARACTERS = 2 * 0x110000  # ids below are characters: twice the code point, plus one with a space before it
WORDS = 384  # features of words
BESIDE, SUPERPOSED = 16, 96  # dimensions that words have beside the rules, and of the other hook
SEED = 12


class PlantedSubject(WithoutLoss):
    """The rules of a file as a subject. A token is a common word or mark with the space before it, or a character."""

    def __init__(self, path: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.rules = rules.load(path)
        self.model: nn.Module = Directions(len(self.rules)).eval().requires_grad_(False).to(device, dtype)
        self.name = f"{assets.PLANTED}{path}"
        self.device = torch.device(device)
        self.special_ids: frozenset[int] = frozenset()
        self.prefix: list[int] = []
        self.suffix: list[int] = []

    def resolve(self, hook: str) -> str:
        return resolve(self.model, hook)

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        return frozenset({"text"})

    def length(self, hooks: Sequence[str], context_length: int) -> int:
        return context_length

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Ids of a text and the pieces they stand for, which join to it: `pieces == [piece(id) for id in ids]`."""
        pieces = [part for whole in PIECE.findall(text) for part in parts(whole)]
        return [id_of(piece) for piece in pieces], pieces

    def alone(self, text: str, length: int) -> list[int]:
        return self.encode(text)[0][:length]

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> Seen:
        raise NotImplementedError("a planted subject sees no picture")

    def loudness(self, tokens: Sequence[int]) -> Tensor:
        """The truth about a context, float32 [n, rules + WORDS]: a rule's where it fires, a word's, and else 0.

        A rule's loudness lies from 0.75 to 1.5 by the rule, times 0.5 to 2 by the word that it fires on; that of a word
        from 0.5 to 2 by the word before it.
        """
        pieces = [piece(token) for token in tokens]
        words = [said.strip().lower() or said for said in pieces]
        found = np.zeros((len(pieces), len(self.rules) + WORDS), np.float32)
        by_word = np.array([loud("rule", word) for word in words])
        for number, rule in enumerate(self.rules.values()):
            found[:, number] = 0.75 * 2 ** share("base", rule.id) * by_word * rule.marks(pieces)
        for at, (before, word) in enumerate(zip(["", *words], words, strict=False)):
            found[at, len(self.rules) + int(WORDS * share("word", word))] = loud("word", before)
        return torch.from_numpy(found)

    def hidden(
        self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str], images: Sequence[bytes] = ()
    ) -> dict[str, Tensor]:
        """Hook outputs [n, length, d], zeros where a context has ended."""
        # One context at a time: the last digits of a product depend on how many rows it has.
        found = [self._outputs(tokens, hooks) for tokens in contexts]
        return {hook: padded([outputs[hook] for outputs in found], length) for hook in hooks}

    def _outputs(self, tokens: Sequence[int], hooks: Sequence[str]) -> dict[str, Tensor]:
        dtype = next(self.model.parameters()).dtype
        loudness = self.loudness(tokens).to(self.device, dtype)
        return run_to_hooks(self.model, hooks, lambda: self.model(loudness))

    def shuffled(self, seed: int) -> "PlantedSubject":
        """The same rules along directions whose entries are permuted."""
        subject = copy.copy(self)
        subject.model = copy.deepcopy(self.model)
        permuted(subject.model, seed)
        subject.name = f"{self.name} with shuffled weights"
        return subject


class Directions(nn.Module):
    """Loudness [n, features] to both hooks, each with a constant that a dictionary has to take off."""

    def __init__(self, n_rules: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        n = n_rules + WORDS
        self.rules = nn.Linear(n, n_rules + BESIDE)
        self.superposed = nn.Linear(n, SUPERPOSED)
        # In float64, so that the last digits, which depend on the machine, are rounded away.
        square = torch.randn(n_rules + BESIDE, n_rules + BESIDE, generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(square).Q
        words = unit(torch.randn(WORDS, BESIDE, generator=generator, dtype=torch.float64)) @ axes[n_rules:]
        with torch.no_grad():
            self.rules.weight.copy_(torch.cat([axes[:n_rules], words]).T)
            self.superposed.weight.copy_(unit(torch.randn(n, SUPERPOSED, generator=generator)).T)
            for module in (self.rules, self.superposed):
                module.bias.copy_(unit(torch.randn(1, module.out_features, generator=generator))[0])

    def forward(self, loudness: Tensor) -> None:
        self.rules(loudness)
        self.superposed(loudness)


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


@cache
def share(*parts: str) -> float:
    """A number from 0 to 1 that looks drawn by lot."""
    return stable_hash(*parts) / 2**63


def loud(what: str, word: str) -> float:
    """From 0.5 to 2, in equal parts on a logarithmic scale."""
    return float(0.5 * 4 ** share(what, word))


@cache
def vocabulary() -> tuple[list[str], dict[str, int]]:
    """Pieces of text that are one token, the commonest first, and their places."""
    pieces: list[str] = json.loads((assets.datasets() / "planted" / "vocabulary.json").read_text("utf-8"))
    return pieces, {piece: place for place, piece in enumerate(pieces)}


def parts(whole: str) -> list[str]:
    """A piece of text as tokens: itself, or the longest that it begins with, and so on. A character always is one."""
    known, found = vocabulary()[1], []
    while whole:
        sizes = (size for size in range(len(whole), 2, -1) if whole[:size] in known)
        size = next(sizes, 2 if whole[:2] in known or (whole[0] == " " and len(whole) > 1) else 1)
        found.append(whole[:size])
        whole = whole[size:]
    return found


def id_of(piece: str) -> int:
    place = vocabulary()[1].get(piece)
    return 2 * ord(piece[-1]) + len(piece) - 1 if place is None else CHARACTERS + place


def piece(token: int) -> str:
    """The text that an id stands for: it needs no text that was read before."""
    if token >= CHARACTERS:
        return vocabulary()[0][token - CHARACTERS]
    return " " * (token % 2) + chr(token // 2)
