"""Which positions count: every reason masks what it says, is counted exactly, and can be turned off."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

from autointerp.config import PositionsConfig, SubjectConfig
from autointerp.subjects.load import load
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.text import TextSubject

HOOK = "model.layers.0"
EVERYTHING = PositionsConfig(skip_first=False, skip_special=False, norm_limit=0)
BOS, EOS = 0, 1  # the special ids of the tiny subject


def loud(contexts: list[list[int]], length: int, at: dict[tuple[int, int], float]) -> Tensor:
    """Hidden states of norm 1, but for the positions in `at`."""
    hidden = torch.zeros(len(contexts), length, 4)
    hidden[..., 0] = 1
    for (row, position), norm in at.items():
        hidden[row, position] = torch.tensor([0, norm, 0, 0])
    return hidden


def masked_by(config: PositionsConfig, subject: TextSubject, contexts: list[list[int]], hidden: Tensor) -> PositionRule:
    rule = PositionRule(config, subject)
    rule.calibrate(contexts, hidden, HOOK)
    return rule


def test_each_setting_alone_masks_its_own_positions(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, EOS, 7, 8], [9, 10, 11]]
    hidden = loud(contexts, 6, {(0, 4): 11.0, (1, 0): 10.0})
    expected = {
        "skip_first": ["011110", "011"],
        "skip_special": ["010110", "111"],
        "norm_limit": ["111100", "111"],  # 10 times the median is still allowed, 11 times is not
    }
    for name, rows in expected.items():
        config = EVERYTHING.model_copy(update={name: 10.0 if name == "norm_limit" else True})
        keep = masked_by(config, tiny_subject, contexts, hidden).mask(contexts, hidden, HOOK)
        # five tokens in the first context, three in the second; what follows is padding
        by_hand = torch.tensor([[int(bit) for bit in row.ljust(6, "0")] for row in rows], dtype=torch.bool)
        by_hand[0, 5:] = by_hand[1, 3:] = False
        assert torch.equal(keep, by_hand), name


def test_every_setting_off_leaves_every_token(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, EOS], [9]]
    rule = PositionRule(EVERYTHING, tiny_subject)
    keep = rule.mask(contexts, loud(contexts, 4, {(0, 1): 1e9}), HOOK)
    assert keep.tolist() == [[True, True, True, False], [True, False, False, False]]
    assert {reason: n for reason, n in rule.masked.items() if n} == {"padding": 4}


def test_positions_that_are_not_finite_are_masked_and_counted(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, 6, 7, 8], [9, 10, 11]]
    hidden = loud(contexts, 6, {(0, 2): float("nan"), (0, 3): float("inf"), (1, 0): float("nan")})
    rule = masked_by(PositionsConfig(), tiny_subject, contexts, hidden)
    keep = rule.mask(contexts, hidden, HOOK)
    assert rule.masked == {"padding": 4, "first": 2, "special": 0, "not finite": 2, "norm": 0}
    assert keep.nonzero().tolist() == [[0, 1], [0, 4], [1, 1], [1, 2]]


def test_each_masked_position_is_counted_once_under_its_first_reason(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, EOS, 7, 8], [9, 10, 11]]
    hidden = loud(contexts, 6, {(0, 0): 99.0, (0, 2): 99.0, (0, 4): 99.0})
    rule = masked_by(PositionsConfig(), tiny_subject, contexts, hidden)
    keep = rule.mask(contexts, hidden, HOOK)
    assert rule.masked == {"padding": 4, "first": 2, "special": 1, "not finite": 0, "norm": 1}
    assert keep.nonzero().tolist() == [[0, 1], [0, 3], [1, 1], [1, 2]]


@settings(deadline=None, max_examples=80)
@given(
    contexts=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=5),
    first=st.booleans(),
    special=st.booleans(),
    limit=st.sampled_from([0.0, 1.5, 10.0]),
    seed=st.integers(0, 100),
)
def test_counts_and_kept_positions_add_to_all_positions(
    contexts: list[list[int]], first: bool, special: bool, limit: float, seed: int, tiny_subject: TextSubject
) -> None:
    hidden = torch.randn(len(contexts), 7, 3, generator=torch.Generator().manual_seed(seed)) ** 3
    config = PositionsConfig(skip_first=first, skip_special=special, norm_limit=limit)
    rule = masked_by(config, tiny_subject, contexts, hidden)
    keep = rule.mask(contexts, hidden, HOOK)
    assert int(keep.sum()) + sum(rule.masked.values()) == keep.numel()
    for row, tokens in enumerate(contexts):
        for position in range(7):
            readable = (
                position < len(tokens)
                and not (first and position == 0)
                and not (special and tokens[position] in (BOS, EOS))
            )
            silent = not limit or float(hidden[row, position].norm()) <= rule.limits[HOOK]
            assert bool(keep[row, position]) == (readable and silent)


def test_the_norm_limit_is_read_off_readable_positions_only(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, 6, 7], [BOS, 8]]
    hidden = loud(contexts, 8, {(0, 0): 1e6, (1, 0): 1e6, **{(r, p): 1e6 for r in (0, 1) for p in range(4 - 2 * r, 8)}})
    rule = masked_by(PositionsConfig(norm_limit=3), tiny_subject, contexts, hidden)
    assert rule.limits[HOOK] == pytest.approx(3.0)


def test_counts_of_several_batches_add_up(tiny_subject: TextSubject) -> None:
    contexts = [[BOS, 5, EOS, 7], [9, 10], [BOS, EOS]]
    hidden = loud(contexts, 4, {(0, 3): 50.0})
    whole, parts = (masked_by(PositionsConfig(), tiny_subject, contexts, hidden) for _ in range(2))
    keep = whole.mask(contexts, hidden, HOOK)
    rows = [parts.mask([tokens], hidden[i : i + 1], HOOK) for i, tokens in enumerate(contexts)]
    assert torch.equal(torch.cat(rows), keep)
    assert parts.masked == whole.masked


# ---- an encoder, whose special tokens stand at both ends


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextSubject:
    """A BERT of two layers that reads [CLS] … [SEP]."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    path: Path = tmp_path_factory.mktemp("tiny-encoder")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    ).save_pretrained(path)
    set_seed(0)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(path)
    return load(SubjectConfig(model=str(path), device="cpu"))


def test_an_encoder_is_loaded_with_the_tokens_it_expects(encoder: TextSubject) -> None:
    assert (encoder.prefix, encoder.suffix, encoder.pad_id) == ([2], [3], 0)
    assert encoder.special_ids == {0, 1, 2, 3}
    assert encoder.encode("a b") == ([4, 5], ["a", " b"])


def test_special_tokens_of_an_encoder_are_masked_at_both_ends(encoder: TextSubject) -> None:
    contexts = [[2, 4, 5, 6, 3], [2, 7, 3]]
    rule = PositionRule(PositionsConfig(norm_limit=0), encoder)
    keep = rule.mask(contexts, loud(contexts, 6, {}), "encoder.layer.1")
    assert keep.nonzero().tolist() == [[0, 1], [0, 2], [0, 3], [1, 1]]
    assert {reason: n for reason, n in rule.masked.items() if n} == {"padding": 4, "first": 2, "special": 2}


def test_hook_outputs_of_an_encoder_ignore_padding(encoder: TextSubject) -> None:
    hook = encoder.resolve("layer.1")
    assert hook == "encoder.layer.1"
    padded = encoder.hidden([[2, 4, 5, 3], [2, 4, 5, 6, 7, 3]], 8, [hook])[hook]
    with torch.no_grad():
        expected = encoder.model(input_ids=torch.tensor([[2, 4, 5, 3]])).last_hidden_state
    assert padded.shape == (2, 8, 16)
    torch.testing.assert_close(padded[:1, :4], expected)
