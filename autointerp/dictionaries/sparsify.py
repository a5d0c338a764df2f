"""sparsify dictionaries on disk (cfg.json and sae.safetensors): autoencoders, transcoders, skip connections.

Facts that are easy to get wrong, all read in sparsify's own code: W_dec is stored [width, d], not transposed; b_dec is
subtracted from the input unless `transcode`, whatever normalize_decoder says; relu comes before topk, so fewer than k
may fire; num_latents 0 means d_in * expansion_factor; groupmax takes the largest of each of k contiguous groups.
"""

import re
from pathlib import Path
from typing import Any

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import (
    UNITS,
    float32,
    need,
    need_matrix,
    positive,
    read_json,
    read_safetensors,
    refuse,
    stored,
    subtraction,
)

WEIGHTS = "sae.safetensors"


def matches(path: Path) -> bool:
    return path.is_dir() and (path / "cfg.json").exists() and (path / WEIGHTS).exists()


def load(path: Path) -> Dictionary:
    cfg = read_json(path / "cfg.json")
    raw = read_safetensors(path / WEIGHTS)
    weight, b_enc, W_dec, b_dec = need(
        float32(raw), ("encoder.weight", "encoder.bias", "W_dec", "b_dec"), path, "a sparsify dictionary"
    )
    need_matrix("W_dec", W_dec, path)
    width, d_in = need_matrix("encoder.weight", weight, path).shape
    check_sizes(cfg, d_in, width, path)
    if cfg.get("signed"):
        refuse(path, "its config says signed, which sparsify itself no longer runs", "use one trained without it")
    activation = cfg.get("activation", "topk")
    if activation not in ("topk", "groupmax"):
        refuse(path, f"its activation is {activation!r}", "use topk or groupmax")
    k = positive(cfg.get("k", 32), "k", path)
    if activation == "groupmax" and width % k:
        refuse(path, f"groupmax with k = {k} does not divide its {width} features into equal groups", "check cfg.json")
    transcoder = bool(cfg.get("transcode"))
    W_skip = float32(raw).get("W_skip")
    if W_skip is None and cfg.get("skip_connection"):
        refuse(path, "its config says skip_connection, but there is no W_skip", "export it again")
    # A transcoder reads the input of its module; what a hook gives is a module's output, so the user has to say which.
    hookpoint = path.name if re.fullmatch(r"(\w+\.)+\d+(\.\w+)*", path.name) else ""
    note = {"warning": WARNING} if transcoder else {}
    if hookpoint:
        note["hook"] = f"{'input of ' if transcoder else ''}{hookpoint}, from the name of its folder"
    dictionary = Dictionary(
        W_enc=weight.T.contiguous(),
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        activation=activation,
        k=k,
        expected_l0=float(k),
        hook="" if transcoder else hookpoint,
        subtract_b_dec=not transcoder,
        W_skip=W_skip.T.contiguous() if W_skip is not None else None,
        transcoder=transcoder,
        convention={
            "format": "sparsify",
            "architecture": ("skip " if W_skip is not None else "") + ("transcoder" if transcoder else "autoencoder"),
            "activation": f"relu, then {activation}, k = {k}",
            "b_dec": subtraction(not transcoder),
            "input": "none",
            "stored as": stored("encoder.weight [width, d_in], W_dec [width, d_out]", raw["encoder.weight"].dtype),
            "activations": UNITS,
            **note,
        },
    )
    return check_shapes(dictionary, str(path))


WARNING = "a transcoder trained before February 2025 was trained with b_dec subtracted; sparsify no longer does that"


def check_sizes(cfg: dict[str, Any], d_in: int, width: int, path: Path) -> None:
    said_d_in, said_width = cfg.get("d_in") or d_in, cfg.get("num_latents") or width
    if not cfg.get("num_latents") and cfg.get("expansion_factor"):
        said_width = d_in * positive(cfg["expansion_factor"], "expansion_factor", path)
    if (said_d_in, said_width) != (d_in, width):
        refuse(
            path,
            f"cfg.json says {said_d_in} dimensions and {said_width} features, encoder.weight has {d_in} and {width}",
            "check that the files belong together",
        )
