"""Each doubt is said where a run gives cause for it, and nowhere else."""

import dataclasses

import pandas as pd

from autointerp.records import PICKED
from autointerp.report.data import Arm
from autointerp.report.sections import distrust
from tests.report.builders import GAIN, LEXICAL, NAN, UNBEATEN, beside, build, changed, said, with_control


def test_distrust_controls_that_do_as_well() -> None:
    assert UNBEATEN not in said(beside(0.4))
    text = said(beside(0.4, 0.7, 0.69, 0.9))
    assert f"{UNBEATEN} do better (control-3 beside demo-1024): these scores say nothing" in text
    assert f"{UNBEATEN} are not measurably worse (control-1 and control-2 beside demo-1024): by these scores" in text
    two = with_control(with_control(build((256, 1024)), "a", "demo-1024", 0.7), "b", "demo-256", 0.6)
    assert "(b beside demo-256; a beside demo-1024)" in said(two)


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
        one for one in distrust.section(dataclasses.replace(picked, dictionaries=table)) if "hand-picked" in one.plain
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
