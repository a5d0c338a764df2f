"""Several reports as one: their frames under names that nobody else has, and a comparison of all their dictionaries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from autointerp.compare.tables import Comparison
from autointerp.report.data import AGAINST, Arm, DictionaryNote, Report
from autointerp.report.gather.tables import TOO_FEW, hollow
from autointerp.report.metrics.names import COMPARED

ROLES = ("explainer", "scorer", "generator")


@dataclass(frozen=True, slots=True)
class Names:
    """What dictionaries, and explainers and judges, of one run are called in the report of several."""

    dictionaries: Mapping[str, str]
    roles: Mapping[str, str]

    def of_roles(self, name: str) -> str:
        """Also of two explainers at once, as the rows about their agreement have them."""
        return " and ".join(self.roles.get(part, part) for part in name.split(" and "))

    def of_role(self, role: str) -> str:
        kind, _, name = role.partition(" ")
        return f"{kind} {self.roles.get(name, name)}" if kind in ROLES else role


def renamed(report: Report, names: Names) -> Report:
    """The same report under the names of the union, without what compared its own dictionaries alone."""

    def changed(frame: pd.DataFrame, columns: Mapping[str, Callable[[str], str]]) -> pd.DataFrame:
        kept = {column: change for column, change in columns.items() if column in frame}
        return frame.assign(**{column: frame[column].map(change) for column, change in kept.items()})

    of_dictionary = names.dictionaries.__getitem__
    columns = {"dictionary": of_dictionary, "explainer": names.of_roles, "scorer": names.of_roles}
    own = report.dictionaries[~report.dictionaries["metric"].str.startswith(COMPARED)]
    return replace(
        report,
        dictionaries=changed(own, columns),
        features=changed(report.features, columns),
        scores=changed(report.scores, columns),
        roles=changed(report.roles, {"role": names.of_role}),
        costs=changed(report.costs, {"role": names.of_role}),
        arms=tuple(
            replace(arm, explainer=names.of_roles(arm.explainer), scorer=names.of_roles(arm.scorer))
            for arm in report.arms
        ),
        notes={of_dictionary(name): note_of(note, names) for name, note in report.notes.items()},
        unscored=report.unscored[report.unscored["reason"] != TOO_FEW],
        evidence={(of_dictionary(name), feature): item for (name, feature), item in report.evidence.items()},
        densities={of_dictionary(name): values for name, values in report.densities.items()},
    )


def note_of(note: DictionaryNote, names: Names) -> DictionaryNote:
    like = note.convention.get(AGAINST)
    return replace(note, convention=note.convention | {AGAINST: names.dictionaries[like]}) if like else note


def united(name: str, command: str, reports: Mapping[str, Report], comparison: Comparison) -> Report:
    """One report of several that were renamed, by run. What is not of a dictionary is that of the first run."""
    every = list(reports.values())
    first = every[0]

    def joined(column: str) -> pd.DataFrame:
        frames: list[pd.DataFrame] = [getattr(report, column) for report in every]
        return pd.concat(frames, ignore_index=True)

    dictionaries = pd.concat([joined("dictionaries"), comparison.numbers], ignore_index=True)
    unscored = pd.concat([joined("unscored"), hollow(dictionaries)], ignore_index=True)
    reasons = list(
        dict.fromkeys(f"{run}: {report.settings.allow}" for run, report in reports.items() if report.settings.allow)
    )
    return replace(
        first,
        name=name,
        command=command,
        generated=max(report.generated for report in every),
        settings=replace(
            first.settings,
            worst=min(report.settings.worst for report in every),
            allow="; ".join(reasons) or None,
        ),
        dictionaries=dictionaries,
        features=joined("features"),
        scores=joined("scores"),
        roles=joined("roles").drop_duplicates(ignore_index=True),
        costs=joined("costs"),
        arms=arms_of(every),
        notes=merged(every, "notes"),
        unscored=unscored.groupby(["reason", "metric"], sort=True)["count"].sum().reset_index(),
        evidence=merged(every, "evidence"),
        pictures=merged(every, "pictures"),
        densities=merged(every, "densities"),
        config="\n".join(f"# {run}\n{report.config}" for run, report in reports.items()),
        circularity=first.circularity.iloc[:0],  # a crossed design is of one run
        confusion=first.confusion.iloc[:0],
        comparison=comparison,
    )


def merged(reports: Sequence[Report], field: str) -> dict[Any, Any]:
    return {key: value for report in reports for key, value in getattr(report, field).items()}


def arms_of(reports: Sequence[Report]) -> tuple[Arm, ...]:
    """Each arm once, with the worst of its grades and the features of all runs."""
    found: dict[tuple[str, str], Arm] = {}
    for arm in (arm for report in reports for arm in report.arms):
        key = arm.explainer, arm.scorer
        old = found.get(key, Arm(*key, "", 0))
        found[key] = Arm(*key, max(old.grade, arm.grade), old.n_features + arm.n_features)
    return tuple(found.values())
