from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.dictionaries import Dictionary
from autointerp.evidence import loudest


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["relu", "jumprelu", "topk"]), st.integers(1, 4))
def test_the_largest_activation_equals_a_dense_maximum(seed: int, kind: Any, n: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    W_enc, W_dec = torch.randn(5, 12, generator=rng), 3 * torch.randn(12, 5, generator=rng)
    dictionary = Dictionary(
        W_enc,
        torch.randn(12, generator=rng) - 1,
        W_dec,
        torch.zeros(5),
        kind,
        {},
        threshold=torch.rand(12, generator=rng) if kind == "jumprelu" else None,
        k=3 if kind == "topk" else None,
    )
    hidden, mask = torch.randn(n, 6, 5, generator=rng), torch.rand(n, 6, generator=rng) < 0.6
    mask[0] = False  # a text without a counted position
    owner = mask.nonzero()[:, 0].numpy()
    found = loudest.stacked([loudest.largest(dictionary, hidden[mask], owner)], n, 12).toarray()
    dense = dictionary.encode(hidden.flatten(0, 1)).view(n, 6, 12) * W_dec.norm(dim=1)
    for row in range(n):
        for feature in range(12):
            slow = max([0.0, *(float(dense[row, at, feature]) for at in range(6) if mask[row, at])])
            assert float(found[row, feature]) == pytest.approx(slow, rel=1e-5)


def test_texts_run_with_those_of_their_length_and_each_once() -> None:
    padded = [64, 32] * 70 + [96]
    found = list(loudest.batches(padded))
    assert sorted(at for _, batch in found for at in batch) == list(range(len(padded)))
    assert all(padded[at] == length for length, batch in found for at in batch)
    assert max(len(batch) for _, batch in found) == loudest.TEXTS_AT_ONCE
    assert np.all(np.diff([length for length, _ in found]) >= 0)
