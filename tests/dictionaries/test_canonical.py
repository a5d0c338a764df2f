"""The canonical form: sparse against dense, units that no library's scaling changes, weights that contradict."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autointerp.dictionaries import canonical
from autointerp.dictionaries.canonical import Dictionary, check_shapes
from autointerp.errors import UserError

D, WIDTH = 5, 12
patient = settings(deadline=None, max_examples=40)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(activation: str = "relu", **changes: Any) -> Dictionary:
    """A random dictionary of one activation, with some b_dec and some bias that silences half of the features."""
    parts: dict[str, Any] = {
        "W_enc": random(1, D, WIDTH),
        "b_enc": random(2, WIDTH) - 0.5,
        "W_dec": random(3, WIDTH, D),
        "b_dec": random(4, D),
        "activation": activation,
        "convention": {},
    }
    parts |= {
        "jumprelu": {"threshold": random(5, WIDTH).abs()},
        "topk": {"k": 3},
        "signed topk": {"activation": "topk", "k": 9, "signed": True},
        "groupmax": {"k": 4},
        "gated": {"W_mag": random(6, D, WIDTH), "b_mag": random(7, WIDTH)},
    }.get(activation, {})
    return Dictionary(**parts | changes)


ACTIVATIONS = ["relu", "jumprelu", "topk", "signed topk", "groupmax", "gated"]
NORMS = ["none", "layer_norm", "constant_norm_rescale"]


# ---- sparse and dense


@pytest.mark.filterwarnings("ignore:std")  # of no rows
@patient
@given(
    activation=st.sampled_from(ACTIVATIONS),
    norm=st.sampled_from(NORMS),
    n=st.integers(0, 9),
    rows_at_once=st.integers(0, 10),
)
def test_encode_sparse_gives_the_nonzeros_of_encode_for_any_chunk_size(
    activation: str, norm: str, n: int, rows_at_once: int
) -> None:
    dictionary, x = made(activation, input_norm=norm), random(n, n, D)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "CHUNK_BYTES", 4 * WIDTH * rows_at_once)
        rows, features, values = dictionary.encode_sparse(x)
    f = dictionary.encode(x)
    expected = f.nonzero(as_tuple=True)
    assert torch.equal(rows, expected[0])
    assert torch.equal(features, expected[1])
    torch.testing.assert_close(values, f[expected])


def test_no_chunk_is_larger_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "CHUNK_BYTES", 4 * WIDTH * 3 + 1)
    sizes: list[int] = []
    dense = Dictionary._hidden
    monkeypatch.setattr(Dictionary, "_hidden", lambda self, x: sizes.append(len(x)) or dense(self, x))
    made().encode_sparse(random(0, 8, D))
    assert sizes == [3, 3, 2]


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk", "signed topk", "groupmax"])
def test_encode_sparse_never_makes_the_dense_values(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary, x = made(activation), random(0, 8, D)
    f = dictionary.encode(x)
    monkeypatch.delattr(Dictionary, "encode")
    rows, features, values = dictionary.encode_sparse(x)
    found = torch.zeros_like(f)
    found[rows, features] = values
    assert torch.equal(found, f)


def test_encode_sparse_treats_a_threshold_below_zero_as_zero() -> None:
    dictionary, x = made("jumprelu", threshold=random(5, WIDTH)), random(0, 30, D)
    f = dictionary.encode(x)
    assert torch.equal(torch.stack(dictionary.encode_sparse(x)[:2]), torch.stack(f.nonzero(as_tuple=True)))
    assert int(f.min()) == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_input_that_is_not_a_number_is_not_silent(activation: str) -> None:
    x = random(0, 3, D)
    x[1, 2] = torch.nan
    dictionary = made(activation)
    rows, _, values = dictionary.encode_sparse(x)
    assert bool(values[rows == 1].isnan().any()) and not bool(values[rows != 1].isnan().any())


def test_signed_topk_keeps_negative_values_and_groupmax_one_of_each_group() -> None:
    x = random(14, 20, D)
    f = made("signed topk").encode(x)
    assert (f != 0).sum(1).tolist() == [9] * 20 and bool((f < 0).any())
    dictionary = made("groupmax")
    f = dictionary.encode(x)
    hidden = x @ dictionary.W_enc + dictionary.b_enc
    for row, values in zip(f, hidden, strict=True):
        for group in range(4):
            part, found = values[3 * group : 3 * group + 3], row[3 * group : 3 * group + 3]
            assert float(found.max()) == max(float(part.max()), 0.0)
            assert int((found != 0).sum()) == int(part.max() > 0)


@pytest.mark.filterwarnings("ignore:std")  # of no rows
@patient
@given(
    norm=st.sampled_from(NORMS),
    skip=st.booleans(),
    fires=st.lists(st.lists(st.booleans(), min_size=WIDTH, max_size=WIDTH) | st.just([False] * WIDTH), max_size=6),
)
def test_decode_sparse_is_decode_even_where_nothing_fires(norm: str, skip: bool, fires: list[list[bool]]) -> None:
    n = len(fires)
    dictionary, x = made(input_norm=norm, W_skip=random(8, D, D) if skip else None), random(9, n, D)
    f = random(10, n, WIDTH).abs() * torch.tensor(fires).reshape(n, WIDTH)
    rows, features = f.nonzero(as_tuple=True)
    sparse = dictionary.decode_sparse(rows, features, f[rows, features], n, x)
    assert sparse.shape == (n, D)
    torch.testing.assert_close(sparse, dictionary.decode(f, x))


def test_rows_without_nonzeros_decode_to_the_bias_at_either_end() -> None:
    dictionary = made()
    found = dictionary.decode_sparse(torch.tensor([1]), torch.tensor([4]), torch.tensor([2.0]), 3)
    expected = torch.stack([dictionary.b_dec, dictionary.b_dec + 2 * dictionary.W_dec[4], dictionary.b_dec])
    torch.testing.assert_close(found, expected)


# ---- what a feature is


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "gated"])
def test_the_reported_activation_does_not_depend_on_who_holds_the_scale(activation: str) -> None:
    dictionary, x = made(activation, subtract_b_dec=True), random(11, 20, D)
    c = torch.rand(WIDTH, generator=torch.Generator().manual_seed(0)) * 9 + 0.1
    scaled = {"W_enc": dictionary.W_enc / c, "b_enc": dictionary.b_enc / c, "W_dec": dictionary.W_dec * c[:, None]}
    if activation == "jumprelu":
        scaled["threshold"] = dictionary.threshold / c
    if activation == "gated":
        scaled |= {"W_mag": dictionary.W_mag / c, "b_mag": dictionary.b_mag / c}
    other = replace(dictionary, **scaled)
    f = dictionary.encode(x)
    assert 0 < int((f > 0).sum()) < f.numel()
    torch.testing.assert_close(other.encode(x) * other.feature_norms, f * dictionary.feature_norms)
    torch.testing.assert_close(other.feature_vectors, dictionary.feature_vectors)
    torch.testing.assert_close(other.decode(other.encode(x)), dictionary.decode(f))


def test_activation_times_feature_vector_adds_to_the_reconstruction() -> None:
    dictionary, x = made("topk"), random(12, 6, D)
    f = dictionary.encode(x)
    torch.testing.assert_close(
        (f * dictionary.feature_norms) @ dictionary.feature_vectors + dictionary.b_dec, dictionary.decode(f)
    )
    torch.testing.assert_close(dictionary.feature_vectors.norm(dim=1), torch.ones(WIDTH))


def test_a_decoder_row_of_zeros_stays_zero() -> None:
    W_dec = random(3, WIDTH, D)
    W_dec[7] = 0
    vectors = made(W_dec=W_dec).feature_vectors
    assert bool((vectors[7] == 0).all())
    assert bool(torch.isfinite(vectors).all())


def test_topk_keeps_at_most_k_and_no_negative_value() -> None:
    dictionary, x = made("topk", b_enc=torch.full((WIDTH,), -1.5)), random(13, 50, D)
    f = dictionary.encode(x)
    assert int(f.min()) == 0
    assert set((f > 0).sum(1).tolist()) > {3}  # some rows have fewer than k above zero
    assert int((f > 0).sum(1).max()) == 3
    assert made("topk", k=WIDTH + 5).encode(x).shape == (50, WIDTH)


@pytest.mark.parametrize("changes", [{"input_norm": "layer_norm"}, {"input_norm": "constant_norm_rescale"}, "skip"])
def test_decode_says_when_it_needs_the_input(changes: dict[str, Any] | str) -> None:
    dictionary = made(W_skip=random(8, D, D)) if changes == "skip" else made(**changes)
    f = dictionary.encode(random(0, 2, D))
    with pytest.raises(ValueError, match=r"decode needs x: .* call decode\(f, x\)"):
        dictionary.decode(f)


def test_a_transcoder_does_not_undo_the_normalisation_of_what_it_reads() -> None:
    x = random(0, 3, D)
    dictionary = made(input_norm="layer_norm", transcoder=True)
    f = dictionary.encode(x)
    torch.testing.assert_close(dictionary.decode(f, x), f @ dictionary.W_dec + dictionary.b_dec)
    assert torch.equal(dictionary.decode(f, x), dictionary.decode(f))


def test_moving_a_dictionary_moves_every_tensor_and_nothing_else() -> None:
    dictionary = made("gated", hook="layers.3", k=4, W_skip=random(8, D, D))
    assert dictionary.feature_norms.device.type == "cpu"  # what was read of it before is read anew where it goes
    moved = dictionary.to("meta")
    tensors = dictionary.weights.keys()
    assert tensors >= {"W_enc", "b_enc", "W_dec", "b_dec", "W_mag", "b_mag", "W_skip"}
    assert all(getattr(moved, name).device.type == "meta" for name in tensors)
    assert moved.feature_norms.device.type == "meta"
    assert (moved.hook, moved.k, moved.width, moved.d_in) == ("layers.3", 4, WIDTH, D)


# ---- weights that contradict one another


@pytest.mark.parametrize(
    ("activation", "changes", "sentence"),
    [
        ("relu", {"W_dec": random(0, WIDTH + 1, D)}, r"its W_dec has shape \[13, 5\]"),
        ("relu", {"W_dec": random(0, D, WIDTH)}, r"its W_dec has shape \[5, 12\]"),
        ("relu", {"b_enc": random(0, D)}, r"its b_enc has shape \[5\]"),
        ("relu", {"b_dec": random(0, WIDTH)}, r"its b_dec has shape \[12\]"),
        ("jumprelu", {"threshold": random(0, 1)}, r"its threshold has shape \[1\]"),
        ("gated", {"b_mag": random(0, 1)}, r"its b_mag has shape \[1\]"),
        ("gated", {"W_mag": random(0, WIDTH, D)}, r"its W_mag has shape \[12, 5\]"),
        ("relu", {"W_skip": random(0, D, D + 1)}, r"its W_skip has shape \[5, 6\]"),
        ("relu", {"W_dec": random(0, WIDTH, 7), "b_dec": random(0, 7)}, "reads 5 dimensions and writes 7"),
        ("relu", {"b_enc": torch.full((WIDTH,), torch.nan)}, "its b_enc holds NaN or infinity"),
        ("jumprelu", {"threshold": torch.full((WIDTH,), torch.inf)}, "its threshold holds NaN or infinity"),
    ],
)
def test_contradictory_weights_are_refused_by_name(activation: str, changes: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        check_shapes(made(activation, **changes), "the/folder")
    assert "the/folder" in str(caught.value)


def test_a_transcoder_may_write_another_dimension_than_it_reads() -> None:
    dictionary = made(W_dec=random(0, WIDTH, 7), b_dec=random(0, 7), W_skip=random(0, D, 7), transcoder=True)
    assert check_shapes(dictionary, "x") is dictionary
    x = random(1, 3, D)
    assert dictionary.decode(dictionary.encode(x), x).shape == (3, 7)
