"""dictionary_learning on disk (ae.pt and config.json), or one of its checkpoint files with the config beside it.

Facts that are easy to get wrong, all read in the library's own code: AutoEncoderNew and JumpReluAutoEncoder do not
subtract the decoder's bias, the others do; BatchTopK and Matryoshka run on a scalar threshold, which is -1 until
training sets it; the library divides an AutoEncoder's decoder by its norms as it loads it; the biases and thresholds of
a finished ae.pt are already in the units of raw activations, those of a backup (whose weights lie under `ae`) are not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import (
    UNITS,
    beside,
    float32,
    is_torch,
    is_visaebench,
    need,
    need_matrix,
    positive,
    read_json,
    read_torch,
    refuse,
    stored,
    subtraction,
    torch_names,
)

WEIGHTS = "ae.pt"
Tensors = dict[str, Tensor]
Parts = dict[str, Any]


def matches(path: Path) -> bool:
    if path.is_dir():
        return (path / WEIGHTS).exists()
    return is_torch(path) and not is_visaebench(beside(path)) and fits(torch_names(path))


def fits(names: set[str]) -> bool:
    """Whether these are entries of one of the library's classes."""
    if "ae" in names:
        return {"step", "norm_factor"} <= names
    own: tuple[set[str], ...] = ({"bias"}, {"decoder.bias"}, {"gate_bias", "r_mag"}, {"b_dec", "k"})
    return {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"} <= names or (
        {"encoder.weight", "decoder.weight"} <= names and any(some <= names for some in own)
    )


def load(path: Path) -> Dictionary:
    weights = path / WEIGHTS if path.is_dir() else path
    raw = read_torch(weights, weights)
    trainer = read_trainer(weights)
    note = {}
    if "ae" in raw:
        raw, note["warning"] = finished(raw, weights), "a backup of an interrupted training run, not its end"
    name = trainer.get("dict_class")
    tensors = float32(raw)
    if not isinstance(name, str) or name not in CLASSES:
        found = (
            f"its dict_class is {name!r}" if name else f"no config.json names its dict_class; it holds {sorted(raw)}"
        )
        refuse(weights, found, f"use one of {', '.join(CLASSES)}, with its config.json beside it")
    read, said = CLASSES[name]
    parts = read(tensors, trainer, weights)
    note |= parts.pop("note", {})
    d_in, width = parts["W_enc"].shape
    for key, size in (("activation_dim", d_in), ("dict_size", width)):
        if trainer.get(key, size) != size:
            refuse(
                weights,
                f"config.json says {key} = {trainer[key]} and the weights have {size}",
                "check that the files belong together",
            )
    if trainer.get("submodule_name"):
        note["hook"] = f"layer {trainer.get('layer')}, {trainer['submodule_name']} (the library's own name)"
    elif trainer.get("layer") is not None:
        note["hook"] = f"layer {trainer['layer']}"
    orientation = "encoder.weight [width, d_in], decoder.weight [d_in, width]"
    if "W_enc" in raw:
        orientation = "W_enc [d_in, width], W_dec [width, d_in]"
    dictionary = Dictionary(
        **parts,
        convention={
            "format": "dictionary_learning",
            "architecture": name,
            "activation": said + (f", k = {parts['k']}" if parts["activation"] == "topk" else ""),
            "b_dec": subtraction(parts["subtract_b_dec"]),
            "input": "none",
            "stored as": stored(
                orientation, next(v.dtype for v in raw.values() if isinstance(v, Tensor) and v.ndim == 2)
            ),
            "activations": UNITS,
            **note,
        },
    )
    return check_shapes(dictionary, str(path))


def read_trainer(weights: Path) -> dict[str, Any]:
    """The trainer's part of config.json, which for an intermediate checkpoint lies one folder up."""
    for folder in (weights.parent, weights.parent.parent):
        if (folder / "config.json").exists():
            trainer = read_json(folder / "config.json").get("trainer")
            if not isinstance(trainer, dict):
                refuse(weights, "config.json has no trainer section", "copy the one that training wrote")
            return trainer
    return {}


def finished(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """A backup as the end of training would have written it: biases and thresholds times norm_factor."""
    state, factor = raw["ae"], raw.get("norm_factor")
    if not isinstance(state, dict):
        refuse(path, "its entry ae is not a table of tensors", "finish the training run")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
        refuse(
            path,
            f"it is a backup of an interrupted run with norm_factor {factor!r}, so the units of its biases are unknown",
            "finish the training run",
        )
    scaled = {}
    for name, value in state.items():
        if name in SCALED and isinstance(value, Tensor):
            # -1 marks a threshold that was never set; the library leaves it, so that it can still be seen.
            unset = name == "threshold" and value.ndim == 0 and bool(value < 0)
            value = value if unset else value.float() * factor
        scaled[name] = value
    return scaled


SCALED = (
    "bias", "encoder.bias", "decoder.bias", "decoder_bias", "mag_bias", "gate_bias", "b_enc", "b_dec", "threshold"
)  # fmt: skip


def linear(tensors: Tensors, bias: str, path: Path, what: str) -> Parts:
    """Encoder and decoder of the classes built from nn.Linear, whose weights lie transposed."""
    encoder, decoder, b_dec = need(tensors, ("encoder.weight", "decoder.weight", bias), path, what)
    need_matrix("encoder.weight", encoder, path)
    need_matrix("decoder.weight", decoder, path)
    return {"W_enc": encoder.T.contiguous(), "W_dec": decoder.T.contiguous(), "b_dec": b_dec}


def standard(tensors: Tensors, _: Parts, path: Path) -> Parts:
    what = "an AutoEncoder"
    parts = linear(tensors, "bias", path, what)
    (b_enc,) = need(tensors, ("encoder.bias",), path, what)
    parts |= {"activation": "relu", "subtract_b_dec": True, "b_enc": b_enc}
    norms = parts["W_dec"].norm(dim=1)
    if parts["W_enc"].shape[1] == len(norms) == len(b_enc) and not torch.allclose(norms, torch.ones_like(norms)):
        parts |= {"W_enc": parts["W_enc"] * norms, "b_enc": b_enc * norms}
        parts["W_dec"] = parts["W_dec"] / norms.clamp_min(1e-12)[:, None]  # a row of zeros stays one
        parts["note"] = {"rescale": "decoder divided by its norms, encoder multiplied, as the library does on loading"}
    return parts


def april(tensors: Tensors, _: Parts, path: Path) -> Parts:
    parts = linear(tensors, "decoder.bias", path, "an AutoEncoderNew")
    (b_enc,) = need(tensors, ("encoder.bias",), path, "an AutoEncoderNew")
    return parts | {"activation": "relu", "subtract_b_dec": False, "b_enc": b_enc}


def gated(tensors: Tensors, _: Parts, path: Path) -> Parts:
    what = "a GatedAutoEncoder"
    parts = linear(tensors, "decoder_bias", path, what)
    r_mag, b_gate, b_mag = need(tensors, ("r_mag", "gate_bias", "mag_bias"), path, what)
    if parts["W_enc"].shape[1] != r_mag.numel():
        refuse(path, f"its r_mag has shape {list(r_mag.shape)}, not one number per feature", "export it again")
    W_mag = parts["W_enc"] * r_mag.exp()
    return parts | {"activation": "gated", "subtract_b_dec": True, "b_enc": b_gate, "W_mag": W_mag, "b_mag": b_mag}


def top_k(tensors: Tensors, trainer: Parts, path: Path) -> Parts:
    what = "an AutoEncoderTopK"
    parts = linear(tensors, "b_dec", path, what)
    (b_enc,) = need(tensors, ("encoder.bias",), path, what)
    k = trained_k(tensors, trainer, path)
    return parts | {"activation": "topk", "subtract_b_dec": True, "b_enc": b_enc, "k": k, "expected_l0": float(k)}


def batch_top_k(tensors: Tensors, trainer: Parts, path: Path) -> Parts:
    what = "a BatchTopKSAE"
    parts = linear(tensors, "b_dec", path, what)
    (b_enc,) = need(tensors, ("encoder.bias",), path, what)
    return parts | {"b_enc": b_enc} | scalar_threshold(tensors, trainer, path, len(b_enc), what)


def matryoshka(tensors: Tensors, trainer: Parts, path: Path) -> Parts:
    what = "a MatryoshkaBatchTopKSAE"
    parts = plain(tensors, path, what)
    return parts | scalar_threshold(tensors, trainer, path, len(parts["b_enc"]), what)


def jump_relu(tensors: Tensors, _: Parts, path: Path) -> Parts:
    parts = plain(tensors, path, "a JumpReluAutoEncoder")
    (threshold,) = need(tensors, ("threshold",), path, "a JumpReluAutoEncoder")
    # apply_b_dec_to_input is an attribute that is never saved; the library's own loading leaves it False.
    return parts | {"activation": "jumprelu", "subtract_b_dec": False, "threshold": threshold}


def plain(tensors: Tensors, path: Path, what: str) -> Parts:
    """Encoder and decoder of the classes that hold them in the canonical orientation."""
    W_enc, b_enc, W_dec, b_dec = need(tensors, ("W_enc", "b_enc", "W_dec", "b_dec"), path, what)
    need_matrix("W_enc", W_enc, path)
    need_matrix("W_dec", W_dec, path)
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}


def scalar_threshold(tensors: Tensors, trainer: Parts, path: Path, width: int, what: str) -> Parts:
    (threshold,) = need(tensors, ("threshold",), path, what)
    if threshold.numel() != 1:
        refuse(path, f"its threshold has shape {list(threshold.shape)} where one number is expected", "export it again")
    if not threshold.item() >= 0:
        refuse(path, f"its threshold is {threshold.item():g}, which marks one that was never set", "train it further")
    return {
        "activation": "jumprelu",
        "subtract_b_dec": True,
        "threshold": threshold.reshape(1).repeat(width),
        "expected_l0": float(trained_k(tensors, trainer, path)),
        "note": {"threshold": f"one for all features, {threshold.item():g}"},
    }


def trained_k(tensors: Tensors, trainer: Parts, path: Path) -> int:
    held, said = tensors.get("k"), trainer.get("k")
    if held is None and said is None:
        refuse(path, "neither the weights nor config.json give its k", "export it again")
    k = positive(said if held is None else held, "k", path)
    if said is not None and k != positive(said, "k", path):
        refuse(path, f"config.json says k = {said} and the weights {k}", "check that the files belong together")
    return k


CLASSES: dict[str, tuple[Callable[[Tensors, Parts, Path], Parts], str]] = {
    "AutoEncoder": (standard, "relu"),
    "AutoEncoderNew": (april, "relu"),
    "GatedAutoEncoder": (gated, "gated"),
    "AutoEncoderTopK": (top_k, "relu, then topk"),
    "BatchTopKSAE": (batch_top_k, "jumprelu (batch top-k at its scalar threshold)"),
    "MatryoshkaBatchTopKSAE": (matryoshka, "jumprelu (batch top-k at its scalar threshold)"),
    "JumpReluAutoEncoder": (jump_relu, "jumprelu"),
}
