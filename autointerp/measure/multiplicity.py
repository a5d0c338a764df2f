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
