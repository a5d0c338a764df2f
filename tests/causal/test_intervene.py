"""Interventions against the literal road: encode, change the activation, decode, add the error."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autointerp.causal.intervene import Intervention, Reconstruction, ablate, clamp, place, scale
from autointerp.dictionaries import Dictionary, canonical
from autointerp.errors import UserError
from autointerp.subjects.subject import At
from autointerp.subjects.text import TextSubject

D, WIDTH, LENGTH = 16, 40, 9
HOOK, LATER = "model.layers.0.mlp", "model.layers.1.mlp"
CONTEXTS = [list(range(2, 2 + n)) for n in (9, 4, 7)]
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {},
    "jumprelu": {"threshold": torch.full((WIDTH,), 0.3)},
    "topk": {"k": 9},
    "signed topk": {"activation": "topk", "k": 32, "signed": True},
    "groupmax": {"k": 8},
    "gated": {"W_mag": torch.ones(D, WIDTH), "b_mag": torch.ones(WIDTH)},
}
CONVENTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "b_dec off the input": {"subtract_b_dec": True},
    "layer norm": {"input_norm": "layer_norm"},
    "layer norm, b_dec off": {"input_norm": "layer_norm", "subtract_b_dec": True},
    "norm rescale": {"input_norm": "constant_norm_rescale"},
    "unit rows": {"W_dec": torch.eye(WIDTH)[:, :D]},  # most rows are zero
}
patient = settings(deadline=None, max_examples=40)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(activation: str = "relu", **changes: Any) -> Dictionary:
    """Random weights, decoder rows of all lengths."""
    parts: dict[str, Any] = {
        "W_enc": random(1, D, WIDTH),
        "b_enc": 0.3 * random(2, WIDTH) - 0.1,
        "W_dec": random(3, WIDTH, D) * (0.2 + random(8, WIDTH, 1).abs()),
        "b_dec": random(4, D),
        "activation": activation,
        "convention": {},
    }
    return Dictionary(**parts | ACTIVATIONS[activation] | changes)


def transcoder(**changes: Any) -> Dictionary:
    return made(transcoder=True, W_skip=random(7, D, D), **changes)


def literal(dictionary: Dictionary, x: Tensor, y: Tensor, features: list[int], a: Tensor) -> Tensor:
    """y [d], reconstructed from x [d], with the activations a [m] of some features: one position, step by step."""
    f = dictionary.encode(x[None])
    error = y - dictionary.decode(f, x[None])[0]
    for feature, activation in zip(features, a, strict=True):
        norm = dictionary.W_dec[feature].norm()
        f[0, feature] = activation / norm if norm > 0 else 0
    return dictionary.decode(f, x[None])[0] + error


def everywhere(x: Tensor) -> At:
    return torch.arange(len(x))[:, None], torch.arange(x.shape[1])[None]


def apply(change: Intervention, x: Tensor, y: Tensor | None = None) -> Tensor:
    """What becomes of the output x [n, length, d], or of y where a transcoder writes it."""
    edits = list(change.edits().values())
    found = edits[0](x, everywhere(x))
    return found if len(edits) == 1 else edits[1](y, everywhere(x))


@pytest.fixture
def at(tiny_subject: TextSubject) -> Reconstruction:
    return place(tiny_subject, made(), HOOK)


# ---- x' = x + s (a' - a) d


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_change_is_what_encoding_changing_decoding_and_adding_the_error_gives(
    activation: str, convention: str, tiny_subject: TextSubject
) -> None:
    dictionary = made(activation, **CONVENTIONS[convention])
    at, x = place(tiny_subject, dictionary, HOOK), random(5, 3, LENGTH, D) + 1
    features, values = [3, 11, 12, 38], torch.tensor([2.0, 0.5, 0.0, 7.0])
    where = random(6, 3, LENGTH) > 0
    norms = dictionary.feature_norms[features]
    for change, wanted in (
        (clamp(at, features, values, where), lambda a: values),
        (scale(at, features, -3.0, where), lambda a: -3 * a),
        (ablate(at, features, where), lambda a: 0 * a),
    ):
        expected = x.clone()
        for row, position in where.nonzero().tolist():
            one = x[row, position]
            a = dictionary.encode(one[None])[0, features] * norms
            expected[row, position] = literal(dictionary, one, one, features, wanted(a))
        torch.testing.assert_close(apply(change, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
def test_a_transcoder_changes_what_it_adds_to_a_later_module(norm: str, tiny_subject: TextSubject) -> None:
    dictionary = transcoder(input_norm=norm)
    at = place(tiny_subject, dictionary, HOOK, LATER)
    x, y, features = random(5, 2, 3, D), random(6, 2, 3, D), [4, 9]
    found = apply(clamp(at, features, [3.0, 1.0]), x, y)
    for row in range(2):
        for position in range(3):
            expected = literal(dictionary, x[row, position], y[row, position], features, torch.tensor([3.0, 1.0]))
            torch.testing.assert_close(found[row, position], expected, rtol=1e-4, atol=1e-4)


def test_values_may_differ_by_context_and_by_feature(at: Reconstruction) -> None:
    x, features = random(5, 3, LENGTH, D), [1, 2]
    by_context = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    found = apply(clamp(at, features, by_context), x)
    for row, values in enumerate(by_context.tolist()):
        alone = apply(clamp(at, features, values), x[row : row + 1])
        torch.testing.assert_close(found[row : row + 1], alone)
    several = apply(clamp(at, [1], 1.0), apply(clamp(at, [2], 2.0), x[:1]))
    # Two clamps one after the other are not both at once: the second reads what the first wrote.
    assert not torch.allclose(several, found[:1])


@patient
@given(
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    convention=st.sampled_from(sorted(CONVENTIONS)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_an_activation_that_stays_changes_nothing(
    activation: str, convention: str, seed: int, data: st.DataObject, tiny_subject: TextSubject
) -> None:
    dictionary = made(activation, **CONVENTIONS[convention])
    at, x = place(tiny_subject, dictionary, HOOK), random(seed, 1, 1, D)
    a = dictionary.encode(x[0])[0] * dictionary.feature_norms
    features = data.draw(st.lists(st.integers(0, WIDTH - 1), min_size=1, max_size=5, unique=True))
    assert torch.equal(apply(clamp(at, features, a[features]), x), x)
    assert torch.equal(apply(scale(at, features, 1.0), x), x)
    silent = a.eq(0).nonzero()[:, 0].tolist()
    if silent:
        assert torch.equal(apply(ablate(at, silent), x), x)
        assert torch.equal(apply(scale(at, silent, 50.0), x), x)


@patient
@given(st.integers(1, 40), st.sampled_from(["relu", "topk"]))
def test_activations_of_some_features_do_not_depend_on_chunks(rows_at_once: int, activation: str) -> None:
    dictionary, x, features = made(activation), random(3, 23, D), torch.tensor([7, 0, 31])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "CHUNK_BYTES", 4 * WIDTH * rows_at_once)
        found = dictionary.activations(x, features)
    torch.testing.assert_close(found, (dictionary.encode(x) * dictionary.feature_norms)[:, features])
    assert dictionary.activations(x[:0], features).shape == (0, 3)


def test_half_precision_is_changed_only_where_it_is_asked_for(at: Reconstruction) -> None:
    x = random(5, 1, LENGTH, D).bfloat16()
    where = torch.zeros(1, LENGTH, dtype=torch.bool)
    where[0, 2] = True
    found = apply(clamp(at, [5], 9.0, where), x)
    assert found.dtype == torch.bfloat16
    assert (found != x).any(dim=2).tolist() == where.tolist()


# ---- inside the subject


def test_losses_logits_and_generation_run_on_the_changed_output(at: Reconstruction) -> None:
    subject = at.subject
    where = torch.zeros(3, LENGTH + 4, dtype=torch.bool)
    where[0, 2:] = where[2, 8:] = True
    change = clamp(at, [5, 30], [40.0, 10.0], where)

    def by_hand(hidden: Tensor, index: At) -> Tensor:
        changed = hidden.clone()
        for row, context in enumerate(index[0][:, 0].tolist()):
            for place_in, position in enumerate(index[1][0].tolist()):
                if where[context, position]:
                    x = hidden[row, place_in]
                    changed[row, place_in] = literal(at.dictionary, x, x, [5, 30], torch.tensor([40.0, 10.0]))
        return changed

    slow = {at.writes: by_hand}
    for ask in (subject.losses, subject.logits):
        torch.testing.assert_close(
            ask(CONTEXTS, LENGTH, change.edits()), ask(CONTEXTS, LENGTH, slow), rtol=1e-4, atol=1e-5, equal_nan=True
        )
    plain = subject.logits(CONTEXTS, LENGTH, {})
    moved = (subject.logits(CONTEXTS, LENGTH, change.edits()) != plain).any(dim=1)
    assert moved.tolist() == [True, False, False]  # the third is 7 tokens long, and changes from the 9th on
    written = subject.generate(CONTEXTS, 4, change.edits())
    assert written == subject.generate(CONTEXTS, 4, slow)


def test_a_clamped_transcoder_is_the_same_with_and_without_a_cache(tiny_subject: TextSubject) -> None:
    at = place(tiny_subject, transcoder(), HOOK, LATER)
    change = clamp(at, [3, 8], [30.0, -20.0])
    with pytest.MonkeyPatch.context() as patch:
        cached = tiny_subject.generate(CONTEXTS, 6, change.edits())
        patch.setattr(tiny_subject.model.generation_config, "use_cache", False)
        assert tiny_subject.generate(CONTEXTS, 6, change.edits()) == cached
    assert cached != tiny_subject.generate(CONTEXTS, 6, {})


# ---- refusals


def test_what_cannot_be_placed_is_refused(tiny_subject: TextSubject) -> None:
    with pytest.raises(UserError, match=r"a transcoder that reads 'model.layers.0.mlp', but nothing says which module"):
        place(tiny_subject, transcoder(), HOOK)
    with pytest.raises(UserError, match=r"no transcoder, it reconstructs 'model.layers.0.mlp', which it reads"):
        place(tiny_subject, made(), HOOK, LATER)
    mute = TextSubject(tiny_subject.model.model, tiny_subject.tokenizer, "headless")
    with pytest.raises(UserError, match="'headless' says next, but it predicts no tokens"):
        place(mute, made(), "layers.0")
    assert place(tiny_subject, made(), "layers.0.mlp", HOOK).writes == HOOK


def test_wrong_features_and_sizes_are_refused(at: Reconstruction) -> None:
    with pytest.raises(UserError, match="the dictionary has no feature 40 among its 40"):
        ablate(at, [3, 40])
    with pytest.raises(UserError, match="no feature -1 among"):
        ablate(at, [-1])
    with pytest.raises(UserError, match="one of them is there twice"):
        clamp(at, [3, 3], 1.0)
    wide = replace(at, reads="model.layers.0.mlp.gate_proj", writes="model.layers.0.mlp.gate_proj")
    with pytest.raises(UserError, match="they put out 32 and 32 dimensions where it has 16 and 16"):
        at.subject.logits([[5]], 1, ablate(wide, [3]).edits())


def test_a_transcoder_that_writes_before_it_reads_is_refused(tiny_subject: TextSubject) -> None:
    at = place(tiny_subject, transcoder(), LATER, HOOK)
    with pytest.raises(UserError, match="the subject calls the second before the first"):
        tiny_subject.logits([[5]], 1, ablate(at, [3]).edits())
