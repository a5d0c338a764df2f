"""An encoder as a judge: how close is an excerpt to the explanation?

One that sees (CLIP, SigLIP) compares the explanation with the picture itself, one that does not with the words of its
label. Pictures and texts are never equally close to a sentence, so where there are both, closeness is in standard
deviations from the mean of the pool's own pictures, or texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp import assets
from autointerp.config import PARAPHRASED, EmbeddingScorer, RunConfig
from autointerp.evidence.reader import DictionaryEvidence, PoolReader, read_pictures
from autointerp.job import Job
from autointerp.judge.encoders import Embedded, open_encoder
from autointerp.measure.arrays import Bools, Floats
from autointerp.measure.scores import STRONG
from autointerp.records import UNSCORED, Model, Verdict, is_scored
from autointerp.score.cases import Case, about
from autointerp.score.scorer import Work
from autointerp.store import digest

Settings = EmbeddingScorer
UNSEEN = "a picture without a label, which the encoder cannot see"


def models(role: EmbeddingScorer, config: RunConfig) -> list[Model]:
    return [Model("transformers", role.model)]


def made_of(role: EmbeddingScorer, job: Job) -> list[str]:
    location = assets.locate(role.model)
    return [digest(location) if location else ""]


def verdicts(role: EmbeddingScorer, work: Work) -> Iterator[Verdict]:
    pictures: Mapping[int, bytes] = {}
    if work.job.sees:
        sides = work.evidence.values()
        shown = [i.excerpt for side in sides for e in side.by_feature.values() for i in e.items["score"]]
        shown += [work.pool.excerpts[row] for row in work.pool.rows("score")]
        pictures = read_pictures(work.job.directory.path, {excerpt.context for excerpt in shown if excerpt.grid})
    for part in work.apart():
        yield from judged(
            work.name, role, part.cases, work.evidence, work.pool, pictures, work.job.config.score.retrieved
        )


def judged(
    name: str,
    role: EmbeddingScorer,
    cases: Sequence[Case],
    evidence: Mapping[str, DictionaryEvidence],
    pool: PoolReader,
    pictures: Mapping[int, bytes],
    retrieved: int,
) -> Iterator[Verdict]:
    """Detection (similarity to each item) and retrieval (the most similar pool excerpts, one per document)."""
    items = {case: evidence[case.dictionary].by_feature[case.feature].items["score"] for case in cases}
    excerpts = [item.excerpt for found in items.values() for item in found]
    pooled = [pool.excerpts[row] for row in pool.rows("score")]
    vectors = Embedded(open_encoder(role), [case.text for case in cases], [*excerpts, *pooled], pictures)
    candidates = [row for row in pool.rows("score") if vectors.excerpt(pool.excerpts[row]) is not None]
    pool_vectors = np.array([vectors.excerpt(pool.excerpts[row]) for row in candidates], dtype=np.float32)
    seen = np.array([pool.excerpts[row].grid is not None for row in candidates], dtype=bool)
    documents = np.array([pool.excerpts[row].document for row in candidates])
    for case in cases:
        side = evidence[case.dictionary]
        known = side.by_feature[case.feature]
        sentence = vectors.sentence(case.text)
        similarity: Floats = np.asarray(pool_vectors @ sentence, dtype=float) if len(candidates) else np.empty(0)
        level = Level.of(similarity, seen)
        found = [vectors.excerpt(item.excerpt) for item in items[case]]
        own: Floats = np.array([UNSCORED if vector is None else vector @ sentence for vector in found], dtype=float)
        is_picture = np.array([item.excerpt.grid is not None for item in items[case]], dtype=bool)
        for item, value in zip(items[case], level.closeness(own, is_picture).tolist(), strict=True):
            reason = "" if is_scored(value) else UNSEEN
            yield case.verdict("detection", name, **about(item), value=value, reason=reason)
        if case.control == PARAPHRASED:
            continue
        strongest = side.firings_of(case.feature).groupby("window")["activation"].max()
        closeness = level.closeness(similarity, seen)
        order = np.argsort(-closeness, kind="stable")
        first_of_document = np.sort(np.unique(documents[order], return_index=True)[1])[:retrieved]
        for at in order[first_of_document]:
            activation = float(strongest.get(candidates[at], 0.0))
            yield case.verdict(
                "retrieval",
                name,
                item=pool.excerpts[candidates[at]].id,
                stratum=stratum(activation, known.max_activation),
                fires=activation > 0,
                value=float(closeness[at]),
                activation=activation,
            )


@dataclass(frozen=True, slots=True)
class Level:
    """What is close to one sentence: mean and spread of the similarities of pictures (True) and of texts (False)."""

    moments: Mapping[bool, tuple[float, float]]

    @classmethod
    def of(cls, similarity: Floats, seen: Bools) -> "Level":
        """By the pool's excerpts [n], of which those `seen` are pictures; all as they are where it has one sort."""
        if seen.all() or not seen.any():
            return cls({True: (0.0, 1.0), False: (0.0, 1.0)})
        sides = {side: similarity[seen == side] for side in (True, False)}
        return cls({side: (float(own.mean()), max(float(own.std()), 1e-6)) for side, own in sides.items()})

    def closeness(self, similarity: Floats, seen: Bools) -> Floats:
        """Of excerpts [n]."""
        mean, spread = np.where(seen, np.array(self.moments[True])[:, None], np.array(self.moments[False])[:, None])
        return np.asarray((similarity - mean) / spread)


def stratum(activation: float, maximum: float) -> str:
    if activation <= 0:
        return "silent"
    return "strong" if activation >= STRONG * maximum else "weak"
