"""What is left of a p-value when many were looked at. nan is a test that was not made: it stays, and does not count."""

import numpy as np

from autointerp.measure.arrays import NAN, Floats


def holm(p: Floats) -> Floats:
    """Adjusted p [m]: below a, with a the chance that any true null of the family is rejected (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, held to 1 and to no less than those before it. One test is
    left as it is; no test gives no number. For the confirmatory family: valid however the tests depend on each other.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]  # nan sorts last
    adjusted = np.full(p.shape, NAN)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)))
    return adjusted


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p [m]: rejecting those below q keeps the expected share of false ones among the rejected below q.

    The k-th smallest of m becomes the least p_j m / j over j >= k (Benjamini and Hochberg 1995). For screens of many
    features; valid for independent or positively dependent tests. One test is left as it is.
    """
    p = np.asarray(p, float)
    m = int((~np.isnan(p)).sum())
    order = np.argsort(p)[:m][::-1]  # nan sorts last
    adjusted = np.full(p.shape, NAN)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(p[order] * (m / np.arange(m, 0, -1))))
    return adjusted


def max_statistic_p(observed: Floats, null: Floats) -> float:
    """p of the best of k candidates: (1 + #{null maxima >= the observed maximum}) / (B + 1) (Westfall and Young 1993).

    observed [k], larger is better; null [B, k], the same k recomputed under B permutations, each permuting all
    candidates together. Never below 1 / (B + 1); B = 0 gives 1. Candidates that are nan take no part; none left: nan.
    """
    observed, null = np.asarray(observed, float), np.asarray(null, float)
    scored = ~np.isnan(observed)
    if not scored.any():
        return NAN
    maxima = null[:, scored].max(axis=1)
    assert not np.isnan(maxima).any(), "what is defined for the observed is defined for its permutations"
    return float((1 + (maxima >= observed[scored].max()).sum()) / (maxima.size + 1))
