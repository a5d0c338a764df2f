"""What is known of the judges: what people correct, the crossed design, planted truths."""

from collections.abc import Set

import pandas as pd

from autointerp import ratings
from autointerp.audit import anchored, crossed, invariance
from autointerp.audit.roles import Roles
from autointerp.config import RuleExplainer
from autointerp.explain import rules
from autointerp.job import Job
from autointerp.measure import calibration
from autointerp.measure.dictionaries import COLUMNS, Figures
from autointerp.report.columns import CIRCULARITY
from autointerp.report.gather.tables import sampled


def anchored_rows(job: Job, figures: dict[str, Figures], picked: Set[tuple[str, int]]) -> pd.DataFrame | None:
    """Rows of dictionaries.csv that people's ratings correct, if somebody rated."""
    rated = ratings.read(job.directory.path)
    if rated.empty:
        return None
    verdicts = sampled(pd.read_parquet(job.directory / "verdicts.parquet"), picked)
    rows = [{**row, "width": figures[row["dictionary"]].width} for row in anchored.corrected(verdicts, rated)]
    return pd.DataFrame(rows, columns=COLUMNS) if rows else None


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
