"""Files of openai/sparse_autoencoder: what the real library's fixtures do not reach, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError

FIXTURES = Path(__file__).parent / "fixtures"
X = load_file(FIXTURES / "openai_topk" / "expected.safetensors")["x"]
Entries = dict[str, Any]


def written(path: Path, kind: str = "topk", change: Callable[[Entries], Any] = lambda _: None) -> Path:
    raw: Entries = dict(torch.load(FIXTURES / f"openai_{kind}" / "dictionary.pt", weights_only=True))
    change(raw)
    torch.save(raw, path)
    return path


def put(name: str, value: Any) -> Callable[[Entries], None]:
    return lambda raw: raw.__setitem__(name, value)


def drop(*names: str) -> Callable[[Entries], Any]:
    return lambda raw: [raw.pop(name) for name in names]


def test_the_fixtures_hold_entries_that_are_no_tensors() -> None:
    raw = torch.load(FIXTURES / "openai_topk" / "dictionary.pt", weights_only=True)
    assert raw["activation"] == "TopK"
    assert dict(raw["activation_state_dict"]) == {"k": 5, "postact_fn": "ReLU"}


def test_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    for name in ("autoencoder.pt", "7", "sae.bin"):
        assert load_dictionary(written(tmp_path / name)).convention["format"] == "openai/sparse_autoencoder"


def test_the_old_form_of_checkpoint_is_read_too(tmp_path: Path) -> None:
    raw = torch.load(FIXTURES / "openai_topk" / "dictionary.pt", weights_only=True)
    torch.save(raw, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found, expected = load_dictionary(tmp_path / "old.pt"), load_dictionary(FIXTURES / "openai_topk" / "dictionary.pt")
    assert torch.equal(found.encode(X), expected.encode(X))


def test_only_topk_normalises_and_subtracts_after_it(tmp_path: Path) -> None:
    dictionary = load_dictionary(written(tmp_path / "a"))
    assert dictionary.input_norm == "layer_norm"
    assert dictionary.convention["b_dec"] == "subtracted from the input, after normalising it"
    torch.testing.assert_close(dictionary.encode(X * 3 + 7), dictionary.encode(X), rtol=1e-3, atol=1e-4)
    assert load_dictionary(written(tmp_path / "b", "relu")).input_norm == "none"


def test_a_state_dict_that_names_no_activation_is_relu(tmp_path: Path) -> None:
    dictionary = load_dictionary(written(tmp_path / "a", "relu", drop("activation", "activation_state_dict")))
    assert (dictionary.activation, dictionary.input_norm) == ("relu", "none")


def test_buffers_may_be_missing(tmp_path: Path) -> None:
    change = drop("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
    assert load_dictionary(written(tmp_path / "a", "topk", change)).k == 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("activation", "Identity"), "its activation is 'Identity'"),
        (put("activation", "JumpReLU"), "its activation is 'JumpReLU'"),
        (drop("activation_state_dict"), "lacks k or postact_fn"),
        (put("activation_state_dict", {"k": 5}), "lacks k or postact_fn"),
        (put("activation_state_dict", {"k": 0, "postact_fn": "ReLU"}), "its k is 0"),
        (put("activation_state_dict", {"k": 5, "postact_fn": "Tanh"}), "its TopK applies 'Tanh'"),
        (drop("decoder.weight"), "needs decoder.weight; it holds"),
        (put("decoder.weight", torch.zeros(32, 16)), r"its W_dec has shape \[16, 32\]"),
        (put("encoder.weight", torch.zeros(16)), r"its encoder.weight has shape \[16\] where a matrix"),
        (put("pre_bias", torch.full((16,), torch.inf)), "its b_dec holds NaN or infinity"),
    ],
)
def test_files_that_would_be_misread_are_refused(
    change: Callable[[Entries], Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(written(tmp_path / "sae.pt", "topk", change))
    assert str(tmp_path) in str(caught.value)


def test_a_checkpoint_of_other_tensors_is_of_no_known_format(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="fit no known format"):
        load_dictionary(tmp_path / "model.pt")
