"""Scores from hand-made verdicts, against arithmetic shown beside them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.measure.scores import NO_SAMPLE, Base, score_features, standings
from autointerp.records import UNSCORED, Score, Verdict

BASES = {("d", 0): Base(0.5), ("d", 1): Base(0.5)}
BLANK = Verdict("d", 0, "detection", "none", "ann", "ben", "detection.1@0", "", "", False, 0.0, 0.0, "")


def verdict(fires: bool, weight: float, value: float, reason: str = "", **more: object) -> Verdict:
    stratum = "bin0" if fires else "random"
    return replace(BLANK, fires=fires, weight=weight, value=value, reason=reason, stratum=stratum, **more)


def scored(verdicts: list[Verdict], prevalence: float = 0.5, bases: dict[tuple[str, int], Base] = BASES) -> list[Score]:
    return score_features(verdicts, bases, prevalence, seed=0)


def one(scores: list[Score], metric: str, control: str = "none", feature: int = 0) -> Score:
    (found,) = [s for s in scores if (s.metric, s.control, s.feature) == (metric, control, feature)]
    return found


# Two firing items (weights 3/4 and 1/4) and two silent ones (1/2 each); the judge puts the lighter firing item below
# one silent item: in order of value  F(3/4), S, F(1/4), S.
RANKED = [
    verdict(True, 0.75, 0.9, item="a"),
    verdict(False, 0.5, 0.7, item="b"),
    verdict(True, 0.25, 0.6, item="c"),
    verdict(False, 0.5, 0.1, item="d"),
]


def test_average_precision_at_even_prevalence() -> None:
    # At 1/2 the item weights are F 3/8, S 1/4, F 1/8, S 1/4.
    #   first threshold: recall 3/4, precision (3/8) / (3/8) = 1
    #   third threshold: recall 1, precision (4/8) / (4/8 + 1/4) = 2/3
    # AP = 3/4 * 1 + 1/4 * 2/3 = 11/12
    assert one(scored(RANKED), "detection.ap").value == pytest.approx(11 / 12)


def test_average_precision_falls_with_the_declared_prevalence() -> None:
    # At 1/5: F 3/20, S 2/5, F 1/20, S 2/5; precision at the third threshold (1/5) / (1/5 + 2/5) = 1/3
    # AP = 3/4 + 1/4 * 1/3 = 5/6; the corpus rate is 1/2 as before
    scores = scored(RANKED, prevalence=0.2)
    assert one(scores, "detection.ap").value == pytest.approx(5 / 6)
    assert one(scores, "detection.ap_corpus").value == pytest.approx(11 / 12)


def test_auroc_weighs_pairs() -> None:
    # Pairs (firing above silent): 3/4 wins against both; 1/4 wins against one of two halves: 3/4 + 1/4 * 1/2 = 7/8
    assert one(scored(RANKED, prevalence=0.2), "detection.auroc").value == pytest.approx(7 / 8)


def test_equal_values_give_the_prevalence() -> None:
    flat = [replace(v, value=1.0) for v in RANKED]
    scores = scored(flat, prevalence=0.2)
    assert one(scores, "detection.ap").value == pytest.approx(0.2)
    assert one(scores, "detection.auroc").value == pytest.approx(0.5)


def test_intervals_hold_the_value() -> None:
    for score in scored(RANKED):
        assert score.low <= score.value <= score.high
        assert (score.n, score.unscored, score.reason) == (4, 0, "")


def test_an_item_without_a_verdict_is_left_out_and_counted() -> None:
    open_item = verdict(False, 0.5, UNSCORED, "no answer for this item")
    score = one(scored([*RANKED, open_item]), "detection.ap")
    assert (score.n, score.unscored) == (4, 1)
    assert score.value == pytest.approx(11 / 12)


def test_without_verdicts_the_score_is_unscored_for_the_reason_of_the_items() -> None:
    silent = [replace(v, value=UNSCORED, reason="the model refused") for v in RANKED]
    for metric in ("detection.ap", "detection.ap_corpus", "detection.auroc"):
        score = one(scored(silent), metric)
        assert math.isnan(score.value)
        assert (score.n, score.unscored, score.reason) == (0, 4, "the model refused")


def test_a_class_that_was_never_answered_leaves_nothing_to_rank() -> None:
    answered = [v if not v.fires else replace(v, value=UNSCORED, reason="cut short") for v in RANKED]
    score = one(scored(answered), "detection.ap")
    assert math.isnan(score.value)
    assert (score.n, score.unscored, score.reason) == (2, 2, "cut short")
    assert one(scored([v for v in RANKED if v.fires]), "detection.ap").reason == "no firing or no silent item"


@pytest.mark.parametrize(
    ("rate", "reason"), [(1.0, "fires in every excerpt of the pool"), (0.0, "fires in no excerpt")]
)
def test_no_corpus_rate_no_score_at_it(rate: float, reason: str) -> None:
    scores = scored(RANKED, bases={("d", 0): Base(rate)})
    assert math.isnan(one(scores, "detection.ap_corpus").value)
    assert one(scores, "detection.ap_corpus").reason.startswith(reason)
    assert one(scores, "detection.ap").value == pytest.approx(11 / 12)


def test_differences_are_paired_and_belong_to_the_real_arm() -> None:
    # The control ranks the items the other way round: S, F(1/4), S, F(3/4) with weights 1/4, 1/8, 1/4, 3/8:
    #   recall 1/4 at precision (1/8) / (3/8) = 1/3; recall 1 at precision (1/2) / 1 = 1/2
    # AP = 1/4 * 1/3 + 3/4 * 1/2 = 11/24; the difference is 11/12 - 11/24 = 11/24
    control = [replace(v, value=-v.value, control="shuffled") for v in RANKED]
    floor = [replace(v, question="lexical_floor", explainer="", scorer="", rubric="") for v in RANKED]
    scores = scored([*RANKED, *control, *floor])
    assert one(scores, "detection.ap", "shuffled").value == pytest.approx(11 / 24)
    difference = one(scores, "detection.ap.minus_shuffled")
    assert difference.value == pytest.approx(11 / 24)
    assert (difference.explainer, difference.scorer, difference.n) == ("ann", "ben", 4)
    assert math.isnan(difference.low)
    assert one(scores, "detection.ap.minus_lexical_floor").value == 0
    assert len([s for s in scores if s.metric.endswith(".minus_lexical_floor")]) == 1
    assert one(scores, "detection.auroc.minus_shuffled").value == pytest.approx(7 / 8 - 1 / 8)
    assert not [s for s in scores if s.metric.startswith("lexical_floor") and "minus" in s.metric]
    assert not [s for s in scores if "minus" in s.metric and s.control != "none"]


def test_a_difference_with_an_unscored_side_is_unscored_for_its_reason() -> None:
    control = [replace(v, value=UNSCORED, reason="timed out", control="shuffled") for v in RANKED]
    difference = one(scored([*RANKED, *control]), "detection.ap.minus_shuffled")
    assert math.isnan(difference.value)
    assert difference.reason == "timed out"


def test_without_a_control_there_is_no_difference() -> None:
    assert not [s for s in scored(RANKED) if "minus" in s.metric]


def retrieval(strata: list[str], feature: int = 0, control: str = "none") -> list[Verdict]:
    blank = replace(BLANK, question="retrieval", feature=feature, control=control, weight=1.0, value=0.5)
    return [replace(blank, item=str(at), stratum=s, fires=s != "silent") for at, s in enumerate(strata)]


def test_retrieval_counts_with_wilson_bounds() -> None:
    # 3 of 5 fire, 1 of 5 strongly. Wilson for k = 3, n = 5, z = 1.96:
    #   (k + z^2/2 +- z sqrt(k (n - k) / n + z^2/4)) / (n + z^2) = (4.9207 +- 1.96 * sqrt(1.2 + 0.9604)) / 8.8415
    #   = (4.9207 +- 2.8808) / 8.8415 = 0.2307, 0.8824
    scores = scored(retrieval(["strong", "weak", "silent", "weak", "silent"]))
    fires = one(scores, "sensitivity.retrieval")
    assert fires.value == pytest.approx(0.6)
    assert (fires.low, fires.high) == (pytest.approx(0.2307, abs=1e-4), pytest.approx(0.8824, abs=1e-4))
    assert fires.n == 5
    assert one(scores, "sensitivity.retrieval_strong").value == pytest.approx(0.2)


def test_the_base_rate_stands_beside_retrieval_once_and_belongs_to_no_arm() -> None:
    scores = scored([*retrieval(["weak", "silent"]), *retrieval(["silent", "silent"], control="shuffled")])
    base = one(scores, "sensitivity.retrieval_base")
    assert (base.value, base.explainer, base.scorer) == (0.5, "", "")
    assert one(scores, "sensitivity.retrieval.minus_shuffled").value == pytest.approx(0.5)


def test_features_arms_and_order_do_not_mix() -> None:
    other = [replace(v, feature=1, value=-v.value) for v in RANKED]
    second = [replace(v, scorer="eve", value=-v.value) for v in RANKED]
    mixed = [v for row in zip(RANKED, other, second, strict=True) for v in row]
    scores = scored(mixed)
    assert scores == scored(mixed[::-1])
    values = {(s.feature, s.scorer): s.value for s in scores if (s.metric, s.control) == ("detection.ap", "none")}
    assert values == {
        (0, "ben"): pytest.approx(11 / 12),
        (0, "eve"): pytest.approx(11 / 24),
        (1, "ben"): pytest.approx(11 / 24),
    }


def test_nothing_in_nothing_out() -> None:
    assert scored([]) == []


def test_permuted_verdicts_reach_the_prevalence_when_all_alike_and_more_when_they_rank() -> None:
    def chance(values: list[float]) -> float:
        items = [replace(v, value=value) for v, value in zip(RANKED, values, strict=True)]
        return one(scored(items), "detection.ap", control="permuted").value

    alike, ranking = chance([1.0] * len(RANKED)), chance([float(i) for i in range(len(RANKED))])
    assert alike == pytest.approx(0.5)
    assert ranking > alike


# a yes or no: f1, balanced accuracy and the constant answers

# A judge that says yes to a, b and c of the items above: yes F(3/4), yes S, yes F(1/4), no S.
SAID = [replace(v, value=value) for v, value in zip(RANKED, (1.0, 1.0, 1.0, 0.0), strict=True)]


def test_f1_at_the_declared_and_at_the_corpus_rate() -> None:
    # At prevalence p all firing items are hit, and of the silent 1 - p half are called firing:
    #   F1 = 2 p / (p + p + (1 - p) / 2)
    #   p = 1/5: 0.4 / (0.4 + 0.4) = 1/2;  p = 1/2 (the corpus): 1 / (1 + 1/4) = 4/5
    scores = scored(SAID, prevalence=0.2)
    assert one(scores, "detection.f1").value == pytest.approx(1 / 2)
    assert one(scores, "detection.f1_corpus").value == pytest.approx(4 / 5)


def test_f1_weighs_misses() -> None:
    # Yes to a alone, at 1/2: hit 3/8, said 3/8, firing 1/2: 2 * 3/8 / (1/2 + 3/8) = 6/7
    first = [replace(v, value=float(v.item == "a")) for v in RANKED]
    assert one(scored(first), "detection.f1").value == pytest.approx(6 / 7)


@pytest.mark.parametrize("prevalence", [0.1, 0.2, 0.5])
def test_constant_answers_stand_beside_f1(prevalence: float) -> None:
    scores = scored(SAID, prevalence=prevalence)
    assert one(scores, "detection.f1", "always_all").value == pytest.approx(2 * prevalence / (1 + prevalence))
    assert one(scores, "detection.f1", "always_none").value == 0
    assert one(scores, "detection.f1_corpus", "always_all").value == pytest.approx(2 / 3)  # 2 * 1/2 / (1 + 1/2)
    # They are what a judge reaches that answers so.
    for answer, control in ((1.0, "always_all"), (0.0, "always_none")):
        constant = scored([replace(v, value=answer) for v in RANKED], prevalence=prevalence)
        assert one(constant, "detection.f1").value == pytest.approx(one(scores, "detection.f1", control).value)


def test_constant_answers_stand_once_however_many_controls_are_judged() -> None:
    control = [replace(v, control=name) for name in ("shuffled", "generic") for v in SAID]
    assert one(scored([*SAID, *control]), "detection.f1", "always_all").n == 4


def test_balanced_accuracy_by_hand_at_any_prevalence() -> None:
    # Right on all of the firing and on half of the silent: (1 + 1/2) / 2
    for prevalence in (0.2, 0.5):
        assert one(scored(SAID, prevalence), "detection.balanced_accuracy").value == pytest.approx(3 / 4)


def test_similarities_are_no_yes_or_no_and_have_neither() -> None:
    metrics = {s.metric for s in scored([replace(v, rubric="") for v in RANKED])}
    assert metrics == {"detection.ap", "detection.ap_corpus", "detection.auroc"}


def test_fuzzing_has_no_rate_in_the_corpus() -> None:
    fuzzing = [replace(v, question="fuzzing") for v in SAID]
    metrics = {s.metric for s in scored(fuzzing)}
    assert metrics == {"fuzzing.ap", "fuzzing.f1", "fuzzing.auroc", "fuzzing.balanced_accuracy"}
    # At 1/2 precision is (1/2) / (1/2 + 1/4) = 2/3 where all firing items are, which is the only threshold before 0.
    assert one(scored(fuzzing), "fuzzing.ap").value == pytest.approx(2 / 3)


# simulation


def simulated(fires: bool, weight: float, predicted: list[float], truth: list[float], **more: object) -> Verdict:
    return verdict(
        fires,
        weight,
        max(predicted),
        question="simulation",
        predicted=tuple(predicted),
        activations=tuple(truth),
        **more,
    )


SIMULATED = [
    simulated(True, 1.0, [0, 10], [0, 4], item="a"),
    simulated(False, 0.5, [0, 0], [0, 0], item="b"),
    simulated(False, 0.5, [10, 0], [0, 0], item="c"),
]


def test_simulation_is_pearson_over_tokens_weighed_as_their_items() -> None:
    # At p each token of a weighs p / 2, each of b and c (1 - p) / 4. Truth x: 4 on one token of a; guess y: 10 there
    # and on one token of c.
    #   E x = 4 p/2 = 2p, E xx = 8p, E y = 10 (p/2 + (1-p)/4) = 10 (1+p)/4, E yy = 100 (1+p)/4, E xy = 20p
    # p = 1/2: cov = 10 - 1 * 3.75 = 6.25; var x = 4 - 1 = 3; var y = 37.5 - 14.0625 = 23.4375
    #   r = 6.25 / sqrt(3 * 23.4375) = 0.745356
    # p = 1/5: cov = 4 - 0.4 * 3 = 2.8; var x = 1.6 - 0.16 = 1.44; var y = 30 - 9 = 21; r = 2.8 / sqrt(30.24) = 0.509175
    scores = scored(SIMULATED, prevalence=0.2)
    assert one(scores, "simulation.pearson").value == pytest.approx(0.509175, abs=1e-6)
    assert one(scores, "simulation.pearson_corpus").value == pytest.approx(0.745356, abs=1e-6)


def test_tokens_are_one_sequence_and_not_a_mean_over_items() -> None:
    # Within each item the guess rises with the truth (r = 1 in each); over all tokens it does not know which is louder:
    # x = 0 1 | 0 9 and y = 0 9 | 0 1, silent 0 0: no perfect correlation.
    items = [
        simulated(True, 0.5, [0, 9], [0, 1], item="a"),
        simulated(True, 0.5, [0, 1], [0, 9], item="b"),
        simulated(False, 1.0, [0, 0], [0, 0], item="c"),
    ]
    # p = 1/2: weights 1/8 on each firing token, 1/4 on each silent one. E x = E y = 10/8; E xx = E yy = 82/8;
    # E xy = 18/8: cov = 2.25 - 1.5625 = 0.6875, var = 10.25 - 1.5625 = 8.6875; r = 11/139
    assert one(scored(items), "simulation.pearson").value == pytest.approx(11 / 139)


def test_a_long_item_does_not_count_for_more_than_a_short_one() -> None:
    twice = [
        replace(v, predicted=v.predicted * 2, activations=v.activations * 2) if v.item == "c" else v for v in SIMULATED
    ]
    assert one(scored(twice), "simulation.pearson").value == one(scored(SIMULATED), "simulation.pearson").value


def test_a_constant_simulation_knows_nothing_and_a_perfect_one_all() -> None:
    constant = [replace(v, predicted=(3.0, 3.0)) for v in SIMULATED]
    assert one(scored(constant), "simulation.pearson").value == 0
    perfect = [replace(v, predicted=tuple(2 * a + 1 for a in v.activations)) for v in SIMULATED]
    assert one(scored(perfect), "simulation.pearson").value == pytest.approx(1)


def test_a_simulation_without_one_of_the_sides_is_unscored_for_its_reason() -> None:
    missing = replace(
        SIMULATED[0], value=UNSCORED, reason="not as many activations as tokens", predicted=(), activations=()
    )
    for metric in ("simulation.pearson", "simulation.pearson_corpus"):
        score = one(scored([missing, *SIMULATED[1:]]), metric)
        assert math.isnan(score.value)
        assert (score.n, score.unscored, score.reason) == (2, 1, "not as many activations as tokens")
    assert one(scored(SIMULATED[:1]), "simulation.pearson").reason == "no firing or no silent item"


def test_the_interval_of_a_simulation_holds_its_value() -> None:
    second = simulated(True, 1.0, [3, 6], [1, 4], item="d")
    score = one(scored([*SIMULATED, second]), "simulation.pearson")
    assert -1 <= score.low < score.value < score.high <= 1


def test_a_simulated_item_without_an_answer_is_left_out_and_counted() -> None:
    missing = replace(SIMULATED[2], item="d", value=UNSCORED, reason="cut short", predicted=(), activations=())
    score = one(scored([*SIMULATED, missing], prevalence=0.2), "simulation.pearson")
    assert (score.n, score.unscored) == (3, 1)
    assert score.value == pytest.approx(0.509175, abs=1e-6)


# specificity


def rated(stratum: str, rating: float, weight: float, activation: float, reason: str = "") -> Verdict:
    fires = stratum.startswith("bin")
    item = f"{stratum} {rating} {weight} {activation}"
    given = verdict(fires, weight, rating, reason, question="specificity", activation=activation, item=item)
    return replace(given, stratum=stratum)


RATED = [
    rated("bin0", 0, 0.4, 1),
    rated("bin0", 1, 0.4, 2),
    rated("bin2", 3, 0.2, 10),
    rated("random", 0, 0.5, 0),
    rated("near", 1, 0.5, 0),
]


def test_specificity_by_its_three_means() -> None:
    # intervals alike: (mean(0, 1) + 3) / 2 = 1.75
    # by firings: (0.4 * 0 + 0.4 * 1 + 0.2 * 3) / 1 = 1
    # by activation: weights 0.4, 0.8, 2: (0.8 * 1 + 2 * 3) / 3.2 = 2.125
    scores = scored(RATED)
    assert one(scores, "specificity.mean").value == pytest.approx(1.75)
    assert one(scores, "specificity.density_weighted").value == pytest.approx(1)
    assert one(scores, "specificity.mass_weighted").value == pytest.approx(2.125)


def test_what_silent_excerpts_are_given_stands_beside() -> None:
    score = one(scored(RATED), "specificity.silent")
    assert score.value == pytest.approx(0.5)
    assert (score.n, one(scored(RATED), "specificity.mean").n) == (2, 3)
    assert not [s for s in scored(RATED[:3]) if s.metric == "specificity.silent"]


def test_bounds_of_specificity_resample_within_intervals() -> None:
    # bin2 is always 3 and bin0 one of 0, 1/2, 1: the mean lies between 1.5 and 2, and both ends are met often enough.
    score = one(scored(RATED), "specificity.mean")
    assert (score.low, score.high) == (pytest.approx(1.5), pytest.approx(2.0))
    single = one(scored(RATED[2:]), "specificity.mean")
    assert single.value == 3 and math.isnan(single.low) and math.isnan(single.high)


def test_ratings_that_are_missing_are_counted_and_say_why_when_none_is_left() -> None:
    missing = rated("bin1", UNSCORED, 0.5, 5, "timed out")
    score = one(scored([*RATED, missing]), "specificity.mean")
    assert (score.n, score.unscored) == (3, 1)
    assert score.value == pytest.approx(1.75)
    for metric in ("mean", "density_weighted", "mass_weighted"):
        none = one(scored([missing, *RATED[3:]]), f"specificity.{metric}")
        assert math.isnan(none.value)
        assert (none.n, none.unscored, none.reason) == (2, 1, "timed out")


# sensitivity


def wrote(stratum: str, values: list[float], control: str = "none", **more: object) -> list[Verdict]:
    blank = replace(BLANK, question="sensitivity", stratum=stratum, control=control, weight=1.0)
    found = [replace(blank, item=f"{stratum} {at}", value=v, fires=v > 0) for at, v in enumerate(values)]
    return [replace(v, **more) for v in found]


def originals(values: list[float]) -> list[Verdict]:
    return wrote("original", values, explainer="", scorer="", rubric="")


WROTE = [*wrote("text", [0.5, 0.05, 0.0, 0.1, 0.0]), *wrote("near_miss", [0.0, 0.3])]


def test_sensitivity_counts_texts_that_fire_and_fire_strongly_with_wilson_bounds() -> None:
    # 3 of 5 fire, 2 of 5 at a tenth of the maximum or more. Bounds of 3 of 5 as for retrieval above.
    scores = scored(WROTE)
    generated = one(scores, "sensitivity.generated")
    assert generated.value == pytest.approx(0.6)
    assert (generated.low, generated.high) == (pytest.approx(0.2307, abs=1e-4), pytest.approx(0.8824, abs=1e-4))
    assert generated.n == 5
    assert one(scores, "sensitivity.generated_strong").value == pytest.approx(0.4)
    assert one(scores, "sensitivity.near_miss").value == one(scores, "sensitivity.near_miss_strong").value == 0.5
    assert one(scores, "sensitivity.near_miss").n == 2


def test_normalised_is_a_multiple_of_the_rate_on_originals() -> None:
    # Originals: 4 of 5 fire and 3 of 5 strongly: 0.6 / 0.8 = 3/4 and 0.4 / 0.6 = 2/3
    scores = scored([*WROTE, *originals([0.9, 0.4, 0.2, 0.01, 0.0])])
    assert one(scores, "sensitivity.original").value == pytest.approx(0.8)
    normalised = one(scores, "sensitivity.normalised")
    assert normalised.value == pytest.approx(3 / 4)
    assert math.isnan(normalised.low) and math.isnan(normalised.high)
    assert one(scores, "sensitivity.normalised_strong").value == pytest.approx(2 / 3)


@pytest.mark.parametrize("own", [[], originals([0.0, 0.0])])
def test_there_is_nothing_to_normalise_by_where_originals_are_silent(own: list[Verdict]) -> None:
    score = one(scored([*WROTE, *own]), "sensitivity.normalised")
    assert math.isnan(score.value)
    assert score.reason == "its own excerpts do not make it fire when they stand alone"


def test_a_generator_that_failed_leaves_rates_unscored_for_its_reason() -> None:
    failed = wrote("text", [UNSCORED], reason="the model refused", fires=False)
    scores = scored([*failed, *originals([0.5])])
    for metric in ("generated", "generated_strong", "normalised", "normalised_strong"):
        score = one(scores, f"sensitivity.{metric}")
        assert math.isnan(score.value)
        assert (score.n, score.unscored, score.reason) == (0, 1, "the model refused")
    assert one(scores, "sensitivity.original").value == 1


def test_of_several_reasons_the_first_by_alphabet_is_given() -> None:
    failed = [v for at in range(50) for v in wrote("text", [UNSCORED], reason=f"reason {99 - at}", fires=False)]
    assert one(scored(failed), "sensitivity.generated").reason == "reason 50"


# differences


def test_primary_metrics_are_held_against_every_control_and_others_against_shuffled() -> None:
    # Of the texts written for each control 1 of 5, 2 of 5 and none fire; of its own excerpts 1 of 2.
    controls = [
        *wrote("text", [0.5, 0, 0, 0, 0], "shuffled"),
        *wrote("text", [0.5, 0.5, 0, 0, 0], "hard_shuffled"),
        *wrote("text", [0, 0, 0, 0, 0], "generic"),
    ]
    scores = scored([*WROTE, *controls, *originals([0.5, 0.0])])
    found = {s.metric: s.value for s in scores if ".minus_" in s.metric}
    assert found == {
        "sensitivity.generated.minus_shuffled": pytest.approx(0.4),
        "sensitivity.generated.minus_hard_shuffled": pytest.approx(0.2),
        "sensitivity.generated.minus_generic": pytest.approx(0.6),
        "sensitivity.generated_strong.minus_shuffled": pytest.approx(0.2),
        # 0.6 / 0.5 - 0.2 / 0.5; the strong rates 0.4 and 0.2 over 0.5 likewise
        "sensitivity.normalised.minus_shuffled": pytest.approx(0.8),
        "sensitivity.normalised_strong.minus_shuffled": pytest.approx(0.4),
    }


@pytest.mark.parametrize(
    ("items", "primary"),
    [
        ([replace(v, question="fuzzing") for v in SAID], "fuzzing.ap"),
        (SIMULATED, "simulation.pearson"),
        (RATED, "specificity.mean"),
        ([replace(v, question="surprisal", rubric="") for v in RANKED], "surprisal.ap"),
    ],
)
def test_every_question_has_its_differences(items: list[Verdict], primary: str) -> None:
    controls = ("shuffled", "hard_shuffled", "generic")
    scores = scored([*items, *(replace(v, control=control) for control in controls for v in items)])
    for control in controls:
        assert one(scores, f"{primary}.minus_{control}").value == 0
    others = {s.metric for s in scores if s.control == "none" and ".minus_" not in s.metric} - {primary}
    for metric in others:
        assert one(scores, f"{metric}.minus_shuffled").value == 0
        assert not [s for s in scores if s.metric in (f"{metric}.minus_generic", f"{metric}.minus_hard_shuffled")]


# where a feature stands


def placed(values: dict[int, float], explainer: str = "ann", dictionary: str = "d") -> list[Score]:
    """A detection score for each feature; nan is unscored."""
    return [
        Score(
            dictionary, feature, "detection.ap", "none", explainer, "ben", "r", value, 0.0, 1.0, 9, 1,
            "too few" if math.isnan(value) else "", "B",
        )
        for feature, value in values.items()
    ]  # fmt: skip


@given(
    st.dictionaries(st.integers(0, 30), st.sampled_from([0.1, 0.2, 0.3, 0.4, UNSCORED]), max_size=12),
    st.sets(st.integers(0, 30)),
)
def test_a_percentile_counts_who_is_beaten(values: dict[int, float], by_hand: set[int]) -> None:
    found = standings(placed(values), {("d", feature) for feature in by_hand})
    assert [score.feature for score in found] == list(values)
    for score in found:
        own = values[score.feature]
        others = [
            value
            for feature, value in values.items()
            if feature != score.feature and feature not in by_hand and not math.isnan(value)
        ]
        assert (score.metric, score.control, score.circularity) == ("detection.ap.percentile", "none", "B")
        if math.isnan(own):
            assert (math.isnan(score.value), score.reason) == (True, "too few")
        elif not others:
            assert (math.isnan(score.value), score.reason) == (True, NO_SAMPLE)
        else:
            beaten = sum(1.0 if value < own else 0.5 if value == own else 0.0 for value in others)
            assert (score.value, score.n, score.reason) == (pytest.approx(beaten / len(others)), len(others), "")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_sample_stands_in_its_own_middle(values: list[float]) -> None:
    found = standings(placed(dict(enumerate(values))), frozenset())
    assert np.mean([score.value for score in found]) == pytest.approx(0.5)


def test_a_percentile_is_within_one_arm_and_dictionary() -> None:
    scores = placed({0: 0.1, 1: 0.9}) + placed({0: 0.8, 1: 0.2}, "bob") + placed({0: 0.5}, dictionary="e")
    scores += [replace(score, control="shuffled", value=0.95) for score in scores]
    scores += [replace(score, metric="detection.auroc") for score in scores]
    found = {(s.dictionary, s.explainer, s.feature): s.value for s in standings(scores, frozenset())}
    assert math.isnan(found.pop(("e", "ann", 0)))
    assert found == {("d", "ann", 0): 0, ("d", "ann", 1): 1, ("d", "bob", 0): 1, ("d", "bob", 1): 0}
