"""The notes below the main table: what never fired, and what could not be scored."""

import dataclasses

from autointerp.report.sections import dictionaries
from tests.report.builders import LEXICAL, build, said, with_control


def test_unscored_features_of_a_control_are_not_the_dictionary_s() -> None:
    report = build((512,), (LEXICAL,), features=14)
    report = with_control(report, "pca", "demo-512")
    scores = report.scores.copy()
    theirs = (scores["dictionary"] == "pca") & scores["value"].isna()
    scores.loc[theirs, "unscored_reason"] = "another reason"
    report = dataclasses.replace(report, scores=scores)
    assert "3 of 100 features could not be scored (most often: too few firings" in said(report)
    # The table holds both, and so does the note below it.
    assert dictionaries.unscored_note(report) == (
        "Unscored: 2 another reason, 2 too few firings in the score documents."
    )


def test_dead_note_is_the_rule_of_three() -> None:
    assert "431 documents" in dictionaries.dead_note(build())
    assert "in the part read of fewer than 0.7% of documents" in dictionaries.dead_note(build())  # 3 / 431
    found = said(build((256, 2048)))
    assert "a feature of demo-2048 that fires in the part read of fewer than 0.7% of documents could look the" in found
    counts = dataclasses.replace(build().counts, documents=0)
    assert dictionaries.dead_note(dataclasses.replace(build(), counts=counts)) == "No document was read."


def test_unscored_note_names_reasons_by_count() -> None:
    report = build(features=14)  # features 3 and 13 of three dictionaries under two arms
    assert dictionaries.unscored_note(report) == "Unscored: 12 too few firings in the score documents."
    scores = report.scores.copy()
    scores.loc[scores["feature"] == 13, "unscored_reason"] = ""
    assert "6 no reason given, 6 too few firings" in dictionaries.unscored_note(
        dataclasses.replace(report, scores=scores)
    )
    calm = build(features=3)
    assert dictionaries.unscored_note(calm).endswith("; 12 other numbers could not be scored.")
    nothing = dataclasses.replace(calm, unscored=calm.unscored.iloc[:0])
    assert dictionaries.unscored_note(nothing) == "Nothing was left unscored."
