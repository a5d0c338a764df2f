"""saev dictionaries on disk (sae.pt, or any such file): one line of JSON, then a torch state dict.

Facts that are easy to get wrong, all read in saev's own code: top-k keeps the k largest pre-activations without relu,
so values may be negative and a feature fires where its value is not 0; batch-top-k runs on a scalar threshold, strictly
above, or above 0 where that is not positive; b_dec is not subtracted from the input. The last does not hold for files
without a schema and for those of schema 1 that name the activation as their class: whoever wrote them (saev 0.1.0 and
its successors until July 2025) subtracted b_dec, started it at the mean of the data, and only later readers do not.
"""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import (
    UNITS,
    beside,
    float32,
    is_visaebench,
    need,
    need_matrix,
    positive,
    read_torch,
    refuse,
    stored,
    subtraction,
)

WEIGHTS = "sae.pt"
HEADER_BYTES = 2**20  # a first line longer than this is no header


def matches(path: Path) -> bool:
    if path.is_dir():
        return (path / WEIGHTS).exists() and not is_visaebench(beside(path))
    return path.is_file() and header(path) is not None


def header(path: Path) -> dict[str, Any] | None:
    """The JSON object on the first line that describes a dictionary, or None."""
    with path.open("rb") as handle:
        line = handle.readline(HEADER_BYTES)
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and ("schema" in content or "d_vit" in content) else None


def load(path: Path) -> Dictionary:
    weights = path / WEIGHTS if path.is_dir() else path
    head = header(weights)
    if head is None:
        refuse(
            weights,
            "its first line is not the JSON header of a saev dictionary, and no other sae.pt is read",
            "copy it again if it is one",
        )
    with weights.open("rb") as handle:
        handle.readline()
        raw = read_torch(io.BytesIO(handle.read()), weights)
    tensors = float32(raw)
    W_enc, b_enc, W_dec, b_dec = need(tensors, ("W_enc", "b_enc", "W_dec", "b_dec"), weights, "a saev dictionary")
    need_matrix("W_enc", W_enc, weights)
    need_matrix("W_dec", W_dec, weights)
    kind, k, subtract = described(head, weights)
    note = {"warning": SUBTRACTED} if subtract else {}
    parts: dict[str, Any] = {"activation": "relu"}
    if kind == "TopK":
        parts = {"activation": "topk", "k": k, "signed": True, "expected_l0": float(k or 0)}
    elif kind == "BatchTopK":
        threshold, note["threshold"] = batch_threshold(tensors, weights)
        parts = {"activation": "jumprelu", "threshold": threshold.repeat(len(b_enc)), "expected_l0": float(k or 0)}
    said = {"TopK": f"topk without relu, k = {k}: signed", "BatchTopK": "jumprelu (batch top-k at its threshold)"}
    dictionary = Dictionary(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        subtract_b_dec=subtract,
        convention={
            "format": "saev",
            "architecture": f"{kind}, schema {head.get('schema', 'none')}",
            "activation": said.get(kind, "relu"),
            "b_dec": subtraction(subtract),
            "input": "none",
            "stored as": stored("W_enc [d_in, width], W_dec [width, d_in]", raw["W_enc"].dtype),
            "activations": UNITS,
            **note,
        },
        **parts,
    )
    return check_shapes(dictionary, str(path))


SUBTRACTED = "read as its writer ran it; later versions of saev read this schema without subtracting b_dec"


def described(head: dict[str, Any], path: Path) -> tuple[str, int | None, bool]:
    """(activation, k, whether b_dec is subtracted) by the header of any schema."""
    if "schema" not in head:
        return "Relu", None, True
    if head["schema"] not in (1, 2, 3, 4, 5):
        refuse(path, f"its schema is {head['schema']!r}", "use a dictionary of schema 1 to 5")
    cfg = head.get("cfg")
    if not isinstance(cfg, dict):
        refuse(path, "its header has no cfg", "copy it again")
    activation = cfg.get("activation")
    if isinstance(activation, dict):
        kind, settings, subtract = activation.get("cls"), activation.get("params"), False
    else:
        kind, settings, subtract = head.get("cls"), cfg, True
    if kind not in ("Relu", "TopK", "BatchTopK") or not isinstance(settings, dict):
        refuse(path, f"its activation is {kind!r}", "use Relu, TopK or BatchTopK")
    k = None if kind == "Relu" else positive(settings.get("top_k", 32), "top_k", path)
    return kind, k, subtract


def batch_threshold(tensors: dict[str, Tensor], path: Path) -> tuple[Tensor, str]:
    """[1], never below 0: the library takes a threshold that is not positive for 0."""
    (threshold,) = need(tensors, ("activation.threshold",), path, "a batch-top-k dictionary of saev")
    if threshold.numel() != 1 or bool(torch.isnan(threshold).any()):
        refuse(path, f"its activation.threshold is {threshold.tolist()} where one number is expected", "copy it again")
    value = threshold.reshape(1)
    return value.clamp_min(0), "one for all features, " + (f"{value.item():g}" if value > 0 else "not set: above 0")
