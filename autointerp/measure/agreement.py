"""Agreement of raters on an ordered scale, beyond what their habits alone would give.

Both coefficients collapse where nearly all ratings are equal, however rarely raters differ: show `confusion` beside.
Both are functions of counts that add up over features, so their bootstrap draws whole features with all their items.
"""

from itertools import combinations

import numpy as np

from autointerp.measure.arrays import NAN, Floats, Ints
from autointerp.measure.effects import Effect, bootstrapped


def confusion(a: Ints, b: Ints, categories: int) -> Ints:
    """How often a said i where b said j: two raters' a, b [n] in 0 … K-1 -> counts [K, K], K = categories."""
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    assert a.shape == b.shape and not ((np.minimum(a, b) < 0) | (np.maximum(a, b) >= categories)).any(), (
        f"two ratings of the same items, each in 0 … {categories - 1}"
    )
    return np.bincount(a * categories + b, minlength=categories**2).reshape(categories, categories)


def kappa_of(observed: Floats) -> Floats:
    """Quadratic kappa of confusions [..., K, K] -> [...]: how often one said i where the other said j.

    1 - sum w O / sum w E with w = (i - j)^2 (Cohen 1968): O the confusion, E what its margins give at random. Perfect
    1, independent about 0, opposite down to -1; a rater who is constant gets 0. nan where all ratings of both are one
    and the same, and where there are none: nothing could have gone wrong.
    """
    rating = np.arange(observed.shape[-1])
    distance = (rating[:, None] - rating) ** 2
    margins = observed.sum(axis=-1)[..., :, None] * observed.sum(axis=-2)[..., None, :]
    expected = (distance * margins).sum(axis=(-2, -1))
    disagreement = (distance * observed).sum(axis=(-2, -1)) * observed.sum(axis=(-2, -1))
    found: Floats = 1 - disagreement / np.where(expected > 0, expected, NAN)
    return found


def mean_kappa(ratings: Floats, clusters: Ints, categories: int, seed: int, resamples: int = 2000) -> Effect:
    """Mean quadratic kappa over the pairs of raters, each over the items that both rated, with its bootstrap.

    ratings [raters, items] in 0 … categories-1, nan where there is none; clusters [items] is the feature of each item.
    n counts features with an item that two rated. Not identified where two raters share no items, or say one and the
    same of all that they share.
    """
    ratings, which = _paired(ratings, clusters)
    pairs = list(combinations(ratings, 2))
    n = int(which.max(initial=-1)) + 1
    columns = np.zeros((n, len(pairs), categories**2))
    for place, (a, b) in enumerate(pairs):
        both = ~np.isnan(a) & ~np.isnan(b)
        np.add.at(columns[:, place], (which[both], (a[both] * categories + b[both]).astype(np.int64)), 1)

    def kappa(sums: Floats) -> Floats:
        each = kappa_of(sums.reshape(len(sums), len(pairs), categories, categories))
        return each.mean(axis=1) if pairs else np.full(len(sums), NAN)

    why = (
        "It takes two raters or more, on items of two features or more, whose ratings vary where each two of them meet."
    )
    return bootstrapped("kappa", columns.reshape(n, len(pairs) * categories**2), kappa, seed, resamples, why)


def alpha(ratings: Floats, clusters: Ints, categories: int, seed: int, resamples: int = 2000) -> Effect:
    """Krippendorff's ordinal alpha with its bootstrap: 1 - D_o / D_e, disagreement within items over that between any.

    ratings [raters, items] in 0 … categories-1, nan where there is none; clusters [items] is the feature of each item.
    The distance of values c < k is the number of ratings from c to k, those at either end counted half, squared
    (Krippendorff 2011); it is summed over coincidences, which add up over features. Perfect 1, at random about 0,
    systematic disagreement negative. n counts features with an item that two rated. Not identified where all ratings
    of such items are equal.
    """
    ratings, which = _paired(ratings, clusters)
    n = int(which.max(initial=-1)) + 1
    counts = np.array([(ratings == value).sum(axis=0) for value in range(categories)], float)  # [K, items]
    pairs = counts[:, None] * counts[None] - counts[:, None] * np.eye(categories)[:, :, None]
    coincidences = (pairs / (counts.sum(axis=0) - 1)).reshape(categories**2, -1)
    columns = np.zeros((n, categories**2))
    np.add.at(columns, which, coincidences.T)

    def coefficient(sums: Floats) -> Floats:
        observed = sums.reshape(len(sums), categories, categories)
        frequency = observed.sum(axis=2)
        place = np.cumsum(frequency, axis=1) - frequency / 2
        distance = (place[:, :, None] - place[:, None]) ** 2
        by_chance = (distance * frequency[:, :, None] * frequency[:, None]).sum(axis=(1, 2))
        found = (distance * observed).sum(axis=(1, 2)) * (frequency.sum(axis=1) - 1)
        coefficients: Floats = 1 - found / np.where(by_chance > 0, by_chance, NAN)
        return coefficients

    why = "It takes items of two features or more that two or more have rated, and not all alike."
    return bootstrapped("alpha", columns, coefficient, seed, resamples, why)


def _paired(ratings: Floats, clusters: Ints) -> tuple[Floats, Ints]:
    """The items [raters, m] that two or more rated, and the number of each one's feature, 0 … n-1."""
    ratings, clusters = np.asarray(ratings, float), np.asarray(clusters)
    assert clusters.shape == ratings.shape[1:], "a feature for each item"
    kept = (~np.isnan(ratings)).sum(axis=0) > 1
    return ratings[:, kept], np.unique(clusters[kept], return_inverse=True)[1].astype(np.int64)
