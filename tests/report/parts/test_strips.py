"""Where the marks of a strip stand."""

import dataclasses

from autointerp.report.page.html import render
from autointerp.report.parts import strips
from tests.report.builders import LEXICAL, SELF, build
from tests.report.pages import Page


def test_chance_is_the_permuted_control_of_each_arm() -> None:
    report = build()
    frame = report.dictionaries.copy()
    permuted = frame["control"] == "permuted"
    frame.loc[permuted & (frame["dictionary"] == "demo-256") & (frame["scorer"] == "minilm"), "value"] = 0.3
    frame.loc[permuted & (frame["scorer"] == "self"), "value"] = 0.2
    moved = dataclasses.replace(report, dictionaries=frame)
    at = strips.strip(moved, "demo-256", "detection.ap", LEXICAL).chance
    assert at == strips.place(0.3, 0, 1, 4, 196)
    assert strips.strip(moved, "demo-512", "detection.ap", LEXICAL).chance == strips.place(0.27, 0, 1, 4, 196)
    assert strips.strip(moved, "demo-256", "detection.ap", SELF).chance == strips.place(0.2, 0, 1, 4, 196)
    assert strips.chance_at(moved) == strips.place(0.28, 0, 1, 4, 196)  # (0.30 + 0.27 + 0.27) / 3
    page = Page(render(moved))
    assert any(
        item.get("class") == "tick" and item.get("x") == str(strips.chance_at(moved)) for item in page.all("text")
    )
    assert str(at) in [item.get("x1") for item in page.all("line") if item.get("class") == "chance"]


def test_chance_without_a_permuted_control_is_the_share_of_positives() -> None:
    report = build()
    plain = dataclasses.replace(report, dictionaries=report.dictionaries[report.dictionaries["control"] != "permuted"])
    assert strips.strip(plain, "demo-256", "detection.ap", LEXICAL).chance == strips.place(0.2, 0, 1, 4, 196)
    assert strips.chance_at(plain) == strips.place(0.2, 0, 1, 4, 196)


def test_marks_stay_on_their_axis() -> None:
    assert strips.place(2.0, 0, 1, 4, 196) == 196
    assert strips.place(-1.0, 0, 1, 4, 196) == 4
