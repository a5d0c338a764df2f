"""Subjects of two towers, one for text and one for pictures, that meet in a joint space: CLIP, SigLIP and their like.

A context is read by one of the towers. A hook names a module of one, or of both, joined by "+": a dictionary of the
second sort reads words and patches alike, and its features can be asked whether they carry over.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from autointerp.errors import UserError
from autointerp.subjects.hooks import resolve
from autointerp.subjects.subject import BOTH, Modality, Seen, WithoutLoss, padded, permuted
from autointerp.subjects.text import TextSubject
from autointerp.subjects.vision import Eye, Layout, VisionSubject

STEP = 8  # tokens
TOWERS: dict[Modality, str] = {"text": "text_model", "image": "vision_model"}


class TwoTowerSubject(WithoutLoss):
    """A model with a `text_model` and a `vision_model`."""

    def __init__(self, model: Any, tokenizer: Any, eye: Eye, name: str, device: str | torch.device) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer, self.eye, self.name, self.device = tokenizer, eye, name, torch.device(device)
        self.text = TextSubject(model.get_submodule(TOWERS["text"]), tokenizer, name, device)
        patch = getattr(getattr(model.config, "vision_config", None), "patch_size", None)
        self.vision = VisionSubject(model.get_submodule(TOWERS["image"]), eye, name, device, patch)
        self.special_ids = self.text.special_ids | self.vision.special_ids
        self.most_tokens: int = model.config.text_config.max_position_embeddings
        self.prefix, self.suffix = self.text.prefix, self.text.suffix

    def resolve(self, hook: str) -> str:
        paths = [resolve(self.model, part.strip()) for part in hook.split(BOTH)]
        towers = [path.partition(".")[0] for path in paths if "." in path]  # a whole tower is no module inside it
        if not set(towers) <= set(TOWERS.values()) or len(set(towers)) < len(paths):
            raise UserError(
                f"you asked for the hook {hook!r}",
                f"this subject has the towers {' and '.join(TOWERS.values())}",
                "name a module inside one of them, or one inside each, joined by +",
            )
        return BOTH.join(paths)

    def _part(self, hook: str, modality: Modality) -> str | None:
        """The module of a hook inside one tower, by its path there."""
        inside = f"{TOWERS[modality]}."
        return next((part.removeprefix(inside) for part in hook.split(BOTH) if part.startswith(inside)), None)

    def _parts(self, hooks: Sequence[str], modality: Modality) -> dict[str, str]:
        """The module inside one tower, by hook, for the hooks that have one there."""
        found = {hook: self._part(hook, modality) for hook in hooks}
        return {hook: part for hook, part in found.items() if part is not None}

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        return frozenset(modality for modality in TOWERS if len(self._parts(hooks, modality)) == len(set(hooks)))

    def length(self, hooks: Sequence[str], context_length: int) -> int:
        modalities, found = self.reads(hooks), 0
        if "image" in modalities:
            found = len(self._layout_of(hooks).tokens)
        if "text" in modalities:
            if context_length > self.most_tokens:
                raise UserError(
                    f"you asked for contexts of {context_length} tokens",
                    f"the text tower of {self.name} takes {self.most_tokens}",
                    "lower corpus.context_length",
                )
            found = max(found, self._text_length(context_length))
        return found

    def _text_length(self, wanted: int) -> int:
        """What texts are padded to. A tower that attends to padding was trained with texts of its full length."""
        return min(wanted, self.most_tokens) if self.text.attends else self.most_tokens

    def _layout_of(self, hooks: Sequence[str]) -> Layout:
        return self.vision.layout(tuple(sorted(set(self._parts(hooks, "image").values()))))

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        return self.text.encode(text)

    def alone(self, text: str, length: int) -> list[int]:
        return self.text.alone(text, length)

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> Seen:
        tokens, grid = self._layout_of(hooks)
        return Seen(list(tokens), [""] * len(tokens), self.eye.see(picture), grid)

    def hidden(
        self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str], images: Sequence[bytes] = ()
    ) -> dict[str, Tensor]:
        """Hook outputs [n, length, d], each context through the tower that reads it; zeros behind a shorter one.

        Texts are short beside pictures: each is padded to a multiple of STEP of its own, whatever its batch.
        """
        images = images or [b""] * len(contexts)
        seen = [at for at, image in enumerate(images) if image]
        read = [at for at, image in enumerate(images) if not image]
        rows: dict[str, dict[int, Tensor]] = {hook: {} for hook in hooks}
        if seen:
            parts = self._parts(hooks, "image")
            modules, pictures = sorted(set(parts.values())), [images[at] for at in seen]
            outputs = self.vision.hidden([contexts[at] for at in seen], length, modules, pictures)
            for hook, part in parts.items():
                rows[hook] |= zip(seen, outputs[part], strict=True)
        if read:
            parts = self._parts(hooks, "text")
            modules = sorted(set(parts.values()))
            padded_to = {at: self._text_length(-(-len(contexts[at]) // STEP) * STEP) for at in read}
            for own in sorted(set(padded_to.values())):
                alike = [at for at in read if padded_to[at] == own]
                outputs = self.text.hidden([contexts[at] for at in alike], own, modules)
                for hook, part in parts.items():
                    rows[hook] |= zip(alike, outputs[part][:, :length], strict=True)
        longest = max(len(row) for found in rows.values() for row in found.values())
        in_order = {hook: [found[at] for at in range(len(contexts))] for hook, found in rows.items()}
        return {hook: padded(found, max(length, longest)) for hook, found in in_order.items()}

    def shuffled(self, seed: int) -> "TwoTowerSubject":
        """The same model with the entries of every weight matrix permuted."""
        model = copy.deepcopy(self.model)
        permuted(model, seed)
        return TwoTowerSubject(model, self.tokenizer, self.eye, f"{self.name} with shuffled weights", self.device)
