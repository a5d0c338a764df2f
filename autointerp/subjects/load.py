"""Models under study: `load` finds out what a name stands for and what it reads."""

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from autointerp import assets
from autointerp.config import SubjectConfig
from autointerp.errors import UserError
from autointerp.subjects.planted import PlantedSubject
from autointerp.subjects.subject import Subject, choose_device, first_line
from autointerp.subjects.text import TextSubject, convert_gguf
from autointerp.subjects.towers import TwoTowerSubject
from autointerp.subjects.vision import Eye, VisionSubject, from_python
from autointerp.subjects.vision_language import VisionLanguageSubject

PYTHON = "python:"  # MODULE:FUNCTION, which returns a torch module that takes pictures


def load(config: SubjectConfig) -> Subject:
    """A subject by path, hub id, package:NAME/PATH, planted:RULES or python:MODULE:FUNCTION, on its device."""
    device, dtype = choose_device(config.device), getattr(torch, config.dtype)
    if config.model.startswith(PYTHON):
        return from_python(config.model.removeprefix(PYTHON), config.picture, device, dtype)
    if config.model.startswith(assets.PLANTED):
        return PlantedSubject(config.model.removeprefix(assets.PLANTED), device, dtype)
    location = assets.locate(config.model)
    if location is not None and location.suffix == ".gguf":
        location = convert_gguf(location)
    source = str(location or config.model)
    try:
        return from_transformers(source, config.model, device, dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"you asked for the subject {config.model!r}",
            f"transformers cannot load it ({first_line(error)})",
            "give a folder with config.json, weights and tokenizer (or image processor), or a hub id while online",
        ) from None


def from_transformers(source: str, name: str, device: torch.device, dtype: torch.dtype) -> Subject:
    """By its config: a joint model of two towers, a vision-language model, a vision model, or a text model."""
    config: Any = AutoConfig.from_pretrained(source)
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        if type(config) in AutoModelForImageTextToText._model_mapping:
            model = AutoModelForImageTextToText.from_pretrained(source, dtype=dtype)
            return VisionLanguageSubject(model, AutoProcessor.from_pretrained(source), name, device)
        model = AutoModel.from_pretrained(source, dtype=dtype)
        eye = Eye(AutoImageProcessor.from_pretrained(source), name)
        return TwoTowerSubject(model, AutoTokenizer.from_pretrained(source), eye, name, device)
    if hasattr(config, "num_channels"):
        model = AutoModel.from_pretrained(source, dtype=dtype)
        eye = Eye(AutoImageProcessor.from_pretrained(source), name)
        return VisionSubject(model, eye, name, device, patch_of(config))
    architecture = (config.architectures or [""])[0]
    kind = AutoModelForCausalLM if "CausalLM" in architecture or "LMHead" in architecture else AutoModel
    tokenizer = AutoTokenizer.from_pretrained(source)
    return TextSubject(kind.from_pretrained(source, dtype=dtype), tokenizer, name, device)


def patch_of(config: Any) -> int | None:
    size = getattr(config, "patch_size", None)
    return size if isinstance(size, int) else None
