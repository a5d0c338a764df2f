"""A file of openai/sparse_autoencoder: a state dict with the name and the state of its activation among the tensors.

Facts that are easy to get wrong, all read in its model.py: the input is normalised exactly when the activation is TopK,
(x - mean) / (unbiased deviation + 1e-5), and pre_bias is subtracted after that; TopK applies its postact_fn, usually
ReLU, to the k largest pre-activations; a state dict that names no activation means ReLU.
"""

from pathlib import Path
from typing import Any

from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.dictionaries.files import (
    UNITS,
    float32,
    is_torch,
    need,
    need_matrix,
    positive,
    read_torch,
    refuse,
    stored,
    subtraction,
    torch_names,
)

KEYS = ("pre_bias", "latent_bias", "encoder.weight", "decoder.weight")


def matches(path: Path) -> bool:
    return is_torch(path) and {"pre_bias", "latent_bias", "encoder.weight"} <= torch_names(path)


def load(path: Path) -> Dictionary:
    raw = read_torch(path, path)
    b_dec, b_enc, encoder, decoder = need(float32(raw), KEYS, path, "an openai/sparse_autoencoder dictionary")
    need_matrix("encoder.weight", encoder, path)
    need_matrix("decoder.weight", decoder, path)
    name = raw.get("activation", "ReLU")
    if name not in ("ReLU", "TopK"):
        refuse(path, f"its activation is {name!r}", "use ReLU or TopK")
    parts = top_k(raw.get("activation_state_dict"), path) if name == "TopK" else {"activation": "relu"}
    kind = f"topk, k = {parts['k']}" + (", signed" if parts["signed"] else ", then relu") if name == "TopK" else "relu"
    dictionary = Dictionary(
        W_enc=encoder.T.contiguous(),
        b_enc=b_enc,
        W_dec=decoder.T.contiguous(),
        b_dec=b_dec,
        subtract_b_dec=True,
        convention={
            "format": "openai/sparse_autoencoder",
            "architecture": name,
            "activation": kind,
            "b_dec": subtraction(True) + (", after normalising it" if name == "TopK" else ""),
            "input": parts.get("input_norm", "none"),
            "stored as": stored(
                "encoder.weight [width, d_in], decoder.weight [d_in, width]", raw["encoder.weight"].dtype
            ),
            "activations": UNITS,
        },
        **parts,
    )
    return check_shapes(dictionary, str(path))


def top_k(state: Any, path: Path) -> dict[str, Any]:
    if not isinstance(state, dict) or not {"k", "postact_fn"} <= set(state):
        refuse(path, "its activation is TopK, but its activation_state_dict lacks k or postact_fn", "export it again")
    if state["postact_fn"] not in ("ReLU", "Identity"):
        refuse(path, f"its TopK applies {state['postact_fn']!r}", "use ReLU or Identity")
    k = positive(state["k"], "k", path)
    signed = state["postact_fn"] == "Identity"
    return {"activation": "topk", "k": k, "signed": signed, "expected_l0": float(k), "input_norm": "layer_norm"}
