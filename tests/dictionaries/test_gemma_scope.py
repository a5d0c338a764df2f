"""Gemma Scope files: what the fixtures do not reach, and what is refused."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from tests.traps import Trap

FIXTURES = Path(__file__).parent / "fixtures"
FIRST, SECOND = FIXTURES / "gemma_scope_1" / "dictionary", FIXTURES / "gemma_scope_2" / "dictionary"
X = load_file(FIXTURES / "gemma_scope_1" / "expected.safetensors")["x"]
Arrays = dict[str, Any]


def first(path: Path, drop: str = "", **change: Any) -> Path:
    """A copy of the first release's fixture with other arrays."""
    path.mkdir(parents=True)
    with np.load(FIRST / "params.npz") as archive:
        arrays: Arrays = {name: archive[name] for name in archive.files} | change
    arrays.pop(drop, None)
    np.savez(path / "params.npz", **arrays)
    return path


def second(path: Path, fixture: str = "gemma_scope_2", drop: str = "", **change: Any) -> Path:
    """A copy of a fixture of the second release with other settings, or other tensors where the value is one."""
    shutil.copytree(FIXTURES / fixture / "dictionary", path)
    config, tensors = json.loads((path / "config.json").read_text()), load_file(path / "params.safetensors")
    for name, value in change.items():
        (tensors if isinstance(value, Tensor) else config)[name] = value
    tensors.pop(drop, None)
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "params.safetensors")
    return path


def test_the_file_alone_gives_what_its_folder_gives(tmp_path: Path) -> None:
    for folder, file in ((FIRST, "params.npz"), (SECOND, "params.safetensors")):
        assert torch.equal(load_dictionary(folder).W_enc, load_dictionary(folder / file).W_enc)
    renamed = first(tmp_path / "d") / "params.npz"
    assert load_dictionary(renamed.rename(tmp_path / "other")).activation == "jumprelu"


def test_a_feature_exactly_at_its_threshold_is_silent(tmp_path: Path) -> None:
    eye, zeros = np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    threshold = np.full(3, 0.5, dtype=np.float32)
    dictionary = load_dictionary(
        first(tmp_path / "d", W_enc=eye, W_dec=eye, b_enc=zeros, b_dec=zeros, threshold=threshold)
    )
    above = float(torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)))
    x = torch.tensor([[0.5, above, -1.0]])
    assert dictionary.encode(x).tolist() == [[0.0, above, 0.0]]
    assert dictionary.encode_sparse(x)[1].tolist() == [1]


def test_b_dec_is_not_subtracted(tmp_path: Path) -> None:
    shifted = load_dictionary(first(tmp_path / "d", b_dec=np.full(16, 9, dtype=np.float32)))
    assert torch.equal(shifted.encode(X), load_dictionary(FIRST).encode(X))


def test_a_threshold_of_another_precision_is_read_as_float32(tmp_path: Path) -> None:
    dictionary = load_dictionary(first(tmp_path / "d", threshold=np.linspace(0, 1, 32)))
    assert dictionary.threshold is not None and dictionary.threshold.dtype == torch.float32


def test_the_mean_number_of_active_features_and_the_layer_stand_in_the_path(tmp_path: Path) -> None:
    inside = first(tmp_path / "layer_20" / "width_16k" / "average_l0_71")
    assert load_dictionary(inside).expected_l0 == load_dictionary(inside / "params.npz").expected_l0 == 71
    assert load_dictionary(inside).convention["hook"] == "layer 20, by its path"
    elsewhere = load_dictionary(first(tmp_path / "d"))
    assert elsewhere.expected_l0 is None and "hook" not in elsewhere.convention


def test_an_embedding_dictionary_says_what_it_reads(tmp_path: Path) -> None:
    path = first(tmp_path / "embedding" / "width_4k")
    assert "raw embedding table" in load_dictionary(path).convention["warning"]


def test_lower_case_keys_are_those_of_transcoders() -> None:
    assert load_dictionary(FIXTURES / "gemma_scope_1_transcoder" / "dictionary").transcoder
    assert not load_dictionary(FIRST).transcoder


def test_a_scaling_factor_of_ones_is_dropped(tmp_path: Path) -> None:
    dictionary = load_dictionary(first(tmp_path / "d", scaling_factor=np.ones(32, dtype=np.float32)))
    assert torch.equal(dictionary.encode(X), load_dictionary(FIRST).encode(X))


def test_the_second_release_names_the_module_whose_output_it_reads(tmp_path: Path) -> None:
    assert load_dictionary(SECOND).hook == "model.layers.3"
    heads = load_dictionary(second(tmp_path / "d", hf_hook_point_in="model.layers.3.self_attn.o_proj.input"))
    assert heads.hook == "" and "o_proj.input" in heads.convention["hook"]
    transcoder = load_dictionary(FIXTURES / "gemma_scope_2_transcoder" / "dictionary")
    assert transcoder.transcoder and transcoder.hook == "model.layers.3.pre_feedforward_layernorm"
    assert "writes model.layers.3.post_feedforward_layernorm.output" in transcoder.convention["hook"]


def test_a_cross_layer_transcoder_is_summed_over_its_layers_and_says_so(tmp_path: Path) -> None:
    """No library runs these files as they lie here, so the sum is written out."""
    w_dec = torch.randn(32, 5, 12, generator=torch.Generator().manual_seed(1))
    path = second(tmp_path / "d", "gemma_scope_2_transcoder", w_dec=w_dec)
    dictionary = load_dictionary(path)
    f = dictionary.encode(X)
    b_dec = load_file(path / "params.safetensors")["b_dec"]
    expected = sum(f @ w_dec[:, layer] for layer in range(5)) + b_dec
    torch.testing.assert_close(dictionary.decode(f), expected, rtol=1e-5, atol=1e-5)
    assert dictionary.transcoder and "sum over 5 layers" in dictionary.convention["warning"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"drop": "threshold"}, "a Gemma Scope dictionary needs threshold; it holds"),
        ({"drop": "W_enc"}, "needs W_enc"),
        ({"W_enc": np.zeros((32, 16), np.float32)}, r"its W_dec has shape \[32, 16\]"),
        ({"W_dec": np.zeros((2, 32, 16), np.float32)}, r"its W_dec has shape \[2, 32, 16\] where a matrix"),
        ({"threshold": np.zeros(1, np.float32)}, r"its threshold has shape \[1\]"),
        ({"threshold": np.full(32, np.nan, np.float32)}, "its threshold holds NaN"),
        ({"scaling_factor": np.full(32, 2, np.float32)}, "a scaling_factor that is not all ones"),
        ({"b_enc": np.array([{}] * 32, dtype=object)}, "params.npz is not readable as plain arrays .*allow_pickle"),
    ],
)
def test_files_of_the_first_release_that_would_be_misread_are_refused(
    change: Arrays, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(first(tmp_path / "d", **change))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("fixture", "change", "sentence"),
    [
        ("gemma_scope_2", {"architecture": "topk"}, "its architecture is 'topk'"),
        ("gemma_scope_2", {"affine_connection": True}, "there is no affine_skip_connection"),
        ("gemma_scope_2", {"drop": "threshold"}, "needs threshold"),
        ("gemma_scope_2", {"w_dec": torch.zeros(16, 32)}, r"its W_dec has shape \[16, 32\]"),
        ("gemma_scope_2_skip", {"affine_skip_connection": torch.zeros(12, 16)}, r"its W_skip has shape \[12, 16\]"),
        ("gemma_scope_2_transcoder", {"hf_hook_point_out": None}, "reads 16 dimensions and writes 12"),
    ],
)
def test_files_of_the_second_release_that_would_be_misread_are_refused(
    fixture: str, change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        load_dictionary(second(tmp_path / "d", fixture, **change))


def test_the_second_release_needs_its_config(tmp_path: Path) -> None:
    path = second(tmp_path / "d")
    (path / "config.json").unlink()
    for what in (path, path / "params.safetensors"):
        with pytest.raises(UserError, match=r"there is no config\.json beside it"):
            load_dictionary(what)


def test_no_pickle_inside_or_instead_of_an_archive_is_read(tmp_path: Path) -> None:
    inside = first(tmp_path / "a", extra=np.array([Trap(tmp_path / "sprung")], dtype=object))
    instead = first(tmp_path / "b")
    (instead / "params.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for what in (inside, inside / "params.npz", instead, instead / "params.npz"):
        with pytest.raises(UserError):
            load_dictionary(what)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", None])
def test_a_damaged_archive_is_refused_by_name(content: bytes | None, tmp_path: Path) -> None:
    path = first(tmp_path / "d") / "params.npz"
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    with pytest.raises(UserError, match=r"params\.npz is not readable"):
        load_dictionary(path.parent)
    with pytest.raises(UserError, match="a single file"):
        load_dictionary(path)
