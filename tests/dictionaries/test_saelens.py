"""SAELens folders: every architecture against its formula written out here, and what is refused."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from autointerp.dictionaries import Dictionary, load_dictionary
from autointerp.errors import UserError
from tests.traps import Trap

D, WIDTH, OUT, N = 6, 10, 4, 40
Cfg = dict[str, Any]
Weights = dict[str, Tensor]
MODERN: Cfg = {"d_in": D, "d_sae": WIDTH, "metadata": {"hook_name": "blocks.1.hook_resid_post", "model_name": "tiny"}}


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = random(0, N, D) * 2 + 0.3


def weights(out: int = D) -> Weights:
    return {
        "W_enc": random(1, D, WIDTH),
        "b_enc": random(2, WIDTH) * 0.5 - 0.3,
        "W_dec": random(3, WIDTH, out),
        "b_dec": random(4, out),
    }


def write(path: Path, cfg: Cfg, tensors: Weights) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cfg.json").write_text(json.dumps(cfg))
    save_file(tensors, path / "sae_weights.safetensors")
    return path


def without(tensors: Weights, *names: str) -> Weights:
    return {name: value for name, value in tensors.items() if name not in names}


# ---- formulas, written out


def pre(w: Weights, x: Tensor = X, subtract: bool = True) -> Tensor:
    """Pre-activations [n, width], one dot product at a time."""
    centred = x - w["b_dec"] if subtract else x
    return torch.stack([torch.stack([row @ w["W_enc"][:, i] + w["b_enc"][i] for i in range(WIDTH)]) for row in centred])


def relu(h: Tensor) -> Tensor:
    return torch.where(h > 0, h, 0.0)


def linear(w: Weights, f: Tensor) -> Tensor:
    return torch.stack([sum(row[i] * w["W_dec"][i] for i in range(WIDTH)) + w["b_dec"] for row in f])


def largest(h: Tensor, k: int) -> Tensor:
    """The k largest of each row where they are positive, else 0."""
    f = torch.zeros_like(h)
    for row, values in enumerate(h.tolist()):
        for i in sorted(range(WIDTH), key=values.__getitem__, reverse=True)[:k]:
            f[row, i] = max(values[i], 0.0)
    return f


Case = tuple[Cfg, Weights, Tensor, Tensor]  # config, files, expected f, expected reconstruction


def standard() -> Case:
    w = weights()
    f = relu(pre(w))
    return {**MODERN, "architecture": "standard"}, w, f, linear(w, f)


def without_subtracting() -> Case:
    w = weights()
    f = relu(pre(w, subtract=False))
    return {**MODERN, "architecture": "standard", "apply_b_dec_to_input": False}, w, f, linear(w, f)


def jumprelu() -> Case:
    w = weights() | {"threshold": random(5, WIDTH).abs()}
    h = pre(w)
    f = torch.where(h > w["threshold"], relu(h), 0.0)
    return {**MODERN, "architecture": "jumprelu"}, w, f, linear(w, f)


def log_threshold() -> Case:
    w = weights() | {"log_threshold": random(5, WIDTH)}
    h = pre(w)
    f = torch.where(h > torch.exp(w["log_threshold"]), relu(h), 0.0)
    return {**MODERN, "architecture": "jumprelu"}, w, f, linear(w, f)


def batchtopk_saved_as_jumprelu() -> Case:
    w = weights() | {"threshold": torch.full((WIDTH,), 0.8)}
    h = pre(w)
    f = torch.where(h > 0.8, h, 0.0)
    return {**MODERN, "architecture": "batchtopk", "k": 3}, w, f, linear(w, f)


def scalar_topk_threshold() -> Case:
    w = weights() | {"topk_threshold": torch.tensor(0.8, dtype=torch.float64)}
    h = pre(w)
    f = torch.where(h > 0.8, h, 0.0)
    return {**MODERN, "architecture": "matryoshka_batchtopk", "k": 3}, w, f, linear(w, f)


def topk() -> Case:
    w = weights()
    f = largest(pre(w), 3)
    return {**MODERN, "architecture": "topk", "k": 3}, w, f, linear(w, f)


def topk_rescaled() -> Case:
    w = weights()
    norms = torch.stack([row.norm() for row in w["W_dec"]])
    f = largest(pre(w) * norms, 3)
    return (
        {**MODERN, "architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True},
        w,
        f,
        linear(w, f / norms),
    )


def gated() -> Case:
    w = without(weights(), "b_enc") | {
        "b_gate": random(6, WIDTH),
        "b_mag": random(7, WIDTH),
        "r_mag": random(8, WIDTH) * 0.3,
    }
    centred = X - w["b_dec"]
    gate = centred @ w["W_enc"] + w["b_gate"] > 0
    f = torch.where(gate, relu(centred @ (w["W_enc"] * torch.exp(w["r_mag"])) + w["b_mag"]), 0.0)
    return {**MODERN, "architecture": "gated"}, w, f, linear(w, f)


def transcoder() -> Case:
    w = weights(OUT)
    f = relu(pre(w, subtract=False))
    return {**MODERN, "architecture": "transcoder", "d_out": OUT}, w, f, linear(w, f)


def skip_transcoder() -> Case:
    w = weights(OUT) | {"W_skip": random(9, OUT, D)}
    f = relu(pre(w, subtract=False))
    skip = torch.stack([w["W_skip"] @ x for x in X])
    return {**MODERN, "architecture": "skip_transcoder", "d_out": OUT}, w, f, linear(w, f) + skip


def jumprelu_skip_transcoder() -> Case:
    w = weights(OUT) | {"W_skip": random(9, OUT, D), "threshold": random(5, WIDTH).abs()}
    h = pre(w, subtract=False)
    f = torch.where(h > w["threshold"], relu(h), 0.0)
    skip = torch.stack([w["W_skip"] @ x for x in X])
    return {**MODERN, "architecture": "jumprelu_skip_transcoder", "d_out": OUT}, w, f, linear(w, f) + skip


def transcoder_of_normalised_input() -> Case:
    w = weights(OUT)
    mean, deviation = X.mean(1, keepdim=True), X.std(1, keepdim=True)
    f = relu(pre(w, (X - mean) / (deviation + 1e-5), subtract=False))
    cfg = {**MODERN, "architecture": "transcoder", "d_out": OUT, "normalize_activations": "layer_norm"}
    return cfg, w, f, linear(w, f)  # what it writes was never normalised


def batchtopk_checkpoint_in_decoder_norm_units() -> Case:
    w = weights() | {"topk_threshold": torch.tensor(0.8, dtype=torch.float64)}
    norms = torch.stack([row.norm() for row in w["W_dec"]])
    h = pre(w) * norms
    f = torch.where(h > 0.8, h, 0.0)
    cfg = {**MODERN, "architecture": "batchtopk", "k": 3, "rescale_acts_by_decoder_norm": True}
    return cfg, w, f, linear(w, f / norms)


def finetuned() -> Case:
    w = weights() | {"scaling_factor": random(5, WIDTH) + 2}
    f = relu(pre(w))
    cfg = {**MODERN, "architecture": "standard", "finetuning_scaling_factor": True}
    return cfg, w, f, linear(w, f * w["scaling_factor"])


def layer_norm() -> Case:
    w = weights()
    mean = X.mean(1, keepdim=True)
    deviation = ((X - mean).square().sum(1, keepdim=True) / (D - 1)).sqrt()
    f = relu(pre(w, (X - mean) / (deviation + 1e-5)))
    cfg = {**MODERN, "architecture": "standard", "normalize_activations": "layer_norm"}
    return cfg, w, f, linear(w, f) * deviation + mean


def constant_norm() -> Case:
    w = weights()
    factor = D**0.5 / X.square().sum(1, keepdim=True).sqrt()
    f = relu(pre(w, X * factor))
    cfg = {**MODERN, "architecture": "standard", "normalize_activations": "constant_norm_rescale"}
    return cfg, w, f, linear(w, f) / factor


def old_flat_config() -> Case:
    w = weights()
    f = relu(pre(w))
    return (
        {"d_in": D, "d_sae": WIDTH, "hook_point": "blocks.1.hook_resid_post", "model_name": "tiny"},
        w,
        f,
        linear(w, f),
    )


def old_topk() -> Case:
    w = weights()
    f = largest(pre(w), 2)
    cfg: Cfg = {
        "d_in": D,
        "d_sae": WIDTH,
        "hook_point": "blocks.1.hook_resid_post",
        "activation_fn": "topk",
        "activation_fn_kwargs": {"k": 2},
        "normalize_activations": None,
    }
    return cfg, w, f, linear(w, f)


CASES: list[Callable[[], Case]] = [
    standard,
    without_subtracting,
    jumprelu,
    log_threshold,
    batchtopk_saved_as_jumprelu,
    scalar_topk_threshold,
    topk,
    topk_rescaled,
    gated,
    transcoder,
    skip_transcoder,
    jumprelu_skip_transcoder,
    transcoder_of_normalised_input,
    batchtopk_checkpoint_in_decoder_norm_units,
    finetuned,
    layer_norm,
    constant_norm,
    old_flat_config,
    old_topk,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.replace("_", " "))
def test_encode_and_decode_follow_the_formula(case: Callable[[], Case], tmp_path: Path) -> None:
    cfg, tensors, f, y = case()
    assert 0.05 < float((f > 0).float().mean()) < 0.8  # the case can tell apart what it is about
    dictionary = load_dictionary(write(tmp_path, cfg, tensors))
    found = dictionary.encode(X)
    torch.testing.assert_close(found, f, rtol=1e-5, atol=1e-6)
    assert torch.equal(found > 0, f > 0)
    torch.testing.assert_close(dictionary.decode(found, X), y, rtol=1e-5, atol=1e-5)
    assert dictionary.hook == "blocks.1.hook_resid_post"
    assert (dictionary.d_in, dictionary.width) == (D, WIDTH)


def test_layer_norm_is_undone_without_the_small_number_that_guards_it(tmp_path: Path) -> None:
    x = X * 1e-5  # where the guard is as large as the deviation
    cfg = {**MODERN, "architecture": "standard", "normalize_activations": "layer_norm"}
    dictionary = load_dictionary(write(tmp_path, cfg, weights()))
    mean, deviation = x.mean(1, keepdim=True), x.std(1, keepdim=True)
    f = relu(pre(weights(), (x - mean) / (deviation + 1e-5)))
    torch.testing.assert_close(dictionary.encode(x), f, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dictionary.decode(f, x), linear(weights(), f) * deviation + mean, rtol=1e-4, atol=1e-9)


def test_a_feature_exactly_at_its_threshold_is_silent(tmp_path: Path) -> None:
    tensors = {
        "W_enc": torch.eye(3),
        "b_enc": torch.zeros(3),
        "W_dec": torch.eye(3),
        "b_dec": torch.zeros(3),
        "threshold": torch.tensor([0.5, 0.5, 0.0]),
    }
    dictionary = load_dictionary(write(tmp_path, {"architecture": "jumprelu"}, tensors))
    above = float(torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)))
    assert dictionary.encode(torch.tensor([[0.5, above, 0.0]])).tolist() == [[0.0, above, 0.0]]


def test_topk_without_a_k_takes_the_librarys_hundred(tmp_path: Path) -> None:
    assert load_dictionary(write(tmp_path, {**MODERN, "architecture": "topk"}, weights())).k == 100


def test_weights_in_low_precision_are_read_as_float32(tmp_path: Path) -> None:
    tensors = {name: value.to(torch.bfloat16) for name, value in weights().items()}
    dictionary = load_dictionary(write(tmp_path, {**MODERN, "architecture": "standard"}, tensors))
    assert dictionary.W_enc.dtype == dictionary.encode(X).dtype == torch.float32
    assert "bfloat16" in dictionary.convention["stored as"]


def test_the_convention_says_how_the_files_were_read(tmp_path: Path) -> None:
    cfg, tensors, _, _ = log_threshold()
    convention = load_dictionary(write(tmp_path / "a", cfg, tensors)).convention
    assert convention["threshold"] == "exp(log_threshold)"
    assert convention["b_dec"] == "subtracted from the input"
    cfg, tensors, _, _ = transcoder()
    dictionary = load_dictionary(write(tmp_path / "b", cfg, tensors))
    assert dictionary.transcoder
    assert dictionary.convention["b_dec"] == "not subtracted from the input"


@pytest.mark.parametrize("value", ["expected_average_only_in", True])
def test_a_normalisation_whose_factor_is_not_in_the_files_is_warned_of(value: Any, tmp_path: Path) -> None:
    cfg = {**MODERN, "architecture": "standard", "normalize_activations": value}
    dictionary = load_dictionary(write(tmp_path, cfg, weights()))
    assert "must have been folded in" in dictionary.convention["warning"]
    torch.testing.assert_close(dictionary.encode(X), relu(pre(weights())), rtol=1e-5, atol=1e-6)


def test_a_checkpoint_trained_on_scaled_input_is_folded_to_raw_input_where_the_scale_lies_beside_it(
    tmp_path: Path,
) -> None:
    """f and the reconstruction of x are those of the weights as they stand on 0.4 x, the latter divided by 0.4."""
    cfg = {**MODERN, "architecture": "standard"}
    inner = load_dictionary(write(tmp_path / "a", cfg, weights()))
    path = write(tmp_path / "b", {**cfg, "normalize_activations": "expected_average_only_in"}, weights())
    (path / "activation_scaler.json").write_text('{"scaling_factor": 0.4, "has_whitening": false}')
    outer = load_dictionary(path)
    f = inner.encode(0.4 * X)
    torch.testing.assert_close(outer.encode(X), f, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outer.decode(f), inner.decode(f) / 0.4, rtol=1e-5, atol=1e-5)
    assert "warning" not in outer.convention and "times 0.4" in outer.convention["scale"]
    (path / "activation_scaler.json").write_text('{"scaling_factor": null}')
    assert "must have been folded in" in load_dictionary(path).convention["warning"]


@pytest.mark.parametrize(
    ("cfg", "l0"),
    [
        ({"architecture": "batchtopk", "k": 3}, 3),
        ({"architecture": "batchtopk", "k": 2.5}, 2.5),
        ({"metadata": {"training_architecture": "batchtopk", "training_architecture_details": {"k": 7}}}, 7),
        ({"metadata": {"training_architecture": "jumprelu", "training_architecture_details": {"k": 7}}}, None),
        ({}, None),
    ],
)
def test_what_was_trained_as_batchtopk_still_says_how_many_fire(cfg: Cfg, l0: float | None, tmp_path: Path) -> None:
    tensors = weights() | {"threshold": torch.full((WIDTH,), 0.8)}
    assert load_dictionary(write(tmp_path, {**MODERN, "architecture": "jumprelu", **cfg}, tensors)).expected_l0 == l0


def test_a_feature_without_a_decoder_row_does_not_spoil_the_others(tmp_path: Path) -> None:
    tensors = changed("W_dec", lambda w: w * (torch.arange(WIDTH) != 3)[:, None])
    cfg = {**MODERN, "architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}
    f = load_dictionary(write(tmp_path, cfg, tensors)).encode(X)
    assert bool((f[:, 3] == 0).all()) and int((f > 0).sum()) > 50


def test_the_sites_beyond_the_hook_are_said(tmp_path: Path) -> None:
    flat, every = (
        {"metadata": None, "hook_point": "blocks.1.attn.hook_z"},
        "all in one vector, head after head (hook_z)",
    )
    cases: list[tuple[Cfg, dict[str, str]]] = [
        ({"reshape_activations": "hook_z"}, {"heads": every}),
        (flat, {"heads": every}),
        ({**flat, "hook_point_head_index": 0}, {"heads": "head 0 alone"}),
        ({"metadata": {"hook_name": "in", "hook_name_out": "out"}}, {"writes": "out"}),
        ({}, {}),
    ]
    for i, (cfg, notes) in enumerate(cases):
        convention = load_dictionary(write(tmp_path / f"{i}", {**MODERN, **cfg}, weights())).convention
        assert {key: convention[key] for key in ("heads", "writes") if key in convention} == notes


def test_a_scaling_factor_of_ones_is_dropped(tmp_path: Path) -> None:
    tensors = weights() | {"scaling_factor": torch.ones(WIDTH)}
    dictionary = load_dictionary(write(tmp_path, {**MODERN, "architecture": "standard"}, tensors))
    torch.testing.assert_close(dictionary.encode(X), relu(pre(weights())), rtol=1e-5, atol=1e-6)


def test_an_architecture_left_empty_means_standard(tmp_path: Path) -> None:
    dictionary = load_dictionary(write(tmp_path, {**MODERN, "architecture": None}, weights()))
    assert dictionary.activation == "relu"


# ---- refusals


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Weights:
    return weights() | {name: change(weights()[name]).contiguous()}


def with_nan(value: Tensor) -> Tensor:
    value = value.clone()
    value.view(-1)[-1] = torch.nan
    return value


STANDARD, JUMP = {"architecture": "standard"}, {"architecture": "jumprelu"}
TRANSPOSED = weights() | {name: weights()[name].T.contiguous() for name in ("W_enc", "W_dec")}


@pytest.mark.parametrize(
    ("cfg", "tensors", "sentence"),
    [
        (STANDARD, without(weights(), "W_dec"), r"needs W_dec; it holds \['W_enc', 'b_dec', 'b_enc'\]"),
        (STANDARD, without(weights(), "b_enc"), "a standard dictionary needs b_enc"),
        (JUMP, weights(), "a jumprelu dictionary needs a threshold"),
        ({"architecture": "gated"}, weights(), "a gated dictionary needs b_gate"),
        (STANDARD, changed("b_enc", lambda b: b[:-1]), r"its b_enc has shape \[9\]"),
        (STANDARD, changed("W_dec", lambda w: w[:, :-1]), r"its b_dec has shape \[6\]"),
        (STANDARD, TRANSPOSED, r"its b_enc has shape \[10\]"),
        ({**STANDARD, "d_in": D}, TRANSPOSED, "cfg.json says d_in = 6 and W_enc has 10"),
        ({**STANDARD, "d_sae": 99}, weights(), "cfg.json says d_sae = 99 and W_enc has 10"),
        (STANDARD, changed("W_dec", with_nan), "its W_dec holds NaN or infinity"),
        (JUMP, weights() | {"threshold": with_nan(random(5, WIDTH).abs())}, "its threshold holds NaN"),
        (JUMP, weights() | {"threshold": torch.full((WIDTH,), -1.0)}, "its threshold is negative"),
        (
            {"architecture": "batchtopk"},
            weights() | {"topk_threshold": torch.tensor(-1.0)},
            "its threshold is negative",
        ),
        (STANDARD, weights() | {"scaling_factor": random(5, WIDTH)}, "a scaling_factor that is not all ones"),
        ({"architecture": "temporal"}, weights(), "its architecture is 'temporal'"),
        ({"architecture": "abstopk", "k": 3}, weights(), "its architecture is 'abstopk': use standard, jumprelu"),
        ({"architecture": "matching_pursuit"}, weights(), "its architecture is 'matching_pursuit'"),
        ({**STANDARD, "activation_fn_str": "tanh-relu"}, weights(), "its activation function is 'tanh-relu'"),
        ({"architecture": "gated", "activation_fn_str": "topk"}, weights(), "its activation function is 'topk'"),
        ({**STANDARD, "normalize_activations": "covariance_whitening"}, weights(), "use none, layer_norm"),
        ({"architecture": "topk", "k": 2.5}, weights(), r"its k is 2\.5"),
        (
            {**STANDARD, "finetuning_scaling_factor": True},
            weights() | {"scaling_factor": random(5, D)},
            r"its scaling factor has shape \[6\], not \[10\]",
        ),
        (
            {"architecture": "batchtopk", "k": 3},
            weights() | {"topk_threshold": torch.tensor(0.0, dtype=torch.float64)},
            "its topk_threshold is 0, which marks one that was never set",
        ),
        (
            {"architecture": "gated"},
            weights() | {"b_gate": random(6, WIDTH), "b_mag": random(7, WIDTH), "r_mag": random(8, 2)},
            r"its r_mag has shape \[2\]",
        ),
        ({**STANDARD, "normalize_activations": "whiten"}, weights(), "it normalises its input by 'whiten'"),
    ],
)
def test_files_that_would_be_misread_are_refused(cfg: Cfg, tensors: Weights, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(write(tmp_path, cfg, tensors))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cfg.json", b"{'single': 'quotes'}", "cfg.json is not JSON"),
        ("cfg.json", b"\xff\xfe", "cfg.json is not JSON"),
        ("cfg.json", b"[]", "cfg.json is not a JSON object"),
        ("sae_weights.safetensors", b"", "sae_weights.safetensors is not readable"),
        ("sae_weights.safetensors", b"\x10" * 100, "sae_weights.safetensors is not readable"),
        ("sae_weights.safetensors", None, "sae_weights.safetensors is not readable"),
    ],
    ids=["not JSON", "not UTF-8", "no object", "empty weights", "no safetensors", "cut off"],
)
def test_damaged_files_are_refused_by_name(name: str, content: bytes | None, sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path, {**MODERN, **STANDARD}, weights()) / name
    path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    with pytest.raises(UserError, match=sentence):
        load_dictionary(tmp_path)


# ---- detection


@pytest.mark.parametrize("name", ["ae.pt", "sae_weights.pkl", "sae_weights.safetensors", "model.bin"])
def test_a_pickle_in_the_folder_is_never_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "cfg.json").write_text("{}")
    (tmp_path / "d" / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(UserError):
        load_dictionary(tmp_path / "d")
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_beside_good_files_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "d", {**MODERN, **STANDARD}, weights())
    (tmp_path / "d" / "optimizer.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert isinstance(load_dictionary(tmp_path / "d"), Dictionary)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["gemma-scope", "sparsify-topk", "x"])
def test_the_format_is_detected_by_files_and_not_by_name(name: str, tmp_path: Path) -> None:
    assert load_dictionary(write(tmp_path / name, {**MODERN, **STANDARD}, weights())).convention["format"] == "SAELens"


def test_a_folder_of_no_known_format_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "saelens"
    folder.mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        load_dictionary(folder)
    (folder / "params.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"params\.npz"):
        load_dictionary(folder)
    with pytest.raises(UserError, match="a single file"):
        load_dictionary(folder / "params.npz")
    with pytest.raises(UserError, match="there is no such folder"):
        load_dictionary(tmp_path / "nowhere")
