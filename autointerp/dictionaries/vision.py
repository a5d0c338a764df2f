"""Dictionaries of two vision libraries: ViT-Prisma (config.json and weights.pt), and visaebench, which is refused.

ViT-Prisma descends from SAELens before 6.0 and runs as that does; b_dec is always subtracted. Its older files are
pickles of a config object, and its transcoders subtract one bias and add another: neither is read. A visaebench
dictionary reads input that was normalised outside, by a mean and a deviation that its files do not hold.
"""

from pathlib import Path
from typing import Any

from autointerp.dictionaries import saelens
from autointerp.dictionaries.canonical import Dictionary
from autointerp.dictionaries.files import is_torch, read_json, read_torch, refuse
from autointerp.errors import UserError

WEIGHTS = "weights.pt"
VISAEBENCH = ("sae.pt", "model.safetensors", "model.pt")


def matches(path: Path) -> bool:
    config = beside(path)
    if is_visaebench(config):
        return path.is_file() or any((path / name).exists() for name in VISAEBENCH)
    weights = path / WEIGHTS if path.is_dir() else path
    return {"activation_fn_str", "layer_subtype"} <= set(config) and is_torch(weights)


def beside(path: Path) -> dict[str, Any]:
    """The config.json in the folder or beside the file; {} where there is none that can be read."""
    config = (path if path.is_dir() else path.parent) / "config.json"
    try:
        return read_json(config) if config.exists() else {}
    except UserError:
        return {}


def is_visaebench(config: dict[str, Any]) -> bool:
    return config.get("activation", config.get("sae_type")) in ("topk", "batchtopk", "jumprelu")


def load(path: Path) -> Dictionary:
    config = beside(path)
    if is_visaebench(config):
        found = "it is one of visaebench, which reads input normalised by a mean and a deviation outside its files"
        refuse(path, found, "use one that reads its input as it is")
    if config.get("is_transcoder"):
        refuse(
            path, "it is a transcoder of ViT-Prisma, which has a bias of its own for its input", "use another format"
        )
    weights = path / WEIGHTS if path.is_dir() else path
    hook = f"blocks.{config.get('hook_point_layer')}.{config['layer_subtype']}"
    return saelens.build(
        "ViT-Prisma", saelens.modernise(config | {"hook_name": hook}), read_torch(weights, weights), path
    )
