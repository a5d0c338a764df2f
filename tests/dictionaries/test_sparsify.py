"""sparsify folders: what the real library's fixtures do not reach, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError

FIXTURES = Path(__file__).parent / "fixtures"


def changed(path: Path, fixture: str = "sparsify_topk", drop: str = "", **change: Any) -> Path:
    """A copy of a fixture with other settings, or with other tensors where the value is one."""
    shutil.copytree(FIXTURES / fixture / "dictionary", path)
    cfg, tensors = json.loads((path / "cfg.json").read_text()), load_file(path / "sae.safetensors")
    for name, value in change.items():
        if isinstance(value, Tensor):
            tensors[name.replace("encoder_", "encoder.")] = value
        else:
            cfg[name] = value
    tensors.pop(drop, None)
    (path / "cfg.json").write_text(json.dumps(cfg))
    save_file(tensors, path / "sae.safetensors")
    return path


def test_no_number_of_latents_means_the_expansion_factor(tmp_path: Path) -> None:
    cfg = json.loads((FIXTURES / "sparsify_topk" / "dictionary" / "cfg.json").read_text())
    assert (cfg["num_latents"], cfg["expansion_factor"]) == (0, 2)
    assert load_dictionary(FIXTURES / "sparsify_topk" / "dictionary").width == 32
    with pytest.raises(UserError, match=r"says 16 dimensions and 48 features, encoder.weight has 16 and 32"):
        load_dictionary(changed(tmp_path / "d", expansion_factor=3))


def test_normalize_decoder_does_not_decide_about_b_dec(tmp_path: Path) -> None:
    for i, value in enumerate((True, False)):
        assert load_dictionary(changed(tmp_path / f"{i}", normalize_decoder=value)).subtract_b_dec
        transcoder = changed(tmp_path / f"t{i}", "sparsify_transcoder", normalize_decoder=value)
        assert not load_dictionary(transcoder).subtract_b_dec


def test_the_hookpoint_is_the_name_of_the_folder_but_a_transcoder_reads_its_input(tmp_path: Path) -> None:
    assert load_dictionary(changed(tmp_path / "layers.3.mlp")).hook == "layers.3.mlp"
    assert load_dictionary(changed(tmp_path / "layers.3")).hook == "layers.3"
    assert load_dictionary(changed(tmp_path / "anything")).hook == ""
    transcoder = load_dictionary(changed(tmp_path / "layers.4.mlp", "sparsify_transcoder"))
    assert transcoder.transcoder and transcoder.hook == ""
    assert transcoder.convention["hook"].startswith("input of layers.4.mlp")
    assert "February 2025" in transcoder.convention["warning"]


def test_unknown_settings_are_ignored_and_missing_ones_have_the_librarys_values(tmp_path: Path) -> None:
    path = changed(tmp_path / "d", signed=False, something_new=3)
    cfg = json.loads((path / "cfg.json").read_text())
    (path / "cfg.json").write_text(json.dumps({k: v for k, v in cfg.items() if k not in ("k", "activation")}))
    dictionary = load_dictionary(path)
    assert (dictionary.k, dictionary.activation) == (32, "topk")


def test_low_precision_is_read_as_float32(tmp_path: Path) -> None:
    path = changed(tmp_path / "d")
    save_file(
        {k: v.to(torch.bfloat16) for k, v in load_file(path / "sae.safetensors").items()}, path / "sae.safetensors"
    )
    dictionary = load_dictionary(path)
    assert dictionary.W_enc.dtype == torch.float32 and "bfloat16" in dictionary.convention["stored as"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"activation": "relu"}, "its activation is 'relu'"),
        ({"activation": "groupmax", "k": 5}, "groupmax with k = 5 does not divide its 32 features"),
        ({"k": 0}, "its k is 0 where a positive whole number"),
        ({"k": "many"}, "its k is 'many'"),
        ({"k": 2.5}, r"its k is 2\.5"),
        ({"signed": True}, "its config says signed"),
        ({"skip_connection": True}, "there is no W_skip"),
        ({"expansion_factor": "two"}, "its expansion_factor is 'two'"),
        ({"d_in": 17}, "says 17 dimensions"),
        ({"num_latents": 33}, "33 features, encoder.weight has 16 and 32"),
        ({"drop": "W_dec"}, "a sparsify dictionary needs W_dec; it holds"),
        ({"W_dec": torch.zeros(16, 32)}, r"its W_dec has shape \[16, 32\]"),
        ({"W_dec": torch.zeros(16)}, r"its W_dec has shape \[16\] where a matrix"),
        ({"encoder_weight": torch.zeros(16, 32)}, "encoder.weight has 32 and 16"),
        ({"b_dec": torch.full((16,), torch.nan)}, "its b_dec holds NaN"),
    ],
)
def test_files_that_would_be_misread_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(changed(tmp_path / "d", **change))
    assert str(tmp_path) in str(caught.value)
