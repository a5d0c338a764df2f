"""The main table: how well each dictionary is explained, and what of it could not be scored."""

from dataclasses import dataclass

from autointerp.measure.scores import PRIMARY as PRIMARY_OF
from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.frames import numbers
from autointerp.report.parts.strips import Strip, chance_at, strip
from autointerp.report.words.saying import unscored_reasons
from autointerp.report.words.wording import count, percent, plural

PRIMARY = PRIMARY_OF["detection"]
GAIN = "detection.ap.minus_shuffled"
OWN_COLUMN = ("explained_variance", "l0")  # they stand in the main table; bounds on dead features stand in its note


@dataclass(frozen=True, slots=True)
class MainRow:
    """One dictionary and arm of the main table. `span` is 0 on the second and later arms of a dictionary."""

    dictionary: str
    width: int
    n_dead: int
    span: int
    arm: Arm | None
    strip: Strip
    score: Estimate | None
    gain: Estimate | None
    variance: Estimate | None
    l0: Estimate | None


@dataclass(frozen=True, slots=True)
class Section:
    rows: tuple[MainRow, ...]
    chance_at: float
    dead_note: str
    unscored_note: str


def section(report: Report) -> Section:
    return Section(main_table(report), chance_at(report), dead_note(report), unscored_note(report))


def main_table(report: Report) -> tuple[MainRow, ...]:
    """Every arm of a dictionary on one shared axis."""
    arms: list[Arm | None] = [arm for arm in sorted(report.arms, key=lambda arm: arm.grade) if report.has(PRIMARY, arm)]
    arms = arms or [report.headline]
    rows = []
    for name in report.everyone:
        note = report.notes[name]
        # An arm may take in some of the dictionaries only.
        asked = [arm for arm in arms if report.estimate(name, PRIMARY, arm) is not None] or arms[:1]
        for i, arm in enumerate(asked):
            found = [report.estimate(name, metric, arm) if arm else None for metric in (PRIMARY, GAIN)]
            own = [report.estimate(name, metric) for metric in OWN_COLUMN]
            rows.append(
                MainRow(
                    name,
                    note.width,
                    note.n_dead,
                    0 if i else len(asked),
                    arm,
                    strip(report, name, PRIMARY, arm),
                    *found,
                    *own,
                )
            )
    return tuple(rows)


def dead_note(report: Report) -> str:
    """Never fired is a censored statement, and this is its bound (the rule of three)."""
    documents = report.counts.documents
    if not documents:
        return "No document was read."
    return (
        f"“Never fired” means in {plural(documents, 'document')}: with 95% confidence such a feature fires in the part "
        f"read of fewer than {percent(min(1, 3 / documents))} of documents."
    )


def unscored_note(report: Report) -> str:
    """Why features have no primary score, over the arms of the table; other reasons stand in a table below."""
    missing = unscored_reasons(report, report.everyone)
    if missing:
        return "Unscored: " + ", ".join(f"{count(number)} {reason}" for reason, number in missing) + "."
    others = sum(numbers(report.unscored, "count"))
    if others:
        return f"Every detection score has a value; {plural(others, 'other number')} could not be scored."
    return "Nothing was left unscored."
