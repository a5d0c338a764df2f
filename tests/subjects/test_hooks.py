"""Hooks: the pass stops where it may, returns what the full pass returns, and leaves no trace."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from autointerp.errors import UserError
from autointerp.subjects.hooks import replaced, resolve, run_to_hooks
from autointerp.subjects.subject import At
from autointerp.subjects.text import TextSubject

CONTEXTS = [list(range(2, 2 + n)) for n in (12, 5, 9, 12, 1, 7, 11)]
LENGTH = 12
LAYERS = [f"model.layers.{i}" for i in range(3)]


@contextmanager
def counted_calls(model: nn.Module) -> Iterator[Counter[str]]:
    """How often each module starts."""
    calls: Counter[str] = Counter()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
        for name, module in model.named_modules()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def hooks_on(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def full_forward(subject: TextSubject, contexts: list[list[int]]) -> tuple[Tensor, ...]:
    """The hidden states that the library itself returns, for contexts of one length."""
    with torch.no_grad():
        return tuple(subject.model(input_ids=torch.tensor(contexts), output_hidden_states=True).hidden_states)


class Block(nn.Module):
    """A block with more experts than the model has blocks."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(d, d) for _ in range(5))
        self.unused = nn.Linear(d, d)

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return x + sum(expert(x) for expert in self.experts), "something else"


class Stack(nn.Module):
    """Blocks that return tuples, and two branches that hold a module of the same name."""

    def __init__(self, d: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(d) for _ in range(3))
        self.left = nn.ModuleDict({"norm": nn.LayerNorm(d)})
        self.right = nn.ModuleDict({"norm": nn.LayerNorm(d)})

    def forward(self, x: Tensor) -> Any:
        for block in self.blocks:
            x, _ = block(x)
        return self.right["norm"](x)


# ---- what is computed


@pytest.mark.parametrize("deepest", [0, 1, 2])
def test_nothing_behind_the_deepest_hook_runs(tiny_subject: TextSubject, deepest: int) -> None:
    with counted_calls(tiny_subject.model) as calls:
        tiny_subject.hidden(CONTEXTS, LENGTH, [LAYERS[deepest]])
    assert [calls[layer] for layer in LAYERS] == [int(i <= deepest) for i in range(3)]
    assert calls["lm_head"] == calls["model.norm"] == 0


def test_a_hook_inside_a_block_stops_the_block(tiny_subject: TextSubject) -> None:
    with counted_calls(tiny_subject.model) as calls:
        tiny_subject.hidden(CONTEXTS, LENGTH, ["model.layers.1.self_attn"])
    assert calls["model.layers.1.self_attn"] == 1
    assert calls["model.layers.1.mlp"] == 0


def test_hook_outputs_are_the_hidden_states_of_the_full_forward(tiny_subject: TextSubject) -> None:
    contexts = [list(range(2 + i, 2 + i + LENGTH)) for i in range(3)]
    expected = full_forward(tiny_subject, contexts)
    found = tiny_subject.hidden(contexts, LENGTH, ["model.embed_tokens", *LAYERS[:2], "model.norm"])
    for hook, state in zip(found, expected, strict=True):
        torch.testing.assert_close(found[hook], state)
    after = full_forward(tiny_subject, contexts)  # a stopped pass leaves the model as it was
    assert all(torch.equal(a, b) for a, b in zip(after, expected, strict=True))


def test_several_hooks_come_from_one_pass(tiny_subject: TextSubject) -> None:
    with counted_calls(tiny_subject.model) as calls:
        together = tiny_subject.hidden(CONTEXTS, LENGTH, [LAYERS[1], LAYERS[0]])
    assert calls[LAYERS[0]] == calls[LAYERS[1]] == 1
    for layer in LAYERS[:2]:
        assert torch.equal(together[layer], tiny_subject.hidden(CONTEXTS, LENGTH, [layer])[layer])


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_activations_do_not_depend_on_the_batch(tiny_subject: TextSubject, batch: int) -> None:
    hook = LAYERS[2]
    whole = tiny_subject.hidden(CONTEXTS, LENGTH, [hook])[hook]
    order = [4, 0, 6, 2, 5, 1, 3]
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    for part in parts:
        found = tiny_subject.hidden([CONTEXTS[i] for i in part], LENGTH, [hook])[hook]
        for row, i in enumerate(part):
            n = len(CONTEXTS[i])
            assert torch.equal(found[row, :n], whole[i, :n])


def test_padding_does_not_change_what_stands_before_it(tiny_subject: TextSubject) -> None:
    hook = LAYERS[2]
    padded = tiny_subject.hidden([CONTEXTS[1]], LENGTH, [hook])[hook]
    exact = tiny_subject.hidden([CONTEXTS[1]], len(CONTEXTS[1]), [hook])[hook]
    torch.testing.assert_close(padded[:, : len(CONTEXTS[1])], exact)


def test_the_first_element_counts_where_a_module_returns_a_tuple() -> None:
    stack, x = Stack(), torch.randn(2, 4)
    found = run_to_hooks(stack, ["blocks.0"], lambda: stack(x))["blocks.0"]
    assert torch.equal(found, stack.blocks[0](x)[0])


# ---- names


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("model.layers.1", "model.layers.1"),
        ("layers.1", "model.layers.1"),
        ("layers.2.mlp", "model.layers.2.mlp"),
        ("blocks.0.hook_resid_post", "model.layers.0"),
        ("blocks.2.hook_resid_post", "model.layers.2"),
    ],
)
def test_relative_and_transformer_lens_names_are_understood(tiny_subject: TextSubject, name: str, path: str) -> None:
    assert tiny_subject.resolve(name) == path


def test_the_lists_inside_a_block_are_not_taken_for_the_stack_of_blocks() -> None:
    assert resolve(Stack(), "blocks.2.hook_resid_post") == "blocks.2"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("model.layer.1", "model.layers.1"), ("blocks.3.hook_resid_post", "model.layers"), ("lm_haed", "lm_head")],
)
def test_an_unknown_name_is_answered_with_the_nearest(tiny_subject: TextSubject, name: str, nearest: str) -> None:
    with pytest.raises(UserError, match="the subject has no such module") as caught:
        tiny_subject.resolve(name)
    assert repr(name) in str(caught.value)
    assert nearest in str(caught.value) or name.startswith("blocks")


def test_an_ending_that_fits_two_modules_is_refused_with_both() -> None:
    with pytest.raises(UserError) as caught:
        resolve(Stack(), "norm")
    assert "left.norm" in str(caught.value)
    assert "right.norm" in str(caught.value)


# ---- what can go wrong


def test_a_module_that_is_never_called_is_named() -> None:
    stack = Stack()
    with pytest.raises(UserError, match=r"blocks\.1\.unused.*the forward pass never calls it"):
        run_to_hooks(stack, ["blocks.0", "blocks.1.unused"], lambda: stack(torch.randn(2, 4)))
    assert hooks_on(stack) == 0


def test_hooks_are_removed_after_a_pass_and_after_an_error(tiny_subject: TextSubject) -> None:
    before = hooks_on(tiny_subject.model)
    tiny_subject.hidden(CONTEXTS, LENGTH, LAYERS)
    assert hooks_on(tiny_subject.model) == before

    def fail() -> None:
        raise RuntimeError("the forward pass failed")

    with pytest.raises(RuntimeError, match="the forward pass failed"):
        run_to_hooks(tiny_subject.model, LAYERS, fail)
    assert hooks_on(tiny_subject.model) == before


def test_a_hook_without_one_vector_per_token_is_refused_with_its_shape(tiny_subject: TextSubject) -> None:
    with pytest.raises(UserError, match=r"its output has shape \(1, 12, 8\), not \[batch, tokens, d\]"):
        tiny_subject.hidden(CONTEXTS, LENGTH, ["model.rotary_emb"])


# ---- edits and losses


def test_an_edit_takes_the_place_of_an_output_for_the_layers_behind_it(tiny_subject: TextSubject) -> None:
    contexts = [list(range(2, 2 + LENGTH))]
    moved = torch.randn(1, LENGTH, 16, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def edit(hidden: Tensor) -> Tensor:
        seen.append(hidden.clone())
        return moved

    plain = tiny_subject.hidden(contexts, LENGTH, LAYERS)
    with replaced(tiny_subject.model, {LAYERS[1]: edit}):
        found = tiny_subject.hidden(contexts, LENGTH, LAYERS)
    assert len(seen) == 1
    assert torch.equal(seen[0], plain[LAYERS[1]])
    assert torch.equal(found[LAYERS[0]], plain[LAYERS[0]])  # in front of it nothing changes
    assert torch.equal(found[LAYERS[1]], moved)
    angles = tiny_subject.model.model.rotary_emb(moved, torch.arange(LENGTH)[None])
    causal = torch.full((1, 1, LENGTH, LENGTH), -torch.inf).triu(1)
    behind = tiny_subject.model.model.layers[2](moved, position_embeddings=angles, attention_mask=causal)
    torch.testing.assert_close(found[LAYERS[2]], behind)


def test_two_modules_are_edited_at_once() -> None:
    stack, x = Stack(), torch.randn(2, 4)
    with replaced(stack, {"blocks.0": lambda h: h * 0 + 7, "right.norm": lambda h: h - 1}):
        found = stack(x)
    inner = stack.blocks[2](stack.blocks[1](torch.full((2, 4), 7.0))[0])[0]
    torch.testing.assert_close(found, stack.right["norm"](inner) - 1)


@pytest.mark.parametrize("kind", [tuple, list])
def test_an_edit_changes_the_first_element_and_keeps_the_rest(kind: type) -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return kind((x, "something else", None))

    model = nn.ModuleDict({"inner": Several()})
    with replaced(model, {"inner": lambda h: h + 1}):
        found = model["inner"](torch.zeros(3))
    assert type(found) is kind
    assert found[0].tolist() == [1, 1, 1]
    assert list(found[1:]) == ["something else", None]


def test_an_edited_model_is_as_it_was_afterwards_and_after_an_error(tiny_subject: TextSubject) -> None:
    contexts = [list(range(2, 2 + LENGTH))]
    before, n_hooks = full_forward(tiny_subject, contexts), hooks_on(tiny_subject.model)
    with replaced(tiny_subject.model, dict.fromkeys(LAYERS, torch.zeros_like)):
        assert not torch.equal(full_forward(tiny_subject, contexts)[-1], before[-1])
        assert hooks_on(tiny_subject.model) == n_hooks + len(LAYERS)

    def fail(hidden: Tensor) -> Tensor:
        raise RuntimeError("the edit failed")

    with pytest.raises(RuntimeError, match="the edit failed"), replaced(tiny_subject.model, {LAYERS[1]: fail}):
        full_forward(tiny_subject, contexts)
    assert hooks_on(tiny_subject.model) == n_hooks
    after = full_forward(tiny_subject, contexts)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def slow_losses(subject: TextSubject, tokens: list[int]) -> list[float]:
    """-log of the probability of each next token of one context, from logits of that context alone."""
    with torch.no_grad():
        logits = subject.model(input_ids=torch.tensor([tokens])).logits[0].double()
    return [float(logits[at].logsumexp(0) - logits[at, after]) for at, after in enumerate(tokens[1:])]


@pytest.mark.parametrize("edits", [{}, {LAYERS[1]: lambda hidden, _: hidden}], ids=["no edit", "identity"])
def test_losses_are_those_of_each_context_alone_and_nan_without_a_next_token(
    tiny_subject: TextSubject, edits: dict[str, Any]
) -> None:
    found = tiny_subject.losses(CONTEXTS, LENGTH, edits)
    assert found.shape == (len(CONTEXTS), LENGTH - 1)
    for row, tokens in zip(found.tolist(), CONTEXTS, strict=True):
        expected = slow_losses(tiny_subject, tokens)
        assert len(expected) == len(tokens) - 1
        assert row == pytest.approx(expected + [float("nan")] * (LENGTH - len(tokens)), rel=1e-5, nan_ok=True)


def test_an_edit_moves_only_the_losses_from_its_position_on(tiny_subject: TextSubject) -> None:
    tokens = list(range(2, 2 + LENGTH))

    def edit(hidden: Tensor, _: At) -> Tensor:
        hidden = hidden.clone()
        hidden[:, 5] = 0
        return hidden

    plain, edited = (tiny_subject.losses([tokens], LENGTH, edits) for edits in ({}, {LAYERS[0]: edit}))
    assert torch.equal(plain[0, :5], edited[0, :5])
    assert not torch.isclose(plain[0, 5:], edited[0, 5:]).any()


def test_only_a_model_that_predicts_the_next_token_has_a_loss(tiny_subject: TextSubject) -> None:
    config = BertConfig(vocab_size=320, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    others = (BertModel(config), tiny_subject.model.model)  # an encoder, and a decoder without its head
    assert tiny_subject.has_loss
    assert [TextSubject(model, tiny_subject.tokenizer, "other").has_loss for model in others] == [False, False]
