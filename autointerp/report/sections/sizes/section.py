"""Dictionaries held against each other, the smallest first."""

from dataclasses import dataclass

from autointerp.report.data import Report
from autointerp.report.parts.charts import Figure
from autointerp.report.parts.tables import Grid
from autointerp.report.sections.sizes.drawn import by_size, figures
from autointerp.report.sections.sizes.listed import (
    AbsorbedLine,
    Branch,
    ConceptLine,
    EffectLine,
    absorbed,
    concepts,
    effects,
    tables,
    trees,
)
from autointerp.report.sections.sizes.said import sentences
from autointerp.report.words.saying import Sentence


@dataclass(frozen=True, slots=True)
class Section:
    by_size: tuple[Figure, ...]
    said: tuple[Sentence, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Grid, ...]
    trees: tuple[tuple[Branch, int], ...]
    absorbed: tuple[AbsorbedLine, ...]
    concepts: tuple[ConceptLine, ...]
    effects: tuple[EffectLine, ...]


def section(report: Report) -> Section:
    return Section(
        by_size=by_size(report),
        said=sentences(report),
        figures=figures(report),
        tables=tables(report),
        trees=trees(report),
        absorbed=absorbed(report),
        concepts=concepts(report),
        effects=effects(report),
    )
