"""What holds over all sizes of a chain: what a dictionary leaves out against width, and which concepts it has."""

from collections.abc import Sequence

import numpy as np

from autointerp.compare.sides import Side
from autointerp.compare.tables import Rows
from autointerp.measure import scaling
from autointerp.measure.arrays import Floats
from autointerp.measure.dictionaries import loss_rows

VARIANCE, LOSS = "1 - explained variance against width", "loss rise against width"


def law(name: str, quantity: str, found: scaling.Estimate, n: int) -> dict[str, object]:
    """A row of laws.csv; a value that is missing has its reason as the note."""
    return {"law": name, "quantity": quantity, "value": found.value, "low": found.low, "high": found.high, "n": n,
            "note": found.reason}  # fmt: skip


def plain(value: float, reason: str = "") -> scaling.Estimate:
    return scaling.Estimate(value, np.nan, np.nan, reason)


def power_laws(chain: Sequence[Side], where: str) -> Rows:
    """Loss = scale x width^-exponent, of two losses; or the sentence that says why not."""
    left_out = {
        VARIANCE: [1 - side.figures.explained_variance for side in chain],
        LOSS: [loss_rows(side.figures.losses, 0, 100)["loss_rise"].value for side in chain],
    }
    return [row for name, losses in left_out.items() for row in power_law(name + where, chain, losses)]


def power_law(name: str, chain: Sequence[Side], losses: Sequence[float]) -> Rows:
    loss, width = np.array(losses, float), np.array([side.width for side in chain])
    known = loss > 0
    lacking = ", ".join(side.name for side, there in zip(chain, known, strict=True) if not there)
    if lacking:
        return [law(name, "exponent", plain(np.nan, f"It is not above 0, or not known, in {lacking}."), len(chain))]
    fitted = scaling.power_law(loss, width)
    rows = [law(name, "exponent", fitted.exponent, len(chain))]
    if np.isnan(fitted.scale):
        return rows
    rows.append(law(name, "scale", plain(fitted.scale), len(chain)))
    for side, value in zip(chain, fitted.left_out.tolist(), strict=True):
        said = "Observed over what the other sizes predict, less 1."
        rows.append(law(name, f"left out {side.name}", plain(value, said), len(chain)))
    return rows


def frequency_laws(
    name: str, chain: Sequence[Side], found: Floats, frequency: Floats, seed: int, resamples: int
) -> Rows:
    """The curve of all sizes over frequency x alive features, and whether they lie on one; found [C, D]."""
    alive = np.array([side.alive.size for side in chain], dtype=np.int64)
    curve = scaling.frequency_law(found, frequency, alive, seed, resamples)
    rows = [
        law(name, "slope", curve.slope, curve.n),
        law(name, "x50", curve.x50, curve.n),
        law(name, "intercept", plain(curve.intercept, curve.slope.reason), curve.n),
        law(name, "concepts that never occur", plain(curve.never), curve.n + curve.never),
    ]
    one = scaling.collapse(found, frequency, alive)
    rows.append(law(name, "p of one curve", plain(one.p, one.reason), curve.n))
    if not one.reason:
        rows.append(law(name, "p if concepts were new in each dictionary", plain(one.naive), curve.n))
        shifts = zip(chain, one.shift.tolist(), strict=True)
        rows += [law(name, f"shift of x50 in {side.name}", plain(value), curve.n) for side, value in shifts]
    return rows
