"""Does a feature that fires on a concept in one form fire on it in the others: in other languages, and in pictures?

A *member* is one name in one language or one picture in one style, and that language or style is its *form*. Members
of one *document* are the same thing in all the forms it has. Documents belong to a *concept*, concepts to a *group*.
The matched distractors of a concept in a form are the members of that form and of the concept's group that belong to
other concepts: they share its script or style and its broad topic, and only the concept tells them apart.

The concept of a feature is chosen on one half of the documents and everything is measured on the other. Shapes: m
members, n wanted features out of a dictionary of `width`, F forms, B permutations. Activations [m, width] are at least
0 and sparse, and no more than COLUMNS of them are dense at once. An AUROC is that of the concept's members against the
matched distractors of the same form; a feature that is silent on them or equally loud on all has exactly 1/2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autointerp.measure.arrays import NAN, RESOLUTION, Activations, Bools, Floats, Ints

COLUMNS = 256  # features made dense at once, so that memory does not grow with the width


@dataclass(frozen=True, slots=True)
class Members:
    """The m members of a concept list; arrays [m]. Ids are at least 0, those of forms are 0 … F-1.

    score: True on the half that is measured, False on the half on which concepts are chosen. A document has one
    concept and lies in one half; it may lack some forms, and may have several members in one. A concept has one group.
    """

    concept: Ints
    document: Ints
    form: Ints
    group: Ints
    score: Bools

    def __post_init__(self) -> None:
        ids = self.concept, self.document, self.form, self.group
        assert all(column.shape == self.score.shape == (self.score.size,) for column in ids), "one entry per member"
        assert self.score.dtype == bool and all((column >= 0).all() for column in ids), "a half is a bool, an id is not"
        per_document = np.stack([self.document, self.concept, self.score], axis=1)
        assert _distinct(per_document) == _distinct(self.document), "a document has one concept and lies in one half"
        per_concept = np.stack([self.concept, self.group], axis=1)
        assert _distinct(per_concept) == _distinct(self.concept), "a concept has one group"

    @property
    def forms(self) -> int:
        """F, the number of forms."""
        return int(self.form.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True)
class Forms:
    """Of n features with their concepts, form by form; arrays [n, F], from 0 to 1.

    fire_rate is the share of the concept's members on which the feature fires, distractor_rate that of its matched
    distractors, auroc tells the two apart by loudness.
    """

    fire_rate: Floats
    distractor_rate: Floats
    auroc: Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """Of n features: variance of the activation between forms and within them, and the share that is not between."""

    between: Floats
    within: Floats
    invariance: Floats


@dataclass(frozen=True, slots=True)
class Carried:
    """Of n features: how well the concept is told outside the home form, whether chance does that, and what it takes.

    statistic: mean AUROC over the forms but the home. p: adjusted for every feature of the dictionary. chance: the 95th
    percentile of the best of all features under permutation, taken such that p <= 0.05 where statistic > chance.
    """

    statistic: Floats
    p: Floats
    chance: Floats


def choose(members: Members, activations: Activations, features: Ints) -> tuple[Ints, Ints]:
    """The concept and the form that each feature fires on above all, on the explain half: (concept, home), each [n].

    The largest z = (AUROC - 1/2) / sqrt((n1 + n0 + 1) / (12 n1 n0)) over all concepts and forms, with n1 members and n0
    distractors: the standardised statistic of Mann and Whitney (1947), which asks more of an AUROC with few members.
    Equal ones go to the smallest (concept, form), also where all are 0, as of a feature that is constant. -1, -1 where
    the feature is silent on the whole explain half, or no concept has both members and distractors in any form.
    """
    _check(members, activations)
    features = np.asarray(features, np.int64)
    concepts = np.unique(members.concept)
    concept, home = np.full(features.size, -1), np.full(features.size, -1)
    explain = np.flatnonzero(~members.score)
    groups = [~members.score & (members.group == group) for group in np.unique(members.group[explain])]
    fields = [(form, rows) for group in groups for form, rows in enumerate(_rows_by_form(members, group))]
    heard = np.flatnonzero(np.diff(activations.indptr)[features])
    for part, values in _chunks(activations, features[heard]):
        z = np.full((concepts.size, members.forms, values.shape[1]), -np.inf)
        for form, rows in fields:
            there, which = np.unique(members.concept[rows], return_inverse=True)
            if there.size < 2:
                continue
            own = which == np.arange(there.size)[:, None]
            n1 = own.sum(axis=1, keepdims=True)
            scale = np.sqrt(12 / (n1 * (rows.size - n1) * (rows.size + 1)))
            z[np.searchsorted(concepts, there), form] = own.astype(float) @ _centred_ranks(values[rows]) * scale
        in_order = z.reshape(-1, values.shape[1])  # of (concept, form)
        highest = in_order.max(axis=0)
        first = np.argmax(in_order >= highest - RESOLUTION, axis=0)
        found = (highest > -np.inf) & (values[explain] > 0).any(axis=0)
        concept[heard[part]] = np.where(found, concepts[first // members.forms], -1)
        home[heard[part]] = np.where(found, first % members.forms, -1)
    return concept, home


def by_form(members: Members, activations: Activations, features: Ints, concept: Ints) -> Forms:
    """How each feature meets its concept in each form, on the score half; features [n], concept [n].

    nan where a form lacks members of the concept (fire_rate, auroc) or distractors (distractor_rate, auroc), and
    everywhere where the concept is -1.
    """
    fire, other, area = (np.full((len(features), members.forms), NAN) for _ in range(3))
    for own, places, values in _by_concept(members, activations, features, concept):
        group = members.group[members.concept == own][0]
        for form, rows in enumerate(_rows_by_form(members, members.score & (members.group == group))):
            inside = members.concept[rows] == own
            n1, n0 = inside.sum(), (~inside).sum()
            fires = values[rows] > 0
            if n1:
                fire[places, form] = fires[inside].mean(axis=0)
            if n0:
                other[places, form] = fires[~inside].mean(axis=0)
            if n1 and n0:
                area[places, form] = 0.5 + _centred_ranks(values[rows])[inside].sum(axis=0) / (n1 * n0)
    return Forms(fire, other, area)


def spread(
    members: Members, activations: Activations, features: Ints, concept: Ints, forms: Ints, maximum: Floats
) -> Spread:
    """Variance of a feature over the score-half members of its concept in `forms`, split into two parts that add up.

    Activations are divided by maximum [n], so that the variances of features compare. between is the variance of the
    means of the forms, within the mean of the variances inside forms, both weighted by members, both of populations.
    invariance = 1 - between / (between + within): 1 for a feature whose mean is the same in all forms, 0 for one that
    knows nothing but the form. nan without variance, and with members in fewer than two forms, since nothing could
    have differed. All are nan where the concept is -1 or has no members there, or the maximum is not above 0.

    Forms differ by chance too: of activations handed out at random, between is (K - 1) / (N - 1) of the total on
    average, with K forms and N members. Of a feature that goes by the document alone, it is 0.
    """
    maximum = np.asarray(maximum, float)
    between, within, invariance = (np.full(len(features), NAN) for _ in range(3))
    for own, places, values in _by_concept(members, activations, features, concept):
        rows = np.flatnonzero(members.score & (members.concept == own) & np.isin(members.form, forms))
        if not rows.size:
            continue
        scale = np.where(maximum[places] > 0, maximum[places], NAN)
        share = values[rows] / scale
        there, which = np.unique(members.form[rows], return_inverse=True)
        inside = (which == np.arange(there.size)[:, None]).astype(float)
        means = inside @ share / inside.sum(axis=1, keepdims=True)
        between[places] = ((means[which] - share.mean(axis=0)) ** 2).mean(axis=0)
        within[places] = ((share - means[which]) ** 2).mean(axis=0)
        total = between[places] + within[places]
        varies = (total > RESOLUTION * (share**2).mean(axis=0)) & (there.size > 1)
        invariance[places] = np.where(varies, 1 - between[places] / np.where(varies, total, 1), NAN)
    return Spread(between, within, invariance)


def rank(members: Members, activations: Activations, features: Ints, concept: Ints, home: Ints) -> Floats:
    """The rank [n] of each feature among all of the dictionary, by mean activation over its concept outside its home.

    Over the score-half members in all forms but home [n]; 1 is the loudest. Features that are equally loud share the
    worst of their ranks, so that one which is silent there has rank `width`, not the one after the last that fires.
    Activations are not scaled: a dictionary whose features differ in scale favours the loud. nan where the concept is
    -1 or has no such members; a home of -1 leaves no form out.
    """
    _check(members, activations)
    features, width = np.asarray(features, np.int64), activations.shape[1]
    by_member = activations.tocsr()
    ranks = np.full(features.size, NAN)
    for own, left_out, places in _pairs(concept, home):
        rows = np.flatnonzero(members.score & (members.concept == own) & (members.form != left_out))
        if not rows.size:
            continue
        total = np.asarray(np.ones(rows.size) @ by_member[rows])  # [width], in float64
        heard = np.sort(total[total > 0])
        louder_or_equal = heard.size - np.searchsorted(heard, total[features[places]])
        ranks[places] = np.where(total[features[places]] > 0, louder_or_equal, width)
    return ranks


def carried(
    members: Members,
    activations: Activations,
    features: Ints,
    concept: Ints,
    home: Ints,
    rng: np.random.Generator,
    permutations: int,
) -> Carried:
    """Does each feature know its concept outside the form in which it was found, better than any feature by chance?

    The statistic S [n] is the mean over the forms but home [n] of the AUROC on the score half; forms without members or
    without distractors take no part. Within each group, whole documents of the score half exchange their concepts, with
    all their forms, so that every concept keeps its number of documents; S is computed again for every feature of the
    dictionary with the same concept and home, and the largest is kept: p = (1 + #{maxima >= S}) / (B + 1), the
    single-step adjustment of Westfall and Young (1993). Best with B + 1 a multiple of 20.

    Valid where the concept was chosen without the score half. With all features asked for one concept and home, chance
    gives any of them a p of 0.05 or less in at most one list of twenty. That is not guaranteed where each is asked for
    the concept it chose, but holds about as well, since each is still compared with all.

    Where documents lack forms, a permutation may leave the concept without members or distractors in a form, and then
    that form takes no part in it. A permutation without any form says nothing and is not counted in B. S and p are nan
    where the concept is -1 or no form is left; `chance` is nan there too, and where B < 19, since p is then above 0.05.
    A home of -1 leaves no form out.
    """
    concept, home = np.asarray(concept, np.int64), np.asarray(home, np.int64)
    area = by_form(members, activations, features, concept).auroc
    area[np.arange(members.forms) == home[:, None]] = NAN
    defined = ~np.isnan(area)
    has = defined.any(axis=1)
    statistic = np.full(has.shape, NAN)
    statistic[has] = area[has].mean(axis=1, where=defined[has])
    p, chance = np.full(has.shape, NAN), np.full(has.shape, NAN)
    null = _null(members, activations, np.where(has, concept, -1), home, rng, permutations)
    for own, left_out, places in _pairs(np.where(has, concept, -1), home):
        maxima = np.sort(null[own, left_out])
        # Equal means of AUROCs may differ in their last digit.
        below = np.searchsorted(maxima, statistic[places] - RESOLUTION)
        p[places] = (1 + maxima.size - below) / (maxima.size + 1)
        allowed = (maxima.size + 1) // 20  # one fewer than this many maxima may reach S
        chance[places] = maxima[-allowed] if allowed else NAN
    return Carried(statistic, p, chance)


def _null(
    members: Members,
    activations: Activations,
    concept: Ints,
    home: Ints,
    rng: np.random.Generator,
    permutations: int,
) -> dict[tuple[int, int], Floats]:
    """The largest S of all features in each permutation, [at most B], for each (concept, home) in use.

    The draws depend neither on the features asked for nor on the names of the concepts. In a form, AUROC - 1/2 is the
    sum of centred ranks over the n1 members, divided by n1 n0: so the ranks of a form and group serve every concept in
    it and every permutation. Such sums are halves of integers and exact, whatever the order of adding.
    """
    homes: dict[int, list[int]] = {}
    for own, left_out, _ in _pairs(concept, home):
        homes.setdefault(own, []).append(left_out)
    null = {}
    for group in np.unique(members.group[members.score]):
        rows = np.flatnonzero(members.score & (members.group == group))
        _, first, document = np.unique(members.document[rows], return_index=True, return_inverse=True)
        labels = np.tile(members.concept[rows][first], (permutations, 1))
        labels = rng.permuted(labels, axis=1)[:, document]  # [B, members of the group]
        here = [own for own in np.unique(members.concept[rows]).tolist() if own in homes]
        if not here:
            continue
        forms = [np.flatnonzero(members.form[rows] == form) for form in range(members.forms)]
        part = activations[rows]
        heard = np.flatnonzero(np.diff(part.indptr))
        silent = 0.0 if heard.size < activations.shape[1] else -np.inf  # a silent feature has S = 1/2 in all
        best = {(own, left_out): np.full(permutations, silent) for own in here for left_out in homes[own]}
        for _, values in _chunks(part, heard):
            ranks = [_centred_ranks(values[at]) for at in forms]
            for own in here:
                inside = [labels[:, at] == own for at in forms]
                areas = np.stack(
                    [a.astype(float) @ r * _per_pair(a)[:, None] for a, r in zip(inside, ranks, strict=True)]
                )  # [F, B, k], less 1/2
                total = areas.sum(axis=0)
                for left_out in homes[own]:
                    outside = total if left_out < 0 else total - areas[left_out]
                    np.maximum(best[own, left_out], outside.max(axis=1), out=best[own, left_out])
        for (own, left_out), above in best.items():
            counted = [_per_pair(labels[:, at] == own) > 0 for form, at in enumerate(forms) if form != left_out]
            count = np.sum(counted, axis=0)
            null[own, left_out] = 0.5 + above[count > 0] / count[count > 0]
    return null


def _per_pair(inside: Bools) -> Floats:
    """1 / (n1 n0) of each row of inside [B, members], 0 where a row lacks members or distractors."""
    n1 = inside.sum(axis=1)
    pairs = n1 * (inside.shape[1] - n1)
    return np.where(pairs > 0, 1 / np.maximum(pairs, 1), 0)


def _centred_ranks(values: npt.NDArray[np.float32]) -> Floats:
    """Ranks within each column [rows, k], equal values sharing their mean rank, less the mean of all ranks.

    Their sum over n1 rows, divided by n1 n0, is the AUROC of those rows against the n0 others, less 1/2.
    """
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    differs = ordered[1:] != ordered[:-1]
    place = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    first, last = place.copy(), place.copy()  # of the run of equal values that a place lies in
    first[1:][~differs], last[:-1][~differs] = 0, len(values)
    first = np.maximum.accumulate(first, axis=0)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last - (len(values) - 1)) / 2, axis=0)
    return ranks


def _rows_by_form(members: Members, kept: Bools) -> list[Ints]:
    """The rows of the kept members [m] in each of the F forms."""
    return [np.flatnonzero(kept & (members.form == form)) for form in range(members.forms)]


def _pairs(concept: Ints, home: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Each (concept, home) in use and the places of the features that have it; not those of concept -1."""
    concept, home = np.asarray(concept, np.int64), np.asarray(home, np.int64)
    for own in np.unique(concept[concept >= 0]).tolist():
        for left_out in np.unique(home[concept == own]).tolist():
            yield own, left_out, np.flatnonzero((concept == own) & (home == left_out))


def _by_concept(
    members: Members, activations: Activations, features: Ints, concept: Ints
) -> Iterator[tuple[int, Ints, npt.NDArray[np.float32]]]:
    """Each concept in use with up to COLUMNS of its features: their places among n, and their activations [m, k]."""
    _check(members, activations)
    features, concept = np.asarray(features, np.int64), np.asarray(concept, np.int64)
    assert np.isin(concept, np.append(members.concept, -1)).all(), "a concept is one of the list, or -1"
    for own in np.unique(concept[concept >= 0]).tolist():
        places = np.flatnonzero(concept == own)
        for part, values in _chunks(activations, features[places]):
            yield own, places[part], values


def _chunks(activations: Activations, features: Ints) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Up to COLUMNS of the features at a time: which of them, and their activations [rows, k], dense."""
    for start in range(0, features.size, COLUMNS):
        part = slice(start, start + COLUMNS)
        yield part, activations[:, features[part]].toarray()


def _check(members: Members, activations: Activations) -> None:
    assert activations.shape[0] == members.score.size, "one row of activations per member"
    assert (activations.data >= 0).all(), "an activation is at least 0, which is silence"


def _distinct(rows: Ints) -> int:
    """The number of different rows."""
    return len(np.unique(rows, axis=0))
