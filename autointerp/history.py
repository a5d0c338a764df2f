"""Runs that are kept by date, NAME-2026-11-23 in the folder of runs: which there are, and which may be compared."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.finished import Run
from autointerp.measure import baseline as measure
from autointerp.store import RunDirectory

DATED = re.compile(r"(?P<name>.+)-(?P<date>\d{4}-\d\d-\d\d)")
LAST = "last"
# What two runs must share for the same features to be drawn and the same items to be judged.
SHARED = (
    "seed",
    "subject.model",
    "subject.dtype",
    "subject.picture",
    "corpus",
    "positions",
    "collect.keep",
    "evidence.window",
    "evidence.pool",
    "evidence.bins",
    "evidence.per_bin",
    "evidence.negatives",
    "evidence.min_firing",
    "score.prevalence",
    "score.retrieved",
    "generalisation",
)
SHARED_OF_DICTIONARY = ("hook", "control", "like")
CONTENT = ("subject", "corpus file ")  # inputs of collection that stand for the files behind these settings
NOTHING = "nothing"


def today() -> str:
    """The date in UTC, so that it does not depend on where and in which season the machine stands."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def undated(name: str) -> str:
    found = DATED.fullmatch(name)
    return found["name"] if found else name


def date_of(name: str) -> str:
    """The date in the name of a run; empty where there is none."""
    found = DATED.fullmatch(name)
    return found["date"] if found else ""


def dated(name: str) -> str:
    """The name of today's run; of one that has a date already, too."""
    return f"{undated(name)}-{today()}"


def kept(out: str | Path, name: str) -> list[Run]:
    """The runs of a name that are kept by date, oldest first, whether they have ended or not."""
    if "://" in str(out):
        raise UserError(
            f"you asked for the earlier runs of {undated(name)!r} in {out}",
            "they can be looked for in a local folder alone",
            "name a copy of them with --out",
        )
    folders = [path.parent for path in Path(out).glob(f"{undated(name)}-*/run.toml")]
    of_name = [path for path in folders if date_of(path.name) and undated(path.name) == undated(name)]
    return [Run(path) for path in sorted(of_name, key=lambda path: date_of(path.name))]


def baseline_of(config: RunConfig, out: str | Path) -> Run | None:
    """The run that a config is compared with; None where it names none, or `last` and there is none yet.

    Raises UserError for one that is not there or not comparable.
    """
    if config.baseline is None:
        return None
    if config.baseline == LAST:
        date = date_of(config.name)
        earlier = [run for run in kept(out, config.name) if not date or date_of(run.name) < date]
        found = next((run for run in reversed(earlier) if run.good), None)
    else:
        found = Run(Path(config.baseline))
        if not found.ended:
            raise UserError(
                f"you asked to compare with {config.baseline}",
                "it is no finished run: it has no report",
                "name the folder of a run that has ended",
            )
        if "://" not in str(out) and found.path.resolve() == (Path(out) / config.name).resolve():
            raise UserError(f"you asked to compare with {config.baseline}", "it is this very run", "name another one")
    if found is not None:
        refuse_incomparable(config, found)
    return found


def refuse_incomparable(config: RunConfig, baseline: Run) -> None:
    """Stop before anything is spent where the settings of two runs make other features or other items of them."""
    here, there = config.dictionaries, baseline.config.dictionaries
    both = [name for name in here if name in there]
    if not both:
        found = f"no dictionary has the same name in both: {', '.join(here)} here, {', '.join(there)} there"
        raise UserError(f"you asked to compare with {baseline.path}", found, "give one of them the same name")
    of_dictionaries = tuple(f"dictionaries.{name}.{field}" for name in both for field in SHARED_OF_DICTIONARY)
    for setting, (before, now) in differences(baseline.config, config).items():
        if any(f"{setting}.".startswith(f"{shared}.") for shared in (*SHARED, *of_dictionaries)):
            raise UserError(
                f"you asked to compare with {baseline.path}",
                f"{setting} is {before} there and {now} here",
                "make the two agree, or name another baseline",
            )


def refuse_other_content(inputs: Mapping[str, str], baseline: Run, recorded: Mapping[str, str]) -> None:
    """The same for the files behind the settings, by what the collection of each run has read."""
    for name in sorted(inputs.keys() | recorded.keys()):
        if name.startswith(CONTENT) and inputs.get(name) != recorded.get(name):
            raise UserError(
                f"you asked to compare with {baseline.path}",
                f"the {name} has changed since",
                "put that back, or name another baseline",
            )


def changes(now: Run, before: Run) -> pd.DataFrame:
    """What each number of a run has become since another one, feature by feature where both scored it.

    The columns are those of baseline.csv (see `measure.baseline.changes`). UserError where the two runs do not ask the
    same of the same features; explainers, judges and the files of a dictionary may differ.
    """
    refuse_incomparable(now.config, before)
    inputs, recorded = (RunDirectory(run.path).records()["collect"].inputs for run in (now, before))
    refuse_other_content(inputs, before, recorded)
    return measure.changes(
        now.dictionaries(),
        before.dictionaries(),
        now.sampled_scores(),
        before.sampled_scores(),
        now.config.seed,
        now.config.score.resamples,
    )


def differences(before: RunConfig, now: RunConfig) -> dict[str, tuple[str, str]]:
    """The settings that differ, by their dotted names, with both values in words. The name of the run is none."""
    one, other = (flat(config.model_dump(mode="json")) for config in (before, now))
    found = {
        key: (one.get(key, NOTHING), other.get(key, NOTHING))
        for key in [*other, *(key for key in one if key not in other)]
    }
    return {key: pair for key, pair in found.items() if pair[0] != pair[1] and key not in ("name", "baseline")}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A tree of settings by dotted names; what is not set is not there."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = repr(value)
    return found
