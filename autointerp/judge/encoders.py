"""Models that turn sentences, and some of them pictures, into vectors that can be compared."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from autointerp import assets
from autointerp.config import EmbeddingScorer
from autointerp.errors import UserError
from autointerp.progress import progress
from autointerp.records import Excerpt
from autointerp.subjects.subject import choose_device, first_line

MAX_TOKENS = 256
Vectors = NDArray[np.float32]  # [n, d], of length 1


class Encoder(Protocol):
    """`sees` says whether it takes pictures; one that does not reads their labels."""

    sees: bool

    def texts(self, texts: Sequence[str]) -> Vectors: ...

    def images(self, images: Sequence[bytes]) -> Vectors: ...


def open_encoder(role: EmbeddingScorer) -> Encoder:
    """A sentence encoder, or a joint model of text and pictures (CLIP, SigLIP), as the model's config says."""
    source = str(assets.locate(role.model) or role.model)
    try:
        config: Any = AutoConfig.from_pretrained(source)
        joint = hasattr(config, "text_config") and hasattr(config, "vision_config")
        return (JointEncoder if joint else SentenceEncoder)(source, role)
    except (OSError, ValueError) as error:
        raise UserError(
            f"you asked for the encoder {role.model!r}",
            f"transformers cannot load it ({first_line(error)})",
            "give a folder, package:NAME/PATH, or a hub id while online",
        ) from None


class SentenceEncoder:
    """Mean-pooled, normalised sentence vectors, as the sentence-transformers models were trained to be read."""

    sees = False

    def __init__(self, source: str, role: EmbeddingScorer) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.device = choose_device("auto")
        self.model = AutoModel.from_pretrained(source, dtype=torch.float32).eval().to(self.device)
        pooling = Path(source) / "1_Pooling" / "config.json"
        if pooling.exists() and not json.loads(pooling.read_text("utf-8")).get("pooling_mode_mean_tokens", True):
            raise UserError(
                f"you asked for the encoder {role.model!r}",
                "it was trained to be read at one token, not by the mean over all",
                "choose an encoder with mean pooling",
            )
        self.batch_size = role.batch_size

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, d]. Texts are batched by length, so that little is spent on padding."""
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
        vectors: list[Vectors] = []
        with torch.inference_mode(), progress("embedding texts", len(texts)) as advance:
            for start in range(0, len(order), self.batch_size):
                batch = [texts[i] for i in order[start : start + self.batch_size]]
                tokens = self.tokenizer(
                    batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
                )
                tokens = tokens.to(self.device)
                hidden = self.model(**tokens).last_hidden_state
                mask = tokens["attention_mask"][..., None]
                vectors.append(unit((hidden * mask).sum(1) / mask.sum(1)))
                advance(len(batch))
        found = np.empty((len(texts), vectors[0].shape[1] if vectors else 0), dtype=np.float32)
        if vectors:
            found[order] = np.concatenate(vectors)
        return found

    def images(self, images: Sequence[bytes]) -> Vectors:
        raise NotImplementedError("a sentence encoder sees no picture")


class JointEncoder:
    """Vectors of texts and pictures in one space, as CLIP and SigLIP project them."""

    sees = True

    def __init__(self, source: str, role: EmbeddingScorer) -> None:
        self.tokenizer, self.processor = (
            AutoTokenizer.from_pretrained(source),
            AutoImageProcessor.from_pretrained(source),
        )
        self.device = choose_device("auto")
        self.model: Any = AutoModel.from_pretrained(source, dtype=torch.float32).eval().to(self.device)
        if not hasattr(self.model, "get_image_features"):
            raise ValueError("it has no joint space of text and pictures")
        self.batch_size = role.batch_size
        self.length: int = self.model.config.text_config.max_position_embeddings
        # A tokenizer that gives no mask belongs to a model that was trained with texts padded to its full length.
        self.padding = "longest" if "attention_mask" in self.tokenizer.model_input_names else "max_length"

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, d]."""

        def features(batch: Sequence[str]) -> Any:
            tokens = self.tokenizer(
                list(batch), padding=self.padding, truncation=True, max_length=self.length, return_tensors="pt"
            )
            return self.model.get_text_features(**tokens.to(self.device))

        return self._in_batches("embedding texts", texts, features)

    def images(self, images: Sequence[bytes]) -> Vectors:
        """Unit vectors [n, d] of PNG files."""

        def features(batch: Sequence[bytes]) -> Any:
            pictures = [Image.open(io.BytesIO(image)).convert("RGB") for image in batch]
            pixels = self.processor(images=pictures, return_tensors="pt")["pixel_values"]
            return self.model.get_image_features(pixel_values=pixels.to(self.device))

        return self._in_batches("embedding pictures", images, features)

    def _in_batches(self, what: str, things: Sequence[Any], features: Any) -> Vectors:
        vectors: list[Vectors] = []
        with torch.inference_mode(), progress(what, len(things)) as advance:
            for start in range(0, len(things), self.batch_size):
                batch = things[start : start + self.batch_size]
                found = features(batch)
                vectors.append(unit(getattr(found, "pooler_output", found)))
                advance(len(batch))
        return np.concatenate(vectors) if vectors else np.empty((0, 0), dtype=np.float32)


def unit(vectors: torch.Tensor) -> Vectors:
    found: Vectors = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
    return found


class Embedded:
    """Vectors of sentences and excerpts, each made once."""

    def __init__(
        self, encoder: Encoder, sentences: Iterable[str], excerpts: Iterable[Excerpt], pictures: Mapping[int, bytes]
    ) -> None:
        self._sees = encoder.sees
        by_id = {excerpt.id: excerpt for excerpt in excerpts}
        seen = {excerpt.context for excerpt in by_id.values() if self._by_sight(excerpt)}
        read = {self.words(excerpt) for excerpt in by_id.values() if not self._by_sight(excerpt)}
        texts, contexts = sorted({*sentences, *read} - {""}), sorted(seen)
        self._texts: dict[str, Vectors] = dict(zip(texts, encoder.texts(texts), strict=True))
        self._images: dict[int, Vectors] = {}
        if contexts:
            images = encoder.images([pictures[context] for context in contexts])
            self._images = dict(zip(contexts, images, strict=True))

    def _by_sight(self, excerpt: Excerpt) -> bool:
        return self._sees and excerpt.grid is not None

    @staticmethod
    def words(excerpt: Excerpt) -> str:
        """An excerpt in words: its text, or the label and text of a picture."""
        return excerpt.text if excerpt.grid is None else f"{excerpt.label} {excerpt.text}".strip()

    def sentence(self, text: str) -> Vectors:
        """[d]"""
        return self._texts[text]

    def excerpt(self, excerpt: Excerpt) -> Vectors | None:
        """[d], or None for a picture without a label that the encoder cannot see."""
        if self._by_sight(excerpt):
            return self._images[excerpt.context]
        return self._texts.get(self.words(excerpt))
