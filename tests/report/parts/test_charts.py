"""Charts hold the numbers of the frames, and nothing that a run calls something is ever an expression."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import altair as alt
import pandas as pd
import pytest

from autointerp.report.data import Estimate, Report
from autointerp.report.parts import charts
from autointerp.report.sections.sizes import drawn
from tests.report.builders import HOSTILE, LEXICAL, NAN, build, changed, hostile, with_comparison

EXPRESSION = "datum['y'].z[0] ${alert(3)} {signal: width}"
CODE = ("signal", "expr", "test", "update", "filter", "init", "on", "events")


def named(name: str) -> Report:
    """Three compared dictionaries, the first of which has this name."""
    report = with_comparison(build())
    assert report.comparison is not None
    frames = {key: frame.replace("demo-256", name) for key, frame in vars_of(report.comparison).items()}
    return dataclasses.replace(
        report,
        comparison=dataclasses.replace(report.comparison, **frames),
        dictionaries=report.dictionaries.replace("demo-256", name),
        notes={name if key == "demo-256" else key: note for key, note in report.notes.items()},
        densities={name if key == "demo-256" else key: item for key, item in report.densities.items()},
    )


def vars_of(found: Any) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}


def every(report: Report) -> tuple[charts.Figure, ...]:
    return (*drawn.by_size(report), *drawn.figures(report))


def expressions(spec: Any, inside: bool = False) -> Iterator[str]:
    """Every string of a Vega specification that is or holds code."""
    if isinstance(spec, str):
        if inside:
            yield spec
    elif isinstance(spec, list):
        for item in spec:
            yield from expressions(item, inside)
    elif isinstance(spec, dict):
        for key, item in spec.items():
            if key != "values":
                yield from expressions(item, key in CODE)


@pytest.mark.parametrize("name", [HOSTILE, EXPRESSION, "a.b[c]", "\\'\"`"])
def test_no_name_is_ever_part_of_an_expression(name: str) -> None:
    figures = every(named(name))
    assert len(figures) > 8 and any(name in figure.title for figure in figures)
    for figure in figures:
        code = list(expressions(figure.vega))
        assert code and not any(name in text or json.dumps(name)[1:-1] in text for text in code)
        assert "<script" not in figure.picture and "<img" not in figure.picture and 'onerror="' not in figure.picture
    assert any(name in row for figure in figures for row in figure.told.astype(str).to_numpy().ravel())


def test_a_figure_tells_the_numbers_of_the_frame() -> None:
    report = build()
    detection = drawn.by_size(report)[0]
    assert detection.id == "chart-detection" and detection.grade == "B"
    assert detection.label == "Detection: by dictionary size: demo-256 0.61, demo-512 0.66, demo-1024 0.71"
    first, *_, last = detection.told.to_dict("records")
    assert first == {
        "dictionary": "demo-256", "value": "0.61", "interval": "[0.56, 0.66]", "n": "97", "unscored": "3",
        "control": "none", "arm": "lexical → minilm", "grade": "B",
    }  # fmt: skip
    assert (last["dictionary"], last["control"], last["value"]) == ("demo-1024", "shuffled", "0.36")


def test_what_is_unscored_is_told_and_not_drawn() -> None:
    figure = drawn.by_size(changed(build(), "detection.ap", NAN, NAN, "demo-512", LEXICAL))[0]
    row = figure.told[(figure.told["dictionary"] == "demo-512") & (figure.told["control"] == "none")].iloc[0]
    assert (row["value"], row["interval"], row["unscored"]) == ("unscored", "[no interval]", "3")
    assert "NaN" not in json.dumps(figure.vega)
    assert "demo-512" not in figure.label


def test_charts_over_size_are_four_and_none_for_one_dictionary() -> None:
    assert [figure.title for figure in drawn.by_size(build())] == [
        "Detection", "Sensitivity", "Explained variance", "Never fired",
    ]  # fmt: skip
    assert drawn.by_size(build((1024,))) == ()


def test_dictionaries_of_one_width_stand_under_their_names() -> None:
    report = named("demo-256")
    report.notes["demo-256"] = report.notes["demo-512"]
    assert drawn.places(report) == ["demo-256", "demo-512", "demo-1024"]
    assert drawn.by_size(report)[0].vega["scales"][0]["domain"] == list(report.names)


def test_a_comparison_has_its_charts() -> None:
    titles = [figure.title for figure in drawn.figures(with_comparison(build()))]
    assert {title.split(" ")[0] for title in titles} == {"Explained", "How", "Children", "Concepts", "Precision"}
    assert len(titles) == len(set(titles))


def test_bars_are_the_shares_of_a_histogram() -> None:
    children = next(figure for figure in drawn.figures(with_comparison(build())) if "Children" in figure.title)
    told = children.told.to_dict("records")
    assert [row["share"] for row in told if row["of"] == "features"][:3] == ["10%", "40%", "50%"]
    assert [row["counted"] for row in told if row["of"] == "random directions"][:3] == ["98", "2", "0"]


def test_a_law_is_drawn_with_its_curve() -> None:
    report = with_comparison(build((256, 512, 1024, 2048)))
    assert report.comparison is not None
    rows = [("exponent", 0.5), ("scale", 5.0), *((f"left out {name}", 0.01) for name in report.names)]
    blank = {"law": "1 - explained variance against width", "low": NAN, "high": NAN, "n": 4, "note": ""}
    laws = pd.DataFrame([{**blank, "quantity": name, "value": value} for name, value in rows])
    report = dataclasses.replace(report, comparison=dataclasses.replace(report.comparison, laws=laws))
    (figure,) = drawn.law_figures(report)
    assert list(figure.told["value"]) == ["0.33", "0.29", "0.25", "0.21"]  # 1 - (0.67 + 0.04 (log2 width - 8))
    assert figure.told["interval"].iloc[0] == "[0.33, 0.33]"
    ends = [row for part in figure.vega["data"] for row in part.get("values", []) if set(row) == {"x", "y"}]
    assert ends[0]["y"] == pytest.approx(5 * 256**-0.5) and ends[-1]["y"] == pytest.approx(5 * 2048**-0.5)


def test_two_titles_have_two_places() -> None:
    assert charts.address("Never fired") == "chart-never-fired"
    titles = ("a/b", "a.b", "a b", "A B!", HOSTILE, "Ä")
    assert len({charts.address(title) for title in titles}) == len(titles)
    assert all(charts.address(title).replace("-", "").isalnum() and charts.address(title).isascii() for title in titles)


def test_marks_without_bounds_have_no_intervals() -> None:
    bare = Estimate(0.5, math.nan, math.nan, 3, 0, "A")
    frame = pd.DataFrame([charts.row("a", bare, x=1, series=""), charts.row("b", bare, x=2, series="")])
    kinds = [layer["mark"]["type"] for layer in charts.points(frame, alt.X("x:Q"), alt.Y("y:Q")).to_dict()["layer"]]
    assert kinds == ["point"]


def test_the_library_makes_no_code_of_text_where_it_need_not() -> None:
    assert charts.library().startswith("(() => {") and charts.library() == charts.library()
    assert "expressionInterpreter" in charts.library()


def test_hostile_reports_have_charts() -> None:
    figures = every(with_comparison(hostile(), text=HOSTILE))
    assert figures and len({figure.id for figure in figures}) == len(figures)
