"""Controls: dictionaries that learned nothing, made in the image of one that did. The same pipeline scores them.

    neurons           the hook's own axes, either sign a feature, the k largest kept
    pca               the principal axes of the hook's output, likewise
    random            random directions, all firing equally often
    density_matched   random directions, each firing as often as the feature of its number
    permuted          the dictionary with its decoder rows permuted: it fires on the same positions and writes elsewhere

k and the firing rate are those of the original on the sample that the control is fitted on, so L0 agrees. A number that
a control reaches as well says nothing about what a dictionary learned (Bricken et al. 2023; Heap et al. 2025).
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from autointerp.dictionaries.canonical import CHUNK_BYTES, Dictionary

HAIR = 1e-4  # thresholds lie so far below the last value that fires that rounding cannot silence it


def neurons(like: Dictionary, x: Tensor) -> Dictionary:
    """The axes of x [n, d]; feature i is the part of axis i above its mean, feature d + i the part below."""
    return signed_axes(like, x, torch.eye(x.shape[1], device=x.device), "neurons")


def pca(like: Dictionary, x: Tensor) -> Dictionary:
    """The principal axes of x [n, d], largest variance first; either sign a feature."""
    centred = (x - x.mean(0)).double()
    variance, axes = torch.linalg.eigh(centred.T @ centred)
    order = variance.argsort(descending=True)
    return signed_axes(like, x, axes[:, order].to(x.dtype), "principal components")


def signed_axes(like: Dictionary, x: Tensor, axes: Tensor, what: str) -> Dictionary:
    """Coordinates of x [n, d] along orthonormal axes (columns), split by sign; the largest are kept, as many as L0."""
    k = max(1, round(l0(like, x)))
    both = torch.cat([axes, -axes], 1)
    mean = x.mean(0)
    return Dictionary(
        W_enc=both.contiguous(),
        b_enc=-mean @ both,
        W_dec=both.T.contiguous(),
        b_dec=mean,
        activation="topk",
        k=min(k, both.shape[1]),
        convention=convention(what, f"k = {k}, the original's L0", len(x)),
    )


def random(like: Dictionary, x: Tensor, seed: int) -> Dictionary:
    """As many random directions as `like` has, all firing equally often on x [n, d], with the same L0.

    The firings of all features together are dealt out evenly; where they are fewer than features, some get none.
    """
    base, more = divmod(round(l0(like, x) * len(x)), like.width)
    firings = base + (torch.arange(like.width, device=x.device) < more).long()
    return directions(like, x, seed, firings, "random directions", "thresholds give the original's L0")


def density_matched(like: Dictionary, x: Tensor, seed: int) -> Dictionary:
    """A random direction for each feature of `like`, under its number, that fires as often as it does on x [n, d]."""
    firings = torch.bincount(like.encode_sparse(x)[1], minlength=like.width)
    return directions(like, x, seed, firings, "random directions", "each fires as often as the feature of its number")


def directions(like: Dictionary, x: Tensor, seed: int, firings: Tensor, what: str, sparsity: str) -> Dictionary:
    """Random directions, direction i with the threshold above which it fires `firings[i]` times on x [n, d].

    A threshold is never below 0, so features that fire at more than about half of the positions are not matched. The
    decoder has one scale for all, the least-squares one: directions that nobody fitted overlap.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(like.width, x.shape[1], generator=generator, dtype=torch.float32).to(x)
    rows /= rows.norm(dim=1, keepdim=True)
    mean = x.mean(0)
    size = max(1, CHUNK_BYTES // (4 * len(x)))
    parts = []
    for start in range(0, like.width, size):
        projected = (x - mean) @ rows[start : start + size].T
        wanted = firings[start : start + size]
        top = projected.topk(max(1, int(wanted.max())), dim=0).values
        top = torch.cat([torch.full_like(top[:1], torch.inf), top])
        parts.append(top.gather(0, wanted[None])[0])
    threshold = torch.cat(parts) * (1 - HAIR)
    made = Dictionary(
        W_enc=rows.T.contiguous(),
        b_enc=-rows @ mean,
        W_dec=rows,
        b_dec=mean,
        activation="jumprelu",
        threshold=threshold.clamp_min(0).float(),
        convention=convention(what, sparsity, len(x)),
    )
    written = made.decode_sparse(*made.encode_sparse(x), len(x)) - mean
    scale = ((x - mean) * written).sum() / written.square().sum().clamp_min(1e-12)
    return replace(made, W_dec=rows * scale.clamp_min(1e-6))


def permuted(like: Dictionary, seed: int) -> Dictionary:
    """The permutation is one cycle through all features, so none keeps its own row."""
    cycle = torch.randperm(like.width, generator=torch.Generator().manual_seed(seed)).to(like.W_dec.device)
    source = torch.empty_like(cycle)
    source[cycle] = cycle.roll(1)
    return replace(
        like,
        W_dec=like.W_dec[source],
        expected_l0=None,
        convention={**like.convention, "control": "decoder rows permuted"},
    )


def on_shuffled_subject(like: Dictionary) -> Dictionary:
    """The dictionary as it is; what makes it a control is the subject that it is given to read."""
    return replace(
        like, expected_l0=None, convention={**like.convention, "control": "the subject's weights are shuffled"}
    )


def l0(dictionary: Dictionary, x: Tensor) -> float:
    return len(dictionary.encode_sparse(x)[0]) / len(x)


def convention(what: str, sparsity: str, n: int) -> dict[str, str]:
    return {"control": what, "sparsity": sparsity, "fitted on": f"{n:,} positions of the first contexts"}


def save(dictionary: Dictionary, path: Path) -> None:
    """A fitted control as safetensors; what is not a tensor stands in its metadata."""
    tensors = {name: value.cpu() for name, value in dictionary.weights.items()}
    rest = {name: value for name, value in vars(dictionary).items() if not isinstance(value, Tensor)}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, {"dictionary": json.dumps(rest)})


def load(path: Path) -> Dictionary:
    with safe_open(path, framework="pt") as handle:
        rest = json.loads(handle.metadata()["dictionary"])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118  # not a mapping
    return Dictionary(**tensors, **rest)
