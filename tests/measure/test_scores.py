"""Scores from hand-made verdicts, against arithmetic shown beside them."""

import math
from dataclasses import replace

import pytest

from autointerp.measure.scores import Base, score_features
from autointerp.records import UNSCORED, Score, Verdict

BASES = {("d", 0): Base(0.5), ("d", 1): Base(0.5)}
BLANK = Verdict("d", 0, "detection", "none", "ann", "ben", "detection.1@0", "", "", False, 0.0, 0.0, "")


def verdict(fires: bool, weight: float, value: float, reason: str = "", **more: object) -> Verdict:
    stratum = "bin0" if fires else "random"
    return replace(BLANK, fires=fires, weight=weight, value=value, reason=reason, stratum=stratum, **more)  # type: ignore[arg-type]


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
