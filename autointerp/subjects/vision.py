"""Vision subjects: any torch module that takes pictures; transformers models by id or path.

A position is a patch. What the model holds beside patches (class and register tokens) are positions, too, and special.
"""

import copy
import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from autointerp import pictures
from autointerp.config import PictureConfig
from autointerp.errors import UserError
from autointerp.records import Grid
from autointerp.subjects.hooks import resolve, run_to_hooks
from autointerp.subjects.subject import Modality, Processor, Seen, WithoutLoss, first_line, permuted

PATCH, CLASS = -1, -2  # the ids of positions that no tokenizer knows


class Eye:
    """How a picture reaches a model, by its image processor; and back, as what the model sees."""

    def __init__(self, processor: Processor, name: str) -> None:
        self.processor, self.name = processor, name
        normalises = getattr(processor, "do_normalize", False)
        self.mean = torch.tensor(processor.image_mean if normalises else [0.0] * 3).view(-1, 1, 1)
        self.std = torch.tensor(processor.image_std if normalises else [1.0] * 3).view(-1, 1, 1)
        self.scale = float(processor.rescale_factor) if getattr(processor, "do_rescale", False) else 1.0
        self.size = self._size()

    def _size(self) -> tuple[int, int]:
        """Height and width of all that the model sees, whatever the picture. Refuses what we could not show again."""
        probe = Image.effect_noise((96, 64), 64)
        values = self._processed(probe)
        wide = self._processed(probe.resize((64, 160)))
        if values.ndim != 3 or len(values) != 3 or values.shape != wide.shape:
            shapes = f"{tuple(values.shape)} and {tuple(wide.shape)}"
            found = f"its image processor makes {shapes} of two pictures, not one [3, height, width] of any"
        elif not torch.allclose(self.pixels([self.see(probe)])[0], values, atol=float(self.scale / self.std.min())):
            found = "its image processor does more than resize, crop, scale and normalise"
        else:
            return values.shape[1], values.shape[2]
        raise UserError(f"you asked for the subject {self.name!r}", found, "name a model that sees one size")

    def _processed(self, picture: Image.Image) -> Tensor:
        values = self.processor(images=picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        return torch.as_tensor(values)[0].float()

    def see(self, picture: Image.Image) -> bytes:
        """The picture as the model sees it (resized, cropped), as a PNG file."""
        values = (self._processed(picture) * self.std + self.mean) / self.scale
        levels = values.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        return pictures.png(Image.fromarray(levels.numpy()))

    def steady(self) -> bool:
        """Whether its processor makes of what `see` kept the same again, so that it can be given that."""
        kept = self.see(Image.effect_noise((self.size[1] + 40, self.size[0] + 60), 64))
        return self.see(opened(kept)) == kept

    def pixels(self, images: Sequence[bytes]) -> Tensor:
        """What `see` kept, as the model takes it: float32 [n, 3, height, width]."""
        levels = np.stack([np.asarray(opened(image)) for image in images])
        values = torch.from_numpy(levels).permute(0, 3, 1, 2).float() * self.scale
        return (values - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Square:
    """An image processor that cuts a square from the middle, with the part of transformers' interface that is used."""

    size: int
    image_mean: Sequence[float]
    image_std: Sequence[float]
    do_rescale: bool = True
    do_normalize: bool = True
    rescale_factor: float = 1 / 255

    def __call__(self, images: Image.Image, return_tensors: str) -> dict[str, Tensor]:
        cut = ImageOps.fit(images, (self.size, self.size), Image.Resampling.BICUBIC)
        values = torch.from_numpy(np.array(cut)).permute(2, 0, 1).float() * self.rescale_factor
        mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (self.image_mean, self.image_std))
        return {"pixel_values": ((values - mean) / std)[None]}


def opened(image: bytes) -> Image.Image:
    return Image.open(io.BytesIO(image)).convert("RGB")


class Layout(NamedTuple):
    """The positions of a picture at a hook."""

    tokens: tuple[int, ...]
    grid: Grid


class VisionSubject(WithoutLoss):
    """A model that reads pictures, and how they reach it."""

    def __init__(
        self, model: nn.Module, eye: Eye, name: str, device: str | torch.device = "cpu", patch: int | None = None
    ) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.eye, self.name, self.patch = eye, name, patch
        self.device = torch.device(device)
        self.special_ids = frozenset({CLASS})
        self.prefix: list[int] = []
        self.suffix: list[int] = []
        self.layout: Callable[[tuple[str, ...]], Layout] = cache(self._layout)

    def resolve(self, hook: str) -> str:
        return resolve(self.model, hook)

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        return frozenset({"image"})

    def length(self, hooks: Sequence[str], context_length: int) -> int:
        return len(self.layout(tuple(hooks)).tokens)

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> Seen:
        tokens, grid = self.layout(tuple(hooks))
        return Seen(list(tokens), [""] * len(tokens), self.eye.see(picture), grid)

    def hidden(
        self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str], images: Sequence[bytes] = ()
    ) -> dict[str, Tensor]:
        """Hook outputs [n, positions, d] of pictures, patches row by row."""
        return {hook: output for hook, (output, _) in self._outputs(self.eye.pixels(images), hooks).items()}

    def _outputs(self, pixels: Tensor, hooks: Sequence[str]) -> dict[str, tuple[Tensor, Grid]]:
        dtype = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)
        pixels = pixels.to(self.device, dtype)
        try:
            raw = run_to_hooks(self.model, hooks, lambda: self.model(pixels))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:  # as models refuse pictures of another size or with other channels
            raise UserError(
                f"you asked for the subject {self.name!r}",
                f"it does not read pictures of shape {tuple(pixels.shape[1:])} ({first_line(error)})",
                "check that image processor and model belong together, or set subject.picture",
            ) from None
        return {hook: self._positions(hook, output) for hook, output in raw.items()}

    def _positions(self, hook: str, output: Tensor) -> tuple[Tensor, Grid]:
        """An output as [n, positions, d], and which of them are patches."""
        if output.ndim == 4:
            return output.flatten(2).mT, Grid(0, *output.shape[2:])
        if output.ndim == 3:
            return output, grid_of(output.shape[1], self.eye.size, self.patch)
        raise UserError(
            f"you asked for the hook {hook!r}",
            f"its output has shape {tuple(output.shape)}, not [batch, channels, height, width] or [batch, patches, d]",
            "choose a module that puts out one vector per patch",
        )

    def _layout(self, hooks: tuple[str, ...]) -> Layout:
        """By a forward pass over a grey picture."""
        outputs = self._outputs(torch.zeros(1, 3, *self.eye.size), hooks)
        found = {hook: (output.shape[1], grid) for hook, (output, grid) in outputs.items()}
        if len(set(found.values())) != 1:
            raise UserError(
                f"you asked for the hooks {' and '.join(found)} in one run",
                f"they have {' and '.join(f'{n} positions' for n, _ in found.values())} a picture",
                "collect them in runs of their own",
            )
        n, grid = next(iter(found.values()))
        ids = [CLASS] * n
        ids[grid.positions] = [PATCH] * (grid.rows * grid.columns)
        return Layout(tuple(ids), grid)

    def shuffled(self, seed: int) -> "VisionSubject":
        """The same model with the entries of every weight matrix permuted."""
        model = copy.deepcopy(self.model)
        permuted(model, seed)
        return VisionSubject(model, self.eye, f"{self.name} with shuffled weights", self.device, self.patch)

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        raise NotImplementedError("a vision subject reads no text")

    def alone(self, text: str, length: int) -> list[int]:
        raise NotImplementedError("a vision subject reads no text")


def grid_of(n: int, size: tuple[int, int], patch: int | None) -> Grid:
    """Which of n positions are patches: the last ones, behind class and register tokens.

    With the patch size of the model's config, where that leaves at most 16 others; else the largest square.
    """
    if patch:
        rows, columns = size[0] // patch, size[1] // patch
        if 0 <= n - rows * columns <= 16:
            return Grid(n - rows * columns, rows, columns)
    side = isqrt(n)
    return Grid(n - side * side, side, side)


def from_python(name: str, config: PictureConfig, device: torch.device, dtype: torch.dtype) -> VisionSubject:
    """The module that `MODULE:CALLABLE` returns, with pictures as the config says."""
    asked = f"you asked for the subject 'python:{name}'"
    module, _, attribute = name.partition(":")
    try:
        factory: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(asked, f"there is no such function ({error})", "write python:MODULE:FUNCTION") from None
    model = factory()
    if not isinstance(model, nn.Module):
        raise UserError(asked, f"it returned a {type(model).__name__}", "return a torch.nn.Module")
    eye = Eye(Square(config.size, config.mean, config.std), f"python:{name}")
    return VisionSubject(model.to(dtype), eye, f"python:{name}", device)
