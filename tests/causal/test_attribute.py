"""Attribution and ablation against values worked out by hand, and against interventions made one at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    set_seed,
)

from autointerp.causal.attribute import (
    Attribution,
    Choice,
    ablate_groups,
    attribute,
    differences,
)
from autointerp.causal.intervene import Reconstruction, ablate, place, scale
from autointerp.config import SubjectConfig
from autointerp.dictionaries import Dictionary
from autointerp.measure.arrays import Floats, Ints
from autointerp.subjects.load import load
from autointerp.subjects.subject import Edit
from autointerp.subjects.text import TextSubject
from tests.subjects.pictures import noise

D, WIDTH = 16, 40
CHOICE = Choice((2, 9, 30, 4, 17, 8), 50, (60, 61, 62))
COUNTED = torch.tensor([False, True, True, False, True, True])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**changes: Any) -> Dictionary:
    """Random weights, decoder rows of all lengths, about half of the features active."""
    parts: dict[str, Any] = {
        "W_enc": random(1, D, WIDTH),
        "b_enc": 0.1 * random(2, WIDTH),
        "W_dec": 0.3 * random(3, WIDTH, D) * (0.2 + random(8, WIDTH, 1).abs()),
        "b_dec": random(4, D),
        "activation": "relu",
        "convention": {},
    }
    return Dictionary(**parts | changes)


def axes(d: int) -> Dictionary:
    """Feature i is axis i where it is positive, with a decoder row of length i + 1: f_i = x_i / (i + 1), a_i = x_i."""
    lengths = 1.0 + torch.arange(d)
    return Dictionary(
        torch.diag(1 / lengths), torch.zeros(d), torch.diag(lengths), torch.zeros(d), "relu", {}, hook="h"
    )


def ablate_each(at: Reconstruction, choice: Choice, found: Attribution, batch_size: int = 64) -> Floats:
    """What every active feature does at its position, [k, e]."""
    return ablate_groups(at, choice, found, np.arange(len(found.feature)), batch_size)


def ablate_everywhere(
    at: Reconstruction, choice: Choice, found: Attribution, batch_size: int = 64
) -> tuple[Ints, Floats]:
    """The active features [g], and what each does when it is off at all counted positions at once, [k, g]."""
    features, group = np.unique(found.feature, return_inverse=True)
    return features, ablate_groups(at, choice, found, group, batch_size)


# ---- circuits whose every effect is known


class Circuit:
    """Says relu(x . u - 1) for the target 0 and x . v for the baselines 1, 2, …, x summed over positions."""

    has_loss, name = True, "a circuit"

    def __init__(self, table: Tensor, u: Tensor, v: Tensor) -> None:
        self.table, self.u, self.v = table, u, v

    def resolve(self, hook: str) -> str:
        return hook

    def logits(
        self, contexts: Sequence[Sequence[int]], length: int, edits: Mapping[str, Edit], images: Sequence[bytes] = ()
    ) -> Tensor:
        hidden = self.table[torch.tensor([list(tokens) for tokens in contexts])]
        for edit in edits.values():
            hidden = edit(hidden, (torch.arange(len(hidden))[:, None], torch.arange(length)[None]))
        x = hidden.sum(1)
        return torch.cat([(x @ self.u - 1).relu()[:, None], x @ self.v], dim=1)


def by_place(found: Attribution, values: Any) -> dict[tuple[int, int], float]:
    """A value of each active feature by (position, feature)."""
    return dict(zip(zip(found.position.tolist(), found.feature.tolist(), strict=True), values.tolist(), strict=True))


@pytest.fixture
def circuit() -> tuple[Reconstruction, Choice]:
    # Two tokens of three axes. Token 0 is (2, 0, -1), token 1 is (1, 3, 0): x = (3, 3, -1) in all.
    table = torch.tensor([[2.0, 0, -1], [1, 3, 0]])
    # u . x - 1 = 2 * 3 - 3 - 1 - 1 = 1, the baselines say 3 and 2 * -1 = -2.
    subject: Any = Circuit(table, torch.tensor([2.0, -1, 1]), torch.tensor([[1.0, 0], [0, 0], [0, 2]]))
    return place(subject, axes(3), "h"), Choice((0, 1), 0, (1, 2))


def test_where_the_answer_is_linear_attribution_is_ablation(circuit: tuple[Reconstruction, Choice]) -> None:
    at, choice = circuit
    found = attribute(at, choice)
    # Active: axis 0 at position 0 (2), at position 1 axis 0 (1) and axis 1 (3). Axis 2 is below 0: in the error.
    assert by_place(found, found.activation) == {(0, 0): 2, (1, 0): 1, (1, 1): 3}
    assert found.difference.tolist() == [1 - 3, 1 + 2]
    # The gradients are u - v: (1, -1, 1) against the first baseline, (2, -1, -1) against the second.
    assert by_place(found, found.attribution[0]) == pytest.approx({(0, 0): 2, (1, 0): 1, (1, 1): -3})
    assert by_place(found, found.attribution[1]) == pytest.approx({(0, 0): 4, (1, 0): 2, (1, 1): -3})
    assert found.features.tolist() == pytest.approx([0, 3])
    assert found.error.tolist() == pytest.approx([-1, 1])  # 1 * -1, and -1 * -1
    assert found.constant.tolist() == pytest.approx([0, 0])


def test_a_relu_that_closes_stops_what_ablation_takes(circuit: tuple[Reconstruction, Choice]) -> None:
    at, choice = circuit
    found = attribute(at, choice)
    effect = ablate_each(at, choice, found)
    # u . x - 1 is 1. Without axis 0 at position 0 it would be -3: the target loses 1 and not 4, the first baseline 2.
    assert by_place(found, effect[0]) == pytest.approx({(0, 0): 1 - 2, (1, 0): 1 - 1, (1, 1): -3})
    # The second baseline does not read axis 0. At position 1 the target falls from 1 to -1: 1, not 2.
    assert by_place(found, effect[1]) == pytest.approx({(0, 0): 1, (1, 0): 1, (1, 1): -3})
    features, together = ablate_everywhere(at, choice, found)
    assert features.tolist() == [0, 1]
    assert together.tolist() == [pytest.approx([1 - 3, -3]), pytest.approx([1, -3])]


def test_positions_that_do_not_count_take_no_part(circuit: tuple[Reconstruction, Choice]) -> None:
    at, choice = circuit
    only = torch.tensor([False, True])
    found = attribute(at, choice, only)
    assert by_place(found, found.attribution[0]) == pytest.approx({(1, 0): 1, (1, 1): -3})
    assert found.error.tolist() == [0, 0]
    nothing = attribute(at, choice, torch.tensor([False, False]))
    assert nothing.attribution.shape == ablate_each(at, choice, nothing).shape == (2, 0)
    assert ablate_everywhere(at, choice, nothing)[1].shape == (2, 0)
    assert nothing.features.tolist() == [0, 0]


def test_a_linear_head_gives_analytic_values(tiny_subject: TextSubject) -> None:
    at = place(tiny_subject, made(), "model.norm")
    found = attribute(at, CHOICE)
    head = tiny_subject.model.get_output_embeddings().weight
    x = tiny_subject.hidden([CHOICE.tokens], 6, ["model.norm"])["model.norm"][0, -1]
    f = at.dictionary.encode(x[None])[0]
    for pair, baseline in enumerate(CHOICE.baselines):
        direction = head[CHOICE.target] - head[baseline]
        effects = by_place(found, found.attribution[pair])
        assert {place for place in effects if place[0] == 5} == {(5, i) for i in f.nonzero()[:, 0].tolist()}
        for (position, feature), effect in effects.items():
            expected = float(f[feature] * (at.dictionary.W_dec[feature] @ direction)) if position == 5 else 0.0
            assert effect == pytest.approx(expected, abs=1e-6)
        assert found.difference[pair] == pytest.approx(float(x @ direction), abs=1e-6)
    np.testing.assert_allclose(ablate_each(at, CHOICE, found), found.attribution, atol=2e-6)


def test_a_norm_behind_the_hook_parts_attribution_from_ablation_by_a_known_amount(tiny_subject: TextSubject) -> None:
    hook = "model.layers.2"  # behind it x -> weight * x / sqrt(mean x^2 + epsilon), then the head
    at = place(tiny_subject, made(), hook)
    found = attribute(at, CHOICE)
    norm, head = tiny_subject.model.model.norm, tiny_subject.model.get_output_embeddings().weight.double().numpy()
    x = tiny_subject.hidden([CHOICE.tokens], 6, [hook])[hook][0, -1].double().numpy()
    w = (head[CHOICE.target] - head[CHOICE.baselines[0]]) * norm.weight.double().numpy()

    def answer(x: Any) -> float:
        return float(w @ x / np.sqrt((x**2).mean() + norm.variance_epsilon))

    root = np.sqrt((x**2).mean() + norm.variance_epsilon)
    gradient = w / root - (w @ x) * x / (D * root**3)
    effect, written = ablate_each(at, CHOICE, found), at.dictionary.W_dec.double().numpy()
    last = found.position == 5
    assert last.sum() > 5
    for entry in np.flatnonzero(last):
        row = written[found.feature[entry]]
        added = found.activation[entry] * row / np.linalg.norm(row)
        assert found.attribution[0, entry] == pytest.approx(gradient @ added, abs=1e-5)
        assert effect[0, entry] == pytest.approx(answer(x) - answer(x - added), abs=1e-5)
    assert np.abs(effect[0, last] - found.attribution[0, last]).max() > 1e-3
    assert not found.attribution[:, ~last].any()


# ---- against interventions one at a time


def subject_of(family: str, tiny_subject: TextSubject) -> tuple[TextSubject, tuple[str, ...]]:
    set_seed(1)
    special = {"bos_token_id": 0, "eos_token_id": 1, "vocab_size": 320, "initializer_range": 0.3}
    if family == "gpt2":
        model: Any = GPT2LMHeadModel(GPT2Config(**special, n_layer=2, n_head=2, n_embd=D))
        return TextSubject(model, tiny_subject.tokenizer, family), ("transformer.h.0", "transformer.h.0.attn")
    sizes = {"hidden_size": D, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    if family == "pythia":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**special, **sizes))
        return TextSubject(model, tiny_subject.tokenizer, family), ("gpt_neox.layers.0", "gpt_neox.layers.0.mlp")
    model = LlamaForCausalLM(LlamaConfig(**special, **sizes))
    return TextSubject(model, tiny_subject.tokenizer, family), ("model.layers.0", "model.layers.0.self_attn")


def answers(at: Reconstruction, edits: dict[str, Edit], choice: Choice = CHOICE) -> Any:
    with torch.no_grad():
        return differences(at, choice, edits)[0].double().numpy()


def only(position: int, length: int = 6) -> Tensor:
    return torch.arange(length)[None] == position


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "topk": {"activation": "topk", "k": 6},
    "layer norm": {"input_norm": "layer_norm", "subtract_b_dec": True},
    "norm rescale": {"input_norm": "constant_norm_rescale"},
}


@pytest.mark.parametrize("family", ["llama", "gpt2", "pythia"])
@pytest.mark.parametrize("kind", KINDS)
def test_effects_are_those_of_interventions_one_at_a_time(kind: str, family: str, tiny_subject: TextSubject) -> None:
    subject, hooks = subject_of(family, tiny_subject)
    for hook in hooks:
        compare(place(subject, made(**KINDS[kind]), hook))


def test_effects_of_a_transcoder_are_those_of_interventions_one_at_a_time(tiny_subject: TextSubject) -> None:
    dictionary = made(transcoder=True, W_skip=random(6, D, D), input_norm="layer_norm")
    subject, _ = subject_of("llama", tiny_subject)
    compare(place(subject, dictionary, "model.layers.0.post_attention_layernorm", "model.layers.0.mlp"))


def compare(at: Reconstruction) -> None:
    found = attribute(at, CHOICE, COUNTED)
    effect = ablate_each(at, CHOICE, found, batch_size=7)
    clean = answers(at, {})
    np.testing.assert_allclose(found.difference, clean, atol=1e-5)
    assert set(found.position.tolist()) == set(COUNTED.nonzero()[:, 0].tolist())
    size = np.abs(effect).max()
    assert size > 1e-4
    for entry in range(0, len(found.feature), 5):
        feature, position = int(found.feature[entry]), int(found.position[entry])
        off = answers(at, ablate(at, [feature], only(position)).edits())
        np.testing.assert_allclose(effect[:, entry], clean - off, atol=1e-3 * size + 2e-6)
        # To first order: the slope of m when the activation is scaled about itself.
        up, down = (answers(at, scale(at, [feature], 1 + h, only(position)).edits()) for h in (4e-3, -4e-3))
        np.testing.assert_allclose(found.attribution[:, entry], (up - down) / 8e-3, atol=0.01 * size + 1e-3)
    features, together = ablate_everywhere(at, CHOICE, found, batch_size=4)
    assert features.tolist() == sorted(set(found.feature.tolist()))
    for group in range(0, len(features), 5):
        off = answers(at, ablate(at, [int(features[group])], COUNTED[None]).edits())
        np.testing.assert_allclose(together[:, group], clean - off, atol=1e-3 * size + 2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_error_features_and_constant_add_to_the_gradient_times_the_output(kind: str, tiny_subject: TextSubject) -> None:
    subject, (hook, _) = subject_of("gpt2", tiny_subject)
    at = place(subject, made(**KINDS[kind]), hook)
    found = attribute(at, CHOICE, COUNTED)
    x = subject.hidden([CHOICE.tokens], 6, [hook])[hook][0]
    rebuilt = at.dictionary.decode(at.dictionary.encode(x), x)

    def slope(direction: Tensor) -> Any:
        """How m grows when the counted positions move along a direction [6, d]."""
        step = 1e-3 * direction * COUNTED[:, None]
        up, down = (answers(at, {hook: lambda hidden, _, by=by: hidden + by}) for by in (step, -step))
        return (up - down) / 2e-3

    np.testing.assert_allclose(found.error, slope(x - rebuilt), rtol=2e-2, atol=5e-3)
    np.testing.assert_allclose(found.features + found.error + found.constant, slope(x), rtol=2e-2, atol=5e-3)


def test_the_batch_changes_nothing_and_one_baseline_is_as_among_others(tiny_subject: TextSubject) -> None:
    at = place(tiny_subject, made(), "model.layers.0.mlp")
    found = attribute(at, CHOICE)
    effect = ablate_each(at, CHOICE, found)
    np.testing.assert_allclose(ablate_each(at, CHOICE, found, batch_size=1), effect, atol=1e-6)
    alone = replace(CHOICE, baselines=CHOICE.baselines[1:2])
    np.testing.assert_allclose(attribute(at, alone).attribution[0], found.attribution[1], atol=1e-7)
    np.testing.assert_allclose(ablate_each(at, alone, found)[0], effect[1], atol=1e-6)


def test_features_of_a_picture_have_effects(tiny_vlm_path: Path) -> None:
    subject: Any = load(SubjectConfig(model=str(tiny_vlm_path), device="cpu"))
    hook = "model.language_model.layers.0"
    one = subject.look(noise(), "the cat", [hook])
    choice = Choice(tuple(one.tokens), 50, (60, 61, 62), one.image)
    at = place(subject, made(activation="topk", k=3), hook)
    found = attribute(at, choice)
    effect = ablate_each(at, choice, found)
    patch = int(np.flatnonzero(found.position == one.grid.start + 2)[0])
    position = only(int(found.position[patch]), len(one.tokens))
    change = ablate(at, [int(found.feature[patch])], position)
    expected = answers(at, {}, choice) - answers(at, change.edits(), choice)
    np.testing.assert_allclose(effect[:, patch], expected, atol=1e-6)
    assert effect[:, patch].any()
