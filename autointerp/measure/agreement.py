"""Agreement of raters on an ordered scale, beyond what their habits alone would give.

Both coefficients collapse where nearly all ratings are equal, however rarely raters differ: show `confusion` beside.
"""

from typing import Literal

import numpy as np

from autointerp.measure.arrays import NAN, Floats, Ints


def confusion(a: Ints, b: Ints, categories: int) -> Ints:
    """How often a said i where b said j: two raters' a, b [n] in 0 … K-1 -> counts [K, K], K = categories."""
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    assert a.shape == b.shape and not ((np.minimum(a, b) < 0) | (np.maximum(a, b) >= categories)).any(), (
        f"two ratings of the same items, each in 0 … {categories - 1}"
    )
    return np.bincount(a * categories + b, minlength=categories**2).reshape(categories, categories)


def quadratic_kappa(a: Ints, b: Ints, categories: int) -> float:
    """1 - sum w O / sum w E with w = (i - j)^2 (Cohen 1968): O the confusion, E what its margins give at random.

    a, b [n] in 0 … categories-1. Perfect 1, independent about 0, opposite down to -1. nan where all ratings of both
    are one and the same, and for n = 0: nothing could have gone wrong. A rater who is constant gets 0.
    """
    observed = confusion(a, b, categories)
    rating = np.arange(categories)
    distance = (rating[:, None] - rating) ** 2
    expected = (distance * np.outer(observed.sum(1), observed.sum(0))).sum()
    return float(1 - (distance * observed).sum() * len(a) / expected) if expected else NAN


def krippendorff_alpha(ratings: Floats, level: Literal["nominal", "ordinal", "interval"] = "ordinal") -> float:
    """1 - D_o / D_e: disagreement within items over that between any two ratings (Krippendorff 2011).

    ratings [raters, items], nan where a rater gave none; items with fewer than two ratings take no part. The squared
    distance of values c < k is 1 (nominal), (k - c)^2 (interval), or, ordinal, the number of ratings from c to k, those
    at either end counted half, squared. Perfect 1, at random about 0, systematic disagreement negative. nan where
    all ratings are equal or none can be paired.
    """
    ratings = np.asarray(ratings, float)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[None] == values[:, None, None]).sum(axis=1)  # [values, items]
    counts = counts[:, counts.sum(axis=0) > 1]
    size, frequency = counts.sum(axis=0), counts.sum(axis=1)
    place = {"nominal": values, "interval": values, "ordinal": np.cumsum(frequency) - frequency / 2}[level]
    distance = (place[:, None] - place) ** 2
    if level == "nominal":
        distance = (distance > 0).astype(float)
    observed = (distance * (counts / (size - 1) @ counts.T)).sum()  # an item's own pairs are at distance 0
    expected = (distance * np.outer(frequency, frequency)).sum() / (frequency.sum() - 1) if size.size else 0
    return float(1 - observed / expected) if expected else NAN
