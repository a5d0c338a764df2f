"""Put every explanation, and every control, to every scorer; keep the raw verdicts; turn them into scores."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from autointerp import assets, rubric
from autointerp.audit.roles import Roles
from autointerp.config import MANNER, EmbeddingScorer, LLMScorer, Scorer
from autointerp.errors import UserError, WorkPending
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.evidence.replay import Contexts, Replay
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.measure.scores import Base, score_features
from autointerp.measure.statistics import derangement
from autointerp.progress import log, progress
from autointerp.records import UNSCORED, Explanation, Score, Verdict
from autointerp.score import baselines, llm
from autointerp.score.embedding import Embedder
from autointerp.store import digest, digest_of, write_table

VERDICTS = pa.schema(
    [
        ("dictionary", pa.string()),
        ("feature", pa.int64()),
        ("question", pa.string()),
        ("control", pa.string()),
        ("explainer", pa.string()),
        ("scorer", pa.string()),
        ("rubric", pa.string()),
        ("item", pa.string()),
        ("stratum", pa.string()),
        ("fires", pa.bool_()),
        ("weight", pa.float64()),
        ("value", pa.float64()),
        ("reason", pa.string()),
    ]
)
STRONG = 0.1  # of the feature's maximum: a firing that counts as more than a trace


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence to be judged on a feature's evidence: its own explanation, or another's (control `shuffled`)."""

    dictionary: str
    feature: int
    explainer: str
    control: str
    text: str


def inputs(job: Job) -> dict[str, str]:
    records = job.directory.records()
    found = {
        "collect": digest_of(records["collect"].outputs),
        "evidence": digest_of(records["evidence"].outputs),
        "explanations": digest_of(records["explain"].outputs),
        "score": digest_of([job.config.score.model_dump(include={"prevalence", "retrieved"}), job.config.seed]),
    }
    for name, role in job.config.scorers.items():
        made_of: list[Any] = [role.model_dump(exclude=set(MANNER))]
        if isinstance(role, LLMScorer):
            made_of.append(rubric.load(role.rubric or "detection", job.config.rubrics).hash)
        else:
            location = assets.locate(role.model)
            made_of.append(digest(location) if location else "")
        found[f"scorer {name}"] = digest_of(made_of)
    return found


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write verdicts.parquet and scores.parquet; return (outputs, facts)."""
    folder = job.directory / "evidence"
    split_hash = job.directory.facts("collect")["split_hash"]
    explanations = explain.read(job.directory / "explanations.parquet")
    for explanation in explanations:
        if explanation.split_hash != split_hash:
            raise UserError(
                f"you asked to score {job.config.name!r}",
                "its explanations were written for another split of the documents",
                "run the explain stage again",
            )
    evidence = {name: DictionaryEvidence(folder, name, split_hash) for name in job.config.dictionaries}
    pool = PoolReader(folder)

    verdicts: list[Verdict] = []
    resolved: dict[str, list[str]] = {}
    pending: list[WorkPending] = []
    for name, role in job.config.scorers.items():
        cases = [case for case in all_cases(job, explanations) if takes_part(role, case)]
        if isinstance(role, EmbeddingScorer):
            verdicts += by_embedding(job, name, role, cases, evidence, pool)
            resolved[name] = []
        else:
            try:
                found, models = by_llm(job, name, role, cases, evidence)
            except WorkPending as error:  # batches of the other roles need not wait for those of this one
                pending.append(error)
                continue
            verdicts += found
            resolved[name] = models
    if pending:
        raise pending[0]
    verdicts += by_baselines(job, evidence, pool)

    path = job.directory / "verdicts.parquet"
    write_table(path, [asdict(verdict) for verdict in verdicts], VERDICTS)
    scores = all_scores(job, verdicts, explanations, evidence, resolved)
    scores_path = job.directory / "scores.parquet"
    columns = [field.name for field in fields(Score)]
    write_table(scores_path, pd.DataFrame([asdict(score) for score in scores], columns=columns))
    unscored = sum(bool(score.reason) for score in scores)
    log.info("  %d verdicts, %d scores, %d of them unscored", len(verdicts), len(scores), unscored)
    return [path, scores_path], {"resolved": resolved, "verdicts": len(verdicts), "usage": job.usage("scorer ")}


def takes_part(role: Scorer, case: Case) -> bool:
    return (role.dictionaries is None or case.dictionary in role.dictionaries) and (
        role.explainers is None or case.explainer in role.explainers
    )


def all_cases(job: Job, explanations: Sequence[Explanation]) -> list[Case]:
    """Every explanation on its own feature, and on another's by a derangement within (dictionary, explainer)."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in explanations:
        if explanation.text:
            groups.setdefault((explanation.dictionary, explanation.explainer), []).append(explanation)
    cases = []
    for (dictionary, explainer), group in groups.items():
        cases += [Case(dictionary, e.feature, explainer, "none", e.text) for e in group]
        if len(group) > 1:
            order = derangement(len(group), job.rng("shuffled", dictionary, explainer))
            cases += [
                Case(dictionary, e.feature, explainer, "shuffled", group[other].text)
                for e, other in zip(group, order, strict=True)
            ]
    return cases


def limited(role: Scorer, cases: list[Case], evidence: dict[str, DictionaryEvidence]) -> list[Case]:
    """The cases of the first features of the draw, where the role says so."""
    if role.features is None:
        return cases
    first = {name: set(side.alive[: role.features]) for name, side in evidence.items()}
    return [case for case in cases if case.feature in first[case.dictionary]]


def by_embedding(
    job: Job,
    name: str,
    role: EmbeddingScorer,
    cases: list[Case],
    evidence: dict[str, DictionaryEvidence],
    pool: PoolReader,
) -> Iterator[Verdict]:
    """Detection (similarity to each item) and retrieval (the most similar pool excerpts, one per document)."""
    cases = limited(role, cases, evidence)
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
        blank = Verdict(
            case.dictionary, case.feature, "detection", case.control, case.explainer, name, "", "", "", False, 0, 0, ""
        )
        sentence = vectors[place[case.text]]
        for item in known.items["score"]:
            value = float(vectors[place[item.excerpt.text]] @ sentence)
            yield replace(
                blank, item=item.excerpt.id, stratum=item.stratum, fires=item.fires, weight=item.weight, value=value
            )
        strongest = side.firings_of(case.feature).groupby("window")["activation"].max()
        similarity = pool_vectors @ sentence
        order = np.argsort(-similarity, kind="stable")
        first_of_document = np.sort(np.unique(documents[order], return_index=True)[1])[: job.config.score.retrieved]
        for at in order[first_of_document]:
            activation = float(strongest.get(candidates[at], 0.0))
            stratum = (
                "strong" if activation >= STRONG * known.max_activation else "weak" if activation > 0 else "silent"
            )
            yield replace(
                blank,
                question="retrieval",
                item=pool.excerpts[candidates[at]].id,
                stratum=stratum,
                fires=activation > 0,
                weight=1.0,
                value=float(similarity[at]),
            )


def by_llm(
    job: Job, name: str, role: LLMScorer, cases: list[Case], evidence: dict[str, DictionaryEvidence]
) -> tuple[list[Verdict], list[str]]:
    """Detection, a few items a request. The items and their order are the same for an explanation and its control."""
    cases = limited(role, cases, evidence)
    asked = rubric.load(role.rubric or "detection", job.config.rubrics)
    client = job.client(f"scorer {name}", role)
    groups, requests = [], []
    for case in cases:
        items = evidence[case.dictionary].by_feature[case.feature].items["score"]
        chosen = llm.choose(items, role.items, job.rng("judged", name, case.dictionary, case.feature))
        for start in range(0, len(chosen), role.items_per_request):
            group = chosen[start : start + role.items_per_request]
            groups.append((case, group))
            requests.append(llm.request(case.text, group, role, asked))
    with progress(f"judging with {name}", len(requests)) as advance:
        answers = llm.judge(client, requests, [len(group) for _, group in groups], lambda: advance(1))
    verdicts = [
        Verdict(
            case.dictionary, case.feature, "detection", case.control, case.explainer, name, asked.name,
            item.excerpt.id, item.stratum, item.fires, item.weight, value, reason,
        )
        for (case, group), found in zip(groups, answers, strict=True)
        for item, (value, reason) in zip(group, found, strict=True)
    ]  # fmt: skip
    return verdicts, sorted(client.resolved) or [role.model]


def by_baselines(job: Job, evidence: dict[str, DictionaryEvidence], pool: PoolReader) -> Iterator[Verdict]:
    """The lexical floor and the probe, on the same items as detection, for every scorable feature."""
    replay = Replay(job, Contexts(job.directory / "collect" / "contexts.parquet", job.config.evidence.window))
    with progress("baselines", 2 * len(evidence)) as advance:
        for name, side in evidence.items():
            features = [feature for feature in side.alive if not side.reasons[feature]]
            for question, values in (
                ("lexical_floor", baselines.lexical_floor(side, features, pool)),
                ("probe", baselines.probe(side, features, replay)),
            ):
                for feature in features:
                    items = side.by_feature[feature].items["score"]
                    for item, value in zip(items, values[feature], strict=True):
                        yield Verdict(
                            name, feature, question, "none", "", "", "", item.excerpt.id, item.stratum, item.fires,
                            item.weight, value, "",
                        )  # fmt: skip
                advance(1)


def primary(job: Job) -> Iterator[tuple[str, str, str, str, str, str]]:
    """The rows that every (explainer, scorer) pair owes, even where no explanation came and so nothing was judged."""
    for explainer, role in job.config.explainers.items():
        for scorer, judge in job.config.scorers.items():
            asked = ""
            if isinstance(judge, LLMScorer):
                asked = rubric.load(judge.rubric or "detection", job.config.rubrics).name
            for dictionary in job.config.dictionaries:
                case = Case(dictionary, 0, explainer, "none", "")
                if (role.dictionaries is None or dictionary in role.dictionaries) and takes_part(judge, case):
                    yield dictionary, "detection.ap", "none", explainer, scorer, asked


def all_scores(
    job: Job,
    verdicts: Sequence[Verdict],
    explanations: Sequence[Explanation],
    evidence: dict[str, DictionaryEvidence],
    resolved: dict[str, list[str]],
) -> list[Score]:
    """Scores from verdicts, then a row with its reason for every feature that should have one and has none."""
    roles = Roles(job.config, explanations, resolved)
    bases = {
        (name, int(row["feature"])): Base(float(row["base_rate"]))
        for name, side in evidence.items()
        for row in side.features.to_dict("records")
    }
    scores = score_features(verdicts, bases, job.config.score.prevalence, job.config.seed)
    scores = [replace(score, circularity=roles.grade(score)) for score in scores]
    there = {(s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer) for s in scores}
    by_key = {(e.dictionary, e.feature, e.explainer): e for e in explanations}
    expected = {(s.dictionary, s.metric, s.control, s.explainer, s.scorer, s.rubric) for s in scores}
    expected |= set(primary(job))
    for dictionary, metric, control, explainer, scorer, name in sorted(expected):
        side = evidence[dictionary]
        role = job.config.explainers.get(explainer)
        judge = job.config.scorers.get(scorer)
        limit = min((r.features for r in (role, judge) if r is not None and r.features is not None), default=None)
        for feature in side.alive[:limit]:
            if (dictionary, feature, metric, control, explainer, scorer) not in there:
                explanation = by_key.get((dictionary, feature, explainer))
                reason = (
                    side.reasons[feature] or (explanation.reason if explanation else "") or "nothing to compare with"
                )
                score = Score(
                    dictionary,
                    feature,
                    metric,
                    control,
                    explainer,
                    scorer,
                    name,
                    UNSCORED,
                    UNSCORED,
                    UNSCORED,
                    0,
                    0,
                    reason,
                    "",
                )
                scores.append(replace(score, circularity=roles.grade(score)))
    return sorted(scores, key=lambda s: (s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer))
