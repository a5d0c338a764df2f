"""A tiny subject, made on the spot: nothing is downloaded and every forward pass takes milliseconds."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from autointerp.config import SubjectConfig
from autointerp.subjects.load import load
from autointerp.subjects.text import TextSubject

WORDS = (
    "the cat sat on the mat while seven green parrots counted old coins under a broken lamp and nobody asked why "
    "rain fell all night over the harbour so the ships stayed and their crews told long stories about ice"
)


@pytest.fixture(scope="session")
def tiny_subject_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of three layers, d = 16, and a byte-level BPE that puts <bos> in front."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [WORDS], BpeTrainer(vocab_size=320, special_tokens=["<bos>", "<eos>"], initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
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
