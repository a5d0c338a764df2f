"""What a subject says next: last logits and generated tokens, with modules changed, against one context at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    set_seed,
)

from autointerp.config import SubjectConfig
from autointerp.errors import UserError
from autointerp.subjects.load import load
from autointerp.subjects.subject import At, Edit
from autointerp.subjects.text import TextSubject
from autointerp.subjects.vision_language import VisionLanguageSubject
from tests.subjects.pictures import noise

CONTEXTS = [list(range(2, 2 + n)) for n in (9, 4, 9, 1, 6)]
LENGTH, D, NEW = 12, 16, 6
SIZES = {"vocab_size": 320, "num_hidden_layers": 3, "num_attention_heads": 2}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1}
HOOKS = {  # the output of a block, of its attention (a tuple) and of its MLP
    "llama": ("model.layers.1", "model.layers.1.self_attn", "model.layers.1.mlp"),
    "gpt2": ("transformer.h.1", "transformer.h.1.attn", "transformer.h.1.mlp"),
    "pythia": ("gpt_neox.layers.1", "gpt_neox.layers.1.attention", "gpt_neox.layers.1.mlp"),
}
EVERY_HOOK = [(family, hook) for family, hooks in HOOKS.items() for hook in hooks]


@pytest.fixture(scope="module")
def family(tiny_subject: TextSubject) -> Callable[[str], TextSubject]:
    """Random models whose next tokens vary: three layers, d = 16."""
    made: dict[str, TextSubject] = {}

    def of(name: str) -> TextSubject:
        if name not in made:
            set_seed(1)
            model: Any = {
                "llama": lambda: LlamaForCausalLM(
                    LlamaConfig(**SIZES, **SPECIAL, hidden_size=D, intermediate_size=32, initializer_range=0.5)
                ),
                "gpt2": lambda: GPT2LMHeadModel(
                    GPT2Config(**SPECIAL, vocab_size=320, n_layer=3, n_head=2, n_embd=D, initializer_range=0.5)
                ),
                "pythia": lambda: GPTNeoXForCausalLM(
                    GPTNeoXConfig(**SIZES, **SPECIAL, hidden_size=D, intermediate_size=32, initializer_range=0.5)
                ),
            }[name]()
            made[name] = TextSubject(model, tiny_subject.tokenizer, name)
        return made[name]

    return of


def pushed(at_positions: set[int] | None = None) -> Edit:
    """Adds something that depends on context and position, at some positions or at all."""

    def edit(hidden: Tensor, at: At) -> Tensor:
        rows, positions = at
        direction = torch.linspace(-2, 2, D)
        amount = torch.cos(rows + 3.0 * positions)
        if at_positions is not None:
            amount = amount * torch.tensor([[int(p) in at_positions for p in positions[0]]])
        return hidden + amount[..., None] * direction

    return edit


def slow_logits(subject: TextSubject, tokens: list[int], hook: str, edit: Edit, row: int) -> Tensor:
    """The last logits of one context alone, by a hook of torch's own and no cache."""

    def change(_m: Any, _i: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        changed = edit(first, (torch.tensor([[row]]), torch.arange(len(tokens))[None]))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = subject.model.get_submodule(hook).register_forward_hook(change)
    try:
        with torch.no_grad():
            return subject.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
    finally:
        handle.remove()


def slow_tokens(subject: TextSubject, tokens: list[int], hook: str, edit: Edit, row: int) -> list[int]:
    """The likeliest tokens one after another, all read anew each time."""
    read = list(tokens)
    while len(read) < len(tokens) + NEW:
        best = int(slow_logits(subject, read, hook, edit, row).argmax())
        if best == 1:
            break
        read.append(best)
    return read[len(tokens) :]


# ---- logits


@pytest.mark.parametrize(("name", "hook"), EVERY_HOOK)
def test_logits_are_those_of_each_context_alone(name: str, hook: str, family: Callable[[str], TextSubject]) -> None:
    subject, edit = family(name), pushed()
    found = subject.logits(CONTEXTS, LENGTH, {hook: edit})
    expected = [slow_logits(subject, tokens, hook, edit, row) for row, tokens in enumerate(CONTEXTS)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-4)
    assert not torch.isclose(found, subject.logits(CONTEXTS, LENGTH, {})).all(dim=1).any()


def test_a_model_that_computes_all_logits_gives_the_last_ones(family: Callable[[str], TextSubject]) -> None:
    subject = family("llama")
    expected = subject.logits(CONTEXTS, LENGTH, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "_takes", {"input_ids"})
        torch.testing.assert_close(subject.logits(CONTEXTS, LENGTH, {}), expected)


@pytest.mark.parametrize(("name", "hook"), EVERY_HOOK)
def test_versions_of_one_context_part_ways_at_the_hook(
    name: str, hook: str, family: Callable[[str], TextSubject]
) -> None:
    subject, moved = family(name), torch.randn(4, LENGTH, D, generator=torch.Generator().manual_seed(0))
    found = subject.logits(CONTEXTS[:1], LENGTH, {hook: lambda hidden, _: hidden + moved})
    alone = [subject.logits(CONTEXTS[:1], LENGTH, {hook: lambda hidden, _, one=one: hidden + one}) for one in moved]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_logits_have_the_gradient_of_what_an_edit_puts_out(family: Callable[[str], TextSubject]) -> None:
    subject, (hook, *_) = family("gpt2"), HOOKS["gpt2"]
    subject = TextSubject(subject.model.double(), subject.tokenizer, "double")
    tokens, leaf = [CONTEXTS[4]], []

    def cut(hidden: Tensor, _: At) -> Tensor:
        leaf.append(hidden.detach().requires_grad_())
        return leaf[0]

    answer = subject.logits(tokens, 6, {hook: cut})[0, 7]
    (gradient,) = torch.autograd.grad(answer, leaf)
    for position, axis in ((0, 3), (2, 9), (5, 15)):
        nudge = torch.zeros(1, 6, D, dtype=torch.float64)
        nudge[0, position, axis] = 1e-3
        up, down = (
            float(subject.logits(tokens, 6, {hook: lambda h, _, by=sign * nudge: h + by})[0, 7]) for sign in (1, -1)
        )
        assert (up - down) / 2e-3 == pytest.approx(float(gradient[0, position, axis]), rel=2e-2, abs=1e-3)
    subject.model.float()


# ---- generation


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(("name", "hook"), EVERY_HOOK)
def test_generated_tokens_are_those_of_a_loop_that_reads_all_anew(
    name: str, hook: str, cache: bool, family: Callable[[str], TextSubject]
) -> None:
    subject, edit = family(name), pushed({1, 3, 5, 9, 11})  # of prompts and of what is written
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject.model.generation_config, "use_cache", cache)
        found = subject.generate(CONTEXTS, NEW, {hook: edit})
    assert found == [slow_tokens(subject, tokens, hook, edit, row) for row, tokens in enumerate(CONTEXTS)]
    assert found != subject.generate(CONTEXTS, NEW, {})


def test_an_edit_sees_every_position_once_where_there_is_a_cache(family: Callable[[str], TextSubject]) -> None:
    seen: list[tuple[list[int], list[int]]] = []

    def edit(hidden: Tensor, at: At) -> Tensor:
        assert hidden.shape[:2] == (at[0].shape[0], at[1].shape[1])
        seen.append((at[0][:, 0].tolist(), at[1][0].tolist()))
        return hidden

    family("llama").generate([[5, 6, 7], [8], [9, 10, 11]], 3, {"model.layers.1": edit})
    short, both = [1], [0, 2]
    steps = [(short, [0]), (short, [1]), (short, [2]), (both, [0, 1, 2]), (both, [3]), (both, [4])]
    assert seen == steps


def test_text_ends_where_the_model_says_so(family: Callable[[str], TextSubject]) -> None:
    subject = family("llama")
    # Edits at the last layer decide the next token: at position 6 the end, before it something else.
    rows = subject.model.get_output_embeddings().weight

    def edit(hidden: Tensor, at: At) -> Tensor:
        wanted = torch.where(at[1] < 6, 40, 1)[0]
        return hidden * 0 + 100 * rows[wanted]

    assert subject.generate([[5] * 5, [5] * 3], NEW, {"model.norm": edit}) == [[40, 40], [40] * 4]


def test_what_a_maker_ships_beside_the_weights_changes_nothing(family: Callable[[str], TextSubject]) -> None:
    plain = family("llama")
    expected = plain.generate(CONTEXTS, NEW, {})
    set_seed(1)
    sizes = {"hidden_size": D, "intermediate_size": 32, "initializer_range": 0.5}
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **SPECIAL, **sizes))
    config = model.generation_config
    config.repetition_penalty, config.no_repeat_ngram_size, config.max_length, config.do_sample = 9.0, 1, 4, True
    config.eos_token_id = [1, 7]
    subject = TextSubject(model, plain.tokenizer, "shipped")
    cut = [[*tokens, 7][: [*tokens, 7].index(7)] for tokens in expected]
    assert subject.generate(CONTEXTS, NEW, {}) == cut


# ---- by luck


def test_draws_follow_their_seed_and_not_their_batch(family: Callable[[str], TextSubject]) -> None:
    subject, seeds = family("gpt2"), [3, 4, 5, 6, 7]
    found = subject.generate(CONTEXTS, NEW, {}, seeds)
    alone = [subject.generate([tokens], NEW, {}, [seed])[0] for tokens, seed in zip(CONTEXTS, seeds, strict=True)]
    assert found == alone
    assert found != subject.generate(CONTEXTS, NEW, {}, [8, 9, 10, 11, 12])
    assert found != subject.generate(CONTEXTS, NEW, {})
    # Hardly any warmth: the likeliest tokens.
    assert subject.generate(CONTEXTS, NEW, {}, seeds, temperature=1e-6) == subject.generate(CONTEXTS, NEW, {})


def test_draws_have_the_frequencies_of_the_softmax(family: Callable[[str], TextSubject]) -> None:
    subject, n, temperature = family("gpt2"), 2000, 1.5
    chance = (subject.logits([[5, 6]], 2, {})[0] / temperature).softmax(0)
    drawn = subject.generate([[5, 6]] * n, 1, {}, range(n), temperature)
    counts = torch.bincount(torch.tensor([tokens[0] if tokens else 1 for tokens in drawn]), minlength=320)
    likely = chance.topk(8).indices
    spread = (chance * (1 - chance) / n).sqrt()
    assert ((counts / n - chance)[likely].abs() < 4 * spread[likely]).all()


# ---- pictures


@pytest.fixture(scope="module")
def vlm(tiny_vlm_path: Path) -> Iterator[VisionLanguageSubject]:
    subject = load(SubjectConfig(model=str(tiny_vlm_path), device="cpu"))
    assert isinstance(subject, VisionLanguageSubject)
    return subject


@pytest.mark.parametrize("layer", ["model.language_model.layers.0", "model.language_model.layers.0.self_attn"])
def test_contexts_with_and_without_pictures_are_continued_as_each_alone(layer: str, vlm: VisionLanguageSubject) -> None:
    seen = [vlm.look(noise(seed), "the cat sat", [layer]) for seed in (0, 1)]
    contexts = [list(seen[0].tokens), vlm.alone("rain fell", 40), list(seen[1].tokens)]
    images, edit = [seen[0].image, b"", seen[1].image], pushed({2, 19, 20, 22})
    logits = vlm.logits(contexts, 40, {layer: edit}, images)
    written = vlm.generate(contexts, NEW, {layer: edit}, images=images)
    for row, (tokens, image) in enumerate(zip(contexts, images, strict=True)):
        pixels = {"pixel_values": vlm.eye.pixels([image])} if image else {}

        def change(_m: Any, _i: Any, output: Any, row: int = row) -> Any:
            first = output[0] if isinstance(output, tuple) else output
            changed = edit(first, (torch.tensor([[row]]), torch.arange(first.shape[1])[None]))
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        handle = vlm.model.get_submodule(layer).register_forward_hook(change)
        read = list(tokens)
        with torch.no_grad():
            for _ in range(NEW):
                last = vlm.model(input_ids=torch.tensor([read]), **pixels, use_cache=False).logits[0, -1]
                if len(read) == len(tokens):
                    torch.testing.assert_close(logits[row], last, rtol=1e-4, atol=1e-5)
                read.append(int(last.argmax()))
        handle.remove()
        assert written[row] == [*read, 1][len(tokens) : [*read, 1].index(1, len(tokens))][:NEW]


# ---- refusals


def test_what_predicts_nothing_refuses_in_a_sentence(tiny_subject: TextSubject, tiny_clip_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    encoder = TextSubject(BertModel(BertConfig(vocab_size=320, **sizes)), tiny_subject.tokenizer, "an encoder")
    towers = load(SubjectConfig(model=str(tiny_clip_path), device="cpu"))
    for subject in (encoder, towers):
        for ask in (lambda s: s.logits([[5]], 1, {}), lambda s: s.generate([[5]], 1, {})):
            with pytest.raises(
                UserError, match=r"You asked what the subject '.*' says next, but it predicts no tokens"
            ):
                ask(subject)


def test_a_hook_without_one_vector_per_token_is_refused(family: Callable[[str], TextSubject]) -> None:
    with pytest.raises(UserError, match=r"a change at the hook 'model.rotary_emb', but its output has shape"):
        family("llama").logits([[5, 6], [7, 8]], 2, {"model.rotary_emb": lambda hidden, _: hidden})


def test_a_change_that_is_never_made_is_refused(vlm: VisionLanguageSubject) -> None:
    with pytest.raises(UserError, match=r"the hook 'model.vision_tower', but .* the forward pass never calls it"):
        vlm.logits([[5, 6]], 2, {"model.vision_tower": lambda hidden, _: hidden})
