"""Gates of a run: what no number may do, and in one sentence each whether it did."""

from difflib import get_close_matches
from math import isnan

import pandas as pd

from autointerp.config import GateConfig, RunConfig
from autointerp.finished import GATES
from autointerp.measure.baseline import KEY, Kind, Row, Verdict, real, records, verdict
from autointerp.report.words.wording import decimal

NO_NUMBER = "there is no such number in this run"
SINCE = ("fall", "rise")  # limits on a difference
WORDS: dict[Kind, dict[Verdict, str]] = {
    "fall": {
        "failed": "fell by more than",
        "passed": "did not fall by more than",
        "undecided": "may have fallen by more than",
    },
    "rise": {
        "failed": "rose by more than",
        "passed": "did not rise by more than",
        "undecided": "may have risen by more than",
    },
    "above": {"failed": "is above", "passed": "is not above", "undecided": "may be above"},
    "below": {"failed": "is below", "passed": "is not below", "undecided": "may be below"},
}


def judged(cfg: RunConfig, means: pd.DataFrame, changes: pd.DataFrame | None, baseline: str) -> pd.DataFrame:
    """gates.csv: a row for each limit and each number that it is on. Frames as they come back from their files.

    Of a limit on a difference, value, low and high are those of the difference. A metric that the run does not have at
    all leaves one row without a dictionary.
    """
    rows: list[Row] = []
    means = real(means)
    for metric, gate in cfg.gates.items():
        wanted = records(means[matching(cfg, metric, gate, means)])
        if not wanted:
            rows.append(absent(metric, gate, means))
        for kind, limit in gate.limits.items():
            since = f" since {baseline}" if baseline and kind in SINCE else ""
            for row in wanted:
                found, without = row, "it could not be scored"
                if kind in SINCE:
                    found, without = change(changes, row, baseline)
                decided = verdict(kind, limit, found["value"], found["low"], found["high"])
                doubt = "undecided: " if decided == "undecided" else ""
                said = f"{doubt}{who(row)} {WORDS[kind][decided]} {limit:g}{since}: {told(kind, found) or without}."
                rows.append(
                    {
                        "gate": f"{metric} {kind}",
                        **{column: row[column] for column in ("dictionary", "explainer", "scorer")},
                        **{column: found[column] for column in ("value", "low", "high", "circularity")},
                        "limit": limit,
                        "verdict": decided,
                        "sentence": said,
                    }
                )
    return pd.DataFrame(rows, columns=GATES)


def change(changes: pd.DataFrame | None, row: Row, baseline: str) -> tuple[Row, str]:
    """What has become of a number since the baseline, and why nobody knows where nobody does."""
    unknown = {**row, **dict.fromkeys(("value", "low", "high"), float("nan"))}
    if changes is None:
        return unknown, "there is no baseline to compare with"
    same = records(changes[(changes[KEY] == [row[column] for column in KEY]).all(axis=1)])
    if not same:
        return unknown, f"{baseline} has no such number, or has it by another rubric"
    return {**same[0], "value": same[0]["difference"]}, "it was not scored in both"


def matching(cfg: RunConfig, metric: str, gate: GateConfig, means: pd.DataFrame) -> "pd.Series[bool]":
    """The rows that a gate is on: of dictionaries that learned something, unless it names another."""
    learned = [name for name, entry in cfg.dictionaries.items() if entry.control is None]
    found = (means["metric"] == metric) & means["dictionary"].isin([gate.dictionary] if gate.dictionary else learned)
    for column, name in (("explainer", gate.explainer), ("scorer", gate.scorer)):
        found &= (means[column] == name) if name else True
    return found


def absent(metric: str, gate: GateConfig, means: pd.DataFrame) -> Row:
    near = get_close_matches(metric, sorted(set(means["metric"])), 1)
    hint = f"the nearest is {near[0]}" if near and near[0] != metric else "not with these filters"
    blank = {"dictionary": "", "explainer": gate.explainer or "", "scorer": gate.scorer or "", "circularity": ""}
    return {"gate": metric, **blank, "verdict": "undecided", "sentence": f"{metric}: {NO_NUMBER}; {hint}."}


def who(row: Row) -> str:
    arm = f" ({row['explainer']} judged by {row['scorer']})" if row["explainer"] or row["scorer"] else ""
    return f"{row['metric']} of {row['dictionary']}{arm}"


def told(kind: Kind, found: Row) -> str:
    """The number with its interval; empty where there is none."""
    value, low, high = (float(found[name]) for name in ("value", "low", "high"))
    if isnan(value):
        return ""
    number = decimal(value, 3) if kind not in SINCE or value <= 0 else f"+{decimal(value, 3)}"
    if isnan(low) or isnan(high):
        return f"{number}, which has no interval and decides alone"
    return f"{number} [{decimal(low, 3)}, {decimal(high, 3)}], n = {int(found['n'])}"
