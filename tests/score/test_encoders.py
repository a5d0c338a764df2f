"""Encoders give the vectors that their models give, and those that cannot see read labels."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    set_seed,
)

from autointerp.config import EmbeddingScorer
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.judge.encoders import Embedded, JointEncoder, SentenceEncoder, open_encoder
from autointerp.measure.arrays import Floats
from autointerp.records import Evidence, Excerpt, Grid, Item, Verdict
from autointerp.score import embedding
from autointerp.score.cases import Case
from autointerp.score.embedding import UNSEEN, Level

WORDS = ("a", "red", "boat", "and", "two", "cows", "under", "the", "moon")
TEXTS = ["a red boat", "cows", "two cows and a boat under the moon", "the moon"]
MOST = 12  # tokens that the text towers take


def tokenizer(**more: Any) -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(("<pad>", "<unk>", *WORDS, "<bos>", "<eos>"))}
    bare = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(end, words[end]) for end in ("<bos>", "<eos>")]
    bare.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, unk_token="<unk>", pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", **more
    )


TEXT: dict[str, Any] = {
    "vocab_size": len(WORDS) + 4,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": MOST,
    "pad_token_id": 0,
    "bos_token_id": len(WORDS) + 2,
    "eos_token_id": len(WORDS) + 3,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def spread(model: Any) -> Any:
    """With larger weights: as they are made, all texts are nearly the same to these models."""
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    set_seed(0)
    spread(CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))).save_pretrained(path)
    tokenizer().save_pretrained(path)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("siglip")
    set_seed(1)
    spread(SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))).save_pretrained(path)
    tokenizer(model_input_names=["input_ids"]).save_pretrained(path)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder."""
    path = tmp_path_factory.mktemp("reader")
    set_seed(2)
    sizes = {name: TEXT[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")}
    BertModel(BertConfig(num_attention_heads=2, **sizes)).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def role(path: Path, batch_size: int = 64) -> EmbeddingScorer:
    return EmbeddingScorer(kind="embedding", model=str(path), batch_size=batch_size)


def png(seed: int, size: tuple[int, int] = (32, 32)) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG")
    return target.getvalue()


PICTURES = [png(seed, size) for seed, size in enumerate([(32, 32), (48, 32), (32, 70), (200, 90), (32, 32)])]


def unit(found: Any) -> Floats:
    vectors = getattr(found, "pooler_output", found).detach().double().numpy()
    return cast(Floats, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


# joint models


def test_clip_gives_the_models_own_features_at_length_one(clip: Path) -> None:
    encoder = open_encoder(role(clip))
    assert isinstance(encoder, JointEncoder) and encoder.sees
    model, tokens = CLIPModel.from_pretrained(clip).eval(), tokenizer()
    for text, vector in zip(TEXTS, encoder.texts(TEXTS), strict=True):
        np.testing.assert_allclose(
            vector, unit(model.get_text_features(**tokens(text, return_tensors="pt")))[0], atol=1e-5
        )
    processor = CLIPImageProcessor.from_pretrained(clip)
    for picture, vector in zip(PICTURES, encoder.images(PICTURES), strict=True):
        pixels = processor(images=Image.open(io.BytesIO(picture)), return_tensors="pt")["pixel_values"]
        np.testing.assert_allclose(vector, unit(model.get_image_features(pixel_values=pixels))[0], atol=1e-5)


def test_siglip_reads_texts_padded_to_its_full_length(siglip: Path) -> None:
    encoder = open_encoder(role(siglip))
    model, tokens = SiglipModel.from_pretrained(siglip).eval(), tokenizer()
    for text, vector in zip(TEXTS, encoder.texts(TEXTS), strict=True):
        ids = tokens(text, padding="max_length", max_length=MOST, return_tensors="pt")["input_ids"]
        assert ids.shape == (1, MOST)
        np.testing.assert_allclose(vector, unit(model.get_text_features(input_ids=ids))[0], atol=1e-5)
        short = unit(model.get_text_features(input_ids=tokens(text, return_tensors="pt")["input_ids"]))[0]
        assert np.abs(vector - short).max() > 1e-3
    processor = SiglipImageProcessor.from_pretrained(siglip)
    pixels = processor(images=Image.open(io.BytesIO(PICTURES[1])), return_tensors="pt")["pixel_values"]
    np.testing.assert_allclose(
        encoder.images(PICTURES[1:2]), unit(model.get_image_features(pixel_values=pixels)), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_vectors_do_not_depend_on_what_is_in_the_batch(kind: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(kind)
    one, many = open_encoder(role(path, 1)), open_encoder(role(path, 64))
    np.testing.assert_allclose(one.texts(TEXTS), many.texts(TEXTS), atol=1e-5)
    np.testing.assert_allclose(one.images(PICTURES), many.images(PICTURES), atol=1e-5)
    np.testing.assert_allclose(many.texts(TEXTS[::-1])[::-1], many.texts(TEXTS), atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_vectors_tell_texts_and_pictures_apart(kind: str, request: pytest.FixtureRequest) -> None:
    """Else nothing here would be a test."""
    encoder = open_encoder(role(request.getfixturevalue(kind)))
    for vectors in (encoder.texts(TEXTS), encoder.images(PICTURES)):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert (vectors @ vectors.T - 2 * np.eye(len(vectors))).max() < 0.999


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_text_that_is_too_long_is_cut(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = open_encoder(role(request.getfixturevalue(kind)))
    assert np.isfinite(encoder.texts([" ".join(WORDS * 5)])).all()


def test_a_sentence_is_the_mean_of_its_tokens_whatever_the_batch(reader: Path) -> None:
    model, tokens = BertModel.from_pretrained(reader).eval(), tokenizer()
    alone = [unit(model(**tokens(text, return_tensors="pt")).last_hidden_state.mean(dim=1))[0] for text in TEXTS]
    for size in (1, 3, 64):
        np.testing.assert_allclose(open_encoder(role(reader, size)).texts(TEXTS), alone, atol=1e-5)


def test_nothing_gives_no_vectors(clip: Path, reader: Path) -> None:
    for path in (clip, reader):
        assert open_encoder(role(path)).texts([]).shape[0] == 0
    assert open_encoder(role(clip)).images([]).shape[0] == 0


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="transformers cannot load it"):
        open_encoder(role(tmp_path))


# excerpts


def picture(context: int, label: str = "", text: str = "") -> Excerpt:
    return Excerpt(
        context, 0, context, ("",) * 4 + ((text,) if text else ()), (0.0,) * (5 if text else 4), Grid(0, 2, 2), label
    )


def text(context: int, words: str) -> Excerpt:
    first, *rest = words.split(" ")
    pieces = (first, *(f" {word}" for word in rest))
    return Excerpt(context, 8, context, pieces, (0.0,) * len(pieces))


def test_an_encoder_that_sees_looks_at_pictures_whatever_their_labels(clip: Path) -> None:
    encoder = open_encoder(role(clip))
    shown = [picture(0, "cows"), picture(1), text(2, "the")]
    vectors = Embedded(encoder, ["a red boat"], shown, dict(enumerate(PICTURES)))
    expected = [*encoder.images(PICTURES[:2]), encoder.texts(["the"])[0]]
    for one, vector in zip(shown, expected, strict=True):
        np.testing.assert_allclose(vectors.excerpt(one), vector, atol=1e-6)
    np.testing.assert_allclose(vectors.sentence("a red boat"), encoder.texts(["a red boat"])[0], atol=1e-6)


def test_a_sentence_encoder_reads_the_label_and_the_text_of_a_picture(reader: Path) -> None:
    encoder = open_encoder(role(reader))
    assert isinstance(encoder, SentenceEncoder) and not encoder.sees
    shown = [picture(0, "two cows"), picture(1, "two cows", " the moon"), picture(2, "", "the moon"), picture(3)]
    vectors = Embedded(encoder, ["cows"], shown, {})
    read = encoder.texts(["two cows", "two cows  the moon", "the moon"])
    for one, vector in zip(shown, read, strict=False):
        np.testing.assert_allclose(vectors.excerpt(one), vector, atol=1e-6)
    assert vectors.excerpt(shown[3]) is None


# closeness

finite = st.floats(-1, 1, width=32)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(finite, st.booleans()), min_size=1, max_size=30))
def test_with_both_sorts_closeness_has_mean_zero_and_spread_one_in_each_and_else_nothing_is_changed(
    pool: list[tuple[float, bool]],
) -> None:
    similarity, seen = np.array([value for value, _ in pool]), np.array([one for _, one in pool])
    found = Level.of(similarity, seen).closeness(similarity, seen)
    if seen.all() or not seen.any():
        assert (found == similarity).all()
        return
    for side in (True, False):
        own, before = found[seen == side], similarity[seen == side]
        assert abs(own.mean()) < 1e-6 * max(1, np.abs(own).max())
        assert before.std() <= 1e-6 or own.std() == pytest.approx(1)
        assert (np.diff(own[np.argsort(before, kind="stable")]) >= 0).all()  # no order is changed


def test_items_are_held_against_the_pool_of_their_own_sort() -> None:
    level = Level.of(np.array([0.0, 2.0, 10.0, 30.0]), np.array([True, True, False, False]))
    assert level.closeness(np.array([3.0, 40.0, np.nan]), np.array([True, False, True]))[:2].tolist() == [2.0, 2.0]
    assert np.isnan(level.closeness(np.array([np.nan]), np.array([True]))).all()
    assert level.closeness(np.array([]), np.array([], dtype=bool)).shape == (0,)


# verdicts


def verdicts(
    path: Path,
    items: Sequence[Excerpt],
    pool: Sequence[Excerpt],
    pictures: Mapping[int, bytes] | None = None,
    sentence: str = "a red boat",
) -> tuple[list[Verdict], list[Verdict]]:
    """Detection and retrieval of one feature, which fires in the first of the items."""
    found = tuple(Item(one, "bin0" if not at else "random", not at, 1.0) for at, one in enumerate(items))
    known = Evidence("d", 0, 4.0, {"explain": (), "score": found}, "")
    firings = pd.DataFrame({"window": [0], "position": [0], "activation": [3.0]})
    side = SimpleNamespace(by_feature={0: known}, firings_of=lambda feature: firings)
    reader = SimpleNamespace(excerpts=pool, rows=lambda split: list(range(len(pool))))
    case = Case("d", 0, "ann", "none", sentence)
    said = list(
        embedding.judged(
            "e", role(path), [case], {"d": cast(DictionaryEvidence, side)}, cast(PoolReader, reader), pictures or {}, 3
        )
    )
    return [v for v in said if v.question == "detection"], [v for v in said if v.question == "retrieval"]


def test_texts_alone_are_as_close_as_the_cosine_says(reader: Path) -> None:
    items = [text(at, words) for at, words in enumerate(TEXTS)]
    pool = [text(10 + at, words) for at, words in enumerate((*TEXTS[::-1], "under the moon"))]
    detection, retrieval = verdicts(reader, items, pool)
    encoder = open_encoder(role(reader))
    ordered = sorted({"a red boat", *(one.text for one in (*items, *pool))})
    vectors = dict(zip(ordered, encoder.texts(ordered), strict=True))
    sentence = vectors["a red boat"]
    assert [v.value for v in detection] == [float(vectors[one.text] @ sentence) for one in items]
    assert {v.reason for v in detection} == {""}
    similarity = np.array([vectors[one.text] for one in pool]) @ sentence
    order = np.argsort(-similarity, kind="stable")[:3]
    assert [v.item for v in retrieval] == [pool[at].id for at in order]
    assert [v.value for v in retrieval] == [float(similarity[at]) for at in order]


def test_a_picture_that_the_encoder_cannot_see_and_that_has_no_label_is_unscored_with_the_reason(reader: Path) -> None:
    items, pool = [picture(0, "cows"), picture(1)], [picture(10, "the moon"), picture(11), picture(12, "two cows")]
    detection, retrieval = verdicts(reader, items, pool)
    assert [v.reason for v in detection] == ["", UNSEEN]
    assert np.isnan(detection[1].value) and np.isfinite(detection[0].value)
    assert {v.item for v in retrieval} == {pool[0].id, pool[2].id}


def test_a_run_of_which_no_picture_can_be_read_has_reasons_alone(reader: Path) -> None:
    detection, retrieval = verdicts(reader, [picture(0), picture(1)], [picture(10)])
    assert [v.reason for v in detection] == [UNSEEN, UNSEEN]
    assert retrieval == []


def test_pictures_and_texts_are_each_held_against_their_own_sort(clip: Path) -> None:
    pictures = dict(enumerate(PICTURES)) | {10 + at: png(10 + at) for at in range(4)}
    items = [picture(0), picture(1), *(text(20 + at, words) for at, words in enumerate(TEXTS[:2]))]
    pool = [*(picture(10 + at) for at in range(4)), *(text(30 + at, words) for at, words in enumerate(TEXTS))]
    detection, _ = verdicts(clip, items, pool, pictures, "two cows")
    encoder = open_encoder(role(clip))
    sentence = encoder.texts(["two cows"])[0]
    sides = (
        (
            detection[:2],
            encoder.images(PICTURES[:2]) @ sentence,
            encoder.images([pictures[10 + at] for at in range(4)]),
        ),
        (detection[2:], encoder.texts(TEXTS[:2]) @ sentence, encoder.texts(TEXTS)),
    )
    for found, own, pooled in sides:
        close = pooled @ sentence
        assert [v.value for v in found] == pytest.approx(
            ((own - close.mean()) / close.std()).tolist(), rel=1e-3, abs=1e-3
        )
