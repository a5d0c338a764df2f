"""A model's mean grade corrected by people's: prediction-powered inference over clusters of items.

A model graded every item, people rated some. The model's mean over all items is precise and may be biased; people's
mean over theirs is right and imprecise. The corrected mean is right whatever the model does, and the more precise the
better the model agrees with people.

What must hold: the rated items are a seeded random draw, of whole clusters or of items within clusters, made without
looking at grades, explanations or activations. Ratings of what looked interesting, or of what people got round to,
correct nothing, and no interval below knows of it. The clusters are themselves a sample: every interval is about the
features that they were drawn from, not only those that are in the table.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from autointerp.measure.arrays import NAN, RESOLUTION, Floats, Ints
from autointerp.measure.intervals import Interval, Z

NORMAL_FROM = 30  # clusters from which on Student's t is taken for normal


@dataclass(frozen=True, slots=True)
class Corrected:
    """A mean with its 95% bounds, and the two means that it is made of.

    `tuning` is the trust in the model's grades: 0 leaves people's mean alone, 1 takes the model's mean less its mean
    error. `more_to_halve` is how many more clusters people would have to rate for an interval half as long, None where
    no number would do. Where value and bounds are nan, `reason` says why; otherwise it is empty.
    """

    value: float
    low: float
    high: float
    model_mean: Interval  # uncorrected, over all clusters: its bounds know nothing of the model's bias
    human_mean: Interval  # over the rated items alone
    tuning: float
    n: int
    n_rated: int
    clusters_rated: int
    more_to_halve: int | None
    reason: str


def quantile(clusters: Ints) -> Floats:
    """97.5% quantile for a mean over k >= 2 clusters [...]: Student's t of k - 1 degrees below 30, then normal."""
    return np.where(clusters < NORMAL_FROM, stdtrit(np.minimum(clusters, NORMAL_FROM) - 1, 0.975), Z)


def mean_of_clusters(values: Floats, weight: Floats, cluster: Ints, clusters: int) -> tuple[Interval, Floats]:
    """sum w x / sum w of items [n] in clusters 0 … C-1, with 95% bounds, and how far each cluster pulls it, [C].

    The pull of cluster c is the total of w (x - mean) / sum w over its items, times sqrt(k / (k - 1)), where k
    clusters have weight; clusters without it pull by 0. The squared pulls add to the variance of the mean, whatever
    the correlation within clusters (linearised ratio, Cochran 1977, chapter 11), and the products of two means' pulls
    to their covariance. nan without weight; k = 1: nan bounds and pulls, since one cluster says nothing of spread.
    """
    found = len(np.unique(cluster[weight > 0]))
    if not found:
        return Interval(NAN, NAN, NAN, 0, clusters), np.full(clusters, NAN)
    share = weight / weight.sum()
    mean = float(share @ values)
    if found < 2:
        return Interval(mean, NAN, NAN, found, clusters - found), np.full(clusters, NAN)
    pull = np.bincount(cluster, share * (values - mean), minlength=clusters) * np.sqrt(found / (found - 1))
    half = float(quantile(np.array(found)) * np.sqrt(pull @ pull))
    return Interval(mean, mean - half, mean + half, found, clusters - found), pull


def tuned(human: Floats, rated: Floats, model: Floats, size: float) -> tuple[float, Floats]:
    """The lambda in 0 … 1 for which human mean - lambda (model's mean over rated - over all) varies least.

    By the pulls [C] of the three means. The best lambda is cov(human, rated - model) / var(rated - model). Since a
    random part differs from the whole independently of the whole, the variance below is also
    cov(rated, rated - model), which needs no more than the rated clusters know, and gives exactly 1 to a model that
    says what people say. Where whole clusters of one size are rated, it is the slope of human totals on the model's.

    0 where the model's means over the rated items and over all have nothing to differ by: everything is rated, or
    the model gives one grade to all. 0 as well where two or three rated clusters of unlike size happen to be so alike
    that the variance below comes out negative: people's mean then stands alone, even if the model says the same.
    `size` is a sum of squares against which rounding is told from variance.

    Returns lambda, and lambda [C] as it would be without each of the clusters.
    """
    above, below = human * (rated - model), rated * (rated - model)
    left_above, left_below = above.sum() - np.append(0, above), below.sum() - np.append(0, below)  # first without none
    slope = np.divide(left_above, left_below, out=np.zeros(left_below.size), where=left_below > RESOLUTION * size)
    slope = slope.clip(0, 1)
    return float(slope[0]), slope[1:]


def more_to_halve(fixed: float, falling: float, rated: int, clusters: int) -> int | None:
    """How many clusters beyond `rated` give half the interval, where the variance is fixed + falling / clusters rated.

    `falling` is that of the rated clusters so far, at the present count: it shrinks by rated / (rated + more). The
    quantile shrinks too. None where rating all `clusters` is not enough, or the interval is a point.
    """
    counts = np.arange(rated, clusters + 1)
    squared_length = quantile(counts) ** 2 * (fixed + falling * rated / counts)
    enough = np.flatnonzero(squared_length <= squared_length[0] / 4)
    return int(enough[0]) if enough.size and squared_length[0] > 0 else None


def corrected_mean(
    model: Floats, human: Floats, cluster: Ints, weight: Floats | None = None, chance: Floats | None = None
) -> Corrected:
    """Mean human rating of all n items, from the model's grades of all and people's ratings of some.

    lambda mean(model, all) + mean(human - lambda model, rated): prediction-powered inference (Angelopoulos et al.
    2023) with power tuning (PPI++, Angelopoulos, Duchi and Zrnic 2023), for rated items that are among all items,
    which makes it the regression estimator of double sampling (Cochran 1977, chapter 12).

    model [n], human [n] (nan where nobody rated), cluster [n] any whole numbers (the feature of each item), weight [n]
    what each item counts for in the mean (None: alike; items of weight 0 take no part). chance [n]: the chance, up to
    a factor, at which each item was drawn for rating, where items differ in it. With one item of every drawn feature
    rated it is 1 / the feature's items; rated items then count weight / chance. Where features are drawn whole, or
    items from all items, None: alike.

    Clusters are independent, items of one are not: the variance is the sum over clusters of the square of what each
    pulls the corrected mean by. A rated cluster pulls both means, and what it does to one is set against what it does
    to the other; a cluster without ratings pulls the model's mean alone. lambda is tuned on the same pulls, so a model
    that tells features apart but not the items of one is trusted as far as the draw makes use of it. What a cluster
    pulls by is taken with the lambda of the others (a jackknife): with its own, which was fitted to it, the interval
    would be too short, covering 93% instead of 95% with one item of each of 15 clusters rated.

    Bounds are Student's t of (rated clusters - 1) degrees below 30 rated clusters, normal from there on. Of a model and
    people that say the same, they are those of the model over all items (below 30 longer, by Student's t). With the
    four items of each rated cluster they cover about 95% from 5 rated clusters on, 94% at 4, 91% at 3, 85% at 2; with
    one item each 86% at 5 and 95% from 15 on; less where the rare grade decides, as for people's mean alone.

    Fewer than 2 rated clusters: nan with a reason. All items rated: people's mean and interval, tuning 0.

    `more_to_halve` supposes that further clusters are drawn from those without ratings, as many of their items rated
    as in the clusters so far, with lambda and the spreads as now estimated. What stays is the spread of the features
    themselves: once all in the table are rated only more features would help. The spreads are estimates from the rated
    clusters, so with few of them the number is rough.
    """
    model, human, cluster = np.asarray(model, float), np.asarray(human, float), np.asarray(cluster)
    weight = np.ones(model.size) if weight is None else np.asarray(weight, float)
    chance = np.ones(model.size) if chance is None else np.asarray(chance, float)
    assert model.shape == human.shape == cluster.shape == weight.shape == chance.shape, "one of each for every item"
    assert np.isfinite(model).all(), "the model graded every item: leave out what has no grade, or grade it"
    assert not np.isinf(human).any() and np.isfinite(weight).all() and (weight >= 0).all() and (chance > 0).all(), (
        "ratings are numbers or nan, weights are not negative, and a chance of 0 leaves nothing to weigh"
    )
    counts = weight > 0
    model, human, weight, chance = model[counts], human[counts], weight[counts], chance[counts]
    names, cluster = np.unique(cluster[counts], return_inverse=True)
    is_rated = ~np.isnan(human)
    rated_weight = np.where(is_rated, weight / chance, 0)

    model_mean, model_pull = mean_of_clusters(model, weight, cluster, names.size)
    model_rated, rated_pull = mean_of_clusters(model, rated_weight, cluster, names.size)
    human_mean, human_pull = mean_of_clusters(np.where(is_rated, human, 0), rated_weight, cluster, names.size)
    rated = human_mean.n
    if rated < 2:
        reason = f"{rated or 'no'} cluster{'' if rated else 's'} with human ratings: a correction needs at least 2"
        return Corrected(
            NAN, NAN, NAN, model_mean, human_mean, NAN, model.size, int(is_rated.sum()), rated, None, reason
        )

    totals = np.bincount(cluster, rated_weight * model, minlength=names.size) / rated_weight.sum()
    tuning, without = tuned(human_pull, rated_pull, model_pull, float(totals @ totals))
    difference = model_rated.value - model_mean.value
    value = human_mean.value - tuning * difference
    # The corrected mean, less what it is without the cluster and with the lambda of the others.
    pull = human_pull - without * (rated_pull - model_pull) - (tuning - without) * difference
    correction = pull - tuning * model_pull
    variance, falling = float(pull @ pull), float(correction @ correction)
    half = float(quantile(np.array(rated)) * np.sqrt(variance))
    return Corrected(
        value=value,
        low=value - half,
        high=value + half,
        model_mean=model_mean,
        human_mean=human_mean,
        tuning=tuning,
        n=model.size,
        n_rated=int(is_rated.sum()),
        clusters_rated=rated,
        more_to_halve=more_to_halve(variance - falling, falling, rated, names.size),
        reason="",
    )
