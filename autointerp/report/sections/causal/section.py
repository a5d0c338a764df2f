"""What features do in the subject: is a feature a thermometer or a thermostat?"""

from dataclasses import dataclass

from autointerp.report.data import Report
from autointerp.report.parts.charts import Figure
from autointerp.report.sections.causal.drawn import curves
from autointerp.report.sections.causal.listed import (
    ANSWERED,
    STEERED,
    Chain,
    Fact,
    Family,
    Table,
    chains,
    dictionaries,
    facts,
    families,
    table,
)
from autointerp.report.sections.causal.said import asked, hops, importance, verdicts
from autointerp.report.words.saying import Sentence


@dataclass(frozen=True, slots=True)
class Section:
    lead: Sentence
    notes: tuple[Sentence, ...]
    answered: Table
    steered: Table
    families: tuple[Family, ...]
    figures: tuple[Figure, ...]
    chains: tuple[Chain, ...]
    two_hops: Sentence | None
    facts: tuple[Fact, ...]


def section(report: Report) -> Section | None:
    """None where the run did not ask."""
    found = report.causal
    if found is None:
        return None
    notes = [sentence for name in dictionaries(report) for sentence in (importance(report, name),) if sentence]
    return Section(
        lead=verdicts(report),
        notes=(*notes, asked(found)),
        answered=table(report, ANSWERED),
        steered=table(report, STEERED),
        families=families(found),
        figures=tuple(figure for name in dictionaries(report) for figure in curves(report, name)),
        chains=chains(report),
        two_hops=hops(found),
        facts=facts(report),
    )
