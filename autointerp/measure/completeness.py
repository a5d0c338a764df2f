"""Has a dictionary a feature of its own for each concept of a category, and how would we know?

A *context* ends in a word, and a feature's activation is that on the last token. A word is a concept or a
*pseudo-concept*, which means nothing: a feature found for one is found wrongly. The words of one *category* are put
into the same *templates*, half of which choose features and half of which decide on them, so that no feature is judged
by what it was chosen for. The *background* is a sample of the corpus, with each feature's largest activation in each
excerpt.

Two ways to find a feature: the five that are loudest on a concept, as was done by hand before, and those of all
features that tell it best from the other words of its category. The first may miss a feature, and the second finds one
by looking long enough. So candidates of both pass the same decision, whose threshold the pseudo-concepts set.

Shapes: m contexts, C words, n excerpts of background, `width` features, k candidates a word, -1 for none. Activations
are at least 0 and sparse, and nothing dense has `width` columns: a silent feature has an AUROC of exactly 1/2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array

from autointerp.measure.arrays import NAN, RESOLUTION, Activations, Bools, Floats, Ints
from autointerp.measure.intervals import wilson

CANDIDATES = 5
AREA = 0.95  # AUROC from which on a feature tells a word from the others of its category
PRECISION = 0.5  # at or below which a feature is about something else, whatever the pseudo-concepts say
LEVEL = 0.5  # share of its loudness on a word from which on a feature counts as being that loud elsewhere

Sums: TypeAlias = "csr_array[np.float64]"


@dataclass(frozen=True, slots=True)
class Contexts:
    """word [m] in 0 … C-1, template [m] and whether that decides [m]; category [C] and pseudo [C] of each word.

    A template belongs to the half that chooses or to the half that decides; a word has at most one context in each.
    """

    word: Ints
    template: Ints
    decides: Bools
    category: Ints
    pseudo: Bools

    def __post_init__(self) -> None:
        assert self.word.shape == self.template.shape == self.decides.shape, "one entry per context"
        assert self.category.shape == self.pseudo.shape and self.decides.dtype == self.pseudo.dtype == bool
        assert ((self.word >= 0) & (self.word < self.category.size)).all(), "a context ends in one of the words"
        assert _distinct(self.word, self.template) == self.word.size, "a word has one context in a template"
        whose = self.category[self.word], self.template
        assert _distinct(*whose, self.decides) == _distinct(*whose), "a template chooses or decides"

    @property
    def threshold_setting(self) -> Bools:
        """[C]: every other pseudo-concept of a category sets thresholds; the rest show how often they err."""
        sets = np.zeros(self.pseudo.size, bool)
        for category in np.unique(self.category):
            sets[np.flatnonzero(self.pseudo & (self.category == category))[::2]] = True
        return sets


@dataclass(frozen=True, slots=True)
class Search:
    """Of each word, [C]: the largest AUROC of any feature, at least 1/2, and how often chance reaches it."""

    area: Floats
    p: Floats


@dataclass(frozen=True, slots=True)
class Decision:
    """Of each word, [C]: 1 where a feature is dedicated to it, 0 where none is, nan where it could not be decided.

    feature is the candidate of the highest precision among those that tell the word from the others, -1 where none
    does, and precision is its precision, 0 without one. Found is what lies above the threshold.
    """

    found: Floats
    feature: Ints
    precision: Floats
    threshold: float


@dataclass(frozen=True, slots=True)
class Share:
    """k of n words, with 95% bounds; `undecided` are in neither. The category is -1 for all of them."""

    category: int
    k: int
    n: int
    low: float
    high: float
    undecided: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """The concepts, as numbers of words, by which of two ways found them.

    missed: of those that the second found, the share that the first did not.
    """

    both: Ints
    only_first: Ints
    only_second: Ints
    neither: Ints
    missed: Share


# ---- candidates


def loudest(contexts: Contexts, activations: Activations, k: int = CANDIDATES) -> Ints:
    """The k features [C, k] with the largest mean activation on each word, over the templates that choose.

    Loudest first, the smaller number among equals, -1 where fewer than k fire. Activations are not scaled: a dictionary
    whose features differ in scale favours the loud.
    """
    _check(contexts, activations)
    chooses = np.flatnonzero(~contexts.decides)
    words = np.arange(contexts.pseudo.size)
    heard = _sums(_own(contexts.word[chooses], words), activations[chooses])
    return _first(heard, heard, k)


def sharpest(contexts: Contexts, activations: Activations, k: int = CANDIDATES) -> Ints:
    """The k features [C, k] that tell each word best from the others of its category, over the templates that choose.

    By AUROC, then by loudness, then the smaller number; -1 where fewer than k fire, or there are no other words.
    """
    _check(contexts, activations)
    found = np.full((contexts.pseudo.size, k), -1)
    for words, rows in _categories(contexts, np.flatnonzero(~contexts.decides)):
        part = activations[rows]
        own = _own(contexts.word[rows], words)
        above, heard = _above(own, *_raised(part)), _sums(own, part)
        found[words] = _first(above, heard, k)
    return found


def searched(contexts: Contexts, activations: Activations, rng: np.random.Generator, permutations: int = 199) -> Search:
    """The best of all features for each word over all templates, against the best when words are dealt out anew.

    Within each template the contexts of a category exchange their words, so that what a template does to features
    stays as it is, and the largest AUROC of any feature is taken again: p = (1 + #{maxima >= area}) / (B + 1), the
    single-step adjustment of Westfall and Young (1993) for having looked at all features. It asks whether any feature
    answers to the word across templates, which one that answers to its last token does as well. So it is no decision:
    pseudo-concepts pass it, too.

    nan where a category has one word, or a word no context. Words with as many contexts in the same templates share
    their permutations.
    """
    _check(contexts, activations)
    area, p = np.full(contexts.pseudo.size, NAN), np.full(contexts.pseudo.size, NAN)
    for words, rows in _categories(contexts, np.arange(contexts.word.size)):
        ranks = _raised(activations[rows])
        template = np.unique(contexts.template[rows], return_inverse=True)[1]
        counts = np.zeros((words.size, template.max() + 1), np.int64)
        np.add.at(counts, (np.searchsorted(words, contexts.word[rows]), template), 1)
        area[words] = _best(_above(_own(contexts.word[rows], words), *ranks))
        shapes, which = np.unique(counts, axis=0, return_inverse=True)
        for shape, has in enumerate(shapes):
            dealt = _dealt(template, has, rng, permutations)
            maxima = np.sort(_best(_above(dealt, *ranks)))
            same = words[which == shape]
            reached = maxima.size - np.searchsorted(maxima, area[same] - RESOLUTION)
            p[same] = (1 + reached) / (maxima.size + 1)
    return Search(area, p)


# ---- the decision


def areas(contexts: Contexts, activations: Activations, features: Ints) -> Floats:
    """AUROC [C, k] of each candidate [C, k] for its word, over the templates that decide.

    The word's contexts against those of all other words of its category, pseudo-concepts included: always louder 1,
    silent or always equally loud 1/2. nan where there is no candidate, no such context, or no other word.
    """
    _check(contexts, activations)
    found = np.full(features.shape, NAN)
    for words, rows in _categories(contexts, np.flatnonzero(contexts.decides)):
        columns = np.unique(features[words])
        columns = columns[columns >= 0]
        raised, fired = _raised(activations[rows][:, columns])
        own = _own(contexts.word[rows], words)
        n1 = own.sum(axis=1)[:, None]
        above = (own @ raised).toarray() - n1 * fired / 2
        table = 0.5 + above / (n1 * (rows.size - n1))
        place = np.searchsorted(columns, features[words])
        picked = np.take_along_axis(table, np.minimum(place, max(columns.size - 1, 0)), axis=1) if columns.size else NAN
        found[words] = np.where(features[words] >= 0, picked, NAN)
    return found


def precisions(
    contexts: Contexts, activations: Activations, background: Activations, holds: csc_array, features: Ints
) -> Floats:
    """Where a candidate [C, k] is about as loud as on its word, how often is the word there? [C, k] in 0 … 1.

    About as loud is half of its mean over the word's contexts that decide. Of all the contexts that decide, of all
    categories, and all excerpts of the background [n, width] in which it is, the share that holds the word; holds
    [n, C] says which excerpts do. So a feature of a word's last token, or of a topic, has other things to fire
    on, for pseudo-concepts as well as for concepts. A larger background asks more of a feature, above all for rare
    words: compare dictionaries on the same one. nan without a candidate, and where it is silent on its word.
    """
    _check(contexts, activations)
    assert background.shape == (holds.shape[0], activations.shape[1]) and holds.shape[1] == contexts.pseudo.size
    decides = np.flatnonzero(contexts.decides)
    word, part = contexts.word[decides], activations[decides].tocsc()
    of = np.bincount(word, minlength=contexts.pseudo.size)
    background, holds = background.tocsc(), holds.tocsc()
    found = np.full(features.shape, NAN)
    for own, place in zip(*np.nonzero(features >= 0), strict=True):
        rows, values = _column(part, features[own, place])
        mine = word[rows] == own
        if not mine.any():
            continue
        level = LEVEL * values[mine].sum() / of[own]
        excerpts, louder = _column(background, features[own, place])
        as_loud = excerpts[louder >= level]
        hits = (values[mine] >= level).sum() + np.isin(as_loud, _column(holds, own)[0]).sum()
        found[own, place] = hits / ((values >= level).sum() + as_loud.size)
    return found


def decide(
    contexts: Contexts,
    features: Ints,
    area: Floats,
    precision: Floats,
    p: Floats | None = None,
    allowed: float = 0.05,
    floor: float = PRECISION,
) -> Decision:
    """Which words have a dedicated feature: one that tells them from the others, and that little else makes as loud.

    Of a word's candidates [C, k] those with an AUROC of 0.95 and more count, and the highest precision among them is
    held against a threshold: the smallest of at least `floor` that at most the `allowed` share of the pseudo-concepts
    which set it exceed. With p [C], of a search, none counts where it is above `allowed`. A word without a candidate
    that counts is not found; one that has no context that decides, or nobody to be told from, is undecided.

    An AUROC alone would not do: on words of their own last token, features of that token tell a pseudo-concept from
    others as well as a feature of its own would.
    """
    sharp = (area >= AREA) & ~np.isnan(precision)
    if p is not None:
        sharp &= (p <= allowed)[:, None]
    held = np.where(sharp, precision, -1)
    best = held.argmax(axis=1)
    every = np.arange(len(features))
    feature = np.where(sharp.any(axis=1), features[every, best], -1)
    highest = np.maximum(held[every, best], 0)
    decided = _decided(contexts)
    sets = np.sort(highest[contexts.threshold_setting & decided])[::-1]
    threshold = max(floor, float(sets[int(allowed * sets.size)])) if sets.size else floor
    return Decision(np.where(decided, highest > threshold, NAN), feature, np.where(decided, highest, NAN), threshold)


def shares(contexts: Contexts, found: Floats) -> list[Share]:
    """The share of concepts that were found, in all and by category."""
    return _by_category(contexts, found, ~contexts.pseudo)


def false_positives(contexts: Contexts, found: Floats) -> list[Share]:
    """The share of pseudo-concepts that were found, in all and by category, without those that set the threshold."""
    return _by_category(contexts, found, contexts.pseudo & ~contexts.threshold_setting)


def agreement(contexts: Contexts, first: Floats, second: Floats) -> Agreement:
    """Which concepts two ways found, among those that both decided."""
    real = ~contexts.pseudo & ~np.isnan(first) & ~np.isnan(second)
    one, two = first == 1, second == 1
    kinds = (one & two, one & ~two, ~one & two, ~one & ~two)
    both, only_first, only_second, neither = (np.flatnonzero(real & kind) for kind in kinds)
    undecided = int((~contexts.pseudo).sum() - real.sum())
    missed = _share(-1, only_second.size, only_second.size + both.size, undecided)
    return Agreement(both, only_first, only_second, neither, missed)


# ---- ranks of sparse activations


def _raised(activations: Activations) -> tuple[csc_array, Ints]:
    """Ranks within each column of [rows, width], less their mean and raised by s/2, and s, how many rows fire.

    Silence has exactly 0 then, so they are as sparse as the activations, and above 0 where those are. Equal values
    share their mean rank. Over n1 of the rows they add to n1 n0 (AUROC - 1/2) + n1 s/2.
    """
    sparse = csc_array(activations, copy=True)
    sparse.eliminate_zeros()
    fired = np.diff(sparse.indptr)
    column = np.repeat(np.arange(fired.size), fired)
    order = np.lexsort((sparse.data, column))
    value, owner = sparse.data[order], column[order]
    starts = np.append(True, (value[1:] != value[:-1]) | (owner[1:] != owner[:-1]))[: value.size]
    first = np.flatnonzero(starts)
    last = np.append(first[1:], value.size) - 1
    mean_place = ((first + last) / 2)[np.cumsum(starts) - 1] - sparse.indptr[owner] + 1
    ranks = np.empty(value.size)
    ranks[order] = (sparse.shape[0] - 1 - fired[owner]) / 2 + mean_place
    return csc_array((ranks, sparse.indices, sparse.indptr), shape=sparse.shape), fired


def _above(own: csr_array, raised: csc_array, fired: Ints) -> Sums:
    """AUROC - 1/2 of each group of rows, own [groups, rows], against all other rows, where a feature fires in it."""
    sums = csr_array(own @ raised)
    sums.sort_indices()
    n1 = np.repeat(own.sum(axis=1), np.diff(sums.indptr))
    sums.data = (sums.data - n1 * fired[sums.indices] / 2) / (n1 * (own.shape[1] - n1))
    return sums


def _best(above: Sums) -> Floats:
    """The largest AUROC of any feature in each group, at least 1/2: whoever looks for one has no use for less."""
    return 0.5 + np.maximum(above.max(axis=1).toarray(), 0)


def _sums(own: csr_array, activations: Activations) -> Sums:
    """Total activation in each group of rows, own [groups, rows], where a feature fires in it: [groups, width]."""
    sparse = csc_array(activations, dtype=np.float64)
    sparse.eliminate_zeros()
    sums = csr_array(own @ sparse)
    sums.sort_indices()
    return sums


def _own(word: Ints, words: Ints) -> csr_array:
    """[C', rows]: 1 where a row is of a word; words [C'] ascending."""
    rows = np.arange(word.size)
    return csr_array((np.ones(word.size), (np.searchsorted(words, word), rows)), shape=(words.size, word.size))


def _dealt(template: Ints, has: Ints, rng: np.random.Generator, permutations: int) -> csr_array:
    """[B, rows]: 1 on as many rows of each template as a word has there, drawn without replacement."""
    drawn = []
    for number, n in enumerate(has):
        rows = np.flatnonzero(template == number)
        drawn.append(rng.permuted(np.tile(rows, (permutations, 1)), axis=1)[:, :n])
    columns = np.concatenate(drawn, axis=1)
    pointer = np.arange(permutations + 1) * columns.shape[1]
    return csr_array((np.ones(columns.size), columns.ravel(), pointer), shape=(permutations, template.size))


def _first(values: Sums, ties: Sums, k: int) -> Ints:
    """Of each row the k features of the largest values, by ties where equal, -1 where fewer are stored; one pattern."""
    found = np.full((values.shape[0], k), -1)
    for row in range(len(found)):
        part = slice(values.indptr[row], values.indptr[row + 1])
        features = values.indices[part]
        # Equal AUROCs may differ in their last digit.
        order = np.lexsort((features, -ties.data[part], -np.round(values.data[part], 12)))[:k]
        found[row, : order.size] = features[order]
    return found


def _column(sparse: csc_array, column: int) -> tuple[Ints, Floats]:
    """The rows of a column that are stored, and what is."""
    part = slice(sparse.indptr[column], sparse.indptr[column + 1])
    return sparse.indices[part].astype(np.int64), sparse.data[part]


# ---- words


def _categories(contexts: Contexts, kept: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Of each category with two words and more among the kept rows: those words, ascending, and their rows."""
    for category in np.unique(contexts.category):
        rows = kept[contexts.category[contexts.word[kept]] == category]
        words = np.unique(contexts.word[rows])
        if words.size > 1:
            yield words, rows


def _decided(contexts: Contexts) -> Bools:
    """[C]: whether a word can be told from another in a template that decides."""
    decided = np.zeros(contexts.pseudo.size, bool)
    for words, _ in _categories(contexts, np.flatnonzero(contexts.decides)):
        decided[words] = True
    return decided


def _by_category(contexts: Contexts, found: Floats, kept: Bools) -> list[Share]:
    counted = []
    for category in [-1, *np.unique(contexts.category).tolist()]:
        here = found[kept & ((contexts.category == category) | (category == -1))]
        undecided = int(np.isnan(here).sum())
        counted.append(_share(category, int((here == 1).sum()), here.size - undecided, undecided))
    return counted


def _share(category: int, k: int, n: int, undecided: int) -> Share:
    return Share(category, k, n, *wilson(k, n), undecided)


def _check(contexts: Contexts, activations: Activations) -> None:
    assert activations.shape[0] == contexts.word.size, "one row of activations per context"
    assert (activations.data >= 0).all(), "an activation is at least 0, which is silence"


def _distinct(*columns: npt.NDArray[np.generic]) -> int:
    """The number of different rows."""
    return len(np.unique(np.stack(columns, axis=1), axis=0))
