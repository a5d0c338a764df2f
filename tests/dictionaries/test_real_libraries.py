"""Dictionaries that the libraries wrote and ran themselves (fixtures/generate.py): our values against theirs."""

from dataclasses import replace

import pytest
import torch

from tests.dictionaries.formats import FIXTURES, VERSIONS, differences, read, table

TOLERANCE = 1e-5


def test_every_fixture_says_which_library_wrote_it() -> None:
    assert {path.name for path in FIXTURES.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(VERSIONS)


@pytest.mark.parametrize("name", VERSIONS)
def test_encode_and_decode_give_the_librarys_own_values(name: str) -> None:
    assert max(differences(name)) <= TOLERANCE
    dictionary, expected = read(name)
    assert torch.equal(dictionary.encode(expected["x"]) != 0, expected["f"] != 0)


def test_the_table_has_a_row_for_every_fixture_and_says_what_wrote_it() -> None:
    header, *lines = table().splitlines()
    assert len(lines) == len(VERSIONS)
    for line, wrote in zip(lines, VERSIONS.values(), strict=True):
        assert line.index(wrote["library"]) == header.index("written by")


@pytest.mark.parametrize("name", VERSIONS)
def test_the_sparse_paths_agree_with_the_dense_ones(name: str) -> None:
    dictionary, expected = read(name)
    x = expected["x"]
    f = dictionary.encode(x)
    rows, features, values = dictionary.encode_sparse(x)
    where = f.nonzero(as_tuple=True)
    assert torch.equal(rows, where[0]) and torch.equal(features, where[1]) and torch.equal(values, f[where])
    y = dictionary.decode_sparse(rows, features, values, len(x), x)
    torch.testing.assert_close(y, expected["y"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", VERSIONS)
def test_the_convention_says_how_every_format_was_read(name: str) -> None:
    convention = read(name)[0].convention
    assert {"format", "architecture", "activation", "b_dec", "input", "stored as", "activations"} <= set(convention)
    assert all(isinstance(value, str) and value for value in convention.values())
    assert "float32" in convention["stored as"]


@pytest.mark.parametrize("name", VERSIONS)
def test_only_dictionaries_said_to_be_signed_give_negative_values(name: str) -> None:
    dictionary, expected = read(name)
    assert bool((expected["f"] < 0).any()) == dictionary.signed == (name in ("saev_topk", "openai_topk_identity"))
    assert ("signed" in dictionary.convention["activation"]) == dictionary.signed


@pytest.mark.parametrize("wrong", ["subtract_b_dec", "input_norm", "signed", "W_skip", "transcoder"])
def test_the_comparison_sees_a_wrong_convention(wrong: str) -> None:
    """Otherwise agreement would say nothing: each reading that is easy to get wrong is far off in some fixture."""
    name, change = {
        "subtract_b_dec": ("saev_relu", {"subtract_b_dec": True}),
        "input_norm": ("openai_topk", {"input_norm": "none"}),
        "transcoder": ("saelens_transcoder_layer_norm", {"transcoder": False}),
        "signed": ("saev_topk", {"signed": False}),
        "W_skip": ("sparsify_skip_transcoder", {"W_skip": read("sparsify_skip_transcoder")[0].W_skip.T}),
    }[wrong]
    dictionary, expected = read(name)
    other = replace(dictionary, **change)
    y = other.decode(other.encode(expected["x"]), expected["x"])
    assert float((y - expected["y"]).abs().max()) > 1000 * TOLERANCE
