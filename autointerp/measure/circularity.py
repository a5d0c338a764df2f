"""How much of a verdict is a model preferring its own family, and judges erring together?

Language models explain features, and language models grade the explanations. Scores y [n features, E explainers,
J judges] of a crossed design tell the two roles apart: nan is a cell that was not scored. A *family* is an int per
explainer [E] and per judge [J]; -1 is a family that is not known and is nobody's own. The cells of a judge with an
explainer of its own family are its *own* ones, all others are *other* ones.

Every number here is a function of sums over features, so its bootstrap draws whole features, with all their cells.
Explainers and judges are not drawn: what is found holds for these models, not for families in general. Nothing but
the family is thought to make a judge like one explainer more than other judges do: a taste for a style that goes with
the family is part of the preference. Scores are of order 1, and differences below RESOLUTION are rounding.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from autointerp.measure.arrays import NAN, RESOLUTION, Bools, Floats, Ints
from autointerp.measure.effects import Effect, Statistic, bootstrapped, mean_of, ratio
from autointerp.measure.multiplicity import holm

COLLINEAR = 1e-9  # a column of which other columns leave less than this share unexplained follows from them


# ---- self-preference


def self_preference(y: Floats, explainers: Ints, judges: Ints, seed: int, resamples: int = 2000) -> Effect:
    """What a score gains from the judge being of the explainer's family: b in y = feature + explainer + judge + b own.

    By least squares on the scored cells. With one explainer and one judge from each of two families and no cell
    missing, it is the mean over features of SP = 1/2 [(Y_AA - Y_AB) - (Y_BA - Y_BB)], explainer first. The leniency of
    judges, the quality of explainers and the difficulty of features cancel. A bias of b in all own cells reads as b, in
    those of one of two families as b/2.

    Features count with at least two scored cells. Where all have the same ones, b is a mean over features and so is its
    bootstrap; else the regression is solved again for every draw of features. Cells may be missing for any reason that
    lies in the feature, the explainer or the judge, but not in the score itself. Not identified where being own follows
    from who explains and who judges: with one judge or one explainer, or without own cells or without others.
    """
    y, own = _design(y, explainers, judges)
    columns, statistic = _coefficient(y, own, [])
    return bootstrapped("self-preference", columns, statistic, seed, resamples, _why_not(y, own))


def self_preference_by_family(
    y: Floats, explainers: Ints, judges: Ints, seed: int, resamples: int = 2000, anchor: Floats | None = None
) -> dict[int, Effect]:
    """Who is biased: one effect for each known family that judges, in the order of their numbers.

    With an anchor a [n, E], the quality of each explanation as no model sees it, in the units of y (nan: not known): a
    judge's mean y - a on its own family's explanations less that on the others', averaged over the family's judges and
    then over features. Each judge is compared with itself on the same feature, so its leniency cancels, and an anchor
    that is off by a constant does no harm; one that stretches the scale does.

    Without: the coefficient of the family's own cells, in the least squares of self_preference with one such column for
    each family. Of two families it is not identified, only their mean is: a judge A that likes A cannot be told from a
    judge B that likes B where A explains better. A third family that explains and judges tells, or a judge of neither;
    then it rests on those having no taste for any of the two.
    """
    y, own = _design(y, explainers, judges)
    families = sorted(set(np.asarray(judges).tolist()) - {-1})
    cells = {family: own & (np.asarray(judges) == family) for family in families}
    effects = {}
    for family in families:
        name = f"self-preference of family {family}"
        if anchor is None:
            columns, statistic = _coefficient(y, cells[family], [cells[other] for other in families if other != family])
            why = _why_not(
                y,
                cells[family],
                "Without an anchor, this family's taste for its own cannot be told from another's for its own.",
            )
            note = "Without an anchor, it rests on the judges of other families having no taste for this one."
        else:
            assert np.shape(anchor) == y.shape[:2], "an anchor for each explanation"
            error = (y - np.asarray(anchor, float)[:, :, None])[:, :, np.asarray(judges) == family]
            inside = cells[family][:, np.asarray(judges) == family]
            gap = _mean(_mean(error, inside, axis=1) - _mean(error, ~inside, axis=1), True, axis=1)
            columns = gap[~np.isnan(gap), None]
            statistic = mean_of(len(columns))
            why = "Fewer than two features have anchored scores of one judge on both its own family and another."
            note = "The anchor is taken as the truth, in the units of the scores."
        effects[family] = bootstrapped(name, columns, statistic, seed, resamples, why, note)
    return effects


def same_family_gap(y: Floats, explainers: Ints, judges: Ints, seed: int, resamples: int = 2000) -> Effect:
    """Mean of own cells less mean of other cells, over the features with both: what a plain comparison would report.

    Where every family has one explainer and one judge and no cell is missing it equals self_preference; else lenient
    judges and good explainers that are more often among the own cells are in it, too.
    """
    y, own = _design(y, explainers, judges)
    cells = y.reshape(len(y), own.size)
    gap = _mean(cells, own.ravel(), axis=1) - _mean(cells, ~own.ravel(), axis=1)
    columns = gap[~np.isnan(gap), None]
    why = "Fewer than two features have both own-family and other-family scores."
    note = "Confounded: the leniency of judges and the quality of explainers are in it unless the design is balanced."
    return bootstrapped("same-family gap", columns, mean_of(len(columns)), seed, resamples, why, note)


def paraphrase_change(
    y: Floats, y_paraphrased: Floats, explainers: Ints, judges: Ints, seed: int, resamples: int = 2000
) -> Effect:
    """Self-preference on the explanations as written less that on paraphrases by a third model, over the same cells.

    Positive where judges know their family by its wording. Only cells scored both ways count; over those the two least
    squares share a design, so that their difference is the self-preference in y - y_paraphrased.
    """
    assert np.shape(y) == np.shape(y_paraphrased), "the same cells, as written and paraphrased"
    change = np.asarray(y, float) - np.asarray(y_paraphrased, float)
    return replace(self_preference(change, explainers, judges, seed, resamples), name="paraphrase change")


def circular_share(
    y: Floats, floor: Floats, explainers: Ints, judges: Ints, seed: int, resamples: int = 2000
) -> Effect:
    """The part of an own-family score that is self-preference: SP / (mean of own cells - mean floor).

    floor [n]: the score of a shuffled explanation of each feature, nan where there is none. The means are over
    features, each the mean of its own cells; features without floor or own cells count in SP alone. Not identified
    where SP is not, or where own-family scores are not clearly above the floor.
    """
    y, own = _design(y, explainers, judges)
    assert np.shape(floor) == (len(y),), "a floor for each feature"
    kept = _compared(y)
    above = _mean(y.reshape(len(y), own.size), own.ravel(), axis=1) - np.asarray(floor, float)
    there = ~np.isnan(above[kept])
    columns, preference = _coefficient(y, own, [])
    columns = np.column_stack([columns, np.where(there, above[kept], 0), there])

    def share(sums: Floats) -> Floats:
        return ratio(preference(sums[:, :-2]), ratio(sums[:, -2], sums[:, -1]))

    alone = bootstrapped("", columns[:, :-2], preference, seed, resamples, _why_not(y, own))
    why = "Own-family scores are not clearly above the floor." if alone.identified else alone.note
    return bootstrapped("circular share", columns, share, seed, resamples, why)


# ---- against a truth


def equal_opportunity(
    high: Floats | Bools,
    good: Floats | Bools,
    explainers: Ints,
    judges: Ints,
    seed: int,
    resamples: int = 2000,
    clusters: Ints | None = None,
) -> Effect:
    """P(judge says high | own family, good) - P(judge says high | other family, good).

    high [n, E, J] is the verdict, good [n, E] that of the anchor: 1 or 0, or nan where there is none. Wataoka,
    Takahashi and Ri (2024) with an anchor in place of the human. Shares are of cells, so features with more good
    explanations weigh more. The n rows are features, or items, and then clusters [n] is the feature of each: features
    are drawn whole. The effect's n counts features with a judged good explanation.
    """
    verdict, own = _design(high, explainers, judges)
    assert np.shape(good) == verdict.shape[:2], "an anchor for each explanation"
    counts = ~np.isnan(verdict) & (np.asarray(good, float) == 1)[:, :, None]
    says = counts & (verdict == 1)
    parts = [(mask & cells).sum(axis=(1, 2)) for cells in (own, ~own) for mask in (says, counts)]
    rows = np.arange(len(verdict)) if clusters is None else np.asarray(clusters)
    assert rows.shape == (len(verdict),), "a feature for each item"
    there = counts.any(axis=(1, 2))
    features, which = np.unique(rows[there], return_inverse=True)
    columns = np.array([np.bincount(which, part[there], features.size) for part in parts], float).T

    def gap(sums: Floats) -> Floats:
        return ratio(sums[:, 0], sums[:, 1]) - ratio(sums[:, 2], sums[:, 3])

    why = "There are too few features whose good explanations were judged, both by own and by other families."
    note = "Confounded: lenient judges are in it unless each judges own and other explanations equally often."
    return bootstrapped("equal opportunity", columns, gap, seed, resamples, why, note)


def leakage(true: Floats, shuffled: Floats, floor: float, seed: int, resamples: int = 2000) -> tuple[Effect, Effect]:
    """What scores owe to the explanation, mean(true) - mean(shuffled), and the share that they do not.

    true [n], shuffled [n]: a feature's score with its explanation and with that of another feature, paired; features
    that lack one do not count. The share is (mean(shuffled) - floor) / (mean(true) - floor), with floor the score of
    guessing: 0 where a wrong explanation helps nobody, 1 where it is as good as the right one. Its p is of a share
    of 0. The share is not identified where true scores are not clearly above the floor.
    """
    true, shuffled = np.asarray(true, float), np.asarray(shuffled, float)
    assert true.shape == shuffled.shape == (true.size,), "two scores of each feature"
    columns = np.column_stack([true, shuffled]) - floor
    columns = columns[~np.isnan(columns).any(axis=1)]
    few = "Fewer than two features have both scores."
    gained = bootstrapped(
        "owed to the explanation", columns, lambda sums: (sums[:, 0] - sums[:, 1]) / len(columns), seed, resamples, few
    )
    why = few if len(columns) < 2 else "Scores are not clearly above the floor."
    share = bootstrapped("leaked share", columns, lambda sums: ratio(sums[:, 1], sums[:, 0]), seed, resamples, why)
    return gained, share


def shared_error(errors: Floats, clusters: Ints, seed: int, resamples: int = 2000) -> tuple[Effect, Effect]:
    """How alike judges err, r_err, and how many that err apart they are worth, n_eff = k / (1 + (k - 1) r_err).

    errors [J, items] are scores less the truth, nan where there is none; clusters [items] is the feature of each item.
    r_err is the mean of Pearson's correlation over the pairs of judges, each over the items that both scored, features
    drawn whole. n_eff is Kish's (1965) effective size of a cluster of k = J; its p is of n_eff = k, and its detectable
    a distance from k. Below r_err = 0 it is above k: errors that cancel are worth more than apart. r_err = -1 / (k - 1)
    would make it infinite, and less (which takes missing scores) negative: such a resample has no n_eff, and n_eff is
    not identified where the sample is one or more than 2.5% of resamples are.

    Not identified with fewer than two judges, or where two judges share no items or one of them does not vary there.
    """
    errors, clusters = np.asarray(errors, float), np.asarray(clusters)
    assert clusters.shape == errors.shape[1:], "a feature for each item"
    k, scored = len(errors), ~np.isnan(errors)
    errors, clusters = errors[:, scored.sum(axis=0) > 1], clusters[scored.sum(axis=0) > 1]
    features, which = np.unique(clusters, return_inverse=True)
    pairs = list(combinations(_standardised(errors), 2))
    columns = np.zeros((features.size, 6 * len(pairs)))
    for place, (a, b) in enumerate(pairs):
        both = ~np.isnan(a) & ~np.isnan(b)
        a, b = a[both], b[both]
        for part, values in enumerate((np.ones(a.size), a, b, a * a, b * b, a * b)):
            columns[:, 6 * place + part] = np.bincount(which[both], values, features.size)

    def correlation(sums: Floats) -> Floats:
        n, a, b, aa, bb, ab = np.moveaxis(sums.reshape(len(sums), len(pairs), 6), 2, 0)
        variances = np.minimum(n * aa - a * a, n * bb - b * b)
        product = (n * aa - a * a) * (n * bb - b * b)
        varies = variances > RESOLUTION * n * n
        of_pairs = (n * ab - a * b) / np.sqrt(np.where(varies, product, NAN))
        return of_pairs.mean(axis=1) if pairs else np.full(len(sums), NAN)

    def effective(sums: Floats) -> Floats:
        return ratio(np.full(len(sums), float(k)), 1 + (k - 1) * correlation(sums))

    why = (
        "It takes two judges or more, on items of two features or more, whose errors vary where each two of them meet."
    )
    r_err = bootstrapped("shared error", columns, correlation, seed, resamples, why)
    cancel = "The judges' errors cancel: no number of judges that err apart would do as well."
    n_eff = bootstrapped(
        "effective judges", columns, effective, seed, resamples, cancel if r_err.identified else r_err.note, none=k
    )
    return r_err, n_eff


def confirmatory(effects: Sequence[Effect]) -> list[float]:
    """Holm's adjusted p of each effect; those that are not identified have nan and do not count as tests."""
    adjusted = holm(np.array([effect.p if effect.identified else NAN for effect in effects], float))
    return [float(p) for p in adjusted]


# ---- sums over features


def _coefficient(y: Floats, column: Bools, others: list[Bools]) -> tuple[Floats, Statistic]:
    """The coefficient of `column` in least squares of y [n, E, J] on features, explainers, judges, `others` and it.

    column and others are [E, J]. Returned are columns for the m features with two scored cells, and the statistic of
    their sums, nan where `column` follows from the rest. Features are taken out by centring each on its scored cells,
    the rest by the normal equations (Frisch and Waugh 1933). Where the same cells are scored of all features, what is
    left of the column is the same for all, and the coefficient is a mean over features.
    """
    y = y[_compared(y)]
    m, E, J = y.shape
    y = y.reshape(m, E * J)
    scored = ~np.isnan(y)
    explainer, judge = np.divmod(np.arange(E * J), J)
    indicators = [explainer == e for e in range(1, E)] + [judge == j for j in range(1, J)]
    X = np.column_stack([*indicators, *(other.ravel() for other in others), column.ravel()]).astype(float)
    if m and (scored == scored[0]).all():
        cells = X[scored[0]]
        rest, last = np.split(cells - cells.mean(axis=0), [-1], axis=1)
        left = (last - rest @ (np.linalg.pinv(rest, rcond=COLLINEAR) @ last))[:, 0]
        square = left @ left if left @ left > COLLINEAR * left.size else NAN
        return (y[:, scored[0]] @ left / square)[:, None], mean_of(m)
    means = scored @ X / np.maximum(1, scored.sum(axis=1, keepdims=True))
    centred = np.where(scored[:, :, None], X - means[:, None], 0)  # [m, cells, k]
    k = X.shape[1]
    squares = np.swapaxes(centred, 1, 2) @ centred
    products = np.einsum("mck,mc->mk", centred, np.where(scored, y, 0))

    def coefficient(sums: Floats) -> Floats:
        A, b = sums[:, : k * k].reshape(-1, k, k), sums[:, k * k :]
        project = np.einsum("bk,bkl->bl", A[:, -1, :-1], np.linalg.pinv(A[:, :-1, :-1], COLLINEAR, hermitian=True))
        left = A[:, -1, -1] - np.einsum("bk,bk->b", project, A[:, :-1, -1])
        fits = left > COLLINEAR * np.trace(A, axis1=1, axis2=2)
        return ratio(b[:, -1] - np.einsum("bk,bk->b", project, b[:, :-1]), np.where(fits, left, NAN))

    return np.column_stack([squares.reshape(m, k * k), products]), coefficient


def _why_not(y: Floats, own: Bools, otherwise: str = "") -> str:
    """Why a preference for the cells `own` could not be told from y, in one sentence."""
    kept = _compared(y)
    cells = np.asarray((~np.isnan(y[kept])).any(axis=0))
    if kept.sum() < 2:
        return "Fewer than two features have two scored cells."
    if not (cells & own).any():
        return "No explanation was scored by a judge of its own family."
    if not (cells & ~own).any():
        return "Every explanation was scored by judges of its own family alone."
    if cells.any(axis=0).sum() < 2:
        return "With one judge, a taste for its family cannot be told from the quality of the explainers."
    if cells.any(axis=1).sum() < 2:
        return "With one explainer, a taste of its family for it cannot be told from the leniency of the judges."
    return otherwise or "Over the scored cells, being of one family follows from who explains and who judges."


def _design(y: Floats | Bools, explainers: Ints, judges: Ints) -> tuple[Floats, Bools]:
    """Scores [n, E, J] and which of the cells [E, J] are a family's own."""
    scores, explainers, judges = np.asarray(y, float), np.asarray(explainers), np.asarray(judges)
    assert scores.ndim == 3 and scores.shape[1:] == (explainers.size, judges.size), "features x explainers x judges"
    return scores, (explainers[:, None] == judges) & (explainers[:, None] >= 0)


def _compared(y: Floats) -> Bools:
    """Which features [n] have two scored cells or more."""
    found: Bools = (~np.isnan(y)).sum(axis=(1, 2)) > 1
    return found


def _mean(values: Floats, mask: Bools | bool, axis: int) -> Floats:
    """Mean along an axis of the scored values in the mask, nan where there are none."""
    there = ~np.isnan(values) & mask
    return ratio(np.where(there, values, 0).sum(axis=axis), there.sum(axis=axis).astype(float))


def _standardised(errors: Floats) -> Floats:
    """Each row [items] to mean 0 and variance 1 over its scored values; nan where it does not vary."""
    mean = _mean(errors, True, axis=1)[:, None]
    variance = _mean((errors - mean) ** 2, True, axis=1)[:, None]
    second = variance + mean**2
    found: Floats = (errors - mean) / np.sqrt(np.where(variance > RESOLUTION * second, variance, NAN))
    return found
