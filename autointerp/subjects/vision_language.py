"""Vision-language models: pictures and text in one sequence of positions.

Where the model's processor puts placeholders for a picture, the positions are patches; all others are text. Both are
positions of one stream, and one dictionary reads them.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from autointerp.errors import UserError
from autointerp.records import Grid
from autointerp.subjects.subject import Modality, Processor, Seen, permuted
from autointerp.subjects.text import TextSubject
from autointerp.subjects.vision import Eye, grid_of, opened

MARKS = ("image_token", "boi_token", "eoi_token", "video_token", "audio_token")  # as processors call their placeholders


class VisionLanguageSubject(TextSubject):
    """A transformers model for image and text to text, with its processor."""

    def __init__(self, model: Any, processor: Processor, name: str, device: str | torch.device = "cpu") -> None:
        super().__init__(model, processor.tokenizer, name, device)
        self.processor = processor
        self.eye = Eye(processor.image_processor, name)
        if not self.eye.steady():
            raise UserError(
                f"you asked for the subject {name!r}",
                "its image processor cuts or changes a picture of the right size once more",
                "name a model that takes such pictures as they are",
            )
        self.image_id: int = processor.image_token_id
        self._marks = {mark for name in MARKS if isinstance(mark := getattr(processor, name, None), str) and mark}
        # An image token is a patch, whatever the tokenizer calls it.
        self.special_ids = self.special_ids - {self.image_id}

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        return frozenset({"text", "image"})

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        return super().encode(self._unmarked(text))

    def _unmarked(self, text: str) -> str:
        """A text that writes out a placeholder stands for no picture: a space goes into it."""
        for mark in self._marks:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> Seen:
        """The picture, then the text, as the model's own processor puts them into one sequence."""
        image = self.eye.see(picture)
        placeholder = getattr(self.processor, "boi_token", None) or self.processor.image_token
        read = self.processor(text=f"{placeholder}{self._unmarked(text)}", images=opened(image), return_tensors="pt")
        tokens: list[int] = read["input_ids"][0].tolist()
        patches = [at for at, token in enumerate(tokens) if token == self.image_id]
        if not patches or patches[-1] - patches[0] + 1 != len(patches):
            raise UserError(
                f"you asked for the subject {self.name!r}",
                f"its processor makes {len(patches)} patches of a picture, not one run of them",
                "name a model that reads a picture as one run of tokens, or switch off the splitting of pictures",
            )
        shape = grid_of(len(patches), self.eye.size, None)
        if shape.start:
            shape = Grid(0, 1, len(patches))  # no square, and no word of how they lie: a strip
        return Seen(tokens, self._pieces(tokens, text), image, Grid(patches[0], shape.rows, shape.columns))

    def _pieces(self, tokens: Sequence[int], text: str) -> list[str]:
        """The text each token stands for; none for patches and special tokens."""
        ids, pieces = self.encode(text) if text else ([], [])
        found = [""] * len(tokens)
        for start in reversed(range(len(tokens) - len(ids) + 1)):
            if ids and list(tokens[start : start + len(ids)]) == ids:
                found[start : start + len(ids)] = pieces
                return found
        silent = self.special_ids | {self.image_id}
        return ["" if token in silent else self.tokenizer.decode([token]) for token in tokens]

    def _passes(
        self, contexts: Sequence[Sequence[int]], length: int, images: Sequence[bytes]
    ) -> list[tuple[Sequence[int], dict[str, Tensor]]]:
        """Contexts with a picture and those without are read apart: some models cannot mix them in a batch."""
        images = images or [b""] * len(contexts)
        found: list[tuple[Sequence[int], dict[str, Tensor]]] = []
        for seeing in (True, False):
            rows = [at for at, image in enumerate(images) if bool(image) == seeing]
            if rows:
                ids, mask = self._padded([contexts[at] for at in rows], length)
                inputs = {"input_ids": ids, "attention_mask": mask}
                found.append((rows, inputs | (self._pixels([images[at] for at in rows]) if seeing else {})))
        return found

    def _pixels(self, images: Sequence[bytes]) -> dict[str, Tensor]:
        """What the image processor makes of pictures that it has seen before: their size is right already."""
        made = self.processor.image_processor(images=[opened(image) for image in images], return_tensors="pt")
        dtype = next(self.model.parameters()).dtype
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None)
            for name, value in made.items()
            if name in self._takes
        }

    def _predicted(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return super()._predicted(inputs) & (inputs["input_ids"] != self.image_id)

    def shuffled(self, seed: int) -> "VisionLanguageSubject":
        """The same model with the entries of every weight matrix permuted."""
        model = copy.deepcopy(self.model)
        permuted(model, seed)
        return VisionLanguageSubject(model, self.processor, f"{self.name} with shuffled weights", self.device)
