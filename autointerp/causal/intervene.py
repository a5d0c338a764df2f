"""Interventions on features inside the subject: x = decode(encode(x)) + error, an activation changed, the error kept.

The decoder is linear, so nothing has to be decoded: with activations a_i, feature vectors d_i and the stretch s(x) of
an input normalisation that decode undoes (1 without one),

    x' = x + s(x) * sum_i (a'_i - a_i) d_i

A transcoder encodes the output of one module and reconstructs that of a later one; the change is then added there
(Templeton et al. 2024, Scaling Monosemanticity, for the residual stream).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autointerp.dictionaries import Dictionary
from autointerp.errors import UserError
from autointerp.subjects.subject import At, Edit, Subject, says_nothing


@dataclass(frozen=True, eq=False, slots=True)
class Reconstruction:
    """A dictionary in its place in a subject: `reads` is the module it encodes, `writes` the one it reconstructs."""

    subject: Subject
    dictionary: Dictionary
    reads: str
    writes: str


def place(subject: Subject, dictionary: Dictionary, hook: str, writes: str = "") -> Reconstruction:
    """A dictionary at a hook of a subject that says what comes next; `writes` is the output hook of a transcoder."""
    if not subject.has_loss:
        raise says_nothing(subject.name)
    reads = subject.resolve(hook)
    if dictionary.transcoder and not writes:
        raise UserError(
            f"you asked for interventions on a transcoder that reads {reads!r}",
            "nothing says which module's output it reconstructs",
            "name that module",
        )
    if writes and not dictionary.transcoder and subject.resolve(writes) != reads:
        raise UserError(
            f"you asked for interventions at {writes!r}",
            f"the dictionary is no transcoder, it reconstructs {reads!r}, which it reads",
            "leave the output hook out",
        )
    return Reconstruction(subject, dictionary, reads, subject.resolve(writes) if writes else reads)


@dataclass(frozen=True, eq=False, slots=True)
class Intervention:
    """Activations a_i of some features become factor * a_i + value, all at once.

    features int64 [m]; factor and value [1, m], or [n, m] with a row for each context. positions bool [n, length] says
    where, None everywhere. In generation it has to cover what is written, too. directions [m, d_out] are unit vectors,
    those of the features: others in their place push as hard another way.
    """

    at: Reconstruction
    features: Tensor
    factor: Tensor
    value: Tensor
    positions: Tensor | None
    directions: Tensor

    def edits(self) -> dict[str, Edit]:
        """What `losses`, `logits` and `generate` of the subject take, fresh for each call of theirs."""
        if self.at.reads == self.at.writes:
            return {self.at.writes: lambda hidden, index: self._changed(hidden, hidden, index)}
        read: list[Tensor] = []

        def keep(hidden: Tensor, _: At) -> Tensor:
            read.append(hidden)
            return hidden

        def write(hidden: Tensor, index: At) -> Tensor:
            if not read:
                raise UserError(
                    f"you asked for a transcoder from {self.at.reads!r} to {self.at.writes!r}",
                    "the subject calls the second before the first",
                    "exchange the hooks",
                )
            return self._changed(read.pop(), hidden, index)

        return {self.at.reads: keep, self.at.writes: write}

    def _changed(self, read: Tensor, written: Tensor, index: At) -> Tensor:
        """The output `written` [m, k, d_out] as it would be, had the dictionary's features changed on `read`."""
        dictionary = self.at.dictionary
        check_size(self.at, read, written)
        everywhere = torch.ones(written.shape[:2], dtype=torch.bool, device=written.device)
        where = everywhere if self.positions is None else self.positions.to(written.device)[index]
        rows = index[0].expand(where.shape)[where]
        factor, value = (
            each.expand(max(len(each), int(index[0].max()) + 1), -1)[rows] for each in (self.factor, self.value)
        )
        x = read[where]
        a = dictionary.activations(x, self.features)
        moved = (factor * a + value - a) @ self.directions * dictionary.stretch(x)
        changed = written.clone()
        changed[where] = (written[where].to(moved.dtype) + moved).to(written.dtype)
        return changed


def clamp(
    at: Reconstruction,
    features: Sequence[int],
    values: float | Sequence[float] | Tensor,
    positions: Tensor | None = None,
) -> Intervention:
    """Activations become `values`: one for all, one for each of the m features, or [n, m] by context."""
    return changed(at, features, 0.0, values, positions)


def scale(
    at: Reconstruction,
    features: Sequence[int],
    factors: float | Sequence[float] | Tensor,
    positions: Tensor | None = None,
) -> Intervention:
    """Activations are multiplied by `factors`, given as for `clamp`; silent ones stay silent."""
    return changed(at, features, factors, 0.0, positions)


def ablate(at: Reconstruction, features: Sequence[int], positions: Tensor | None = None) -> Intervention:
    """Activations become 0."""
    return changed(at, features, 0.0, 0.0, positions)


def changed(
    at: Reconstruction,
    features: Sequence[int],
    factors: float | Sequence[float] | Tensor,
    values: float | Sequence[float] | Tensor,
    positions: Tensor | None,
) -> Intervention:
    width, device = at.dictionary.width, at.dictionary.W_dec.device
    wrong = [feature for feature in features if not 0 <= feature < width]
    if wrong or len(set(features)) < len(features):
        raise UserError(
            f"you asked for interventions on the features {list(features)}",
            f"the dictionary has no feature {wrong[0]} among its {width}" if wrong else "one of them is there twice",
            "name each feature once, from 0 on",
        )
    factor, value = (
        torch.as_tensor(given, dtype=torch.float32, device=device).expand(1, len(features))
        if not isinstance(given, Tensor) or given.ndim < 2
        else given.to(device, torch.float32)
        for given in (factors, values)
    )
    chosen = torch.tensor(list(features), device=device)
    return Intervention(at, chosen, factor, value, positions, unit_rows(at.dictionary, chosen))


def unit_rows(dictionary: Dictionary, features: Tensor) -> Tensor:
    """Feature vectors d_i [m, d_out] of some features; a zero row stays zero."""
    return torch.nn.functional.normalize(dictionary.W_dec[features], dim=1, eps=1e-12)


def check_size(at: Reconstruction, read: Tensor, written: Tensor) -> None:
    d_in, d_out = at.dictionary.d_in, at.dictionary.W_dec.shape[1]
    if (read.shape[-1], written.shape[-1]) != (d_in, d_out):
        raise UserError(
            f"you asked for a dictionary that reads {at.reads!r} and writes {at.writes!r}",
            f"they put out {read.shape[-1]} and {written.shape[-1]} dimensions where it has {d_in} and {d_out}",
            "check the hooks",
        )
