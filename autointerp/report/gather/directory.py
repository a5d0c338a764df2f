"""Everything that the page and the files say, from the run directory."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import pandas as pd

from autointerp import assets, history, sheets, toml
from autointerp.audit.roles import Roles
from autointerp.causal.answers import PROMPT
from autointerp.collect.stage import load_figures, load_sketch
from autointerp.compare import tables as compared
from autointerp.evidence.reader import DictionaryEvidence, picked_of
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.measure import answers
from autointerp.measure import dictionaries as measure
from autointerp.measure.baseline import changes
from autointerp.records import Explanation
from autointerp.report.columns import COSTS, SCORES
from autointerp.report.data import Arm, Baseline, Causal, Counts, DictionaryNote, Report, Settings, Watched
from autointerp.report.frames import texts
from autointerp.report.gather.gates import judged
from autointerp.report.gather.judges import anchored_rows, audited, calibrated
from autointerp.report.gather.passages import passages, thumbnails
from autointerp.report.gather.tables import feature_table, role_table, sampled, unscored_table


def gather(job: Job) -> Report:
    """Everything the page and the files say, from the run directory."""
    cfg, records = job.config, job.directory.records()
    split_hash = records["collect"].facts["split_hash"]
    evidence = {name: DictionaryEvidence(job.directory / "evidence", name, split_hash) for name in cfg.dictionaries}
    explanations = explain.read(job.directory / "explanations.parquet")
    scores = pd.read_parquet(job.directory / "scores.parquet").rename(columns={"reason": "unscored_reason"})[SCORES]
    if cfg.causal is not None:
        scores = with_causal(job, scores)
    entropies = {
        (name, int(feature)): float(entropy)
        for name, side in evidence.items()
        for feature, entropy in zip(side.features["feature"], side.features["token_entropy"], strict=True)
    }
    figures, conventions = {}, {}
    for name in cfg.dictionaries:
        figures[name], conventions[name] = load_figures(job, name)
    # Controls stand after the dictionaries that learned something.
    order = sorted(cfg.dictionaries, key=lambda name: (cfg.dictionaries[name].control is not None, figures[name].width))
    paraphrases = explain.read(job.directory / "paraphrases.parquet") if cfg.paraphraser else []
    roles = Roles(cfg, explanations, records["score"].facts["resolved"], paraphrases)
    features = feature_table(cfg, order, evidence, explanations, scores, roles)
    picked = picked_of(evidence)
    dictionaries = measure.summarise(scores, figures, entropies, order, cfg.seed, cfg.score.resamples, picked)
    done = what_features_do(job, explanations) if cfg.causal is not None else None
    comparison = compared.read(job.directory / "compare") if cfg.compare is not None else None
    more = [anchored_rows(job, figures, picked), comparison.numbers if comparison else None]
    if done is not None:
        widths = {name: figures[name].width for name in order}
        more.append(pd.DataFrame(over_prompts(job, done, widths), columns=measure.COLUMNS))
    if cfg.watch is not None:
        more.append(pd.read_parquet(job.directory / "watch" / "numbers.parquet"))
    dictionaries = pd.concat([dictionaries, *more], ignore_index=True)
    effects, confusion = audited(job, scores, roles, picked)
    baseline = against_baseline(job, dictionaries, sampled(scores, picked))
    concepts = pd.read_parquet(job.directory / "concepts.parquet")
    shown = passages(order, evidence, cfg.evidence.bins, concepts)
    usage = [u for stage in ("explain", "score") for u in records[stage].facts.get("usage", [])]
    return Report(
        name=cfg.name,
        generated=f"{datetime.fromisoformat(records['score'].finished):%d %b %Y %H:%M} UTC",
        version=assets.version(),
        subject=roles.subject.model if roles.subject.known and not cfg.calibration else cfg.subject.model,
        hooks=tuple(sorted({conventions[name]["hook"] for name in order if not cfg.dictionaries[name].control})),
        seed=cfg.seed,
        command=f"autointerp run {job.directory / 'run.toml'}",
        counts=counted(records["collect"].facts),
        settings=Settings(
            cfg.score.prevalence, cfg.score.retrieved, cfg.score.resamples, cfg.circularity.worst, cfg.circularity.allow
        ),
        dictionaries=dictionaries,
        features=features,
        scores=scores,
        roles=role_table(roles),
        costs=pd.DataFrame(usage, columns=COSTS),
        arms=arms_of(scores, roles, picked),
        notes={name: DictionaryNote(figures[name].width, figures[name].dead, conventions[name]) for name in order},
        unscored=unscored_table(scores, dictionaries, figures),
        evidence=shown,
        config=toml.dump(cfg),
        pictures=thumbnails(job, shown),
        circularity=effects,
        confusion=confusion,
        causal=done,
        watched=watched(job, roles) if cfg.watch is not None else None,
        calibration=calibrated(job, scores),
        comparison=comparison,
        densities={name: densities(job, name) for name in order},
        gates=judged(
            cfg,
            sheets.as_read(dictionaries),
            baseline.changes if baseline else None,
            baseline.name if baseline else "",
        ),
        baseline=baseline,
    )


def arms_of(scores: pd.DataFrame, roles: Roles, picked: Set[tuple[str, int]]) -> tuple[Arm, ...]:
    """Who explained and judged, where there is a score of the two."""
    arms = []
    for explainer, scorer, grade in roles.arms():
        own = scores[(scores["explainer"] == explainer) & (scores["scorer"] == scorer) & (scores["control"] == "none")]
        if len(own):
            n_features = len(sampled(own, picked).drop_duplicates(["dictionary", "feature"]))
            arms.append(Arm(explainer, scorer, grade, n_features))
    return tuple(arms)


def counted(facts: Mapping[str, Any]) -> Counts:
    """What collection says that it read and left out."""
    counts = facts["counts"]
    return Counts(
        documents=counts["documents"],
        contexts=counts["contexts"],
        tokens=counts["tokens"],
        positions=counts["positions"],
        masked=facts["masked"],
        dropped_tails=counts["tails_dropped"],
        excluded_documents=counts["documents_excluded_as_training"],
        split_documents={split: counts[f"documents_{split}"] for split in ("explain", "score")},
        pictures=counts.get("pictures", 0),
        left_out={
            what: n for what, n in counts.items() if what.startswith(("pictures", "texts_")) and what != "pictures"
        },
    )


def densities(job: Job, name: str) -> tuple[float, ...]:
    """On which share of the positions each feature fires, of those that fire at all."""
    sketch, _ = load_sketch(job, name)
    fired = sketch.fired.numpy()
    return tuple((fired[fired > 0] / max(1, sketch.n_positions)).tolist())


def against_baseline(job: Job, dictionaries: pd.DataFrame, scores: pd.DataFrame) -> Baseline | None:
    """What has become of the numbers of the baseline, both as they stand in their files."""
    if job.baseline is None:
        return None
    there = job.baseline
    ours, theirs = sheets.as_read(scores[scores["control"] == "none"]), there.sampled_scores()
    resamples = job.config.score.resamples
    changed = changes(sheets.as_read(dictionaries), there.dictionaries(), ours, theirs, job.config.seed, resamples)
    return Baseline(there.name, changed, history.differences(there.config, job.config))


def with_causal(job: Job, scores: pd.DataFrame) -> pd.DataFrame:
    """All scores, those of what features do among them, in the order of scores.csv."""
    more = pd.read_parquet(job.directory / "causal" / "scores.parquet").rename(columns={"reason": "unscored_reason"})
    order = ["dictionary", "feature", "metric", "control", "explainer", "scorer"]
    return pd.concat([scores, more[SCORES]], ignore_index=True).sort_values(order, kind="stable", ignore_index=True)


def what_features_do(job: Job, explanations: Sequence[Explanation]) -> Causal:
    """What the stage has left in the run directory."""
    folder = job.directory / "causal"
    asked, curves, words = (pd.read_parquet(folder / f"{name}.parquet") for name in ("answers", "curves", "words"))
    facts = job.directory.facts("causal")
    said = {(one.dictionary, one.feature): one.text for one in reversed(explanations) if one.text}
    return Causal(asked, answers.by_prompt(asked, job.config.seed), curves, words, facts["left_out"], said)


def over_prompts(job: Job, found: Causal, widths: Mapping[str, int]) -> list[dict[str, Any]]:
    """Rows of dictionaries.csv about prompts."""
    asked = found.answers[found.answers["kind"] == PROMPT]
    return answers.all_dictionaries(asked, widths, job.config.seed, job.config.score.resamples)


def watched(job: Job, roles: Roles) -> Watched:
    """What the stage has left in the run directory. A feature that an explanation points to has its author's grade."""
    folder = job.directory / "watch"
    found, shown, lists = (pd.read_parquet(folder / f"{name}.parquet") for name in ("found", "texts", "lists"))
    grades = [roles.arm(explainer, "") if explainer else "A" for explainer in texts(found, "explainer")]
    return Watched(found.assign(circularity=grades), shown, lists)
