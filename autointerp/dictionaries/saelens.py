"""SAELens dictionaries on disk (cfg.json and sae_weights.safetensors), training checkpoints and configs before 6.0 too.

Facts that are easy to get wrong, all read in SAELens' own code: b_dec is subtracted from the input unless
apply_b_dec_to_input is false (transcoders never subtract); jumprelu compares strictly; topk keeps the k largest
pre-activations and then applies relu; batchtopk is saved as jumprelu, but a checkpoint of its training holds the scalar
topk_threshold, in units of the decoder's norms; layer_norm uses the unbiased deviation + 1e-5, and a transcoder, whose
output is another site, does not undo it; a checkpoint trained on scaled input has the scale in activation_scaler.json.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

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

WEIGHTS, SCALER = "sae_weights.safetensors", "activation_scaler.json"
BATCH = ("batchtopk", "matryoshka_batchtopk")
NORMS = ("none", "layer_norm", "constant_norm_rescale")
Tensors = dict[str, Tensor]
Notes = dict[str, str]


def matches(path: Path) -> bool:
    return path.is_dir() and (path / "cfg.json").exists() and (path / WEIGHTS).exists()


def load(path: Path) -> Dictionary:
    return build("SAELens", modernise(read_json(path / "cfg.json")), read_safetensors(path / WEIGHTS), path)


def build(form: str, cfg: dict[str, Any], raw: dict[str, Any], path: Path) -> Dictionary:
    """The dictionary of a modern config and its tensors; `form` is SAELens or what descends from it."""
    architecture = str(cfg.get("architecture") or "standard")
    transcoder = "transcoder" in architecture
    what = f"a {architecture} dictionary"
    given = float32(raw)
    W_enc, W_dec, _ = need(given, ("W_enc", "W_dec", "b_dec"), path, what)
    need_matrix("W_dec", W_dec, path)
    d_in, width = need_matrix("W_enc", W_enc, path).shape
    for name, size in (("d_in", d_in), ("d_sae", width)):
        if cfg.get(name) not in (None, size):
            refuse(
                path,
                f"cfg.json says {name} = {cfg[name]} and W_enc has {size}",
                "check that the files belong together",
            )
    norm: Any = cfg.get("normalize_activations") or "none"
    if norm not in (*NORMS, "expected_average_only_in"):
        refuse(path, f"it normalises its input by {norm!r}", f"use {', '.join(NORMS)} or one with that folded in")
    note = notes(cfg)
    tensors = folded(given, cfg, path, note)
    parts = activation(architecture, tensors, cfg, path, note)
    subtract = bool(cfg.get("apply_b_dec_to_input", True)) and not transcoder
    W_skip = tensors.get("W_skip")
    dictionary = Dictionary(
        W_enc=tensors["W_enc"],
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        hook=str(cfg["metadata"].get("hook_name") or ""),
        subtract_b_dec=subtract,
        input_norm=norm if norm in NORMS else "none",
        W_skip=W_skip.T.contiguous() if W_skip is not None else None,
        transcoder=transcoder,
        convention={
            "format": form,
            "architecture": architecture,
            "activation": f"topk, k = {parts['k']}" if "k" in parts else parts["activation"],
            "b_dec": subtraction(subtract),
            "input": norm if norm in NORMS else "none",
            "stored as": stored("W_enc [d_in, width], W_dec [width, d_out]", raw["W_enc"].dtype),
            "activations": UNITS,
            **note,
        },
        **parts,
    )
    return check_shapes(dictionary, str(path))


def modernise(cfg: dict[str, Any]) -> dict[str, Any]:
    """A config before 6.0 in the shape of one after: its metadata lay flat, and topk was an activation function."""
    cfg = dict(cfg)
    if not isinstance(cfg.get("metadata"), dict):
        cfg["metadata"] = {
            "hook_name": cfg.get("hook_name") or cfg.get("hook_point"),
            "hook_head_index": cfg.get("hook_head_index", cfg.get("hook_point_head_index")),
            "model_name": cfg.get("model_name"),
        }
        if "hook_z" in str(cfg["metadata"]["hook_name"]):
            cfg.setdefault("reshape_activations", "hook_z")
    cfg["activation_fn"] = cfg.get("activation_fn") or cfg.get("activation_fn_str") or "relu"
    if cfg.get("architecture") in (None, "standard") and cfg["activation_fn"] == "topk":
        cfg["architecture"] = "topk"
    if cfg.get("normalize_activations") is True:
        cfg["normalize_activations"] = "expected_average_only_in"
    return cfg


def notes(cfg: dict[str, Any]) -> Notes:
    """What the config says of the sites that it reads and writes beyond the name of the hook."""
    metadata, note = cfg["metadata"], {}
    if cfg.get("reshape_activations") == "hook_z":
        note["heads"] = "all in one vector, head after head (hook_z)"
    if metadata.get("hook_head_index") is not None:
        note["heads"] = f"head {metadata['hook_head_index']} alone"
    if metadata.get("hook_name_out"):
        note["writes"] = str(metadata["hook_name_out"])
    return note


def folded(tensors: Tensors, cfg: dict[str, Any], path: Path, note: Notes) -> Tensors:
    """The tensors with every scale that the library applies beside them put into the weights."""
    tensors = dict(tensors)
    width = tensors["W_enc"].shape[1]
    factor = tensors.pop("scaling_factor", tensors.get("finetuning_scaling_factor"))
    if factor is not None and not bool((factor == 1).all()):
        if not cfg.get("finetuning_scaling_factor"):
            found = "it holds a scaling_factor that is not all ones, and cfg.json does not say that it counts"
            refuse(path, found, "fold it into W_dec if it does")
        if factor.shape != tensors["W_dec"].shape[:1]:
            refuse(path, f"its scaling factor has shape {list(factor.shape)}, not [{width}]", "export it again")
        tensors["W_dec"] = tensors["W_dec"] * factor[:, None]
        note["finetuned"] = "decoder times the finetuning scaling factor"
    if cfg.get("normalize_activations") == "expected_average_only_in":
        scale = read_json(path / SCALER).get("scaling_factor") if (path / SCALER).exists() else None
        if isinstance(scale, int | float) and scale > 0:
            tensors["W_enc"] = tensors["W_enc"] * scale
            for name in ("W_dec", "b_dec"):
                tensors[name] = tensors[name] / scale
            if "topk_threshold" in tensors and cfg.get("rescale_acts_by_decoder_norm"):
                tensors["topk_threshold"] = tensors["topk_threshold"] / scale
            note["scale"] = f"trained on input times {scale:g} ({SCALER}), folded into the weights"
        else:
            note["warning"] = "trained on scaled input; the factor is not in the files, so it must have been folded in"
    if cfg.get("rescale_acts_by_decoder_norm") and "b_enc" in tensors:
        # The library scales before it chooses what fires and undoes it in decode: folded, f stays what it gives.
        norms = tensors["W_dec"].norm(dim=1)
        if len(norms) == width == len(tensors["b_enc"]):
            tensors |= {"W_enc": tensors["W_enc"] * norms, "b_enc": tensors["b_enc"] * norms}
            tensors["W_dec"] = tensors["W_dec"] / norms.clamp_min(1e-12)[:, None]
        note["rescale"] = "activations in decoder-norm units (rescale_acts_by_decoder_norm)"
    return tensors


def activation(architecture: str, tensors: Tensors, cfg: dict[str, Any], path: Path, note: Notes) -> dict[str, Any]:
    """The fields of the canonical form that say what fires."""
    base = "_".join(part for part in architecture.split("_") if part not in ("skip", "transcoder")) or "standard"
    what = f"a {architecture} dictionary"
    if cfg["activation_fn"] not in (("relu", "topk") if base == "topk" else ("relu",)):
        refuse(path, f"its activation function is {cfg['activation_fn']!r}", "use relu, or topk without a gate")
    if base == "gated":
        b_gate, b_mag, r_mag = need(tensors, ("b_gate", "b_mag", "r_mag"), path, what)
        if r_mag.shape != tensors["W_enc"].shape[1:]:
            refuse(path, f"its r_mag has shape {list(r_mag.shape)}, not one number per feature", "export it again")
        return {"activation": "gated", "b_enc": b_gate, "W_mag": tensors["W_enc"] * r_mag.exp(), "b_mag": b_mag}
    if base not in ("standard", "topk", "jumprelu", *BATCH):
        refuse(
            path,
            f"its architecture is {architecture!r}",
            "use standard, jumprelu, topk, batchtopk, matryoshka_batchtopk, gated or a transcoder of these",
        )
    (b_enc,) = need(tensors, ("b_enc",), path, what)
    if base == "standard":
        return {"activation": "relu", "b_enc": b_enc}
    if base == "topk":
        k = positive(cfg.get("k") or (cfg.get("activation_fn_kwargs") or {}).get("k") or 100, "k", path)
        return {"activation": "topk", "b_enc": b_enc, "k": k, "expected_l0": float(k)}
    threshold, note["threshold"] = fires_above(tensors, what, path)
    trained, details = base, cfg
    if base == "jumprelu":  # as which batchtopk is saved, with what it was in the metadata
        trained = cfg["metadata"].get("training_architecture")
        details = cfg["metadata"].get("training_architecture_details") or {}
    mean = details.get("k") if trained in BATCH else None
    l0 = float(mean) if isinstance(mean, int | float) else None
    return {"activation": "jumprelu", "b_enc": b_enc, "threshold": threshold, "expected_l0": l0}


def fires_above(tensors: Tensors, what: str, path: Path) -> tuple[Tensor, str]:
    """The threshold of every feature and the tensor that it comes from."""
    if "threshold" in tensors:
        threshold, said = tensors["threshold"], "threshold"
    elif "log_threshold" in tensors:
        threshold, said = tensors["log_threshold"].exp(), "exp(log_threshold)"
    elif "topk_threshold" in tensors:
        threshold, said = tensors["topk_threshold"].repeat(tensors["W_enc"].shape[1]), "scalar topk_threshold"
        if bool((threshold == 0).all()):  # what training starts from; relu would let far more than k fire
            refuse(path, "its topk_threshold is 0, which marks one that was never set", "train it further")
    else:
        refuse(path, f"{what} needs a threshold; it holds {sorted(tensors)}", "export it again")
    if bool((threshold < 0).any()):
        refuse(path, "its threshold is negative, which marks one that was never set", "set it with its own library")
    return threshold, said
