"""Which concepts of a list have a feature of their own in each dictionary: the subject reads, and code decides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array

from autointerp.compare.kinship import number
from autointerp.compare.sides import Side
from autointerp.compare.tables import Rows
from autointerp.corpus import categories, frequency, sources
from autointerp.corpus.categories import Category
from autointerp.errors import UserError
from autointerp.evidence.loudest import Parts, in_pool, largest, stacked
from autointerp.evidence.replay import CONTEXTS_AT_ONCE, Contexts
from autointerp.job import Job, Site
from autointerp.measure import completeness as measure
from autointerp.measure.arrays import Activations, Bools, Floats, Ints
from autointerp.measure.completeness import Decision
from autointerp.measure.intervals import Interval
from autointerp.progress import log, progress
from autointerp.subjects.positions import PositionRule

WAYS = ("search", "loudest")  # how candidates are chosen: of all features those that tell best, or the loudest five


@dataclass(frozen=True, eq=False)
class Lists:
    """Words of all categories, one after the other, the contexts that end in them, and how often they occur.

    tokens [m] are the contexts, last [m] the position of a word's last token, `at` how the statistics see them.
    """

    words: list[str]
    named: list[str]
    tokens: list[list[int]]
    last: Ints
    at: measure.Contexts
    counts: frequency.Frequencies

    @property
    def frequencies(self) -> Floats:
        """Occurrences a token, [C]."""
        return self.counts.occurrences / max(1, self.counts.n_tokens or 0)


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one dictionary by one way."""

    side: Side
    way: str
    decision: Decision
    area: Floats


def prepare(job: Job, path: str, counted_in: str) -> Lists:
    """The lists of a folder, put into their templates; words that the subject cuts short are left out."""
    if "text" not in job.reads:
        raise UserError(f"you asked for the concepts in {path!r}", "the subject reads no text there", "leave them out")
    found = categories.read(path)
    rule = PositionRule(job.config.positions, job.subject)
    words = [word for category in found for word in category.words]
    tokens: list[list[int]] = []
    rows: list[tuple[int, int, bool, int]] = []
    first = template_of = 0
    for category in found:
        for place, template in enumerate(category.templates):
            for at, word in enumerate(category.words):
                text = categories.sentence(template, word)
                whole = job.subject.alone(text, job.config.corpus.context_length)
                room = job.subject.alone(text, job.config.corpus.context_length + 1)
                readable = rule.readable([whole], len(whole))[0].nonzero()[:, 0]
                if len(whole) == len(room) and len(readable):
                    tokens.append(whole)
                    rows.append((first + at, template_of + place, place % 2 == 1, int(readable[-1])))
        first, template_of = first + len(category.words), template_of + len(category.templates)
    whose, template_at, decides, last = (np.array(column) for column in zip(*rows, strict=True))
    log.info("  counting %d words in %s", len(words), counted_in)
    documents = sources.documents(counted_in, job.config.corpus)
    counts = frequency.count(documents, words, lambda text: len(job.subject.encode(text)[0]))
    at_all = measure.Contexts(whose, template_at, decides, *of_words(found))
    return Lists(words, [category.name for category in found], tokens, last, at_all, counts)


def of_words(found: Sequence[Category]) -> tuple[Ints, Bools]:
    """Category [C] of each word, and whether it means nothing [C]."""
    category = np.repeat(np.arange(len(found)), [len(one.words) for one in found])
    pseudo = np.concatenate([np.arange(len(one.words)) >= len(one.concepts) for one in found])
    return category, pseudo


def on_words(job: Job, sides: Sequence[Side], lists: Lists) -> tuple[dict[str, Activations], Bools]:
    """Activations on the last token [m, width] by dictionary, and the contexts [m] in which that counts everywhere.

    All contexts are padded to the longest, so that no activation depends on its batch.
    """
    limits = job.directory.facts("collect")["norm_limits"]
    rule = PositionRule(job.config.positions, job.subject, limits)
    sites = sorted({Site(side.site) for side in sides})
    length, size, m = max(map(len, lists.tokens)), CONTEXTS_AT_ONCE, len(lists.tokens)
    parts: dict[str, Parts] = {side.name: [] for side in sides}
    counts = np.ones(m, bool)
    with progress("reading the concepts", m) as advance:
        for start in range(0, m, size):
            tokens = lists.tokens[start : start + size]
            hidden = job.hidden(tokens, sites, length=length)
            row, last = torch.arange(len(tokens)), torch.from_numpy(lists.last[start : start + size])
            for site in sites:
                mask = rule.mask(tokens, hidden[site], str(site))
                counts[start : start + size] &= mask[row, last].cpu().numpy()
                x = hidden[site][row, last]
                for side in (side for side in sides if side.site == str(site)):
                    parts[side.name].append(largest(side.dictionary, x, np.arange(start, start + len(tokens))))
            advance(len(tokens))
    return {side.name: stacked(parts.pop(side.name), m, side.width) for side in sides}, counts


def decide(job: Job, sides: Sequence[Side], lists: Lists, contexts: Contexts) -> list[Found]:
    """Which words have a feature of their own in each dictionary, by each way of choosing candidates."""
    activations, counts = on_words(job, sides, lists)
    places = {side.name: (Site(side.site), side.dictionary) for side in sides}
    background = in_pool(job, contexts, "explain", places)
    held = frequency.holding(background.texts, lists.words)
    excerpt, word = (np.array([pair[place] for pair in held], np.int64) for place in (0, 1))
    holds = csc_array((np.ones(len(held)), (excerpt, word)), shape=(len(background.texts), len(lists.words)))
    at = measure.Contexts(
        lists.at.word[counts],
        lists.at.template[counts],
        lists.at.decides[counts],
        lists.at.category,
        lists.at.pseudo,
    )
    found = []
    for side in sides:
        heard = csc_array(activations[side.name].tocsr()[np.flatnonzero(counts)])
        for way in WAYS:
            features = (measure.sharpest if way == "search" else measure.loudest)(at, heard)
            rng = job.rng("completeness", side.name)
            p = measure.searched(at, heard, rng).p if way == "search" else None
            areas = measure.areas(at, heard, features)
            precision = measure.precisions(at, heard, background.activations[side.name], holds, features)
            decision = measure.decide(at, features, areas, precision, p)
            chosen = (features == decision.feature[:, None]) & (features >= 0)
            area = np.where(chosen.any(axis=1), areas[np.arange(len(areas)), chosen.argmax(axis=1)], np.nan)
            found.append(Found(side, way, decision, area))
    return found


def concept_rows(lists: Lists, found: Sequence[Found]) -> tuple[Rows, Rows]:
    """(rows of dictionaries.csv, of `concepts`): shares of concepts and of pseudo-concepts, and every decision."""
    numbers: Rows = []
    rows: Rows = []
    setting = lists.at.threshold_setting
    for one in found:
        metric = f"completeness.{one.way}"
        for control, shares in (
            ("none", measure.shares(lists.at, one.decision.found)),
            ("pseudo", measure.false_positives(lists.at, one.decision.found)),
        ):
            for share in shares:
                name = metric if share.category < 0 else f"{metric}.{slug(lists.named[share.category])}"
                numbers.append(number(one.side, name, interval(share), control))
        threshold = Interval(one.decision.threshold, np.nan, np.nan, int(setting.sum()), 0)
        numbers.append(number(one.side, f"{metric}_threshold", threshold))
        decision = one.decision
        for at, word in enumerate(lists.words):
            rows.append(
                {"dictionary": one.side.name, "way": one.way, "category": lists.named[lists.at.category[at]],
                 "concept": word, "pseudo": bool(lists.at.pseudo[at]), "sets_threshold": bool(setting[at]),
                 "occurrences": int(lists.counts.occurrences[at]), "frequency": float(lists.frequencies[at]),
                 "found": float(decision.found[at]), "feature": int(decision.feature[at]),
                 "auroc": float(one.area[at]), "precision": float(decision.precision[at]),
                 "threshold": decision.threshold}
            )  # fmt: skip
    for side in dict.fromkeys(one.side for one in found):
        first, second = (
            next(one.decision.found for one in found if one.side is side and one.way == way) for way in reversed(WAYS)
        )
        missed = measure.agreement(lists.at, first, second).missed
        numbers.append(number(side, "completeness.missed_by_loudest", interval(missed)))
    return numbers, rows


def slug(category: str) -> str:
    return re.sub(r"\W+", "_", category.lower())


def interval(share: measure.Share) -> Interval:
    value = share.k / share.n if share.n else np.nan
    low, high = (share.low, share.high) if share.n else (np.nan, np.nan)
    return Interval(value, low, high, share.n, share.undecided)
