"""What is said of arms that grade themselves: whether they tell true explanations from shuffled ones."""

import dataclasses

from autointerp.report.data import Arm
from autointerp.report.sections import who
from tests.report.builders import GAIN, LEXICAL, NAN, SELF, build, changed


# --- arms that grade themselves
def test_cannot_tell_apart_only_when_the_interval_includes_zero() -> None:
    (found,) = who.circular_approvals(build())
    assert found.plain.endswith("as far as 8 features can tell, it cannot tell them apart.")
    assert found.grades == ("E",)
    (apart,) = who.circular_approvals(changed(build(), GAIN, 0.3, 0.1, arm=SELF))
    assert "tells them apart" in apart.plain
    assert "cannot tell" not in apart.plain
    (wrong,) = who.circular_approvals(changed(build(), GAIN, -0.3, 0.1, arm=SELF))
    assert "prefers the wrong ones" in wrong.plain
    for few in (apart, wrong):
        assert "as far as 8 features can tell, it " in few.plain


def test_enough_features_need_no_hedge() -> None:
    big = Arm("big", "big", "D", 100)
    (found,) = who.circular_approvals(build(arms=(LEXICAL, big)))
    assert found.plain.endswith("in all 3 dictionaries: it tells them apart.")


def test_a_generator_speaks_of_the_texts_that_it_wrote() -> None:
    report = build((1024,), arms=(LEXICAL, Arm("big", "writer", "D", 100)))
    frame = report.dictionaries.copy()
    written = frame["scorer"] == "writer"
    frame.loc[written, "metric"] = frame.loc[written, "metric"].str.replace("detection.ap", "sensitivity.generated")
    frame = frame[~written | frame["metric"].str.startswith("sensitivity.generated")]
    (found,) = who.circular_approvals(dataclasses.replace(report, dictionaries=frame))
    assert found.plain.startswith("The arm of one model in two roles (big measured on texts by writer) scores ")
    assert "it tells them apart" in found.plain


def test_one_dictionary_shows_the_difference() -> None:
    (found,) = who.circular_approvals(build((1024,)))
    assert "(difference +0.01 [−0.10, 0.12])" in found.plain


def test_self_graded_without_interval_or_score() -> None:
    (bare,) = who.circular_approvals(changed(build(), GAIN, 0.1, NAN, arm=SELF))
    assert "without an interval" in bare.plain
    assert "cannot tell" not in bare.plain
    (none,) = who.circular_approvals(changed(build(), GAIN, NAN, NAN, arm=SELF))
    assert "could not be scored" in none.plain


def test_grade_d_is_not_called_self_graded() -> None:
    (found,) = who.circular_approvals(build(arms=(LEXICAL, Arm("big", "big", "D", 100))))
    assert found.plain.startswith("The arm of one model in two roles (big)")
    assert who.circular_approvals(build(arms=(LEXICAL,))) == ()
