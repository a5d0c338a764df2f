"""Several finished runs side by side in one report, from what is there: nothing is asked of a model.

Their dictionaries are held against each other as those of one run are. The subject reads again only where a run has
[compare], whose settings then hold for all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp import toml
from autointerp.collect.prepare import differences, inputs
from autointerp.collect.stage import load_figures
from autointerp.compare.sides import renamed as renamed_sides
from autointerp.compare.sides import sides_of
from autointerp.compare.stage import compare as compare_sides
from autointerp.compare.tables import Comparison, comparison, write
from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.report import stage as report
from autointerp.report.gather.directory import gather
from autointerp.report.several.union import Names, renamed, united
from autointerp.store import RunDirectory

NEEDED = ("collect", "evidence", "explain", "score")
# What has to be the same for two numbers to answer one question. The seed, and who explains and judges, may differ.
SAME: dict[str, set[str] | None] = {
    "subject": {"model", "dtype", "picture"},
    "corpus": None,
    "positions": None,
    "evidence": {"window", "pool", "bins", "per_bin", "negatives", "min_firing"},
    "score": {"prevalence", "retrieved"},
}


def compare(runs: Sequence[str | Path], out: str | Path = "runs") -> Path:
    """Write OUT/<name>-and-<name>/report/…; return that folder. Raises UserError where runs cannot be compared."""
    if len(runs) < 2:
        raise UserError(f"you asked to compare {runs[0]}", "one run has nothing beside it", "name two runs or more")
    jobs = opened(runs)
    try:
        refuse_unlike(jobs)
        names = named({name: job.config for name, job in jobs.items()})
        every = {run: renamed(gather(job), names[run]) for run, job in jobs.items()}
        found = compared(jobs, names)
    finally:
        for job in jobs.values():
            job.close()
    folder = Path(out) / "-and-".join(jobs)
    whole = united(folder.name, f"autointerp compare {' '.join(map(str, runs))}", every, found)
    write(folder / "compare", found)
    report.write(folder / "report", whole)
    return folder


def opened(runs: Sequence[str | Path]) -> dict[str, Job]:
    """The jobs of finished runs by the names of their folders."""
    jobs: dict[str, Job] = {}
    for run in runs:
        path = Path(run)
        asked = f"you asked to compare {run}"
        if not (path / "run.toml").is_file():
            raise UserError(asked, "it is no run directory: it has no run.toml", "name the folder of a run")
        if path.resolve().name in jobs:
            raise UserError(asked, f"another run is called {path.resolve().name!r}, too", "rename one of the folders")
        job = Job(toml.load(path / "run.toml"), RunDirectory(path))
        records = job.directory.records()
        missing = [stage for stage in NEEDED if stage not in records]
        if missing:
            raise UserError(
                asked, f"its stage {missing[0]} has not run", f"run `autointerp run {path / 'run.toml'}` first"
            )
        changed = [key for key in differences(records["collect"].inputs, inputs(job)) if key != "autointerp"]
        if changed:
            raise UserError(asked, f"{', '.join(changed)} changed since it ran", "put that back, or run it again")
        jobs[path.resolve().name] = job
    return jobs


def refuse_unlike(jobs: Mapping[str, Job]) -> None:
    """Every setting in which a run differs from the first that would make their numbers about something else."""
    (first, one), *others = jobs.items()
    asked = f"you asked to compare {' and '.join(jobs)}"
    for name, other in others:
        mine, theirs = (settings(job.config) for job in (one, other))
        for key, value in mine.items():
            if theirs[key] != value:
                raise UserError(
                    asked,
                    f"{key} is {value!r} in {first} and {theirs[key]!r} in {name}",
                    f"run one of them again with the other's, by --set {key}=…",
                )
        hooks = [sorted(hooks_of(job)) for job in (one, other)]
        if hooks[0] != hooks[1]:
            raise UserError(
                asked,
                f"{first} reads {', '.join(hooks[0])} and {name} reads {', '.join(hooks[1])}",
                "compare runs of dictionaries of the same hooks",
            )


def settings(config: RunConfig) -> dict[str, Any]:
    """What has to be the same, by the name that --set knows it under."""
    return {
        f"{table}.{key}": value
        for table, include in SAME.items()
        for key, value in getattr(config, table).model_dump(include=include).items()
    }


def hooks_of(job: Job) -> set[str]:
    learned = [name for name, entry in job.config.dictionaries.items() if entry.control is None]
    return {load_figures(job, name)[1]["hook"] for name in learned}


def named(configs: Mapping[str, RunConfig]) -> dict[str, Names]:
    """What everything is called: as in its run, and `run/name` where two runs mean different things by a name.

    Two dictionaries of one name are two even where they are the same file: they were evaluated twice.
    """
    times = Counter(name for config in configs.values() for name in config.dictionaries)
    roles: dict[str, list[Any]] = {}
    for config in configs.values():
        for name, role in {**config.explainers, **config.judges}.items():
            known = roles.setdefault(name, [])
            if role not in known:
                known.append(role)
    return {
        run: Names(
            {name: name if times[name] == 1 else f"{run}/{name}" for name in config.dictionaries},
            {
                name: name if len(roles[name]) == 1 else f"{run}/{name}"
                for name in {**config.explainers, **config.judges}
            },
        )
        for run, config in configs.items()
    }


def compared(jobs: Mapping[str, Job], names: Mapping[str, Names]) -> Comparison:
    """All dictionaries of all runs against each other."""
    sides, scores = [], []
    for run, job in jobs.items():
        sides += renamed_sides(sides_of(job), names[run].dictionaries)
        frame = pd.read_parquet(job.directory / "scores.parquet")
        frame["dictionary"] = frame["dictionary"].map(names[run].dictionaries)
        for column in ("explainer", "scorer"):
            frame[column] = frame[column].map(names[run].of_roles)
        scores.append(frame)
    reader = next((job for job in jobs.values() if job.config.compare is not None), next(iter(jobs.values())))
    found = compare_sides(reader, sides, pd.concat(scores, ignore_index=True), reader.config.compare)
    first, *others = jobs
    note = f"Counts of what was read are those of {first}; {', '.join(others)} drew with the same settings."
    more = comparison({"notes": [{"about": "runs", "note": note}]}).notes
    return Comparison(**{**vars(found), "notes": pd.concat([found.notes, more], ignore_index=True)})
