"""The reviewer's page: what it claims, what it leaves open, and that hostile names stay text."""

import dataclasses
import math

import pandas as pd
import pytest

from autointerp.report.data import Report
from autointerp.report.page.html import render, render_audit
from autointerp.report.sections.audit import Section, section
from tests.report.builders import HOSTILE, LEXICAL, SELF, build, hostile

NAN = math.nan


def effect(name: str, value: float = NAN, low: float = NAN, high: float = NAN, note: str = "") -> dict[str, object]:
    """A row of circularity.csv; one without a value is not identified."""
    identified = not math.isnan(value)
    rest = {"n": 40, "power": 0.08 if identified else NAN, "identified": identified, "note": note}
    return {"effect": name, "value": value, "low": low, "high": high, **rest}


def audited(*rows: dict[str, object], **more: object) -> Report:
    return dataclasses.replace(build((256,)), circularity=pd.DataFrame(list(rows)), **more)


def said(report: Report) -> str:
    return " ".join(sentence.plain for sentence in section(report).verdicts)


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.1, 0.04, 0.16, "Judges prefer their own family"),
        (-0.1, -0.16, -0.04, "harder on their own family"),
        (0.01, -0.04, 0.06, "No preference of judges for their own family was measured"),
    ],
)
def test_a_preference_is_claimed_where_its_whole_interval_lies_on_one_side(
    value: float, low: float, high: float, words: str
) -> None:
    text = said(audited(effect("self-preference", value, low, high)))
    assert words in text
    assert ("0.08 would have been seen" in text) == (low < 0 < high)


def test_what_cannot_be_told_is_not_claimed_and_stands_among_what_is_unknown() -> None:
    why = "With one judge, a taste for its family cannot be told from the quality of the explainers."
    found = section(audited(effect("self-preference", note=why)))
    assert found.verdicts == ()
    assert f"Unidentified: self-preference. {why}" in found.unknown


def test_wording_share_and_judges_are_told_from_their_rows() -> None:
    text = said(
        audited(
            effect("paraphrase change", 0.05, 0.01, 0.09),
            effect("circular share", 0.31, 0.1, 0.5),
            effect("effective judges", 1.84, 1.2, 2.6),
        )
    )
    assert "part of it is wording" in text
    assert "31% is that preference [0.10, 0.50]" in text
    assert "worth 1.8 that err apart [1.20, 2.60]" in text


def test_rows_stand_under_their_question() -> None:
    names = ["self-preference of family x", "leaked share, judge", "kappa with people, judge", "shared error"]
    found = section(audited(*(effect(name, 0.2, 0.1, 0.3) for name in names)))
    groups = [[row.effect for row in rows] for rows in (found.kin, found.owed, found.agreed)]
    assert groups == [names[:1], names[1:2], names[2:]]


def test_every_pair_that_was_asked_has_its_grade_and_the_others_none() -> None:
    found = section(build((256,), (LEXICAL, SELF))).matrix
    grades = {
        (explainer, judge): arm and arm.grade
        for explainer, cells in found.rows
        for judge, arm in zip(found.judges, cells, strict=True)
    }
    assert grades == {
        ("lexical", "minilm"): "B", ("lexical", "self"): None, ("self", "minilm"): None, ("self", "self"): "E",
    }  # fmt: skip


def with_people(report: Report) -> Report:
    """The same with people's ratings of some of what the judge of its first arm rated."""
    blank = {"dictionary": "demo-256", "width": 256, "metric": "specificity.mean", "rubric": "r"}
    arm = {"explainer": "self", "scorer": "self"}
    rows = [
        {**blank, **arm, "control": control, **dict(zip(("value", "low", "high"), values, strict=True)), **rest}
        for control, values, rest in (
            ("none", (2.4, 2.2, 2.6), {"n": 8, "unscored": 0, "circularity": "E"}),
            ("ppi", (1.1, 0.8, 1.4), {"n": 5, "unscored": 3, "circularity": "A"}),
        )
    ]
    listed = report.dictionaries[report.dictionaries["metric"] != "specificity.mean"]
    confusion = [("self", people, judge, 3 * people + judge) for people in range(4) for judge in range(4)]
    return dataclasses.replace(
        report,
        dictionaries=pd.concat([listed, pd.DataFrame(rows)], ignore_index=True),
        circularity=pd.DataFrame([effect("more features to rate, self by self, demo-256", 17.0)]),
        confusion=pd.DataFrame(confusion, columns=["scorer", "people", "judge", "count"]),
    )


def test_what_people_correct_stands_beside_what_the_judge_said() -> None:
    found = section(with_people(build((256,))))
    (row,) = found.anchored
    assert row.judged is not None and (row.judged.value, row.judged.grade) == (2.4, "E")
    assert (row.corrected.value, row.corrected.grade, row.more) == (1.1, "A", "17")
    (table,) = found.confusions
    assert table.counts[2] == (6, 7, 8, 9)  # people said 2
    assert not any("Nobody has rated" in line for line in found.unknown)


def test_a_run_that_was_never_audited_says_what_nobody_knows() -> None:
    found: Section = section(build((256,)))
    assert not found.kin and not found.verdicts
    assert any("No crossed design" in line for line in found.unknown)
    assert any("Nobody has rated" in line for line in found.unknown)


def test_the_page_of_its_own_runs_no_script_and_takes_hostile_names_as_text() -> None:
    report = dataclasses.replace(
        hostile(), circularity=pd.DataFrame([effect(f"leaked share, {HOSTILE}", note=HOSTILE)])
    )
    text = render_audit(report)
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text
    assert "default-src &#39;none&#39;" in text
    assert text.count("<h1>") == 1


def test_the_section_of_the_whole_report_says_the_same() -> None:
    report = with_people(build((256,)))
    whole, alone = render(report), render_audit(report)
    start, end = '<section aria-labelledby="audit">', "</section>"
    sections = [page[page.index(start) :].partition(end)[0] for page in (whole, alone)]
    assert sections[0] == sections[1]
    assert 'href="index.html"' in alone
