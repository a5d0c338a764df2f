"""Krippendorff's alpha as its paper has it, a reference for what is made of sums over features."""

from math import nan

import numpy as np

from autointerp.measure.arrays import Floats


def ordinal_alpha(ratings: Floats) -> float:
    """ratings [raters, items], nan where a rater gave none; nan where all are equal or none can be paired."""
    ratings = np.asarray(ratings, float)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[None] == values[:, None, None]).sum(axis=1)  # [values, items]
    counts = counts[:, counts.sum(axis=0) > 1]
    size, frequency = counts.sum(axis=0), counts.sum(axis=1)
    place = np.cumsum(frequency) - frequency / 2
    distance = (place[:, None] - place) ** 2
    observed = (distance * (counts / (size - 1) @ counts.T)).sum()  # an item's own pairs are at distance 0
    expected = (distance * np.outer(frequency, frequency)).sum() / (frequency.sum() - 1) if size.size else 0
    return float(1 - observed / expected) if expected else nan
