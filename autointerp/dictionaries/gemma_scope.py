"""Gemma Scope (params.npz) and Gemma Scope 2 (config.json and params.safetensors), or one such file.

Facts that are easy to get wrong: b_dec is not subtracted from the input; a feature fires strictly above its threshold,
which is kept float32; the first release has no config at all, and its transcoders are those with lower-case keys
(w_enc); affine_skip_connection is stored [d_in, d_out]; a cross-layer transcoder's w_dec is [width, layers, d_out] and
is summed over the layers, which gives its whole write and not the reconstruction of any one site.
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import (
    UNITS,
    float32,
    is_npz,
    members,
    need,
    need_matrix,
    read_json,
    read_npz,
    read_safetensors,
    refuse,
    safetensors_names,
    stored,
    subtraction,
)

FIRST, SECOND = "params.npz", "params.safetensors"
KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def matches(path: Path) -> bool:
    if path.is_dir():
        return (path / FIRST).exists() or (path / SECOND).exists()
    if path.suffix == ".safetensors":
        return {"w_enc", "b_enc", "w_dec", "b_dec", "threshold"} <= safetensors_names(path)
    return is_npz(path) and {f"{key.lower()}.npy" for key in KEYS} <= {name.lower() for name in members(path)}


def load(path: Path) -> Dictionary:
    if path.is_dir():
        path = path / (FIRST if (path / FIRST).exists() else SECOND)
    return load_first(path) if path.suffix != ".safetensors" else load_second(path)


def load_first(path: Path) -> Dictionary:
    raw = read_npz(path)
    transcoder = "w_enc" in raw
    note = {"warning": EMBEDDING} if "embedding" in path.parts else {}
    parts = (re.fullmatch(r"(layer|average_l0)_(\d+)", part) for part in path.parts)
    said = {part[1]: part[2] for part in parts if part}
    if "layer" in said:  # the name of the repository alone says which hook of the layer
        note["hook"] = f"layer {said['layer']}, by its path"
    l0 = float(said["average_l0"]) if "average_l0" in said else None
    return build(path, raw, transcoder, {"format": "Gemma Scope", **note}, expected_l0=l0)


EMBEDDING = "an embedding dictionary reads the raw embedding table, before Gemma's factor sqrt(d)"


def load_second(path: Path) -> Dictionary:
    if not (path.parent / "config.json").exists():
        refuse(path, "there is no config.json beside it, which says what it reads and writes", "copy it there")
    config = read_json(path.parent / "config.json")
    if config.get("architecture") != "jump_relu":
        refuse(path, f"its architecture is {config.get('architecture')!r}", "use jump_relu")
    raw = read_safetensors(path)
    reads, writes = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if config.get("affine_connection") and "affine_skip_connection" not in raw:
        refuse(path, "its config says affine_connection, but there is no affine_skip_connection", "export it again")
    decoder = raw.get("w_dec")
    layers = decoder.shape[1] if decoder is not None and decoder.ndim == 3 else 0
    transcoder = bool(layers) or "affine_skip_connection" in raw or writes not in (None, "", reads)
    note = {"hook": f"reads {reads}" + (f", writes {writes}" if transcoder else "")}
    if layers:
        assert decoder is not None
        raw["w_dec"] = decoder.float().sum(dim=1)
        note["warning"] = f"cross-layer: W_dec is the sum over {layers} layers, not the reconstruction of one"
    return build(path, raw, transcoder, {"format": "Gemma Scope 2", **note}, hook=module_output(reads))


def module_output(point: Any) -> str:
    """The module whose output a hook point names; empty for an input, which no hook here reads."""
    found = re.fullmatch(r"(.+)\.output", point) if isinstance(point, str) else None
    return found[1] if found else ""


def build(path: Path, raw: dict[str, Tensor], transcoder: bool, note: dict[str, str], **more: Any) -> Dictionary:
    tensors = {"W" + name[1:] if name.startswith("w_") else name: value for name, value in float32(raw).items()}
    scaling = tensors.get("scaling_factor")
    if scaling is not None and not bool((scaling == 1).all()):
        refuse(path, "it holds a scaling_factor that is not all ones", "fold it into the weights first")
    W_enc, b_enc, W_dec, b_dec, threshold = need(tensors, KEYS, path, "a Gemma Scope dictionary")
    need_matrix("W_enc", W_enc, path)
    need_matrix("W_dec", W_dec, path)
    dictionary = Dictionary(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        activation="jumprelu",
        threshold=threshold,
        W_skip=tensors.get("affine_skip_connection"),
        transcoder=transcoder,
        convention={
            "architecture": "transcoder" if transcoder else "autoencoder",
            "activation": "jumprelu, strictly above the threshold",
            "b_dec": subtraction(False),
            "input": "none",
            "stored as": stored("W_enc [d_in, width], W_dec [width, d_out]", next(iter(raw.values())).dtype),
            "activations": UNITS,
            **note,
        },
        **more,
    )
    return check_shapes(dictionary, str(path))
