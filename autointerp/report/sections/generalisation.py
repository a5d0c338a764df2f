"""The same concept in another form: what carries over to other languages and pictures."""

from dataclasses import dataclass

from autointerp.report.data import Estimate, Report
from autointerp.report.metrics.names import GENERALISATION
from autointerp.report.parts.tables import QUESTIONS, Grid, row
from autointerp.report.words.saying import Sentence, say, spread
from autointerp.report.words.wording import listing, percent, plural

CARRIED = tuple(
    f"{GENERALISATION}{name}"
    for name in ("carries_over", "auroc", "auroc_text", "auroc_image", "auroc_home", "fire_rate")
)


@dataclass(frozen=True, slots=True)
class FormRow:
    """One form of the concept list: for each dictionary, in the order of `everyone`, AUROC, fire rate, distractors."""

    form: str
    cells: tuple[tuple[Estimate | None, Estimate | None, Estimate | None], ...]


@dataclass(frozen=True, slots=True)
class Section:
    said: Sentence | None
    table: Grid
    forms: tuple[FormRow, ...]


def section(report: Report) -> Section | None:
    """None where no concept list was read."""
    table = by_dictionary(report)
    return Section(carries_over(report), table, by_form(report)) if table else None


def carries_over(report: Report) -> Sentence | None:
    """How many features carry their concept into other languages and pictures? None without a concept list."""
    metric = "generalisation.carries_over"
    found = [(name, report.estimate(name, metric)) for name in report.names]
    shares = [(name, estimate) for name, estimate in found if estimate is not None and estimate.scored]
    if not shares:
        return None
    told_of = listing(
        [
            f"{percent(estimate.value)} of {plural(estimate.n, 'feature')} in {name} "
            f"[{percent(estimate.low)}, {percent(estimate.high)}]"
            for name, estimate in shares
        ]
    )
    beside = [(name, estimate) for name in report.controls if (estimate := report.estimate(name, metric))]
    controls = listing([f"{percent(estimate.value)} in {name}" for name, estimate in beside if estimate.scored])
    chance = [report.estimate(name, "generalisation.auroc", control="permuted") for name, _ in shares]
    reached = [report.estimate(name, "generalisation.auroc") for name, _ in shares]
    areas = spread([estimate.value for estimate in reached if estimate and estimate.scored])
    needed = spread([estimate.value for estimate in chance if estimate and estimate.scored])
    without = sum(estimate.unscored for _, estimate in shares)
    silent = f" Of {plural(without, 'feature')} the list says nothing: see their reasons." if without else ""
    return say(
        "Found in one language or style, a concept carries over to the others for ",
        (told_of,),
        f" ({controls}, which learned nothing)" if controls else "",
        f". Outside the form in which it was found, the AUROC against matched distractors is {areas} on average; the "
        f"best of all features reaches {needed} by chance.{silent} The concept of a feature is chosen on one half of "
        "the documents and measured on the other.",
        grades=("A",),
    )


def by_dictionary(report: Report) -> Grid | None:
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
