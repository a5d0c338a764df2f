"""Put every explanation, and every control, to every scorer; keep the raw verdicts; turn them into scores."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from autointerp import plugins, rubric
from autointerp.audit.roles import Roles
from autointerp.config import ALL, MANNER, PARAPHRASED, Generator, Judge, LLMRole, RunConfig, ScorerRole
from autointerp.corpus import concepts, sources
from autointerp.errors import UserError, WorkPending
from autointerp.evidence.reader import DictionaryEvidence, PoolReader, picked_of
from autointerp.evidence.replay import Contexts, Replay
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.llm.providers import added
from autointerp.measure.scores import BASELINES, ORIGINAL, PRIMARY, Base, primary, score_features, standings
from autointerp.plugins import SCORER
from autointerp.progress import log, progress
from autointerp.records import UNSCORED, Explanation, Score, Verdict, as_row
from autointerp.rubric import Rubric
from autointerp.score import baselines, generalisation, paraphrase, sensitivity, truth
from autointerp.score.cases import Case, about, all_cases, taken
from autointerp.score.scorer import Work, rubrics_of, scorer_of
from autointerp.store import digest_of, write_table

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
        ("activation", pa.float64()),
        ("predicted", pa.list_(pa.float32())),
        ("activations", pa.list_(pa.float32())),
    ]
)
CONCEPTS = pa.schema(
    [("dictionary", pa.string()), ("feature", pa.int64()), ("concept", pa.string()), ("home", pa.string())]
)


def inputs(job: Job) -> dict[str, str]:
    records = job.directory.records()
    found = {
        "collect": digest_of(records["collect"].outputs),
        "evidence": digest_of(records["evidence"].outputs),
        "explanations": digest_of(records["explain"].outputs),
        "score": digest_of([job.config.score.model_dump(include={"prevalence", "retrieved"}), job.config.seed]),
    }
    if job.config.generalisation is not None:
        of_list = job.config.generalisation
        found |= {
            f"concept list {origin}": value
            for origin, value in sources.fingerprints(of_list.path, concepts.KINDS).items()
        }
        found["generalisation"] = digest_of(of_list.model_dump())
    if job.config.paraphraser is not None:
        asked = paraphrase.rubric_of(job.config.paraphraser, job.config.rubrics)
        found["paraphraser"] = digest_of([job.config.paraphraser.model_dump(exclude=set(MANNER)), asked.hash])
    for name, role in job.config.judges.items():
        made_of: list[Any] = [role.model_dump(exclude=set(MANNER)), coverage(job.config, name)]
        made_of += [asked.hash for asked in asked_in(job, role).values() if asked]
        own = None if isinstance(role, Generator) else getattr(scorer_of(role.kind), "made_of", None)
        found[f"scorer {name}"] = digest_of(made_of + (own(role, job) if own else []))
    found |= plugins.added(SCORER, (role.kind for role in job.config.scorers.values()))
    found |= added([*job.config.judges.values(), *([job.config.paraphraser] if job.config.paraphraser else [])])
    return found


def coverage(config: RunConfig, judge: str) -> list[int]:
    """Of how many features a judge is asked about explanations and about paraphrases, by explainer and dictionary."""
    pairs = product(config.explainers, config.dictionaries, ("none", PARAPHRASED))
    return [config.judged(explainer, judge, dictionary, control) for explainer, dictionary, control in pairs]


def asked_in(job: Job, role: Judge) -> dict[str, Rubric | None]:
    """The rubric of each question that a role answers; None where it is not asked in words."""
    if isinstance(role, Generator):
        return {"sensitivity": rubric.load(role.rubric, job.config.rubrics, "generate")}
    rubrics = rubrics_of(role, job.config, job.sees)
    return {question: rubrics.get(question) for question in role.questions}


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
    picked = picked_of(evidence)
    verdicts: list[Verdict] = []
    resolved: dict[str, list[str]] = {}
    pending: list[WorkPending] = []
    paraphraser = job.config.paraphraser
    paraphrases: list[Explanation] = []
    if paraphraser is not None:
        try:
            paraphrases = paraphrase.paraphrases(job, paraphraser, explanations, evidence)
        except WorkPending as error:  # batches of the judges need not wait for those of the paraphraser
            pending.append(error)
    cases = all_cases(job, explanations, picked) + paraphrase.cases(paraphrases)
    for name, role in job.config.judges.items():
        own = taken(job.config, name, cases, evidence)
        try:
            if isinstance(role, Generator):
                verdicts += sensitivity.verdicts(job, name, role, own, evidence)
            else:
                verdicts += judged(role, Work(job, name, own, evidence, pool))
        except WorkPending as error:  # batches of the other roles need not wait for those of this one
            pending.append(error)
        resolved[name] = answered_as(job, name, role)
    if pending:
        raise pending[0]
    written_for = [case for name in job.config.generators for case in taken(job.config, name, cases, evidence)]
    verdicts += sensitivity.originals(job, evidence, written_for)
    verdicts += by_baselines(job, evidence, pool)

    path = job.directory / "verdicts.parquet"
    write_table(path, [as_row(verdict) for verdict in verdicts], VERDICTS)
    scores = all_scores(job, verdicts, explanations, evidence, resolved, paraphrases)
    carried, of_list = generalisation.run(job, evidence)
    scores = sorted(
        [*scores, *(score for found in carried for score in found.scores())],
        key=lambda s: (s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer),
    )
    concepts_path = job.directory / "concepts.parquet"
    write_table(concepts_path, [{name: getattr(one, name) for name in CONCEPTS.names} for one in carried], CONCEPTS)
    scores_path = job.directory / "scores.parquet"
    write_scores(scores_path, scores)
    outputs = [path, concepts_path, scores_path]
    if paraphraser is not None:
        outputs.append(job.directory / "paraphrases.parquet")
        write_table(outputs[-1], [as_row(one) for one in paraphrases], explain.TABLE)
    if job.config.calibration is not None:
        outputs += write_truths(job, list(truth.verdicts(job, cases, evidence)), evidence)
    unscored = sum(bool(score.reason) for score in scores)
    log.info("  %d verdicts, %d scores, %d of them unscored", len(verdicts), len(scores), unscored)
    return outputs, {
        "generalisation": of_list,
        "resolved": resolved,
        "verdicts": len(verdicts),
        "usage": job.usage("scorer", "generator", "paraphraser"),
    }


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    columns = [field.name for field in fields(Score)]
    write_table(path, pd.DataFrame([as_row(score) for score in scores], columns=columns))


def write_truths(job: Job, right: Sequence[Verdict], evidence: dict[str, DictionaryEvidence]) -> list[Path]:
    """The right answers to what judges were asked, and the scores that they make."""
    folder = job.directory / "truths"
    write_table(folder / "verdicts.parquet", [as_row(verdict) for verdict in right], VERDICTS)
    scores = score_features(right, bases_of(evidence), job.config.score.prevalence, job.config.seed)
    write_scores(folder / "scores.parquet", scores)
    return [folder / "verdicts.parquet", folder / "scores.parquet"]


def judged(role: ScorerRole, work: Work) -> list[Verdict]:
    """What a scorer says. UserError where it says what nobody could use, or asks a model of which nobody is told."""
    clients = set(work.job.clients)
    found = list(scorer_of(role.kind).verdicts(role, work))
    wrong = ""
    if set(work.job.clients) - clients and not scorer_of(role.kind).models(role, work.job.config):
        wrong = "it has asked a language model and names none that takes part"
    cases = {(case.dictionary, case.feature, case.explainer, case.control) for case in work.cases}
    known = {*role.questions, *PRIMARY} - BASELINES
    for verdict in found:
        if verdict.scorer != work.name or verdict.question not in known or not verdict.question.isidentifier():
            wrong = f"it answers {verdict.question!r} as {verdict.scorer!r}, and was asked {', '.join(role.questions)}"
        elif (verdict.dictionary, verdict.feature, verdict.explainer, verdict.control) not in cases:
            wrong = f"it judges feature {verdict.feature} of {verdict.dictionary}, which it was not asked about"
        elif not np.isfinite(verdict.value) and not verdict.reason:
            wrong = f"it says {verdict.value} of the item {verdict.item} and gives no reason"
    if wrong:
        raise UserError(
            f"you asked for scores by {work.name!r}", wrong, f"mend the scorer {role.kind!r}: see {SCORER.contract}"
        )
    return found


def answered_as(job: Job, name: str, role: Judge) -> list[str]:
    """The models that a role's provider answered as; none for what runs here."""
    client = job.clients.get(f"{'generator' if isinstance(role, Generator) else 'scorer'} {name}")
    if client is None or not isinstance(role, LLMRole):
        return []
    return sorted(client.resolved) or [role.model]


def by_baselines(job: Job, evidence: dict[str, DictionaryEvidence], pool: PoolReader) -> Iterator[Verdict]:
    """The lexical floor and the probe, on the same items as detection, for every scorable feature."""
    replay = Replay(job, Contexts(job.directory / "collect" / "contexts.parquet", job.config.evidence.window))
    with progress("baselines", 2 * len(evidence)) as advance:
        for name, side in evidence.items():
            features = [feature for feature in side.alive if not side.reasons[feature]]
            found = {"lexical_floor": baselines.lexical_floor(side, features, pool)}
            advance(1)
            found |= baselines.probes(side, features, replay)
            advance(1)
            for question, values in found.items():
                for feature in features:
                    case = Case(name, feature, "", "none", "")
                    for item, value in zip(side.by_feature[feature].items["score"], values[feature], strict=True):
                        yield case.verdict(question, "", **about(item), value=value)


def owed(job: Job) -> Iterator[tuple[str, str, str, str, str, str]]:
    """The rows that every (explainer, scorer) pair owes, even where no explanation came and so nothing was judged."""
    for scorer, role in job.config.judges.items():
        for question, asked in asked_in(job, role).items():
            for explainer, dictionary in product(job.config.explainers, job.config.dictionaries):
                for control in ("none", PARAPHRASED) if question == "detection" else ("none",):
                    if job.config.judged(explainer, scorer, dictionary, control):
                        yield dictionary, primary(question), control, explainer, scorer, asked.name if asked else ""


def bases_of(evidence: dict[str, DictionaryEvidence]) -> dict[tuple[str, int], Base]:
    return {
        (name, int(row["feature"])): Base(float(row["base_rate"]))
        for name, side in evidence.items()
        for row in side.features.to_dict("records")
    }


def all_scores(
    job: Job,
    verdicts: Sequence[Verdict],
    explanations: Sequence[Explanation],
    evidence: dict[str, DictionaryEvidence],
    resolved: dict[str, list[str]],
    paraphrases: Sequence[Explanation] = (),
) -> list[Score]:
    """Scores from verdicts, a row with its reason for every feature that should have one and has none, and standings.

    What a drawn feature should have is what others of the draw have, whatever was picked beside them.
    """
    roles = Roles(job.config, explanations, resolved, paraphrases)
    scores = score_features(verdicts, bases_of(evidence), job.config.score.prevalence, job.config.seed)
    scores = [replace(score, circularity=roles.grade(score)) for score in scores]
    there = {(s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer) for s in scores}
    written = {(e.dictionary, e.feature, e.explainer): e for e in explanations}
    reworded = {(e.dictionary, e.feature, e.explainer): e for e in paraphrases}
    # A feature's own excerpts are measured only for the features that texts were written for.
    expected = {
        (
            (s.dictionary, s.metric, s.control, s.explainer, s.scorer, s.rubric),
            s.feature in evidence[s.dictionary].picked,
        )
        for s in scores
        if not s.metric.startswith(ORIGINAL)
    }
    expected |= {(row, False) for row in owed(job)}
    of_the_draw = {row for row, by_hand in expected if not by_hand}
    for row in sorted({row for row, _ in expected}):
        dictionary, metric, control, explainer, scorer, name = row
        side = evidence[dictionary]
        # Baselines belong to no pair, and are there for all features.
        pair = bool(explainer and scorer)
        limit = job.config.judged(explainer, scorer, dictionary, control) if pair else ALL
        own = control != PARAPHRASED and (not pair or job.config.taken_in(explainer, scorer, dictionary) > 0)
        for feature in side.first(limit, own):
            if row not in of_the_draw and feature not in side.picked:
                continue
            if (dictionary, feature, metric, control, explainer, scorer) not in there:
                explanation = (reworded if control == PARAPHRASED else written).get((dictionary, feature, explainer))
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
    scores += standings(scores, picked_of(evidence))
    return sorted(scores, key=lambda s: (s.dictionary, s.feature, s.metric, s.control, s.explainer, s.scorer))
