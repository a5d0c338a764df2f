"""The one form that every dictionary format is read into.

    f = act((normalise(x) - subtract * b_dec) @ W_enc + b_enc)        x_hat = denormalise(f @ W_dec + b_dec)

A transcoder writes another site than the one it reads, so it leaves out denormalise. What is reported of a feature is
always the pair *feature vector* d_i = W_dec[i] / |W_dec[i]| and *activation* a_i = f_i * |W_dec[i]|, so that no number
depends on how a library shares scale between encoder and decoder (Templeton et al. 2024, Scaling Monosemanticity).
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from autointerp.errors import UserError

CHUNK_BYTES = 256 * 2**20  # no dense [tokens, width] tensor larger than this ever exists


@dataclass(frozen=True)
class Dictionary:
    """Weights in one orientation: W_enc [d_in, width], W_dec [width, d_out], b_enc [width], b_dec [d_out].

    `convention` says in words how the files were read; the report prints it. `hook` names the module whose output is
    read, "" where the files do not say; `expected_l0` is what its makers state, None where they state nothing.
    Methods take x on the device of the weights, in any float dtype, and compute in that of the weights.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    activation: Literal["relu", "jumprelu", "topk", "groupmax", "gated"]
    convention: dict[str, str]
    hook: str = ""
    expected_l0: float | None = None
    threshold: Tensor | None = None  # jumprelu [width], kept float32: rounding it flips borderline features
    k: int | None = None  # topk: how many are kept; groupmax: how many contiguous groups give their largest
    signed: bool = False  # topk without relu: values may be negative, and a feature fires where its value is not 0
    subtract_b_dec: bool = False
    input_norm: Literal["none", "layer_norm", "constant_norm_rescale"] = "none"
    W_mag: Tensor | None = (
        None  # gated: the magnitude path [d_in, width] and its bias [width]; W_enc, b_enc are the gate
    )
    b_mag: Tensor | None = None
    W_skip: Tensor | None = None  # skip transcoders: [d_in, d_out]
    transcoder: bool = False  # reconstructs another site than the one it reads

    @property
    def width(self) -> int:
        """How many features there are."""
        return self.W_enc.shape[1]

    @property
    def d_in(self) -> int:
        """Dimensions of the site that it reads."""
        return self.W_enc.shape[0]

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors that it is made of, by the name of their field."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in named if isinstance(value, Tensor)}

    @cached_property  # asked for with every batch, and as much to read as the decoder
    def feature_norms(self) -> Tensor:
        """|W_dec[i]|, shape [width]: a_i = f_i * feature_norms[i], in the units of the hook. 0 for a zero row."""
        norms: Tensor = torch.linalg.vector_norm(self.W_dec, dim=1)
        return norms

    @property
    def feature_vectors(self) -> Tensor:
        """Unit vectors d_i, shape [width, d_out]; a zero row stays zero."""
        return self.W_dec / self.feature_norms.clamp_min(1e-12)[:, None]

    def to(self, device: torch.device | str) -> "Dictionary":
        """The same with its weights on another device."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self.weights.items()}
        return replace(self, **moved)

    def encode(self, x: Tensor) -> Tensor:
        """Raw feature values f [n, width] as the dictionary's own library gives them, for x [n, d_in].

        Not activations: these are f * feature_norms. 0 where a feature is silent; never below, unless `signed`. Dense:
        for a wide dictionary and many rows use `encode_sparse`.
        """
        centred, hidden = self._hidden(x)
        if self.activation == "relu":
            return hidden.relu()
        if self.activation == "jumprelu":
            assert self.threshold is not None
            return hidden.relu() * (hidden > self.threshold)
        if self.activation == "gated":
            assert self.W_mag is not None and self.b_mag is not None
            return (centred @ self.W_mag + self.b_mag).relu() * (hidden > 0)
        values, features = self._largest(hidden)
        return torch.zeros_like(hidden).scatter_(1, features, values)

    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nonzeros of `encode(x)` as (row, feature, value), sorted by row then feature, in bounded memory.

        Three tensors of one length, int64, int64 and the dtype of the weights; empty where nothing fires.
        """
        size = max(1, CHUNK_BYTES // (4 * self.width))
        parts = []
        for start in range(0, len(x), size):
            rows, features, values = self._nonzeros(x[start : start + size])
            parts.append((rows + start, features, values))
        if not parts:
            empty = torch.empty(0, dtype=torch.int64, device=x.device)
            return empty, empty, torch.empty(0, dtype=self.W_enc.dtype, device=x.device)
        rows, features, values = (torch.cat(part) for part in zip(*parts, strict=True))
        return rows, features, values

    def _nonzeros(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`encode_sparse` of one chunk: no dense f where the pre-activations alone say what fires."""
        if self.activation == "gated":
            f = self.encode(x)
            rows, features = f.nonzero(as_tuple=True)
            return rows, features, f[rows, features]
        hidden = self._hidden(x)[1]
        if self.activation in ("topk", "groupmax"):
            values, features = self._largest(hidden)
            features, order = features.sort(dim=1)
            values = values.gather(1, order)
            kept = values != 0
            return kept.nonzero()[:, 0], features[kept], values[kept]
        silent = hidden <= (0.0 if self.threshold is None else self.threshold.clamp_min(0))  # NaN is not silent
        rows, features = silent.logical_not_().nonzero(as_tuple=True)
        return rows, features, hidden[rows, features]

    def _hidden(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's input [n, d_in] after normalisation and b_dec, and the pre-activations [n, width]."""
        centred = self._normalise(x.to(self.W_enc.dtype))[0] - (self.b_dec if self.subtract_b_dec else 0.0)
        return centred, centred @ self.W_enc + self.b_enc

    def _largest(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(value, feature) [n, k] of the kept pre-activations, zeros among them."""
        assert self.k is not None
        if self.activation == "groupmax":
            size = self.width // self.k
            top = hidden.reshape(-1, self.k, size).max(dim=2)
            first = torch.arange(0, self.width, size, device=hidden.device)
            return top.values.relu(), top.indices + first
        found = hidden.topk(min(self.k, self.width), dim=1)
        return (found.values if self.signed else found.values.relu()), found.indices

    def decode(self, f: Tensor, x: Tensor | None = None) -> Tensor:
        """Reconstruction [n, d_out] of f [n, width]; x [n, d_in] where a skip term or input normalisation needs it.

        In the units of the hook. f = 0 gives b_dec, normalisation undone, and the skip term. Raises ValueError where x
        is needed and missing.
        """
        return self._finish(f.to(self.W_dec.dtype) @ self.W_dec, x)

    def decode_sparse(self, rows: Tensor, features: Tensor, values: Tensor, n: int, x: Tensor | None = None) -> Tensor:
        """`decode` from nonzeros sorted by row, without the dense f: the cost is that of the nonzeros."""
        offsets = torch.searchsorted(rows.contiguous(), torch.arange(n, device=rows.device))
        summed = torch.nn.functional.embedding_bag(
            features, self.W_dec, offsets, mode="sum", per_sample_weights=values.to(self.W_dec.dtype)
        )
        return self._finish(summed, x)

    def activations(self, x: Tensor, features: Tensor) -> Tensor:
        """Activations a_i [n, m] of some features [m] for x [n, d_in], in bounded memory."""
        size = max(1, CHUNK_BYTES // (4 * self.width))
        values = [self.encode(x[start : start + size])[:, features] for start in range(0, len(x), size)]
        found = torch.cat(values) if values else self.W_dec.new_empty(0, len(features))
        norms: Tensor = torch.linalg.vector_norm(self.W_dec[features], dim=1)
        return found * norms

    def stretch(self, x: Tensor) -> Tensor:
        """How far the reconstruction of x [n, d_in] moves along d_i when a_i grows by one, [n, 1].

        1, or what the input was divided by where normalisation is undone: activations are in normalised units then.
        """
        if self.input_norm == "none" or self.transcoder:
            return x.new_ones(len(x), 1, dtype=self.W_dec.dtype)
        scale = self._normalise(x.to(self.W_dec.dtype))[2]
        assert isinstance(scale, Tensor)
        return scale

    def _normalise(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """The normalised input and the (shift, scale) that undo it."""
        if self.input_norm == "layer_norm":
            shift, scale = x.mean(1, keepdim=True), x.std(1, keepdim=True)
            return (x - shift) / (scale + 1e-5), shift, scale  # SAELens undoes it without the 1e-5
        if self.input_norm == "constant_norm_rescale":
            scale = x.norm(dim=1, keepdim=True) / self.d_in**0.5
            return x / scale, 0.0, scale
        return x, 0.0, 1.0

    def _finish(self, summed: Tensor, x: Tensor | None) -> Tensor:
        undone = self.input_norm != "none" and not self.transcoder  # the site it writes was never normalised
        if x is None and (undone or self.W_skip is not None):
            raise ValueError(
                "decode needs x: this dictionary normalises its input or has a skip term, so the reconstruction "
                "depends on it; call decode(f, x)"
            )
        y = summed + self.b_dec
        if x is not None:
            x = x.to(self.W_dec.dtype)
            if undone:
                _, shift, scale = self._normalise(x)
                y = y * scale + shift
            if self.W_skip is not None:
                y = y + x @ self.W_skip
        return y


def check_shapes(dictionary: Dictionary, origin: str) -> Dictionary:
    """Refuse weights that contradict one another; a transposed matrix shows here unless it is square."""
    d_in, width = dictionary.W_enc.shape
    d_out = dictionary.W_dec.shape[1]
    expected: dict[str, tuple[int, ...]] = {
        "W_dec": (width, d_out),
        "b_enc": (width,),
        "b_dec": (d_out,),
        "threshold": (width,),
        "W_mag": (d_in, width),
        "b_mag": (width,),
        "W_skip": (d_in, d_out),
    }
    for name, shape in expected.items():
        value = getattr(dictionary, name)
        if value is not None and tuple(value.shape) != shape:
            raise UserError(
                f"you asked for the dictionary {origin}",
                f"its {name} has shape {list(value.shape)} where W_enc, {[d_in, width]}, asks for {list(shape)}",
                "check that the files belong together",
            )
    if d_out != d_in and not dictionary.transcoder:
        raise UserError(
            f"you asked for the dictionary {origin}",
            f"it reads {d_in} dimensions and writes {d_out}, but does not say it is a transcoder",
            "check its config",
        )
    for name, value in dictionary.weights.items():
        if not torch.isfinite(value).all():
            raise UserError(
                f"you asked for the dictionary {origin}", f"its {name} holds NaN or infinity", "export it again"
            )
    return dictionary
