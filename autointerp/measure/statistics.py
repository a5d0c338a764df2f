"""Numbers of a dictionary and of a feature that no judge took part in, and the shuffle behind the controls."""

import numpy as np
import numpy.typing as npt

from autointerp.measure.arrays import NAN, RESOLUTION, Floats, Ints


def explained_variance(sum_x: Floats, sum_sq: float, n: int, residual_sq: float) -> float:
    """1 - sum |x - xhat|^2 / sum |x - mean|^2 from streamed sums over n positions, all in float64.

    sum_x [d] = sum x, sum_sq = sum |x|^2, residual_sq = sum |x - xhat|^2; the variance is sum_sq - |sum_x|^2 / n.
    Perfect 1, predicting the mean 0, anything worse than the mean negative. nan without variance (n < 2, or all x
    equal up to rounding). A mean that dwarfs the spread costs digits; take one fixed vector off every x beforehand.
    """
    if n < 2:
        return NAN
    sum_x = np.asarray(sum_x, np.float64)
    variance = float(sum_sq) - float(sum_x @ sum_x) / n
    return 1 - float(residual_sq) / variance if variance > RESOLUTION * sum_sq else NAN


def derangement(n: int, rng: np.random.Generator) -> Ints:
    """A permutation of 0 … n-1 that leaves nothing in its place, uniform among all such; n = 0 -> empty.

    By rejection: 1/e of all permutations qualify, so about three tries. A plain shuffle would hand one feature on
    average its own explanation, and the control would contain the thing it controls for.
    """
    if n == 1:
        raise ValueError("One explanation cannot be shuffled: give at least two features, or leave the control out.")
    while True:
        permutation = rng.permutation(n)
        if not (permutation == np.arange(n)).any():
            return permutation


def token_entropy(counts: npt.ArrayLike) -> float:
    """Entropy in bits of the tokens a feature fires on, sum p log2(1/p) with p = counts / total; counts [tokens].

    0 for a single-token feature, log2(k) for k equally frequent ones, nan if nothing was counted. The plug-in
    estimate: too low while the counts are few, so compare features at like counts.
    """
    seen = np.asarray(counts, float)
    seen = seen[seen > 0]
    return float((seen / seen.sum() * np.log2(seen.sum() / seen)).sum()) if seen.size else NAN
