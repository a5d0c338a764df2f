"""Counts of words against one search a word, and arithmetic."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.config import CorpusConfig
from autointerp.corpus import frequency
from autointerp.corpus.sources import Document, documents
from tests.corpus.writers import write_jsonl

WORDS = ("ab", "Ab", "b", "É", "é", "a_1", "ABB")


def slow_count(texts: Sequence[str], word: str) -> int:
    """One search of all texts for one word; é and its like keep their case apart in nothing but the capital."""
    texts = texts if word != word.lower() else [text.lower() for text in texts]
    return sum(len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text)) for text in texts)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.text("aAbB_1éÉ .,-\n", max_size=30)), max_size=12))
def test_counts_equal_one_search_a_word(rows: list[tuple[str, str]]) -> None:
    found = frequency.count([Document(name, text) for name, text in rows], WORDS)
    runs: list[tuple[str, list[str]]] = []
    for name, text in rows:
        if not runs or runs[-1][0] != name:
            runs.append((name, []))
        runs[-1][1].append(text)
    for place, word in enumerate(WORDS):
        assert found.occurrences[place] == slow_count([text for _, text in rows], word)
        assert found.documents[place] == sum(slow_count(texts, word) > 0 for _, texts in runs)
    assert found.n_documents == len(runs)
    assert found.n_words == sum(len(re.findall(r"\w+", text)) for _, text in rows)


def test_a_corpus_by_hand(tmp_path: Path) -> None:
    rows = [
        {"document": "one", "text": "Turkey, turkey and TURKEY: the turkeys of Turkey."},
        {"document": "one", "text": "Iron; iron-clad, irons."},
        {"document": "two", "text": "no_iron."},
    ]
    path = str(write_jsonl(tmp_path / "corpus.jsonl", rows))
    read = documents(path, CorpusConfig(path=path))
    found = frequency.count(read, ["Turkey", "turkey", "iron", "gold"], tokens=len)
    # A capital counts as it is written, a small letter in any case; plurals and parts of words are other words.
    assert found.occurrences.tolist() == [2, 4, 2, 0]
    assert found.documents.tolist() == [1, 1, 1, 0]
    assert (found.n_documents, found.n_words) == (2, 8 + 4 + 1)
    assert found.n_tokens == sum(len(row["text"]) for row in rows)


def test_words_alone_are_counted() -> None:
    with pytest.raises(AssertionError, match="single word"):
        frequency.count([], ["New York"])
    assert frequency.count([], ["Oslo"]).n_tokens is None


@given(st.lists(st.text("aAbB_1éÉ .,-\n", max_size=30), max_size=12))
def test_a_text_holds_a_word_where_its_count_is_above_0(texts: list[str]) -> None:
    slow = [
        (at, number) for at, text in enumerate(texts) for number, word in enumerate(WORDS) if slow_count([text], word)
    ]
    assert frequency.holding(texts, WORDS) == slow
