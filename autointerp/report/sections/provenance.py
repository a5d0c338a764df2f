"""Where it comes from: roles, dictionaries, what was read and left out, what it cost."""

from dataclasses import dataclass

from autointerp.report.data import Report
from autointerp.report.parts.tables import cells
from autointerp.report.words.wording import count, masks


@dataclass(frozen=True, slots=True)
class Section:
    roles: list[dict[str, str]]
    facts: tuple[tuple[str, str], ...]
    reasons: list[dict[str, str]]
    costs: list[dict[str, str]]


def section(report: Report) -> Section:
    return Section(cells(report.roles), facts(report), cells(report.unscored), cells(report.costs))


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """What was read, and what was left out and why."""
    counts = report.counts
    splits = ", ".join(f"{count(number)} {name}" for name, number in counts.split_documents.items())
    return (
        ("documents", f"{count(counts.documents)}" + (f" ({splits})" if splits else "")),
        ("contexts", count(counts.contexts)),
        ("positions read" if counts.pictures else "tokens read", count(counts.tokens)),
        *([("pictures", count(counts.pictures))] if counts.pictures else []),
        *((what.replace("_", " "), count(number)) for what, number in counts.left_out.items()),
        ("positions kept", count(counts.positions)),
        *((f"masked: {reason}", count(number)) for reason, number in masks(counts).items()),
        ("short tails dropped", count(counts.dropped_tails)),
        ("training documents excluded", count(counts.excluded_documents)),
        *((f"alive features drawn by seed: {name}", count(number)) for name, number in report.evaluated.items()),
        *([("features hand-picked", count(len(report.picked)))] if report.picked else []),
        ("seed", str(report.seed)),
    )
