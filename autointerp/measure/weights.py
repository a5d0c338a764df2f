"""What each item counts for: a sample drawn unevenly, weighed as the population it stands for."""

from typing import overload

import numpy as np
import numpy.typing as npt

from autointerp.measure.arrays import NAN, Bools, Floats, Ints, Matrix, Vector


def at_shares(group: Ints, weight: Floats, shares: npt.ArrayLike) -> Vector:
    """Item weights [n] such that the items of group g add to `shares`[g]; group [n] in 0 … G-1, shares [G].

    Each group is normalised by its own sum, so `weight` need only be right within a group. A group that is empty or
    weightless stays at 0, so its share is missing from the sum: a weighted mean then goes over the other groups. With
    activation intervals as groups and weight 1: equal shares weigh the intervals alike; the share of firings in each
    weighs the typical firing; that times the mean activation in each weighs the typical unit of activation.
    """
    group, weight, shares = np.asarray(group, np.int64), np.asarray(weight, float), np.asarray(shares, float)
    mass = np.bincount(group, weight, minlength=shares.size)[group]
    found: Vector = np.divide(weight * shares[group], mass, out=np.zeros(weight.size), where=mass > 0)
    return found


def at_prevalence(fires: Bools, weight: Floats, prevalence: float) -> Vector:
    """Item weights [n] at a declared prevalence: firing ones add to `prevalence`, silent ones to 1 - `prevalence`.

    A class that is empty or weightless stays at 0, which average_precision and its kin then answer with nan.
    """
    assert 0 <= prevalence <= 1, f"prevalence is a share, not {prevalence}"
    return at_shares(np.asarray(fires, np.int64), weight, (1 - prevalence, prevalence))


@overload
def weighted_mean(values: Floats, weight: Vector) -> float: ...
@overload
def weighted_mean(values: Floats, weight: Matrix) -> Floats: ...
def weighted_mean(values: Floats, weight: Floats) -> float | Floats:
    """sum w x / sum w: values [n], weight [n] -> float, or [B, n] -> [B]. nan without weight or with a nan value."""
    weight = np.asarray(weight, float)
    total = weight.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, weight @ np.asarray(values, float) / total, NAN)[()]
