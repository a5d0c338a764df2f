"""Tables that sections are made of: dictionaries by metrics, and a frame for reading."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.frames import flags, numbers, texts
from autointerp.report.metrics.names import question_of
from autointerp.report.words.wording import count, decimal, money

COUNTED = ("requests", "cached", "input_tokens", "output_tokens", "count")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number and its controls by name."""

    estimate: Estimate | None
    controls: tuple[tuple[str, Estimate], ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of dictionaries (and arms) by metrics of one question."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, Arm | None, tuple[Cell, ...]], ...]


QUESTIONS = {
    "loss": "What the reconstruction costs the subject",
    "lexical_floor": "What a token lookup predicts",
    "probe": "What a difference-of-means probe on the activations predicts",
    "probe_logistic": "What a logistic probe on the activations predicts",
    "detection": "Detection: which excerpts does the explanation fit?",
    "fuzzing": "Fuzzing: are the marked tokens the ones it means?",
    "simulation": "Simulation: how strongly does each token fire?",
    "specificity": "Specificity, 0 to 3: is what it says where the feature fires?",
    "sensitivity": "Sensitivity: does the feature fire where it says?",
    "surprisal": "Surprisal: does it help to predict the excerpts?",
    "generalisation": "Generalisation: does it fire on its concept in the other forms?",
    "agreement": "Agreement: do two explainers rank the features alike?",
}


def grids(report: Report, metrics: Sequence[str], arms: Sequence[Arm | None]) -> tuple[Grid, ...]:
    """A table for each question that has numbers, in the order of QUESTIONS."""
    by_question: dict[str, list[str]] = {question: [] for question in QUESTIONS}
    for metric in metrics:
        by_question.setdefault(question_of(metric), []).append(metric)
    found = []
    for question, columns in by_question.items():
        rows = [(name, arm, row(report, name, tuple(columns), arm)) for name in report.everyone for arm in arms]
        kept = tuple(item for item in rows if any(cell.estimate for cell in item[2]))
        if columns and kept:
            found.append(Grid(QUESTIONS.get(question, question.replace("_", " ")), tuple(columns), kept))
    return tuple(found)


def row(report: Report, name: str, metrics: tuple[str, ...], arm: Arm | None) -> tuple[Cell, ...]:
    """The cells of one dictionary and arm; what belongs to no arm is left to the rows without one."""
    controls = sorted({control for _, _, control, _, _ in report.estimates if control != "none"})
    found = []
    for metric in metrics:
        pairs = ((control, report.estimate(name, metric, arm, control)) for control in controls)
        found.append(
            Cell(report.estimate(name, metric, arm), tuple((control, item) for control, item in pairs if item))
        )
    return tuple(found)


def cells(frame: pd.DataFrame) -> list[dict[str, str]]:
    """A frame for reading: counts with thousands apart, an unknown price in words."""
    if frame.empty:
        return []
    columns = {str(name): column_cells(frame, str(name)) for name in frame.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def column_cells(frame: pd.DataFrame, name: str) -> list[str]:
    if name == "price_usd":
        return [money(value) for value in numbers(frame, name)]
    if name == "seconds":
        return [decimal(value, 1) for value in numbers(frame, name)]
    if name == "known":
        return ["yes" if flag else "no" for flag in flags(frame, name)]
    if name in COUNTED:
        return [count(value) for value in numbers(frame, name)]
    return texts(frame, name)
