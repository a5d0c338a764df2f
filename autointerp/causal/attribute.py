"""What features do for an answer: attribution, to first order and from one forward pass, and ablation, exactly.

An answer is a difference of logits at the end of a prompt, m = logit of the target - logit of a baseline token, for
each of k baselines; the mean over them is m against the mean baseline. With a_i, d_i and the stretch s(x) of a
dictionary,

    attribution_{i,p} = a_{i,p} s(x_p) (grad_p m . d_i)
    ablation_{i,p}    = m(x) - m(x with a_{i,p} = 0)

Both measure from activation 0, and agree where m is linear in x (Templeton et al. 2024, Scaling Monosemanticity).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autointerp.causal.intervene import Reconstruction, check_size
from autointerp.measure.arrays import Floats, Ints
from autointerp.subjects.subject import At, Edit


@dataclass(frozen=True, slots=True)
class Choice:
    """A prompt as the subject reads it, and the tokens between which it chooses; a picture as the subject sees it."""

    tokens: tuple[int, ...]
    target: int
    baselines: tuple[int, ...]
    image: bytes = b""


@dataclass(frozen=True, eq=False, slots=True)
class Attribution:
    """What the active features of a prompt add to each of k logit differences, to first order.

    position, feature, activation [e], one for each active feature at a counted position, by position; reach [e] is how
    far it moves x along d_i, activation times stretch. attribution [k, e]. difference [k] is m itself. What runs
    through the dictionary's error term, and through what it writes whatever fires (b_dec and the like), is summed over
    the counted positions: error [k], constant [k]. With `features` they add to the sum over p of grad_p . x_p.
    """

    position: Ints
    feature: Ints
    activation: Floats
    reach: Floats
    attribution: Floats
    difference: Floats
    error: Floats
    constant: Floats

    @property
    def features(self) -> Floats:
        """What runs through all features, [k]."""
        found: Floats = self.attribution.sum(axis=1)
        return found


def attribute(at: Reconstruction, choice: Choice, counted: Tensor | None = None) -> Attribution:
    """By one forward pass, and a backward pass to the hook for each baseline; counted bool [length], None: all."""
    dictionary = at.dictionary
    passed: dict[str, Tensor] = {}

    def keep(hidden: Tensor, _: At) -> Tensor:
        passed["read"] = hidden.detach()
        return hidden

    def cut(hidden: Tensor, _: At) -> Tensor:
        passed.setdefault("read", hidden.detach())
        passed["written"] = hidden.detach().clone().requires_grad_()
        return passed["written"]

    with torch.enable_grad():
        answers = differences(at, choice, {at.reads: keep, at.writes: cut})[0]
        grads = [torch.autograd.grad(answer, passed["written"], retain_graph=True)[0][0] for answer in answers]
    read, written = passed["read"][0], passed["written"].detach()[0]
    check_size(at, read, written)
    places = torch.arange(len(choice.tokens)) if counted is None else counted.nonzero()[:, 0].cpu()
    x, gradient = read[places], torch.stack(grads)[:, places].to(dictionary.W_dec.dtype)
    rows, features, values = dictionary.encode_sparse(x)
    stretch = dictionary.stretch(x)[rows, 0]
    # Of a feature at a position, the part of x along its row of W_dec; f_i W_dec,i = a_i d_i.
    pull = torch.stack([(grad[rows] * dictionary.W_dec[features]).sum(1) for grad in gradient])
    attribution = (values * stretch * pull).double()
    activation = values * torch.linalg.vector_norm(dictionary.W_dec[features], dim=1)
    rebuilt = dictionary.decode_sparse(rows, features, values, len(x), x)
    through_all = (gradient.double() * rebuilt.double()).sum(dim=(1, 2))
    error = (gradient.double() * (written[places].double() - rebuilt.double())).sum(dim=(1, 2))
    return Attribution(
        position=places[rows.cpu()].numpy(),
        feature=features.cpu().numpy(),
        activation=activation.double().cpu().numpy(),
        reach=(activation * stretch).double().cpu().numpy(),
        attribution=attribution.cpu().numpy(),
        difference=answers.detach().double().cpu().numpy(),
        error=error.cpu().numpy(),
        constant=(through_all - attribution.sum(1)).cpu().numpy(),
    )


def ablate_groups(at: Reconstruction, choice: Choice, found: Attribution, group: Ints, batch_size: int = 64) -> Floats:
    """m(x) - m(x without the features and positions of a group), [k, g] for groups 0 … g-1: group [e].

    What is in front of the hook does not change, so each group is the same output less what its members wrote there.
    """
    n, device = int(group.max(initial=-1)) + 1, at.dictionary.W_dec.device
    order = np.argsort(group, kind="stable")
    member, position, feature, reach = (
        torch.as_tensor(values[order], device=device) for values in (group, found.position, found.feature, found.reach)
    )

    def written() -> Iterator[Tensor]:
        for start in range(0, n, batch_size):
            size = min(batch_size, n - start)
            here = slice(*torch.searchsorted(member, torch.tensor([start, start + size], device=device)).tolist())
            rows = torch.nn.functional.normalize(at.dictionary.W_dec[feature[here]], dim=1, eps=1e-12)
            out = rows.new_zeros(size, len(choice.tokens), rows.shape[1])
            yield out.index_put_(
                (member[here] - start, position[here]), rows * reach[here, None].to(rows), accumulate=True
            )

    parts = [without(at, choice, taken) for taken in written()]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(choice.baselines), 0))


def without(at: Reconstruction, choice: Choice, taken: Tensor) -> Floats:
    """m(x) - m(x - taken) for each of taken [g, length, d] at the module that the dictionary writes, [k, g].

    x itself runs in the same batch, so both sides are rounded alike.
    """

    def edit(hidden: Tensor, _: At) -> Tensor:
        whole = hidden.to(taken.dtype)
        return torch.cat([whole, whole - taken]).to(hidden.dtype)

    with torch.no_grad():
        found = differences(at, choice, {at.writes: edit}).double().cpu().numpy()
    effect: Floats = (found[0] - found[1:]).T
    return effect


def differences(at: Reconstruction, choice: Choice, edits: dict[str, Edit]) -> Tensor:
    """logit of the target - logit of each baseline, [n, k], n versions of the prompt as the edits make them."""
    images = [choice.image] if choice.image else []
    logits = at.subject.logits([choice.tokens], len(choice.tokens), edits, images)
    return logits[:, choice.target, None] - logits[:, list(choice.baselines)]
