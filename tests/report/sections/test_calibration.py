"""How far judges are from the truth: the chart beside the table."""

import dataclasses

import pandas as pd

from autointerp.report.sections import calibration
from tests.report.builders import NAN, build


def test_a_reliable_judge_is_held_against_the_reader() -> None:
    report = build()
    assert calibration.reliability(report) is None
    blank = {"dictionary": "exact", "scorer": "minilm", "metric": "detection.ap", "low": 0.4, "high": 0.9, "n": 8,
             "unscored": 1, "circularity": "C", "note": ""}  # fmt: skip
    rows = [
        {**blank, "quantity": "beats", "against": "narrow", "value": 0.75, "reader": 0.5},
        {**blank, "quantity": "beats", "against": "writer", "value": 0.75, "reader": NAN},
        {**blank, "quantity": "error", "against": "", "value": 0.1, "reader": 0.0},
    ]
    figure = calibration.reliability(dataclasses.replace(report, calibration=pd.DataFrame(rows)))
    assert figure is not None and figure.grade == "C"
    (row,) = figure.told.to_dict("records")
    assert (row["against"], row["value"], row["reader"], row["unscored"]) == ("narrow", "0.75", "0.50", "1")
