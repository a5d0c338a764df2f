"""Dictionaries of two vision libraries: ViT-Prisma (config.json and weights.pt), and visaebench, which is refused.

ViT-Prisma descends from SAELens before 6.0 and runs as that does; b_dec is always subtracted. Its older files are
pickles of a config object, and its transcoders subtract one bias and add another: neither is read. A visaebench
dictionary reads input that was normalised outside, by a mean and a deviation that its files do not hold.
"""

from pathlib import Path

from autointerp.dictionaries import saelens
from autointerp.dictionaries.canonical import Dictionary
from autointerp.dictionaries.files import beside, is_torch, is_visaebench, read_torch, refuse

WEIGHTS = "weights.pt"
VISAEBENCH = ("sae.pt", "model.safetensors", "model.pt")


def matches(path: Path) -> bool:
    config = beside(path)
    if is_visaebench(config):
        return path.is_file() or any((path / name).exists() for name in VISAEBENCH)
    weights = path / WEIGHTS if path.is_dir() else path
    return {"activation_fn_str", "layer_subtype"} <= set(config) and is_torch(weights)


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
