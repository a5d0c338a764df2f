"""Tiny subjects, made on the spot: nothing is downloaded and every forward pass takes milliseconds."""

import gc
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)

from autointerp.config import SubjectConfig
from autointerp.subjects.load import load
from autointerp.subjects.text import TextSubject

# Started in the background of a shell, the suite and all that it starts would ignore interrupts, and wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No example is timed: workers share the cores with each other, and with whatever else this machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """What was imported stays, so no garbage collection need look through all of it again."""
    gc.collect()
    gc.freeze()


WORDS = (
    "the cat sat on the mat while seven green parrots counted old coins under a broken lamp and nobody asked why "
    "rain fell all night over the harbour so the ships stayed and their crews told long stories about ice"
)
SIDE, PATCH = 32, 8  # of the pictures that tiny subjects see, in pixels
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A ledger and a cache that nothing was written to before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def tokenizer_of(special: Sequence[str], around: str) -> Tokenizer:
    """A byte-level BPE whose first ids are the special tokens; `around` is what it makes of a text, as `<bos> $A`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [WORDS], BpeTrainer(vocab_size=320, special_tokens=list(special), initial_alphabet=alphabet)
    )
    used = [(token, number) for number, token in enumerate(special) if token in around.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=used)
    return tokenizer


def image_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


@pytest.fixture(scope="session", autouse=True)
def _nobodys_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the ledger of who runs it, nor that of another worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_subject_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of three layers, d = 16, and a byte-level BPE that puts <bos> in front."""
    tokenizer = tokenizer_of(["<bos>", "<eos>"], "<bos> $A")
    path = tmp_path_factory.mktemp("tiny-subject")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>").save_pretrained(path)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_subject(tiny_subject_path: Path) -> TextSubject:
    return load(SubjectConfig(model=str(tiny_subject_path), device="cpu"))


@pytest.fixture(scope="session")
def tiny_clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CLIP of two layers a tower, d = 16: texts of 24 tokens between <bos> and <eos>, 4 x 4 patches."""
    path = tmp_path_factory.mktemp("tiny-clip")
    tokenizer = tokenizer_of(["<bos>", "<eos>", "<pad>"], "<bos> $A <eos>")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    ).save_pretrained(path)
    set_seed(0)
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    text = TEXT | special | {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 24}
    CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(path)
    image_processor().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_vlm_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llava of two layers, d = 16, that puts the 16 patches of a picture between <bos> and the text."""
    path = tmp_path_factory.mktemp("tiny-vlm")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_of(["<bos>", "<eos>", "<pad>", "<image>"], "<bos> $A"),
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    set_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT, **special, vocab_size=len(tokenizer), max_position_embeddings=256),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(path)
    LlavaProcessor(
        image_processor(),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(path)
    return path
