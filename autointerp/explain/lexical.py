"""The explainer without a model: the words that firings are associated with, as a sentence.

Words are those of a text, and those of the label of a text or picture.

Association is the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, Fightin' Words),
of words at firings against all words of the pool. The prior is the pool's own word distribution, so a rare word needs
more than one firing to stand out.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from math import log, sqrt
from operator import itemgetter

import regex

from autointerp.config import LexicalExplainer, RunConfig
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.explain.explainer import Key, Work, Written
from autointerp.progress import progress
from autointerp.records import Excerpt, Model

Settings = LexicalExplainer
# A word may hold marks (vowel signs of Devanagari, say), which are no letters to Python's own expressions.
WORD = regex.compile(r"[\w\p{M}]+(?:['’-][\w\p{M}]+)*|\n|[^\w\s\p{M}]")
PRIOR_WORDS = 500.0  # the prior weighs as much as this many words
MIN_Z = 1.96
MAX_SHARE = 0.2  # a word in more of the background's excerpts than this says nothing of the text around a firing
MAX_EXCERPTS = 200  # firing excerpts that words are counted in, at most
WORDLESS = "no word is associated with the firings"
MIN_EXCERPTS = 2  # a word seen in one excerpt alone says nothing about the next
NAMES = {"\n": "line breaks", ",": "commas", ".": "full stops", "(": "opening brackets", ")": "closing brackets"}


def models(role: LexicalExplainer, config: RunConfig) -> list[Model]:
    return []


def explain(role: LexicalExplainer, work: Work) -> dict[Key, Written]:
    background = Background.of([work.pool.excerpts[row] for row in work.pool.rows("explain")])
    found = {}
    with progress(f"explaining with {work.name}", len(work.keys)) as advance:
        for dictionary, feature in work.keys:
            text = sentence(associations(work.evidence[dictionary], feature, work.pool, background), role.words)
            found[dictionary, feature] = Written(text, "" if text else WORDLESS)
            advance(1)
    return found


@dataclass(frozen=True, slots=True)
class Associations:
    """Words with their z-scores, strongest first: `on` a firing, `before` one, and `near` one in the same excerpt."""

    on: tuple[tuple[str, float], ...]
    before: tuple[tuple[str, float], ...]
    near: tuple[tuple[str, float], ...]


def words(excerpt: Excerpt) -> list[tuple[str, float]]:
    """The words, marks and line breaks of an excerpt in order, each with the largest activation on it."""
    pieces = [excerpt.pieces[at] for at in excerpt.in_text]
    activations = [excerpt.activations[at] for at in excerpt.in_text]
    ends = list(accumulate(map(len, pieces)))
    found = []
    for match in WORD.finditer("".join(pieces)):
        start, stop = match.span()
        first = bisect_right(ends, start)
        # A token that is the rest of a character has no text of its own and belongs to the word before it.
        last = max(bisect_right(ends, stop - 1), bisect_right(ends, stop) - 1)
        found.append((match[0].lower(), max(activations[first : last + 1])))
    return found


def label_words(excerpt: Excerpt) -> list[str]:
    """The words of an excerpt's label, each once."""
    return list(dict.fromkeys(word for word in WORD.findall(excerpt.label.lower()) if word[0].isalnum()))


@dataclass(frozen=True, slots=True)
class Background:
    """What a corpus holds anyway: each word's occurrences, the excerpts that hold it, and the common words."""

    occurrences: Counter[str]
    excerpts: Counter[str]
    common: frozenset[str]

    @classmethod
    def of(cls, excerpts: Sequence[Excerpt]) -> "Background":
        found = [[word for word, _ in words(excerpt)] + label_words(excerpt) for excerpt in excerpts]
        holding = Counter(word for sequence in found for word in set(sequence))
        common = frozenset(word for word, n in holding.items() if n > MAX_SHARE * len(found))
        return cls(Counter(word for sequence in found for word in sequence), holding, common)


def log_odds(observed: Mapping[str, float], background: Counter[str]) -> list[tuple[str, float]]:
    """z-scores of observed words against the background, largest first; ties by word."""
    n_observed, n_background = sum(observed.values()), sum(background.values())
    if not n_observed or not n_background:
        return []
    found = []
    for word, y in observed.items():
        prior = PRIOR_WORDS * max(background[word], 0.5) / n_background
        ours, theirs = y + prior, background[word] + prior
        difference = log(ours / max(n_observed + PRIOR_WORDS - ours, 1e-9)) - log(
            theirs / max(n_background + PRIOR_WORDS - theirs, 1e-9)
        )
        found.append((word, difference / sqrt(1 / ours + 1 / theirs)))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def associate(firing: Sequence[Excerpt], background: Background, maximum: float) -> Associations:
    """What goes with the firings. A firing counts by its activation / maximum, so strong ones say more.

    The words of an excerpt's label count with its largest activation.
    """
    on: defaultdict[str, float] = defaultdict(float)
    before: defaultdict[str, float] = defaultdict(float)
    near: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for excerpt in firing:
        sequence = words(excerpt)
        for at, (word, activation) in enumerate(sequence):
            if activation > 0:
                on[word] += activation / maximum
                if at:
                    before[sequence[at - 1][0]] += activation / maximum
        for word in label_words(excerpt):
            on[word] += excerpt.largest / maximum
        held.update({word for word, _ in sequence} | set(label_words(excerpt)))
        near.update({word for word, activation in sequence if activation == 0 and word.isalpha()})
    often = {word for word, n in held.items() if n >= min(MIN_EXCERPTS, len(firing))}

    def ranked(observed: Mapping[str, float], against: Counter[str]) -> tuple[tuple[str, float], ...]:
        return tuple((word, z) for word, z in log_odds(observed, against) if word in often)

    on_words = ranked(on, background.occurrences)
    strong = {word for word, _ in on_words[:10]}
    return Associations(
        on=on_words,
        before=ranked(before, background.occurrences),
        near=tuple(
            (word, z) for word, z in ranked(near, background.excerpts) if word not in strong | background.common
        ),
    )


def standing_out(found: Associations, n_words: int) -> tuple[list[str], list[str], list[str]]:
    """The words that an explanation names: on firings, before them, and near them."""
    on = [word for word, z in found.on if z > MIN_Z][:n_words]
    near = [word for word, z in found.near if z > MIN_Z][:n_words]
    before = [word for word, z in found.before if z > 2 * MIN_Z and word not in on][:2]
    return on, before, near


def sentence(found: Associations, n_words: int) -> str:
    """The associations in words; empty when nothing stands out."""
    on, before, near = standing_out(found, n_words)
    parts = []
    if on:
        parts.append(listed(on))
    if before:
        parts.append(f"after {listed(before)}")
    if near:
        parts.append(f"in text with {listed(near)}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def listed(found: Sequence[str]) -> str:
    return ", ".join(NAMES.get(word, f"“{word}”") for word in found)


def associations(side: DictionaryEvidence, feature: int, pool: PoolReader, background: Background) -> Associations:
    """The words that go with the firings of a feature in the explain split."""
    firing = firing_excerpts(side, feature, pool)
    # The largest of what explainers may see, not of the feature: that would be known from the other split too.
    return associate(firing, background, max(max(excerpt.activations) for excerpt in firing))


def firing_excerpts(side: DictionaryEvidence, feature: int, pool: PoolReader) -> list[Excerpt]:
    """Firing excerpts of the explain split: the chosen items, then the pool's, each window once."""
    found = {i.excerpt.id: i.excerpt for i in side.by_feature[feature].items["explain"] if i.fires}
    explain_rows = set(pool.rows("explain"))
    firings = side.firings_of(feature).sort_values("window", kind="stable")
    columns = (firings[name].tolist() for name in ("window", "position", "activation"))
    for window, rows in groupby(zip(*columns, strict=True), key=itemgetter(0)):
        if len(found) >= MAX_EXCERPTS:
            break
        if window in explain_rows:
            excerpt = pool.excerpts[window]
            dense = [0.0] * len(excerpt.pieces)
            for _, position, activation in rows:
                dense[position] = activation
            found.setdefault(excerpt.id, replace(excerpt, activations=tuple(dense)))
    return list(found.values())
