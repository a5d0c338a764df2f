"""SAELens dictionaries on disk (cfg.json and sae_weights.safetensors), configs before 6.0 among them.

Facts that are easy to get wrong, all read in SAELens' own code: b_dec is subtracted from the input unless
apply_b_dec_to_input is false (transcoders never subtract); jumprelu compares strictly; topk keeps the k largest
pre-activations and then applies relu; batchtopk is saved as jumprelu; layer_norm uses the unbiased deviation + 1e-5.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import float32, read_json, read_safetensors, refuse

WEIGHTS = "sae_weights.safetensors"


def matches(path: Path) -> bool:
    return path.is_dir() and (path / "cfg.json").exists() and (path / WEIGHTS).exists()


def load(path: Path) -> Dictionary:
    origin = str(path)
    cfg = modernise(read_json(path / "cfg.json"))
    raw = read_safetensors(path / WEIGHTS)
    tensors = float32(raw)
    scaling = tensors.pop("scaling_factor", None)
    if scaling is not None and not torch.all(scaling == 1):
        refuse(origin, "it holds a scaling_factor that is not all ones", "fold it into the weights with SAELens first")

    architecture = str(cfg.get("architecture") or "standard")
    transcoder = "transcoder" in architecture
    base = "_".join(part for part in architecture.split("_") if part not in ("skip", "transcoder")) or "standard"

    def take(name: str) -> Tensor:
        if name not in tensors:
            refuse(origin, f"a {architecture} dictionary needs {name}; it holds {sorted(tensors)}", "export it again")
        return tensors[name]

    W_enc, W_dec, b_dec = take("W_enc"), take("W_dec"), take("b_dec")
    for name, size in (("d_in", W_enc.shape[0]), ("d_sae", W_enc.shape[1])):
        if cfg.get(name) not in (None, size):
            refuse(
                origin,
                f"cfg.json says {name} = {cfg[name]} and W_enc has {size}",
                "check that the files belong together",
            )
    parts: dict[str, Any] = {}
    note = {}
    if base == "standard":
        parts |= {"activation": "relu", "b_enc": take("b_enc")}
    elif base in ("jumprelu", "batchtopk", "matryoshka_batchtopk"):
        if "threshold" in tensors:
            threshold, note["threshold"] = tensors["threshold"], "threshold"
        elif "log_threshold" in tensors:
            threshold, note["threshold"] = tensors["log_threshold"].exp(), "exp(log_threshold)"
        elif "topk_threshold" in tensors:
            threshold, note["threshold"] = tensors["topk_threshold"].expand(W_enc.shape[1]), "scalar topk_threshold"
        else:
            refuse(
                origin, f"a {architecture} dictionary needs a threshold; it holds {sorted(tensors)}", "export it again"
            )
        if bool((threshold < 0).any()):
            refuse(
                origin, "its threshold is negative, which marks one that was never set", "set it with its own library"
            )
        parts |= {"activation": "jumprelu", "b_enc": take("b_enc"), "threshold": threshold.contiguous()}
    elif base == "topk":
        k = int(cfg.get("k") or (cfg.get("activation_fn_kwargs") or {}).get("k") or 100)
        b_enc = take("b_enc")
        if cfg.get("rescale_acts_by_decoder_norm"):
            # The library scales before the choice of k and undoes it in decode: fold it, so that f stays what it gives.
            norms = W_dec.norm(dim=1)
            W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]
            note["rescale"] = "activations in decoder-norm units (rescale_acts_by_decoder_norm)"
        parts |= {"activation": "topk", "b_enc": b_enc, "k": k, "expected_l0": float(k)}
    elif base == "gated":
        parts |= {
            "activation": "gated",
            "b_enc": take("b_gate"),
            "W_mag": W_enc * take("r_mag").exp(),
            "b_mag": take("b_mag"),
        }
    else:
        refuse(
            origin,
            f"its architecture is {architecture!r}",
            "use standard, jumprelu, topk, batchtopk, matryoshka_batchtopk, gated or a transcoder of these",
        )

    norm: Any = cfg.get("normalize_activations") or "none"
    if norm not in ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"):
        refuse(origin, f"it normalises its input by {norm!r}", "use none, layer_norm or constant_norm_rescale")
    if norm == "expected_average_only_in":
        note["warning"] = "trained on scaled input; the factor is not in the files, so it must have been folded in"
        norm = "none"
    subtract = bool(cfg.get("apply_b_dec_to_input", True)) and not transcoder
    W_skip = tensors.get("W_skip")
    dictionary = Dictionary(
        W_enc=W_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        hook=str(cfg["metadata"].get("hook_name") or ""),
        subtract_b_dec=subtract,
        input_norm=norm,
        W_skip=W_skip.T.contiguous() if W_skip is not None else None,
        transcoder=transcoder,
        convention={
            "format": "SAELens",
            "architecture": architecture,
            "activation": f"topk, k = {parts['k']}" if base == "topk" else parts["activation"],
            "b_dec": "subtracted from the input" if subtract else "not subtracted from the input",
            "input": norm,
            "stored as": "W_enc [d_in, width], W_dec [width, d_out], " + str(raw["W_enc"].dtype).removeprefix("torch."),
            "activations": "f * |W_dec| (decoder-norm units)",
            **note,
        },
        **parts,
    )
    return check_shapes(dictionary, origin)


def modernise(cfg: dict[str, Any]) -> dict[str, Any]:
    """A config before 6.0 in the shape of one after: its metadata lay flat, and topk was an activation function."""
    cfg = dict(cfg)
    if not isinstance(cfg.get("metadata"), dict):
        cfg["metadata"] = {
            "hook_name": cfg.get("hook_name") or cfg.get("hook_point"),
            "model_name": cfg.get("model_name"),
        }
    if cfg.get("architecture") in (None, "standard") and "topk" in (
        cfg.get("activation_fn"),
        cfg.get("activation_fn_str"),
    ):
        cfg["architecture"] = "topk"
    if cfg.get("normalize_activations") is True:
        cfg["normalize_activations"] = "expected_average_only_in"
    return cfg
