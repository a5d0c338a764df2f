"""A text encoder as a judge: how close is an excerpt to the explanation?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from autointerp import assets
from autointerp.config import EmbeddingScorer
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.measure.scores import STRONG
from autointerp.progress import progress
from autointerp.records import Verdict
from autointerp.score.cases import Case, about
from autointerp.subjects.subject import choose_device

MAX_TOKENS = 256


class Embedder:
    """Mean-pooled, normalised sentence vectors, as the sentence-transformers models were trained to be read."""

    def __init__(self, role: EmbeddingScorer) -> None:
        source = str(assets.locate(role.model) or role.model)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            self.device = choose_device("auto")
            self.model = AutoModel.from_pretrained(source, dtype=torch.float32).eval().to(self.device)
        except (OSError, ValueError) as error:
            raise UserError(
                f"you asked for the encoder {role.model!r}",
                f"transformers cannot load it ({str(error).strip().splitlines()[0]})",
                "give a folder, package:NAME/PATH, or a hub id while online",
            ) from None
        pooling = Path(source) / "1_Pooling" / "config.json"
        if pooling.exists() and not json.loads(pooling.read_text("utf-8")).get("pooling_mode_mean_tokens", True):
            raise UserError(
                f"you asked for the encoder {role.model!r}",
                "it was trained to be read at one token, not by the mean over all",
                "choose an encoder with mean pooling",
            )
        self.batch_size = role.batch_size

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [n, d]. Texts are batched by length, so that little is spent on padding."""
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
        vectors: list[NDArray[np.float32]] = []
        with torch.inference_mode(), progress("embedding texts", len(texts)) as advance:
            for start in range(0, len(order), self.batch_size):
                batch = [texts[i] for i in order[start : start + self.batch_size]]
                tokens = self.tokenizer(
                    batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
                )
                tokens = tokens.to(self.device)
                hidden = self.model(**tokens).last_hidden_state
                mask = tokens["attention_mask"][..., None]
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                vectors.append(torch.nn.functional.normalize(pooled, dim=1).cpu().numpy())
                advance(len(batch))
        found = np.empty((len(texts), vectors[0].shape[1] if vectors else 0), dtype=np.float32)
        if vectors:
            found[order] = np.concatenate(vectors)
        return found


def verdicts(
    name: str,
    role: EmbeddingScorer,
    cases: Sequence[Case],
    evidence: Mapping[str, DictionaryEvidence],
    pool: PoolReader,
    retrieved: int,
) -> Iterator[Verdict]:
    """Detection (similarity to each item) and retrieval (the most similar pool excerpts, one per document)."""
    candidates = pool.rows("score")
    texts = {pool.excerpts[row].text for row in candidates} | {case.text for case in cases}
    for case in cases:
        texts |= {item.excerpt.text for item in evidence[case.dictionary].by_feature[case.feature].items["score"]}
    ordered = sorted(texts)
    vectors = Embedder(role).embed(ordered)
    place = {text: at for at, text in enumerate(ordered)}
    pool_vectors = vectors[[place[pool.excerpts[row].text] for row in candidates]]
    documents = np.array([pool.excerpts[row].document for row in candidates])
    for case in cases:
        side = evidence[case.dictionary]
        known = side.by_feature[case.feature]
        sentence = vectors[place[case.text]]
        for item in known.items["score"]:
            value = float(vectors[place[item.excerpt.text]] @ sentence)
            yield case.verdict("detection", name, **about(item), value=value)
        strongest = side.firings_of(case.feature).groupby("window")["activation"].max()
        similarity = pool_vectors @ sentence
        order = np.argsort(-similarity, kind="stable")
        first_of_document = np.sort(np.unique(documents[order], return_index=True)[1])[:retrieved]
        for at in order[first_of_document]:
            activation = float(strongest.get(candidates[at], 0.0))
            yield case.verdict(
                "retrieval",
                name,
                item=pool.excerpts[candidates[at]].id,
                stratum=stratum(activation, known.max_activation),
                fires=activation > 0,
                value=float(similarity[at]),
                activation=activation,
            )


def stratum(activation: float, maximum: float) -> str:
    if activation <= 0:
        return "silent"
    return "strong" if activation >= STRONG * maximum else "weak"
