"""The feature that tells texts of concern from their twins, and what there is to say of it, as rows of tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.job import Job
from autointerp.measure import watch as measure
from autointerp.measure.arrays import Activations, Bools, Floats, Ints
from autointerp.measure.intervals import Interval, wilson
from autointerp.measure.watch import Choice, Half, Rates
from autointerp.records import Explanation
from autointerp.watch import lists
from autointerp.watch.lists import WatchList

SEARCH, NAMED = "search", "named"  # how a feature came to be looked at: of all the best, or its explanation names it
PERMUTED, WORDS = "permuted", "words"  # controls: texts of pairs exchanged by lot; words in the place of features
CONCERNING, BENIGN, CORPUS = "concerning", "benign", "corpus"
SHOWN = 5  # excerpts of the corpus that are kept of each feature, the loudest
NOT_FOUND = -1
Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts of all lists one after the other, pair by pair: concerning [p] and benign [p] are places in `texts`.

    whose [p] is the list of a pair, reports [p] whether it is of the half that reports.
    """

    texts: list[str]
    concerning: Ints
    benign: Ints
    whose: Ints
    reports: Bools

    def half(self, activations: Floats, number: int, reports: bool) -> Half:
        """Activations [texts, F] as a half of a list."""
        side = self.reports == reports
        own, others = side & (self.whose == number), side & (self.whose != number)
        return Half(activations[self.concerning[own]], activations[self.benign[own]], activations[self.benign[others]])


def texts_of(job: Job, read: Sequence[WatchList]) -> Texts:
    """One half of each list, drawn by seed, chooses and the other reports."""
    texts = [text for one in read for pair in one.pairs for text in (pair.concerning, pair.benign)]
    whose = np.repeat(np.arange(len(read)), [len(one.pairs) for one in read])
    reports = np.concatenate([job.rng("watch", one.name).permutation(len(one.pairs)) % 2 == 1 for one in read])
    places = np.arange(len(whose)) * 2
    return Texts(texts, places, places + 1, whose, reports)


def alive(activations: Activations) -> Floats:
    """The features [texts, F] that fire in any text: no other can be chosen."""
    return activations[:, np.flatnonzero(np.diff(activations.indptr))].toarray().astype(float)


@dataclass(frozen=True, slots=True)
class Looked:
    """A feature that is looked at for a list, None where the search found none."""

    number: int
    name: str
    way: str
    choice: Choice | None
    explanation: str = ""
    explainer: str = ""


def chosen(
    at: Texts, read: Sequence[WatchList], activations: Activations, said: Sequence[Explanation], rate: float
) -> list[Looked]:
    """For each list the feature that one half chooses, and those whose explanations, `said`, name it."""
    first = {one.feature: one.text for one in reversed(said)}
    fire, dense = np.flatnonzero(np.diff(activations.indptr)), alive(activations)
    found = []
    for number, one in enumerate(read):
        best = measure.choose(at.half(dense, number, False), rate)
        if best is not None:
            best = Choice(int(fire[best.feature]), best.threshold)
        found.append(Looked(number, one.name, SEARCH, best, first.get(best.feature, "") if best else ""))
        for e in said:
            if one.named_in(e.text):
                threshold = measure.thresholds(at.half(column(activations, e.feature), number, False), rate)[0]
                choice = Choice(e.feature, float(threshold))
                found.append(Looked(number, one.name, NAMED, choice, e.text, e.explainer))
    return found


def column(activations: Activations, feature: int) -> Floats:
    """Of one feature, [texts, 1]."""
    return activations[:, [feature]].toarray().astype(float)


def row(at: Texts, one: Looked, activations: Activations, corpus: Activations, document: Ints) -> dict[str, Any]:
    """A row of FOUND. Without a feature nothing fires."""
    reporting = at.reports & (at.whose == one.number)
    told, loud = Rates(int(reporting.sum()), 0, 0, int(at.reports.sum()), 0, 1.0), 0
    if one.choice is not None:
        feature, threshold = one.choice
        half = at.half(column(activations, feature), one.number, True)
        told = measure.rates(half, Choice(0, threshold))
        loud = np.unique(document[column(corpus, feature)[:, 0] > threshold]).size
    return {
        "list": one.name, "way": one.way, "explainer": one.explainer, "explanation": one.explanation,
        "feature": one.choice.feature if one.choice else NOT_FOUND,
        "threshold": one.choice.threshold if one.choice else np.nan,
        "pairs": told.n, "concerning": told.hits, "twins": told.twins, "benign": told.benign, "false": told.false,
        "documents": np.unique(document).size, "corpus": loud, "p": told.p,
    }  # fmt: skip


def examples(
    at: Texts, one: Looked, activations: Activations, corpus: Activations, excerpts: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Rows of TEXTS: all of the half that reports, loudest first, and the loudest excerpts of the corpus."""
    if one.choice is None:
        return
    feature, threshold = one.choice
    own = column(activations, feature)[:, 0]
    reporting = at.reports & (at.whose == one.number)
    loud = column(corpus, feature)[:, 0]
    groups = (
        (CONCERNING, [(at.texts[place], own[place]) for place in at.concerning[reporting]]),
        (BENIGN, [(at.texts[place], own[place]) for place in at.benign[reporting]]),
        (CORPUS, [(excerpts[place], loud[place]) for place in np.argsort(-loud, kind="stable")[:SHOWN]]),
    )
    for kind, found in groups:
        for text, activation in sorted(found, key=lambda pair: -pair[1]):
            yield {
                "list": one.name, "way": one.way, "feature": feature, "kind": kind,
                "text": text, "activation": float(activation), "fires": bool(activation > threshold),
            }  # fmt: skip


def by_words(at: Texts, n_lists: int, rate: float) -> list[Rates | None]:
    """What the same search among words reaches for each list, a word being 1 in a text that holds it.

    None where no word tells a text from its twin.
    """
    held = list(map(lists.words, at.texts))
    vocabulary = sorted(set().union(*held))
    present = np.array([[word in own for word in vocabulary] for own in held], float)
    found = []
    for number in range(n_lists):
        choice = measure.choose(at.half(present, number, False), rate)
        found.append(measure.rates(at.half(present, number, True), choice) if choice else None)
    return found


def numbers(own: Mapping[str, Any], chance: Floats, spoken: Rates | None) -> Iterator[dict[str, Any]]:
    """Rows of dictionaries.csv, the dictionary apart: the feature that was searched for, and what else could be it."""
    metric, n = f"watch.{own['list']}", own["pairs"]
    low, high = np.percentile(chance, (2.5, 97.5)).tolist()
    shares = {
        ("tpr", "none"): share(own["concerning"], n),
        ("fpr_twins", "none"): share(own["twins"], n),
        ("fpr", "none"): share(own["false"], own["benign"]),
        ("corpus_rate", "none"): share(own["corpus"], own["documents"]),
        ("tpr", PERMUTED): Interval(float(chance.mean()), low, high, n, 0),
        ("tpr", WORDS): share(spoken.hits if spoken else 0, n),
        ("fpr_twins", WORDS): share(spoken.twins if spoken else 0, n),
    }
    for (name, control), found in shares.items():
        yield {
            "metric": f"{metric}.{name}", "control": control, "explainer": "", "scorer": "", "rubric": "",
            "value": found.value, "low": found.low, "high": found.high, "n": found.n, "unscored": found.unscored,
            "circularity": "A",
        }  # fmt: skip


def share(k: int, n: int) -> Interval:
    return Interval(k / n, *wilson(k, n), n, 0)
