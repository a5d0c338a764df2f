"""The rows of CSV files that are made of several others."""

from collections.abc import Set
from dataclasses import asdict

import numpy as np
import pandas as pd

from autointerp.audit.roles import Roles
from autointerp.config import RunConfig
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.measure.dictionaries import Figures
from autointerp.records import Explanation
from autointerp.report.columns import FEATURES, ROLES
from autointerp.report.metrics.names import COMPARED

WHOLE = ("explained_variance", "loss_recovered", "loss_rise")  # metrics of a dictionary that can be without a value
TOO_FEW = "too few features to compare"
NOTHING_DRAWN = "no feature was drawn by seed"


def sampled(frame: pd.DataFrame, picked: Set[tuple[str, int]]) -> pd.DataFrame:
    """The rows about features that were drawn by seed."""
    keys = zip(frame["dictionary"], frame["feature"], strict=True)
    return frame[[key not in picked for key in keys]] if picked else frame


def feature_table(
    cfg: RunConfig,
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


def unscored_table(scores: pd.DataFrame, dictionaries: pd.DataFrame, figures: dict[str, Figures]) -> pd.DataFrame:
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


def why_unscored(figures: Figures) -> str:
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
