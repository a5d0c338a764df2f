"""Sentences claim what the intervals allow, in every branch: better, worse, undecided, unscored, one or many."""

import dataclasses

import pytest

from autointerp.records import PICKED
from autointerp.report.data import DictionaryNote, Report
from autointerp.report.sections import distrust, header, who
from autointerp.report.words import saying
from tests.report.builders import GAIN, LEXICAL, NAN, SELF, UNBEATEN, beside, build, changed, said, with_control

# --- headline


def test_headline_all_above() -> None:
    assert header.headline(build()).plain == (
        "Explanations predict where features fire better than shuffled ones in all 3 dictionaries."
    )
    assert "both dictionaries" in header.headline(build((256, 512))).plain


def test_headline_mixed_names_every_dictionary_once() -> None:
    report = changed(build((256, 512, 1024, 2048)), GAIN, 0.02, 0.05, "demo-512", LEXICAL)
    report = changed(report, GAIN, -0.2, 0.05, "demo-1024", LEXICAL)
    report = changed(report, GAIN, NAN, NAN, "demo-2048", LEXICAL)
    assert header.headline(report).plain == (
        "Explanations predict where features fire better than shuffled ones in demo-256; not measurably better in "
        "demo-512; worse in demo-1024; demo-2048 could not be scored."
    )


def test_headline_none_above_does_not_say_better() -> None:
    report = changed(build(), GAIN, 0.01, 0.05, arm=LEXICAL)
    assert header.headline(report).plain == (
        "Explanations predict where features fire not measurably better than shuffled ones in demo-256, demo-512 and "
        "demo-1024."
    )
    worse = changed(build(), GAIN, -0.2, 0.05, arm=LEXICAL)
    assert "worse than shuffled ones in demo-256" in header.headline(worse).plain


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.35, "better than shuffled ones do (difference +0.35 [0.30, 0.40])"),
        (0.02, "not measurably better than shuffled ones do (difference +0.02 [−0.03, 0.07])"),
        (-0.3, "worse than shuffled ones do (difference −0.30 [−0.35, −0.25])"),
    ],
)
def test_headline_of_one(value: float, words: str) -> None:
    report = changed(build((1024,), (LEXICAL,)), GAIN, value, 0.05)
    assert header.headline(report).plain == f"In demo-1024, explanations predict where features fire {words}."


def test_headline_without_scores_or_arms() -> None:
    assert "No explanation could be scored" in header.headline(changed(build(), GAIN, NAN, NAN)).plain
    assert "measures the dictionaries alone" in header.headline(build(arms=())).plain


def test_headline_speaks_of_the_best_grade() -> None:
    report = build(arms=(SELF, LEXICAL))
    assert report.headline == LEXICAL
    assert header.headline(report).grades == ("B",)


def test_headline_of_a_self_graded_run_carries_its_grade() -> None:
    assert header.headline(build(arms=(SELF,))).grades == ("E",)


# --- growth


def grown(*values: float, half: float = 0.02) -> Report:
    widths = (256, 512, 1024, 2048)[: len(values)]
    report = build(widths, (LEXICAL,))
    for width, value in zip(widths, values, strict=True):
        report = changed(report, "detection.ap", value, half, f"demo-{width}")
    return report


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.5, 0.6), "demo-512 is better than demo-256 (difference +0.10 [0.07, 0.13])"),
        ((0.6, 0.5), "demo-512 is worse than demo-256"),
        ((0.5, 0.51), "demo-512 is not measurably better than demo-256"),
        (
            (0.5, 0.6, 0.7),
            "Each larger dictionary scores higher than the one before; demo-1024 is better than demo-512",
        ),
        ((0.5, 0.6, 0.6), "Larger is better up to demo-512; demo-1024 is not measurably better than demo-512"),
        ((0.5, 0.5, 0.7), "demo-1024 is better than demo-512"),
        ((0.5, 0.6, 0.6, 0.4), "Larger is better up to demo-512; demo-2048 is worse than demo-1024"),
    ],
)
def test_growth(values: tuple[float, ...], words: str) -> None:
    found = header.growth(grown(*values))
    assert found is not None
    assert found.plain.startswith(words)


def test_growth_counts_the_dead_of_the_largest() -> None:
    found = header.growth(build((256, 2048)))
    assert found is not None
    assert "34 of its 2,048 features never fired" in found.plain


def test_growth_skips_what_has_no_score_and_needs_two() -> None:
    report = changed(grown(0.5, 0.6, 0.7), "detection.ap", NAN, NAN, "demo-512")
    found = header.growth(report)
    assert found is not None
    assert found.plain.startswith("demo-1024 is better than demo-256")
    assert header.growth(build((1024,))) is None
    assert header.growth(changed(build((256, 512)), "detection.ap", NAN, NAN)) is None


def test_growth_is_silent_about_equal_widths() -> None:
    report = build((256, 512))
    same = {name: DictionaryNote(512, 0, {}) for name in report.notes}
    assert header.growth(dataclasses.replace(report, notes=same)) is None


# --- lexical floor


def test_floor_above_below_and_undecided() -> None:
    metric = "detection.ap.minus_lexical_floor"
    report = changed(build(), metric, 0.2, 0.05, "demo-256", LEXICAL)
    report = changed(report, metric, 0.01, 0.05, "demo-512", LEXICAL)
    report = changed(report, metric, -0.2, 0.05, "demo-1024", LEXICAL)
    found = header.floor(report)
    assert found is not None
    assert "explanations add +0.20 [0.15, 0.25] in demo-256" in found.plain
    assert "explanations add nothing measurable: +0.01 [−0.04, 0.06] in demo-512" in found.plain
    assert "explanations stay below it: −0.20 [−0.25, −0.15] in demo-1024" in found.plain
    assert found.grades == ("A", "B")
    assert found.plain.startswith("Part of that is plain words: a lookup")


def test_floor_above_every_dictionary_leads() -> None:
    found = header.floor(changed(build(), "detection.ap.minus_lexical_floor", -0.2, 0.05, arm=LEXICAL))
    assert found is not None
    assert found.plain.startswith("Plain words do better: a lookup of each token's mean activation reaches 0.55 to")


def test_floor_of_many_gives_the_ends() -> None:
    found = header.floor(build((256, 512, 1024, 2048, 4096)))
    assert found is not None
    assert found.plain.count("[") == 2


def test_floor_alone_and_absent() -> None:
    only = header.floor(changed(build(), "detection.ap.minus_lexical_floor", NAN, NAN))
    assert only is not None
    assert only.plain.endswith("reaches 0.55 to 0.57 without explanations.")
    assert header.floor(changed(build(), "lexical_floor.ap", NAN, NAN)) is None


# --- controls


def test_no_controls_no_sentence() -> None:
    assert header.over_controls(build()) is None
    assert UNBEATEN not in said(build())


@pytest.mark.parametrize(
    ("detection", "verdict", "strong"),
    [
        # margins 0.045 and 0.045: sqrt(2 * 0.045²) = 0.064
        (0.4, "better than those of its control control-0 (+0.30 [0.24, 0.36])", False),
        (0.68, "not measurably better than those of its control control-0 (+0.02 [−0.04, 0.08])", True),
        (0.9, "worse than those of its control control-0 (−0.20 [−0.26, −0.14])", True),
    ],
)
def test_a_control_that_is_as_good_stands_there_strongly(detection: float, verdict: str, strong: bool) -> None:
    found = header.over_controls(beside(detection))
    assert found is not None
    assert found.plain == f"Explanations of demo-1024 predict firing {verdict}."
    assert [text for text, bold in found.parts if bold] == ([verdict.split(" control-0")[0]] if strong else [])
    assert found.grades == ("B",)


def test_several_controls_share_a_sentence() -> None:
    found = header.over_controls(beside(0.4, 0.3, 0.7, 0.9))
    assert found is not None
    assert found.plain == (
        "Explanations of demo-1024 predict firing better than those of its controls control-0 (+0.30 [0.24, 0.36]) and "
        "control-1 (+0.40 [0.34, 0.46]); not measurably better than those of its control control-2 "
        "(0.00 [−0.06, 0.06]); worse than those of its control control-3 (−0.20 [−0.26, −0.14])."
    )


def test_each_dictionary_is_held_against_its_own_controls() -> None:
    report = with_control(with_control(build((256, 1024)), "a", "demo-1024"), "b", "demo-256")
    found = header.over_controls(report)
    assert found is not None
    first, second = found.plain.split(". ")
    assert first.startswith("Explanations of demo-256 predict firing better than those of its control b ")
    assert second.startswith("Explanations of demo-1024 predict firing better than those of its control a ")


def test_a_control_without_a_score_is_left_out() -> None:
    assert header.over_controls(beside(NAN)) is None
    assert header.over_controls(beside(0.4, own=NAN)) is None
    stray = beside(0.4)
    stray.notes["control-0"].convention.pop("held against")
    assert header.over_controls(stray) is None
    frame = beside(0.4).dictionaries
    unasked = frame[(frame["dictionary"] != "control-0") | (frame["explainer"] == "")]
    assert header.over_controls(dataclasses.replace(beside(0.4), dictionaries=unasked)) is None
    assert header.over_controls(with_control(build((1024,), ()), "a", "demo-1024")) is None


def test_a_control_without_an_interval_decides_nothing() -> None:
    found = header.over_controls(changed(beside(0.4), "detection.ap", 0.3, NAN, "control-0", LEXICAL))
    assert found is not None
    assert "not measurably better than those of its control control-0 (+0.40 [no interval])" in found.plain


def test_the_same_firings_are_no_alarm() -> None:
    """A permuted decoder fires where its original does: a tie is what has to be, anything else is news."""
    report = with_control(beside(0.4), "permuted", "demo-1024", 0.7, saying.SAME_FIRINGS)
    found = header.over_controls(report)
    assert found is not None
    assert found.plain.endswith(
        "; not measurably better than those of its control permuted (0.00 [−0.06, 0.06]), where firing is the same by "
        "construction."
    )
    assert not [text for text, strong in found.parts if strong]
    assert UNBEATEN not in said(report)
    worse = with_control(beside(), "permuted", "demo-1024", 0.9, saying.SAME_FIRINGS)
    assert f"{UNBEATEN} do better (permuted beside demo-1024)" in said(worse)
    assert "by construction" not in header.over_controls(worse).plain


def test_sentences_speak_of_what_learned_something() -> None:
    report = build((256, 512))
    control = with_control(report, "pca", "demo-512", 0.1)
    control = changed(control, GAIN, -0.3, 0.05, "pca", LEXICAL)
    control = changed(control, "detection.ap.minus_lexical_floor", -0.3, 0.05, "pca", LEXICAL)
    control = changed(control, "explained_variance", -1.0, 0.0, "pca")
    assert header.headline(control) == header.headline(report)
    assert header.growth(control) == header.growth(report)
    assert header.floor(control) == header.floor(report)
    assert who.circular_approvals(control) == who.circular_approvals(report)
    assert control.permuted == report.permuted
    assert [item for item in distrust.section(control) if "pca" in item.plain] == [
        distrust.few_features(control)  # whose number bears on what is said of the control
    ]
    assert "Few features: 12 features of demo-256, demo-512 and pca." in said(control)
    assert header.selection(control) == "12 features each, drawn by seed 0 · nothing hand-picked"


# --- notes


def test_selection_says_who_chose() -> None:
    report = build(features=12)
    assert header.selection(report) == "12 features each, drawn by seed 0 · nothing hand-picked"
    some, every = report.features.copy(), report.features.copy()
    some.loc[some["feature"] == 5, "selected_by"] = PICKED
    every["selected_by"] = PICKED
    beside, alone = (dataclasses.replace(report, features=frame) for frame in (some, every))
    assert header.selection(beside) == "11 features each, drawn by seed 0 · 3 more hand-picked"
    assert header.selection(alone) == "no feature drawn by seed · 39 features hand-picked"
    assert "No feature was drawn by seed" in header.headline(alone).plain
