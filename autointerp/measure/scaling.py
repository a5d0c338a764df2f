"""How completeness grows with the size of a dictionary, and how its loss falls.

Shapes: C concepts, D dictionaries, B resamples. A concept that occurs f times a token has a feature of its own in a
dictionary with A alive features with a probability that depends, so the law says, on f A alone: by a logistic curve
in x = log10(f A). All dictionaries then lie on one curve. The unit is the concept: what is found of it in
one dictionary is no independent news of what is found in another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, expit, stdtrit

from autointerp.measure.arrays import NAN, RESOLUTION, Bools, Floats, Ints
from autointerp.measure.intervals import BLOCK, percentiles

UNDEFINED = 0.025  # bounds are not given where more than this share of resamples has no finite estimate
STEPS = 100  # of Newton; where a finite estimate exists, ten or so are enough
SIZES = 4  # below which a power law is not fitted


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% bounds; nan has a reason, which is empty otherwise."""

    value: float
    low: float
    high: float
    reason: str


@dataclass(frozen=True, slots=True)
class Collapse:
    """Do all dictionaries lie on one curve? Twice the gain in log-likelihood from an intercept for each.

    shift [D]: by how much x50 of each dictionary differs from that of the common curve; positive where it needs more
    than the law says. p: of a common curve. `naive` is what p would be if the same concept in two dictionaries were two
    concepts. All nan where there is a reason.
    """

    ratio: float
    p: float
    naive: float
    shift: Floats
    reason: str


@dataclass(frozen=True, slots=True)
class Law:
    """logit P(found) = intercept + slope x, with x = log10(frequency x alive features).

    x50 = -intercept / slope is where half of the concepts are found: 0 says at one occurrence per alive feature, and a
    concept that is found earlier has it below 0. `n` concepts make up `cells` findings; `never` occur nowhere and have
    no x. `undefined` is the share of resamples without a finite estimate, or without a rising curve.
    """

    intercept: float
    slope: Estimate
    x50: Estimate
    n: int
    cells: int
    never: int
    undefined: float


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """log10 L = log10 scale - exponent log10 W. left_out [D]: L over what the other sizes predict, less 1."""

    exponent: Estimate
    scale: float
    left_out: Floats


# ---- the frequency law


def frequency_law(found: Floats, frequency: Floats, alive: Ints, seed: int, resamples: int = 2000) -> Law:
    """The common curve of all dictionaries, by maximum likelihood without a penalty, bounded over concepts.

    found [C, D] is 1, 0, or nan where it was not decided; frequency [C] in occurrences a token, alive [D] >= 1.
    Concepts that never occur have no x: they are left out and counted. Those never decided are in no count.

    Concepts are drawn with replacement, each with all its dictionaries, and the curve is fitted to each draw. A curve
    is not finite where what is found and what is not do not overlap in x (separation; Albert and Anderson 1984). Draws
    without a finite curve have no slope, and draws without a rising one no x50; bounds are given where at most 2.5% of
    the draws lack one.

    x50 and slope describe the concepts of the list, taken together: where concepts differ beyond their frequency, the
    curve over them is flatter than that of any one. That takes nothing off x50.
    """
    y, x, never = _cells(found, frequency, alive)
    n, cells = len(y), int((~np.isnan(y)).sum())
    reason = "Fewer than two concepts occur and were decided." if n < 2 else _separated(x, y)
    if reason:
        nothing = Estimate(NAN, NAN, NAN, reason)
        return Law(NAN, nothing, nothing, n, cells, never, NAN)
    design = _design(x, 1)
    intercept, slope = whole = _fit(design, y, np.ones((1, n)))[0]
    drawn = []
    for weight in _resampled(n, seed, resamples, y.size):
        fitted = np.full((len(weight), 2), NAN)
        finite = _finite(x, y, weight)
        fitted[finite] = _fit(design, y, weight[finite], whole)
        drawn.append(fitted)
    b = np.concatenate(drawn)
    rising = b[:, 1] > 0
    crossing = np.where(rising, -b[:, 0] / np.where(rising, b[:, 1], 1), NAN)
    steep = _bounded(slope, b[:, 1], n, "In too many resamples found and missing concepts do not overlap in frequency.")
    x50 = Estimate(NAN, NAN, NAN, "The curve does not rise with frequency.")
    if slope > 0:
        x50 = _bounded(
            -intercept / slope, crossing, n, "In too many resamples the curve does not rise, or not finitely."
        )
    return Law(float(intercept), steep, x50, n, cells, never, float(np.isnan(crossing).mean()))


def collapse(found: Floats, frequency: Floats, alive: Ints) -> Collapse:
    """A likelihood-ratio test of one curve for all dictionaries against one with an intercept for each; D >= 2.

    Arguments as in frequency_law. The slope is common to both. Under one curve the ratio would be chi-square of D - 1
    degrees if all cells were independent. But concepts recur in every dictionary, and being found in one goes with
    being found in the next, so the ratio is smaller than that and the plain test rejects too little (`naive`). It is a
    weighted sum of chi-squares instead, with the eigenvalues of the ratio of two covariances of the intercepts as
    weights: that which tells clusters apart, and that which does not (Kent 1982; Rotnitzky and Jewell 1990). p
    matches its mean and variance by a scaled chi-square (Satterthwaite).

    It needs a finite curve in both models: a dictionary in which every concept is found, or none, has no intercept of
    its own.
    """
    y, x, _ = _cells(found, frequency, alive)
    dictionaries, known = y.shape[1], ~np.isnan(y)
    reason = _alone(x, y)
    if reason:
        return Collapse(NAN, NAN, NAN, np.full(dictionaries, NAN), reason)
    once = np.ones((1, len(y)))
    common, own = _design(x, 1), _design(x, dictionaries)
    one, each = _fit(common, y, once)[0], _fit(own, y, once)[0]
    ratio = 2 * (_likelihood(own @ each, y) - _likelihood(common @ one, y))
    # Contrasts of each dictionary with the first; under the common curve, information and clustered scores.
    p = expit(own @ np.append(np.full(dictionaries, one[0]), one[1]))
    residual = np.where(known, np.nan_to_num(y) - p, 0)
    information = np.einsum("cdi,cd,cdj->ij", own, np.where(known, p * (1 - p), 0), own)
    scores = np.einsum("cdi,cd->ci", own, residual)
    plain = np.linalg.inv(information)
    clustered = plain @ (scores.T @ scores * len(y) / (len(y) - 1)) @ plain
    contrast = np.hstack([-np.ones((dictionaries - 1, 1)), np.eye(dictionaries - 1), np.zeros((dictionaries - 1, 1))])
    weights = np.linalg.eigvals(np.linalg.solve(*(contrast @ v @ contrast.T for v in (plain, clustered)))).real
    scale = (weights**2).sum() / weights.sum()
    degrees = weights.sum() ** 2 / (weights**2).sum()
    shift = -each[:-1] / each[-1] + one[0] / one[1]
    return Collapse(ratio, float(chdtrc(degrees, ratio / scale)), float(chdtrc(dictionaries - 1, ratio)), shift, "")


def _cells(found: Floats, frequency: Floats, alive: Ints) -> tuple[Floats, Floats, int]:
    """What was decided [C, D], its x [C, D], and how many concepts never occur; those and the undecided are out."""
    found, frequency, alive = np.asarray(found, float), np.asarray(frequency, float), np.asarray(alive, float)
    assert found.shape == (frequency.size, alive.size), "a row a concept, a column a dictionary"
    assert np.isin(found[~np.isnan(found)], (0, 1)).all(), "found is 1, 0 or nan"
    assert (frequency >= 0).all() and (alive >= 1).all(), "a frequency is at least 0, and some features are alive"
    occurs = frequency > 0
    kept = occurs & ~np.isnan(found).all(axis=1)
    return found[kept], np.log10(frequency[kept])[:, None] + np.log10(alive), int((~occurs).sum())


def _separated(x: Floats, y: Floats) -> str:
    """Why the curve over these cells is not finite; empty where it is."""
    if _finite(x, y, np.ones((1, len(y))))[0]:
        return ""
    outcomes = np.unique(y[~np.isnan(y)])
    if outcomes.size == 1:
        return f"{'Every one' if outcomes[0] else 'None'} of the concepts is found: the curve is not finite."
    return "Found and missing concepts do not overlap in frequency: the curve is not finite."


def _finite(x: Floats, y: Floats, weight: Floats) -> Bools:
    """[B]: whether what is found and what is not overlap in x, among the rows [C] of weight [B, C] above 0.

    Without both there is no overlap. Overlap in no more than one x is none.
    """
    ends = []
    for outcome in (1, 0):
        low, high = (np.where(y == outcome, x, end).T for end in (np.inf, -np.inf))
        ends.append([np.where(weight > 0, low.min(axis=0), np.inf).min(axis=1)])
        ends[-1].append(np.where(weight > 0, high.max(axis=0), -np.inf).max(axis=1))
    (yes_low, yes_high), (no_low, no_high) = ends
    overlap: Bools = (yes_low < no_high) & (no_low < yes_high)
    return overlap


def _fit(design: Floats, y: Floats, weight: Floats, start: Floats | float = 0.0) -> Floats:
    """Coefficients [B, k] of logistic regressions of y [C, D] on design [C, D, k], without a penalty.

    weight [B, C] says how often each row counts. Newton's method from `start`; a step that lowers the likelihood is
    halved. The estimates must be finite.
    """
    known = ~np.isnan(y).ravel()
    k = design.shape[2]
    columns, outcome = design.reshape(-1, k)[known], y.ravel()[known]
    weights = np.repeat(weight, y.shape[1], axis=1)[:, known]  # [B, N]
    products = (columns[:, :, None] * columns[:, None, :]).reshape(-1, k * k)
    best, step = np.zeros((len(weight), k)) + start, np.zeros((len(weight), k))
    highest = np.full(len(weight), -np.inf)
    for _ in range(STEPS):
        trial = best + step
        logits = trial @ columns.T
        reached = (weights * (outcome * logits - _softplus(logits))).sum(axis=1)
        better = reached >= highest - RESOLUTION * np.abs(highest)
        p = expit(logits)
        information = ((weights * p * (1 - p)) @ products).reshape(-1, k, k)
        gradient = (weights * (outcome - p)) @ columns
        best[better], highest[better] = trial[better], reached[better]
        step[~better] /= 2
        step[better] = np.linalg.solve(information[better], gradient[better][..., None])[..., 0]
        if (np.abs(step) <= 1e-9 * (1 + np.abs(best))).all():
            break
    return best


def _alone(x: Floats, y: Floats) -> str:
    """Why dictionaries cannot have an intercept each; empty where they can."""
    dictionaries = y.shape[1]
    if dictionaries < 2:
        return "One dictionary has nothing to lie on one curve with."
    if len(y) <= dictionaries:
        return "There are too few concepts to tell dictionaries apart."
    both = ((y == 1).any(axis=0) & (y == 0).any(axis=0)).sum()
    if both < dictionaries:
        return f"In {dictionaries - both} of {dictionaries} dictionaries all concepts are found, or none."
    (yes_low, yes_high), (no_low, no_high) = (
        (np.where(y == outcome, x, np.inf).min(axis=0), np.where(y == outcome, x, -np.inf).max(axis=0))
        for outcome in (1, 0)
    )
    if (yes_low >= no_high).all() or (yes_high <= no_low).all():
        return "Found and missing concepts overlap in frequency in no dictionary: its own curve is not finite."
    return _separated(x, y)


def _design(x: Floats, intercepts: int) -> Floats:
    """[C, D, intercepts + 1]: one intercept for all dictionaries or one for each, then the slope."""
    ones = np.ones((*x.shape, 1)) if intercepts == 1 else np.broadcast_to(np.eye(intercepts), (*x.shape, intercepts))
    return np.concatenate([ones, x[..., None]], axis=2)


def _softplus(logits: Floats) -> Floats:
    """log(1 + exp(logits)), in half the time of np.logaddexp."""
    return np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))


def _likelihood(logits: Floats, y: Floats) -> float:
    """Log-likelihood of what was decided, y [C, D]."""
    return float(np.nansum(y * logits - np.where(np.isnan(y), 0, _softplus(logits))))


def _resampled(n: int, seed: int, resamples: int, cells: int) -> Iterator[Floats]:
    """How often each of n concepts is drawn, [rows, n], `resamples` rows in all, in blocks that fit in memory."""
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // cells)
    for done in range(0, resamples, rows):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(rows, resamples - done)).astype(float)


def _bounded(value: float, draws: Floats, n: int, otherwise: str) -> Estimate:
    """A value with the percentiles of a bootstrap over n concepts, or the reason why too many draws are nan."""
    there = ~np.isnan(draws)
    if 1 - there.mean() > UNDEFINED:
        return Estimate(float(value), NAN, NAN, otherwise)
    low, high = np.percentile(draws[there], percentiles(n))
    return Estimate(float(value), float(low), float(high), "")


# ---- loss against width


def power_law(loss: Floats, width: Ints) -> PowerLaw:
    """Loss [D] against width [D] by least squares: log10 L = log10 scale - exponent log10 W.

    Any measure of what a dictionary leaves out that is above 0 will do, if it is the same for all sizes. The bounds are
    those of Student's t of D - 2 degrees: they know of scatter about the line, not of a line that is the wrong curve.
    left_out tells of that: each size is predicted by the others, and of the smallest and the largest it is an
    extrapolation. All nan, with a reason, for fewer than four different widths. A floor that the loss never falls below
    would be a third parameter, which the few sizes there are cannot tell from a smaller exponent: it is not fitted.
    """
    loss, width = np.asarray(loss, float), np.asarray(width, float)
    assert loss.shape == width.shape and (loss > 0).all() and (width > 0).all(), "a loss above 0 for each width"
    sizes = len(np.unique(width))
    if sizes < SIZES:
        reason = f"A power law needs at least {SIZES} different sizes, and there are {sizes}."
        return PowerLaw(Estimate(NAN, NAN, NAN, reason), NAN, np.full(loss.shape, NAN))
    y, x = np.log10(loss), np.log10(width)
    slope, intercept = _line(x, y)
    residual = y - intercept - slope * x
    freedom = y.size - 2
    error = np.sqrt(residual @ residual / freedom / ((x - x.mean()) ** 2).sum())
    half = float(stdtrit(freedom, 0.975) * error)
    left_out = []
    for place in range(y.size):
        others = np.arange(y.size) != place
        other_slope, other_intercept = _line(x[others], y[others])
        left_out.append(10 ** (y[place] - other_intercept - other_slope * x[place]) - 1)
    return PowerLaw(Estimate(-slope, -slope - half, -slope + half, ""), 10**intercept, np.array(left_out))


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept by least squares."""
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())
