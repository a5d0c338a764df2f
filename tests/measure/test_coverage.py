"""What a 95% interval over features promises, on planted features whose rule is known and a judge whose errors are set.

A study is 100 features of 20 firing and 20 silent items. The judge errs at rates that differ from feature to feature
(Beta), more where firing is weak, and items stand for unequal parts of the population. Each interval has to hold
the expected value of the very same statistic at the same number of items: what a study of endless features would give.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from autointerp.measure import correlation, ranking, weights
from autointerp.measure.arrays import Bools, Floats
from autointerp.measure.intervals import mean_interval

pytestmark = pytest.mark.slow

STUDIES, FEATURES = 400, 100
FIRES = np.repeat([True, False], 20)
# Four activation intervals of five firing items each, then ten random, five near and five same-token silent items.
STRATUM = np.repeat([0, 1, 2, 3, 4, 5, 6], [5, 5, 5, 5, 10, 5, 5])
HARDNESS = np.array([1.6, 1.2, 0.8, 0.4, 0.5, 1.5, 2])[STRATUM]
PREVALENCE = 0.2
CONTEXTS, TOKENS = 8, 16

Judge = Callable[[np.random.Generator], Bools]
Draw = Callable[[np.random.Generator], Sequence[float]]  # one feature's scores


def item_weights(rng: np.random.Generator) -> Floats:
    """Inclusion weights: what the strata hold differs between features, so items count unequally."""
    firing, silent = rng.dirichlet([8, 4, 2, 1]), rng.dirichlet([20, 1, 2])
    weight = weights.at_shares(STRATUM, np.ones(FIRES.size), np.concatenate([firing, silent]))
    return weights.at_prevalence(FIRES, weight, PREVALENCE)


def knows(rng: np.random.Generator) -> Bools:
    """Verdicts by the rule, wrong at the feature's own rates of misses and false alarms."""
    miss, alarm = rng.beta(2, 6), rng.beta(1, 9)
    wrong = rng.random(FIRES.size) < np.minimum(1, np.where(FIRES, miss, alarm) * HARDNESS)
    return FIRES ^ wrong


def ignores(rng: np.random.Generator) -> Bools:
    """Verdicts that depend on the items alone: a yes to what looks loud, whichever explanation is asked about."""
    return rng.random(FIRES.size) < np.clip(rng.beta(2, 2) * HARDNESS, 0, 1)


def scores(judge: Judge, weight: Floats, rng: np.random.Generator) -> Floats:
    """One feature's average precision, AUROC, F1 and balanced accuracy.

    What ranks is a probability in tenths, from 0.5 for a yes and below it for a no: there are ties.
    """
    says = judge(rng)
    probability = (rng.integers(0, 5, says.size) + 5 * says) / 10
    ranks = [area(FIRES, probability, weight) for area in (ranking.average_precision, ranking.auroc)]
    return np.array(ranks + [verdict(FIRES, says, weight) for verdict in (ranking.f1, ranking.balanced_accuracy)])


def judged(rng: np.random.Generator) -> Floats:
    return scores(knows, item_weights(rng), rng)


def less_shuffled(rng: np.random.Generator) -> Floats:
    """Scores less those with another feature's explanation on the same items, by a judge that reads neither."""
    weight = item_weights(rng)
    return scores(ignores, weight, rng) - scores(ignores, weight, rng)


def pearson(rng: np.random.Generator) -> list[float]:
    """Token predictions in whole numbers: some firings missed, some invented, the level blurred; contexts weighted."""
    n = CONTEXTS * TOKENS
    truth = np.where(rng.random(n) < 0.15, rng.exponential(3, n), 0)
    truth[0] = 10  # some context holds a firing
    missed, invented, blur = rng.beta(2, 6), rng.beta(1, 19), rng.uniform(0.2, 2)
    seen = np.where(rng.random(n) < missed, 0, truth) + 4 * (rng.random(n) < invented)
    predicted = np.clip(np.rint(seen + rng.normal(0, blur, n)), 0, 10)
    return [correlation.pearson(truth, predicted, rng.dirichlet(np.ones(CONTEXTS)).repeat(TOKENS))]


def specificity(rng: np.random.Generator) -> list[float]:
    """Ratings 0 to 3 of the firing items, better on strong ones: the mean over the four activation intervals."""
    interval = STRATUM[FIRES]
    rating = rng.binomial(3, rng.beta([2, 3, 5, 9], 2)[interval]).astype(float)
    return [weights.weighted_mean(rating, weights.at_shares(interval, np.ones(interval.size), np.ones(4)))]


def sensitivity(rng: np.random.Generator) -> list[float]:
    """Share of 20 generated texts that fire."""
    return [weights.weighted_mean((rng.random(20) < rng.beta(3, 1)).astype(float), np.ones(20))]


def studies(draw: Draw, seed: int) -> Floats:
    """Scores [STUDIES, FEATURES, k] of so many studies, k being drawn together."""
    rng = np.random.default_rng(seed)
    return np.array([[draw(rng) for _ in range(FEATURES)] for _ in range(STUDIES)])


def coverage(found: Floats, truth: Floats) -> Floats:
    """Share of the studies whose interval holds the truth, for each of the scores that are drawn together."""
    held = []
    for study, features in enumerate(found):
        intervals = [mean_interval(values, study) for values in features.T]
        held.append([one.low <= value <= one.high for one, value in zip(intervals, truth, strict=True)])
    return np.mean(held, axis=0)


@pytest.mark.parametrize("draw", [judged, pearson, specificity, sensitivity])
def test_intervals_hold_the_expected_score_as_often_as_they_say(draw: Draw) -> None:
    """The expected score is the mean over the 40,000 features of all studies, of which each has one in 400."""
    found = studies(draw, seed=1)
    covered = coverage(found, truth=found.mean(axis=(0, 1)))
    assert ((covered >= 0.92) & (covered <= 0.98)).all(), covered


def test_a_judge_that_ignores_the_explanation_gains_nothing_over_a_shuffled_one() -> None:
    covered = coverage(studies(less_shuffled, seed=1), truth=np.zeros(4))
    assert ((covered >= 0.92) & (covered <= 0.98)).all(), covered
