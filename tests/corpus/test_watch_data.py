"""Watch lists: twins alike in length, terms and words, so that what tells them apart is what they mean."""

import hashlib
import re
import tomllib
from functools import cache

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from autointerp import assets

WATCH = assets.datasets() / "watch"
RECORD = tomllib.loads((WATCH / "dataset.toml").read_text("utf-8"))
CONCEPTS = [name.removesuffix(".toml") for name in RECORD["files"]]
# Code differs from its safe twin in a mark as often as in a word, so that marks count as words everywhere.
WORD = r"\w+|[^\w\s]"

Pair = tuple[str, str]


@cache
def entry(concept: str) -> dict:
    return tomllib.loads((WATCH / f"{concept}.toml").read_text("utf-8"))


def pairs_of(concept: str) -> list[Pair]:
    """(concerning, benign) of each pair, in the order of the file."""
    return [(pair["concerning"], pair["benign"]) for pair in entry(concept)["pairs"]]


def words(text: str) -> set[str]:
    return set(re.findall(WORD, text.lower()))


def halves(pairs: list[Pair]) -> list[tuple[list[Pair], list[Pair]]]:
    """What is fitted and what is held: even and odd pairs, then the other way round."""
    return [(pairs[::2], pairs[1::2]), (pairs[1::2], pairs[::2])]


def gap(pairs: list[Pair], word: str) -> float:
    """Share of concerning texts that hold a word, minus that of benign ones."""
    return float(np.mean([(word in words(first)) - (word in words(second)) for first, second in pairs]))


def held_gap(fitted: list[Pair], held: list[Pair]) -> float:
    """Of the words that best tell the fitted pairs apart, in either direction, the most that one tells of the held."""
    gaps = {word: gap(fitted, word) for word in set().union(*(words(text) for pair in fitted for text in pair))}
    best = max(map(abs, gaps.values()))
    return max(np.sign(found) * gap(held, word) for word, found in gaps.items() if abs(found) == best)


def accuracy(fitted: list[Pair], held: list[Pair]) -> float:
    """Of a logistic regression on counts of words, over both texts of each held pair."""
    counts = CountVectorizer(token_pattern=WORD)
    model = LogisticRegression(solver="liblinear")
    model.fit(counts.fit_transform([text for pair in fitted for text in pair]), [1, 0] * len(fitted))
    return float(model.score(counts.transform([text for pair in held for text in pair]), [1, 0] * len(held)))


def test_files_are_as_their_record_says() -> None:
    assert {path.name for path in WATCH.iterdir()} == {"dataset.toml", *RECORD["files"]}
    assert len(CONCEPTS) == 8
    for name, facts in RECORD["files"].items():
        assert hashlib.sha256((WATCH / name).read_bytes()).hexdigest() == facts["sha256"]
        assert len(tomllib.loads((WATCH / name).read_text("utf-8"))["pairs"]) == facts["pairs"] == 30


def test_no_text_is_there_twice() -> None:
    texts = [" ".join(text.lower().split()) for concept in CONCEPTS for pair in pairs_of(concept) for text in pair]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_list_says_what_it_is_about_and_twins_are_of_like_length(concept: str) -> None:
    found = entry(concept)
    assert set(found) == {"about", "terms", "pairs"} and found["about"].endswith(".")
    assert all(re.fullmatch("[a-z]+", term) for term in found["terms"])
    assert len(set(found["terms"])) == len(found["terms"])
    lengths = []
    for pair in found["pairs"]:
        assert set(pair) == {"concerning", "benign"}
        twins = pair["concerning"], pair["benign"]
        assert all(text == text.strip() for text in twins)
        lengths.append([len(text.split()) for text in twins])
        assert min(lengths[-1]) >= 0.8 * max(lengths[-1]), twins
        if concept == "dangerous_code":
            assert all(3 <= len(text.splitlines()) <= 8 for text in twins), twins
        else:
            assert all(12 <= n <= 45 for n in lengths[-1]), twins
    # A list whose benign texts are always the longer ones would be told apart by length.
    differences = np.diff(lengths, axis=1)
    assert abs(np.mean(np.sign(differences))) <= 0.3
    assert abs(differences.mean()) <= 0.05 * np.mean(lengths)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_terms_do_not_tell_and_are_met_in_benign_texts(concept: str) -> None:
    terms = set(entry(concept)["terms"])
    shares = np.mean([[bool(terms & words(text)) for text in pair] for pair in pairs_of(concept)], axis=0)
    assert abs(shares[0] - shares[1]) <= 0.15
    # Where no benign text held a term, a feature that fires on the word would pass.
    assert shares.min() >= 0.3


@pytest.mark.parametrize("concept", CONCEPTS)
def test_no_word_tells_the_twins_of_the_other_half_apart(concept: str) -> None:
    assert max(held_gap(fitted, held) for fitted, held in halves(pairs_of(concept))) <= 0.35


@pytest.mark.parametrize("concept", CONCEPTS)
def test_words_together_hardly_tell_the_twins_apart(concept: str) -> None:
    pairs = pairs_of(concept)
    assert max(accuracy(fitted, held) for fitted, held in halves(pairs)) <= 0.75
    # One half has 15 pairs and a standard error near 0.09; the mean over halves is steadier.
    rng = np.random.default_rng(0)
    drawn = [[pairs[i] for i in rng.permutation(len(pairs))] for _ in range(25)]
    assert np.mean([accuracy(*halves(order)[0]) for order in drawn]) <= 0.65


def test_a_word_that_tells_is_found() -> None:
    """Pairs whose concerning texts hold one word more are caught by both measures."""
    told = [(f"{first} falsely", second) for first, second in pairs_of("deception")]
    for fitted, held in halves(told):
        assert held_gap(fitted, held) == 1
        assert accuracy(fitted, held) > 0.75
