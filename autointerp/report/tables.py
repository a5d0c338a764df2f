"""The rows of the page's tables: which number stands where, with its control and its grade."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.llm.lineage import normal_form
from autointerp.measure import baseline
from autointerp.measure.scores import PERCENTILE
from autointerp.measure.scores import PRIMARY as PRIMARY_OF
from autointerp.records import PICKED
from autointerp.report.data import GRADES, Arm, Estimate, Report
from autointerp.report.frames import numbers, texts
from autointerp.report.metrics.names import CAUSAL, GENERALISATION, compared
from autointerp.report.parts.strips import Strip, strip
from autointerp.report.parts.tables import QUESTIONS, Cell, Grid, cells, grids, row
from autointerp.report.words.wording import count, masks, model_name

PRIMARY = PRIMARY_OF["detection"]
GAIN = "detection.ap.minus_shuffled"
CARRIED = tuple(
    f"{GENERALISATION}{name}"
    for name in ("carries_over", "auroc", "auroc_text", "auroc_image", "auroc_home", "fire_rate")
)
HAND_PICKED = "Hand-picked features: which share of the seeded sample do they beat? 0.5 is as if picked by lot"
OWN_COLUMN = ("explained_variance", "l0")  # they stand in the main table; bounds on dead features stand in its note


@dataclass(frozen=True, slots=True)
class Link:
    """One box of a chain: who, in which role, made by whom."""

    role: str
    name: str
    maker: str
    title: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Subject, explainer and scorer of an arm. `reason` says why a grade worse than the gate was allowed."""

    links: tuple[Link, ...]
    arm: Arm
    reason: str


def chains(report: Report) -> tuple[Chain, ...]:
    """Who graded whom, best grade first."""
    roles = dict(zip(texts(report.roles, "role"), cells(report.roles), strict=True))
    subject = link("subject", "subject", report.subject, roles.get("subject"))
    found = []
    for arm in sorted(report.arms, key=lambda arm: arm.grade):
        explainer = link(
            "explainer", f"explainer {arm.explainer}", arm.explainer, roles.get(f"explainer {arm.explainer}")
        )
        kind = "generator" if f"generator {arm.scorer}" in roles else "scorer"
        scorer = link(kind, f"{kind} {arm.scorer}", arm.scorer, roles.get(f"{kind} {arm.scorer}"))
        reason = (report.settings.allow or "") if arm.grade > report.settings.worst else ""
        found.append(Chain(merged((subject, explainer, scorer)), arm, reason))
    return tuple(found)


def merged(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Neighbours that are one model become one box: a chain that ends where it began should look like it."""
    boxes: list[Link] = []
    for item in links:
        if boxes and (boxes[-1].name, boxes[-1].maker) == (item.name, item.maker):
            last = boxes.pop()
            role = f"{last.role.replace(' and ', ', ')} and {item.role}"
            item = Link(role, item.name, item.maker, f"{last.title}; {item.title}")
        boxes.append(item)
    return tuple(boxes)


def link(role: str, key: str, fallback: str, row: dict[str, str] | None) -> Link:
    """A model is named by its resolved id in normal form, so one model is one name; code has a name and no maker."""
    identifier = (row["resolved"] or row["requested"]) if row else ""
    if not identifier or row is None:
        return Link(role, model_name(fallback), "subject of the run" if role == "subject" else "no model", key)
    maker = row["developer"] or ("no model" if row["known"] == "yes" else "unknown developer")
    asked = row["requested"]
    title = f"{key}: {identifier}" + (f", requested as {asked}" if asked not in ("", identifier) else "")
    return Link(role, normal_form(identifier) if row["developer"] else model_name(identifier), maker, title)


def by_grade(report: Report) -> tuple[tuple[str, int, int], ...]:
    """For each grade, how many numbers stand in the tables and how many on feature pages."""
    page, features = (Counter(texts(frame, "circularity")) for frame in (report.dictionaries, report.scores))
    return tuple((grade, page[grade], features[grade]) for grade in GRADES)


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


def anchor_tables(report: Report) -> tuple[Grid, ...]:
    """Numbers in which no model took part, beside the ones of the main table."""
    known = ("dead_share", "dead_bound_documents", "dead_bound_tokens", *OWN_COLUMN)
    metrics = [
        metric
        for metric, armed in report.metrics
        if not (armed or metric in known or metric.startswith((GENERALISATION, *CAUSAL)) or compared(metric))
    ]
    return grids(report, metrics, [None])


@dataclass(frozen=True, slots=True)
class Known:
    """A number about a judge beside what a perfect reader gets; `estimate` is None where nobody asked."""

    estimate: Estimate | None
    reader: float = math.nan


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one judge answers one question on planted features: numbers under the names of `Calibrations.columns`."""

    dictionary: str
    scorer: str
    metric: str
    grade: str
    cells: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The columns are (quantity, against); `together` are rows of several judges: quantity, metric, who, number."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[Calibration, ...]
    together: tuple[tuple[str, str, str, Known], ...]


def calibrations(report: Report) -> Calibrations | None:
    """calibration.csv as a table; None where the features of the run are not planted."""
    frame = report.calibration
    if frame.empty:
        return None
    keys = zip(
        *(texts(frame, name) for name in ("dictionary", "scorer", "metric", "quantity", "against", "circularity")),
        strict=True,
    )
    values = zip(*(numbers(frame, name) for name in ("value", "low", "high", "n", "unscored", "reader")), strict=True)
    columns: dict[tuple[str, str], None] = {}
    arms: dict[tuple[str, str, str], dict[tuple[str, str], Known]] = {}
    grades: dict[tuple[str, str, str], str] = {}
    together = []
    for (dictionary, scorer, metric, quantity, against, grade), (value, low, high, n, left, reader) in zip(
        keys, values, strict=True
    ):
        known = Known(Estimate(value, low, high, int(n), int(left), grade), reader)
        if not scorer:
            who = f"judges of grade {grade}" if grade else "all judges"
            together.append((quantity, metric, f"{who}, {dictionary}", known))
            continue
        columns[quantity, against] = None
        arms.setdefault((dictionary, scorer, metric), {})[quantity, against] = known
        grades[dictionary, scorer, metric] = max(grade, grades.get((dictionary, scorer, metric), ""))
    rows = tuple(
        Calibration(*arm, grades[arm], tuple(found.get(column, Known(None)) for column in columns))
        for arm, found in sorted(arms.items(), key=lambda item: (item[0][2], item[0][0], grades[item[0]], item[0][1]))
    )
    return Calibrations(tuple(columns), rows, tuple(together))


@dataclass(frozen=True, slots=True)
class FormRow:
    """One form of the concept list: for each dictionary, in the order of `everyone`, AUROC, fire rate, distractors."""

    form: str
    cells: tuple[tuple[Estimate | None, Estimate | None, Estimate | None], ...]


def generalisation(report: Report) -> Grid | None:
    """What carries over, by dictionary; None where no concept list was read."""
    metrics = tuple(name for name in CARRIED if any(metric == name for metric, _ in report.metrics))
    rows = tuple((name, None, row(report, name, metrics, None)) for name in report.everyone)
    return Grid(QUESTIONS["generalisation"], metrics, rows) if metrics else None


def by_form(report: Report) -> tuple[FormRow, ...]:
    """Form by form, the best known first."""
    start = f"{GENERALISATION}auroc."
    forms = [metric.removeprefix(start) for metric, _ in report.metrics if metric.startswith(start)]
    found = []
    for form in forms:
        rate = f"{GENERALISATION}fire_rate.{form}"
        asked = (("auroc", "none", start + form), ("rate", "none", rate), ("rate", "distractors", rate))
        cells = [
            tuple(report.estimate(name, metric, None, control) for _, control, metric in asked)
            for name in report.everyone
        ]
        found.append(FormRow(form, tuple((a, b, c) for a, b, c in cells)))

    def area(item: FormRow) -> float:
        first = next((estimate for estimate, _, _ in item.cells if estimate and estimate.scored), None)
        return first.value if first else 0.0

    return tuple(sorted(found, key=lambda item: (-area(item), item.form)))


def other_tables(report: Report) -> tuple[Grid, ...]:
    """All that an arm says beside its detection and the gain of that over shuffled; controls stand in the cells."""
    metrics = [
        metric
        for metric, armed in report.metrics
        if armed and metric not in (PRIMARY, GAIN) and not metric.endswith(PERCENTILE) and not compared(metric)
    ]
    shown = [metric for metric in metrics if metric.partition(".minus_")[0] in (*PRIMARY_OF.values(), metric)]
    arms = sorted(report.arms, key=lambda arm: arm.grade)
    return (*grids(report, shown, [*arms, *report.pairs]), *cherry_picking(report, arms))


def cherry_picking(report: Report, arms: Sequence[Arm]) -> tuple[Grid, ...]:
    """Where the hand-picked features stand among those drawn by seed; no table where nothing was picked."""
    metrics = tuple(metric for metric, _ in report.metrics if metric.endswith(PERCENTILE))
    rows = [
        (name, arm, tuple(Cell(report.estimate(name, metric, arm, PICKED)) for metric in metrics))
        for name in report.everyone
        for arm in arms
    ]
    kept = tuple(item for item in rows if any(cell.estimate for cell in item[2]))
    return (Grid(HAND_PICKED, metrics, kept),) if kept else ()


@dataclass(frozen=True, slots=True)
class Change:
    """A number that the baseline has, too. `unscored` in `change` are features that were not scored in both."""

    dictionary: str
    metric: str
    arm: str
    before: float
    value: float
    change: Estimate
    by: str


def changes(report: Report, moved: bool = False) -> tuple[Change, ...]:
    """baseline.csv for reading; with `moved`, what has changed by the whole of its interval."""
    if report.baseline is None:
        return ()
    frame = baseline.moved(report.baseline.changes) if moved else report.baseline.changes
    rows = []
    for row in frame.to_dict("records"):
        arm = " → ".join(name for name in (row["explainer"], row["scorer"]) if name)
        value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        change = Estimate(value, low, high, int(row["n"]), int(row["unscored"]), row["circularity"])
        said = row["dictionary"], row["metric"], arm, float(row["before"]), float(row["value"])
        rows.append(Change(*said, change, row["by"]))
    return tuple(rows)


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
