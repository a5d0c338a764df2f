"""Sentences claim what the intervals allow, in every branch: better, worse, undecided, unscored, one or many."""

import dataclasses

import pandas as pd
import pytest
import torch
from builders import LEXICAL, NAN, SELF, build, changed, with_control

from autointerp.dictionaries import controls
from autointerp.dictionaries.canonical import Dictionary
from autointerp.records import PICKED
from autointerp.report import methods, sentences
from autointerp.report.data import Arm, DictionaryNote, Estimate, Report
from autointerp.report.wording import decimal, interval, listing, percent, signed

GAIN = "detection.ap.minus_shuffled"


def estimate(value: float, low: float = NAN, high: float = NAN) -> Estimate:
    return Estimate(value, low, high, 100, 0, "B")


def said(report: Report) -> str:
    return " ".join(sentence.plain for sentence in sentences.distrust(report))


# --- numbers in words


@pytest.mark.parametrize(
    ("value", "text"), [(0.614, "0.61"), (-0.004, "0.00"), (-0.3, "−0.30"), (1.0, "1.00"), (NAN, "unscored")]
)
def test_decimal(value: float, text: str) -> None:
    assert decimal(value) == text


def test_signed_has_no_sign_at_zero() -> None:
    assert (signed(0.14), signed(-0.14), signed(0.001), signed(-0.001)) == ("+0.14", "−0.14", "0.00", "0.00")


def test_interval_in_words_where_there_is_none() -> None:
    assert interval(estimate(0.5, 0.4, 0.6)) == "[0.40, 0.60]"
    assert interval(estimate(0.5)) == "[no interval]"


def test_percent_keeps_small_shares_visible() -> None:
    assert [percent(x) for x in (0.2, 0.043, 3 / 431, 0.0, NAN)] == ["20%", "4.3%", "0.7%", "0%", "unknown"]


def test_listing() -> None:
    assert [listing(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


# --- signs and differences


@pytest.mark.parametrize(
    ("item", "verdict"),
    [
        (estimate(0.2, 0.1, 0.3), "above"), (estimate(-0.2, -0.3, -0.1), "below"),
        (estimate(0.1, 0.0, 0.2), "undecided"),
        (estimate(0.2), "undecided"), (estimate(NAN), "unscored"), (None, "unscored"),
    ],
)  # fmt: skip
def test_sign(item: Estimate | None, verdict: str) -> None:
    assert sentences.sign(item) == verdict


def test_difference_adds_margins_in_squares() -> None:
    # margins 0.03 and 0.04 on each side: sqrt(0.0009 + 0.0016) = 0.05
    found = sentences.difference(estimate(0.7, 0.67, 0.73), estimate(0.6, 0.56, 0.64))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.05, 0.15))


def test_difference_takes_the_worse_grade() -> None:
    better, worse = estimate(0.7, 0.6, 0.8), dataclasses.replace(estimate(0.5, 0.4, 0.6), grade="D")
    assert sentences.difference(better, worse).grade == "D"


# --- headline


def test_headline_all_above() -> None:
    assert sentences.headline(build()).plain == (
        "Explanations predict where features fire better than shuffled ones in all 3 dictionaries."
    )
    assert "both dictionaries" in sentences.headline(build((256, 512))).plain


def test_headline_mixed_names_every_dictionary_once() -> None:
    report = changed(build((256, 512, 1024, 2048)), GAIN, 0.02, 0.05, "demo-512", LEXICAL)
    report = changed(report, GAIN, -0.2, 0.05, "demo-1024", LEXICAL)
    report = changed(report, GAIN, NAN, NAN, "demo-2048", LEXICAL)
    assert sentences.headline(report).plain == (
        "Explanations predict where features fire better than shuffled ones in demo-256; not measurably better in "
        "demo-512; worse in demo-1024; demo-2048 could not be scored."
    )


def test_headline_none_above_does_not_say_better() -> None:
    report = changed(build(), GAIN, 0.01, 0.05, arm=LEXICAL)
    assert sentences.headline(report).plain == (
        "Explanations predict where features fire not measurably better than shuffled ones in demo-256, demo-512 and "
        "demo-1024."
    )
    worse = changed(build(), GAIN, -0.2, 0.05, arm=LEXICAL)
    assert "worse than shuffled ones in demo-256" in sentences.headline(worse).plain


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
    assert sentences.headline(report).plain == f"In demo-1024, explanations predict where features fire {words}."


def test_headline_without_scores_or_arms() -> None:
    assert "No explanation could be scored" in sentences.headline(changed(build(), GAIN, NAN, NAN)).plain
    assert "measures the dictionaries alone" in sentences.headline(build(arms=())).plain


def test_headline_speaks_of_the_best_grade() -> None:
    report = build(arms=(SELF, LEXICAL))
    assert report.headline == LEXICAL
    assert sentences.headline(report).grades == ("B",)


def test_headline_of_a_self_graded_run_carries_its_grade() -> None:
    assert sentences.headline(build(arms=(SELF,))).grades == ("E",)


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
    found = sentences.growth(grown(*values))
    assert found is not None
    assert found.plain.startswith(words)


def test_growth_counts_the_dead_of_the_largest() -> None:
    found = sentences.growth(build((256, 2048)))
    assert found is not None
    assert "34 of its 2,048 features never fired" in found.plain


def test_growth_skips_what_has_no_score_and_needs_two() -> None:
    report = changed(grown(0.5, 0.6, 0.7), "detection.ap", NAN, NAN, "demo-512")
    found = sentences.growth(report)
    assert found is not None
    assert found.plain.startswith("demo-1024 is better than demo-256")
    assert sentences.growth(build((1024,))) is None
    assert sentences.growth(changed(build((256, 512)), "detection.ap", NAN, NAN)) is None


def test_growth_is_silent_about_equal_widths() -> None:
    report = build((256, 512))
    same = {name: DictionaryNote(512, 0, {}) for name in report.notes}
    assert sentences.growth(dataclasses.replace(report, notes=same)) is None


# --- lexical floor


def test_floor_above_below_and_undecided() -> None:
    metric = "detection.ap.minus_lexical_floor"
    report = changed(build(), metric, 0.2, 0.05, "demo-256", LEXICAL)
    report = changed(report, metric, 0.01, 0.05, "demo-512", LEXICAL)
    report = changed(report, metric, -0.2, 0.05, "demo-1024", LEXICAL)
    found = sentences.floor(report)
    assert found is not None
    assert "explanations add +0.20 [0.15, 0.25] in demo-256" in found.plain
    assert "explanations add nothing measurable: +0.01 [−0.04, 0.06] in demo-512" in found.plain
    assert "explanations stay below it: −0.20 [−0.25, −0.15] in demo-1024" in found.plain
    assert found.grades == ("A", "B")
    assert found.plain.startswith("Part of that is plain words: a lookup")


def test_floor_above_every_dictionary_leads() -> None:
    found = sentences.floor(changed(build(), "detection.ap.minus_lexical_floor", -0.2, 0.05, arm=LEXICAL))
    assert found is not None
    assert found.plain.startswith("Plain words do better: a lookup of each token's mean activation reaches 0.55 to")


def test_floor_of_many_gives_the_ends() -> None:
    found = sentences.floor(build((256, 512, 1024, 2048, 4096)))
    assert found is not None
    assert found.plain.count("[") == 2


def test_floor_alone_and_absent() -> None:
    only = sentences.floor(changed(build(), "detection.ap.minus_lexical_floor", NAN, NAN))
    assert only is not None
    assert only.plain.endswith("reaches 0.55 to 0.57 without explanations.")
    assert sentences.floor(changed(build(), "lexical_floor.ap", NAN, NAN)) is None


# --- controls

UNBEATEN = "Explanations of a control"


def beside(*detections: float, own: float = 0.7) -> Report:
    """One dictionary that reaches `own` ± 0.045, with a control for each of `detections`, as sure."""
    report = changed(build((1024,), (LEXICAL,)), "detection.ap", own, 0.045)
    for i, detection in enumerate(detections):
        report = with_control(report, f"control-{i}", "demo-1024", detection)
    return report


def test_no_controls_no_sentence() -> None:
    assert sentences.over_controls(build()) is None
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
    found = sentences.over_controls(beside(detection))
    assert found is not None
    assert found.plain == f"Explanations of demo-1024 predict firing {verdict}."
    assert [text for text, bold in found.parts if bold] == ([verdict.split(" control-0")[0]] if strong else [])
    assert found.grades == ("B",)


def test_several_controls_share_a_sentence() -> None:
    found = sentences.over_controls(beside(0.4, 0.3, 0.7, 0.9))
    assert found is not None
    assert found.plain == (
        "Explanations of demo-1024 predict firing better than those of its controls control-0 (+0.30 [0.24, 0.36]) and "
        "control-1 (+0.40 [0.34, 0.46]); not measurably better than those of its control control-2 "
        "(0.00 [−0.06, 0.06]); worse than those of its control control-3 (−0.20 [−0.26, −0.14])."
    )


def test_each_dictionary_is_held_against_its_own_controls() -> None:
    report = with_control(with_control(build((256, 1024)), "a", "demo-1024"), "b", "demo-256")
    found = sentences.over_controls(report)
    assert found is not None
    first, second = found.plain.split(". ")
    assert first.startswith("Explanations of demo-256 predict firing better than those of its control b ")
    assert second.startswith("Explanations of demo-1024 predict firing better than those of its control a ")


def test_a_control_without_a_score_is_left_out() -> None:
    assert sentences.over_controls(beside(NAN)) is None
    assert sentences.over_controls(beside(0.4, own=NAN)) is None
    stray = beside(0.4)
    stray.notes["control-0"].convention.pop("held against")
    assert sentences.over_controls(stray) is None
    frame = beside(0.4).dictionaries
    unasked = frame[(frame["dictionary"] != "control-0") | (frame["explainer"] == "")]
    assert sentences.over_controls(dataclasses.replace(beside(0.4), dictionaries=unasked)) is None
    assert sentences.over_controls(with_control(build((1024,), ()), "a", "demo-1024")) is None


def test_a_control_without_an_interval_decides_nothing() -> None:
    found = sentences.over_controls(changed(beside(0.4), "detection.ap", 0.3, NAN, "control-0", LEXICAL))
    assert found is not None
    assert "not measurably better than those of its control control-0 (+0.40 [no interval])" in found.plain


def test_the_same_firings_are_no_alarm() -> None:
    """A permuted decoder fires where its original does: a tie is what has to be, anything else is news."""
    report = with_control(beside(0.4), "permuted", "demo-1024", 0.7, sentences.SAME_FIRINGS)
    found = sentences.over_controls(report)
    assert found is not None
    assert found.plain.endswith(
        "; not measurably better than those of its control permuted (0.00 [−0.06, 0.06]), where firing is the same by "
        "construction."
    )
    assert not [text for text, strong in found.parts if strong]
    assert UNBEATEN not in said(report)
    worse = with_control(beside(), "permuted", "demo-1024", 0.9, sentences.SAME_FIRINGS)
    assert f"{UNBEATEN} do better (permuted beside demo-1024)" in said(worse)
    assert "by construction" not in sentences.over_controls(worse).plain


def test_the_same_firings_are_known_by_the_words_of_the_control() -> None:
    eye = torch.eye(3)
    like = Dictionary(
        W_enc=eye, b_enc=torch.zeros(3), W_dec=eye, b_dec=torch.zeros(3), activation="relu", convention={}
    )
    assert controls.permuted(like, 0).convention["control"] == sentences.SAME_FIRINGS


def test_distrust_controls_that_do_as_well() -> None:
    assert UNBEATEN not in said(beside(0.4))
    text = said(beside(0.4, 0.7, 0.69, 0.9))
    assert f"{UNBEATEN} do better (control-3 beside demo-1024): these scores say nothing" in text
    assert f"{UNBEATEN} are not measurably worse (control-1 and control-2 beside demo-1024): by these scores" in text
    two = with_control(with_control(build((256, 1024)), "a", "demo-1024", 0.7), "b", "demo-256", 0.6)
    assert "(b beside demo-256; a beside demo-1024)" in said(two)


def test_sentences_speak_of_what_learned_something() -> None:
    report = build((256, 512))
    control = with_control(report, "pca", "demo-512", 0.1)
    control = changed(control, GAIN, -0.3, 0.05, "pca", LEXICAL)
    control = changed(control, "detection.ap.minus_lexical_floor", -0.3, 0.05, "pca", LEXICAL)
    control = changed(control, "explained_variance", -1.0, 0.0, "pca")
    assert sentences.headline(control) == sentences.headline(report)
    assert sentences.growth(control) == sentences.growth(report)
    assert sentences.floor(control) == sentences.floor(report)
    assert sentences.circular_approvals(control) == sentences.circular_approvals(report)
    assert control.permuted == report.permuted
    assert [item for item in sentences.distrust(control) if "pca" in item.plain] == [
        sentences.few_features(control)  # whose number bears on what is said of the control
    ]
    assert "Few features: 12 features of demo-256, demo-512 and pca." in said(control)
    assert sentences.selection(control) == "12 features each, drawn by seed 0 · nothing hand-picked"


def test_unscored_features_of_a_control_are_not_the_dictionary_s() -> None:
    report = build((512,), (LEXICAL,), features=14)
    report = with_control(report, "pca", "demo-512")
    scores = report.scores.copy()
    theirs = (scores["dictionary"] == "pca") & scores["value"].isna()
    scores.loc[theirs, "unscored_reason"] = "another reason"
    report = dataclasses.replace(report, scores=scores)
    assert "3 of 100 features could not be scored (most often: too few firings" in said(report)
    # The table holds both, and so does the note below it.
    assert sentences.unscored_note(report) == ("Unscored: 2 another reason, 2 too few firings in the score documents.")


# --- arms that grade themselves


def test_cannot_tell_apart_only_when_the_interval_includes_zero() -> None:
    (found,) = sentences.circular_approvals(build())
    assert found.plain.endswith("as far as 8 features can tell, it cannot tell them apart.")
    assert found.grades == ("E",)
    (apart,) = sentences.circular_approvals(changed(build(), GAIN, 0.3, 0.1, arm=SELF))
    assert "tells them apart" in apart.plain
    assert "cannot tell" not in apart.plain
    (wrong,) = sentences.circular_approvals(changed(build(), GAIN, -0.3, 0.1, arm=SELF))
    assert "prefers the wrong ones" in wrong.plain
    for few in (apart, wrong):
        assert "as far as 8 features can tell, it " in few.plain


def test_enough_features_need_no_hedge() -> None:
    big = Arm("big", "big", "D", 100)
    (found,) = sentences.circular_approvals(build(arms=(LEXICAL, big)))
    assert found.plain.endswith("in all 3 dictionaries: it tells them apart.")


def test_a_generator_speaks_of_the_texts_that_it_wrote() -> None:
    report = build((1024,), arms=(LEXICAL, Arm("big", "writer", "D", 100)))
    frame = report.dictionaries.copy()
    written = frame["scorer"] == "writer"
    frame.loc[written, "metric"] = frame.loc[written, "metric"].str.replace("detection.ap", "sensitivity.generated")
    frame = frame[~written | frame["metric"].str.startswith("sensitivity.generated")]
    (found,) = sentences.circular_approvals(dataclasses.replace(report, dictionaries=frame))
    assert found.plain.startswith("The arm of one model in two roles (big measured on texts by writer) scores ")
    assert "it tells them apart" in found.plain


def test_one_dictionary_shows_the_difference() -> None:
    (found,) = sentences.circular_approvals(build((1024,)))
    assert "(difference +0.01 [−0.10, 0.12])" in found.plain


def test_self_graded_without_interval_or_score() -> None:
    (bare,) = sentences.circular_approvals(changed(build(), GAIN, 0.1, NAN, arm=SELF))
    assert "without an interval" in bare.plain
    assert "cannot tell" not in bare.plain
    (none,) = sentences.circular_approvals(changed(build(), GAIN, NAN, NAN, arm=SELF))
    assert "could not be scored" in none.plain


def test_grade_d_is_not_called_self_graded() -> None:
    (found,) = sentences.circular_approvals(build(arms=(LEXICAL, Arm("big", "big", "D", 100))))
    assert found.plain.startswith("The arm of one model in two roles (big)")
    assert sentences.circular_approvals(build(arms=(LEXICAL,))) == ()


# --- notes


def test_selection_says_who_chose() -> None:
    report = build(features=12)
    assert sentences.selection(report) == "12 features each, drawn by seed 0 · nothing hand-picked"
    some, every = report.features.copy(), report.features.copy()
    some.loc[some["feature"] == 5, "selected_by"] = PICKED
    every["selected_by"] = PICKED
    beside, alone = (dataclasses.replace(report, features=frame) for frame in (some, every))
    assert sentences.selection(beside) == "11 features each, drawn by seed 0 · 3 more hand-picked"
    assert sentences.selection(alone) == "no feature drawn by seed · 39 features hand-picked"
    assert "No feature was drawn by seed" in sentences.headline(alone).plain


def test_dead_note_is_the_rule_of_three() -> None:
    assert "431 documents" in sentences.dead_note(build())
    assert "in the part read of fewer than 0.7% of documents" in sentences.dead_note(build())  # 3 / 431
    found = said(build((256, 2048)))
    assert "a feature of demo-2048 that fires in the part read of fewer than 0.7% of documents could look the" in found
    counts = dataclasses.replace(build().counts, documents=0)
    assert sentences.dead_note(dataclasses.replace(build(), counts=counts)) == "No document was read."


def test_unscored_note_names_reasons_by_count() -> None:
    report = build(features=14)  # features 3 and 13 of three dictionaries under two arms
    assert sentences.unscored_note(report) == "Unscored: 12 too few firings in the score documents."
    scores = report.scores.copy()
    scores.loc[scores["feature"] == 13, "unscored_reason"] = ""
    assert "6 no reason given, 6 too few firings" in sentences.unscored_note(dataclasses.replace(report, scores=scores))
    calm = build(features=3)
    assert sentences.unscored_note(calm).endswith("; 12 other numbers could not be scored.")
    nothing = dataclasses.replace(calm, unscored=calm.unscored.iloc[:0])
    assert sentences.unscored_note(nothing) == "Nothing was left unscored."


# --- what to distrust


def test_distrust_names_circular_arms_and_the_reason() -> None:
    assert "Circular numbers stand on this page: self judged by self" in said(build())
    assert "“shows what circularity looks like”" in said(build())
    assert "Circular numbers" not in said(build(arms=(LEXICAL,)))


def test_distrust_unknown_lineage_and_renamed_models() -> None:
    report = build()
    roles = report.roles.copy()
    roles.loc[roles["role"] == "scorer minilm", "known"] = False
    assert "Unknown lineage: scorer minilm" in said(dataclasses.replace(report, roles=roles))
    assert "Another model answered" not in said(report)  # an owner before the name is no other model
    both = ["requested", "resolved"]
    roles.loc[roles["role"] == "scorer minilm", both] = ["gpt-6.1-sol", "openai/gpt-6.1-sol-2026-10-01"]
    assert "Another model answered" not in said(dataclasses.replace(report, roles=roles))  # a date is none either
    roles.loc[roles["role"] == "scorer minilm", both] = ["gpt-6.1-sol", "gpt-6.1-sol-mini"]
    assert "scorer minilm asked for gpt-6.1-sol and got gpt-6.1-sol-mini" in said(
        dataclasses.replace(report, roles=roles)
    )
    roles.loc[roles["role"] == "scorer minilm", "resolved"] = "someone/else"
    assert "scorer minilm asked for" in said(dataclasses.replace(report, roles=roles))


def test_distrust_one_judge() -> None:
    assert "One judge: minilm" in said(build())
    assert "One judge" not in said(build(arms=(LEXICAL, Arm("lexical", "other", "B", 100))))


def test_distrust_sensitivity_falls_only_beyond_its_interval() -> None:
    falls = "Sensitivity over the shuffled control falls"
    assert f"{falls} from 0.41 in demo-256 to 0.29 in demo-1024" in said(build())
    assert falls not in said(changed(build(), "sensitivity.retrieval.minus_shuffled", 0.5, 0.05))
    assert falls not in said(build((1024,)))
    # The plain rate falls with the base rate of firing, which says nothing of the explanations.
    plain = changed(build(), "sensitivity.retrieval.minus_shuffled", 0.4, 0.05)
    assert plain.estimate("demo-256", "sensitivity.retrieval", LEXICAL).value == 0.52
    assert falls not in said(plain)


def test_distrust_flat_sensitivity_is_judged_by_the_paired_difference() -> None:
    flat = "Fitting texts do not measurably fire more often"
    assert flat not in said(build())
    assert f"{flat} than texts that fit another explanation in demo-512." in said(
        changed(build(), "sensitivity.retrieval.minus_shuffled", 0.01, 0.05, "demo-512")
    )
    # Two means that overlap as independent samples may differ feature by feature.
    assert flat not in said(changed(build(), "sensitivity.retrieval", 0.11, 0.05))
    assert flat not in said(changed(build(), "sensitivity.retrieval.minus_shuffled", NAN, NAN))


def test_distrust_floor_and_shuffled() -> None:
    report = changed(build(), "detection.ap.minus_lexical_floor", -0.1, 0.05, "demo-512", LEXICAL)
    assert "Counting words does better in demo-512: explanations stay below a lookup of tokens." in said(report)
    assert "Shuffled explanations" not in said(build())
    worse = said(changed(build(), GAIN, -0.1, 0.05, arm=LEXICAL))
    assert "Shuffled explanations do better in demo-256, demo-512 and demo-1024: these scores say nothing" in worse
    assert "not measurably worse" not in worse.replace("Counting words is not measurably worse", "")


def test_an_interval_around_zero_is_no_equality() -> None:
    report = changed(build(), GAIN, 0.2, 0.21, arm=LEXICAL)  # [−0.01, 0.41]
    found = said(changed(report, "detection.ap.minus_lexical_floor", 0.2, 0.21, arm=LEXICAL))
    where = "in demo-256, demo-512 and demo-1024"
    assert f"Shuffled explanations are not measurably worse {where}: by these scores, explanations cannot be" in found
    assert f"Counting words is not measurably worse {where}: explanations cannot be told from a lookup" in found
    for claim in ("as well", "does better", "do better", "nothing about meaning"):
        assert claim not in found
    mixed = said(changed(report, GAIN, -0.2, 0.05, "demo-512", LEXICAL))
    assert "Shuffled explanations do better in demo-512: these scores say nothing about meaning." in mixed
    assert "Shuffled explanations are not measurably worse in demo-256 and demo-1024" in mixed


def test_distrust_many_unscored_names_the_most_frequent_reason() -> None:
    report = build(features=14)
    assert "9 of 300 features could not be scored (most often: too few firings in the score documents)." in said(report)
    scores = report.scores.copy()
    scores.loc[scores["scorer"] == "minilm", "unscored_reason"] = "too few silent excerpts"
    assert "(most often: too few silent excerpts)" in said(dataclasses.replace(report, scores=scores))
    frame = report.dictionaries.copy()
    frame.loc[(frame["metric"] == "detection.ap") & (frame["control"] == "none"), ["n", "unscored"]] = [80, 20]
    many = said(dataclasses.replace(report, dictionaries=frame, scores=scores))
    assert "(most often: too few silent excerpts): the means are of those that could be." in many
    assert "fires often enough" not in many


def test_distrust_corpus_rate_reconstruction_and_few() -> None:
    assert "Scores assume 20% positives. At the rate of the corpus" in said(build())
    assert "demo-256 explains 0.30 of the variance" in said(
        changed(build(), "explained_variance", 0.3, 0.01, "demo-256")
    )
    assert "Few features: 12 features of demo-256" in said(build())
    assert "Few features: 8 features for self judged by self" in said(build(features=40))


def test_distrust_hand_picked_and_masked() -> None:
    report = build()
    features = report.features.copy()
    features.loc[features["feature"].isin([5, 6]), "selected_by"] = PICKED
    picked = dataclasses.replace(report, features=features)
    assert "6 features hand-picked: they stand beside the seeded sample and count in no mean." in said(picked)
    row = {
        "dictionary": "demo-512", "width": 512, "metric": "detection.ap.percentile", "control": PICKED,
        "explainer": "lexical", "scorer": "minilm", "rubric": "", "value": 0.9, "low": 0.7, "high": 0.97,
        "n": 2, "unscored": 0, "circularity": "B",
    }  # fmt: skip
    table = pd.concat([report.dictionaries, pd.DataFrame([row])], ignore_index=True)
    (sentence,) = [
        one for one in sentences.distrust(dataclasses.replace(picked, dictionaries=table)) if "hand-picked" in one.plain
    ]
    assert "exceed 90% [70%, 97%] in demo-512 of the sample; 50% would be as if picked by lot." in sentence.plain
    assert sentence.grades == ("B",)
    counts = dataclasses.replace(report.counts, masked={"norm above 10 × median": 30000})
    assert "of positions are masked (30,000 norm above" in said(dataclasses.replace(report, counts=counts))
    assert "masked" not in said(report)


def test_distrust_masked_names_reasons_in_words() -> None:
    masked = {"first": 5000, "special": 400, "norm": 30, "not finite": 2, "padding": 9000}
    counts = dataclasses.replace(build().counts, masked=masked)
    assert (
        "(5,000 at the first position, 400 on special tokens, 30 above the norm limit and 2 with NaN or infinity)"
    ) in said(dataclasses.replace(build(), counts=counts))
    counts = dataclasses.replace(counts, masked={**masked, "norm": 0, "not finite": 0})
    assert "(5,000 at the first position and 400 on special tokens)" in said(
        dataclasses.replace(build(), counts=counts)
    )


def test_distrust_padding_is_no_position() -> None:
    report = build()
    padded = dataclasses.replace(report.counts, masked={"padding": 60000, "first position": 512})
    assert "masked" not in said(dataclasses.replace(report, counts=padded))
    both = dataclasses.replace(report.counts, positions=9000, masked={"padding": 60000, "first position": 1000})
    assert "10% of positions are masked (1,000 first position)" in said(dataclasses.replace(report, counts=both))


def test_distrust_is_quiet_where_nothing_was_measured() -> None:
    bare = build(arms=())
    assert "shuffled" not in said(bare).lower()


# --- methods


def test_every_metric_of_the_run_is_defined() -> None:
    found = dict(methods.definitions(build()))
    assert "No definition" not in " ".join(found.values())
    assert "20% positives" in found["detection.ap"]
    assert found[GAIN] == "detection.ap minus its shuffled control, feature by feature, then averaged."


def test_losses_are_defined_with_their_contexts() -> None:
    found = dict(methods.definitions(build()))
    assert found["loss_recovered"].startswith("(ablated − substituted) / (ablated − clean)")
    assert "of 32 contexts" in found["loss_recovered"]
    assert "Zeros do such harm" in found["loss_recovered"]
    assert "in nats a token, over the same 32 contexts" in found["loss_rise"]
    intervals = "The intervals of loss recovered and loss rise are over 32 contexts."
    assert intervals in [item.plain for item in methods.limits(build())]
    without = build()
    for metric in ("loss_recovered", "loss_rise"):
        without = changed(without, metric, NAN, NAN)
    assert intervals not in [item.plain for item in methods.limits(without)]
    assert "of 0 contexts" in dict(methods.definitions(without))["loss_recovered"]


def test_limits_say_what_controls_are() -> None:
    def told(report: Report) -> str:
        return " ".join(item.plain for item in methods.limits(report))

    assert "Controls are dictionaries that learned nothing" not in told(build())
    one, many = beside(0.4), with_control(build(), "pca", "demo-512")
    assert "Controls are dictionaries that learned nothing" in told(one)
    assert "A difference between a dictionary and its control treats" in told(one)
    assert "A difference between two sizes or between a dictionary and its control treats" in told(many)


def test_limits_follow_the_run() -> None:
    many = " ".join(item.plain for item in methods.limits(build()))
    assert "2,000 resamples" in many
    assert "(3 / documents)" in many
    one = " ".join(item.plain for item in methods.limits(build((1024,))))
    assert "two sizes" in many
    assert "two sizes" not in one


def test_chance_of_a_judge_that_knows_nothing() -> None:
    told = "a judge that knows nothing reaches about 0.27 with this many excerpts (a constant one 0.2);"
    report = build()
    assert told in dict(methods.definitions(report))["detection.ap"]
    assert "Permuted:" in " ".join(item.plain for item in methods.limits(report))
    plain = dataclasses.replace(report, dictionaries=report.dictionaries[report.dictionaries["control"] != "permuted"])
    assert "a judge that knows nothing reaches 0.2;" in dict(methods.definitions(plain))["detection.ap"]
    assert "Permuted:" not in " ".join(item.plain for item in methods.limits(plain))


def test_limits_claim_no_split_for_given_explanations() -> None:
    report = build()
    text = " ".join(item.plain for item in methods.limits(report))
    assert "Explanations of this run saw only the explain documents." in text
    assert "Judged excerpts come from the score documents" in text
    assert "The token lookup and the probe are fitted on the explain documents." in text
    assert "every score" not in text
    roles = report.roles.copy()
    roles.loc[roles["role"] == "explainer self", "provider"] = "given"
    some = " ".join(item.plain for item in methods.limits(dataclasses.replace(report, roles=roles)))
    assert "The explanations of self were given: what their author saw is unknown." in some
    assert "The explanations of lexical saw only the explain documents." in some
    assert "of this run saw" not in some
    roles.loc[roles["role"] == "explainer lexical", ["provider", "requested"]] = ["", "human"]
    every = " ".join(item.plain for item in methods.limits(dataclasses.replace(report, roles=roles)))
    assert "The explanations of lexical and self were given" in every
    assert "saw only" not in every
    assert "explanations" not in " ".join(item.plain for item in methods.limits(build(arms=()))).lower()
