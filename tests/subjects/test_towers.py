"""Subjects of two towers: every context goes through the one that reads it, and a hook may name a module of both."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    set_seed,
)

from autointerp.config import PositionsConfig, SubjectConfig
from autointerp.errors import UserError
from autointerp.records import Grid
from autointerp.subjects.load import load
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.towers import TwoTowerSubject
from autointerp.subjects.vision import CLASS, PATCH
from tests.conftest import SIDE, TEXT, VISION, tokenizer_of
from tests.subjects.pictures import noise, seen, spot

EYE, EAR = "vision_model.encoder.layers.1", "text_model.encoder.layers.1"
BOTH = f"{EYE}+{EAR}"
LENGTH, TOKENS, POSITIONS = 16, 24, 17  # of contexts, of the text tower, of a picture
TEXTS = ("the cat sat", "seven green parrots", "rain", "old coins, and ice")
PICTURES = [noise(0), noise(1, 50, 32), noise(2, 32, 80)]


@pytest.fixture(scope="module")
def clip(tiny_clip_path: Path) -> TwoTowerSubject:
    return loaded(tiny_clip_path)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> TwoTowerSubject:
    """A SigLIP: no class token, and a tokenizer that gives no mask, since its texts are padded to the full length."""
    path = tmp_path_factory.mktemp("siglip")
    tokenizer = tokenizer_of(["<pad>", "<eos>"], "$A <eos>")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", model_input_names=["input_ids"]
    ).save_pretrained(path)
    set_seed(0)
    special = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    text = TEXT | special | {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": TOKENS}
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(path)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(path)
    return loaded(path)


def loaded(path: Path) -> TwoTowerSubject:
    subject = load(SubjectConfig(model=str(path), device="cpu"))
    assert isinstance(subject, TwoTowerSubject)
    return subject


def mixed(subject: TwoTowerSubject, hook: str = BOTH) -> tuple[list[list[int]], list[bytes]]:
    """Texts and pictures in turn."""
    contexts, images = [], []
    for text, one in zip(TEXTS, [*seen(subject, [hook], PICTURES), None], strict=True):
        contexts.append(subject.alone(text, LENGTH))
        assert len(contexts[-1]) == len(subject.tokenizer(text)["input_ids"])  # nothing is cut off
        images.append(b"")
        if one:
            contexts.append(one.tokens)
            images.append(one.image)
    return contexts, images


def read(subject: TwoTowerSubject, text: str, **options: Any) -> Tensor:
    """Hidden states behind the second layer of the text tower, by the library."""
    inputs = subject.tokenizer(text, return_tensors="pt", **options)
    with torch.no_grad():
        return subject.model.text_model(**inputs, output_hidden_states=True).hidden_states[2][0]


def looked_at(subject: TwoTowerSubject, image: Any) -> Tensor:
    """The same of the vision tower."""
    pixels = subject.eye.processor(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return subject.model.vision_model(pixels, output_hidden_states=True).hidden_states[2][0]


# ---- names


@pytest.mark.parametrize(
    ("hook", "path"),
    [
        (EYE, EYE),
        (EAR, EAR),
        (BOTH, BOTH),
        (f"{EAR} + {EYE}", f"{EAR}+{EYE}"),
        ("vision_model.post_layernorm", "vision_model.post_layernorm"),
        ("post_layernorm+final_layer_norm", "vision_model.post_layernorm+text_model.final_layer_norm"),
    ],
)
def test_a_hook_is_a_module_of_one_tower_or_one_of_each(hook: str, path: str, clip: TwoTowerSubject) -> None:
    assert clip.resolve(hook) == path


@pytest.mark.parametrize(
    "hook",
    [
        "vision_model",
        "text_model+vision_model",
        f"{EYE}+{EYE}",
        f"{EYE}+vision_model.encoder.layers.0",
        "visual_projection",
        f"{EYE}+text_projection",
    ],
)
def test_other_hooks_are_refused_in_a_sentence(hook: str, clip: TwoTowerSubject) -> None:
    with pytest.raises(UserError, match=r"this subject has the towers text_model and vision_model: name a module insi"):
        clip.resolve(hook)


@pytest.mark.parametrize("hook", [f"{EYE}+", f"{EYE}+text_model.encoder.layers.7", "encoder.layers.1"])
def test_a_module_that_is_in_no_tower_or_in_both_is_refused_in_a_sentence(hook: str, clip: TwoTowerSubject) -> None:
    with pytest.raises(UserError, match="You asked for the hook"):
        clip.resolve(hook)


@pytest.mark.parametrize(
    ("hooks", "modalities"),
    [
        ([EYE], {"image"}),
        ([EAR], {"text"}),
        ([BOTH], {"image", "text"}),
        ([BOTH, EYE], {"image"}),
        ([EYE, EAR], set()),
        ([BOTH, f"vision_model.encoder.layers.0+{EAR}"], {"image", "text"}),
    ],
)
def test_a_document_is_read_where_every_hook_puts_something_out(
    hooks: list[str], modalities: set[str], clip: TwoTowerSubject
) -> None:
    assert clip.reads(hooks) == modalities


# ---- lengths


@pytest.mark.parametrize(
    ("hook", "context_length", "expected"),
    [(EYE, 9, POSITIONS), (EYE, 999, POSITIONS), (EAR, 9, 9), (EAR, TOKENS, TOKENS), (BOTH, 9, 17), (BOTH, 20, 20)],
)
def test_contexts_are_padded_to_the_longer_of_text_and_picture(
    hook: str, context_length: int, expected: int, clip: TwoTowerSubject
) -> None:
    assert clip.length([hook], context_length) == expected


@pytest.mark.parametrize("hook", [EAR, BOTH])
def test_texts_longer_than_the_tower_takes_are_refused_in_a_sentence(hook: str, clip: TwoTowerSubject) -> None:
    with pytest.raises(UserError, match=r"contexts of 25 tokens, but the text tower of .* takes 24: lower corpus\.con"):
        clip.length([hook], TOKENS + 1)


def test_texts_without_a_mask_are_padded_to_the_full_length(siglip: TwoTowerSubject) -> None:
    assert siglip.length([EAR], 9) == TOKENS
    assert siglip.length([EYE], 9) == 16


# ---- outputs


def test_each_context_goes_through_its_own_tower(clip: TwoTowerSubject) -> None:
    contexts, images = mixed(clip)
    length = clip.length([BOTH], LENGTH)
    found = clip.hidden(contexts, length, [BOTH], images)[BOTH]
    assert found.shape == (7, length, 16)
    for row, at in enumerate(range(0, 7, 2)):
        n = len(contexts[at])
        torch.testing.assert_close(found[at, :n], read(clip, TEXTS[row]))
    for row, at in enumerate(range(1, 6, 2)):
        expected = looked_at(clip, PICTURES[row])
        torch.testing.assert_close(found[at, :POSITIONS], expected, rtol=0, atol=0.02 * float(expected.std()))


def test_a_tower_that_attends_to_padding_reads_texts_at_their_full_length(siglip: TwoTowerSubject) -> None:
    contexts, images = mixed(siglip)
    length = siglip.length([BOTH], LENGTH)
    found = siglip.hidden(contexts, length, [BOTH], images)[BOTH]
    for row, at in enumerate(range(0, 7, 2)):
        expected = read(siglip, TEXTS[row], padding="max_length", max_length=TOKENS)
        torch.testing.assert_close(found[at, :TOKENS], expected)
    torch.testing.assert_close(found[1, :16], looked_at(siglip, PICTURES[0]), rtol=0, atol=0.05)


@pytest.mark.parametrize("length", [17, 18, 20, TOKENS])
def test_outputs_are_as_long_as_asked_for_whatever_the_texts(length: int, clip: TwoTowerSubject) -> None:
    text = "the cat sat on the mat while seven green parrots counted old coins under a broken lamp"
    contexts = [clip.alone(text, n) for n in range(3, length + 1)]
    whole = clip.hidden(contexts, length, [BOTH])[BOTH]
    assert whole.shape == (len(contexts), length, 16)
    for row, tokens in enumerate(contexts):
        n = len(tokens)
        torch.testing.assert_close(clip.hidden([tokens], length, [BOTH])[BOTH][0, :n], whole[row, :n])


def test_behind_the_shorter_modality_are_zeros(clip: TwoTowerSubject) -> None:
    contexts, images = mixed(clip)
    longer = clip.hidden(contexts, TOKENS, [BOTH], images)[BOTH]
    assert (longer[1::2, POSITIONS:] == 0).all()
    assert longer[1::2, :POSITIONS].any(dim=2).all()


def test_a_picture_longer_than_the_text_tower_leaves_zeros_behind_texts(tmp_path: Path, tiny_clip_path: Path) -> None:
    model = CLIPModel.from_pretrained(tiny_clip_path)
    config = model.config
    config.text_config.max_position_embeddings = 12
    set_seed(0)
    CLIPModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_clip_path).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text((tiny_clip_path / "preprocessor_config.json").read_text())
    subject = loaded(tmp_path)
    contexts, images = mixed(subject)
    contexts = [tokens if image else tokens[:12] for tokens, image in zip(contexts, images, strict=True)]
    assert subject.length([BOTH], 12) == POSITIONS
    found = subject.hidden(contexts, POSITIONS, [BOTH], images)[BOTH]
    assert (found[::2, 12:] == 0).all()
    assert found[1::2].any(dim=2).all()


@pytest.mark.parametrize("hook", [EYE, EAR])
def test_a_hook_on_one_tower_reads_its_contexts_alone(hook: str, clip: TwoTowerSubject) -> None:
    contexts, images = mixed(clip)
    own = [at for at, image in enumerate(images) if bool(image) == (hook == EYE)]
    length = clip.length([hook], LENGTH)
    found = clip.hidden([contexts[at] for at in own], length, [hook], [images[at] for at in own])[hook]
    both = clip.hidden(contexts, clip.length([BOTH], LENGTH), [BOTH], images)[BOTH]
    for row, at in enumerate(own):
        n = len(contexts[at])
        torch.testing.assert_close(found[row, :n], both[at, :n])


def test_several_hooks_are_told_apart(clip: TwoTowerSubject) -> None:
    other = f"vision_model.encoder.layers.0+{EAR}"
    contexts, images = mixed(clip)
    found = clip.hidden(contexts, POSITIONS, [BOTH, other], images)
    assert torch.equal(found[BOTH][::2], found[other][::2])
    assert not torch.allclose(found[BOTH][1::2], found[other][1::2])
    for hook in (BOTH, other):
        assert torch.equal(found[hook], clip.hidden(contexts, POSITIONS, [hook], images)[hook])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_outputs_do_not_depend_on_the_batch(batch: int, clip: TwoTowerSubject) -> None:
    contexts, images = mixed(clip)
    whole = clip.hidden(contexts, POSITIONS, [BOTH], images)[BOTH]
    order = [6, 1, 0, 3, 5, 2, 4]
    for start in range(0, 7, batch):
        part = order[start : start + batch]
        found = clip.hidden([contexts[at] for at in part], POSITIONS, [BOTH], [images[at] for at in part])[BOTH]
        for row, at in enumerate(part):
            n = len(contexts[at])
            torch.testing.assert_close(found[row, :n], whole[at, :n])


def test_hooks_with_different_grids_do_not_go_into_one_run(clip: TwoTowerSubject) -> None:
    with pytest.raises(UserError, match="in one run"):
        clip.length([EYE, "vision_model.embeddings.patch_embedding"], LENGTH)


def test_a_subject_with_shuffled_weights_reads_both_with_other_weights(clip: TwoTowerSubject) -> None:
    shuffled = clip.shuffled(1)
    contexts, images = mixed(clip)
    own, other = (one.hidden(contexts, POSITIONS, [BOTH], images)[BOTH] for one in (clip, shuffled))
    assert own.shape == other.shape
    for at, tokens in enumerate(contexts):
        assert not torch.allclose(own[at, : len(tokens)], other[at, : len(tokens)], atol=0.05)
    assert torch.equal(own, clip.hidden(contexts, POSITIONS, [BOTH], images)[BOTH])  # the original is as it was
    assert not clip.has_loss


# ---- positions


def test_a_bright_cell_moves_the_patch_at_its_place(clip: TwoTowerSubject) -> None:
    hook = "vision_model.embeddings"
    for row, column in ((0, 0), (1, 3), (3, 2)):
        black, bright = seen(clip, [hook], [noise(0).point(lambda _: 0), spot(row, column)])
        outputs = clip.hidden([black.tokens, bright.tokens], POSITIONS, [hook], [black.image, bright.image])[hook]
        assert bright.grid == Grid(1, 4, 4)
        moved = (outputs[1] - outputs[0]).norm(dim=1)[bright.grid.positions]
        assert moved.argmax() == 4 * row + column


def test_what_counts_of_a_text_and_of_a_picture(clip: TwoTowerSubject) -> None:
    contexts, images = mixed(clip)
    length = clip.length([BOTH], LENGTH)
    hidden = clip.hidden(contexts, length, [BOTH], images)[BOTH]
    rule = PositionRule(PositionsConfig(norm_limit=0), clip)
    mask = rule.mask(contexts, hidden, BOTH)
    for tokens, image, row in zip(contexts, images, mask.tolist(), strict=True):
        if image:
            assert tokens == [CLASS] + [PATCH] * 16
            assert row == [False] + [True] * 16
        else:
            assert tokens[0] == 0 and tokens[-1] == 1  # <bos> and <eos>
            assert row == [False] + [True] * (len(tokens) - 2) + [False] * (length - len(tokens) + 1)
    assert rule.masked["first"] == len(TEXTS)
    assert rule.masked["special"] == len(TEXTS) + len(PICTURES)
    assert rule.masked["padding"] == sum(length - len(tokens) for tokens in contexts)
