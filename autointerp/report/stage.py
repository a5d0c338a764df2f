"""Measure and report: scores in, CSV files and one HTML page out. Nothing here needs the subject or a model."""

from collections import Counter
from collections.abc import Set
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp import assets, config, history, pictures, ratings, sheets, toml
from autointerp.audit import anchored, crossed, invariance
from autointerp.audit.roles import Roles
from autointerp.collect.sketch import histogram_edges
from autointerp.collect.stage import load_figures, load_sketch
from autointerp.compare import tables as compared
from autointerp.config import RuleExplainer
from autointerp.evidence.reader import DictionaryEvidence, picked_of, read_pictures
from autointerp.explain import rules
from autointerp.explain import stage as explain
from autointerp.job import Job
from autointerp.measure import calibration
from autointerp.measure import dictionaries as measure
from autointerp.measure.baseline import changes
from autointerp.records import Explanation
from autointerp.report import causal, html, watch
from autointerp.report.columns import CIRCULARITY, COSTS, FEATURES, ROLES, SCORES
from autointerp.report.data import Arm, Baseline, Counts, DictionaryNote, FeatureEvidence, Passage, Report, Settings
from autointerp.report.gates import judged
from autointerp.report.metrics.names import COMPARED
from autointerp.report.summary import summary
from autointerp.store import digest, digest_of, write_text

WHOLE = ("explained_variance", "loss_recovered", "loss_rise")  # metrics of a dictionary that can be without a value
TOO_FEW = "too few features to compare"
NOTHING_DRAWN = "no feature was drawn by seed"
SHOWN_FIRING, SHOWN_SILENT = 3, 2  # excerpts on a feature page, per interval and per kind of silence


def inputs(job: Job) -> dict[str, str]:
    records = job.directory.records()
    return {
        **{stage: digest_of(records[stage].outputs) for stage in ("collect", "evidence", "explain", "score")},
        "settings": digest_of(
            [
                job.config.name,
                job.config.seed,
                job.config.score.resamples,
                job.config.circularity.model_dump(),
                job.config.audit and job.config.audit.model_dump(),
                job.config.calibration and job.config.calibration.model_dump(),
            ]
        ),
        **({"compare": digest_of(records["compare"].outputs)} if job.config.compare is not None else {}),
        **({"causal": digest_of(records["causal"].outputs)} if job.config.causal else {}),
        **({"watch": digest_of(records["watch"].outputs)} if job.config.watch else {}),
        "templates": digest(assets.templates()),
        **({"ratings": digest(folder)} if (folder := job.directory / "ratings").is_dir() else {}),
        **gated(job),
    }


def gated(job: Job) -> dict[str, str]:
    """What gates and the comparison with a baseline depend on, where there are any."""
    found = {}
    if job.config.gates:
        found["gates"] = digest_of({name: gate.model_dump() for name, gate in job.config.gates.items()})
    if job.baseline is not None:
        read = ["run.toml", *(f"report/{name}.csv" for name in ("dictionaries", "scores", "features"))]
        found["baseline"] = digest_of([job.baseline.name, *(digest(job.baseline.path / name) for name in read)])
    return found


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write report/*.csv and report/index.html; return (outputs, facts)."""
    report, folder = gather(job), job.directory / "report"
    outputs = write(folder, report)
    # It says what this machine spent, as costs.csv does, and so is no output either.
    write_text(folder / "summary.txt", summary(report, f"{job.directory.location}/report/index.html") + "\n")
    return outputs, {}


def write(folder: Path, report: Report) -> list[Path]:
    """The files of a report; those whose bytes are the same for the same run are returned."""
    frames = {name: getattr(report, name) for name in ("dictionaries", "features", "scores", "roles", "costs")}
    if not report.circularity.empty:
        frames["circularity"] = report.circularity
    if not report.calibration.empty:
        frames["calibration"] = report.calibration
    if report.comparison is not None:
        frames["laws"] = report.comparison.laws
    if not report.gates.empty:
        frames["gates"] = report.gates
    if report.baseline is not None:
        frames["baseline"] = report.baseline.changes
    if report.watched is not None:
        frames["watch"] = report.watched.found
    for gone in {"gates", "baseline"} - set(frames):
        (folder / f"{gone}.csv").unlink(missing_ok=True)
    for name, frame in frames.items():
        sheets.write(folder / f"{name}.csv", frame)
    write_text(folder / "index.html", html.render(report))
    write_text(folder / "audit.html", html.render_audit(report))
    # costs.csv says what this machine spent, so it may differ between two runs that agree in everything else.
    outputs = [folder / f"{name}.csv" for name in frames if name != "costs"]
    return [*outputs, folder / "index.html", folder / "audit.html"]


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
    counts, masked = records["collect"].facts["counts"], records["collect"].facts["masked"]
    arms = []
    for explainer, scorer, grade in roles.arms():
        own = scores[(scores["explainer"] == explainer) & (scores["scorer"] == scorer) & (scores["control"] == "none")]
        if len(own):
            n_features = len(sampled(own, picked).drop_duplicates(["dictionary", "feature"]))
            arms.append(Arm(explainer, scorer, grade, n_features))
    dictionaries = measure.summarise(scores, figures, entropies, order, cfg.seed, cfg.score.resamples, picked)
    done = causal.gather(job, explanations) if cfg.causal is not None else None
    comparison = compared.read(job.directory / "compare") if cfg.compare is not None else None
    more = [anchored_rows(job, figures, picked), comparison.numbers if comparison else None]
    if done is not None:
        widths = {name: figures[name].width for name in order}
        more.append(pd.DataFrame(causal.of_dictionaries(job, done, widths), columns=measure.COLUMNS))
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
        counts=Counts(
            documents=counts["documents"],
            contexts=counts["contexts"],
            tokens=counts["tokens"],
            positions=counts["positions"],
            masked=masked,
            dropped_tails=counts["tails_dropped"],
            excluded_documents=counts["documents_excluded_as_training"],
            split_documents={split: counts[f"documents_{split}"] for split in ("explain", "score")},
            pictures=counts.get("pictures", 0),
            left_out={
                what: n for what, n in counts.items() if what.startswith(("pictures", "texts_")) and what != "pictures"
            },
        ),
        settings=Settings(
            cfg.score.prevalence, cfg.score.retrieved, cfg.score.resamples, cfg.circularity.worst, cfg.circularity.allow
        ),
        dictionaries=dictionaries,
        features=features,
        scores=scores,
        roles=role_table(roles),
        costs=pd.DataFrame(usage, columns=COSTS),
        arms=tuple(arms),
        notes={name: DictionaryNote(figures[name].width, figures[name].dead, conventions[name]) for name in order},
        unscored=unscored_table(scores, dictionaries, figures),
        evidence=shown,
        config=toml.dump(cfg),
        pictures=thumbnails(job, shown),
        circularity=effects,
        confusion=confusion,
        causal=done,
        watched=watch.gather(job, roles) if cfg.watch is not None else None,
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


def sampled(frame: pd.DataFrame, picked: Set[tuple[str, int]]) -> pd.DataFrame:
    """The rows about features that were drawn by seed."""
    keys = zip(frame["dictionary"], frame["feature"], strict=True)
    return frame[[key not in picked for key in keys]] if picked else frame


def feature_table(
    cfg: config.RunConfig,
    order: list[str],
    evidence: dict[str, DictionaryEvidence],
    explanations: list[Explanation],
    scores: pd.DataFrame,
    roles: Roles,
) -> pd.DataFrame:
    """features.csv: a row per (dictionary, feature, explainer), with the first configured scorer that judged it."""
    real = scores[scores["control"] == "none"]
    metrics = sorted(real["metric"].unique())
    values = {
        (d, f, e, s, m): v
        for d, f, e, s, m, v in real[["dictionary", "feature", "explainer", "scorer", "metric", "value"]].itertuples(
            index=False
        )
    }
    judged = {(d, e, s) for d, _, e, s, _ in values}
    written = {(e.dictionary, e.feature, e.explainer): e.text for e in explanations}
    rows = []
    for name in order:
        for known in evidence[name].features.to_dict("records"):
            feature = int(known["feature"])
            explainers = [e for e in cfg.explainers if written.get((name, feature, e))] or [""]
            for explainer in explainers:
                of_it = [s for s in cfg.scorers if (name, explainer, s) in judged]
                # One that is crossed for the audit alone has judged the first features, not all.
                first = [s for s in of_it if cfg.taken_in(explainer, s, name)] + of_it if explainer else [""]
                scorer = next(iter(first), "")
                row = {
                    "dictionary": name,
                    "feature": feature,
                    **{column: known[column] for column in FEATURES[2:7]},
                    "explainer": explainer,
                    "explanation": written.get((name, feature, explainer), ""),
                    "scorer": scorer,
                    "circularity": roles.arm(explainer, scorer) if explainer else "",
                }
                for metric in metrics:
                    anchored = values.get((name, feature, "", "", metric), np.nan)
                    row[metric] = values.get((name, feature, explainer, scorer, metric), anchored)
                rows.append(row)
    return pd.DataFrame(rows, columns=[*FEATURES, *metrics])


def unscored_table(
    scores: pd.DataFrame, dictionaries: pd.DataFrame, figures: dict[str, measure.Figures]
) -> pd.DataFrame:
    """How many numbers are missing, by reason and metric: numbers of features and of whole dictionaries."""
    missing = scores.loc[scores["unscored_reason"] != "", ["unscored_reason", "metric"]]
    missing = missing.rename(columns={"unscored_reason": "reason"})
    collected = dictionaries[dictionaries["metric"].isin(WHOLE) & dictionaries["value"].isna()]
    whole = [(why_unscored(figures[name]), metric) for name, metric in collected[["dictionary", "metric"]].to_numpy()]
    of_nobody = (dictionaries["n"] == 0) & (dictionaries["unscored"] == 0) & dictionaries["value"].isna()
    whole += [(NOTHING_DRAWN, metric) for metric in dictionaries.loc[of_nobody, "metric"]]
    everything = pd.concat([missing, pd.DataFrame(whole, columns=["reason", "metric"])])
    counted = everything.groupby(["reason", "metric"], sort=True).size().rename("count").reset_index()
    return pd.concat([counted, hollow(dictionaries)], ignore_index=True)


def hollow(dictionaries: pd.DataFrame) -> pd.DataFrame:
    """How many numbers of a comparison are missing, by reason and metric."""
    empty = dictionaries[dictionaries["metric"].str.startswith(COMPARED) & dictionaries["value"].isna()]
    return empty.assign(reason=TOO_FEW).groupby(["reason", "metric"]).size().rename("count").reset_index()


def why_unscored(figures: measure.Figures) -> str:
    """Why a whole dictionary has no explained variance or no loss."""
    if np.isnan(figures.explained_variance):
        return "no reconstruction of what is read: a transcoder writes elsewhere"
    return "its losses give no finite number" if figures.losses else "the subject's loss was not measured"


def role_table(roles: Roles) -> pd.DataFrame:
    rows = []
    for row in roles.rows():
        fields = asdict(row)
        lineage = fields.pop("lineage") or {"developer": "", "family": "", "generation": "", "known": True}
        rows.append({**fields, **lineage})
    return pd.DataFrame(rows, columns=ROLES)


def anchored_rows(job: Job, figures: dict[str, measure.Figures], picked: Set[tuple[str, int]]) -> pd.DataFrame | None:
    """Rows of dictionaries.csv that people's ratings correct, if somebody rated."""
    rated = ratings.read(job.directory.path)
    if rated.empty:
        return None
    verdicts = sampled(pd.read_parquet(job.directory / "verdicts.parquet"), picked)
    rows = [{**row, "width": figures[row["dictionary"]].width} for row in anchored.corrected(verdicts, rated)]
    return pd.DataFrame(rows, columns=measure.COLUMNS) if rows else None


def audited(
    job: Job, scores: pd.DataFrame, roles: Roles, picked: Set[tuple[str, int]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """circularity.csv and the confusions of judges and people, over the seeded sample; empty without an audit."""
    asked = job.config.audit
    if asked is None:
        return pd.DataFrame(columns=CIRCULARITY), pd.DataFrame(columns=invariance.CONFUSION)
    verdicts = sampled(pd.read_parquet(job.directory / "verdicts.parquet"), picked)
    rated = ratings.read(job.directory.path)
    made = crossed.design(sampled(scores, picked), roles, asked.explainers, asked.scorers)
    wrong, good = crossed.errors(verdicts, asked.scorers), invariance.opportunity(verdicts, rated, made)
    seed, resamples = job.config.seed, job.config.score.resamples
    effects = crossed.audit(made, wrong, good, seed, resamples)
    effects += invariance.agreements(verdicts, rated, asked.scorers, seed, resamples)
    effects += anchored.more_to_rate(verdicts, rated)
    return pd.DataFrame(crossed.rows(effects), columns=CIRCULARITY), invariance.confusions(
        verdicts, rated, asked.scorers
    )


def calibrated(job: Job, scores: pd.DataFrame) -> pd.DataFrame:
    """calibration.csv; without rows where the features of the run are not planted."""
    if job.config.calibration is None:
        return pd.DataFrame(columns=calibration.COLUMNS)
    folder, (seed, resamples) = job.directory / "truths", (job.config.seed, job.config.score.resamples)
    states = {name: role.states for name, role in job.config.explainers.items() if isinstance(role, RuleExplainer)}
    known = scores[scores["unscored_reason"] != rules.UNKNOWN]
    rows = calibration.calibrate(known, pd.read_parquet(folder / "scores.parquet"), states, seed, resamples)
    verdicts = pd.read_parquet(job.directory / "verdicts.parquet")
    rows += calibration.answers(verdicts, pd.read_parquet(folder / "verdicts.parquet"), seed, resamples)
    return pd.DataFrame(rows, columns=calibration.COLUMNS)


def thumbnails(job: Job, evidence: dict[tuple[str, int], FeatureEvidence]) -> dict[int, bytes]:
    """The pictures of all passages, small, by context."""
    wanted = {passage.picture for side in evidence.values() for passage in side.passages if passage.grid}
    return (
        {context: pictures.thumbnail(png) for context, png in read_pictures(job.directory.path, wanted).items()}
        if wanted
        else {}
    )


def passages(
    order: list[str], evidence: dict[str, DictionaryEvidence], bins: int, concepts: pd.DataFrame
) -> dict[tuple[str, int], FeatureEvidence]:
    """What feature pages show: firing excerpts of the score split by interval, silent ones of each kind, histograms."""
    edges = tuple(histogram_edges().tolist())
    columns = (concepts[column].tolist() for column in ("dictionary", "feature", "concept", "home"))
    about = {(name, feature): (concept, home) for name, feature, concept, home in zip(*columns, strict=True)}
    found: dict[tuple[str, int], FeatureEvidence] = {}
    for name in order:
        side = evidence[name]
        histograms = dict(zip(side.features["feature"], side.features["histogram"], strict=True))
        for feature in side.alive:
            known = side.by_feature.get(feature)
            shown: list[Passage] = []
            shown_of: Counter[str] = Counter()
            for item in known.items["score"] if known else ():
                shown_of[item.stratum] += 1
                if shown_of[item.stratum] > (SHOWN_FIRING if item.fires else SHOWN_SILENT):
                    continue
                step = known.max_activation / bins if known else 0.0
                low = int(item.stratum.removeprefix("bin")) * step if item.fires else 0.0
                excerpt = item.excerpt
                activations = tuple(round(a, 3) for a in excerpt.activations)
                high = low + step if item.fires else 0.0
                picture = excerpt.context if excerpt.grid else 0
                shown.append(
                    Passage(item.stratum, low, high, excerpt.pieces, activations, excerpt.grid, picture, excerpt.label)
                )
            counts = [int(n) for n in histograms[feature]]
            filled = [at for at, n in enumerate(counts) if n] or [0]
            inside = slice(filled[0], filled[-1] + 1)
            found[name, feature] = FeatureEvidence(
                tuple(shown), tuple(counts[inside]), edges[filled[0] : filled[-1] + 2], *about.get((name, feature), ())
            )
    return found
