"""Models under study: `load` finds out what a name stands for and what it reads."""

from typing import Any

import torch
from torch import nn
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
    kind = kind_of(config)
    model = kind.from_pretrained(source, dtype=dtype)
    if kind is AutoModelForImageTextToText:
        return VisionLanguageSubject(model, AutoProcessor.from_pretrained(source), name, device)
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        eye = Eye(AutoImageProcessor.from_pretrained(source), name)
        return TwoTowerSubject(model, AutoTokenizer.from_pretrained(source), eye, name, device)
    if hasattr(config, "num_channels"):
        eye = Eye(AutoImageProcessor.from_pretrained(source), name)
        return VisionSubject(model, eye, name, device, patch_of(config))
    return TextSubject(model, AutoTokenizer.from_pretrained(source), name, device)


def skeleton(source: str) -> nn.Module:
    """The modules of a transformers model on disk or in the hub's cache, without weights; nothing is downloaded."""
    config: Any = AutoConfig.from_pretrained(source, local_files_only=True)
    with torch.device("meta"):
        model: nn.Module = kind_of(config).from_config(config)
    return model


def kind_of(config: Any) -> Any:
    """The class of transformers that a config is loaded by."""
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        sees_and_speaks = type(config) in AutoModelForImageTextToText._model_mapping
        return AutoModelForImageTextToText if sees_and_speaks else AutoModel
    architecture = (config.architectures or [""])[0]
    speaks = "CausalLM" in architecture or "LMHead" in architecture
    return AutoModelForCausalLM if speaks and not hasattr(config, "num_channels") else AutoModel


def patch_of(config: Any) -> int | None:
    size = getattr(config, "patch_size", None)
    return size if isinstance(size, int) else None
