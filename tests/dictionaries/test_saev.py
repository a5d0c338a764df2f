"""saev files: old schemas, signed values, and what is refused.

No release writes schema 1, so those files are made here from the fixtures and the expected values are written out.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from tests.traps import Trap

FIXTURES = Path(__file__).parent / "fixtures"
X = load_file(FIXTURES / "saev_topk" / "expected.safetensors")["x"]
Header = dict[str, Any]


def parts(kind: str) -> tuple[Header, Header]:
    """The header and the tensors of a fixture."""
    with (FIXTURES / f"saev_{kind}" / "dictionary" / "sae.pt").open("rb") as handle:
        head: Header = json.loads(handle.readline())
        return head, torch.load(io.BytesIO(handle.read()), weights_only=True)


def written(path: Path, kind: str = "topk", change: Callable[[Header, Header], Any] = lambda h, t: None) -> Path:
    head, tensors = parts(kind)
    change(head, tensors)
    with path.open("wb") as handle:
        handle.write(json.dumps(head).encode() + b"\n")
        torch.save(tensors, handle)
    return path


def test_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    for name in ("sae.pt", "other", "x.safetensors"):
        assert load_dictionary(written(tmp_path / name)).convention["format"] == "saev"


def test_topk_keeps_exactly_k_of_any_sign() -> None:
    dictionary = load_dictionary(FIXTURES / "saev_topk" / "dictionary")
    f = dictionary.encode(X)
    assert dictionary.signed and (f != 0).sum(1).tolist() == [24] * len(X)
    assert bool((f < 0).any())
    values = dictionary.encode_sparse(X)[2]
    assert int((values < 0).sum()) == int((f < 0).sum()) and len(values) == 24 * len(X)


@pytest.mark.parametrize("threshold", [0.0, -0.5])
def test_a_threshold_that_is_not_positive_means_above_zero(threshold: float, tmp_path: Path) -> None:
    def change(head: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["activation.threshold"].fill_(threshold)

    dictionary = load_dictionary(written(tmp_path / "sae.pt", "batch_topk", change))
    weights = parts("batch_topk")[1]
    hidden = X @ weights["W_enc"] + weights["b_enc"]
    torch.testing.assert_close(dictionary.encode(X), torch.where(hidden > 0, hidden, 0.0))
    assert "not set" in dictionary.convention["threshold"]


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_earlier_schemas_that_describe_their_activation_are_read_alike(schema: int, tmp_path: Path) -> None:
    def change(head: dict[str, Any], tensors: dict[str, Any]) -> None:
        head.update(schema=schema, cls="SparseAutoencoderConfig")

    dictionary = load_dictionary(written(tmp_path / "sae.pt", "topk", change))
    assert torch.equal(dictionary.encode(X), load_dictionary(FIXTURES / "saev_topk" / "dictionary").encode(X))
    assert not dictionary.subtract_b_dec


@pytest.mark.parametrize("kind", ["Relu", "TopK"])
def test_schema_1_with_the_activation_as_class_was_written_with_b_dec_subtracted(kind: str, tmp_path: Path) -> None:
    def old(head: Header, tensors: Header) -> None:
        head.update(schema=1, cls=kind, cfg={"d_vit": 16, "exp_factor": 2, "top_k": 24})

    dictionary = load_dictionary(written(tmp_path / "sae.pt", "relu", old))
    weights = parts("relu")[1]
    hidden = (X - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    kth = hidden.sort(dim=1, descending=True).values[:, 23:24]
    expected = hidden.relu() if kind == "Relu" else torch.where(hidden >= kth, hidden, 0.0)
    torch.testing.assert_close(dictionary.encode(X), expected)
    assert "as its writer ran it" in dictionary.convention["warning"]


def test_a_file_without_a_schema_is_relu_with_b_dec_subtracted() -> None:
    head = parts("first")[0]
    assert "schema" not in head and head["d_vit"] == 16
    dictionary = load_dictionary(FIXTURES / "saev_first" / "dictionary" / "sae.pt")
    assert dictionary.subtract_b_dec and dictionary.activation == "relu"


def activation(**change: Any) -> Callable[[Header, Header], Any]:
    return lambda head, tensors: head["cfg"]["activation"].update(change)


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("topk", lambda h, t: h.update(schema=6), "its schema is 6"),
        ("topk", lambda h, t: h.update(schema="5"), "its schema is '5'"),
        ("topk", lambda h, t: h.pop("cfg"), "its header has no cfg"),
        ("topk", lambda h, t: h["cfg"].pop("activation"), "its activation is None"),
        ("topk", activation(cls="JumpRelu"), "its activation is 'JumpRelu'"),
        ("topk", activation(params=None), "its activation is 'TopK'"),
        ("topk", activation(params={"top_k": -3}), "its top_k is -3"),
        ("batch_topk", lambda h, t: t.pop("activation.threshold"), r"needs activation\.threshold; it holds"),
        ("batch_topk", lambda h, t: t.update({"activation.threshold": torch.zeros(2)}), "where one number is expected"),
        ("batch_topk", lambda h, t: t["activation.threshold"].fill_(torch.nan), "where one number is expected"),
        ("topk", lambda h, t: t.pop("W_dec"), "a saev dictionary needs W_dec; it holds"),
        ("topk", lambda h, t: t.update(W_enc=torch.zeros(32, 16)), r"its W_dec has shape \[32, 16\]"),
        ("topk", lambda h, t: t.update(W_dec=torch.zeros(16)), r"its W_dec has shape \[16\] where a matrix"),
    ],
)
def test_files_that_would_be_misread_are_refused(
    kind: str, change: Callable[[Header, Header], Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(written(tmp_path / "sae.pt", kind, change))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[1]\n", b"\x80\x02}", b"{" * 3_000_000, b"[" * 500_000])
def test_a_folder_whose_file_has_no_such_header_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "sae.pt").write_bytes(content)
    with pytest.raises(UserError, match="its first line is not the JSON header"):
        load_dictionary(tmp_path)


def test_what_follows_the_header_is_not_unpickled(tmp_path: Path) -> None:
    def change(head: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors.update(more=Trap(tmp_path / "sprung"))

    with pytest.raises(UserError, match="reading that would run its code"):
        load_dictionary(written(tmp_path / "sae.pt", "topk", change))
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "sae.pt")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match="not readable as a torch checkpoint"):
        load_dictionary(path)
