"""Vision-language subjects: pictures and text as one sequence, read as the model's own processor has it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor

from autointerp.config import PositionsConfig, SubjectConfig
from autointerp.errors import UserError
from autointerp.records import Grid
from autointerp.subjects.load import load
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.subject import At, Edit, Seen
from autointerp.subjects.vision_language import VisionLanguageSubject
from tests.conftest import SIDE
from tests.subjects.pictures import noise, spot

HOOK = "model.language_model.layers.1"
LENGTH = 40
PATCHES = 16
TEXTS = ("the cat sat", "", "seven green parrots", "Zoë saw a 🦜", "rain")
PICTURES = [noise(0), noise(1, 50, 32), None, noise(2, 32, 80), None]  # by text


@pytest.fixture(scope="module")
def vlm(tiny_vlm_path: Path) -> VisionLanguageSubject:
    subject = load(SubjectConfig(model=str(tiny_vlm_path), device="cpu"))
    assert isinstance(subject, VisionLanguageSubject)
    return subject


def contexts_of(vlm: VisionLanguageSubject) -> tuple[list[list[int]], list[bytes]]:
    """A batch in which contexts with a picture and without stand in turn."""
    contexts, images = [], []
    for text, picture in zip(TEXTS, PICTURES, strict=True):
        one = look(vlm, picture, text) if picture else None
        contexts.append(one.tokens if one else vlm.alone(text, LENGTH))
        images.append(one.image if one else b"")
    return contexts, images


def look(vlm: VisionLanguageSubject, picture: Image.Image, text: str) -> Seen:
    return vlm.look(picture, text, [HOOK])


def own(vlm: VisionLanguageSubject, text: str, picture: Image.Image | None) -> Any:
    """What the model puts out when it reads text and picture by its own processor."""
    content = {"text": f"<image>{text}", "images": picture} if picture else {"text": text}
    inputs = vlm.processor(**content, return_tensors="pt")
    with torch.no_grad():
        return vlm.model(**inputs, output_hidden_states=True), inputs["input_ids"][0]


# ---- positions


def test_patches_and_text_are_told_apart(vlm: VisionLanguageSubject) -> None:
    text = "the cat sat on the mat"
    one = look(vlm, noise(), text)
    ids, pieces = vlm.encode(text)
    assert one.grid == Grid(1, 4, 4)
    assert one.tokens == [0] + [vlm.image_id] * PATCHES + ids
    assert one.pieces == [""] * (1 + PATCHES) + pieces
    assert {one.tokens[at] for at in range(*one.grid.positions.indices(len(one.tokens)))} == {vlm.image_id}
    assert vlm.image_id not in vlm.special_ids


@pytest.mark.parametrize("text", ["the cat", " and then", "Zoë paid 3 € for a 🦜\n", "", "the the the", "line\nbreak"])
def test_the_pieces_join_to_the_text(text: str, vlm: VisionLanguageSubject) -> None:
    one = look(vlm, noise(), text)
    assert "".join(one.pieces) == text
    assert len(one.pieces) == len(one.tokens)
    assert not any(one.pieces[one.grid.positions])


def test_a_text_that_writes_out_the_placeholder_is_no_second_picture(vlm: VisionLanguageSubject) -> None:
    one = look(vlm, noise(), "a word <image> and more")
    assert "".join(one.pieces) == "a word < image> and more"
    assert one.tokens.count(vlm.image_id) == PATCHES
    outputs = vlm.hidden([one.tokens], LENGTH, [HOOK], [one.image])[HOOK]
    assert outputs.isfinite().all()


def test_a_text_without_a_picture_that_writes_out_the_placeholder_is_read(vlm: VisionLanguageSubject) -> None:
    tokens = vlm.alone("a word <image> and more", LENGTH)
    assert vlm.image_id not in tokens
    assert vlm.hidden([tokens], LENGTH, [HOOK])[HOOK].isfinite().all()


def test_what_counts(vlm: VisionLanguageSubject) -> None:
    contexts, images = contexts_of(vlm)
    hidden = vlm.hidden(contexts, LENGTH, [HOOK], images)[HOOK]
    rule = PositionRule(PositionsConfig(norm_limit=0), vlm)
    mask = rule.mask(contexts, hidden, HOOK)
    for tokens, row in zip(contexts, mask.tolist(), strict=True):
        assert row == [0 < at < len(tokens) for at in range(LENGTH)]
    assert rule.masked["first"] == 5
    assert rule.masked["special"] == 0


def test_documents_of_both_sorts_are_read_and_padded_to_one_length(vlm: VisionLanguageSubject) -> None:
    assert vlm.reads([HOOK]) == {"text", "image"}
    assert vlm.length([HOOK], LENGTH) == LENGTH


def test_a_bright_cell_moves_the_patch_at_its_place(vlm: VisionLanguageSubject) -> None:
    hook = "model.multi_modal_projector"
    caught: list[Tensor] = []
    module = vlm.model.get_submodule(hook)
    handle = module.register_forward_hook(lambda _m, _i, output: caught.append(output))
    places = [(0, 0), (1, 3), (3, 2)]
    # Position embeddings and attention mix patches: what is compared is the tower's own embedding of each.
    embeddings = vlm.model.get_submodule("model.vision_tower.embeddings")
    other = embeddings.register_forward_hook(lambda _m, _i, output: caught.append(output))
    for picture in (noise().point(lambda _: 0), *(spot(*place) for place in places)):
        one = look(vlm, picture, "rain")
        vlm.hidden([one.tokens], LENGTH, [HOOK], [one.image])
    handle.remove()
    other.remove()
    embedded, projected = caught[::2], caught[1::2]
    for (row, column), seen, out in zip(places, embedded[1:], projected[1:], strict=True):
        assert (seen - embedded[0])[0].norm(dim=1)[1:].argmax() == 4 * row + column
        assert out.shape[-2] == PATCHES  # without the class token, in the same order


# ---- outputs


def test_outputs_are_those_of_the_model_with_its_processor(vlm: VisionLanguageSubject) -> None:
    contexts, images = contexts_of(vlm)
    found = vlm.hidden(contexts, LENGTH, [HOOK, "model.language_model.layers.0"], images)
    for at, (text, picture) in enumerate(zip(TEXTS, PICTURES, strict=True)):
        expected, ids = own(vlm, text, picture)
        assert contexts[at] == ids.tolist()
        states = expected.hidden_states
        first = found["model.language_model.layers.0"][at, : len(ids)]
        torch.testing.assert_close(first, states[1][0], rtol=0, atol=0.02 * float(states[1].std()))
        assert found[HOOK][at, : len(ids)].shape == states[1][0].shape
    assert found[HOOK].shape == (5, LENGTH, 16)


def test_the_picture_is_read_and_not_its_placeholders_alone(vlm: VisionLanguageSubject) -> None:
    tokens = look(vlm, noise(), "rain").tokens
    images = [look(vlm, noise(seed), "rain").image for seed in (0, 1)]
    found = vlm.hidden([tokens, tokens], LENGTH, [HOOK], images)[HOOK]
    assert torch.allclose(found[0, 0], found[1, 0])  # before the picture
    assert not torch.isclose(found[0, 1:18], found[1, 1:18]).all(dim=1).any()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_outputs_do_not_depend_on_the_batch(batch: int, vlm: VisionLanguageSubject) -> None:
    contexts, images = contexts_of(vlm)
    whole = vlm.hidden(contexts, LENGTH, [HOOK], images)[HOOK]
    order = [4, 0, 3, 2, 1]
    for start in range(0, 5, batch):
        part = order[start : start + batch]
        found = vlm.hidden([contexts[at] for at in part], LENGTH, [HOOK], [images[at] for at in part])[HOOK]
        for row, at in enumerate(part):
            n = len(contexts[at])
            torch.testing.assert_close(found[row, :n], whole[at, :n])


def test_contexts_without_pictures_need_no_pictures(vlm: VisionLanguageSubject) -> None:
    contexts = [vlm.alone(text, LENGTH) for text in TEXTS]
    plain = vlm.hidden(contexts, LENGTH, [HOOK])[HOOK]
    assert torch.equal(plain, vlm.hidden(contexts, LENGTH, [HOOK], [b""] * 5)[HOOK])


# ---- losses


@pytest.mark.parametrize("edited", [False, True], ids=["no edit", "identity"])
def test_losses_are_those_of_the_model_and_nan_at_patches(edited: bool, vlm: VisionLanguageSubject) -> None:
    edits: dict[str, Edit] = {HOOK: lambda hidden, _: hidden} if edited else {}
    with_picture = [at for at, picture in enumerate(PICTURES) if picture]
    contexts, images = contexts_of(vlm)
    for rows in (with_picture, [at for at in range(5) if at not in with_picture]):
        found = vlm.losses([contexts[at] for at in rows], LENGTH, edits, [images[at] for at in rows])
        assert found.shape == (len(rows), LENGTH - 1)
        for row, at in zip(found, rows, strict=True):
            tokens = torch.tensor(contexts[at])
            pixels = {"pixel_values": vlm.eye.pixels([images[at]])} if images[at] else {}
            with torch.no_grad():
                logits = vlm.model(input_ids=tokens[None], **pixels).logits[0].double()
            for place in range(LENGTH - 1):
                known = place + 1 < len(tokens) and tokens[place + 1] != vlm.image_id
                assert bool(row[place].isnan()) == (not known)
                if known:
                    expected = logits[place].logsumexp(0) - logits[place, tokens[place + 1]]
                    assert float(row[place]) == pytest.approx(float(expected), rel=1e-4)


def test_the_mean_loss_is_the_cross_entropy_that_the_model_itself_reports(vlm: VisionLanguageSubject) -> None:
    one = look(vlm, noise(), "the cat sat on the mat")
    tokens = torch.tensor([one.tokens])
    labels = tokens.masked_fill(tokens == vlm.image_id, -100)
    with torch.no_grad():
        expected = vlm.model(input_ids=tokens, pixel_values=vlm.eye.pixels([one.image]), labels=labels).loss
    found = vlm.losses([one.tokens], LENGTH, {}, [one.image])
    assert float(found.nanmean()) == pytest.approx(float(expected), rel=1e-4)


def test_losses_of_a_mixed_batch_come_in_the_order_of_its_contexts(vlm: VisionLanguageSubject) -> None:
    contexts, images = contexts_of(vlm)
    together = vlm.losses(contexts, LENGTH, {}, images)
    for at in range(5):
        alone = vlm.losses([contexts[at]], LENGTH, {}, [images[at]])
        torch.testing.assert_close(together[at], alone[0], equal_nan=True, rtol=1e-4, atol=1e-4)


def test_an_edit_moves_the_losses_from_its_position_on(vlm: VisionLanguageSubject) -> None:
    one = look(vlm, noise(), "the cat sat on the mat")

    def edit(hidden: Tensor, _: At) -> Tensor:
        assert hidden.shape == (1, LENGTH, 16)
        changed = hidden.clone()
        changed[:, 20] += 1
        return changed

    plain, edited = (
        vlm.losses([one.tokens], LENGTH, edits, [one.image])[0]
        for edits in ({}, {"model.language_model.layers.0": edit})
    )
    n = len(one.tokens)
    torch.testing.assert_close(plain[:20], edited[:20], equal_nan=True)
    assert (plain[20 : n - 1] != edited[20 : n - 1]).all()
    assert n > 21


# ---- other weights, and refusals


def test_the_shuffled_subject_reads_the_same_contexts_otherwise(vlm: VisionLanguageSubject) -> None:
    contexts, images = contexts_of(vlm)
    shuffled = vlm.shuffled(1)
    assert isinstance(shuffled, VisionLanguageSubject)
    own, other = (one.hidden(contexts, LENGTH, [HOOK], images)[HOOK] for one in (vlm, shuffled))
    assert own.shape == other.shape
    assert not torch.allclose(own, other, atol=0.05)
    assert shuffled.has_loss
    assert shuffled.look(noise(), "rain", [HOOK]).tokens == vlm.look(noise(), "rain", [HOOK]).tokens


def test_a_hook_of_the_vision_tower_is_refused_in_a_sentence(vlm: VisionLanguageSubject) -> None:
    one = look(vlm, noise(), "rain")
    hook = vlm.resolve("model.vision_tower.encoder.layers.1")
    with pytest.raises(UserError, match=r"its output has shape \(1, 17, 16\), not \[batch, tokens, d\]"):
        vlm.hidden([one.tokens], LENGTH, [hook], [one.image])


def saved(vlm: VisionLanguageSubject, path: Path, processor: CLIPImageProcessor) -> VisionLanguageSubject:
    vlm.model.save_pretrained(path)
    changed = type(vlm.processor)(
        processor, vlm.tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    changed.save_pretrained(path)
    found = load(SubjectConfig(model=str(path), device="cpu"))
    assert isinstance(found, VisionLanguageSubject)
    return found


def test_a_processor_that_would_cut_a_picture_twice_is_refused(vlm: VisionLanguageSubject, tmp_path: Path) -> None:
    processor = CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": SIDE, "width": SIDE})
    with pytest.raises(UserError, match="its image processor cuts or changes a picture of the right size once more"):
        saved(vlm, tmp_path, processor)


def test_a_processor_whose_pictures_differ_in_size_is_refused(vlm: VisionLanguageSubject, tmp_path: Path) -> None:
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, do_center_crop=False)
    with pytest.raises(UserError, match=r"of two pictures, not one \[3, height, width\] of any"):
        saved(vlm, tmp_path, processor)


@pytest.mark.parametrize("file", ["processor_config.json", "tokenizer.json"])
def test_a_folder_without_its_processor_is_refused_in_a_sentence(
    file: str, tiny_vlm_path: Path, tmp_path: Path
) -> None:
    for path in tiny_vlm_path.iterdir():
        if path.name != file:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="transformers cannot load it"):
        load(SubjectConfig(model=str(tmp_path), device="cpu"))
